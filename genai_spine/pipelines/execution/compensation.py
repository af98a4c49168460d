"""Compensation: the undo actions of completed steps, in the reverse of the order in which these ended.

A failing one is recorded, and the others still run. One that has ended is not repeated by a takeover; one
that was in flight is, and a webhook is told its id, which is equal for every try.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from google.protobuf import json_format

from genai_spine.pipelines.definition import DEFAULT_COMPENSATION_S, DEFAULT_UNDO_S
from genai_spine.pipelines.execution import endings
from genai_spine.pipelines.execution.attempts import (
    EXCEPTION,
    INVALID_INPUT,
    TIMEOUT,
    Attempted,
    Attempts,
    StepError,
)
from genai_spine.pipelines.execution.journal import Event, Journal, State, Tools
from genai_spine.pipelines.execution.step import FAILED, costs_of, input_of, result_of
from genai_spine.pipelines.expressions import ExpressionRefused
from genai_spine.v1 import pipeline_pb2 as pb

PREFIX = "undo:"  # of the ids of undo actions, beside those of steps


def pending(definition: pb.PipelineDefinition, state: State) -> list[str]:
    """Completed steps that have an undo action, the last one first."""
    steps = {step.name: step for step in definition.steps}
    return [name for name in reversed(state.order) if steps[name].HasField("compensation")]


@dataclass(slots=True)
class Undoing:
    """Undo actions of one execution. unsaid: events that go with the first write."""

    tools: Tools
    journal: Journal
    definition: pb.PipelineDefinition
    state: State
    unsaid: list[Event]

    async def run(self, names: Sequence[str]) -> int:
        """Undoes steps that are not undone yet; returns the milliseconds that it took."""
        begun = monotonic()
        given = self.definition.HasField("compensation_timeout_s")
        until = begun + (self.definition.compensation_timeout_s if given else DEFAULT_COMPENSATION_S)
        steps = {step.name: step for step in self.definition.steps}
        for name in names:
            if name not in self.state.undone:
                self.state.undone[name] = await self._undo(steps[name], until - monotonic())
        return int((monotonic() - begun) * 1000)

    async def _undo(self, step: pb.PipelineStep, left_s: float) -> pb.PipelineStepResult:
        """Result of one undo action, which is written when this returns."""
        own_s = step.compensation.timeout_s if step.compensation.HasField("timeout_s") else DEFAULT_UNDO_S
        unsaid, self.unsaid = self.unsaid, []
        await self.journal.begin(PREFIX + step.name, "compensation", unsaid)
        started = datetime.now(UTC)
        timeout_s = max(0.0, min(own_s, left_s))
        made = await _undone(self.tools, self.journal, step, self.state, timeout_s)
        result = result_of(step.name, made, started)
        if made.error is None:
            result.status = endings.COMPENSATED
        said = {
            "step_name": step.name,
            "success": made.error is None,
            "error": result.error or None,
            "duration_ms": result.duration_ms,
        }
        costs = costs_of(step.name, step.compensation.work.capability, made)
        events = [*costs, Event("compensation.step", said)]
        await self.journal.end(PREFIX + step.name, "compensation", result, events)
        return result


def is_rolled_back(definition: pb.PipelineDefinition, state: State) -> bool:
    """Whether every undo action that is required ended well."""
    steps = {step.name: step for step in definition.steps}
    return not any(one.status == FAILED and _is_required(steps[name]) for name, one in state.undone.items())


async def _undone(
    tools: Tools, journal: Journal, step: pb.PipelineStep, state: State, timeout_s: float
) -> Attempted:
    output = json_format.MessageToDict(state.results[step.name].output)
    made = Attempted()
    if timeout_s <= 0:
        made.error = StepError(TIMEOUT, "the time for compensation was up")
        return made
    try:
        async with asyncio.timeout(timeout_s):
            if step.compensation.HasField("work"):
                value = input_of(step.compensation.work, state.context, output)
                attempts = Attempts(tools, journal, PREFIX + step.name, step.name, timeout_s)
                return await attempts.make(step.compensation.work, value)
            await _post(tools, journal, step, output, timeout_s)
    except ExpressionRefused as error:
        made.error = StepError(INVALID_INPUT, str(error))
    except TimeoutError:
        made.error = StepError(TIMEOUT, f"not undone within {timeout_s:g} s")
    except StepError as error:
        made.error = error
    return made


async def _post(tools: Tools, journal: Journal, step: pb.PipelineStep, output: Any, timeout_s: float) -> None:
    """Tells a webhook. Raises StepError."""
    id = f"undo_{journal.run.run_id}_{step.name}"
    body = {
        "type": "pipeline.compensation",
        "data": {
            "execution_id": journal.run.run_id,
            "pipeline_name": journal.run.work.pipeline.definition.name,
            "step_name": step.name,
            "output": output,
        },
    }
    try:
        await tools.post(step.compensation.webhook_url, id, body, timeout_s)
    except TimeoutError:
        raise
    except Exception as error:
        raise StepError(EXCEPTION, str(error)[:500] or type(error).__name__) from None


def _is_required(step: pb.PipelineStep) -> bool:
    return step.compensation.required or not step.compensation.HasField("required")
