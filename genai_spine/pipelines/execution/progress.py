"""Progress of an execution: by the weights of its steps, never falling, and with points within long steps."""

from collections.abc import Mapping
from time import monotonic
from typing import Any

from genai_spine.pipelines.execution.journal import Event
from genai_spine.v1 import pipeline_pb2 as pb

DEFAULT_STEP_S = 10.0  # of a step whose duration nobody knows
LEAST_STEP_S = 1.0  # a quick step may take long once


def weight(step: pb.PipelineStep) -> float:
    """Part of a step, beside those of the others."""
    return step.progress_weight if step.HasField("progress_weight") else 1.0


class Progress:
    """Progress of one execution."""

    def __init__(
        self, definition: pb.PipelineDefinition, shown: float, durations_s: Mapping[str, float]
    ) -> None:
        """shown: percent that were told before. durations_s: expected, by the name of the step."""
        self._weights = {step.name: weight(step) for step in definition.steps}
        self._whole = sum(self._weights.values())
        if not self._whole:
            self._weights = dict.fromkeys(self._weights, 1.0)
            self._whole = float(len(self._weights))
        self._durations_s = durations_s
        self._running: dict[str, float] = {}  # when a step began
        self._ended: set[str] = set()
        self._began = monotonic()
        self.percent = shown

    def begin(self, name: str) -> None:
        """A step that runs from now on."""
        self._running[name] = monotonic()

    def end(self, name: str) -> None:
        """A step that has ended, however."""
        self._running.pop(name, None)
        self._ended.add(name)

    @property
    def is_due(self) -> bool:
        """Whether it has moved by a point since it was told."""
        return self._now() >= self.percent + 1.0

    def event(self, message: str) -> Event:
        """Event of how far it is."""
        self.percent = max(self.percent, round(self._now(), 2))
        data: dict[str, Any] = {
            "percent": self.percent,
            "progress_percent": self.percent,
            "message": message,
            "current_step": next(iter(self._running), None),
            "steps_completed": len(self._ended),
            "total_steps": len(self._weights),
            "estimated_remaining_seconds": self._remaining_s(),
        }
        return Event("progress.update", data)

    def _now(self) -> float:
        done = sum(self._weights[name] for name in self._ended)
        done += sum(self._weights[name] * self._share(name) for name in self._running)
        return min(100.0, 100.0 * done / self._whole)

    def _share(self, name: str) -> float:
        """Part of a running step that is thought to be done, which never is all of it."""
        expected_s = max(LEAST_STEP_S, self._durations_s.get(name) or DEFAULT_STEP_S)
        took_s = monotonic() - self._running[name]
        return took_s / (took_s + expected_s)

    def _remaining_s(self) -> float | None:
        if self.percent <= 0:
            return round(sum(self._durations_s.values()), 1) or None
        took_s = monotonic() - self._began
        return round(took_s * (100.0 - self.percent) / self.percent, 1)
