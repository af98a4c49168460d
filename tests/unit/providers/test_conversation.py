"""Calls of tools with ids of their own, each followed by its result, whatever the history is like."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.providers.conversation import (
    NO_RESULT,
    ORPHAN,
    CallIds,
    CallRules,
    Entry,
    arrange,
    called_names,
)
from genai_spine.v1 import message_pb2

ANY = CallRules()
NINE = CallRules(max_chars=9, one_length=True)
WORDS = CallRules("a-zA-Z0-9_-")


def text(said: str, role: Any = message_pb2.ROLE_USER, **fields: Any) -> message_pb2.Message:
    return message_pb2.Message(role=role, content=[message_pb2.ContentPart(text=said)], **fields)


def calling(*ids: str, name: str = "weather") -> message_pb2.Message:
    calls = [
        message_pb2.ToolCall(id=id, function=message_pb2.FunctionCall(name=name, arguments_json="{}"))
        for id in ids
    ]
    return message_pb2.Message(role=message_pb2.ROLE_ASSISTANT, tool_calls=calls)


def result(id: str, said: str) -> message_pb2.Message:
    return text(said, message_pb2.ROLE_TOOL, tool_call_id=id)


def shown(entries: list[Entry]) -> list[Any]:
    """Ids of calls as a list, results as id and texts, everything else as its text."""
    found: list[Any] = []
    for entry in entries:
        texts = [part.text for part in entry.message.content]
        if entry.call_ids:
            found.append(list(entry.call_ids))
        elif entry.result_of:
            found.append((entry.result_of, *texts))
        else:
            found.append(" ".join(texts))
    return found


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([text("Hi"), text("Ho", message_pb2.ROLE_ASSISTANT)], ["Hi", "Ho"]),
        ([calling("a"), result("a", "1")], [["a"], ("a", "1")]),
        (
            [calling("a"), result("a", "1"), calling("a"), result("a", "2")],
            [["a"], ("a", "1"), ["a_2"], ("a_2", "2")],
        ),
        ([calling("a", "a"), result("a", "1"), result("a", "2")], [["a", "a_2"], ("a", "1"), ("a_2", "2")]),
        ([calling("", ""), result("x", "1")], [["call_1", "call_2"], ("call_1", NO_RESULT)]),
        ([calling("a", "b"), result("b", "2"), result("a", "1")], [["a", "b"], ("b", "2"), ("a", "1")]),
        ([calling("a"), text("Wait"), result("a", "1")], [["a"], ("a", "1"), "Wait"]),
        ([calling("a"), result("a", "1"), result("a", "2")], [["a"], ("a", "1", "2")]),
        ([result("a", "1"), calling("a")], [["a"], ("a", "1")]),
        ([result("z", "1"), text("Hi")], [f"{ORPHAN} 1", "Hi"]),
        ([calling("a"), text("Hi")], [["a"], ("a", NO_RESULT), "Hi"]),
        (
            [calling("a"), calling("a"), result("a", "2")],
            [["a"], ("a", NO_RESULT), ["a_2"], ("a_2", "2")],
        ),
        (
            [calling("a"), text("noon", message_pb2.ROLE_FUNCTION, name="weather")],
            [["a"], ("a", "noon")],
        ),
    ],
)
def test_results_stand_behind_their_calls(messages: list[message_pb2.Message], expected: list[Any]) -> None:
    found = shown(arrange(messages, ANY))
    assert found[: len(expected)] == expected


def test_a_functions_result_without_a_call_stays_where_it_may() -> None:
    bare = text("noon", message_pb2.ROLE_FUNCTION, name="time")
    [entry] = arrange([bare], CallRules(bare_functions=True))
    assert entry.message is bare
    assert shown(arrange([bare], ANY)) == [f"{ORPHAN} noon"]


def test_messages_that_are_in_order_are_not_copied() -> None:
    messages = [text("Hi"), calling("a"), result("a", "1"), text("Ho")]
    pairs = zip(arrange(messages, ANY), messages, strict=True)
    assert all(entry.message is message for entry, message in pairs)


def test_names_of_what_was_called_come_once() -> None:
    custom = message_pb2.ToolCall(id="c", custom=message_pb2.CustomCall(name="write"))
    free = message_pb2.Message(role=message_pb2.ROLE_ASSISTANT, tool_calls=[custom])
    assert called_names([calling("a", "b"), free, calling("c")]) == ["weather", "write"]


@pytest.mark.parametrize("rules", [ANY, NINE, WORDS], ids=["any", "nine", "words"])
@given(given_ids=st.lists(st.text(max_size=90), max_size=12))
def test_ids_fit_differ_and_do_not_change_when_more_follow(rules: CallRules, given_ids: list[str]) -> None:
    ids = CallIds(rules)
    sent = [ids.of(given) for given in given_ids]
    assert len(set(sent)) == len(sent)
    assert all(0 < len(id) <= rules.max_chars for id in sent)
    if rules is NINE:
        assert all(re.fullmatch("[a-zA-Z0-9]{9}", id) for id in sent)
    if rules is WORDS:
        assert all(re.fullmatch("[a-zA-Z0-9_-]+", id) for id in sent)
    again = CallIds(rules)
    half = [again.of(given) for given in given_ids[: len(given_ids) // 2]]
    assert half == sent[: len(half)]


@pytest.mark.parametrize("id", ["abcDEF123", "000000000"])
def test_an_id_that_fits_stays(id: str) -> None:
    assert CallIds(NINE).of(id) == id
