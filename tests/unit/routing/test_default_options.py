"""Default options of a model in the requests that leave them open."""

import json

from genai_spine.routing.default_options import with_defaults
from genai_spine.v1 import completion_service_pb2 as pb

Request = pb.CreateCompletionRequest
DEFAULTS = Request(
    temperature=0.2,
    max_tokens=100,
    stop_sequences=["END"],
    reasoning_effort=pb.REASONING_EFFORT_LOW,
    provider_options_json='{"min_p": 0.1, "seed": 12345678901234567890}',
)


def test_what_a_request_sets_stays_and_the_rest_is_filled_in() -> None:
    request = Request(model="m", temperature=0.0)
    found = with_defaults(request, DEFAULTS)
    assert (found.model, found.temperature, found.max_tokens) == ("m", 0.0, 100)
    assert list(found.stop_sequences) == ["END"]
    assert request == Request(model="m", temperature=0.0)
    assert DEFAULTS.temperature == 0.2


def test_lists_replace_each_other() -> None:
    found = with_defaults(Request(stop_sequences=["X"]), DEFAULTS)
    assert list(found.stop_sequences) == ["X"]


def test_one_way_to_say_how_long_to_think_replaces_the_other() -> None:
    found = with_defaults(Request(reasoning_max_tokens=2000), DEFAULTS)
    assert (found.reasoning_effort, found.reasoning_max_tokens) == (0, 2000)
    other = with_defaults(Request(reasoning_effort=pb.REASONING_EFFORT_HIGH), Request(reasoning_max_tokens=9))
    assert other.reasoning_effort == pb.REASONING_EFFORT_HIGH
    assert not other.HasField("reasoning_max_tokens")


def test_fields_for_the_upstream_are_joined_byte_by_byte() -> None:
    found = with_defaults(Request(provider_options_json='{"min_p": 0.5, "x": 1e400}'), DEFAULTS)
    text = found.provider_options_json
    assert '"seed":12345678901234567890' in text.replace(" ", "")
    assert "1e400" in text
    assert '"min_p":0.5' in text.replace(" ", "")
    assert json.loads(with_defaults(Request(), DEFAULTS).provider_options_json)["min_p"] == 0.1


def test_fields_for_the_upstream_that_a_request_has_take_the_place_of_defaults() -> None:
    raw = '{"temperature": 0.9, "max_completion_tokens": 7, "stop": ["X"], "think": true}'
    found = with_defaults(Request(provider_options_json=raw), DEFAULTS)
    assert [field.name for field, _ in found.ListFields()] == ["provider_options_json"]
