"""Anthropic adapter: completions, token counts and models of the Messages API.

Wire facts: https://platform.claude.com/docs/en/api/messages, .../api/errors and .../api/models-list,
2026-11-28. `request` writes the requests, `response` reads the answers.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime
from functools import lru_cache
from http import HTTPStatus
from typing import NoReturn
from urllib.parse import quote

import msgspec
from msgspec import Raw, Struct, UnsetType

from genai_spine import errors
from genai_spine.behaviour.book import ModelRules
from genai_spine.call import Call
from genai_spine.chunks import completion
from genai_spine.providers import raw_usage
from genai_spine.providers.anthropic import request as messages_request
from genai_spine.providers.anthropic.batch_api import AnthropicBatches
from genai_spine.providers.anthropic.response import (
    EVENT,
    FINISH_REASONS,
    MESSAGE,
    MessageReader,
    Usage,
    usage,
)
from genai_spine.providers.base import NO_RULES, Endpoint, Option, Provider, Route
from genai_spine.providers.http import error_body, lenient_json
from genai_spine.providers.http.client import (
    CUT,
    NO_HEADERS,
    Headers,
    HttpClient,
    Reply,
    StatusError,
    retry_after_s,
)
from genai_spine.providers.http.event_stream import ServerSentEvents, events_of
from genai_spine.providers.http.missing_operation import missing_operation
from genai_spine.providers.wire_types import finish_reason
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, model_service_pb2

API_VERSION = "2023-06-01"  # where the behaviour book names none for the model
FILES_BETA = {"anthropic-beta": "files-api-2025-04-14"}  # file ids are taken under this header only
GRACE_S = 0.5  # for message_stop, after the stop reason and the usage
MIN_TOP_P = 0.95  # that goes with thinking
MAX_HEADERS = 64  # versions of the API, each with a form of the key
MAX_PAGES = 50  # of a list; more is a list without an end

OPTIONS = {
    name: Option(name) for name in ("top_p", "top_k", "max_tokens", "stop_sequences", "tools", "tool_choice")
} | {
    "temperature": Option("temperature", max=1.0),
    "parallel_tool_calls": Option("disable_parallel_tool_use"),
    "response_format": Option("output_config"),
    "reasoning_effort": Option("thinking"),
    "reasoning_max_tokens": Option("thinking", min=messages_request.MIN_BUDGET_TOKENS),
    "messages.image": Option("image"),
    "messages.file": Option("document"),
}

# By error.type, whatever the status says: within a stream there is no other.
TYPES: dict[str, type[errors.ProviderFailure]] = {
    "invalid_request_error": errors.ProviderRejected,
    "authentication_error": errors.ProviderAuthentication,
    "permission_error": errors.ProviderAuthentication,
    "billing_error": errors.ProviderQuotaExceeded,
    "request_too_large": errors.ContextLengthExceeded,
    "rate_limit_error": errors.ProviderRateLimited,
    "timeout_error": errors.ProviderUnavailable,
    "api_error": errors.ProviderUnavailable,
    "overloaded_error": errors.ProviderUnavailable,
}
STATUSES: dict[int, type[errors.ProviderFailure]] = {
    400: errors.ProviderRejected,
    401: errors.ProviderAuthentication,
    402: errors.ProviderQuotaExceeded,
    403: errors.ProviderAuthentication,
    413: errors.ContextLengthExceeded,
    422: errors.ProviderRejected,
    429: errors.ProviderRateLimited,
}
# What invalid_request_error and rate_limit_error mean in truth: only their words or details say it.
ERROR_TEXTS: Mapping[str, type[errors.ProviderFailure]] = {
    "prompt is too long": errors.ContextLengthExceeded,
    "exceed context limit": errors.ContextLengthExceeded,
    "credit balance is too low": errors.ProviderQuotaExceeded,
    "api usage limits": errors.ProviderQuotaExceeded,
    "spend_limit_reached": errors.ProviderQuotaExceeded,
    "content filtering policy": errors.ContentFiltered,
}


class Anthropic(Provider):
    """Adapter of the Messages API.

    A model's abilities are known by its version (`request.version`), so an option that it would refuse is
    refused here, before the call. Embeddings and media are not offered, batches only to runs.
    """

    OPTIONS = OPTIONS
    SCHEMA = messages_request.SCHEMA

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.http = HttpClient(endpoint, NO_HEADERS)
        self._fixed = lru_cache(MAX_HEADERS)(self._fixed_headers)
        self.batch_api = AnthropicBatches(self)

    async def stream(
        self, request: pb.CreateCompletionRequest, route: Route, call: Call
    ) -> AsyncGenerator[pb.CompletionChunk]:
        """The first chunk tells the input's usage, the last one all of it."""
        body, headers = _write(request, route.model, stream=True), self._headers(route.rules, request)
        reader, events = MessageReader(), ServerSentEvents()
        try:
            async with aclosing(self.http.stream("/v1/messages", body, call, events, headers)) as reads:
                async for payloads in reads:
                    try:
                        for payload in payloads:
                            self._take(payload, reader, route.model)
                        events.grace_s = None if reader.stop_reason is None else GRACE_S
                    except errors.SpineError:
                        # What the same read brought before is the caller's, and on the upstream's bill.
                        if (chunk := reader.chunk()).ByteSize():
                            yield chunk
                        raise
                    if (chunk := reader.chunk()).ByteSize():
                        yield chunk
        except StatusError as error:
            self._fail(error.reply, route.model)
        except errors.ProviderError as error:
            # A connection that breaks after the end cuts nothing.
            if reader.stop_reason is None or error.metadata["provider_code"] != CUT:
                raise
        if not (reader.done or reader.stop_reason):
            raise self.http.unusable(CUT, "the stream ended before it was complete")
        if not reader.begun:
            raise self.http.unusable("no_message", "the answer has no message")

    async def complete(self, request: pb.CreateCompletionRequest, route: Route, call: Call) -> pb.Completion:
        body, headers = _write(request, route.model, stream=False), self._headers(route.rules, request)
        reply = await self.http.post("/v1/messages", body, call, headers)
        if reply.status != HTTPStatus.OK:
            self._fail(reply, route.model)
        return self.read(reply.body, route.model)

    def read(self, body: bytes, model: str) -> pb.Completion:
        """Completion of an answer that is no stream. Errors: also those that it holds."""
        reader = MessageReader()
        if payloads := events_of(body):  # a stream, although none was asked for
            for payload in payloads:
                self._take(payload, reader, model)
        else:
            self._take_whole(body, reader, model)
        if reader.stop_reason is None:
            raise self.http.unusable(CUT, "the answer ended before it was complete")
        return completion(reader.chunk())

    async def count_tokens(self, request: pb.CreateCompletionRequest, route: Route, call: Call) -> int:
        body = msgspec.json.encode(messages_request.countable(request, route.model))
        headers = self._headers(route.rules, request)
        reply = await self.http.post("/v1/messages/count_tokens", body, call, headers)
        if reply.status != HTTPStatus.OK:
            self._fail(reply, route.model)
        return self.http.decode(reply.body, COUNT).input_tokens

    async def list_models(self) -> list[model_service_pb2.Model]:
        models: list[model_service_pb2.Model] = []
        path = "/v1/models?limit=1000"
        for _ in range(MAX_PAGES):
            reply = await self.http.request("GET", path, b"", Call(), self._headers(NO_RULES))
            if reply.status != HTTPStatus.OK:
                self._fail(reply, "")
            page = self.http.decode(reply.body, MODELS)
            models += [_model(info) for info in page.data]
            if not (page.has_more and page.last_id):
                return models
            path = f"/v1/models?limit=1000&after_id={quote(page.last_id, safe='')}"
        raise self.http.unusable("endless_list", f"more than {MAX_PAGES} pages of models")

    @property
    def plain_headers(self) -> Headers:
        """Headers of a request that is about no model."""
        return self._headers(NO_RULES)

    def refuse(self, reply: Reply, model: str) -> NoReturn:
        """Raises what a reply other than 200 means."""
        self._fail(reply, model)

    async def close(self) -> None:
        await self.http.close()

    def _headers(self, rules: ModelRules, request: pb.CreateCompletionRequest | None = None) -> Headers:
        """Headers of one request: the version of the API and the form of the key that the model's rules say,
        and the beta header, where the request names files that were uploaded.
        """
        headers = self._fixed(rules.api_version, rules.authentication)
        if request is not None and messages_request.names_files(request):
            return {**headers, **FILES_BETA}
        return headers

    def _fixed_headers(self, api_version: str, authentication: str) -> Headers:
        """Headers that say the version and the key; both are few."""
        headers = {"anthropic-version": api_version or API_VERSION}
        key = self.endpoint.api_key
        if key and authentication == "bearer":
            headers["authorization"] = f"Bearer {key}"
        elif key:
            headers["x-api-key"] = key
        return self.http.written(headers)

    def check_options(self, request: pb.CreateCompletionRequest, route: Route) -> None:
        if request.HasField("prompt"):
            for name in ("suffix", "best_of"):
                if request.prompt.HasField(name):
                    self._refuse(f"prompt.{name}")
        self._check_thinking(request, route.model)
        if messages_request.version(route.model) < messages_request.STRUCTURED:
            for index, tool in enumerate(request.tools):
                if tool.function.strict:
                    self._refuse(f"tools[{index}].function.strict", f"strict tools with {route.model}")

    def _check_thinking(self, request: pb.CreateCompletionRequest, model: str) -> None:
        budget = request.HasField("reasoning_max_tokens")
        thinks = budget or request.reasoning_effort > pb.REASONING_EFFORT_NONE
        version = messages_request.version(model)
        if not thinks and version < messages_request.UNBUDGETED:
            return
        if budget and version >= messages_request.UNBUDGETED:
            self._refuse("reasoning_max_tokens", f"a budget of thinking with {model}")
        for name in ("temperature", "top_p", "top_k"):
            if messages_request.neutral(name, request):
                continue
            if version >= messages_request.UNBUDGETED:
                self._refuse(name, f"{name} with {model}")
            if thinks and not (name == "top_p" and request.top_p >= MIN_TOP_P):
                self._refuse(name, f"{name} {getattr(request, name):g} together with reasoning")
        choice = request.tool_choice
        forced = choice.mode == message_pb2.ToolChoice.MODE_REQUIRED or choice.HasField("function_name")
        if forced and thinks and (budget or version < messages_request.ADAPTIVE):
            self._refuse("tool_choice", "a forced tool call together with reasoning")

    def _take(self, payload: bytes, reader: MessageReader, model: str) -> None:
        """Adds an event of a stream, which may be the whole message."""
        event = self.http.decode(payload, EVENT)
        if event.type == "content_block_delta":  # as most are
            reader.take(event)
            return
        if event.type == "message":
            self._take_whole(payload, reader, model)
            return
        odd = not event.type and error_body.is_error(payload)
        if event.type == "error" or odd or _is_error(event.error):
            self._fail(Reply(HTTPStatus.OK, {}, payload), model)
        reader.take(event)
        if event.usage is not None:
            reader.report.add(payload)
        elif event.message is not None:
            reader.report.add(payload, "message")
        if reader.stop_reason is not None:
            self._check(reader, model)

    def _take_whole(self, body: bytes, reader: MessageReader, model: str) -> None:
        """Adds an answer that is no stream. Errors carry the usage that it tells."""
        try:
            message = self.http.decode(body, MESSAGE)
            if message.type == "error" or _is_error(message.error):
                self._fail(Reply(HTTPStatus.OK, {}, body), model)
            if message.type not in ("", "message") or not (message.content or message.stop_reason):
                if error_body.is_error(body):
                    self._fail(Reply(HTTPStatus.OK, {}, body), model)
                raise self.http.unusable("no_message", "the answer is no message")
            reader.take_whole(message)
            reader.report.add(body)
            self._check(reader, model)
        except errors.SpineError as error:
            if reported := lenient_json.member(body, "usage", Usage):
                error.usage = usage(reported, whole=True)
                raw_usage.attach(body, error.usage)
            raise

    def _check(self, reader: MessageReader, model: str) -> None:
        """Raises what an answer that has ended says of its failure."""
        if reader.nameless:
            raise self.http.unusable("nameless_call", "the model called a tool without naming it")
        reason = reader.stop_reason or ""
        if reason not in FINISH_REASONS and finish_reason(reason) is None:
            fault = {"type": "api_error", "message": f"the answer ended with {reason!r}"}
            self._fail(Reply(HTTPStatus.OK, {}, msgspec.json.encode({"error": fault})), model)

    def _fail(self, reply: Reply, model: str) -> NoReturn:
        """Raises what the upstream's error means; the table is ERROR_TEXTS, then TYPES, then STATUSES."""
        fault = error_body.read(reply.body)
        in_answer = reply.status == HTTPStatus.OK
        status = (fault.status or reply.status) if in_answer else reply.status
        code = fault.type if fault.type in TYPES else fault.code or fault.type or str(status)
        message = self.http.public(fault.message or error_body.text_of(reply.status, reply.body))
        if missing := missing_operation(self.name, status, message, model):
            raise missing
        if fault.type == "not_found_error" or status == HTTPStatus.NOT_FOUND:
            hint = f"{self.name} says: {message[:500]}"
            raise errors.ModelNotFound(model=model, hint=hint, provider=self.name)
        kind = TYPES.get(fault.type) or STATUSES.get(status, errors.ProviderUnavailable)
        if kind in (errors.ProviderRejected, errors.ProviderRateLimited, errors.ContextLengthExceeded):
            text = f"{message} {fault.inner}".lower()
            kind = next((mapped for words, mapped in ERROR_TEXTS.items() if words in text), kind)
        raise kind(
            provider=self.name,
            provider_code=code,
            provider_message=message,
            retry_after_s=retry_after_s(reply.headers),
        )


