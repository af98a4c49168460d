"""Any endpoint that speaks OpenAI's chat completions: OpenAI itself, gateways, and local servers.

Wire facts: https://platform.openai.com/docs/api-reference, 2026-11-21. What differs between endpoints
is a Dialect in the registry row, so a new gateway is one line and no file.
"""

from array import array
from base64 import b64decode
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from http import HTTPStatus
from sys import byteorder
from typing import Any, NoReturn

import msgspec
from msgspec import Raw, Struct

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.providers import openai_json as wire_json
from genai_spine.providers.base import Endpoint, Option, Provider
from genai_spine.providers.chunks import completion
from genai_spine.providers.events import ServerSentEvents
from genai_spine.providers.wire import Refused, Reply, Wire, retry_after_s
from genai_spine.v1 import completion_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one endpoint departs from OpenAI."""

    key_header: str = "authorization"  # with "Bearer "; any other header takes the bare key
    max_tokens: str = "max_tokens"
    options: Mapping[str, Option] = field(default_factory=dict)  # beyond OPTIONS
    base64_embeddings: bool = False
    # Models that are asked at /completions with the text as it is. All others get it as a user
    # message, because a chat model answers 404 there.
    text_models: Callable[[str], bool] = lambda model: False
    local: bool = False


OPTIONS = {
    name: Option(name)
    for name in (
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "seed",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "logprobs",
        "top_logprobs",
        "logit_bias",
        "reasoning_effort",
        "messages.image",
        "messages.audio",
        "messages.file",
        "tools.custom",
        "prompt.tokens",
    )
} | {"choice_count": Option("n"), "stop_sequences": Option("stop"), "max_tokens": Option("max_tokens")}

# Error codes that decide whatever the status says.
CODES: dict[str, type[errors.ProviderFailure]] = {
    "context_length_exceeded": errors.ContextLengthExceeded,
    "string_above_max_length": errors.ContextLengthExceeded,
    "content_filter": errors.ContentFiltered,
    "content_policy_violation": errors.ContentFiltered,
    "insufficient_quota": errors.ProviderQuota,
    "billing_hard_limit_reached": errors.ProviderQuota,
    "rate_limit_exceeded": errors.RateLimited,
    "invalid_api_key": errors.ProviderAuthentication,
}
STATUSES: dict[int, type[errors.ProviderFailure]] = {
    400: errors.ProviderRejected,
    401: errors.ProviderAuthentication,
    402: errors.ProviderQuota,
    403: errors.ProviderAuthentication,
    408: errors.ProviderUnavailable,
    409: errors.ProviderUnavailable,
    413: errors.ContextLengthExceeded,
    422: errors.ProviderRejected,
    429: errors.RateLimited,
}


class OpenAI(Provider):
    OPTIONS = OPTIONS

    def __init__(self, endpoint: Endpoint, dialect: Dialect = Dialect()) -> None:
        super().__init__(endpoint)
        self.dialect = dialect
        self.options = OPTIONS | dict(dialect.options) | {"max_tokens": Option(dialect.max_tokens)}
        self.local = dialect.local
        headers = {}
        if endpoint.api_key:
            bearer = dialect.key_header == "authorization"
            headers[dialect.key_header] = f"Bearer {endpoint.api_key}" if bearer else endpoint.api_key
        self.wire = Wire(endpoint, headers)

    async def stream(
        self, request: pb.CreateCompletionRequest, call: Call
    ) -> AsyncGenerator[pb.CompletionChunk]:
        path, body, decoder = self._write(request, stream=True)
        finished: set[int] = set()  # indexes of the choices that ended; some upstreams send no [DONE]
        try:
            async with aclosing(self.wire.stream(path, body, call, ServerSentEvents())) as reads:
                async for payloads in reads:
                    chunk = pb.CompletionChunk()
                    for payload in payloads:
                        self._read(payload, decoder, chunk, finished)
                    if chunk.ByteSize():
                        yield chunk
        except Refused as refused:
            self._fail(refused.reply, request.model)
        if len(finished) < max(1, request.choice_count):
            raise self.wire.unusable("cut_stream", "the stream ended before it was complete")

    async def complete(self, request: pb.CreateCompletionRequest, call: Call) -> pb.Completion:
        path, body, decoder = self._write(request, stream=False)
        reply = await self.wire.post(path, body, call)
        if reply.status != HTTPStatus.OK:
            self._fail(reply, request.model)
        chunk = pb.CompletionChunk()
        self._add(self.wire.decode(reply.body, decoder), chunk)
        if not chunk.choices:
            raise self.wire.unusable("no_choices", "the answer has no choices")
        return completion(chunk)

    async def embed(self, request: pb.CreateEmbeddingsRequest, call: Call) -> pb.CreateEmbeddingsResponse:
        reply = await self.wire.post("/embeddings", self._write_embeddings(request), call)
        if reply.status != HTTPStatus.OK:
            self._fail(reply, request.model)
        answer = self.wire.decode(reply.body, EMBEDDINGS)
        if len(answer.data) != len(request.inputs):
            raise self.wire.unusable(
                "missing_embeddings", f"{len(answer.data)} embeddings for {len(request.inputs)} inputs"
            )
        response = pb.CreateEmbeddingsResponse(model=answer.model or request.model)
        for entry in sorted(answer.data, key=lambda entry: entry.index):
            response.embeddings.add(index=entry.index, values=self._vector(entry.embedding))
        if answer.usage:
            response.usage.CopyFrom(wire_json.usage(answer.usage))
        return response

    async def list_models(self) -> list[pb.Model]:
        reply = await self.wire.get("/models", Call())
        if reply.status != HTTPStatus.OK:
            self._fail(reply, "")
        bare = reply.body.lstrip().startswith(b"[")  # Together answers a bare list
        entries = (
            self.wire.decode(reply.body, MODEL_LIST) if bare else self.wire.decode(reply.body, MODELS).data
        )
        return [
            pb.Model(
                id=entry.id, created=max(0, int(entry.created or 0)), owned_by=entry.owned_by or self.name
            )
            for entry in entries
        ]

    async def close(self) -> None:
        await self.wire.close()

    def _write(
        self, request: pb.CreateCompletionRequest, *, stream: bool
    ) -> tuple[str, bytes, msgspec.json.Decoder[Any]]:
        body = wire_json.write_request(request, self.options, stream=stream)
        prompt = request.prompt
        raw = prompt.HasField("tokens") or prompt.HasField("suffix") or prompt.HasField("best_of")
        if request.HasField("prompt") and (raw or self.dialect.text_models(request.model)):
            wire_json.write_prompt(body, prompt)
            return "/completions", msgspec.json.encode(body), TEXT
        if request.HasField("prompt"):
            message = pb.Message(role=pb.ROLE_USER, content=[pb.ContentPart(text=prompt.text)])
            body["messages"] = [wire_json.write_message(message)]
        wire_json.write_chat(body, request)
        return "/chat/completions", msgspec.json.encode(body), CHAT

    def _read(
        self,
        payload: bytes,
        decoder: msgspec.json.Decoder[Any],
        chunk: pb.CompletionChunk,
        finished: set[int],
    ) -> None:
        """Adds one event to the chunk."""
        if payload == b"[DONE]":
            finished.update(range(len(finished), MOST_CHOICES))
            return
        answer = self.wire.decode(payload, decoder)
        if isinstance(answer.error, Raw) and bytes(answer.error) != b"null":
            self._fail(Reply(200, {}, payload), "")
        self._add(answer, chunk)
        finished.update(choice.index for choice in answer.choices if choice.finish_reason)

    def _add(self, answer: wire_json.Answer | wire_json.TextAnswer, chunk: pb.CompletionChunk) -> None:
        if answer.id and not chunk.id:
            chunk.id, chunk.created, chunk.model = answer.id, max(0, answer.created), answer.model
        if answer.system_fingerprint:
            chunk.system_fingerprint = answer.system_fingerprint
        if isinstance(answer, wire_json.Answer) and answer.service_tier:
            chunk.service_tier = answer.service_tier
        for choice in answer.choices:
            wire_json.add_choice(chunk, choice)
        if answer.usage:
            chunk.usage.CopyFrom(wire_json.usage(answer.usage))

    def _write_embeddings(self, request: pb.CreateEmbeddingsRequest) -> bytes:
        extra = request.provider_options_json
        body: dict[str, Any] = msgspec.json.decode(extra, type=dict[str, Raw]) if extra else {}
        inputs = [
            entry.text if entry.HasField("text") else list(entry.tokens.tokens) for entry in request.inputs
        ]
        body |= {"model": request.model, "input": inputs}
        body["encoding_format"] = "base64" if self.dialect.base64_embeddings else "float"
        if request.HasField("dimensions"):
            body["dimensions"] = request.dimensions
        if request.HasField("user"):
            body["user"] = request.user
        return msgspec.json.encode(body)

    def _vector(self, embedding: list[float] | str) -> "list[float] | array[float]":
        if isinstance(embedding, list):
            return embedding
        vector = array("f")
        try:
            vector.frombytes(b64decode(embedding, validate=True))
        except ValueError as error:
            raise self.wire.unusable("invalid_base64", f"an embedding is not base64: {error}") from error
        if byteorder == "big":
            vector.byteswap()
        return vector

    def _fail(self, reply: Reply, model: str) -> NoReturn:
        """Raises what the upstream's error means; the table is CODES, then STATUSES."""
        fault = _fault(reply)
        code = str(fault.code or fault.type or reply.status)
        message = fault.message or reply.body[:300].decode("utf-8", "replace") or f"HTTP {reply.status}"
        if reply.status == HTTPStatus.NOT_FOUND or code == "model_not_found":
            raise errors.ModelNotFound(
                model=model, hint=f"{self.name} says: {message[:500]}", provider=self.name
            )
        kind = CODES.get(code) or STATUSES.get(reply.status, errors.ProviderUnavailable)
        if kind is errors.ProviderRejected and "context length" in message.lower():
            kind = errors.ContextLengthExceeded  # compatible servers send no code
        raise kind(
            provider=self.name,
            provider_code=code,
            provider_message=message,
            retry_after_s=retry_after_s(reply.headers),
        )


