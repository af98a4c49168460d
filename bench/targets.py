"""The same call by four ways: straight to the upstream, by the yardstick, over gRPC, over REST."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from time import perf_counter
from typing import TYPE_CHECKING

import grpc
from google.api.httpbody_pb2 import HttpBody

from bench.processes import MODEL, Running, address
from genai_spine.call import Call
from genai_spine.providers.base import Endpoint
from genai_spine.providers.http.client import HttpClient
from genai_spine.providers.http.event_stream import ServerSentEvents
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2
from genai_spine.v1.completion_service_pb2_grpc import CompletionServiceStub
from genai_spine.v1.openai_service_pb2_grpc import OpenAIServiceStub

if TYPE_CHECKING:
    from genai_spine.v1.completion_service_pb2_grpc import CompletionServiceAsyncStub
    from genai_spine.v1.openai_service_pb2_grpc import OpenAIServiceAsyncStub

TEXT = "Hello there, how are you today?"
BODY = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": TEXT}]}).encode()
PATH = "/v1/chat/completions"


class Rest:
    """HTTP/1.1 to the upstream or to Envoy, by a client that costs little itself."""

    def __init__(self, netloc: str, model: str = MODEL, headers: Mapping[str, str] | None = None) -> None:
        self.http = HttpClient(Endpoint("bench", f"http://{netloc}", headers=headers or {}))
        self.body = BODY.replace(MODEL.encode(), model.encode())
        self.stream_body = self.body[:-1] + b', "stream": true}'

    async def close(self) -> None:
        await self.http.close()

    async def unary(self) -> None:
        reply = await self.http.post(PATH, self.body, Call())
        if reply.status != 200:
            raise RuntimeError(f"HTTP {reply.status}: {reply.body[:200]!r}")

    async def events(self) -> AsyncIterator[list[bytes]]:
        async with aclosing(self.http.stream(PATH, self.stream_body, Call(), ServerSentEvents())) as reads:
            async for payloads in reads:
                yield payloads

    async def first_s(self) -> float:
        """Seconds to the first piece that has text; the rest of the stream is read, too."""
        began, first = perf_counter(), 0.0
        async for payloads in self.events():
            if not first and any(_text(payload) for payload in payloads):
                first = perf_counter() - began
        return first


class Yardstick:
    def __init__(self, running: Running) -> None:
        self.channel = grpc.aio.insecure_channel(address(running))
        self.stub: OpenAIServiceAsyncStub = OpenAIServiceStub(self.channel)

    async def unary(self) -> None:
        await self.stub.CreateEmbedding(HttpBody(data=BODY))


class Typed:
    """Our contract over gRPC, straight to the server process."""

    def __init__(self, netloc: str, model: str = MODEL, key: str = "") -> None:
        """key: that it calls with; "": none."""
        self.channel = grpc.aio.insecure_channel(netloc)
        self.metadata = (("authorization", f"Bearer {key}"),) if key else ()
        self.stub: CompletionServiceAsyncStub = CompletionServiceStub(self.channel)
        part = message_pb2.ContentPart(text=TEXT)
        self.request = pb.CreateCompletionRequest(
            model=model, messages=[message_pb2.Message(role=message_pb2.ROLE_USER, content=[part])]
        )

    async def close(self) -> None:
        await self.channel.close()

    async def unary(self) -> None:
        await self.stub.CreateCompletion(self.request, metadata=self.metadata)

    async def stream(self) -> list[pb.CompletionChunk]:
        return [chunk async for chunk in self.stub.StreamCompletion(self.request)]

    async def first_s(self) -> float:
        began, first = perf_counter(), 0.0
        async for chunk in self.stub.StreamCompletion(self.request):
            if not first and any(delta.content for delta in chunk.choices):
                first = perf_counter() - began
        return first


def _text(payload: bytes) -> str:
    if payload == b"[DONE]":
        return ""
    choices = json.loads(payload)["choices"]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


async def text_of(rest: Rest) -> tuple[str, int]:
    """The whole text of one stream, and how many events it came in."""
    payloads = [payload async for read in rest.events() for payload in read]
    return "".join(map(_text, payloads)), len(payloads)
