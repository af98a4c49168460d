"""Answers of the Responses API: what a stream and a whole answer say, and what neither should."""

import json
from typing import Any

import pytest

from genai_spine.chunks import ChunkBuilder, completion, text_of
from genai_spine.errors import ProviderError, ProviderFailure, ProviderRateLimited, ProviderUnavailable
from genai_spine.providers.base import Endpoint
from genai_spine.providers.http.client import HttpClient
from genai_spine.providers.openai.responses_response import ResponsesReader
from genai_spine.v1 import completion_service_pb2 as pb

CITED = {"type": "url_citation", "url": "https://x", "title": "X", "start_index": 0, "end_index": 1}
OUTPUT = [
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}],
    },
    {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    {
        "type": "message",
        "id": "msg_1",
        "role": "assistant",
        "phase": "final_answer",
        "content": [{"type": "output_text", "text": "Hi", "annotations": [CITED]}],
    },
]


def reading() -> ResponsesReader:
    return ResponsesReader(HttpClient(Endpoint("openai", "http://localhost:1")))


def response(**fields: Any) -> dict[str, Any]:
    return {"id": "resp_1", "created_at": 7, "model": "o3", "status": "completed", "output": []} | fields


def streamed(*events: dict[str, Any], read: ResponsesReader | None = None) -> list[pb.CompletionChunk]:
    """A chunk for each event."""
    read = read or reading()
    chunks = []
    for event in events:
        builder = ChunkBuilder()
        read.event(json.dumps(event).encode(), builder)
        chunks.append(builder.build())
    return chunks


def folded(*events: dict[str, Any]) -> pb.Completion:
    into = ChunkBuilder()
    for chunk in streamed(*events):
        into.add(chunk)
    return completion(into.build())


def whole(**fields: Any) -> pb.Completion:
    builder = ChunkBuilder()
    reading().whole(json.dumps(response(**fields), indent=2).encode(), builder)
    return completion(builder.build())


def summary(index: int, text: str) -> list[dict[str, Any]]:
    at = {"output_index": 0, "summary_index": index, "item_id": "rs_1"}
    kind = "response.reasoning_summary"
    return [
        {"type": f"{kind}_part.added", **at, "part": {"type": "summary_text", "text": ""}},
        {"type": f"{kind}_text.delta", **at, "delta": text},
    ]


EVENTS = [
    {"type": "response.created", "response": response(status="in_progress")},
    *summary(0, "one"),
    *summary(1, "two"),
    {"type": "response.output_item.done", "output_index": 0, "item": OUTPUT[0]},
    {"type": "response.output_item.added", "output_index": 1, "item": OUTPUT[1]},
    {"type": "response.web_search_call.searching", "output_index": 1, "item_id": "ws_1"},
    {"type": "response.output_item.done", "output_index": 1, "item": OUTPUT[1]},
    {"type": "response.output_text.delta", "output_index": 2, "delta": "Hi"},
    {"type": "response.output_text.annotation.added", "output_index": 2, "annotation": CITED},
    {"type": "response.output_item.done", "output_index": 2, "item": OUTPUT[2]},
    {"type": "response.completed", "response": response(output=OUTPUT)},
]


def test_stream_and_a_whole_answer_say_the_same() -> None:
    found = folded(*EVENTS)
    assert found == whole(output=OUTPUT)
    message = found.choices[0].message
    assert message.reasoning == "one\n\ntwo"
    assert json.loads(message.annotations_json) == [CITED]
    assert json.loads(message.reasoning_state_json) == [
        OUTPUT[0],
        {"type": "message", "phase": "final_answer"},
    ]
    assert " " not in message.reasoning_state_json


def test_event_that_says_nothing_to_a_caller_is_no_chunk() -> None:
    chunks = streamed(*EVENTS, {"type": "response.of_tomorrow", "x": 1})
    spoken = [event["type"] for event, chunk in zip(EVENTS, chunks, strict=False) if chunk.ByteSize()]
    assert spoken == [
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.output_text.delta",
        "response.completed",
    ]
    assert not chunks[-1].ByteSize()


def test_state_is_not_kept_without_thinking() -> None:
    assert not whole(output=OUTPUT[2:]).choices[0].message.HasField("reasoning_state_json")


