"""A real server with simulated upstreams behind it, as the tests of this folder use it."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from typing import Any

import grpc
import msgspec
from google.api.httpbody_pb2 import HttpBody
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from genai_spine import server
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint, Timeouts
from genai_spine.settings import Settings
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import (
    completion_service_pb2_grpc,
    execution_pb2,
    media_service_pb2_grpc,
    message_pb2,
    model_service_pb2_grpc,
    openai_service_pb2_grpc,
    provider_batch_service_pb2_grpc,
    provider_file_service_pb2_grpc,
    stored_completion_service_pb2_grpc,
)
from tests.upstreams import aws_wire
from tests.upstreams.anthropic import AnthropicUpstream
from tests.upstreams.azure import API_VERSION, AzureUpstream
from tests.upstreams.bedrock import BedrockUpstream
from tests.upstreams.ollama import OllamaUpstream
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.server import Upstream
from tests.waiting import until

TIMEOUTS = Timeouts(connect_s=5, first_token_s=10, between_tokens_s=10)
IMPATIENT = "together:any"  # a model of a provider that does not wait long
PATIENCE_S = 20.0  # until a row must be settled


@dataclass(frozen=True, slots=True)
class Upstreams:
    openai: OpenAIUpstream
    ollama: OllamaUpstream
    anthropic: AnthropicUpstream
    azure: AzureUpstream
    bedrock: BedrockUpstream
    openrouter: OpenAIUpstream  # takes what OpenAI would refuse

    def reset(self) -> None:
        for upstream in self.each():
            upstream.reset()
            upstream.unknown_models.clear()

    def each(self) -> Iterator[Upstream]:
        return (getattr(self, found.name) for found in fields(self))

    def endpoints(self) -> dict[str, Endpoint]:
        """Providers of most tests; vllm and together are the OpenAI simulator with another dialect."""
        openai = self.openai.base_url
        return {
            "openai": Endpoint(
                "openai",
                openai,
                "sk-test-1",
                "gpt-4o-mini",
                "text-embedding-3-small",
                TIMEOUTS,
                default_media_models=PROVIDERS["openai"].media_models,
            ),
            "vllm": Endpoint("vllm", openai, timeouts=TIMEOUTS),
            "together": Endpoint(
                "together", openai, "k", timeouts=Timeouts(first_token_s=0.3, between_tokens_s=0.3)
            ),
            "ollama": Endpoint(
                "ollama", self.ollama.url, None, "llama3.2:latest", "nomic-embed-text:latest", TIMEOUTS
            ),
            "groq": Endpoint(
                "groq", "http://127.0.0.1:9/v1", "gsk-test-1", timeouts=TIMEOUTS
            ),  # nobody listens
            "builtin": Endpoint("builtin", "builtin:", None, "extractive", "hashing"),
        }

    def one_of_each(self) -> dict[str, Endpoint]:
        """A provider for each simulator: Azure by deployment, Bedrock by a key."""
        further = {"azure": {"api_version": API_VERSION}, "bedrock": {"control_url": self.bedrock.url}}
        keys = {"bedrock": aws_wire.BEARER}
        urls = {"openai": self.openai.base_url, "openrouter": self.openrouter.base_url}
        return {
            found.name: Endpoint(
                found.name,
                urls.get(found.name) or getattr(self, found.name).url,
                keys.get(found.name, "sk-test-1"),
                timeouts=TIMEOUTS,
                further=further.get(found.name, {}),
            )
            for found in fields(self)
        }


class Running:
    """One server, a channel to it, and its ledger as another process would read it."""

    def __init__(self, built: server.Server, upstreams: Upstreams, database_url: str) -> None:
        self.server = built
        self.database_url, self.database = database_url, Database(database_url)
        self.stopped = False
        self.openai, self.ollama = upstreams.openai, upstreams.ollama
        self.upstreams = upstreams
        self.executions = Executions(self.database)
        # Each test's server has its own connection; grpc would share one between equal channels.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{built.port}", options)
        self.completions: Any = completion_service_pb2_grpc.CompletionServiceStub(self.channel)
        self.stored: Any = stored_completion_service_pb2_grpc.StoredCompletionServiceStub(self.channel)
        self.models: Any = model_service_pb2_grpc.ModelServiceStub(self.channel)
        self.facade: Any = openai_service_pb2_grpc.OpenAIServiceStub(self.channel)
        self.media: Any = media_service_pb2_grpc.MediaServiceStub(self.channel)
        self.files: Any = provider_file_service_pb2_grpc.ProviderFileServiceStub(self.channel)
        self.batches: Any = provider_batch_service_pb2_grpc.ProviderBatchServiceStub(self.channel)

    async def stop(self) -> None:
        """As on SIGTERM; a second time does nothing."""
        if not self.stopped:
            self.stopped = True
            await self.server.stop()

    async def rows(self, request_id: str) -> list[execution_pb2.Execution]:
        """The executions of a request, once all of them are settled."""
        pending = execution_pb2.EXECUTION_STATE_PENDING
        async with asyncio.timeout(PATIENCE_S):
            while True:
                rows = await self.executions.by_request(request_id)
                if rows and all(row.state != pending for row in rows):
                    return rows
                await asyncio.sleep(0.005)

    async def idle(self) -> None:
        """Returns when no call runs any more; the last line of a call's log may come after its answer."""
        await until(lambda: not self.server.lifecycle.running)

    async def post(self, path: str, body: Any, **metadata: str) -> "Posted":
        """A body by OpenAI's path, through the RPC that the edge calls; never raises RpcError."""
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        request = HttpBody(data=data, content_type="application/json")
        headers = [
            ("x-envoy-original-path", path),
            *((key.replace("_", "-"), v) for key, v in metadata.items()),
        ]
        posted = Posted()
        try:
            if path == "/v1/embeddings":
                call = self.facade.CreateEmbedding(request, metadata=headers)
                posted.add(await call)
            else:
                method = "CreateChatCompletion" if path == "/v1/chat/completions" else "CreateTextCompletion"
                call = getattr(self.facade, method)(request, metadata=headers)
                async for part in call:
                    posted.add(part)
        except grpc.aio.AioRpcError as error:
            posted.error = error
        posted.headers |= dict(await call.trailing_metadata() or ())
        return posted

    async def raw(self, method: str, path: str, body: bytes) -> "Posted":
        """A body through one of the facade's unary methods, as the edge calls it for this path."""
        posted = Posted()
        call = getattr(self.facade, method)(HttpBody(data=body), metadata=[("x-envoy-original-path", path)])
        try:
            posted.add(await call)
        except grpc.aio.AioRpcError as error:
            posted.error = error
        posted.headers |= dict(await call.trailing_metadata() or ())
        return posted

    async def chat(self, *, stream: bool = False, **fields: Any) -> "Posted":
        """A chat of the official shape; `messages` and `model` when the test does not care."""
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], **fields}
        return await self.post("/v1/chat/completions", body | ({"stream": True} if stream else {}))


