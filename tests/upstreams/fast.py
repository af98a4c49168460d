"""The bench's upstreams: answers of one API from precomputed bytes, as many per second as one core can.

A raw asyncio protocol on uvloop. It reads HTTP/1.1 with content-length, keeps connections alive, takes
pipelined requests, and answers every POST alike: a whole answer, or a stream when the body has
"stream": true or the path ends in -stream. The bill is counts only: GET /_bill.
As a process: python -m tests.upstreams.fast --api anthropic [--port N] [--chunks 200 --interval-ms 5]
"""

import argparse
import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import uvloop

from tests.upstreams.anthropic_messages import message_answer
from tests.upstreams.azure import filtered_chat
from tests.upstreams.bedrock import BedrockUpstream
from tests.upstreams.bill import Bill, Entry
from tests.upstreams.delivery import Answer
from tests.upstreams.ollama import OllamaUpstream
from tests.upstreams.openai_chat import chat_answer
from tests.upstreams.openai_responses import responses_answer
from tests.upstreams.openai_text import embedding_answer
from tests.upstreams.reply import Reply, Usage
from tests.upstreams.server import Make, announce, arguments, terminated

PROMPT_TOKENS = 12
DEFAULT_CHUNKS = 200
STREAM_MARKS = (b'"stream":true', b'"stream": true')
STREAM_PATH = b"-stream HTTP/1.1"
USAGE_MARKS = (b'"include_usage":true', b'"include_usage": true')
MODELS = (
    b'{"object": "list", "data": [{"id": "gpt-4o", "object": "model", "created": 1, "owned_by": "system"}]}'
)


@dataclass(slots=True)
class Counts:
    requests: int = 0
    streams: int = 0
    finished: int = 0
    disconnects: int = 0  # clients that left in the middle of a stream
    prompt_tokens: int = 0
    completion_tokens: int = 0  # of streams: what was written so far, to the chunk
    chunks: int = 0


@dataclass(frozen=True, slots=True)
class Stream:
    """The pieces of a streamed answer, each ready for the socket."""

    writes: list[bytes]
    tokens: list[int]  # after each write
    chunks: list[int]


@dataclass(frozen=True, slots=True)
class Script:
    whole: bytes
    whole_tokens: int
    plain: Stream
    with_usage: Stream
    interval_s: float


# By the name of the API: what makes its answers, and what every request is taken for.
TEXT = [{"role": "user", "content": "Hello"}]
SAID = [{"role": "user", "content": [{"text": "Hello"}]}]
APIS: dict[str, tuple[Make, dict[str, Any]]] = {
    "openai": (chat_answer, {"messages": []}),
    "azure": (filtered_chat, {"messages": []}),
    "responses": (responses_answer, {"input": TEXT}),
    "anthropic": (message_answer, {"messages": TEXT, "max_tokens": 4096}),
    "ollama": (OllamaUpstream().chat_answer, {"messages": TEXT}),
    "embeddings": (embedding_answer, {"input": ["Hello"], "model": "text-embedding-3-small"}),
    "embeddings-256": (
        embedding_answer,
        {"input": ["Hello"], "model": "text-embedding-3-small", "dimensions": 256},
    ),
    "bedrock": (BedrockUpstream().converse_answer, {"messages": SAID}),
}


def precompute(options: argparse.Namespace) -> Script:
    chunks = DEFAULT_CHUNKS if options.chunks is None else options.chunks
    reply = Reply([" tok"] * chunks, usage=Usage(prompt_tokens=PROMPT_TOKENS), created=1763683200)
    make, body = APIS[options.api]
    asked = {"model": "gpt-4o", "stream": False, **body}
    whole = make(asked, reply, _entry("/converse")).events[0]
    plain = make({**asked, "stream": True}, reply, _entry("/converse-stream"))
    options_with_usage = {"stream": True, "stream_options": {"include_usage": True}}
    with_usage = make({**asked, **options_with_usage}, reply, _entry("/converse-stream"))
    burst = options.burst if options.interval_ms else 0
    return Script(
        whole=_head("application/json", f"content-length: {len(whole.data)}") + whole.data,
        whole_tokens=whole.tokens,
        plain=_stream(plain, burst),
        with_usage=_stream(with_usage, burst),
        interval_s=options.interval_ms / 1000,
    )


def _entry(path: str) -> Entry:
    return Bill().open("POST", path, {}, b"{}")


