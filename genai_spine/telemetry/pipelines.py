"""Metrics of pipelines, counted from their events where each is written, once."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from genai_spine.telemetry.calls import BUDGETS
from genai_spine.telemetry.tallies import COST_USD, COUNTS, DURATION_S, counter, gauge, histogram

_STEP = ("pipeline", "step", "capability")
EXECUTIONS = counter(
    "ai_pipeline_executions_total", "Executions that ended.", "pipeline", "status", "tenant_id"
)
DURATION = histogram("ai_pipeline_duration_seconds", "Seconds.", DURATION_S, "pipeline", "status")
COST = histogram("ai_pipeline_cost_usd", "What one execution costs.", COST_USD, "pipeline", "tenant_id")
SUM_OF_COSTS = counter("ai_pipeline_cost_usd_total", "What executions cost.", "pipeline", "tenant_id")
STEPS_COMPLETED = histogram(
    "ai_pipeline_steps_completed", "Steps of an execution that ended well.", COUNTS, "pipeline"
)
ACTIVE = gauge("ai_pipelines_active", "Executions that run.", "pipeline")
STEPS = counter("ai_step_executions_total", "Steps that ended.", *_STEP, "status")
STEP_DURATION = histogram("ai_step_duration_seconds", "Seconds of steps.", DURATION_S, *_STEP)
RETRIES = counter("ai_step_retries_total", "Attempts after the first one of a provider.", *_STEP)
FALLBACKS = counter(
    "ai_step_fallbacks_total", "Changes of provider.", "pipeline", "step", "from_provider", "to_provider"
)
SKIPPED = counter("ai_step_skipped_total", "Steps that were not made.", "pipeline", "step", "reason")
UNDONE = counter("ai_compensation_executions_total", "Executions that were undone.", "pipeline", "status")
UNDONE_STEPS = counter("ai_compensation_steps_total", "Steps that were undone.", "pipeline", "step", "status")
ON_ATTEMPT = counter("ai_retry_success_on_attempt_total", "Steps that succeeded at an attempt.", "attempt")
EXHAUSTED = counter("ai_retry_exhausted_total", "Steps that failed at their last attempt.", *_STEP)
EVENTS = counter("ai_events_emitted_total", "Events that were written.", "event_type")
ENDS = {"workflow.completed": "completed", "workflow.failed": "failed", "workflow.cancelled": "cancelled"}
STEP_ENDS = {"step.completed": "completed", "step.failed": "failed", "step.skipped": "skipped"}


@dataclass(frozen=True, slots=True)
class PipelineMeter:
    """Metrics of one execution. capabilities: by the names of its steps."""

    pipeline: str
    tenant_id: str
    capabilities: Mapping[str, str]

    def count(self, event_type: str, data: Mapping[str, Any]) -> None:
        """Counts what an event says."""
        EVENTS.of(event_type).add()
        step = str(data.get("step_name") or "")
        if event_type in ENDS:
            self._ended(ENDS[event_type], data)
        elif event_type in STEP_ENDS:
            self._step_ended(step, STEP_ENDS[event_type], data)
        elif event_type == "step.retrying":
            RETRIES.of(*self._of(step)).add()
        elif event_type == "provider.fallback":
            providers = str(data.get("from_provider")), str(data.get("to_provider"))
            FALLBACKS.of(self.pipeline, step, *providers).add()
        elif event_type == "budget.exceeded":
            BUDGETS.of(self.tenant_id, str(data.get("action_taken"))).add()
        elif event_type == "compensation.step":
            UNDONE_STEPS.of(self.pipeline, step, "success" if data.get("success") else "failed").add()
        elif event_type in ("compensation.completed", "compensation.failed"):
            UNDONE.of(self.pipeline, event_type.removeprefix("compensation.")).add()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Counts the execution as one that runs."""
        active = ACTIVE.of(self.pipeline)
        active.add()
        try:
            yield
        finally:
            active.add(-1)

    def _of(self, step: str) -> tuple[str, str, str]:
        return self.pipeline, step, self.capabilities.get(step, "")

    def _ended(self, status: str, data: Mapping[str, Any]) -> None:
        EXECUTIONS.of(self.pipeline, status, self.tenant_id).add()
        STEPS_COMPLETED.of(self.pipeline).observe(len(data.get("completed_steps") or ()))
        if (took_ms := data.get("total_duration_ms")) is not None:
            DURATION.of(self.pipeline, status).observe(took_ms / 1000)
        if (usd := data.get("total_cost_usd")) is not None:
            COST.of(self.pipeline, self.tenant_id).observe(usd)
            SUM_OF_COSTS.of(self.pipeline, self.tenant_id).add(usd)

    def _step_ended(self, step: str, status: str, data: Mapping[str, Any]) -> None:
        STEPS.of(*self._of(step), status).add()
        if status == "skipped":
            SKIPPED.of(self.pipeline, step, str(data.get("reason"))).add()
            return
        STEP_DURATION.of(*self._of(step)).observe(data["duration_ms"] / 1000)
        if status == "completed":
            ON_ATTEMPT.of(str(data["retries"] + 1)).add()
        elif data["retries"]:
            EXHAUSTED.of(*self._of(step)).add()
