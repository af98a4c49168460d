"""Changes of budgets: what is left out, what contradicts itself, and what the audit log has."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from genai_spine.budgets import changes
from genai_spine.errors import InvalidFields
from genai_spine.v1 import budget_pb2 as pb
from genai_spine.v1.budget_service_pb2 import SetBudgetRequest

FUTURE, PAST = "2999-01-01T00:00:00Z", "2001-01-01T00:00:00Z"
DAILY = {"period": pb.BUDGET_PERIOD_DAILY}


def budget(until: str | None = None, **fields: Any) -> pb.Budget:
    found = pb.Budget(**(DAILY | fields))
    if until is not None:
        found.raise_end_time.FromJsonString(until)
    return found


def merged(given: pb.Budget, present: pb.Budget | None = None, *mask: str) -> pb.Budget:
    request = SetBudgetRequest(budget=given, update_mask=FieldMask(paths=mask) if mask else None)
    return changes.merged(changes.named(given, "acme"), present, request)


def test_new_budget_has_defaults() -> None:
    found = merged(budget(limit_usd=0.1))
    assert (found.tenant_id, found.node, found.node_key) == ("acme", pb.BUDGET_NODE_TENANT, "acme")
    assert (found.limit_ticks, found.warn_percent, found.enabled) == (10**9, 80, True)
    assert found.policy == pb.BUDGET_POLICY_WARN


def test_change_takes_over_what_is_set_or_what_the_mask_names() -> None:
    present = merged(budget(FUTURE, limit_ticks=5, raise_ticks=7, policy="BUDGET_POLICY_HARD_BLOCK"))
    kept = merged(budget(limit_ticks=6), present)
    assert (kept.limit_ticks, kept.raise_ticks, kept.policy) == (6, 7, pb.BUDGET_POLICY_HARD_BLOCK)
    cleared = merged(budget(), present, "raise_ticks", "raise_end_time", "policy")
    assert (cleared.limit_ticks, cleared.raise_ticks, cleared.policy) == (5, 0, pb.BUDGET_POLICY_WARN)
    assert not cleared.HasField("raise_end_time")
    both = budget(limit_ticks=5, limit_usd=1)
    assert merged(both, present, "limit_usd").limit_ticks == 10**10
    assert merged(both, present, "limit_ticks").limit_ticks == 5
    assert merged(budget(limit_usd=0), present).limit_ticks == 0


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (pb.Budget(limit_usd=1), "budget.period"),
        (budget(), "budget.limit_usd"),
        (budget(limit_usd=1, limit_ticks=1), "budget.limit_usd"),
        (budget(limit_usd=1, tenant_id="other"), "budget.tenant_id"),
        (budget(limit_usd=1, node_key="other"), "budget.node_key"),
        (budget(limit_usd=1, node=pb.BUDGET_NODE_KEY), "budget.node_key"),
        (budget(limit_usd=1, node=pb.BUDGET_NODE_LABEL, node_key="team"), "budget.node_key"),
        (budget(limit_usd=1, node=pb.BUDGET_NODE_LABEL, node_key="=x"), "budget.node_key"),
        (budget(limit_usd=1, tenant_id="*", node=pb.BUDGET_NODE_KEY, node_key="*"), "budget.node"),
        (budget(limit_usd=1, raise_usd=1), "budget.raise_end_time"),
        (budget(PAST, limit_usd=1, raise_usd=1), "budget.raise_end_time"),
    ],
)
def test_what_cannot_be_meant_names_its_field(given: pb.Budget, field: str) -> None:
    with pytest.raises(InvalidFields) as refused:
        merged(given)
    assert [name for name, _ in refused.value.violations] == [field]


def test_mask_of_what_cannot_be_changed_is_refused() -> None:
    with pytest.raises(InvalidFields) as refused:
        merged(budget(limit_usd=1), merged(budget(limit_usd=1)), "tenant_id")
    assert refused.value.metadata["field"] == "update_mask"


def test_raise_that_has_ended_is_no_obstacle_to_other_changes() -> None:
    present = budget(PAST, tenant_id="acme", limit_ticks=5, raise_ticks=7, warn_percent=80, enabled=True)
    assert merged(budget(limit_ticks=6), present).raise_ticks == 7


def test_details_say_whether_less_may_be_spent() -> None:
    ten, nine = merged(budget(limit_ticks=10)), merged(budget(limit_ticks=9))
    raised, off = (
        merged(budget(FUTURE, limit_ticks=9, raise_ticks=1)),
        merged(budget(limit_ticks=1, enabled=False)),
    )
    assert changes.details(ten, None)["lowered"]
    assert changes.details(nine, ten)["lowered"]
    assert not changes.details(ten, nine)["lowered"]
    assert not changes.details(raised, ten)["lowered"]
    assert not changes.details(off, ten)["lowered"]
    assert changes.details(ten, off)["lowered"]
    assert changes.details(nine, ten)["before"]["limit_ticks"] == "10"
