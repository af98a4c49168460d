"""Budgets at the boundaries of steps: who is warned, and what ends an execution.

A hard block ends it at the first boundary past the limit. A soft one lets it go on while it has cost less
than it was estimated to cost; without an estimate it runs to its end. With fallback calls see for themselves.
"""

from collections.abc import Sequence
from typing import Any

from genai_spine.costs import usd_of
from genai_spine.pipelines.execution.journal import BudgetLevel, Event

WARNING, EXCEEDED = "budget.warning", "budget.exceeded"
SOFT, NEVER = "soft_block", ("warn", "fallback")


def stop(
    levels: Sequence[BudgetLevel], cost_ticks: int, estimate_ticks: int | None
) -> tuple[str, list[Event]]:
    """Why the execution is to end here, or nothing; and the events that budgets have for it.

    cost_ticks: what it has cost until now. estimate_ticks: what its run was admitted with, and holds where a
    budget blocks; nothing is held back for it by a budget that does not, whose limit it passes beforehand.
    """
    events: list[Event] = []
    problem = ""
    for level in levels:
        ahead_ticks = estimate_ticks or 0 if level.policy in NEVER and not cost_ticks else 0
        if level.used_ticks + ahead_ticks > level.limit_ticks:
            is_stopped = _stops(level, cost_ticks, estimate_ticks)
            events.append(_exceeded(level, ahead_ticks, "blocked" if is_stopped else "warned"))
            if is_stopped and not problem:
                problem = (
                    f"budget of {usd_of(level.limit_ticks):f} USD is passed:"
                    f" {usd_of(level.used_ticks):f} USD are spent"
                )
        elif level.limit_ticks and level.used_ticks * 100 >= level.warn_percent * level.limit_ticks:
            events.append(_warning(level))
    return problem, events


def _stops(level: BudgetLevel, cost_ticks: int, estimate_ticks: int | None) -> bool:
    if level.policy in NEVER:
        return False
    if level.policy == SOFT:
        return estimate_ticks is not None and cost_ticks >= estimate_ticks
    return True


def _warning(level: BudgetLevel) -> Event:
    return Event(WARNING, {**_amounts(level), **_percent(level), "threshold_percent": level.warn_percent})


def _exceeded(level: BudgetLevel, ahead_ticks: int, action: str) -> Event:
    over = usd_of(level.used_ticks + ahead_ticks - level.limit_ticks)
    return Event(EXCEEDED, {**_amounts(level), "exceeded_by_usd": over, "action_taken": action})


def _amounts(level: BudgetLevel) -> dict[str, Any]:
    return {
        "budget_limit_usd": usd_of(level.limit_ticks),
        "current_spend_usd": usd_of(level.used_ticks),
    }


def _percent(level: BudgetLevel) -> dict[str, Any]:
    return {"percent_used": round(100 * level.used_ticks / level.limit_ticks, 2)}
