"""What the reader makes of events and of counts."""

from typing import Any

import msgspec
import pytest
from anthropic.types.beta import BetaUsage
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.providers.anthropic.response import EVENT, MESSAGE, MessageReader, Usage, tools, usage
from genai_spine.providers.base import Endpoint
from genai_spine.providers.http.client import HttpClient
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import usage_pb2


def taken(*events: dict[str, Any]) -> pb.CompletionChunk:
    reader = MessageReader()
    for event in events:
        reader.take(EVENT.decode(msgspec.json.encode(event)))
    return reader.chunk()


def whole(**message: Any) -> pb.CompletionChunk:
    reader = MessageReader()
    reader.take_whole(MESSAGE.decode(msgspec.json.encode({"type": "message"} | message)))
    return reader.chunk()


def counted(whole: bool = True, **reported: Any) -> usage_pb2.Usage:
    return usage(msgspec.convert(reported, Usage), whole=whole)


def begin(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


class TestAnthropicEvents:
    def test_several_events_are_one_chunk_and_none_are_an_empty_one(self) -> None:
        said = [delta(0, type="text_delta", text=word) for word in ("a", "b", "c")]
        assert taken(begin(0, type="text", text=""), *said).choices[0].content == "abc"
        assert taken({"type": "ping"}).ByteSize() == 0

    def test_calls_are_numbered_by_themselves_whatever_stands_between(self) -> None:
        chunk = taken(
            begin(0, type="text", text=""),
            begin(1, type="tool_use", id="a", name="f", input={}),
            delta(1, type="input_json_delta", partial_json='{"x":'),
            begin(2, type="server_tool_use", id="s", name="web_search", input={}),
            delta(2, type="input_json_delta", partial_json="lost"),
            begin(3, type="tool_use", id="b", name="g", input={}),
            delta(3, type="input_json_delta", partial_json="{}"),
        )
        calls = [(call.index, call.id, call.name, call.arguments) for call in chunk.choices[0].tool_calls]
        assert calls == [(0, "a", "f", '{"x":'), (1, "b", "g", "{}")]

    def test_arguments_that_come_with_the_start_of_a_call_count_when_no_piece_follows(self) -> None:
        chunk = taken(
            begin(0, type="tool_use", id="a", name="f", input={"x": 1}),
            {"type": "content_block_stop", "index": 0},
        )
        assert chunk.choices[0].tool_calls[0].arguments == '{"x":1}'

    @pytest.mark.parametrize(
        ("reason", "expected"),
        [
            ("end_turn", pb.FINISH_REASON_STOP),
            ("stop_sequence", pb.FINISH_REASON_STOP),
            ("max_tokens", pb.FINISH_REASON_LENGTH),
            ("model_context_window_exceeded", pb.FINISH_REASON_LENGTH),
            ("pause_turn", pb.FINISH_REASON_LENGTH),
            ("tool_use", pb.FINISH_REASON_TOOL_CALLS),
            ("refusal", pb.FINISH_REASON_CONTENT_FILTER),
            ("of a later day", pb.FINISH_REASON_STOP),
        ],
    )
    def test_stop_reasons(self, reason: str, expected: Any) -> None:
        streamed = taken(
            {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 1}}
        )
        assert streamed.choices[0].finish_reason == expected
        assert whole(stop_reason=reason).choices[0].finish_reason == expected

    def test_refusal_without_a_word_is_a_choice_all_the_same(self) -> None:
        chunk = whole(
            content=[], stop_reason="refusal", stop_details={"type": "refusal", "explanation": "harm"}
        )
        assert chunk.choices[0].refusal == "harm"

    def test_thought_without_text_keeps_its_signature(self) -> None:
        chunk = whole(
            content=[{"type": "thinking", "thinking": "", "signature": "s"}], stop_reason="end_turn"
        )
        assert chunk.choices[0].reasoning == ""
        state = msgspec.json.decode(chunk.choices[0].reasoning_state_json)
        assert state == [{"type": "thinking", "thinking": "", "signature": "s"}]


