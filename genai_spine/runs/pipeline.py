"""Work of a pipeline run: its journal in the steps and events of the run, and its end as that of the run."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from google.protobuf.message import Message

from genai_spine.billing.budgets import Budgets
from genai_spine.billing.ledger.ledger import watched
from genai_spine.call import Call
from genai_spine.pipelines.execution.attempts import BUDGET, TIMEOUT
from genai_spine.pipelines.execution.execution import Execution
from genai_spine.pipelines.execution.journal import (
    BudgetLevel,
    Event,
    PipelineFailed,
    PipelineLeft,
    PipelineStopped,
    Tools,
)
from genai_spine.pipelines.provider_order import ProviderOrder
from genai_spine.runs.execution.context import (
    Handler,
    Left,
    OwnerLost,
    RunContext,
    RunFailed,
    Stopped,
    call_of_part,
    no_text,
    patiently,
)
from genai_spine.store.runs.events import EventRows, PendingEvent
from genai_spine.store.runs.steps import StepKey
from genai_spine.store.runs.transitions import Failure
from genai_spine.telemetry.pipelines import PipelineMeter
from genai_spine.v1 import budget_pb2, execution_pb2
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1.pipeline_pb2 import PipelineResult, PipelineStepResult
from genai_spine.v1.work_pb2 import WorkResponse

TOLD = (
    *("workflow.started", "workflow.completed", "compensation.started", "workflow.cancelled"),
    *("budget.warning", "budget.exceeded"),
)
SKIPPED, FAILED, COMPLETED = "skipped", "failed", "completed"

Post = Callable[[str, str, str, Mapping[str, Any], float], Awaitable[None]]  # tenant, url, id, body, seconds


@dataclass(slots=True)
class PipelineWork:
    """Makes pipelines. handlers and order are those of the configuration in force."""

    events: EventRows
    budgets: Budgets
    post: Post
    handlers: Mapping[str, Handler] = field(default_factory=dict)  # by the member of Work
    order: ProviderOrder | None = None

    async def run(self, context: RunContext) -> WorkResponse:
        """Answer of a pipeline run. Raises RunFailed, Stopped, Left and OwnerLost."""
        assert self.order is not None
        tenant_id = context.run.tenant_id
        tools = Tools(
            order=self.order,
            do=self._do,
            watched=watched,
            levels=self._levels,
            post=lambda url, id, body, timeout_s: self.post(tenant_id, url, id, body, timeout_s),
        )
        journal = RunJournal(context, self.events, meter_of(context.run))
        try:
            with journal.meter.running():
                result = await Execution(tools, journal).run()
        except PipelineFailed as failed:
            journal.count(failed.events)
            raise RunFailed(_failure(failed)) from None
        except PipelineLeft:
            raise Left from None
        except PipelineStopped as stopped:
            raise Stopped(WorkResponse(pipeline=stopped.result)) from None
        return WorkResponse(pipeline=result)

    async def _do(self, member: str, request: Message, call: Call) -> Message:
        return await self.handlers[member](request, call, no_text)

    async def _levels(self, call: Call) -> Sequence[BudgetLevel]:
        """Budgets that count the calls of a run, and how they stand."""
        if not self.budgets.any and not (call.run_nodes and call.run_nodes.budgets):
            return ()
        execution = execution_pb2.Execution(cost_labels=call.cost_labels)
        call.charge(execution)
        found = await self.budgets.standing(execution, call.run_nodes)
        return [
            BudgetLevel(
                budget_pb2.BudgetPolicy.Name(budget.policy).removeprefix("BUDGET_POLICY_").lower(),
                counter.spent_ticks,
                counter.limit_ticks,
                budget.warn_percent,
            )
            for budget, counter in found
        ]


@dataclass(slots=True)
class RunJournal:
    """Journal of a pipeline in the rows of its run."""

    context: RunContext
    events: EventRows
    meter: PipelineMeter
    _begun: set[str] = field(default_factory=set)

    @property
    def run(self) -> pb.Run:
        """The run."""
        return self.context.run

    @property
    def caller(self) -> Call:
        """Call on behalf of who submitted it."""
        return self.context.call

    @property
    def is_stopping(self) -> bool:
        """Whether somebody asked to cancel it."""
        return self.context.is_stopping()

    @property
    def is_leaving(self) -> bool:
        """Whether another process is to go on with it."""
        return self.context.is_leaving()

    @property
    def stop_reason(self) -> str:
        """Why."""
        return self.context.stop_reason()

    async def results(self) -> Mapping[str, PipelineStepResult]:
        """Results of steps that have ended, by their ids."""
        found = await patiently(lambda: self.context.steps.responses(self.run.run_id))
        return {id: PipelineStepResult.FromString(response) for id, response in found.items()}

    async def logged(self) -> set[str]:
        """Types of the events of the whole that stand in its log."""
        return await patiently(lambda: self.events.types(self.run.run_id, TOLD))

    async def begin(self, step_id: str, kind: str, events: Sequence[Event]) -> None:
        """Begins a step. Raises OwnerLost."""
        await self._flush()
        key, pending = StepKey(step_id, step_id, kind), _pending(events)
        if await patiently(lambda: self.context.steps.begin(self.context.owner, key, pending)) is None:
            raise OwnerLost
        self._begun.add(step_id)
        self.count(events)

    async def end(self, step_id: str, kind: str, result: PipelineStepResult, events: Sequence[Event]) -> None:
        """Ends a step, with its result and events in one transaction. Raises OwnerLost."""
        await self._flush()
        steps, owner, key = self.context.steps, self.context.owner, StepKey(step_id, step_id, kind)
        response = result.SerializeToString(deterministic=True)
        status = result.status if result.status in (FAILED, SKIPPED) else COMPLETED
        said = PendingEvent(f"step_{status}", {"step": step_id, "step_id": step_id})
        pending = [said, *_pending(events)]
        if step_id not in self._begun:
            is_ours = await patiently(lambda: steps.skip(owner, key, response, *pending))
        else:
            values: dict[str, Any] = {"status": status, "response": response}
            values["execution_ids"] = list(result.execution_ids)
            if status == FAILED:
                error = pb.RunError(type=result.error_code, message=result.error, category="DEPENDENCY")
                values["error"] = error.SerializeToString()
            is_ours = await patiently(lambda: steps.end(owner, key, values, *pending))
        if not is_ours:
            raise OwnerLost
        self.count(events)

    def count(self, events: Sequence[Event]) -> None:
        """Counts events for the metrics, once they are written or sure to be."""
        for event in events:
            self.meter.count(event.type, event.data)

    def event(self, event: Event) -> None:
        """Queues an event."""
        self.count((event,))
        self.context.event(event.type, **event.data)

    def call(self, step_id: str, request: Message, timeout_s: float) -> Call:
        """Call of an attempt: a request of its own, whose calls the ledger knows by run and step."""
        call, until = call_of_part(self.context.call, step_id, request), monotonic() + timeout_s
        call.deadline = until if call.deadline is None else min(until, call.deadline)
        return call

    async def _flush(self) -> None:
        await patiently(lambda: self.context.writer.flush(self.context.owner))


def meter_of(run: pb.Run) -> PipelineMeter:
    """Metrics of an execution."""
    definition = run.work.pipeline.definition
    capabilities = {step.name: step.capability for step in definition.steps}
    return PipelineMeter(definition.name, run.tenant_id, capabilities)


def _failure(failed: PipelineFailed) -> Failure:
    """End of a run whose pipeline failed: no retry follows, since it was undone."""
    result: PipelineResult = failed.result
    code = result.error_code
    error = pb.RunError(
        type={BUDGET: "budget", TIMEOUT: "timeout"}.get(code, code),
        message=f"step {result.failed_step}: {result.error}" if result.failed_step else result.error,
        category="TIMEOUT" if code == TIMEOUT else "DEPENDENCY",
        metadata={"error_code": code, "failed_step": result.failed_step},
    )
    response = WorkResponse(pipeline=result).SerializeToString(deterministic=True)
    return Failure(error, _pending(failed.events), response)


def _pending(events: Sequence[Event]) -> list[PendingEvent]:
    return [PendingEvent(event.type, event.data) for event in events]
