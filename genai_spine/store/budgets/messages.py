"""Budgets and counters as messages: the mapping of a row to a message, and back."""

from datetime import UTC
from typing import Any, NamedTuple

from genai_spine.costs import usd_of
from genai_spine.store.budgets.periods import period_end
from genai_spine.store.connections.expressions import Now
from genai_spine.v1.budget_pb2 import Budget, BudgetCounter, BudgetNode, BudgetPeriod, BudgetPolicy

NODE, PERIOD, POLICY = "BUDGET_NODE_", "BUDGET_PERIOD_", "BUDGET_POLICY_"
PLAIN = (
    *("id", "tenant_id", "node_key", "limit_ticks", "warn_percent", "raise_ticks", "enabled", "revision"),
    "from_settings",
)


class BudgetNames(NamedTuple):
    """Words for what a budget is of, as callers are told: `end_user`, `daily`, `hard_block`."""

    node: str
    period: str
    policy: str


def names_of(budget: Budget) -> BudgetNames:
    """Words for the node, the period and the policy of a budget."""
    values = budget_values(budget)
    return BudgetNames(*(values[name].lower() for name in BudgetNames._fields))


def budget_values(budget: Budget) -> dict[str, Any]:
    """Columns that are set of a budget; its id, revision and created_at are the table's."""
    until = budget.raise_end_time.ToDatetime(UTC) if budget.HasField("raise_end_time") else None
    return {
        "tenant_id": budget.tenant_id,
        "node": BudgetNode.Name(budget.node).removeprefix(NODE),
        "node_key": budget.node_key,
        "period": BudgetPeriod.Name(budget.period).removeprefix(PERIOD),
        "limit_ticks": budget.limit_ticks,
        "policy": BudgetPolicy.Name(budget.policy).removeprefix(POLICY),
        "warn_percent": budget.warn_percent,
        "raise_ticks": budget.raise_ticks,
        "raise_until": until,
        "enabled": budget.enabled,
        "from_settings": budget.from_settings,
    }


def run_budget_row(budget: Budget) -> dict[str, Any]:
    """Row of a new run's own budget: made with the run, so that it needs no lock of the table."""
    return budget_values(budget) | {"revision": 1, "created_at": Now()}


def budget_of(row: Any) -> Budget:
    """Budget of a row of budgets."""
    budget = Budget(
        node=f"{NODE}{row['node']}",
        period=f"{PERIOD}{row['period']}",
        policy=f"{POLICY}{row['policy']}",
        etag=str(row["revision"]),
        limit_usd=usd_of(row["limit_ticks"]),
        **{name: row[name] for name in PLAIN},
    )
    budget.create_time.FromDatetime(row["created_at"])
    if row["raise_until"] is not None:
        budget.raise_usd = usd_of(row["raise_ticks"])
        budget.raise_end_time.FromDatetime(row["raise_until"])
    return budget


def counter_of(row: Any) -> BudgetCounter:
    """Counter of a row of budget_counters, with its budget's period, and as `most` its limit of now."""
    used, most = row["spent_ticks"] + row["reserved_ticks"], row["most"]
    remaining = max(0, most - used)
    counter = BudgetCounter(
        id=row["id"],
        budget_id=row["budget_id"],
        node_key=row["node_key"],
        limit_ticks=most,
        spent_ticks=row["spent_ticks"],
        reserved_ticks=row["reserved_ticks"],
        remaining_ticks=remaining,
        limit_usd=usd_of(most),
        spent_usd=usd_of(row["spent_ticks"]),
        reserved_usd=usd_of(row["reserved_ticks"]),
        remaining_usd=usd_of(remaining),
        used_percent=percent(used, most),
    )
    counter.period_start_time.FromDatetime(row["period_start"])
    end = period_end(BudgetPeriod.Value(f"{PERIOD}{row['period']}"), row["period_start"])
    if end is not None:
        counter.period_end_time.FromDatetime(end)
    return counter


def percent(used: int, limit: int) -> float:
    """Percentage of a limit that is used, with two decimals. Of a limit of 0: 100."""
    return round(100 * used / limit, 2) if limit else 100.0
