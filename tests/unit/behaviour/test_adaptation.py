"""Adaptation of requests: what is dropped, mapped or refused, and that the request stays as it was sent."""

from typing import Any

import msgspec
import pytest

from genai_spine.behaviour.adaptation import Adaptation, Candidate, adapt
from genai_spine.behaviour.book import BehaviourBook, Row, Rule, RulesFile
from genai_spine.errors import UnsupportedOption
from genai_spine.providers.base import Option
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

PARAMETERS: dict[str, list[Any]] = {
    "store": [False],
    "service_tier": ["auto"],
    "metadata": [{}],
    "safety_identifier": [],
    "verbosity": [],
}
OPTIONS = {
    name: Option(name) for name in ("temperature", "top_p", "max_tokens", "tools", "tool_choice", "seed")
}
OPTIONS |= {"temperature": Option("temperature", max=1.0), "reasoning_effort": Option("effort")}
TOOL = message_pb2.Tool(function=message_pb2.FunctionTool(name="note", strict=True))


def adapted(request: pb.CreateCompletionRequest, *, strict: bool = False, **row: Any) -> Adaptation | None:
    rows = [Row(name="rule", source="https://x.example", evidence="page", **row)]
    book = BehaviourBook(RulesFile(parameters=PARAMETERS, absent=["top_k"], rows=rows))
    candidate = Candidate("acme", "m", book.rules("acme", "m"), OPTIONS)
    before = request.SerializeToString(deterministic=True)
    found = adapt(request, candidate, book, strict=strict)
    if found is not None:
        found.applied(request)
    assert request.SerializeToString(deterministic=True) == before, "the request was written into"
    return found


def asked(**fields: Any) -> pb.CreateCompletionRequest:
    return pb.CreateCompletionRequest(model="m", messages=[message_pb2.Message(role="ROLE_USER")], **fields)


def sent(request: pb.CreateCompletionRequest, **row: Any) -> tuple[pb.CreateCompletionRequest, list[str]]:
    """The request as the model gets it, and the options that are warned of."""
    found = adapted(request, **row)
    assert found is not None
    return found.applied(request), [warning.option for warning in found.warnings]


def test_a_request_that_no_rule_is_about_is_not_adapted() -> None:
    assert adapted(asked(temperature=0.5, max_tokens=5), options={"seed": "dropped"}) is None


def test_a_preference_is_dropped_and_its_neutral_value_without_a_word() -> None:
    request, warnings = sent(
        asked(temperature=0.5, top_p=1), options={"temperature": "dropped", "top_p": "dropped"}
    )
    assert not request.HasField("temperature")
    assert not request.HasField("top_p")
    assert warnings == ["temperature"]


def test_a_preference_that_the_protocol_has_no_word_for_is_dropped() -> None:
    request, warnings = sent(asked(top_k=5))
    assert (request.HasField("top_k"), warnings) == (False, ["top_k"])


@pytest.mark.parametrize(
    ("row", "value"), [({}, 1.0), ({"options": {"temperature": Rule("mapped", max=0.7)}}, 0.7)]
)
def test_a_number_is_brought_within_the_bounds_of_protocol_and_rule(
    row: dict[str, Any], value: float
) -> None:
    request, warnings = sent(asked(temperature=1.5), **row)
    assert (request.temperature, warnings) == (value, ["temperature"])


@pytest.mark.parametrize(
    ("level", "levels", "used"),
    [
        ("MAX", ["low", "high"], "HIGH"),
        ("XHIGH", ["none", "high", "max"], "HIGH"),
        ("MINIMAL", ["none", "low"], "LOW"),
        ("NONE", ["low", "high"], "LOW"),
        ("MEDIUM", ["low", "high"], "LOW"),
    ],
)
def test_an_effort_becomes_the_nearest_level(level: str, levels: list[Any], used: str) -> None:
    request, warnings = sent(asked(reasoning_effort=f"REASONING_EFFORT_{level}"), effort=levels)
    assert pb.ReasoningEffort.Name(request.reasoning_effort) == f"REASONING_EFFORT_{used}"
    assert warnings == ["reasoning_effort"]


