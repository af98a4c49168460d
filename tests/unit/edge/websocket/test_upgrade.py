"""Requests for WebSockets, as their paths, queries and headers ask for them."""

import json

import pytest

from genai_spine.edge.websocket import frames, upgrade
from genai_spine.errors import InvalidRequest
from genai_spine.v1.run_pb2 import RunEvent, RunOutput

PATH = "/v1/runs/r/events"
ASKING = {"upgrade": "WebSocket"}


@pytest.mark.parametrize(
    ("verb", "path", "headers", "found"),
    [
        ("GET", PATH, ASKING, True),
        ("GET", f"{PATH}?after_sequence=3", ASKING, True),
        ("GET", "/v1/ai/pipelines/exec-r/events", ASKING, True),
        ("POST", PATH, ASKING, False),
        ("GET", PATH, {}, False),
        ("GET", PATH, {"upgrade": "h2c"}, False),
        ("GET", PATH, ASKING | {"content-length": "0"}, False),
        ("GET", PATH, ASKING | {"transfer-encoding": "chunked"}, False),
        ("GET", "/v1/runs/r/x/events", ASKING, False),
        ("GET", "/v1/runs//events", ASKING, False),
        ("GET", "/v1/runs/r/events/", ASKING, False),
        ("GET", "/runs/r/events", ASKING, False),
    ],
)
def test_only_events_of_runs_are_upgraded(verb: str, path: str, headers: dict[str, str], found: bool) -> None:
    assert upgrade.is_upgrade(verb, path, headers) is found


def test_a_query_says_where_to_begin_and_what_to_show() -> None:
    asked = upgrade.read("/v1/ai/pipelines/exec-r/events?after_sequence=7&categories=step,,%20cost&x=y")
    assert (asked.watch.run_id, asked.watch.after_sequence) == ("r", 7)
    assert (asked.is_execution, asked.categories) == (True, {"step", "cost"})
    shown = {
        name: asked.shows(RunEvent(event_type=name))
        for name in ("step.started", "cost.incurred", "created", "heartbeat")
    }
    assert shown == {"step.started": True, "cost.incurred": True, "created": False, "heartbeat": False}


@pytest.mark.parametrize("text", ["", "x", "-1", "1.0", "٣", "2147483648", "1" * 40])
def test_a_sequence_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        upgrade.read(f"{PATH}?after_sequence={text}")


def test_a_key_becomes_the_header_that_other_doors_look_at() -> None:
    given = [("host", "x"), ("sec-websocket-protocol", "a, bearer.gs_live_x")]
    assert upgrade.with_key(given, dict(given)) == [("host", "x"), ("authorization", "Bearer gs_live_x")]
    for more in ({"authorization": "Bearer y"}, {"x-api-key": "y"}):
        with pytest.raises(InvalidRequest):
            upgrade.with_key(given, dict(given) | more)
    twice = [("sec-websocket-protocol", "bearer.a,bearer.b")]
    with pytest.raises(InvalidRequest):
        upgrade.with_key(twice, dict(twice))


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([], None),
        (["bearer.k"], "bearer.k"),
        (["bearer.k", "x", "y"], "x"),
        (["x", "genai-spine.events", "bearer.k"], "genai-spine.events"),
    ],
)
def test_a_browser_gets_one_of_what_it_offers_and_its_key_only_where_nothing_else_is(
    offered: list[str], chosen: str | None
) -> None:
    assert upgrade.chosen(offered) == chosen


def test_text_of_an_execution_is_its_data() -> None:
    event = RunEvent(event_id="e", run_id="r", sequence=4, event_type="output")
    event.output.CopyFrom(RunOutput(step_id="s", text="day", offset=3))
    frame = json.loads(frames.of_execution(event))
    assert frame["data"] == {"step_id": "s", "text": "day", "offset": 3, "is_reset": False}
    assert (frame["execution_id"], frame["category"], frame["sequence"]) == ("exec-r", "step", 4)
    assert json.loads(frames.of_run(event))["output"]["text"] == "day"
