"""Anything in the place of anything: an answer with one value exchanged is read, or is a typed error.

Every value of a good answer is exchanged for each of some others, in answers and streams of all protocols.
What comes out must be something that the contract and OpenAI's JSON can hold, and never a fault of ours.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from genai_spine.chunks import ChunkBuilder, completion
from genai_spine.errors import SpineError
from genai_spine.openai_api import responses, sse
from genai_spine.providers.anthropic.adapter import Anthropic
from genai_spine.providers.anthropic.response import MessageReader
from genai_spine.providers.base import Endpoint
from genai_spine.providers.bedrock.adapter import Bedrock
from genai_spine.providers.bedrock.response import ConverseReader
from genai_spine.providers.http.client import HttpClient
from genai_spine.providers.ollama.adapter import Ollama
from genai_spine.providers.ollama.response import AnswerReader
from genai_spine.providers.openai.adapter import CHAT, TEXT
from genai_spine.providers.openai.chat_response import ChatReader, ResponseReader
from genai_spine.providers.openai.responses_response import ResponsesReader
from genai_spine.v1 import completion_service_pb2 as pb

ODD = [
    *(None, True, False, 0, -1, 7, 1.5, 10**30, "", "x", "429", "\ud83d", "null", "error"),
    *([], {}, [None], ["x"], [[]], {"x": None}, {"type": "text", "text": "x"}, [{"text": "x"}]),
]
GONE = object()
ENDPOINT = Endpoint("up", "http://127.0.0.1:9", "sk-0123456789")
HTTP = HttpClient(ENDPOINT)
ANTHROPIC, BEDROCK, OLLAMA = Anthropic(ENDPOINT), Bedrock(ENDPOINT), Ollama(ENDPOINT)

CALL = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
LOGPROBS = {"content": [{"token": "x", "logprob": -1.0, "bytes": [120], "top_logprobs": []}]}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
SAID = {
    "content": "Hi",
    "reasoning": "Hm",
    "refusal": None,
    "tool_calls": [CALL],
    "annotations": [{"type": "x"}],
}
CHOICE = {"index": 0, "message": SAID, "logprobs": LOGPROBS, "finish_reason": "stop"}
CHAT_ANSWER = {
    "id": "x",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [CHOICE],
    "usage": USAGE,
}
CHUNKS = [
    {"id": "x", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant"}}]},
    {"id": "x", "choices": [{"index": 0, "delta": SAID, "logprobs": LOGPROBS, "finish_reason": None}]},
    {"id": "x", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "error": None},
    {"id": "x", "choices": [], "usage": USAGE},
]
TEXT_CHOICE = {"index": 0, "text": "Hi", "logprobs": {"tokens": ["H"], "token_logprobs": [-1.0]}}
TEXT_ANSWER = {"id": "x", "created": 1, "choices": [TEXT_CHOICE | {"finish_reason": "stop"}], "usage": USAGE}
ITEMS = [
    {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Hm"}]},
    {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Hi", "annotations": []}]},
    {"type": "function_call", "id": "f", "call_id": "a", "name": "f", "arguments": "{}"},
]
RESPONSE = {"id": "x", "created_at": 1, "model": "m", "status": "completed", "output": ITEMS, "error": None}
RESPONSE_EVENTS = [
    {"type": "response.created", "response": RESPONSE | {"status": "in_progress"}},
    {"type": "response.output_item.added", "output_index": 0, "item": ITEMS[2]},
    {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{}"},
    {"type": "response.output_text.delta", "output_index": 1, "delta": "Hi", "logprobs": []},
    {"type": "response.output_item.done", "output_index": 0, "item": ITEMS[2]},
    {"type": "response.completed", "response": RESPONSE | {"usage": {"input_tokens": 3, "output_tokens": 2}}},
]
BLOCKS = [
    {"type": "thinking", "thinking": "Hm", "signature": "s"},
    {"type": "text", "text": "Hi", "citations": [{"type": "x"}]},
    {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
]
COUNTS = {"input_tokens": 3, "output_tokens": 2, "cache_creation": {"ephemeral_5m_input_tokens": 1}}
MESSAGE = {
    "type": "message",
    "id": "x",
    "model": "m",
    "content": BLOCKS,
    "stop_reason": "tool_use",
    "usage": COUNTS,
}
MESSAGE_EVENTS = [
    {"type": "message_start", "message": {"id": "x", "model": "m", "usage": COUNTS}},
    {"type": "content_block_start", "index": 0, "content_block": BLOCKS[0]},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm"}},
    {"type": "content_block_start", "index": 1, "content_block": BLOCKS[2]},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "Hi"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]
TOKENS = {"inputTokens": 3, "outputTokens": 2, "cacheDetails": [{"ttl": "1h", "inputTokens": 1}]}
CONTENT = [
    {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "s"}}},
    {"text": "Hi"},
    {"toolUse": {"toolUseId": "a", "name": "f", "input": {}}},
    {"citationsContent": {"content": [{"text": "Hi"}], "citations": [{}]}},
]
CONVERSED = {"output": {"message": {"content": CONTENT}}, "stopReason": "end_turn", "usage": TOKENS}
CONVERSE_EVENTS = [
    {"messageStart": {"role": "assistant"}},
    {"contentBlockStart": {"contentBlockIndex": 0, "start": {"toolUse": {"toolUseId": "a", "name": "f"}}}},
    {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"toolUse": {"input": "{}"}}}},
    {"contentBlockStop": {"contentBlockIndex": 0}},
    {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"text": "Hi"}}},
    {"contentBlockDelta": {"contentBlockIndex": 2, "delta": {"reasoningContent": {"text": "Hm"}}}},
    {"messageStop": {"stopReason": "end_turn"}},
    {"metadata": {"usage": TOKENS, "serviceTier": {"type": "default"}}},
]
SPOKEN = {"content": "Hi", "thinking": "Hm", "tool_calls": [{"id": "a", "function": {"name": "f"}}]}
LINES = [
    {"model": "m", "message": SPOKEN, "done": False, "logprobs": LOGPROBS["content"]},
    {"model": "m", "done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2},
]


def by_reader(make: Callable[[], ResponseReader]) -> Callable[[list[bytes]], pb.CompletionChunk]:
    """Reading of a stream by one of OpenAI's readers; one body is an answer."""

    def read(bodies: list[bytes]) -> pb.CompletionChunk:
        reader, whole = make(), ChunkBuilder()
        if len(bodies) == 1:
            return reader.read(bodies[0])
        for body in bodies:
            chunk, error = reader.chunk([body])
            if error is not None:
                raise error
            if chunk is not None:
                whole.add(chunk)
        chunk, error = reader.last_chunk(1)
        if error is not None:
            raise error
        if chunk is not None:
            whole.add(chunk)
        return whole.build()

    return read