MOST_CHOICES = 128  # what OpenAI allows for n; our own limit is lower


class Fault(Struct):
    message: str | None = None
    type: str | None = None
    code: str | int | None = None


class _Faulty(Struct):
    error: Fault | str | None = None
    message: str | None = None  # Mistral
    detail: Any = None  # vLLM before 0.5


def _fault(reply: Reply) -> Fault:
    try:
        faulty = FAULTY.decode(reply.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return Fault()
    if isinstance(faulty.error, Fault):
        return faulty.error
    return Fault(message=faulty.error or faulty.message or (str(faulty.detail) if faulty.detail else None))


class _Embedding(Struct):
    embedding: list[float] | str
    index: int = 0


class _Embeddings(Struct):
    data: list[_Embedding]
    model: str = ""
    usage: wire_json.Usage | None = None


class _Model(Struct):
    id: str
    created: int | float | None = None
    owned_by: str | None = None


class _Models(Struct):
    data: list[_Model]


CHAT = msgspec.json.Decoder(wire_json.Answer)
TEXT = msgspec.json.Decoder(wire_json.TextAnswer)
EMBEDDINGS = msgspec.json.Decoder(_Embeddings)
MODELS = msgspec.json.Decoder(_Models)
MODEL_LIST = msgspec.json.Decoder(list[_Model])
FAULTY = msgspec.json.Decoder(_Faulty)