def _write(request: pb.CreateCompletionRequest, model: str, *, stream: bool) -> bytes:
    return msgspec.json.encode(messages_request.write_request(request, model, stream=stream))


def _is_error(given: Raw | UnsetType) -> bool:
    """Whether the field `error` of an answer holds one."""
    return isinstance(given, Raw) and bytes(given) not in error_body.NO_ERROR


class _Count(Struct):
    """Answer of /v1/messages/count_tokens."""

    input_tokens: int


class _Support(Struct, frozen=True):
    """Ability of a model, in the list of models."""

    supported: bool = False


class _Capabilities(Struct, frozen=True):
    """Abilities of a model that the contract has a place for."""

    image_input: _Support = _Support()
    thinking: _Support = _Support()


class _Info(Struct):
    """Model in the list of models; created_at is RFC 3339, max_input_tokens the context window."""

    id: str
    display_name: str | None = None
    created_at: datetime | None = None
    max_input_tokens: int | None = None
    capabilities: _Capabilities | None = None


class _Models(Struct):
    """Page of the list of models; the next one begins after last_id."""

    data: list[_Info]
    has_more: bool | None = None
    last_id: str | None = None


def _model(info: _Info) -> model_service_pb2.Model:
    """Contract's model; every model of the list chats and calls tools."""
    model = model_service_pb2.Model(id=info.id, owned_by="anthropic", display_name=info.display_name)
    if info.created_at and info.created_at.timestamp() > 0:
        model.create_time.seconds = int(info.created_at.timestamp())
    if info.max_input_tokens:
        model.context_length = info.max_input_tokens
    model.capabilities.extend(("chat", "tools"))
    if info.capabilities:
        model.supports_vision = info.capabilities.image_input.supported
        if model.supports_vision:
            model.capabilities.append("vision")
        if info.capabilities.thinking.supported:
            model.capabilities.append("reasoning")
    return model


COUNT = msgspec.json.Decoder(_Count)
MODELS = msgspec.json.Decoder(_Models)
