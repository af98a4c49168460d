"""Chat answers in OpenAI's JSON, written for tests, and what ChatReader makes of them."""

import json
import re
from typing import Any

from genai_spine.chunks import ChunkBuilder, text_of
from genai_spine.providers.base import Endpoint
from genai_spine.providers.http.client import HttpClient
from genai_spine.providers.openai.adapter import CHAT
from genai_spine.providers.openai.chat_response import ChatReader
from genai_spine.v1 import completion_service_pb2 as pb

HTTP = HttpClient(Endpoint("vllm", "http://127.0.0.1:9/v1", "sk-0123456789"))


def read(body: str, decoder: Any = CHAT) -> pb.CompletionChunk:
    """A whole answer."""
    return ChatReader(HTTP, decoder).read(body.encode())


OWN = re.compile("call_[0-9a-f]{24}")
COUNTS = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}


def text(answer: pb.Completion) -> str:
    return text_of(answer.choices[0])


def event(*choices: Any, **fields: Any) -> bytes:
    return json.dumps({"id": "x", "created": 1, "model": "m", "choices": choices, **fields}).encode()


def said(content: Any = None, finish: Any = None, **fields: Any) -> dict[str, Any]:
    """A choice of a chunk."""
    delta = fields if content is None else {"content": content, **fields}
    return {"index": 0, "delta": delta, "finish_reason": finish}


def call(*parts: Any, **fields: Any) -> dict[str, Any]:
    """A fragment of a call: index, id, name, arguments, each left out where it is Ellipsis."""
    index, id, name, arguments = parts
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not ...}
    head = {key: value for key, value in (("index", index), ("id", id)) if value is not ...}
    return {**head, **fields, "function": function}


def streamed(*events: bytes | str, reader: ChatReader | None = None, forced: bool = False) -> pb.Completion:
    """What a stream of these events, each in a read of its own, comes to."""
    reader = reader or ChatReader(HTTP, CHAT, forced=forced)
    whole = ChunkBuilder()
    for payload in events:
        chunk, error = reader.chunk([payload if isinstance(payload, bytes) else payload.encode()])
        if chunk is not None:
            whole.add(chunk)
        if error is not None:
            raise error
    chunk, error = reader.last_chunk(1)
    if error is not None:
        raise error
    if chunk is not None:
        whole.add(chunk)
    return whole.completion()


def calls(*fragments: Any) -> list[tuple[str, str, str]]:
    """Id, name and arguments of the calls that a stream of these fragments comes to; a list is one event."""
    deltas = [fragment if isinstance(fragment, list) else [fragment] for fragment in fragments]
    events = [event(said(tool_calls=delta)) for delta in deltas]
    return read_calls(streamed(*events, event(said(finish="tool_calls"))).choices[0])


def read_calls(choice: pb.Choice) -> list[tuple[str, str, str]]:
    found = [(c.id, c.function.name, c.function.arguments_json) for c in choice.message.tool_calls]
    ids = [id for id, _, _ in found]
    assert all(ids)
    assert len(set(ids)) == len(ids)
    return [("" if OWN.fullmatch(id) else id, name, arguments) for id, name, arguments in found]


HELLO, STOPS = said("Hi"), said(finish="stop")
