"""What a provider proves its thinking with, in the form of each that takes it back."""

import json
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from genai_spine.errors import InvalidFields
from genai_spine.providers import reasoning_state
from genai_spine.providers.reasoning_state import StateReader

THINKING = {"type": "thinking", "thinking": "hm", "signature": "s"}
REDACTED = {"type": "redacted_thinking", "data": "d"}
CONVERSE = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}
CONVERSE_REDACTED = {"reasoningContent": {"redactedContent": "d"}}
TEXT = {"type": "reasoning.text", "text": "hm", "signature": "s", "format": "anthropic-claude-v1", "index": 0}
ENCRYPTED = {"type": "reasoning.encrypted", "data": "d", "format": "anthropic-claude-v1", "index": 0}
ITEM = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}],
    "encrypted_content": "e",
}
PLACE = {"type": "function_call", "call_id": "c"}
SIGNED = {"extra_content": {"google": {"thought_signature": "g"}}}


def plain(raws: list[Raw]) -> Any:
    return msgspec.json.decode(msgspec.json.encode(raws))


def details(*entries: Any) -> Any:
    return plain(reasoning_state.details(json.dumps(entries)))


@pytest.mark.parametrize("entry", [THINKING, CONVERSE, TEXT])
def test_claudes_thinking_is_known_from_every_platform(entry: Any) -> None:
    [thought] = reasoning_state.thoughts(json.dumps([entry]))
    assert (thought.text, thought.signature, thought.redacted) == ("hm", "s", None)
    assert details(entry) == [TEXT]


@pytest.mark.parametrize("entry", [REDACTED, CONVERSE_REDACTED, ENCRYPTED])
def test_what_claude_hides_is_known_from_every_platform(entry: Any) -> None:
    [thought] = reasoning_state.thoughts(json.dumps([entry]))
    assert thought.redacted == "d"
    assert details(entry) == [ENCRYPTED]


@pytest.mark.parametrize(
    "entry",
    [
        ITEM,
        PLACE,
        SIGNED,
        {"type": "reasoning.text", "text": "hm"},
        {"type": "reasoning.text", "text": "hm", "signature": "s", "format": "google-gemini-v1"},
        {"type": "reasoning.encrypted", "data": "d"},
        {"type": "reasoning.encrypted", "data": "d", "format": "openai-responses-v1"},
        {"reasoningContent": {"reasoningText": {"text": "hm"}}},
        {"type": 7, "summary": {}},
    ],
)
def test_what_another_model_thought_is_none_of_claudes(entry: Any) -> None:
    assert reasoning_state.thoughts(json.dumps([entry])) == []


def test_items_of_the_responses_api_go_out_as_details_and_come_back() -> None:
    shown = details(ITEM, PLACE)
    assert [entry["type"] for entry in shown] == [
        "reasoning.summary",
        "reasoning.summary",
        "reasoning.encrypted",
        "function_call",
    ]
    for state in ([ITEM, PLACE], shown):
        assert plain(reasoning_state.responses_items(json.dumps(state))) == [ITEM, PLACE]
    assert reasoning_state.responses_items(json.dumps([THINKING, CONVERSE, TEXT, SIGNED])) == []


def test_the_messages_own_state_is_apart() -> None:
    signed = Raw(json.dumps(SIGNED["extra_content"]).encode())
    state = reasoning_state.join([Raw(json.dumps(TEXT).encode())], signed)
    assert plain(reasoning_state.details(state)) == [TEXT]
    extra = reasoning_state.extra_content(state)
    assert extra is not None
    assert msgspec.json.decode(extra) == SIGNED["extra_content"]
    assert reasoning_state.extra_content(json.dumps([TEXT])) is None


@pytest.mark.parametrize("state", ["{", "{}", "[1]", "7", '"x"'])
def test_a_state_that_is_no_array_of_objects_names_its_field(state: str) -> None:
    with pytest.raises(InvalidFields, match=r"messages\[3\]\.reasoning_state_json"):
        reasoning_state.thoughts(state, "messages[3]")


def reading(*deltas: tuple[Any, Any]) -> Any:
    reader = StateReader()
    for parts, extra in deltas:
        reader.add(*(Raw(json.dumps(value).encode()) for value in (parts, extra)))
    return json.loads(reader.state_json or "[]")


def piece(**fields: Any) -> list[dict[str, Any]]:
    return [{"type": "reasoning.text", "index": 0} | fields]


def test_pieces_of_a_detail_are_joined_and_their_signature_comes_last() -> None:
    found = reading(
        (piece(text="h", format="anthropic-claude-v1"), None),
        (piece(text="m", signature=None), None),
        (piece(signature="s"), None),
        ([{"type": "reasoning.encrypted", "data": "d", "index": 1}], None),
        (piece(text="then", index=2), None),
    )
    assert [(entry["type"], entry.get("text"), entry.get("signature")) for entry in found] == [
        ("reasoning.text", "hm", "s"),
        ("reasoning.encrypted", None, None),
        ("reasoning.text", "then", None),
    ]


def test_gemini_tells_a_messages_signature_in_any_delta() -> None:
    first, last = {"google": {"thought": True}}, {"google": {"thought_signature": "g"}}
    assert reading((None, first), (None, {}), (None, last)) == [SIGNED]
    assert reading((None, first)) == []


@pytest.mark.parametrize("odd", [None, {}, "x", 7, [1, "y", None]])
def test_a_state_of_another_shape_is_passed_over(odd: Any) -> None:
    assert reading((odd, odd)) == []


def test_a_detail_whose_text_is_no_text_stays_by_itself() -> None:
    odd = [{"type": ["x"]}, *piece(text="a"), *piece(text=5), *piece(text=["b"]), *piece(text="c")]
    assert reading((odd, None)) == odd


@pytest.mark.parametrize("unreadable", [b'[{"index":1e309}]', b"[" * 2000 + b"]" * 2000, b'["\\ud800"]'])
def test_a_state_that_cannot_be_decoded_is_passed_over(unreadable: bytes) -> None:
    reader = StateReader()
    reader.add(Raw(unreadable), Raw(b'{"google":{"thought_signature":"g","at":1e309}}'))
    assert reader.state_json == ""
