"""Budgets at the boundaries of steps."""

import pytest

from genai_spine.pipelines.execution.budget_stop import stop
from genai_spine.pipelines.execution.journal import BudgetLevel


def level(policy: str, used: int) -> BudgetLevel:
    return BudgetLevel(policy, used, 100, 80.0)


@pytest.mark.parametrize(
    ("policy", "used", "cost", "estimate", "stops", "event"),
    [
        ("hard_block", 79, 0, None, False, None),
        ("hard_block", 80, 0, None, False, "budget.warning"),
        ("hard_block", 100, 0, None, False, "budget.warning"),
        ("hard_block", 101, 0, 50, True, "budget.exceeded"),
        ("fallback", 101, 10, 5, False, "budget.exceeded"),
        ("warn", 10, 0, 91, False, "budget.exceeded"),  # new work, whose estimate passes the limit
        ("warn", 10, 1, 91, False, None),
        ("hard_block", 10, 0, 91, False, None),  # which its run holds already
        ("warn", 500, 99, 1, False, "budget.exceeded"),
        ("soft_block", 101, 10, 50, False, "budget.exceeded"),
        ("soft_block", 101, 50, 50, True, "budget.exceeded"),
        ("soft_block", 101, 50, None, False, "budget.exceeded"),
    ],
)
def test_who_goes_on(policy: str, used: int, cost: int, estimate: int | None, stops: bool, event: str | None):
    problem, events = stop([level(policy, used)], cost, estimate)
    assert bool(problem) is stops
    assert [one.type for one in events] == ([event] if event else [])
    if event == "budget.exceeded":
        assert events[0].data["action_taken"] == ("blocked" if stops else "warned")


def test_the_worst_of_several_counts():
    problem, events = stop([level("warn", 10), level("soft_block", 90), level("hard_block", 120)], 0, None)
    assert problem
    assert [one.type for one in events] == ["budget.warning", "budget.exceeded"]
