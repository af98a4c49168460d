"""Budgets as calls meet them: which apply, in which counters a call is reserved, and who is refused.

Each process keeps the budgets in memory and reads them again with the renewal of its lease when they changed.
Where there are none, a call costs nothing more for them.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC
from decimal import Decimal

from genai_spine.billing.alerts.alerts import BudgetAlerts
from genai_spine.billing.alerts.messages import Passed
from genai_spine.billing.budget_counters import Applied, BudgetCounters
from genai_spine.billing.ledger.ledger import OUTSIDE, Ledger, ReservationRefused, Within, set_now
from genai_spine.call import RunNodes
from genai_spine.costs import TICKS_PER_USD
from genai_spine.errors import BudgetExceeded, ServiceUnavailable
from genai_spine.store.booking.entries import Level, Refusal
from genai_spine.store.booking.rates import RateReservation
from genai_spine.store.budgets.budgets import BudgetRows, Revision
from genai_spine.store.budgets.messages import names_of
from genai_spine.store.budgets.run_holds import RunHold
from genai_spine.v1 import budget_pb2 as pb
from genai_spine.v1.execution_pb2 import Execution

EACH = "*"  # of a node's key: each one by itself; of a tenant: those without a budget of their own
NODES = (  # with the fields of an execution that have their keys, in the order in which they are looked at
    (pb.BUDGET_NODE_TENANT, "tenant_id"),
    (pb.BUDGET_NODE_PROJECT, "project_id"),
    (pb.BUDGET_NODE_KEY, "api_key_id"),
    (pb.BUDGET_NODE_END_USER, "end_user"),
    (pb.BUDGET_NODE_RUN, "run_id"),
)
TRIES = 3  # of a reservation whose counter was deleted meanwhile


class Budgets:
    """Budgets in force, and reservations in their counters."""

    def __init__(self, rows: BudgetRows, ledger: Ledger, alerts: BudgetAlerts) -> None:
        self.alerts = alerts
        self.rows = rows
        self._ledger = ledger
        self._revision: Revision | None = None
        self._by_node: dict[tuple[str, int, str], list[pb.Budget]] = {}
        self._kinds: frozenset[int] = frozenset()  # of nodes that have a budget
        self._counters = BudgetCounters(rows)
        self._counted: dict[int, Applied] = {}  # by the id of the counter
        ledger.writer.levels = self._watch
        ledger.renewed.append(self.refresh)

    @property
    def any(self) -> bool:
        """Whether there is any budget, but for those of single runs."""
        return bool(self._by_node)

    async def refresh(self) -> None:
        """Reads the budgets again when they have changed."""
        revision = await self.rows.revision()
        if revision == self._revision:
            return
        found: dict[tuple[str, int, str], list[pb.Budget]] = {}
        for budget in await self.rows.in_force():
            found.setdefault((budget.tenant_id, budget.node, budget.node_key), []).append(budget)
        self._by_node, self._revision = found, revision
        self._kinds = frozenset(node for _, node, _ in found)
        # From the first budget on: a row without counters may have been given one by its making.
        self._ledger.writer.counts_all = self._ledger.writer.counts_all or bool(found)
        if self._counters.forget_many():
            self._counted.clear()

    def applying(self, execution: Execution, run: RunNodes | None = None) -> list[Applied]:
        """Budgets that count the call, each with the key of its node. run: that the call is made in."""
        applied: list[Applied] = []
        tenant = execution.tenant_id
        for node, key in _nodes(execution, self._kinds):
            if node == pb.BUDGET_NODE_RUN and run is not None:
                key = run.root_run_id
            own = self._by_node.get((tenant, node, key), ())
            periods = {budget.period for budget in own}
            each = self._by_node.get((tenant, node, EACH), ())
            if node == pb.BUDGET_NODE_TENANT and not own and not each:
                each = self._by_node.get((EACH, node, EACH), ())
            applied += [(budget, key) for budget in own]
            applied += [(budget, key) for budget in each if budget.period not in periods]
        if run is not None:
            applied += [(budget, budget.node_key) for budget in run.budgets if budget.enabled]
        return applied

    async def of_runs(self, tenant_id: str, run_ids: Sequence[str]) -> tuple[pb.Budget, ...]:
        """Budgets of single runs. They are too many to be kept here: each run's calls bring their own."""
        found = await self.rows.of_runs(tenant_id, run_ids)
        # From the first one on: a row without counters may have been given one by its making.
        self._ledger.writer.counts_all = self._ledger.writer.counts_all or bool(found)
        return found

    async def reserve(
        self,
        execution: Execution,
        applied: Sequence[Applied],
        rates: RateReservation | None = None,
        run: RunNodes | None = None,
    ) -> None:
        """Puts the intent on the books, with what it may cost reserved in the counters of these budgets.

        rates: as Ledger.reserve() takes it. run: as of applying(); once it was admitted, budgets with
        SOFT_BLOCK refuse no call of it while it has not cost more than it has reserved. Errors:
        BudgetExceeded, which names the narrowest one without room; RateExceeded, ServiceUnavailable.
        """
        set_now(execution.create_time)
        within = OUTSIDE if run is None else Within(_is_soft(applied), run.has_reservation)
        for _ in range(TRIES):
            counters = await self._open(execution, applied)
            try:
                await self._ledger.reserve(execution, rates, within)
            except ReservationRefused as error:
                if error.refusal.level is not None:
                    refusal = await self._narrowest(error.refusal, execution, counters)
                    raise self._exceeded(refusal, execution.reserved_ticks) from None
                self._counters.forget(applied, execution.create_time)  # one of them was deleted
            else:
                return
        raise ServiceUnavailable(cause="the counters of its budgets are being deleted")

    async def admit(self, execution: Execution, run: RunNodes | None = None, ticks: int = 0) -> None:
        """Lets work begin whose calls are not made yet, such as a provider's batch; reserves nothing.

        run: as of applying(). ticks: that it is estimated to cost; 0: nobody can tell.
        Errors: BudgetExceeded, which names a budget that blocks and has no room for them, or nothing left.
        """
        applied = [one for one in self.applying(execution, run) if blocks([one])]
        if not applied:
            return
        set_now(execution.create_time)
        await self._open(execution, applied)
        at = execution.create_time.ToDatetime(UTC)
        for counter in await self.rows.counters([budget.id for budget, _ in applied], at):
            level = Level(counter.spent_ticks + counter.reserved_ticks, counter.limit_ticks, blocks=True)
            if counter.id in execution.budget_counters and (level.room <= 0 or level.room < ticks):
                raise self._exceeded(Refusal(counter.id, level), ticks)

    async def standing(
        self, execution: Execution, run: RunNodes | None = None
    ) -> list[tuple[pb.Budget, pb.BudgetCounter]]:
        """Budgets that count the call, each with its counter of now. run: as of applying()."""
        applied = self.applying(execution, run)
        if not applied:
            return []
        set_now(execution.create_time)
        counters = await self._open(execution, applied)
        at = execution.create_time.ToDatetime(UTC)
        found = await self.rows.counters([budget.id for budget, _ in applied], at)
        return [(counters[one.id][0], one) for one in found if one.id in counters]

    async def hold(self, execution: Execution, run: RunNodes, ticks: int) -> RunHold:
        """Reservation of a run that is submitted: so many ticks in all budgets that will count its calls.

        It is not written yet. execution: as its calls will be; run: as of applying().
        """
        set_now(execution.create_time)
        counters = await self._open(execution, self.applying(execution, run))
        return RunHold(ticks, tuple(counters))

    def full(self, refusal: Refusal, hold: RunHold) -> BudgetExceeded:
        """Error of a run whose reservation has no room."""
        return self._exceeded(refusal, hold.ticks)

    async def enter(self, execution: Execution) -> None:
        """Enters the counters of all budgets that count a call that is over, before it is booked."""
        if applied := self.applying(execution):
            await self._open(execution, applied)

    async def extend(self, execution: Execution, ticks: int) -> BudgetExceeded | None:
        """Reserves more for a stream that runs; the refusal of a budget with HARD_BLOCK, or None.

        Where another budget has no room, nothing is reserved and the stream goes on; so it does inside a run,
        which stops at its next step. Errors: ServiceUnavailable.
        """
        hard = self._hard(execution)
        extension = await self.rows.extensions.extend(execution, ticks, hard or execution.budget_counters)
        refusal = extension.refusal
        if refusal is None:
            execution.reserved_ticks += ticks
            self._watch(extension.levels)
        elif hard:
            return self._exceeded(refusal, execution.reserved_ticks + ticks)
        elif refusal.level is not None:
            self._watch({refusal.counter: refusal.level.with_more(ticks)})
        return None

    def _hard(self, execution: Execution) -> list[int]:
        """Counters of the execution whose budgets end a stream."""
        if execution.run_id:
            return []
        counted = ((id, self._counted.get(id)) for id in execution.budget_counters)
        return [id for id, one in counted if one and one[0].policy == pb.BUDGET_POLICY_HARD_BLOCK]

    async def _open(self, execution: Execution, applied: Sequence[Applied]) -> dict[int, Applied]:
        """Enters the counters of the execution, made where they are missing; returns them."""
        found = await self._counters.open(applied, execution.create_time)
        self._counted |= found
        execution.budget_counters[:] = sorted(found)
        return found

    async def _narrowest(
        self, refusal: Refusal, execution: Execution, counters: dict[int, Applied]
    ) -> Refusal:
        """Refusal of the narrowest budget without room: that of a run before that of its tenant."""
        if len(counters) == 1:
            return refusal
        at = execution.create_time.ToDatetime(UTC)
        levels = {
            counter.id: counter
            for counter in await self.rows.counters([one.id for one, _ in counters.values()], at)
        }
        for id, (budget, _) in reversed(counters.items()):
            if (found := levels.get(id)) is None or budget.policy == pb.BUDGET_POLICY_WARN:
                continue
            level = Level(found.spent_ticks + found.reserved_ticks, found.limit_ticks, blocks=True)
            if execution.reserved_ticks > level.room:
                return Refusal(id, level)
        return refusal

    def _exceeded(self, refusal: Refusal, estimate_ticks: int) -> BudgetExceeded:
        assert refusal.level is not None
        budget, key = self._counted[refusal.counter]
        level = refusal.level
        over = max(0, level.used + estimate_ticks - level.limit)
        self.alerts.give(refusal.counter, budget, key, level, Passed(100, "blocked", over))
        names = names_of(budget)
        error = BudgetExceeded(
            node=names.node,
            key=key,
            period=names.period,
            limit_usd=_usd(level.limit),
            used_usd=_usd(level.used),
            estimate_usd=_usd(estimate_ticks),
        )
        error.falls_back = budget.policy == pb.BUDGET_POLICY_FALLBACK
        return error

    def _watch(self, levels: dict[int, Level]) -> None:
        """Gives alerts for thresholds that were passed."""
        for counter, level in levels.items():
            if (one := self._counted.get(counter)) is not None:
                self.alerts.watch(counter, *one, level)


def blocks(applied: Sequence[Applied]) -> bool:
    """Whether one of the budgets refuses calls."""
    return any(budget.policy != pb.BUDGET_POLICY_WARN for budget, _ in applied)


def _is_soft(applied: Sequence[Applied]) -> bool:
    """Whether all budgets that refuse calls do so to new work alone; those of runs are about their calls."""
    return all(
        budget.policy == pb.BUDGET_POLICY_WARN
        or (budget.policy == pb.BUDGET_POLICY_SOFT_BLOCK and budget.node != pb.BUDGET_NODE_RUN)
        for budget, _ in applied
    )


def _nodes(execution: Execution, kinds: frozenset[int]) -> Iterator[tuple[int, str]]:
    """Nodes of these kinds that an execution belongs to, each with its key."""
    for node, field in NODES:
        if node in kinds and (key := getattr(execution, field)):
            yield node, key
    if pb.BUDGET_NODE_LABEL in kinds:
        for name, value in execution.cost_labels.items():
            yield pb.BUDGET_NODE_LABEL, f"{name}={value}"


def _usd(ticks: int) -> str:
    return f"{Decimal(ticks) / TICKS_PER_USD:f}"