def test_an_effort_that_the_model_has_is_no_warning() -> None:
    assert adapted(asked(reasoning_effort="REASONING_EFFORT_LOW"), effort=["low"]) is None


def test_no_reasoning_of_a_model_that_has_none_is_no_warning() -> None:
    request, warnings = sent(asked(reasoning_effort="REASONING_EFFORT_NONE"), effort=[])
    assert (request.reasoning_effort, warnings) == (0, [])


def test_a_tool_that_cannot_be_forced_is_asked_for_in_words() -> None:
    choice = message_pb2.ToolChoice(function_name="note")
    rule = {"tool_choice.forced": Rule("mapped", to="auto"), "tools.strict": Rule("dropped")}
    request, warnings = sent(asked(tools=[TOOL], tool_choice=choice), options=rule)
    assert not request.HasField("tool_choice")
    assert not request.tools[0].function.HasField("strict")
    assert "the tool note" in request.messages[-1].content[0].text
    assert warnings == ["tools.strict", "tool_choice"]


def test_parameters_of_openai_are_dropped_mapped_and_unknown_fields_go_on() -> None:
    options = {
        "store": True,
        "service_tier": "flex",
        "metadata": {"a": "b"},
        "safety_identifier": "s",
        "x": [1, 2],
    }
    rules = {
        "store": Rule("dropped"),
        "service_tier": Rule("mapped", to="tier.type", values={"flex": "slow"}),
        "metadata": Rule("mapped", to="metadata.user_id"),
        "safety_identifier": Rule("mapped", to="user"),
    }
    text = msgspec.json.encode(options).decode()
    request, warnings = sent(asked(provider_options_json=text), options=rules)
    assert msgspec.json.decode(request.provider_options_json) == {"x": [1, 2], "tier": {"type": "slow"}}
    assert request.user == "s"
    assert warnings == ["store", "service_tier", "metadata", "safety_identifier"]


def test_fields_of_the_contract_that_no_provider_gets_are_left_alone() -> None:
    """What is stored, this service stores, whatever a model takes by the name of store or metadata."""
    rules = {"store": Rule("dropped"), "metadata": Rule("mapped", to="metadata.user_id"), "seed": "dropped"}
    request, warnings = sent(asked(store=True, metadata={"a": "b"}, seed=1), options=rules)
    assert (request.store, dict(request.metadata)) == (True, {"a": "b"})
    assert warnings == ["seed"]


def test_parameters_that_ask_for_nothing_are_spared_without_a_word() -> None:
    text = '{"store":false,"verbosity":null}'
    request, warnings = sent(
        asked(provider_options_json=text), options={"store": "dropped", "verbosity": "refused"}
    )
    assert (request.provider_options_json, warnings) == ("", [])


def test_what_is_refused_names_the_option_and_its_source() -> None:
    with pytest.raises(UnsupportedOption, match=r"https://x\.example") as raised:
        adapted(asked(seed=1), options={"seed": "refused"})
    assert raised.value.metadata["field"] == "seed"


def test_strict_requests_are_refused_in_place_of_a_warning() -> None:
    with pytest.raises(UnsupportedOption):
        adapted(asked(seed=1), strict=True, options={"seed": "dropped"})
    assert adapted(asked(top_p=1), strict=True, options={"top_p": "dropped"}) is not None


def test_a_rule_with_a_condition_holds_with_it_only() -> None:
    options = {"temperature": Rule("dropped", when="reasoning")}
    assert adapted(asked(temperature=0.5), options=options) is None
    _, warnings = sent(asked(temperature=0.5, reasoning_effort="REASONING_EFFORT_LOW"), options=options)
    assert warnings == ["temperature"]


def test_edits_can_be_made_twice() -> None:
    request = asked(tool_choice=message_pb2.ToolChoice(mode="MODE_REQUIRED"), seed=3)
    rules = {"tool_choice.forced": Rule("mapped", to="auto"), "seed": Rule("mapped", to="random_seed")}
    found = adapted(request, options=rules)
    assert found is not None
    once = found.applied(request)
    assert found.applied(once) == once
    assert once.provider_options_json == '{"random_seed":3}'
