"""Tool calls of chats: identity and order whatever the server sends; see providers/tool_calls.py."""

import json
from typing import Any

import pytest

from genai_spine.chunks import completion
from genai_spine.errors import (
    ProviderFailure,
)
from genai_spine.providers.openai.adapter import CHAT
from genai_spine.providers.openai.chat_response import ChatReader
from genai_spine.v1 import completion_service_pb2 as pb
from tests.unit.providers.openai.chats import (
    HTTP,
    call,
    calls,
    event,
    read,
    read_calls,
    said,
    streamed,
)

BEGIN, TO_OSLO, TO_ROME = '{"city":', '"Oslo"}', '"Rome"}'
OS = '{"city":"Os'
OSLO, ROME = '{"city":"Oslo"}', '{"city":"Rome"}'


class TestToolCallIdentity:
    @pytest.mark.parametrize(
        ("fragments", "found"),
        [
            # T1: one index for all.
            ([call(0, "a", "weather", OSLO), call(0, "b", "clock", ROME)], ["a weather O", "b clock R"]),
            ([call(0, "a", "weather", OSLO), call(0, "b", "weather", ROME)], ["a weather O", "b weather R"]),
            ([call(0, "a", "f", ""), call(0, "b", "f", "")], ["a f ", "b f "]),
            (
                [call(0, "a", "f", BEGIN), call(0, ..., ..., TO_OSLO), call(0, "b", "f", ROME)],
                ["a f O", "b f R"],
            ),
            ([[call(0, "a", "f", OSLO), call(0, "b", "f", ROME)]], ["a f O", "b f R"]),
            (
                [call(0, "a", "f", BEGIN), call(0, "b", "g", ROME), call(0, "a", ..., TO_OSLO)],
                ["a f O", "b g R"],
            ),
            # T2: the name comes late.
            ([call(0, "a", ..., BEGIN), call(0, ..., "weather", TO_OSLO)], ["a weather O"]),
            ([call(0, "a", "", ""), call(0, ..., "weather", OSLO)], ["a weather O"]),
            (
                [call(0, "a", None, BEGIN), call(0, ..., ..., TO_OSLO), call(0, ..., "f", ...)],
                ["a f O"],
            ),
            ([call(0, "a", ..., OSLO), call(1, "b", "g", ROME), call(0, ..., "f", "")], ["b g R", "a f O"]),
            ([call(..., "a", ..., BEGIN), call(..., ..., "f", TO_OSLO)], ["a f O"]),
            # T3: no id, an empty one, or one that comes late.
            ([call(0, "", "f", OSLO)], [" f O"]),
            ([call(0, None, "f", OSLO), call(1, ..., "f", ROME)], [" f O", " f R"]),
            ([call(0, ..., "f", BEGIN), call(0, "late", ..., TO_OSLO)], ["late f O"]),
            ([[call(0, "", "f", OSLO), call(0, "", "f", ROME)]], [" f O", " f R"]),
            ([call(0, "same", "f", OSLO), call(1, "same", "f", ROME)], ["same f O", " f R"]),
            ([call(0, "", "f", OSLO), call(0, "", "g", ROME)], [" f O", " g R"]),
            ([call(..., ..., "f", OSLO), call(..., ..., "f", ROME)], [" f O", " f R"]),
            # Ids and names that are repeated, or new, in each fragment.
            ([call(0, "a", "f", BEGIN), call(0, "a", "f", TO_OSLO)], ["a f O"]),
            ([call(0, "a", "f", BEGIN), call(0, "b", ..., '"Oslo'), call(0, "c", ..., '"}')], ["a f O"]),
            ([call(0, "a", "f", ""), call(0, "b", ..., BEGIN), call(0, "c", ..., TO_OSLO)], ["a f O"]),
            ([call(0, "a", "f", ""), call(0, "", "", BEGIN), call(0, "", "", TO_OSLO)], ["a f O"]),
            # Fragments of two calls in turn; indexes that are missing, null, text, or begin at one.
            (
                [
                    call(0, "a", "f", BEGIN),
                    call(1, "b", "f", BEGIN),
                    call(0, ..., ..., TO_OSLO),
                    call(1, ..., ..., TO_ROME),
                ],
                ["a f O", "b f R"],
            ),
            ([call(None, "a", "f", BEGIN), call(None, ..., ..., TO_OSLO)], ["a f O"]),
            ([call("0", "a", "f", BEGIN), call(0, ..., ..., TO_OSLO)], ["a f O"]),
            ([call(1, "a", "f", OSLO), call(2, "b", "f", ROME)], ["a f O", "b f R"]),
            ([call(..., "a", "f", BEGIN), call(0, ..., ..., TO_OSLO)], ["a f O"]),
            ([call(-1, "a", "f", OSLO), call(10**9, "b", "f", ROME)], ["a f O", "b f R"]),
            # Whole calls that are repeated, and totals so far.
            ([call(0, "a", "f", OSLO), call(0, "a", "f", OSLO)], ["a f O"]),
            (
                [call(0, "a", "f", BEGIN), call(0, "a", "f", OS), call(0, "a", "f", OSLO)],
                ["a f O"],
            ),
            (
                [call(0, "a", "f", BEGIN), call(0, ..., ..., TO_OSLO), call(0, "a", "f", OSLO)],
                ["a f O"],
            ),
            ([call(0, "a", "f", OSLO), call(0, "a", "f", '{"city": "Oslo"}')], ["a f O"]),
            ([call(0, "", "f", OSLO), call(0, "", "f", OSLO)], [" f O"]),
            # T7: arguments that are an object, and calls without a function around them.
            ([call(0, "a", "f", {"city": "Oslo"})], ["a f O"]),
            ([call(0, "a", "f", {"city": "Oslo"}), call(1, "b", "f", {"city": "Rome"})], ["a f O", "b f R"]),
            ([{"index": 0, "id": "a", "name": "f", "arguments": {"city": "Oslo"}}], ["a f O"]),
            ([call(0, "a", "f", []), call(1, "b", "f", 3)], ["a f []", "b f 3"]),
            ([call(0, 7, "f", OSLO)], ["7 f O"]),
            ([call(0, "a", "f", None), None], ["a f "]),
        ],
    )
    def test_calls_are_told_apart_and_put_together(self, fragments: Any, found: list[str]) -> None:
        short = {OSLO: "O", ROME: "R"}
        got = [f"{id} {name} {short.get(arguments, arguments)}" for id, name, arguments in calls(*fragments)]
        assert got == found

    @pytest.mark.parametrize(
        ("given", "found"),
        [
            ([call(..., "", "f", OSLO), call(..., ..., "f", OSLO)], [" f O", " f O"]),
            ([call(..., "a", "f", {"city": "Oslo"})], ["a f O"]),
            ([call(0, "a", "f", OSLO), call(0, "a", "f", ROME)], ["a f O", " f R"]),
            (call(..., None, "f", OSLO), [" f O"]),
            ([None, call(..., "a", "f", OSLO)], ["a f O"]),
        ],
    )
    def test_calls_of_a_whole_answer_are_as_many_as_there_are(self, given: Any, found: list[str]) -> None:
        short = {OSLO: "O"} | {ROME: "R"}
        body = {"choices": [{"message": {"content": None, "tool_calls": given}, "finish_reason": "stop"}]}
        choice = completion(read(json.dumps(body))).choices[0]
        assert [f"{id} {name} {short[said]}" for id, name, said in read_calls(choice)] == found
        assert choice.finish_reason == pb.FINISH_REASON_TOOL_CALLS

    def test_arguments_keep_the_order_of_keys_and_their_numbers(self) -> None:
        body = '{"choices":[{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":%s}}]}}]}'
        arguments = '{"z":1.10,"a":12345678901234567890,"e":1E+2,"n":null}'
        [call] = read(body % arguments).choices[0].tool_calls
        assert call.arguments == arguments

    def test_name_goes_out_with_the_first_fragment(self) -> None:
        reader, names = ChatReader(HTTP, CHAT), []
        for fragment in (call(0, "a", ..., BEGIN), call(0, ..., "weather", TO_OSLO)):
            chunk, _ = reader.chunk([event(said(tool_calls=[fragment]))])
            names += [(c.id, c.name, c.arguments) for c in chunk.choices[0].tool_calls] if chunk else []
        assert names == [("a", "weather", OSLO)]

    @pytest.mark.parametrize("end", [said(finish="tool_calls"), said(finish="stop"), None])
    def test_call_that_is_never_named_is_no_answer(self, end: Any) -> None:
        events = [event(said(tool_calls=[call(0, "a", ..., OSLO)])), event(end) if end else "[DONE]"]
        with pytest.raises(ProviderFailure, match="without naming it"):
            streamed(*events)

    @pytest.mark.parametrize(
        ("finish", "forced", "reason"),
        [
            ("stop", False, pb.FINISH_REASON_TOOL_CALLS),
            ("eos", False, pb.FINISH_REASON_TOOL_CALLS),
            ("end_turn", False, pb.FINISH_REASON_TOOL_CALLS),
            ("stop", True, pb.FINISH_REASON_STOP),
            ("length", False, pb.FINISH_REASON_LENGTH),
            ("content_filter", False, pb.FINISH_REASON_CONTENT_FILTER),
            ("function_call", False, pb.FINISH_REASON_TOOL_CALLS),
        ],
    )
    def test_calls_end_with_tool_calls(self, finish: str, forced: bool, reason: int) -> None:
        first = event(said(tool_calls=[call(0, "a", "f", OSLO)]))
        assert streamed(first, event(said(finish=finish)), forced=forced).choices[0].finish_reason == reason

    def test_calls_that_only_done_ends_are_tool_calls(self) -> None:
        choice = streamed(event(said(tool_calls=[call(0, "", "f", OSLO)])), "[DONE]").choices[0]
        assert choice.finish_reason == pb.FINISH_REASON_TOOL_CALLS
        assert read_calls(choice) == [("", "f", OSLO)]

    def test_custom_tools_input_that_looks_like_json_is_text(self) -> None:
        fragments = [
            {"index": 0, "id": "a", "type": "custom", "custom": {"name": "sql", "input": "{"}},
            {"index": 0, "custom": {"input": "{"}},
        ]
        events = [event(said(tool_calls=[part])) for part in fragments]
        message = streamed(*events, event(said(finish="stop"))).choices[0].message
        assert message.tool_calls[0].custom.input == "{{"
