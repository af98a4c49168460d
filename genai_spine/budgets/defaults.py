"""Default budgets of the settings, for tenants without a budget of their own.

They stand in the table as every budget does, marked as the settings'. One that somebody set is left alone.
"""

from collections.abc import Sequence

from genai_spine.access.audit import AuditLog
from genai_spine.billing.budgets import EACH
from genai_spine.budgets import changes
from genai_spine.budgets.library import target_of
from genai_spine.call import Call, Principal
from genai_spine.errors import EtagMismatch
from genai_spine.store.booking.budgets import BudgetRows
from genai_spine.v1 import budget_pb2 as pb

PERIODS = (pb.BUDGET_PERIOD_DAILY, pb.BUDGET_PERIOD_MONTHLY)


def default(period: pb.BudgetPeriod, limit_ticks: int, policy: pb.BudgetPolicy, warn: float) -> pb.Budget:
    """Budget that each tenant without one of its own has. warn: part of the limit for a warning, 0 to 1."""
    return pb.Budget(
        tenant_id=EACH,
        node=pb.BUDGET_NODE_TENANT,
        node_key=EACH,
        period=period,
        limit_ticks=limit_ticks,
        policy=policy,
        warn_percent=round(warn * 100),
        raise_ticks=0,
        enabled=True,
        from_settings=True,
    )


async def install(rows: BudgetRows, audit: AuditLog, wanted: Sequence[pb.Budget]) -> None:
    """Makes, changes and deletes budgets of the settings, so that those that are wanted are there.

    Several servers may do so at once: the second one finds what the first one did.
    """
    by_period = {budget.period: budget for budget in wanted}
    for period in PERIODS:
        while True:
            try:
                await _install(rows, audit, period, by_period.get(period))
            except EtagMismatch:
                continue  # another server was faster
            break


async def _install(
    rows: BudgetRows, audit: AuditLog, period: pb.BudgetPeriod, wanted: pb.Budget | None
) -> None:
    """Errors: EtagMismatch (it was changed meanwhile)."""
    call = Call(principal=Principal(name="settings"))
    place = pb.Budget(tenant_id=EACH, node=pb.BUDGET_NODE_TENANT, node_key=EACH, period=period)
    present = await rows.named(place)
    if present is not None and not present.from_settings:
        return
    if wanted is not None and (present is None or changes.shown(present) != changes.shown(wanted)):
        details = changes.details(wanted, present)
        entry = audit.entry(call, "budgets.set", target_of(wanted), details)
        await rows.upsert(wanted, entry, seen=present.revision if present else 0)
    elif wanted is None and present is not None:
        details = {**changes.shown(present), "lowered": False}
        entry = audit.entry(call, "budgets.delete", target_of(present), details)
        await rows.delete(present.id, entry, seen=present.revision)
