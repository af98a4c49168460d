"""Metrics of several processes as one text, and the bound of their labels."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from genai_spine.telemetry import tallies
from genai_spine.telemetry.calls import REQUESTS, SUBSCRIBERS, settled
from genai_spine.telemetry.exposition import Exposition
from genai_spine.v1 import execution_pb2
from genai_spine.v1.execution_pb2 import Execution


async def shown(folder: Path | None = None) -> dict[str, float]:
    """Values by name and labels, as text."""
    text = (await Exposition(folder).text()).decode()
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ended() -> int:
    """Id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


async def test_processes_are_added_up_and_gauges_only_of_those_that_live(tmp_path: Path) -> None:
    labels = ["sums", "chat", "success"]
    other = {
        "ai_provider_requests_total": [[labels, [5.0]]],
        "ai_event_subscribers_active": [[[], [3.0]]],
        "ai_provider_latency_seconds": [[["sums", "chat"], [1.0] * 11 + [4.5]]],
        "of_another_version": [[[], [1.0]]],
    }
    for pid in (ended(), os.getppid()):
        (tmp_path / f"{pid}.json").write_text(json.dumps(other))
    own = SUBSCRIBERS.of().cells[0]
    REQUESTS.of(*labels).add(2)
    found = await shown(tmp_path)
    key = "[('capability', 'chat'), ('provider', 'sums'), ('status', 'success')]"
    assert found[f"ai_provider_requests_total{key}"] == 12
    assert found["ai_event_subscribers_active[]"] == own + 3
    bucket = "[('capability', 'chat'), ('le', '+Inf'), ('provider', 'sums')]"
    assert found[f"ai_provider_latency_seconds_bucket{bucket}"] == 22
    slowest = found["ai_provider_latency_p99_seconds[('capability', 'chat'), ('provider', 'sums')]"]
    assert slowest == float("inf")


async def test_what_a_process_wrote_at_its_end_stays(tmp_path: Path) -> None:
    writer = Exposition(tmp_path)
    writer.start()
    REQUESTS.of("last", "chat", "success").add()
    await writer.stop()
    (name,) = os.listdir(tmp_path)
    assert name == f"{os.getpid()}.json"
    written = json.loads((tmp_path / name).read_text())
    assert [["last", "chat", "success"], [1.0]] in written["ai_provider_requests_total"]


@pytest.mark.parametrize("label", ['quote"', "line\nfeed", "back\\slash", "\u00e4\u4e2d", "", "x" * 5000])
async def test_any_label_is_told_as_it_is(label: str) -> None:
    metric = tallies.Metric("m_total", "counter", "", ("one",))
    metric.of(label).add()
    assert list(metric.children) == [(label[: tallies.MAX_LABEL_CHARS],)]
    REQUESTS.of(label, "odd", "success").add()
    assert any(repr(label[: tallies.MAX_LABEL_CHARS]) in key for key in await shown())


def test_labels_are_bounded() -> None:
    metric = tallies.Metric("n_total", "counter", "", ("one", "two"))
    for number in range(tallies.MAX_CHILDREN + 500):
        metric.of(str(number), "x").add()
    assert len(metric.children) == tallies.MAX_CHILDREN + 1
    assert metric.of("other", "other").cells == [500.0]
    assert sum(tally.cells[0] for tally in metric.children.values()) == tallies.MAX_CHILDREN + 500


@pytest.mark.parametrize("state", [1, 2, 3, 4, 5, 99])
def test_no_row_fails_to_be_booked_by_what_it_is_counted_as(state: int) -> None:
    settled(Execution(provider="odd", operation=77, state=state, error_reason="X"))  # type: ignore[arg-type]
    settled(Execution())


def test_each_state_of_a_settled_call_has_a_word() -> None:
    names = set(execution_pb2.ExecutionState.keys())
    assert {"EXECUTION_STATE_SUCCEEDED", "EXECUTION_STATE_FAILED", "EXECUTION_STATE_LOST"} <= names