def test_calls_are_numbered_among_calls() -> None:
    items = [
        OUTPUT[0],
        {"type": "function_call", "call_id": "c1", "name": "a", "arguments": "{}", "id": "fc_1"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "b", "input": "x", "id": "ctc_1"},
    ]
    events = [
        {"type": "response.output_item.added", "output_index": 1, "item": items[1] | {"arguments": ""}},
        {"type": "response.output_item.added", "output_index": 2, "item": items[2] | {"input": ""}},
        {"type": "response.custom_tool_call_input.delta", "output_index": 2, "delta": "x"},
        {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{}"},
    ]
    indices = [call.index for chunk in streamed(*events) for call in chunk.choices[0].tool_calls]
    assert indices == [0, 1, 1, 0]
    found = whole(output=items).choices[0]
    assert found.finish_reason == pb.FINISH_REASON_TOOL_CALLS
    assert [call.id for call in found.message.tool_calls] == ["c1", "c2"]
    assert found.message.tool_calls[1].custom.input == "x"


def test_arguments_of_something_that_is_no_call_are_an_error() -> None:
    with pytest.raises(ProviderError) as error:
        streamed(
            {"type": "response.function_call_arguments.delta", "output_index": 4, "delta": "{"}, EVENTS[-1]
        )
    assert error.value.metadata["provider_code"] == "nameless_call"


ITEM = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"a":1}'}


@pytest.mark.parametrize(
    ("items", "found"),
    [
        ([ITEM | {"arguments": {"a": 1}}], [("c1", "f", '{"a":1}')]),
        ([ITEM, ITEM | {"name": "g"}], [("c1", "f", '{"a":1}'), (None, "g", '{"a":1}')]),
        ([ITEM | {"call_id": "", "id": None}], [(None, "f", '{"a":1}')]),
        ([ITEM | {"call_id": None}], [("fc_1", "f", '{"a":1}')]),
        ([None, ITEM | {"arguments": None}], [("c1", "f", "")]),
    ],
)
def test_calls_of_any_form_have_ids_of_their_own(items: Any, found: list[Any]) -> None:
    events = [{"type": "response.output_item.done", "output_index": 0, "item": item} for item in items]
    for answer in (whole(output=items), folded(*events, EVENTS[-1])):
        calls = answer.choices[0].message.tool_calls
        assert len({call.id for call in calls}) == len(found)
        for call, (id, name, arguments) in zip(calls, found, strict=True):
            assert (call.function.name, call.function.arguments_json) == (name, arguments)
            assert call.id == id or (id is None and call.id.startswith("call_"))


def test_name_of_a_call_may_come_at_its_end() -> None:
    events = [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": ITEM | {"name": "", "arguments": ""},
        },
        {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": '{"a":1}'},
        {"type": "response.output_item.done", "output_index": 0, "item": ITEM},
    ]
    [call] = folded(*events, EVENTS[-1]).choices[0].message.tool_calls
    assert (call.id, call.function.name, call.function.arguments_json) == ("c1", "f", '{"a":1}')


@pytest.mark.parametrize(
    "odd",
    [
        {"output": [{"type": "message", "content": "Hi"}], "error": {}},
        {"output": [{"type": "message", "content": {"type": "output_text", "text": "Hi"}}], "id": None},
        {
            "output": [{"type": "message", "content": [{"text": "Hi", "annotations": None}]}],
            "created_at": "7",
        },
        {"output": {"type": "message", "content": [None, {"type": "output_text", "text": "Hi"}]}},
        {"output": [{"type": "message", "content": [{"text": "Hi"}]}], "status": None, "model": None},
    ],
)
def test_response_of_any_form_has_its_text(odd: Any) -> None:
    usage = {"input_tokens": "3", "output_tokens": 2.0, "input_tokens_details": None}
    found = whole(**odd, usage=usage)
    assert (text_of(found.choices[0]), found.usage.total_tokens) == ("Hi", 5)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"message": "no memory", "code": "500"}}, ProviderUnavailable),
        ({"error": "no memory"}, ProviderUnavailable),
        ({"object": "error", "message": "no memory", "code": 429}, ProviderRateLimited),
        ({"detail": "no memory"}, ProviderUnavailable),
        (response(status="failed", error={"message": "no memory", "code": "x"}), ProviderUnavailable),
    ],
)
def test_error_in_the_place_of_an_answer_is_one(body: Any, kind: Any) -> None:
    for failing in (lambda: reading().read(json.dumps(body).encode()), lambda: streamed(body)):
        with pytest.raises(kind, match="no memory"):
            failing()


def test_response_in_the_place_of_its_stream_is_read() -> None:
    [chunk] = streamed(response(output=OUTPUT))
    assert chunk.choices[0].content == "Hi"
    stream = b"".join(b"data: %b\n\n" % json.dumps(event).encode() for event in EVENTS)
    assert completion(reading().read(stream)) == folded(*EVENTS)


