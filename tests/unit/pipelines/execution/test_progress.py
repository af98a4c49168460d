"""Progress: by weights, never falling, with points within a long step."""

from typing import Any

import pytest

from genai_spine.pipelines.execution import progress
from genai_spine.v1.pipeline_pb2 import PipelineDefinition


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress, "monotonic", lambda: now[0])
    return now


def definition(**weights: float) -> PipelineDefinition:
    made: Any = PipelineDefinition(name="x")
    for name, weight in weights.items():
        made.steps.add(name=name, capability="summarization", progress_weight=weight)
    return PipelineDefinition.FromString(made.SerializeToString())


def test_a_long_execution_has_many_points_which_never_fall(clock: list[float]):
    found, points = progress.Progress(definition(a=3, b=1), 0.0, {"a": 30.0, "b": 30.0}), []
    for name in "ab":
        found.begin(name)
        for _ in range(600):
            clock[0] += 0.5
            if found.is_due:
                points.append(found.event("it runs").data["percent"])
        found.end(name)
        points.append(found.event("ended").data["percent"])
    assert len(points) >= 25
    assert points == sorted(points)
    assert {75.0, 100.0} <= set(points)


def test_what_was_told_before_a_takeover_is_the_least(clock: list[float]):
    found = progress.Progress(definition(a=1, b=1), 70.0, {})
    found.end("a")
    event = found.event("a completed").data
    assert (event["percent"], event["progress_percent"], event["steps_completed"]) == (70.0, 70.0, 1)


def test_steps_without_weight_count_alike(clock: list[float]):
    found = progress.Progress(definition(a=0, b=0), 0.0, {})
    found.end("a")
    assert found.event("").data["percent"] == 50.0