def anthropic(bodies: list[bytes]) -> pb.CompletionChunk:
    reader, adapter, whole = MessageReader(), ANTHROPIC, ChunkBuilder()
    for body in bodies:
        adapter._take(body, reader, "m")
        whole.add(reader.chunk())
    return whole.build()


def bedrock(bodies: list[bytes]) -> pb.CompletionChunk:
    reader, adapter, whole = ConverseReader(), BEDROCK, ChunkBuilder()
    for body in bodies:
        builder = adapter._begun("m", reader)
        adapter._read(body, reader, builder)
        whole.add(builder.build())
    return whole.build()


def ollama(bodies: list[bytes]) -> pb.CompletionChunk:
    adapter, whole = OLLAMA, ChunkBuilder()
    reader = AnswerReader(HTTP, adapter._fail_in_answer)
    for body in bodies:
        builder = ChunkBuilder(reader.halves)
        reader.add(adapter._decoded(body), body, builder)
        whole.add(builder.build())
    return whole.build()


ANSWERS: dict[str, tuple[Callable[[list[bytes]], pb.CompletionChunk], list[Any]]] = {
    "chat": (by_reader(lambda: ChatReader(HTTP, CHAT)), [CHAT_ANSWER]),
    "chat stream": (by_reader(lambda: ChatReader(HTTP, CHAT)), CHUNKS),
    "text": (by_reader(lambda: ChatReader(HTTP, TEXT)), [TEXT_ANSWER]),
    "responses": (by_reader(lambda: ResponsesReader(HTTP)), [RESPONSE]),
    "responses stream": (by_reader(lambda: ResponsesReader(HTTP)), RESPONSE_EVENTS),
    "anthropic": (anthropic, [MESSAGE]),
    "anthropic stream": (anthropic, MESSAGE_EVENTS),
    "bedrock": (bedrock, [CONVERSED]),
    "bedrock stream": (bedrock, CONVERSE_EVENTS),
    "ollama": (ollama, [LINES[1] | LINES[0] | {"done": True}]),
    "ollama stream": (ollama, LINES),
}


def exchanged(value: Any) -> Iterator[tuple[str, Any]]:
    """The value with one of its parts exchanged, and where."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        for odd in (GONE, *ODD):
            copy = value.copy()
            if odd is GONE:
                del copy[key]
            else:
                copy[key] = odd
            yield f"{key}={'gone' if odd is GONE else odd!r}", copy
        for where, inner in exchanged(value[key]):
            copy = value.copy()
            copy[key] = inner
            yield f"{key}.{where}", copy


@pytest.mark.parametrize("name", ANSWERS)
def test_good_answer_has_its_text_and_its_call(name: str) -> None:
    read, answer = ANSWERS[name]
    [choice] = completion(read([json.dumps(body).encode() for body in answer])).choices
    assert "Hi" in "".join(part.text for part in choice.message.content)
    assert name == "text" or choice.message.tool_calls[0].id == "a"


@pytest.mark.parametrize("name", ANSWERS)
def test_anything_in_the_place_of_anything_is_read_or_a_typed_error(name: str) -> None:
    read, answer = ANSWERS[name]
    readable, total, faults = 0, 0, []
    for where, odd in exchanged(answer):
        total += 1
        try:
            chunk = read([json.dumps(body).encode() for body in odd])
            if not chunk.choices:
                continue
            chunk.ClearField("service_tier")  # upstreams have tiers and citations of their own
            for delta in chunk.choices:
                delta.ClearField("annotations_json")
            frames = sse.ChatFrames(True, before_tools=False).write(chunk)
            written = responses.chat(completion(chunk), before_tools=False)
            json.loads(frames.split(b"\n\n")[0].removeprefix(b"data: "))
            ChatCompletion.model_validate_json(written)
            readable += 1
        except SpineError as error:
            if "Hi" in str(error):
                faults.append(f"{where}: {error}")
        except Exception as fault:
            faults.append(f"{where}: {fault!r}")
    assert not faults, f"{len(faults)} of {total}\n" + "\n".join(faults[:30])
    assert readable > total / 2