def test_response_that_cannot_be_used_tells_its_usage() -> None:
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    for body in (response(status="failed", usage=usage), response(status="queued", usage=usage)):
        with pytest.raises(ProviderFailure) as failure:
            reading().read(json.dumps(body).encode())
        assert failure.value.usage
        assert failure.value.usage.total_tokens == 5


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled", None])
def test_response_that_is_not_complete_is_an_error(status: str | None) -> None:
    with pytest.raises(ProviderError) as error:
        whole(status=status)
    assert error.value.metadata["provider_code"] == "not_complete"


def test_gateway_may_end_its_stream_as_a_chat_does() -> None:
    read = reading()
    chunk = pb.CompletionChunk()
    read.event(b"[DONE]", chunk)
    assert not chunk.ByteSize()
    with pytest.raises(ProviderError, match="ended before it was complete"):
        read.end(1, ChunkBuilder())
    streamed(EVENTS[-1], read=read)
    read.end(1, ChunkBuilder())


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("max_output_tokens", pb.FINISH_REASON_LENGTH),
        ("content_filter", pb.FINISH_REASON_CONTENT_FILTER),
        ("max_messages", pb.FINISH_REASON_LENGTH),
    ],
)
def test_why_an_answer_is_incomplete(reason: str, finish: int) -> None:
    found = whole(output=OUTPUT, status="incomplete", incomplete_details={"reason": reason})
    assert found.choices[0].finish_reason == finish


def test_token_of_a_stream_has_the_bytes_of_its_text() -> None:
    tokens = [{"token": "é", "logprob": -0.5, "top_logprobs": [{"token": "e", "logprob": -1.0}]}]
    [chunk] = streamed({"type": "response.output_text.delta", "delta": "é", "logprobs": tokens})
    [entry] = chunk.choices[0].logprobs.content
    assert (entry.token_bytes, entry.top_logprobs[0].token) == ("é".encode(), "e")


def used(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "id": f"{kind}_1", "status": "completed"} | fields


TOOLS = [
    used("web_search_call", action={"type": "search", "query": "a"}),
    used("web_search_call", action={"type": "open_page", "url": "https://x"}),
    used("web_search_call", action={"type": "search", "query": "b"}, status="failed"),
    used("file_search_call", queries=["a"]),
    used("code_interpreter_call", code="1"),
    used("mcp_call", name="f", arguments="{}"),
]
TOLD = {
    "input_tokens": 5,
    "output_tokens": 2,
    "total_tokens": 7,
    "input_tokens_details": {"cached_tokens": 1},
}


class TestResponsesReports:
    def test_paid_calls_of_tools_are_counted_and_actions_that_cost_nothing_are_not(self) -> None:
        answer = whole(output=[*TOOLS, OUTPUT[2]], usage=TOLD)
        assert answer.units.server_tools == {"web_search": 1, "file_search": 1, "code_interpreter": 1}
        assert json.loads(answer.usage.reported_json) == TOLD

    def test_stream_counts_what_the_whole_answer_counts(self) -> None:
        done = [
            {"type": f"response.output_item.{step}", "output_index": index, "item": item}
            for index, item in enumerate(TOOLS)
            for step in ("added", "done")
        ]
        end = {"type": "response.completed", "response": response(output=TOOLS, usage=TOLD)}
        answer = folded(*done, end)
        assert answer.units.server_tools == whole(output=TOOLS, usage=TOLD).units.server_tools
        assert json.loads(answer.usage.reported_json) == TOLD

    def test_searches_that_openai_bills_are_what_counts(self) -> None:
        for billed, called in [(3, {"web_search": 3, "file_search": 1, "code_interpreter": 1}),
                               (0, {"file_search": 1, "code_interpreter": 1})]:  # fmt: skip
            told = {"web_search": {"num_requests": billed}, "image_gen": {"total_tokens": 0}}
            assert whole(output=TOOLS, usage=TOLD, tool_usage=told).units.server_tools == called

    def test_older_search_and_images_have_names_of_their_own(self) -> None:
        answer = whole(
            output=TOOLS[:1],
            usage=TOLD,
            tools=[{"type": "web_search_preview_2025_03_11"}],
            tool_usage={"image_gen": {"total_tokens": 90}},
        )
        assert answer.units.server_tools == {"web_search_preview": 1, "image_generation": 1}