class Posted:
    """What came back for a body."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.content_type = ""
        self.error: grpc.aio.AioRpcError | None = None
        self.headers: dict[str, Any] = {}

    def add(self, body: HttpBody) -> None:
        if not self.parts:  # the headers ride with the first message; the edge takes them out
            self.content_type, *headers = body.content_type.split("|")
            self.headers.update(tuple(header.split("=", 1)) for header in headers)
        self.parts.append(body.data)

    @property
    def data(self) -> bytes:
        if self.error is not None:
            raise AssertionError(f"{self.error.code()}: {self.error.details()}")
        return b"".join(self.parts)

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.data)

    @property
    def events(self) -> list[Any]:
        """The JSON of each event, and "[DONE]" as it is; comments are left out."""
        assert self.content_type == "text/event-stream; charset=utf-8"
        lines = self.data.splitlines(keepends=True)
        found = b"".join(line for line in lines if not line.startswith(b":")).split(b"\n\n")
        assert found.pop() == b"", "the stream ends within an event"
        assert all(frame.startswith(b"data: ") and b"\n" not in frame for frame in found)
        payloads = [frame.removeprefix(b"data: ") for frame in found]
        return [p.decode() if p == b"[DONE]" else msgspec.json.decode(p) for p in payloads]

    @property
    def problem(self) -> dict[str, Any]:
        """The `error` of the JSON body that the edge makes of this answer, with its HTTP status."""
        assert self.error is not None, self.parts[:3]
        body = msgspec.json.decode(self.headers["x-genai-error"].encode())
        return {**body["error"], "status": int(self.headers["x-genai-http-status"])}


@dataclass(frozen=True, slots=True)
class Failure:
    """An RpcError with its google.rpc details unpacked."""

    code: grpc.StatusCode
    message: str
    reason: str
    metadata: dict[str, str]
    fields: list[str]  # that break their rules
    retry_after_s: float | None
    request_id: str


def failure_of(error: grpc.aio.AioRpcError) -> Failure:
    status = rpc_status.from_call(error)
    assert status is not None, f"no google.rpc.Status: {error.code()}: {error.details()}"
    found = {}
    for kind in ("ErrorInfo", "RequestInfo", "BadRequest", "RetryInfo"):
        message = getattr(error_details_pb2, kind)()
        if any(detail.Unpack(message) for detail in status.details):
            found[kind] = message
    info, bad, retry = found["ErrorInfo"], found.get("BadRequest"), found.get("RetryInfo")
    assert info.domain == "genai-spine.internal"
    return Failure(
        code=error.code(),
        message=error.details() or "",
        reason=info.reason,
        metadata=dict(info.metadata),
        fields=[violation.field for violation in bad.field_violations] if bad else [],
        retry_after_s=retry.retry_delay.ToMilliseconds() / 1000 if retry else None,
        request_id=found["RequestInfo"].request_id,
    )


async def failure(awaited: Any) -> Failure:
    """The failure of a unary call, or of a stream from its first message on."""
    try:
        if hasattr(awaited, "__aiter__"):
            async for _ in awaited:
                pass
        else:
            await awaited
    except grpc.aio.AioRpcError as error:
        return failure_of(error)
    raise AssertionError("the call did not fail")


@asynccontextmanager
async def running(upstreams: Upstreams, database_url: str, **settings: Any) -> AsyncIterator[Running]:
    given: dict[str, Any] = {"endpoints": upstreams.endpoints(), "default_provider": "ollama"}
    given |= {"grpc_port": 0, "database_url": database_url, "provider_retries": 0}
    # Tests let one server fail as often as they like; those of the circuit switch it on.
    given |= {"rate_limit_requests_per_minute": 0}  # tests of keys call as often as they like
    given |= {"drain_delay": 0.0, "drain_timeout": 5.0, "circuit_failures": 0} | settings
    built = server.build(Settings(_env_file=None, **given))  # type: ignore[call-arg]  # of pydantic
    try:
        await built.start()
    except BaseException:
        await built.database.close()
        raise
    found = Running(built, upstreams, database_url)
    try:
        yield found
    finally:
        await found.channel.close()
        await found.stop()
        await found.database.close()


def user(text: str) -> message_pb2.Message:
    return message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text=text)])


def asked(text: str = "Hello", *, model: str = "gpt-4o", **fields: Any) -> pb.CreateCompletionRequest:
    return pb.CreateCompletionRequest(model=model, messages=[user(text)], **fields)


def text_of(chunks: Iterable[pb.CompletionChunk]) -> str:
    return "".join(delta.content for chunk in chunks for delta in chunk.choices)
