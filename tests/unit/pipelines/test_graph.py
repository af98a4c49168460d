"""Order of steps."""

from typing import Any

from google.protobuf import json_format

from genai_spine.pipelines import graph
from genai_spine.v1.pipeline_pb2 import PipelineDefinition


def definition(*steps: dict[str, Any], **fields: Any) -> PipelineDefinition:
    listed = [{"capability": "summarization", **one} for one in steps]
    return json_format.ParseDict({"name": "x", "steps": listed, **fields}, PipelineDefinition())


def test_steps_without_a_graph_wait_for_all_before_them():
    found = graph.needs(definition({"name": "a"}, {"name": "b"}, {"name": "c"}))
    assert found == {"a": frozenset(), "b": {"a"}, "c": {"a", "b"}}


def test_with_several_at_once_a_step_waits_for_what_it_reads():
    steps = (
        {"name": "a", "output_as": "first"},
        {"name": "b", "input_from": "text"},
        {"name": "c", "input_from": "first.text"},
        {"name": "d", "input_from": "text", "when": {"comparison": {"path": "c", "operator": "exists"}}},
        {"name": "e", "input_from": "text", "when": {"cel": "true"}},
    )
    found = graph.needs(definition(*steps, max_concurrent=3))
    assert found["b"] == frozenset()
    assert found["c"] == {"a"}
    assert found["d"] == {"c"}
    assert found["e"] == {"a", "b", "c", "d"}


def test_in_a_graph_a_step_waits_for_those_it_names_and_those_it_reads():
    steps = ({"name": "a"}, {"name": "b", "input_from": "c"}, {"name": "c", "depends_on": ["a"]})
    found = graph.needs(definition(*steps))
    assert found == {"a": frozenset(), "b": {"c"}, "c": {"a"}}
    assert graph.cycle(found) == []


def test_a_circle_is_named():
    steps = (
        {"name": "a", "input_from": "b"},
        {"name": "b", "depends_on": ["c"]},
        {"name": "c", "depends_on": ["a"]},
    )
    assert graph.cycle(graph.needs(definition(*steps))) == ["a", "b", "c", "a"]


def test_a_chain_as_long_as_may_be_is_no_circle():
    names = [f"s{number}" for number in range(200)]
    found = {name: frozenset(names[place - 1 : place] if place else ()) for place, name in enumerate(names)}
    assert graph.cycle(found) == []


def test_time_is_that_of_the_longest_chain_or_of_the_work_shared():
    needs = {"a": frozenset(), "b": frozenset(), "c": frozenset(("a", "b"))}
    durations = {"a": 4.0, "b": 2.0, "c": 1.0}
    assert graph.longest_s(needs, durations, at_once=2) == 5.0
    assert graph.longest_s(needs, durations, at_once=1) == 7.0
