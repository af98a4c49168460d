"""Chat answers as servers write them, true to the documents and not: each kind of oddity is read one way."""

import json
from typing import Any

import pytest

from genai_spine.chunks import completion
from genai_spine.providers.base import Endpoint
from genai_spine.providers.http.client import HttpClient
from genai_spine.providers.openai.adapter import CHAT, TEXT
from genai_spine.providers.openai.chat_response import ChatReader
from genai_spine.v1 import completion_service_pb2 as pb
from tests.unit.providers.openai.chats import (
    COUNTS,
    HELLO,
    HTTP,
    STOPS,
    event,
    read,
    said,
    streamed,
    text,
)


class TestChatAnswer:
    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            ("stop", "STOP"),
            ("eos", "STOP"),
            ("something new", "STOP"),
            ("length", "LENGTH"),
            ("max_tokens", "LENGTH"),
            ("tool_calls", "TOOL_CALLS"),
            ("function_call", "TOOL_CALLS"),
            ("content_filter", "CONTENT_FILTER"),
            ("SAFETY", "CONTENT_FILTER"),
        ],
    )
    def test_finish_reasons_each_become_one_of_ours(self, said: str, reason: str) -> None:
        chunk = read(json.dumps({"choices": [{"delta": {}, "finish_reason": said}]}))
        assert pb.FinishReason.Name(chunk.choices[0].finish_reason) == f"FINISH_REASON_{reason}"

    def test_answer_may_leave_out_or_add_fields(self) -> None:
        body = (
            '{"id":null,"created":1.5,"model":null,"new":1,"choices":[{"delta":{"content":null},"new":{}}]}'
        )
        assert read(body).choices[0].content == read('{"choices": [{}]}').choices[0].content == ""

    @pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
    def test_thinking_is_read_under_both_of_its_names(self, field: str) -> None:
        chunk = read(json.dumps({"choices": [{"delta": {field: "hm"}}]}))
        assert chunk.choices[0].reasoning == "hm"

    def test_calls_of_a_whole_message_are_numbered(self) -> None:
        calls = [{"id": i, "type": "function", "function": {"name": i, "arguments": "{}"}} for i in "ab"]
        chunk = read(json.dumps({"choices": [{"message": {"tool_calls": calls}}]}))
        assert [(call.index, call.id) for call in chunk.choices[0].tool_calls] == [(0, "a"), (1, "b")]

    def test_call_in_the_style_before_tools_is_a_call(self) -> None:
        body = {"choices": [{"message": {"function_call": {"name": "f", "arguments": "{}"}}}]}
        [call] = read(json.dumps(body)).choices[0].tool_calls
        assert (call.index, call.name, call.arguments) == (0, "f", "{}")

    def test_annotations_are_kept_as_they_came(self) -> None:
        note = '[{"url":"x","n":12345678901234567890}]'
        chunk = read('{"choices":[{"message":{"content":"a","annotations":' + note + "}}]}")
        assert chunk.choices[0].annotations_json == note
        assert (
            not read('{"choices":[{"message":{"annotations":[]}}]}').choices[0].HasField("annotations_json")
        )

    def test_logprobs_of_both_apis(self) -> None:
        token = {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "e", "logprob": -9}],
        }
        chunk = read(json.dumps({"choices": [{"delta": {}, "logprobs": {"content": [token]}}]}))
        [found] = chunk.choices[0].logprobs.content
        assert (found.token, found.logprob, found.token_bytes) == ("é", -0.5, b"\xc3\xa9")
        assert [(top.token, top.logprob, top.HasField("token_bytes")) for top in found.top_logprobs] == [
            ("e", -9.0, False)
        ]
        old = {"tokens": ["a", "b"], "token_logprobs": [None, -1.0], "top_logprobs": [None, {"b": -1.0}]}
        chunk = read(json.dumps({"choices": [{"text": "ab", "logprobs": old}]}), TEXT)
        assert [(entry.token, entry.logprob) for entry in chunk.choices[0].logprobs.content] == [
            ("a", 0.0),
            ("b", -1.0),
        ]
        assert chunk.choices[0].logprobs.content[1].top_logprobs[0].token == "b"


