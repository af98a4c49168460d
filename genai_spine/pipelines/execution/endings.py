"""Endings of an execution: its result, and the events that say how it ended."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format

from genai_spine.costs import sum_costs
from genai_spine.pipelines.execution.journal import Event, State
from genai_spine.pipelines.execution.step import COMPLETED
from genai_spine.v1 import pipeline_pb2 as pb
from genai_spine.v1.run_pb2 import Run

COMPENSATED = "compensated"


def result_of(run: Run, state: State) -> pb.PipelineResult:
    """Result of an execution that is over, with what there is of its output."""
    definition = run.work.pipeline.definition
    paid = [one for one in (*state.results.values(), *state.undone.values()) if one.execution_ids]
    result = pb.PipelineResult(
        execution_id=run.run_id,
        pipeline_name=definition.name,
        pipeline_version=definition.version,
        success=True,
        completed_steps=state.order,
        step_results=state.results,
        total_cost=sum_costs(one.cost for one in paid),
        compensation_performed=bool(state.undone),
    )
    result.total_cost_usd = result.total_cost.cost_usd
    for name, undone in state.undone.items():
        listed = result.compensated_steps if undone.status == COMPENSATED else result.failed_compensations
        listed.append(name)
        if undone.status == COMPENSATED and name in result.step_results:
            result.step_results[name].status = COMPENSATED
    outputs = {
        one.output_key: json_format.MessageToDict(one.output)
        for one in state.results.values()
        if one.status == COMPLETED
    }
    json_format.ParseDict(outputs, result.output)
    started = run.start_time.ToDatetime(UTC) if run.HasField("start_time") else datetime.now(UTC)
    ended = max(datetime.now(UTC), started)
    result.start_time.FromDatetime(started)
    result.end_time.FromDatetime(ended)
    result.total_duration_ms = int((ended - started).total_seconds() * 1000)
    return result


def completed(result: pb.PipelineResult) -> Event:
    """Event of an execution that ended well."""
    data = {"output_keys": sorted(result.output.fields), **_totals(result)}
    return Event("workflow.completed", data)


def failed(result: pb.PipelineResult, *, is_retryable: bool) -> Event:
    """Event of one that failed."""
    data: dict[str, Any] = {"failed_step": result.failed_step or None, "error": result.error}
    data |= {"error_code": result.error_code, "retryable": is_retryable, **_totals(result)}
    return Event("workflow.failed", data)


def cancelled(result: pb.PipelineResult, reason: str, current: str | None) -> Event:
    """Event of one that was cancelled."""
    data = {"pipeline_name": result.pipeline_name, "reason": reason, "current_step": current}
    return Event("workflow.cancelled", data | {"completed_steps": list(result.completed_steps)})


def undoing(failed_step: str, names: Sequence[str], reason: str) -> Event:
    """Event of the begin of undoing."""
    said = {"failed_step": failed_step or None, "steps_to_compensate": list(names), "failure_reason": reason}
    return Event("compensation.started", said)


def compensated(result: pb.PipelineResult, took_ms: int, *, is_full: bool) -> Event:
    """Event of the end of undoing. is_full: all that had to be undone is."""
    data = {
        "compensated_steps": list(result.compensated_steps),
        "failed_compensations": list(result.failed_compensations),
        "total_duration_ms": took_ms,
        "full_rollback": is_full,
    }
    return Event("compensation.completed" if is_full else "compensation.failed", data)


def _totals(result: pb.PipelineResult) -> Mapping[str, Any]:
    return {
        "completed_steps": list(result.completed_steps),
        "total_duration_ms": result.total_duration_ms,
        "total_cost_usd": result.total_cost_usd,
    }