class TestAnthropicUsage:
    def test_buckets_are_disjoint_and_add_up(self) -> None:
        found = counted(
            input_tokens=10,
            cache_read_input_tokens=200,
            cache_creation_input_tokens=70,
            cache_creation={"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 30},
            output_tokens=9,
            output_tokens_details={"thinking_tokens": 4},
        )
        assert (found.uncached_input_tokens, found.cache_read_tokens) == (10, 200)
        assert (found.cache_write_5m_tokens, found.cache_write_1h_tokens) == (40, 30)
        assert (found.visible_output_tokens, found.reasoning_tokens) == (5, 4)
        assert (found.input_tokens, found.output_tokens, found.total_tokens) == (280, 9, 289)

    def test_sum_alone_was_written_for_five_minutes(self) -> None:
        assert counted(input_tokens=1, cache_creation_input_tokens=70).cache_write_5m_tokens == 70

    def test_later_sum_replaces_the_earlier_and_keeps_what_was_written_for_an_hour(self) -> None:
        first = msgspec.convert(
            {
                "input_tokens": 5,
                "cache_creation_input_tokens": 70,
                "cache_creation": {"ephemeral_5m_input_tokens": 40, "ephemeral_1h_input_tokens": 30},
            },
            Usage,
        )
        first.update(msgspec.convert({"cache_creation_input_tokens": 100, "output_tokens": 3}, Usage))
        found = usage(first, whole=True)
        assert (found.cache_write_5m_tokens, found.cache_write_1h_tokens) == (70, 30)
        assert (found.uncached_input_tokens, found.output_tokens) == (5, 3)

    def test_zero_reported_stays_zero_and_is_reported(self) -> None:
        found = counted(input_tokens=0, output_tokens=0)
        assert found.total_tokens == 0
        assert {found.input_provenance, found.output_provenance} == {usage_pb2.PROVENANCE_PROVIDER_REPORTED}

    @given(*[st.none() | st.integers(-(2**40), 2**40)] * 5)
    def test_buckets_add_up_whatever_is_reported(
        self, given: Any, read: Any, written: Any, made: Any, thought: Any
    ) -> None:
        found = counted(
            input_tokens=given,
            cache_read_input_tokens=read,
            cache_creation_input_tokens=written,
            output_tokens=made,
            output_tokens_details=None if thought is None else {"thinking_tokens": thought},
        )
        inputs = found.uncached_input_tokens + found.cache_read_tokens + found.cache_write_5m_tokens
        assert found.input_tokens == inputs + found.cache_write_1h_tokens
        assert found.output_tokens == found.visible_output_tokens + found.reasoning_tokens
        assert found.total_tokens == found.input_tokens + found.output_tokens

    def test_before_the_end_only_the_input_is_told(self) -> None:
        found = counted(whole=False, input_tokens=7, output_tokens=1)
        assert (found.input_tokens, found.output_tokens, found.total_tokens) == (7, 0, 7)
        assert not found.output_provenance


def calls_of(chunk: pb.CompletionChunk) -> list[tuple[str, str, str]]:
    found = [(call.id, call.name, call.arguments) for call in chunk.choices[0].tool_calls]
    ids = [id for id, _, _ in found]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    return [("" if id.startswith("call_") else id, name, arguments) for id, name, arguments in found]


STOP = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": "2"}}


class TestAnthropicOddities:
    @pytest.mark.parametrize(
        ("blocks", "found"),
        [
            ([{"id": "a", "input": {"x": 1}}, {"id": "a"}], [("a", '{"x":1}'), ("", "{}")]),
            ([{"id": "", "input": {}}, {"input": None}], [("", "{}"), ("", "{}")]),
            ([{"id": None, "input": '{"x":1}'}], [("", '{"x":1}')]),
            ([{"id": "a", "input": ""}, {"id": "b"}], [("a", "{}"), ("b", "{}")]),
            ([{"id": 3, "input": {"x": 1.10}}], [("3", '{"x":1.1}')]),
        ],
    )
    def test_calls_of_any_form_have_ids_of_their_own(self, blocks: Any, found: Any) -> None:
        blocks = [{"type": "tool_use", "name": "f", **block} for block in blocks]
        read = read_whole(content=blocks, stop_reason="end_turn")
        assert calls_of(read) == [(id, "f", arguments) for id, arguments in found]
        assert read.choices[0].finish_reason == pb.FINISH_REASON_TOOL_CALLS

    def test_blocks_of_one_index_and_of_none_are_blocks_of_their_own(self) -> None:
        for index in (0, None):
            events = []
            for id in "abc":
                events += [
                    {"type": "content_block_start", "index": index, "content_block": tool(id)},
                    {
                        "type": "content_block_delta",
                        "index": index,
                        "delta": {"type": "input_json_delta", "partial_json": {"x": id}},
                    },
                    {"type": "content_block_stop", "index": index},
                ]
            assert calls_of(read(*events, STOP)) == [(id, "f", f'{{"x":"{id}"}}') for id in "abc"]

    @pytest.mark.parametrize(
        "odd",
        [
            {"content": "Hi"},
            {"content": [{"type": "text", "text": "Hi", "citations": None}], "id": None, "model": None},
            {"content": {"type": "text", "text": "Hi"}, "stop_details": []},
            {"content": [None, {"type": "text", "text": "Hi"}], "usage": {"input_tokens": "3", "x": None}},
            {"content": {"type": "text", "text": "Hi"}, "usage": {"input_tokens": 3.0, "cache_creation": []}},
            {"content": [{"type": "text", "text": "Hi"}], "type": "", "usage": None},
        ],
    )
    def test_message_of_any_form_has_its_text(self, odd: Any) -> None:
        assert read_whole(**{"stop_reason": "end_turn", **odd}).choices[0].content == "Hi"

    def test_halves_of_a_character_are_joined(self) -> None:
        reader, texts = MessageReader(), []
        for half in (r"a\ud83d", r"\ude80", r"\ude80b\ud83d"):
            body = '{"type":"content_block_delta","index":0,"delta":{"text":"%s"}}' % half  # noqa: UP031
            reader.take(HTTP.decode(body.encode(), EVENT))
            texts += [choice.content for choice in reader.chunk().choices]
        reader.take(HTTP.decode(msgspec.json.encode(STOP), EVENT))
        assert "".join([*texts, reader.chunk().choices[0].content]) == "a\U0001f680\ufffdb\ufffd"

    def test_end_without_a_stop_reason_is_one(self) -> None:
        chunk = read(begin(0, type="text", text="Hi"), {"type": "message_stop"})
        assert chunk.choices[0].finish_reason == pb.FINISH_REASON_STOP

    def test_usage_is_told_at_the_end_whichever_read_brings_it(self) -> None:
        reader = MessageReader()
        for event in (
            begin(0, type="text", text="Hi"),
            {"type": "message_delta", "usage": {"output_tokens": 2}},
        ):
            reader.take(HTTP.decode(msgspec.json.encode(event), EVENT))
        reader.chunk()
        reader.take(HTTP.decode(msgspec.json.encode(STOP), EVENT))
        assert reader.chunk().usage.output_tokens == 2

    def test_stop_reason_that_comes_twice_is_one_and_its_usage_counts(self) -> None:
        reader = MessageReader()
        end = {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 1}}
        chunks = []
        for event in (
            end,
            {**end, "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
            STOP,
        ):
            reader.take(HTTP.decode(msgspec.json.encode(event), EVENT))
            chunks.append(reader.chunk())
        reasons = [delta.finish_reason for chunk in chunks for delta in chunk.choices]
        assert reasons == [pb.FINISH_REASON_LENGTH]
        assert chunks[1].usage.output_tokens == 2

    def test_usage_of_any_event_counts(self) -> None:
        chunk = read({"type": "message_delta", "delta": None, "usage": {"output_tokens": 2.0}}, STOP)
        assert chunk.usage.output_tokens == 2


HTTP = HttpClient(Endpoint("anthropic", "http://127.0.0.1:9"))


def tool(id: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": "f", "input": {}}


def read(*events: dict[str, Any]) -> pb.CompletionChunk:
    reader = MessageReader()
    for event in events:
        reader.take(HTTP.decode(msgspec.json.encode(event), EVENT))
    return reader.chunk()


def read_whole(**message: Any) -> pb.CompletionChunk:
    reader = MessageReader()
    reader.take_whole(HTTP.decode(msgspec.json.encode({"type": "message"} | message), MESSAGE))
    return reader.chunk()


FULL = {  # of an answer in fast mode with searches and a context that was made shorter on the way
    "input_tokens": 105,
    "cache_creation_input_tokens": 130,
    "cache_read_input_tokens": 2000,
    "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 100},
    "output_tokens": 70,
    "output_tokens_details": {"thinking_tokens": 20},
    "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 1},
    "service_tier": "priority",
    "inference_geo": "us",
    "speed": "fast",
    "iterations": [
        {"type": "message", "model": "claude-opus-4-8", "input_tokens": 105, "output_tokens": 70,
         "cache_creation_input_tokens": 130, "cache_read_input_tokens": 2000},
        {"type": "compaction", "input_tokens": 11, "output_tokens": 5,
         "cache_creation_input_tokens": 7, "cache_read_input_tokens": 13,
         "cache_creation": {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 0}},
    ],
}  # fmt: skip


class TestAnthropicReports:
    def test_all_that_decides_the_price_is_read_as_the_official_types_read_it(self) -> None:
        theirs = BetaUsage.model_validate(FULL)
        assert theirs.cache_creation is not None
        assert theirs.server_tool_use is not None
        chunk = whole(stop_reason="end_turn", usage=FULL)
        counts, compaction = chunk.usage, FULL["iterations"][1]
        assert counts.uncached_input_tokens == theirs.input_tokens + compaction["input_tokens"]
        assert counts.cache_read_tokens == (theirs.cache_read_input_tokens or 0) + 13
        assert counts.cache_write_5m_tokens == theirs.cache_creation.ephemeral_5m_input_tokens + 7
        assert counts.cache_write_1h_tokens == theirs.cache_creation.ephemeral_1h_input_tokens
        assert counts.output_tokens == theirs.output_tokens + compaction["output_tokens"]
        assert (chunk.service_tier, chunk.speed, chunk.inference_geo) == (
            theirs.service_tier,
            theirs.speed,
            theirs.inference_geo,
        )
        assert chunk.units.server_tools == {
            "web_search": theirs.server_tool_use.web_search_requests,
            "web_fetch": theirs.server_tool_use.web_fetch_requests,
        }

    def test_terms_of_the_beginning_hold_when_the_end_leaves_them_out(self) -> None:
        chunk = taken(
            {"type": "message_start", "message": {"id": "m", "usage": FULL | {"server_tool_use": None}}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"},
             "usage": {"output_tokens": 90, "server_tool_use": {"web_search_requests": 4}}},
        )  # fmt: skip
        assert (chunk.service_tier, chunk.speed, chunk.inference_geo) == ("priority", "fast", "us")
        assert chunk.units.server_tools == {"web_search": 4}
        assert chunk.usage.output_tokens == 95

    def test_adviser_is_a_tool_because_it_has_prices_of_its_own(self) -> None:
        turns = [
            {"type": "advisor_message", "model": "claude-fable-5", "input_tokens": 9, "output_tokens": 9}
        ]
        told = msgspec.convert({"input_tokens": 5, "iterations": turns}, Usage)
        assert tools(told) == {"advisor": 1}
        assert usage(told, whole=False).input_tokens == 5

    def test_answer_that_reports_nothing_more_has_no_units_and_no_terms(self) -> None:
        chunk = whole(stop_reason="end_turn", usage={"input_tokens": 1, "output_tokens": 1})
        for name in ("units", "service_tier", "speed", "inference_geo"):
            assert not chunk.HasField(name)
