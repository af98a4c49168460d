"""Amazon Bedrock: Converse and ConverseStream for every model that chats, InvokeModel for embeddings.

Wire facts: https://docs.aws.amazon.com/bedrock/latest/APIReference/welcome.html, 2026-11-28. Requests carry
a Bedrock API key, or are signed with AWS credentials.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from http import HTTPStatus
from time import time
from typing import NoReturn

import msgspec
from msgspec import UNSET, Raw

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.chunks import ChunkBuilder, completion, has_output
from genai_spine.concurrency import gather_or_cancel
from genai_spine.providers import raw_usage
from genai_spine.providers.base import Endpoint, Option, Provider, Route, reported_usage
from genai_spine.providers.bedrock import aws, embeddings, model_list, model_options, response
from genai_spine.providers.bedrock.request import SCHEMA, answers_by_tool, write_request
from genai_spine.providers.http import error_body, lenient_json
from genai_spine.providers.http.client import CUT, HttpClient, Reply, StatusError, retry_after_s
from genai_spine.providers.http.missing_operation import missing_operation
from genai_spine.providers.wire_types import finish_reason
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import model_service_pb2, usage_pb2

REGION = "us-east-1"
CONTROL_URL = "https://bedrock.{region}.amazonaws.com"
MAX_PAGES = 50  # of a list; more is a list without an end

OPTIONS = {
    "temperature": Option("inferenceConfig.temperature", max=1.0),
    "top_p": Option("inferenceConfig.topP"),
    "max_tokens": Option("inferenceConfig.maxTokens"),
    "stop_sequences": Option("inferenceConfig.stopSequences"),
    "tools": Option("toolConfig.tools"),
    "tool_choice": Option("toolConfig.toolChoice"),
    "response_format": Option("outputConfig.textFormat, or a tool that must be called"),
    # Not every model has these; one that does not refuses them by name.
    "top_k": Option("additionalModelRequestFields"),
    "reasoning_effort": Option("additionalModelRequestFields"),
    "reasoning_max_tokens": Option("additionalModelRequestFields"),
    "messages.image": Option("image"),
    "messages.audio": Option("audio"),
    "messages.file": Option("document"),
}

GRACE_S = 0.5  # for the end of a stream, once the usage has come
USAGE_GRACE_S = 5.0  # for the usage, after the message's end

# By the exception's name; a stream writes it with a small first letter.
EXCEPTIONS: dict[str, type[errors.ProviderFailure]] = {
    "ThrottlingException": errors.ProviderRateLimited,
    "TooManyRequestsException": errors.ProviderRateLimited,
    "ServiceQuotaExceededException": errors.ProviderQuotaExceeded,
    "ModelTimeoutException": errors.ProviderUnavailable,
    "ModelNotReadyException": errors.ProviderUnavailable,
    "ServiceUnavailableException": errors.ProviderUnavailable,
    "InternalServerException": errors.ProviderUnavailable,
    "InternalFailure": errors.ProviderUnavailable,
    "ModelErrorException": errors.ProviderError,
    "ModelStreamErrorException": errors.ProviderError,
    "ValidationException": errors.ProviderRejected,
    "AccessDeniedException": errors.ProviderAuthentication,
    "ExpiredTokenException": errors.ProviderAuthentication,
    "IncompleteSignatureException": errors.ProviderAuthentication,
    "InvalidSignatureException": errors.ProviderAuthentication,
    "MissingAuthenticationTokenException": errors.ProviderAuthentication,
    "SignatureDoesNotMatch": errors.ProviderAuthentication,
    "UnrecognizedClientException": errors.ProviderAuthentication,
}
STATUSES: dict[int, type[errors.ProviderFailure]] = {
    400: errors.ProviderRejected,
    401: errors.ProviderAuthentication,
    403: errors.ProviderAuthentication,
    413: errors.ContextLengthExceeded,
    424: errors.ProviderError,
    429: errors.ProviderRateLimited,
}
# What a ValidationException means beyond a bad request, by what it says.
ERROR_TEXTS: dict[str, type[errors.ProviderFailure]] = {
    "too long": errors.ContextLengthExceeded,  # "Input is", "prompt is"
    "too many input tokens": errors.ContextLengthExceeded,
    "maximum context length": errors.ContextLengthExceeded,
    "context window": errors.ContextLengthExceeded,
    "exceeds the maximum number of tokens": errors.ContextLengthExceeded,
    "content filtering policy": errors.ContentFiltered,
}
NO_MODEL = "model identifier is invalid"
NO_COUNT = "support counting tokens"
NOT_ALLOWED = "is not authorized to perform"


class Bedrock(Provider):
    """Adapter of Amazon Bedrock, in one region, which is part of the address.

    Runtime calls and the lists of models go to two hosts. With an API key requests carry it; otherwise they
    are signed with the AWS credentials that botocore finds.
    """

    OPTIONS = OPTIONS
    SCHEMA = SCHEMA

    def __init__(self, endpoint: Endpoint) -> None:
        region = endpoint.further.get("region", REGION)
        # The registry's address names the region that it is in.
        endpoint = replace(endpoint, base_url=endpoint.base_url.replace("{region}", region))
        super().__init__(endpoint)
        bearer = {"authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
        self._signer = None if endpoint.api_key else aws.Signer(endpoint, "bedrock", region)
        self.http = HttpClient(endpoint, bearer)
        control_url = endpoint.further.get("control_url", CONTROL_URL.replace("{region}", region))
        self._control = replace(endpoint, base_url=control_url)
        self._control_http = HttpClient(self._control, bearer)

    def check_options(self, request: pb.CreateCompletionRequest, route: Route) -> None:
        if request.HasField("prompt"):
            for name in ("suffix", "best_of"):
                if request.prompt.HasField(name):
                    self._refuse(f"prompt.{name}")
        model_options.fields(request, route)
        by_tool = answers_by_tool(request, route.model)
        if by_tool and model_options.thinks(request, route.model):
            self._refuse("response_format", f"a given form and reasoning with the model {route.model}")
        for index, tool in enumerate(request.tools):
            if tool.function.strict and not model_options.takes_schema(route.model):
                place = f"tools[{index}].function.strict"
                self._refuse(place, f"strict tools with the model {route.model}")

    async def stream(
        self, request: pb.CreateCompletionRequest, route: Route, call: Call
    ) -> AsyncGenerator[pb.CompletionChunk]:
        body = msgspec.json.encode(write_request(request, route))
        path = f"/model/{aws.segment(route.model)}/converse-stream"
        headers = await self._headers(self.endpoint, ("POST", path), body, call)
        reader, frames = response.ConverseReader(), aws.EventStream()
        try:
            async with aclosing(self.http.stream(path, body, call, frames, headers)) as reads:
                async for payloads in reads:
                    builder = self._begun(route.model, reader)
                    try:
                        for payload in payloads:
                            self._read(payload, reader, builder)
                    except errors.SpineError:
                        # What the same read brought before is the caller's.
                        if has_output(chunk := builder.build()):
                            yield chunk
                        raise
                    chunk = builder.build()
                    # That a message begins is no answer yet: until it says something, another may be asked.
                    if not (has_output(chunk) or chunk.choices[0].finish_reason):
                        del chunk.choices[:]
                    if chunk.choices or chunk.HasField("usage"):
                        yield chunk
                    if reader.stop_reason is not None:
                        frames.grace_s = GRACE_S if chunk.HasField("usage") else USAGE_GRACE_S
        except StatusError as error:
            self._fail(error.reply, route.model)
        except errors.ProviderError as error:
            # A connection that breaks after the message's end cuts nothing of it.
            if reader.stop_reason is None or error.metadata["provider_code"] != CUT:
                raise
        if reader.stop_reason is None:
            raise self.http.unusable(CUT, "the stream ended before it was complete")
        self._check_end(reader)

    async def complete(self, request: pb.CreateCompletionRequest, route: Route, call: Call) -> pb.Completion:
        body = msgspec.json.encode(write_request(request, route))
        reply = await self._post(route.model, "converse", body, call)
        reader = response.ConverseReader()
        builder = self._begun(route.model, reader)
        builder.chunk.id = reply.headers.get("x-amzn-requestid", "")
        if payloads := aws.events_of(reply.body):  # a stream, although none was asked for
            for payload in payloads:
                self._read(payload, reader, builder)
            if reader.stop_reason is None:
                raise self.http.unusable(CUT, "the answer ended before it was complete")
            self._check_end(reader, builder.chunk.usage if builder.chunk.HasField("usage") else None)
        else:
            self._read_whole(reply.body, reader, builder)
        return completion(builder.build())

    def _read_whole(self, body: bytes, reader: response.ConverseReader, builder: ChunkBuilder) -> None:
        """Adds an answer that is no stream. Errors carry the usage that it tells."""
        try:
            answer = self.http.decode(body, response.ANSWER)
            failed = isinstance(answer.error, Raw) and bytes(answer.error) not in error_body.NO_ERROR
            if failed or (answer.output is None and error_body.is_error(body)):
                self._fail(Reply(HTTPStatus.OK, {}, body), "")
            if answer.output is None or (answer.output.message is None and not answer.stop_reason):
                raise self.http.unusable("no_message", "the answer has no message")
            reader.whole(answer, builder.choice())
            self._add(answer, builder.chunk, body)
            self._check_end(reader)
        except errors.SpineError as error:
            if reported := lenient_json.member(body, "usage", response.Usage):
                error.usage = response.usage(reported)
                raw_usage.attach(body, error.usage)
            raise

    async def embed(
        self, request: pb.CreateEmbeddingsRequest, route: Route, call: Call
    ) -> pb.CreateEmbeddingsResponse:
        batches = embeddings.batches(request, route)
        turns = asyncio.Semaphore(embeddings.MAX_CONCURRENT_CALLS)

        async def one(texts: list[str]) -> tuple[list[list[float]], int | None]:
            async with turns:
                body = embeddings.write(request, route.model, texts)
                reply = await self._post(route.model, "invoke", body, call)
                return self._vectors(reply, route.model, len(texts))

        embedded = await gather_or_cancel(one(list(texts)) for texts in batches)
        answer = pb.CreateEmbeddingsResponse(model=route.model)
        for values in (values for vectors, _ in embedded for values in vectors):
            answer.embeddings.add(index=len(answer.embeddings), values=values)
        counts = [count for _, count in embedded]
        if None not in counts:
            answer.usage.CopyFrom(reported_usage(sum(count or 0 for count in counts), 0))
        return answer

    async def count_tokens(self, request: pb.CreateCompletionRequest, route: Route, call: Call) -> int:
        written = write_request(request, route)
        names = ("messages", "system", "toolConfig", "additionalModelRequestFields")
        converse = {name: written[name] for name in names if name in written}
        body = msgspec.json.encode({"input": {"converse": converse}})
        # It knows models, and not the profiles that spread their calls over regions.
        model = model_options.base_model(route.model)
        try:
            reply = await self._post(model, "count-tokens", body, call)
        except errors.ProviderRejected as error:
            if NO_COUNT in error.metadata["provider_message"]:
                operation = f"counting of tokens for the model {model}"
                raise errors.UnsupportedOperation(provider=self.name, operation=operation) from error
            raise
        return self.http.decode(reply.body, response.TOKEN_COUNT).input_tokens

    async def list_models(self) -> list[model_service_pb2.Model]:
        """Models that can be called by their own id, then the profiles by which the others are."""
        known = self.http.decode(await self._get("/foundation-models"), model_list.MODELS).model_summaries
        models = [model.described(model.model_id) for model in known if "ON_DEMAND" in model.inference_types]
        by_id = {model.model_id: model for model in known}
        token: str | None = ""
        for _ in range(MAX_PAGES):
            more = f"&nextToken={aws.segment(token)}" if token else ""
            page = await self._get(f"/inference-profiles?maxResults=1000{more}")
            profiles = self.http.decode(page, model_list.PROFILES)
            models += [profile.described(by_id) for profile in profiles.inference_profile_summaries]
            token = profiles.next_token
            if not token:
                return models
        raise self.http.unusable("endless_list", f"more than {MAX_PAGES} pages of inference profiles")

    async def health(self) -> None:
        try:
            await self.list_models()
        except errors.ProviderAuthentication as error:
            # Who may call models need not be allowed to list them.
            if NOT_ALLOWED not in error.metadata["provider_message"]:
                raise

    async def close(self) -> None:
        await self.http.close()
        await self._control_http.close()
        if self._signer is not None:
            self._signer.close()

    async def _headers(
        self, endpoint: Endpoint, request: tuple[str, str], body: bytes, call: Call
    ) -> dict[str, str]:
        """request: method, and path with its query."""
        if self._signer is None:
            return {}
        url = endpoint.base_url.rstrip("/") + request[1]
        return await self._signer.headers((request[0], url), body, call)

    async def _post(self, model: str, operation: str, body: bytes, call: Call) -> Reply:
        path = f"/model/{aws.segment(model)}/{operation}"
        headers = await self._headers(self.endpoint, ("POST", path), body, call)
        reply = await self.http.post(path, body, call, headers)
        if reply.status != HTTPStatus.OK:
            self._fail(reply, model)
        return reply

    async def _get(self, path: str) -> bytes:
        call = Call()
        headers = await self._headers(self._control, ("GET", path), b"", call)
        reply = await self._control_http.request("GET", path, b"", call, headers)
        if reply.status != HTTPStatus.OK:
            self._fail(reply, "")
        return reply.body

    def _begun(self, model: str, reader: response.ConverseReader) -> ChunkBuilder:
        """A chunk of the only choice, without its text."""
        builder = ChunkBuilder(reader.halves)
        builder.chunk.model, builder.chunk.create_time.seconds = model, int(time())
        builder.choice()
        return builder

    def _read(self, payload: bytes, reader: response.ConverseReader, builder: ChunkBuilder) -> None:
        event = self.http.decode(payload, response.EVENT)
        if event.content_block_delta is not None:  # which most are
            reader.event(event, builder.choice())
            return
        if event.output is not UNSET or (event.is_unknown and error_body.is_error(payload)):
            self._read_whole(payload, reader, builder)
            return
        if event.exception is not None:
            name = event.exception.name
            raise self._failure(name[:1].upper() + name[1:], event.exception.message, Reply(0, {}, b""), "")
        if event.broken is not None:
            raise self.http.unusable("broken_event", event.broken)
        reader.event(event, builder.choice())
        if self._fault(reader) is not None:  # it fails at its end: usage is an event of its own, behind it
            builder.choice().delta.ClearField("finish_reason")
        if event.metadata is not None:
            self._add(event.metadata, builder.chunk, payload, "metadata")

    def _add(
        self,
        answer: response.Answer | response.Metadata,
        chunk: pb.CompletionChunk,
        body: bytes,
        place: str = "",
    ) -> None:
        """Adds usage, tier and speed. body: that the answer was read from. place: as in raw_usage."""
        if answer.usage is not None:
            chunk.usage.CopyFrom(response.usage(answer.usage))
            raw_usage.attach(body, chunk.usage, place)
        if answer.performance_config and answer.performance_config.latency:
            chunk.speed = answer.performance_config.latency
        if answer.service_tier and answer.service_tier.type:
            chunk.service_tier = answer.service_tier.type

    def _fault(self, reader: response.ConverseReader) -> errors.SpineError | None:
        """Error of an answer that has ended and cannot be used; None: it can be."""
        reason = reader.stop_reason
        if reason is None:
            return None
        if reader.nameless:
            return self.http.unusable("nameless_call", "the model called a tool without naming it")
        if reason in response.MALFORMED:
            return self.http.unusable(reason, "the model wrote no well-formed answer")
        if reason not in response.STOP_REASONS and finish_reason(reason) is None:
            return self._failure("", f"the answer ended with {reason!r}", Reply(HTTPStatus.OK, {}, b""), "")
        return None

    def _check_end(self, reader: response.ConverseReader, usage: usage_pb2.Usage | None = None) -> None:
        """Raises the error of an answer that cannot be used, which was billed all the same."""
        if (fault := self._fault(reader)) is not None:
            fault.usage = usage
            raise fault

    def _vectors(self, reply: Reply, model: str, input_count: int) -> tuple[list[list[float]], int | None]:
        """Vectors of one call, and its count of tokens where it has one."""
        if embeddings.is_cohere(model):
            embedded = self.http.decode(reply.body, embeddings.COHERE).embeddings
            vectors = embedded if isinstance(embedded, list) else embedded.float
            count = embeddings.tokens(reply.headers)
        else:
            titan = self.http.decode(reply.body, embeddings.TITAN)
            vectors = [titan.embedding]
            count = embeddings.tokens(reply.headers, titan.input_text_token_count)
        if len(vectors) != input_count:
            message = f"{len(vectors)} embeddings for {input_count} inputs"
            raise self.http.unusable("missing_embeddings", message)
        return vectors, count

    def _fail(self, reply: Reply, model: str) -> NoReturn:
        name, message = aws.fault(dict(reply.headers), reply.body)
        fault = error_body.read(reply.body)
        if reply.status == HTTPStatus.OK and fault.status:
            reply = replace(reply, status=fault.status)
        message = message or fault.message or error_body.text_of(reply.status, reply.body)
        raise self._failure(name, message, reply, model)

    def _failure(self, name: str, message: str, reply: Reply, model: str) -> errors.SpineError:
        """Error that the exception means, or, where it has no name that is known, the status."""
        message = self.http.public(message)
        if name == "ExpiredTokenException" and self._signer is not None:
            self._signer.forget()
        is_404 = reply.status == HTTPStatus.NOT_FOUND  # a path names its model here: that is missing
        if not is_404 and (missing := missing_operation(self.name, reply.status, message, model)):
            return missing
        no_model = name == "ResourceNotFoundException" or (not name and reply.status == HTTPStatus.NOT_FOUND)
        if no_model or NO_MODEL in message:
            hint = f"{self.name} says: {message[:500]}"
            return errors.ModelNotFound(model=model, hint=hint, provider=self.name)
        kind = EXCEPTIONS.get(name) or STATUSES.get(reply.status, errors.ProviderUnavailable)
        if kind is errors.ProviderRejected:
            lowered = message.lower()
            kind = next((mapped for text, mapped in ERROR_TEXTS.items() if text in lowered), kind)
        return kind(
            provider=self.name,
            provider_code=name or str(reply.status),
            provider_message=message,
            retry_after_s=retry_after_s(reply.headers),
        )