class TestLenientReading:
    @pytest.mark.parametrize(
        "tail",
        [
            '{"choices":null,"usage":%s}',
            '{"choices":[],"usage":%s}',
            '{"choices":[{}],"usage":%s}',
            '{"choices":[null],"usage":%s}',
            '{"choices":{},"usage":%s}',
            '{"choices":[{"index":null,"delta":null,"logprobs":null,"finish_reason":null}],"usage":%s}',
            '{"choices":[{"index":0,"delta":{"content":null,"tool_calls":null},"usage":%s}]}',
            '{"choices":[{"index":0,"delta":{"usage":%s}}]}',
            '{"x_groq":{"id":"x","usage":%s},"choices":[]}',
            '{"usage":%s}',
            '{"id":null,"created":"1763683200","model":null,"choices":null,"error":null,"usage":%s}',
            '\ufeff {"choices":[],"x":NaN,"usage":%s}',
        ],
    )
    def test_usage_is_read_wherever_it_stands(self, tail: str) -> None:
        answer = streamed(event(HELLO), event(STOPS), tail % json.dumps(COUNTS), "[DONE]")
        assert (text(answer), answer.usage.input_tokens, answer.usage.output_tokens) == ("Hi", 7, 5)

    @pytest.mark.parametrize(
        "reported",
        [
            {"prompt_tokens": "7", "completion_tokens": "5", "total_tokens": "12"},
            {"prompt_tokens": 7.0, "completion_tokens": 5.0, "total_tokens": 12.0},
            {**COUNTS, "prompt_tokens_details": [], "completion_tokens_details": "none"},
            {**COUNTS, "prompt_tokens_details": {"cached_tokens": None, "audio_tokens": "x"}},
            {**COUNTS, "total_tokens": None, "cost": {"x": [1]}},
            {**COUNTS, "total_tokens": 10**400},
            [COUNTS],
            {"input_tokens": 7, "output_tokens": 5},
            {"prompt_tokens": 7, "total_tokens": 12},
        ],
    )
    def test_usage_is_read_whatever_its_numbers_are(self, reported: Any) -> None:
        answer = streamed(event(HELLO), event(STOPS, usage=reported), "[DONE]")
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 5)

    def test_usage_in_parts_is_put_together(self) -> None:
        first = event(HELLO, usage={"prompt_tokens": 7, "completion_tokens": 0})
        last = event(STOPS, usage={"prompt_tokens": None, "completion_tokens": 5})
        assert streamed(first, last, event(usage=None), "[DONE]").usage.total_tokens == 12

    @pytest.mark.parametrize(
        ("content", "text", "thought"),
        [
            ([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}], "", "Hm."),
            ([{"type": "text", "text": "Hi"}, {"type": "text", "text": " you"}], "Hi you", ""),
            (
                [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hi"}],
                "Hi",
                "Hm.",
            ),
            ([{"type": "reasoning", "text": "Hm."}, {"type": "output_text", "text": "Hi"}], "Hi", "Hm."),
            (["Hi", " ", {"text": "you"}], "Hi you", ""),
            ({"type": "text", "text": "Hi"}, "Hi", ""),
            ([{"type": "reference", "reference_ids": [1]}, {"type": "text", "text": "Hi"}], "Hi", ""),
            ([{"type": "text", "text": None}, None, {"type": "text", "text": {"value": 1}}], "", ""),
            (5, "5", ""),
        ],
    )
    def test_content_of_any_form_is_text_and_reasoning(self, content: Any, text: str, thought: str) -> None:
        whole = {"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]}
        for answer in (completion(read(json.dumps(whole))), streamed(event(said(content)), event(STOPS))):
            message = answer.choices[0].message
            assert ("".join(part.text for part in message.content), message.reasoning) == (text, thought)

    @pytest.mark.parametrize(
        ("fields", "thought"),
        [
            ({"reasoning_content": "Hm."}, "Hm."),
            ({"reasoning": "Hm."}, "Hm."),
            ({"reasoning": "Hm.", "reasoning_content": "Hm."}, "Hm."),
            ({"reasoning": {"content": "Hm."}}, "Hm."),
            ({"reasoning_content": [{"type": "text", "text": "Hm."}]}, "Hm."),
            ({"reasoning": None, "reasoning_content": None}, ""),
            ({"reasoning": False}, ""),
        ],
    )
    def test_thinking_of_any_form_is_reasoning(self, fields: Any, thought: str) -> None:
        answer = streamed(event(said(**fields)), event(said("Hi")), event(STOPS))
        assert answer.choices[0].message.reasoning == thought

    def test_refusal_in_a_part_is_a_refusal(self) -> None:
        answer = streamed(event(said([{"type": "refusal", "refusal": "No."}])), event(STOPS))
        assert answer.choices[0].message.content[0].refusal == "No."

    @pytest.mark.parametrize(
        "odd",
        [
            {"index": "0", "delta": {"content": "Hi"}},
            {"index": None, "delta": {"content": "Hi", "tool_calls": {}, "annotations": None}},
            {"index": 0.0, "delta": {"content": "Hi", "role": 3, "refusal": False}},
            {"delta": [{"content": "Hi"}]},
            {"delta": {"content": "Hi"}, "logprobs": [], "finish_reason": ""},
            {
                "delta": {"content": "Hi"},
                "logprobs": {"content": [{"token": "H"}, None]},
                "finish_reason": "null",
            },
            {"text": "Hi"},
            {"delta": "Hi"},
            {"message": {"content": "Hi"}},
        ],
    )
    def test_choice_of_any_form_has_its_text(self, odd: Any) -> None:
        assert text(streamed(event(odd), event(STOPS))) == "Hi"
        assert text(streamed(json.dumps({"choices": odd}), event(STOPS))) == "Hi"

    @pytest.mark.parametrize(
        ("finish", "reason"),
        [
            ({"type": "stop", "matched": 3}, pb.FINISH_REASON_STOP),
            ({"type": "length"}, pb.FINISH_REASON_LENGTH),
            ("STOP", pb.FINISH_REASON_STOP),
            ("MAX_TOKENS", pb.FINISH_REASON_LENGTH),
            ("content_filter: RECITATION", pb.FINISH_REASON_CONTENT_FILTER),
            ("sensitive", pb.FINISH_REASON_CONTENT_FILTER),
            (3, pb.FINISH_REASON_STOP),
        ],
    )
    def test_finish_reason_of_any_form_is_read(self, finish: Any, reason: int) -> None:
        assert streamed(event(HELLO), event(said(finish=finish))).choices[0].finish_reason == reason

    @pytest.mark.parametrize(
        "body",
        [
            b'\xef\xbb\xbf{"choices":[{"message":{"content":"Hi"}}]}',
            b'\n\n {"choices":[{"message":{"content":"Hi"}}]} \n\0',
            b'{"choices":[{"message":{"content":"no"}}],"choices":[{"message":{"content":"Hi"}}]}',
            b'{"choices":[{"message":{"content":"Hi"},"logprobs":NaN}],"x":Infinity,"y":-Infinity}',
            b'{"choices":[{"message":{"content":"Hi"}}],"x":"\xff\xfe","y":"a\tb\x01"}',
            b'[{"choices":[{"message":{"content":"Hi"}}]}]',
        ],
    )
    def test_json_that_is_not_quite_json_is_read(self, body: bytes) -> None:
        assert ChatReader(HTTP, CHAT).read(body).choices[0].content == "Hi"

    @pytest.mark.parametrize(
        ("parts", "found"),
        [
            (['"Go "', r'"\ud83d"', r'"\ude80!"'], "Go \U0001f680!"),
            ([r'"\ud83d\ude80"'], "\U0001f680"),
            ([r'"a\ud83d"', '"b"'], "a\ufffdb"),
            ([r'"\ude80a"'], "\ufffda"),
            ([r'"a\ud83d"'], "a\ufffd"),
            ([r'"\ud83d"', r'"\ud83d"', r'"\ude80"'], "\ufffd\U0001f680"),
            ([r'"\ud83d"', "null", '""', r'"\ude80"'], "\U0001f680"),
        ],
    )
    def test_halves_of_a_character_are_joined_or_replaced(self, parts: list[str], found: str) -> None:
        chunk = '{"id":"x","choices":[{"delta":{"%s":%s}}]}'
        end = '{"choices":[{"delta":{},"finish_reason":"stop"}]}'
        for name in ("content", "reasoning", "refusal"):
            message = streamed(*[chunk % (name, part) for part in parts], end).choices[0].message
            content = message.content[0] if message.content else None
            got = message.reasoning if name == "reasoning" else content and (content.refusal or content.text)
            assert got == found

    def test_halves_in_one_read_and_in_arguments_are_joined(self) -> None:
        chunk = '{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f",'
        chunk += '"arguments":%s}}]}}]}'
        parts = [chunk % part for part in (r'"{\"a\":\"\ud83d"', r'"\ude80\"}"')]
        assert streamed(*parts, event(STOPS)).choices[0].message.tool_calls[0].function.arguments_json == (
            '{"a":"\U0001f680"}'
        )
        reader = ChatReader(HTTP, CHAT)
        both = [b'{"choices":[{"delta":{"content":"\\u%s"}}]}' % half for half in (b"d83d", b"de80")]
        chunk_read, _ = reader.chunk(both)
        assert chunk_read is not None
        assert chunk_read.choices[0].content == "\U0001f680"

    def test_halves_of_a_whole_answer_are_replaced(self) -> None:
        body = r'{"choices":[{"message":{"content":"a\ud83d","tool_calls":[{"id":"\ude80","function":'
        body += r'{"name":"f","arguments":{"a":"\ud83d"}}}]},"finish_reason":"tool_calls"}],"model":"\ud83d"}'
        chunk = read(body)
        assert (chunk.choices[0].content, chunk.model) == ("a\ufffd", "\ufffd")
        assert chunk.choices[0].tool_calls[0].arguments == '{"a":"\ufffd"}'

    def test_text_completions_are_read_as_leniently(self) -> None:
        for choice in ({"text": ["H", {"text": "i"}]}, {"text": None, "message": {"content": "Hi"}}):
            body = json.dumps(
                {"choices": [{**choice, "index": "0"}], "usage": COUNTS | {"total_tokens": "12"}}
            )
            chunk = read(body, TEXT)
            assert (chunk.choices[0].content, chunk.usage.total_tokens) == ("Hi", 12)


CITED = [{"type": "url_citation", "url_citation": {"url": "https://x", "title": "X"}}]


class TestChatReports:
    def test_usage_object_comes_beside_the_counts(self) -> None:
        told = {**COUNTS, "cost_in_usd_ticks": 37_756_000}
        whole = read(json.dumps({"choices": [{"message": {"content": "Hi"}}], "usage": told}))
        assert json.loads(whole.usage.reported_json) == told
        assert whole.usage.uncached_input_tokens == COUNTS["prompt_tokens"]

    def test_groqs_own_place_of_usage_is_read(self) -> None:
        whole = read(json.dumps({"choices": [{"message": {"content": "Hi"}}], "x_groq": {"usage": COUNTS}}))
        assert json.loads(whole.usage.reported_json) == COUNTS

    def test_search_of_a_chat_shows_by_its_citations(self) -> None:
        answer = {"choices": [{"message": {"content": "Hi", "annotations": CITED}}], "usage": COUNTS}
        openai = ChatReader(HttpClient(Endpoint("openai", "http://localhost:1")), CHAT)
        assert openai.read(json.dumps(answer).encode()).units.server_tools == {"web_search": 1}
        other = ChatReader(HttpClient(Endpoint("vllm", "http://localhost:1")), CHAT)
        assert not other.read(json.dumps(answer).encode()).HasField("units")

    def test_counted_tools_come_with_the_usage(self) -> None:
        told = {**COUNTS, "server_tool_use": {"web_search_requests": 2}}
        whole = read(json.dumps({"choices": [{"message": {"content": "Hi"}}], "usage": told}))
        assert whole.units.server_tools == {"web_search": 2}
