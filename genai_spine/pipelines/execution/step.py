"""One step of an execution: its condition, its input, its attempts, and what is written of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format

from genai_spine.pipelines import conditions, graph, paths, transforms
from genai_spine.pipelines.definition import CONDITION_NOT_MET, DEFAULT_STEP_S
from genai_spine.pipelines.execution.attempts import INVALID_INPUT, Attempted, Attempts, StepError
from genai_spine.pipelines.execution.journal import Event, Journal, Tools
from genai_spine.pipelines.expressions import ExpressionRefused
from genai_spine.pipelines.provider_order import Action
from genai_spine.pipelines.step_requests import CAPABILITIES, output_of, plain, provider_of
from genai_spine.v1 import pipeline_pb2 as pb

COMPLETED, FAILED, SKIPPED = "completed", "failed", "skipped"


@dataclass(frozen=True, slots=True)
class StepRun:
    """One step, made once. place: its number, from 1, of so many."""

    tools: Tools
    journal: Journal
    step: pb.PipelineStep
    place: int
    total: int

    def skipped(self, context: Mapping[str, Any]) -> pb.PipelineStepResult | None:
        """Result of a step whose condition does not hold; None: it is to be made."""
        if not self.step.HasField("when"):
            return None
        is_met, problem = conditions.is_met(self.step.when, context)
        if is_met:
            return None
        reason = f"{CONDITION_NOT_MET}: {problem}" if problem else CONDITION_NOT_MET
        return skipped(self.step.name, reason)

    async def begin(self, events: Sequence[Event]) -> None:
        """Writes that the step begins, behind other events."""
        data = {
            "step_name": self.step.name,
            "step_index": self.place,
            "total_steps": self.total,
            "capability": self.step.capability,
            "provider_preference": list(self.step.preferred_providers),
        }
        await self.journal.begin(self.step.name, self.step.capability, [*events, Event("step.started", data)])

    async def make(self, context: Mapping[str, Any]) -> tuple[pb.PipelineStepResult, list[Event]]:
        """Result, and the events that say what it cost."""
        started = datetime.now(UTC)
        timeout_s = self.step.timeout_s if self.step.HasField("timeout_s") else DEFAULT_STEP_S
        attempts = Attempts(self.tools, self.journal, self.step.name, self.step.name, timeout_s)
        made = Attempted()
        output: Any = None
        try:
            value = input_of(self.step, context, dict(context))
            made = await attempts.make(self.step, value)
            if made.answer is not None:
                output = output_of(CAPABILITIES[self.step.capability].member, made.answer)
                output = plain(output)
                if self.step.HasField("output_transform"):
                    output = transforms.applied(self.step.output_transform, output, context)
        except ExpressionRefused as error:
            made.answer, made.error = None, StepError(INVALID_INPUT, str(error))
        result = result_of(self.step.name, made, started)
        if made.error is None:
            result.output_key = graph.output_key(self.step)
            json_format.ParseDict(output, result.output)
        return result, costs_of(self.step.name, self.step.capability, made)

    def event(self, result: pb.PipelineStepResult) -> Event:
        """Event of the end of the step."""
        if result.status == SKIPPED:
            condition = conditions.shown(self.step.when) if self.step.HasField("when") else None
            said = {"reason": result.skipped_reason, "condition_evaluated": condition}
            return Event("step.skipped", {"step_name": result.step_name, **said})
        data: dict[str, Any] = {
            "step_name": result.step_name,
            "fallbacks_attempted": list(result.fallbacks_attempted),
            "retries": result.retries,
            "duration_ms": result.duration_ms,
        }
        if result.status == COMPLETED:
            data |= {"provider_used": result.provider_used, "cost_usd": result.cost_usd}
            return Event("step.completed", data | {"output_key": result.output_key})
        data |= {"error": result.error, "error_code": result.error_code, "will_retry": False}
        data |= {"provider_attempted": result.provider_used, "continue_pipeline": goes_on(self.step)}
        return Event("step.failed", data)


def goes_on(step: pb.PipelineStep) -> bool:
    """Whether the pipeline goes on when the step fails."""
    return step.optional or step.continue_on_failure


def input_of(action: Action, context: Mapping[str, Any], default: Any) -> Any:
    """Input of a step or an action. default: where it names none. Raises ExpressionRefused."""
    value = paths.found(context, action.input_from) if action.HasField("input_from") else default
    if action.HasField("input_transform"):
        return transforms.applied(action.input_transform, value, context)
    return value


def result_of(name: str, made: Attempted, started: datetime) -> pb.PipelineStepResult:
    """Result of a step whose attempts are over, without its output."""
    ended = datetime.now(UTC)
    result = pb.PipelineStepResult(
        step_name=name,
        status=COMPLETED if made.error is None else FAILED,
        provider_used=made.provider,
        fallbacks_attempted=made.fallbacks,
        retries=made.retries,
        duration_ms=int((ended - started).total_seconds() * 1000),
        cost=made.cost,
        execution_ids=list(made.rows),
    )
    result.cost_usd = result.cost.cost_usd
    if made.answer is not None:
        result.provider_used = provider_of(made.answer) or made.provider
    if made.error is not None:
        result.error, result.error_code = made.error.message, made.error.code
    for row in made.rows.values():
        result.usage.input_tokens += row.usage.input_tokens
        result.usage.output_tokens += row.usage.output_tokens
        result.usage.total_tokens += row.usage.total_tokens
    result.start_time.FromDatetime(started)
    result.end_time.FromDatetime(ended)
    return result


def skipped(name: str, reason: str) -> pb.PipelineStepResult:
    """Result of a step that is not made."""
    result = pb.PipelineStepResult(step_name=name, status=SKIPPED, skipped_reason=reason)
    result.end_time.FromDatetime(datetime.now(UTC))
    return result


def costs_of(name: str, capability: str, made: Attempted) -> list[Event]:
    """Events of what each call cost."""
    return [
        Event(
            "cost.incurred",
            {
                "step_name": name,
                "provider": row.provider,
                "capability": capability,
                "cost_usd": row.cost.cost_usd,
                "usage": json_format.MessageToDict(row.usage, preserving_proto_field_name=True),
                "execution_id": row.id,
            },
        )
        for row in made.rows.values()
    ]
