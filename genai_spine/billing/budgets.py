"""Budgets as calls meet them: which apply, in which counters a call is reserved, and who is refused.

Each process keeps the budgets in memory and reads them again with the renewal of its lease when they changed.
Where there are none, a call costs nothing more for them.
"""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC
from decimal import Decimal

import structlog

from genai_spine.billing.ledger import Ledger, ReservationRefused, set_now
from genai_spine.costs import TICKS_PER_USD
from genai_spine.errors import BudgetExceeded, ServiceUnavailable
from genai_spine.store.booking.budgets import BudgetRows, CounterKey, period_start
from genai_spine.store.booking.entries import Level, Refusal
from genai_spine.v1 import budget_pb2 as pb
from genai_spine.v1.execution_pb2 import Execution

EACH = "*"  # of a node's key: each one by itself; of a tenant: those without a budget of their own
MOST_COUNTERS = 100_000  # ids that are kept in memory
TRIES = 3  # of a reservation whose counter was deleted meanwhile

Applied = tuple[pb.Budget, str]  # a budget and the key of the node that it counts

log = structlog.get_logger()


class Budgets:
    """Budgets in force, and reservations in their counters."""

    def __init__(self, rows: BudgetRows, ledger: Ledger) -> None:
        self._rows = rows
        self._ledger = ledger
        self._revision: int | None = None
        self._by_node: dict[tuple[str, int, str], list[pb.Budget]] = {}
        self._counters: dict[CounterKey, int] = {}
        self._counted: dict[int, Applied] = {}  # by the id of the counter
        self._told: set[tuple[int, int]] = set()  # alerts that were given: counter and percentage
        self._alerts: set[asyncio.Task[None]] = set()
        ledger.writer.levels = self._watch
        ledger.renewed.append(self.refresh)

    @property
    def any(self) -> bool:
        """Whether there is any budget."""
        return bool(self._by_node)

    async def refresh(self) -> None:
        """Reads the budgets again when they have changed."""
        revision = await self._rows.revision()
        if revision == self._revision:
            return
        found: dict[tuple[str, int, str], list[pb.Budget]] = {}
        for budget in await self._rows.find():
            if budget.enabled:
                found.setdefault((budget.tenant_id, budget.node, budget.node_key), []).append(budget)
        self._by_node, self._revision = found, revision
        # From the first budget on: a row without counters may have been given one by its making.
        self._ledger.writer.counts_all = self._ledger.writer.counts_all or bool(found)
        if len(self._counters) > MOST_COUNTERS:
            self._counters.clear()
            self._counted.clear()

    def applying(self, execution: Execution) -> list[Applied]:
        """Budgets that count the call, each with the key of its node."""
        applied: list[Applied] = []
        tenant = execution.tenant_id
        for node, key in _nodes(execution):
            own = self._by_node.get((tenant, node, key), ())
            periods = {budget.period for budget in own}
            each = self._by_node.get((tenant, node, EACH), ())
            if node == pb.BUDGET_NODE_TENANT and not own and not each:
                each = self._by_node.get((EACH, node, EACH), ())
            applied += [(budget, key) for budget in own]
            applied += [(budget, key) for budget in each if budget.period not in periods]
        return applied

    async def reserve(self, execution: Execution, applied: Sequence[Applied]) -> None:
        """Puts the intent on the books, with what it may cost reserved in the counters of these budgets.

        Errors: BudgetExceeded, which names the first one without room; ServiceUnavailable.
        """
        set_now(execution.create_time)
        for _ in range(TRIES):
            keys = await self._open(execution, applied)
            try:
                await self._ledger.reserve(execution)
            except ReservationRefused as error:
                if error.refusal.level is not None:
                    raise self._exceeded(error.refusal, execution) from None
                for key in keys:  # one of them was deleted: look again
                    self._counters.pop(key, None)
            else:
                return
        raise ServiceUnavailable(cause="the counters of its budgets are being deleted")

    async def admit(self, execution: Execution) -> None:
        """Lets work begin whose cost nobody can tell yet, such as a provider's batch; reserves nothing.

        Errors: BudgetExceeded, which names a budget that blocks and has nothing left.
        """
        applied = [one for one in self.applying(execution) if blocks([one])]
        if not applied:
            return
        set_now(execution.create_time)
        await self._open(execution, applied)
        at = execution.create_time.ToDatetime(UTC)
        for counter in await self._rows.counters([budget.id for budget, _ in applied], at):
            level = Level(counter.spent_ticks + counter.reserved_ticks, counter.limit_ticks, blocks=True)
            if counter.id in execution.budget_counters and level.room <= 0:
                raise self._exceeded(Refusal(counter.id, level), execution)

    async def enter(self, execution: Execution) -> None:
        """Enters the counters of all budgets that count a call that is over, before it is booked."""
        if applied := self.applying(execution):
            await self._open(execution, applied)

    async def _open(self, execution: Execution, applied: Sequence[Applied]) -> list[CounterKey]:
        """Enters the counters of the execution, which are made where they are missing."""
        at = execution.create_time.ToDatetime(UTC)
        keys = [(budget.id, key, period_start(budget.period, at)) for budget, key in applied]
        if missing := [key for key in keys if key not in self._counters]:
            self._counters |= await self._rows.open_counters(missing)
        del execution.budget_counters[:]
        ids = {}
        for key, one in zip(keys, applied, strict=True):
            if (id := self._counters.get(key)) is not None:  # else the budget was deleted just now
                ids[id] = one
        self._counted |= ids
        execution.budget_counters.extend(sorted(ids))
        return keys

    def _exceeded(self, refusal: Refusal, execution: Execution) -> BudgetExceeded:
        assert refusal.level is not None
        budget, key = self._counted[refusal.counter]
        level = refusal.level
        self._tell(refusal.counter, 100, level, "blocked")
        return BudgetExceeded(
            node=pb.BudgetNode.Name(budget.node).removeprefix("BUDGET_NODE_").lower(),
            key=key,
            period=pb.BudgetPeriod.Name(budget.period).removeprefix("BUDGET_PERIOD_").lower(),
            limit_usd=_usd(level.limit),
            used_usd=_usd(level.used),
            estimate_usd=_usd(execution.reserved_ticks),
        )

    def _watch(self, levels: dict[int, Level]) -> None:
        """Gives an alert for thresholds that were passed."""
        for counter, level in levels.items():
            if (one := self._counted.get(counter)) is None:
                continue
            if level.used > level.limit:
                self._tell(counter, 100, level, "warned")
            elif level.used * 100 >= level.limit * one[0].warn_percent > 0:
                self._tell(counter, one[0].warn_percent, level, "warned")

    def _tell(self, counter: int, percent: int, level: Level, action: str) -> None:
        """Gives an alert, once for each threshold of a counter."""
        if (counter, percent) in self._told:
            return
        self._told.add((counter, percent))
        task = asyncio.create_task(self._alert(counter, percent, level, action))
        self._alerts.add(task)
        task.add_done_callback(self._alerts.discard)

    async def _alert(self, counter: int, percent: int, level: Level, action: str) -> None:
        budget, key = self._counted[counter]
        try:
            if await self._rows.alert(counter, percent, level.used):
                log.warning(
                    "budget_exceeded" if percent == 100 else "budget_warning",
                    action=action,
                    budget_id=budget.id,
                    node_key=key,
                    used_ticks=level.used,
                    limit_ticks=level.limit,
                    threshold_percent=percent,
                )
        except ServiceUnavailable:
            self._told.discard((counter, percent))


def blocks(applied: Sequence[Applied]) -> bool:
    """Whether one of the budgets refuses calls."""
    return any(budget.policy != pb.BUDGET_POLICY_WARN for budget, _ in applied)


def _nodes(execution: Execution) -> Iterator[tuple[int, str]]:
    yield pb.BUDGET_NODE_TENANT, execution.tenant_id
    for node, key in (
        (pb.BUDGET_NODE_PROJECT, execution.project_id),
        (pb.BUDGET_NODE_KEY, execution.api_key_id),
        (pb.BUDGET_NODE_END_USER, execution.end_user),
        (pb.BUDGET_NODE_RUN, execution.run_id),
    ):
        if key:
            yield node, key
    for name, value in execution.cost_labels.items():
        yield pb.BUDGET_NODE_LABEL, f"{name}={value}"


def _usd(ticks: int) -> str:
    return f"{Decimal(ticks) / TICKS_PER_USD:f}"