def _head(content_type: str, length: str, status: str = "200 OK") -> bytes:
    lines = (f"HTTP/1.1 {status}", f"content-type: {content_type}", "x-request-id: req_fast", length)
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _stream(answer: Answer, burst: int) -> Stream:
    """burst: events per write; 0: everything in one write, headers included."""
    head = _head(answer.content_type, "transfer-encoding: chunked")
    groups = list(_groups(answer, burst or len(answer.events)))
    writes = [b"%x\r\n%b\r\n" % (len(data), data) for data, _, _ in groups]
    writes[0] = head + writes[0]
    writes[-1] += b"0\r\n\r\n"
    return Stream(writes, [tokens for _, tokens, _ in groups], [chunks for _, _, chunks in groups])


def _groups(answer: Answer, size: int) -> Iterator[tuple[bytes, int, int]]:
    for at in range(0, len(answer.events), size):
        group = answer.events[at : at + size]
        yield b"".join(event.data for event in group), group[-1].tokens, group[-1].chunks


class FastProtocol(asyncio.Protocol):
    """One connection."""

    def __init__(self, script: Script, counts: Counts, loop: asyncio.AbstractEventLoop) -> None:
        self._script, self._counts, self._loop = script, counts, loop
        self._transport: asyncio.Transport
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._counts.disconnects += 1

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        self._read()

    def _read(self) -> None:
        """Answers the complete requests in the buffer; a paced stream holds up those behind it."""
        while self._buffer and self._timer is None:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            size = end + 4 + _content_length(self._buffer, end)
            if len(self._buffer) < size:
                return
            request, self._buffer = self._buffer[:size], self._buffer[size:]
            self._answer(request, end)

    def _answer(self, request: bytes, end: int) -> None:
        if request.startswith((b"GET ", b"POST /_reset")):
            self._transport.write(self._other(request))
            return
        counts, script = self._counts, self._script
        counts.requests += 1
        counts.prompt_tokens += PROMPT_TOKENS
        if request.find(STREAM_PATH, 0, end) >= 0 or any(
            request.find(mark, end) >= 0 for mark in STREAM_MARKS
        ):
            counts.streams += 1
            asks = any(request.find(mark, end) >= 0 for mark in USAGE_MARKS)
            self._write(script.with_usage if asks else script.plain, 0, self._loop.time())
            return
        self._transport.write(script.whole)
        counts.completion_tokens += script.whole_tokens
        counts.chunks += 1
        counts.finished += 1

    def _write(self, stream: Stream, position: int, started: float) -> None:
        before = position - 1
        self._counts.completion_tokens += stream.tokens[position] - (stream.tokens[before] if position else 0)
        self._counts.chunks += stream.chunks[position] - (stream.chunks[before] if position else 0)
        self._transport.write(stream.writes[position])
        self._timer = None
        position += 1
        if position < len(stream.writes):
            due = started + position * self._script.interval_s
            self._timer = self._loop.call_at(due, self._write, stream, position, started)
        else:
            self._counts.finished += 1
            self._read()

    def _other(self, request: bytes) -> bytes:
        if request.startswith(b"POST"):
            for name in Counts.__slots__:
                setattr(self._counts, name, 0)
        body = MODELS
        if b" /_" in request[:12]:
            body = json.dumps({name: getattr(self._counts, name) for name in Counts.__slots__}).encode()
        return _head("application/json", f"content-length: {len(body)}") + body


def _content_length(buffer: bytes, end: int) -> int:
    at = buffer.find(b"ontent-", 0, end)
    while at >= 0 and buffer[at + 7 : at + 14].lower() != b"length:":
        at = buffer.find(b"ontent-", at + 7, end)
    if at < 0:
        return 0
    line_end = buffer.find(b"\r", at, end + 1)
    return int(buffer[at + 14 : line_end])


async def serve_fast(options: argparse.Namespace) -> None:
    """options: those of server.arguments(); returns as server.terminated() does."""
    script, counts, loop = precompute(options), Counts(), asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: FastProtocol(script, counts, loop), "127.0.0.1", options.port, backlog=4096
    )
    port = server.sockets[0].getsockname()[1]
    announce(f"http://127.0.0.1:{port}")
    await terminated()
    server.close()


def main() -> None:
    parser = arguments("fast")
    parser.add_argument("--api", choices=APIS, required=True)
    uvloop.run(serve_fast(parser.parse_args()))


if __name__ == "__main__":
    main()
