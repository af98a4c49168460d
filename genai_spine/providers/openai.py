"""Any endpoint that speaks OpenAI's chat completions: OpenAI itself, gateways, and local servers.

Wire facts: https://platform.openai.com/docs/api-reference, 2026-11-21. What differs between endpoints
is a Dialect in the registry row, so a new gateway is one line and no file.
"""

from array import array
from base64 import b64decode
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
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
from genai_spine.providers.base import Endpoint, Option, Provider, further_fields
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

CHAT_ONLY = ("tools", "tool_choice", "response_format")

# Error codes, or types, that decide whatever the status says.
CODES: dict[str, type[errors.ProviderFailure]] = {
    "context_length_exceeded": errors.ContextLengthExceeded,
    "string_above_max_length": errors.ContextLengthExceeded,
    "exceed_context_size_error": errors.ContextLengthExceeded,  # llama.cpp
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
        progress = Progress()
        try:
            async with aclosing(self.wire.stream(path, body, call, ServerSentEvents())) as reads:
                async for payloads in reads:
                    chunk = pb.CompletionChunk()
                    try:
                        for payload in payloads:
                            self._read(payload, decoder, chunk, progress)
                    except errors.SpineError:
                        # What the same read brought before is the caller's, and on the upstream's bill.
                        if wire_json.speaks(chunk):
                            yield chunk
                        raise
                    if chunk.ByteSize():
                        yield chunk
        except Refused as refused:
            self._fail(refused.reply, request.model)
        except errors.ProviderError:
            if not progress.done:  # a connection that breaks after [DONE] cuts nothing
                raise
        if not progress.done and len(progress.finished) < max(1, request.choice_count):
            raise self.wire.unusable("cut_stream", "the stream ended before it was complete")
        if not progress.begun:
            raise self.wire.unusable("no_choices", "the answer has no choices")

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
        # Some upstreams leave the index out, or repeat it; the order is the inputs' all the same.
        for index, entry in enumerate(sorted(answer.data, key=lambda entry: entry.index)):
            response.embeddings.add(index=index, values=self._vector(entry.embedding))
        if answer.usage and (counts := wire_json.usage(answer.usage)).total_tokens:
            response.usage.CopyFrom(counts)
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
                id=entry.id, created=wire_json.seconds(entry.created), owned_by=entry.owned_by or self.name
            )
            for entry in entries
        ]

    async def close(self) -> None:
        await self.wire.close()

    def check_options(self, request: pb.CreateCompletionRequest) -> None:
        super().check_options(request)
        if self._as_text(request):
            for descriptor, _ in request.ListFields():
                if descriptor.name in CHAT_ONLY:
                    self._refuse(descriptor.name, f"{descriptor.name} with a bare text")

    def _as_text(self, request: pb.CreateCompletionRequest) -> bool:
        """The prompt goes out as it is; otherwise the request is, or becomes, a chat."""
        prompt = request.prompt
        raw = prompt.HasField("tokens") or prompt.HasField("suffix") or prompt.HasField("best_of")
        return request.HasField("prompt") and (raw or self.dialect.text_models(request.model))

    def _write(
        self, request: pb.CreateCompletionRequest, *, stream: bool
    ) -> tuple[str, bytes, msgspec.json.Decoder[Any]]:
        if self._as_text(request):
            options = {**self.options, "max_tokens": Option("max_tokens")}  # whatever its name is in a chat
            body = wire_json.write_request(request, options, stream=stream)
            wire_json.write_prompt(body, request.prompt)
            return "/completions", msgspec.json.encode(body), TEXT
        body = wire_json.write_request(request, self.options, stream=stream)
        wire_json.write_chat(body, request)
        if request.HasField("prompt"):
            body["messages"] = [{"role": "user", "content": request.prompt.text}]
        return "/chat/completions", msgspec.json.encode(body), CHAT

    def _read(
        self,
        payload: bytes,
        decoder: msgspec.json.Decoder[Any],
        chunk: pb.CompletionChunk,
        progress: "Progress",
    ) -> None:
        """Adds one event to the chunk."""
        if payload == b"[DONE]":
            progress.done = True
            for index in sorted(progress.begun - progress.finished):
                wire_json.add_choice(chunk, wire_json.ChatChoice(index=index, finish_reason="stop"))
            return
        answer = self.wire.decode(payload, decoder)
        if isinstance(answer.error, Raw) and bytes(answer.error) != b"null":
            self._fail(Reply(200, {}, payload), "")
        for choice in answer.choices:
            progress.begun.add(choice.index)
            if choice.finish_reason:
                progress.finished.add(choice.index)
            if isinstance(choice, wire_json.ChatChoice) and choice.delta:
                progress.number(choice.index, choice.delta.tool_calls or ())
        self._add(answer, chunk)

    def _add(self, answer: wire_json.Answer | wire_json.TextAnswer, chunk: pb.CompletionChunk) -> None:
        if answer.id and not chunk.id:
            chunk.id, chunk.model = answer.id, answer.model or ""
            chunk.created = wire_json.seconds(answer.created)
        if answer.system_fingerprint:
            chunk.system_fingerprint = answer.system_fingerprint
        if isinstance(answer, wire_json.Answer) and answer.service_tier:
            chunk.service_tier = answer.service_tier
        for choice in answer.choices:
            wire_json.add_choice(chunk, choice)
        if answer.usage and (counts := wire_json.usage(answer.usage)).total_tokens:
            chunk.usage.CopyFrom(counts)

    def _write_embeddings(self, request: pb.CreateEmbeddingsRequest) -> bytes:
        body = further_fields(request)
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
        message = self.wire.public(message)
        if reply.status == HTTPStatus.NOT_FOUND or code == "model_not_found":
            raise errors.ModelNotFound(
                model=model, hint=f"{self.name} says: {message[:500]}", provider=self.name
            )
        kind = (
            CODES.get(code)
            or CODES.get(fault.type or "")
            or STATUSES.get(reply.status, errors.ProviderUnavailable)
        )
        if kind is errors.ProviderRejected and "context length" in message.lower():
            kind = errors.ContextLengthExceeded  # compatible servers send no code
        raise kind(
            provider=self.name,
            provider_code=code,
            provider_message=message,
            retry_after_s=retry_after_s(reply.headers),
        )


@dataclass(slots=True)
class Progress:
    """What of a stream has come so far, by the index of the choice."""

    done: bool = False  # [DONE] has come; some upstreams send none
    begun: set[int] = field(default_factory=set)
    finished: set[int] = field(default_factory=set)  # with a finish reason
    calls: dict[int, int] = field(default_factory=dict)  # tool calls that were begun

    def number(self, choice: int, pieces: Sequence[wire_json.ToolCall]) -> None:
        """Gives an index to pieces without one (Gemini, older Ollama): an id begins another call."""
        for piece in pieces:
            begun = self.calls.get(choice, 0)
            if piece.index is None:
                piece.index = begun if piece.id or not begun else begun - 1
            self.calls[choice] = max(begun, piece.index + 1)


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
