"""Budgets of runs: that of a run itself, and whether those around it have anything left for one."""

from dataclasses import dataclass

from genai_spine.billing.budgets import Budgets
from genai_spine.call import RunNodes
from genai_spine.costs import ticks_of
from genai_spine.store.budgets import run_holds
from genai_spine.store.budgets.run_holds import HoldRefused, RunHold
from genai_spine.store.runs.news import Change
from genai_spine.store.runs.runs import RunRows, Submitter
from genai_spine.v1 import budget_pb2
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1.execution_pb2 import Execution

WARN_PERCENT = 80


@dataclass(frozen=True, slots=True)
class RunAdmission:
    """Admission of runs by the budgets that will count their calls."""

    rows: RunRows
    budgets: Budgets

    async def admit(self, run: pb.Run, submitter: Submitter) -> RunHold | None:
        """Refuses a run that could make no paid call; what is to be reserved for one that has an estimate.

        Errors: BudgetExceeded, which names a budget that blocks and has nothing left.
        """
        execution = Execution(
            tenant_id=run.tenant_id,
            project_id=run.project_id if run.HasField("project_id") else None,
            api_key_id=submitter.api_key_id,
            end_user=run.options.user if run.options.HasField("user") else None,
            cost_labels=run.options.cost_labels,
        )
        nodes = RunNodes(run.root_run_id)
        if run.HasField("parent_run_id"):
            above = [run.parent_run_id, *await self.rows.above(run.parent_run_id)]
            nodes = RunNodes(run.root_run_id, await self.budgets.of_runs(run.tenant_id, above))
        await self.budgets.admit(execution, nodes)
        if not run.options.estimate_usd:
            return None
        return await self.budgets.hold(execution, nodes, ticks_of(run.options.estimate_usd))

    async def reserve(self, change: Change, run: pb.Run, hold: RunHold) -> None:
        """Reserves in the transaction that writes a run. Errors: BudgetExceeded (no room)."""
        try:
            await run_holds.reserve(change, run.run_id, hold)
        except HoldRefused as error:
            raise self.budgets.full(error.refusal, hold) from None

    async def release(self, change: Change, run: pb.Run) -> None:
        """Gives back what was reserved for a run that is not written after all."""
        await run_holds.release(change, run.run_id)


def budget_of(run: pb.Run) -> budget_pb2.Budget | None:
    """Budget of a run that has a limit of its own: it counts the run and its children, to its end."""
    if not run.options.HasField("budget_limit_usd"):
        return None
    return budget_pb2.Budget(
        tenant_id=run.tenant_id,
        node=budget_pb2.BUDGET_NODE_RUN,
        node_key=run.run_id,
        period=budget_pb2.BUDGET_PERIOD_TOTAL,
        limit_ticks=ticks_of(run.options.budget_limit_usd),
        policy=budget_pb2.BUDGET_POLICY_HARD_BLOCK,
        warn_percent=WARN_PERCENT,
        enabled=True,
    )
