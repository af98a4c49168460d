"""One read of an upstream that brings a long text in many events, for each adapter; and what it costs.

`python -m tests.contract.bursts openai 5` prints what was measured in this process for each field.
"""

import asyncio
import json
import resource
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from time import process_time
from typing import Any

import msgspec

from genai_spine.call import Call
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from tests.direct import direct

SIZE = 1 << 20  # characters of one burst
MOST_MEMORY = 4 << 30  # bytes of address space; a burst that costs its square must not take the machine
MODELS = {"responses": "o3-pro"}
ADAPTERS = {"openai": "openai", "responses": "openai"}  # of a form; every other is its adapter's name

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Burst:
    """Events of one read: one for each text, between those that begin and end the answer."""

    event_of: Callable[[str], Event]
    before: Sequence[Event] = ()
    after: Sequence[Event] = ()

    def payloads(self, texts: Sequence[str]) -> list[bytes]:
        events = chain(self.before, map(self.event_of, texts), self.after)  # no list: it would hide a peak
        return [msgspec.json.encode(event) for event in events]


def _chat(**delta: Any) -> Event:
    return {"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta}]}


def _chat_arguments(text: str) -> Event:
    return _chat(tool_calls=[{"index": 0, "id": "t1", "function": {"name": "f", "arguments": text}}])


def _responses(kind: str) -> Callable[[str], Event]:
    return lambda text: {"type": f"response.{kind}.delta", "output_index": 0, "delta": text}


def _anthropic(kind: str, name: str) -> Callable[[str], Event]:
    return lambda text: {"type": "content_block_delta", "index": 0, "delta": {"type": kind, name: text}}


def _bedrock(form: Callable[[str], Event]) -> Callable[[str], Event]:
    return lambda text: {"contentBlockDelta": {"contentBlockIndex": 0, "delta": form(text)}}


def _anthropic_block(**block: Any) -> list[Event]:
    begun = {"type": "message_start", "message": {"type": "message", "id": "m1", "model": "m"}}
    return [begun, {"type": "content_block_start", "index": 0, "content_block": block}]


_CHAT_END = [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]
_CALL = {"type": "function_call", "id": "i1", "call_id": "t1", "name": "f"}
_RESPONSE = {"id": "r1", "output": [], "status": "completed"}
_RESPONSE_END = [{"type": "response.completed", "response": _RESPONSE}]
_ANTHROPIC_END = [
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    {"type": "message_stop"},
]
_OLLAMA_END = [{"model": "m", "done": True, "message": {"role": "assistant", "content": ""}}]
_BEDROCK_END = [{"messageStop": {"stopReason": "end_turn"}}]
_BEDROCK_CALL = {"toolUse": {"toolUseId": "t1", "name": "f"}}

# By the adapter's form and the field of the chunk that gets the text.
BURSTS: dict[tuple[str, str], Burst] = {
    ("openai", "content"): Burst(lambda text: _chat(content=text), after=_CHAT_END),
    ("openai", "reasoning"): Burst(lambda text: _chat(reasoning_content=text), after=_CHAT_END),
    ("openai", "refusal"): Burst(lambda text: _chat(refusal=text), after=_CHAT_END),
    ("openai", "arguments"): Burst(_chat_arguments, after=_CHAT_END),
    ("responses", "content"): Burst(_responses("output_text"), after=_RESPONSE_END),
    ("responses", "reasoning"): Burst(_responses("reasoning_summary_text"), after=_RESPONSE_END),
    ("responses", "refusal"): Burst(_responses("refusal"), after=_RESPONSE_END),
    ("responses", "arguments"): Burst(
        _responses("function_call_arguments"),
        before=[{"type": "response.output_item.added", "output_index": 0, "item": _CALL}],
        after=_RESPONSE_END,
    ),
    ("anthropic", "content"): Burst(
        _anthropic("text_delta", "text"), _anthropic_block(type="text", text=""), _ANTHROPIC_END
    ),
    ("anthropic", "reasoning"): Burst(
        _anthropic("thinking_delta", "thinking"),
        _anthropic_block(type="thinking", thinking="", signature=""),
        _ANTHROPIC_END,
    ),
    ("anthropic", "arguments"): Burst(
        _anthropic("input_json_delta", "partial_json"),
        _anthropic_block(type="tool_use", id="t1", name="f", input={}),
        _ANTHROPIC_END,
    ),
    ("ollama", "content"): Burst(
        lambda text: {"model": "m", "message": {"role": "assistant", "content": text}}, after=_OLLAMA_END
    ),
    ("ollama", "reasoning"): Burst(
        lambda text: {"model": "m", "message": {"role": "assistant", "content": "", "thinking": text}},
        after=_OLLAMA_END,
    ),
    ("bedrock", "content"): Burst(_bedrock(lambda text: {"text": text}), after=_BEDROCK_END),
    ("bedrock", "reasoning"): Burst(
        _bedrock(lambda text: {"reasoningContent": {"text": text}}), after=_BEDROCK_END
    ),
    ("bedrock", "arguments"): Burst(
        _bedrock(lambda text: {"toolUse": {"input": text}}),
        before=[{"contentBlockStart": {"contentBlockIndex": 0, "start": _BEDROCK_CALL}}],
        after=_BEDROCK_END,
    ),
}


def text_parts(length: int, size: int = SIZE) -> list[str]:
    """Texts of the length that are size characters together and all differ."""
    return [f"{number:0{length}d}"[-length:] for number in range(size // length)]


async def read(form: str, reads: list[list[bytes]]) -> list[pb.CompletionChunk]:
    """Chunks that the adapter makes of the reads."""
    name = ADAPTERS.get(form, form)
    row = PROVIDERS[name]
    adapter: Any = row.make(Endpoint(name, "http://localhost:1", api_key="key"))

    async def stream(*_: Any) -> AsyncGenerator[list[bytes]]:
        for payloads in reads:
            yield payloads

    adapter.http.stream = stream
    request = pb.CreateCompletionRequest(model=MODELS.get(form, "anthropic.m"))
    request.messages.add(role=message_pb2.ROLE_USER).content.add(text="Hi")
    try:
        return [chunk async for chunk in direct(adapter).stream(request, Call())]
    finally:
        await adapter.close()


def text_of(chunks: Sequence[pb.CompletionChunk], field: str) -> str:
    """All text of the field, a ChoiceDelta's or a ToolCallDelta's."""
    deltas: list[Any] = [delta for chunk in chunks for delta in chunk.choices]
    if field == "arguments":
        deltas = [call for delta in deltas for call in delta.tool_calls]
    return "".join(getattr(delta, field) for delta in deltas)


def measured(form: str, field: str, length: int, size: int = SIZE) -> dict[str, Any]:
    """What one burst adds to this process: the peak of its memory above what it had, and its CPU."""
    texts = text_parts(length, size)
    reads = [BURSTS[form, field].payloads(texts)]
    asyncio.run(read(form, [BURSTS[form, field].payloads(texts[:2])]))  # imports and decoders
    before_kib, begun_s = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, process_time()
    chunks = asyncio.run(read(form, reads))
    cpu_s = process_time() - begun_s
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    return {
        "chunks": len(chunks),
        "same": text_of(chunks, field) == "".join(texts),
        "grown_mib": round(grown_kib / 1024, 1),
        "cpu_s": round(cpu_s, 3),
    }


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    name, *numbers = sys.argv[1:]
    fields = [field for form, field in BURSTS if form == name]
    print(json.dumps({field: measured(name, field, *map(int, numbers)) for field in fields}))
