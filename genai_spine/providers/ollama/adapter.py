"""Ollama adapter, by its native API, which has what its OpenAI-compatible one lacks: pulls, keep_alive, tags.

Wire facts: https://github.com/ollama/ollama/blob/main/docs/api.md and https://docs.ollama.com/openapi.yaml,
2026-11-28. keep_alive is one of the caller's own fields: {"keep_alive": "10m"} in provider_options_json.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from dataclasses import replace
from http import HTTPStatus
from time import monotonic
from typing import Any, NoReturn

import msgspec
from msgspec import Raw

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.chunks import ChunkBuilder, completion, has_output
from genai_spine.media import media_types
from genai_spine.providers.base import Endpoint, Option, Provider, Route, further_fields, reported_usage
from genai_spine.providers.conversation import CallRules, Entry, arrange
from genai_spine.providers.http import error_body
from genai_spine.providers.http.client import CUT, HttpClient, Reply, StatusError, retry_after_s
from genai_spine.providers.http.event_stream import JsonLines, lines_of
from genai_spine.providers.http.missing_operation import missing_operation
from genai_spine.providers.ollama.context_size import BYTES_PER_TOKEN, ContextSizes, needed_tokens
from genai_spine.providers.ollama.response import AnswerReader, usage_of
from genai_spine.providers.ollama.wire_types import (
    CHAT,
    EMBEDDINGS,
    MODEL_DETAILS,
    PULL_PROGRESS,
    SCHEMA,
    TAGS,
    Chat,
    ModelDetails,
    PullProgress,
    Tag,
    format_of,
    own_options,
    seconds,
    think,
    tool_json,
)
from genai_spine.providers.wire_types import ROLES
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, model_service_pb2
from genai_spine.v1.provider_service_pb2 import PullModelResponse

OPTIONS = {
    # Upstream names below "options.": https://github.com/ollama/ollama/blob/main/docs/modelfile.md
    "temperature": Option("temperature"),
    "top_p": Option("top_p"),
    "top_k": Option("top_k"),
    "max_tokens": Option("num_predict"),
    "stop_sequences": Option("stop"),
    "seed": Option("seed"),
    "presence_penalty": Option("presence_penalty"),
    "frequency_penalty": Option("frequency_penalty"),
    # Of the request itself.
    "response_format": Option("format"),
    "tools": Option("tools"),
    "reasoning_effort": Option("think"),
    "logprobs": Option("logprobs"),
    "top_logprobs": Option("top_logprobs"),
    "messages.image": Option("images"),
}
OF_THE_REQUEST = ("response_format", "tools", "reasoning_effort", "logprobs", "top_logprobs")
IN_OPTIONS = [name for name in OPTIONS if name not in OF_THE_REQUEST]
CALLS = CallRules()
MAX_CONCURRENT_SHOWS = 4  # descriptions of models that are asked for at a time
SHOW_TIMEOUT_S = 2.0  # all of them together get so long
PULL_SILENCE_TIMEOUT_S = 1800.0  # while it checks what it has loaded, nothing comes
# What Ollama calls a capability, and what we call it.
CAPABILITIES = {
    "completion": "chat",
    "embedding": "embeddings",
    "vision": "vision",
    "tools": "tools",
    "thinking": "reasoning",
}
GRACE_S = 0.5  # for the end of a stream whose last line has come
NO_MESSAGE = "the answer has no message or is not done"
NOT_THERE = ("file does not exist", "not found")  # what a registry says of a model that it does not have


class Ollama(Provider):
    """Adapter of one Ollama server.

    Answers and pulls are streams of JSON lines; the last line of an answer is `done` and holds the counts. A
    model's details are asked for once, by its digest, and kept while the server lists it.
    """

    OPTIONS = OPTIONS
    LOCAL = True
    SCHEMA = SCHEMA

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.headers = {"authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
        self.http = HttpClient(endpoint, self.headers)
        self.details: dict[str, ModelDetails] = {}  # by the model's digest
        self.contexts = ContextSizes(self.http, self._show, _tokens(endpoint.further.get("num_ctx")))

    async def stream(
        self, request: pb.CreateCompletionRequest, route: Route, call: Call
    ) -> AsyncGenerator[pb.CompletionChunk]:
        body = await self._written(request, route, call, stream=True)
        reader, frames = AnswerReader(self.http, self._fail_in_answer), JsonLines()
        try:
            async with aclosing(self.http.stream("/api/chat", body, call, frames)) as reads:
                async for lines in reads:
                    builder = ChunkBuilder(reader.halves)
                    try:
                        for line in lines:
                            reader.add(self._decoded(line), line, builder)
                    except errors.SpineError:
                        # What the same read brought before is the caller's.
                        if has_output(chunk := builder.build()):
                            yield chunk
                        raise
                    # An empty line is no answer yet: until one says something, another may be asked.
                    if builder.choices and (has_output(chunk := builder.build()) or reader.done):
                        yield chunk
                    frames.grace_s = GRACE_S if reader.done else None
        except StatusError as error:
            self._fail(error.reply, route.model)
        except errors.ProviderError as error:
            # A connection that breaks after the end cuts nothing.
            if not reader.done or error.metadata["provider_code"] != CUT:
                raise
        if not reader.done:
            raise self.http.unusable(CUT, "the stream ended before it was complete")

    async def complete(self, request: pb.CreateCompletionRequest, route: Route, call: Call) -> pb.Completion:
        body = await self._written(request, route, call, stream=False)
        reply = await self.http.post("/api/chat", body, call)
        if reply.status != HTTPStatus.OK:
            self._fail(reply, route.model)
        reader, builder = AnswerReader(self.http, self._fail_in_answer), ChunkBuilder()
        for line in lines_of(reply.body):  # one, unless it streams although it was not asked to
            reader.add(self._decoded(line), line, builder)
        if not reader.answered or not reader.done:
            raise self._billed(self.http.unusable("no_message", NO_MESSAGE), reply.body)
        return completion(builder.build())

    def _decoded(self, line: bytes) -> Chat:
        """Decoded line; one that cannot be read tells what it cost all the same."""
        try:
            return self.http.decode(line, CHAT)
        except errors.SpineError as error:
            raise self._billed(error, line) from error

    def _billed(self, error: errors.SpineError, line: bytes) -> errors.SpineError:
        """The error with the counts of a line, which need not be JSON."""
        counts = usage_of(line)
        if counts is not None:
            error.usage = counts
        return error

    def _fail_in_answer(self, line: bytes, answer: Chat) -> NoReturn:
        """Raises the error that a good-looking answer holds, with the usage that it tells."""
        try:
            self._fail(Reply(HTTPStatus.OK, {}, line), answer.model)
        except errors.SpineError as error:
            raise self._billed(error, line) from None

    async def embed(
        self, request: pb.CreateEmbeddingsRequest, route: Route, call: Call
    ) -> pb.CreateEmbeddingsResponse:
        if any(entry.HasField("tokens") for entry in request.inputs):
            self._refuse("inputs", "inputs of token ids")
        body = {"truncate": False} | further_fields(request)
        body |= {"model": route.model, "input": [entry.text for entry in request.inputs]}
        if request.HasField("dimensions"):
            body["dimensions"] = request.dimensions
        longest = max((len(entry.text.encode()) for entry in request.inputs), default=0)
        await self._fit(body, own_options(body), longest // BYTES_PER_TOKEN, call)
        reply = await self.http.post("/api/embed", msgspec.json.encode(body), call)
        if reply.status != HTTPStatus.OK:
            self._fail(reply, route.model)
        answer = self.http.decode(reply.body, EMBEDDINGS)
        if len(answer.embeddings) != len(request.inputs):
            raise self.http.unusable(
                "missing_embeddings",
                f"{len(answer.embeddings)} embeddings for {len(request.inputs)} inputs",
            )
        response = pb.CreateEmbeddingsResponse(model=answer.model or route.model)
        for index, values in enumerate(answer.embeddings):
            response.embeddings.add(index=index, values=values)
        if answer.prompt_eval_count is not None:
            response.usage.CopyFrom(reported_usage(answer.prompt_eval_count, 0))
        return response

    async def pull(self, model: str, call: Call) -> AsyncGenerator[PullModelResponse]:
        """Steps that came together and are about the same part are one step. Leaving it ends the pull."""
        timeouts = replace(self.endpoint.timeouts, between_tokens_s=PULL_SILENCE_TIMEOUT_S, total_s=None)
        http = HttpClient(replace(self.endpoint, timeouts=timeouts), self.headers)
        body, status = msgspec.json.encode({"model": model, "stream": True}), ""
        try:
            async with aclosing(http.stream("/api/pull", body, call, JsonLines())) as reads:
                async for lines in reads:
                    for step in self._steps(lines, model):
                        status = step.status
                        yield step
        except StatusError as error:
            self._fail_pull(error.reply, model)
        finally:
            await http.close()
        if status != "success":
            raise self.http.unusable(CUT, f"the pull ended at {status or 'its beginning'!r}")

    def _steps(self, lines: list[bytes], model: str) -> Iterator[PullModelResponse]:
        """Steps of a pull that one read brought, those about the same layer as one.

        An error line ends them: ModelNotFound, where the registry does not have the model.
        """
        steps: dict[tuple[str, str | None], PullProgress] = {}
        failed: bytes | None = None
        for line in lines:
            pulled = self.http.decode(line, PULL_PROGRESS)
            if pulled.error:
                failed = line
                break
            steps[pulled.status, pulled.digest] = pulled
        for pulled in steps.values():
            yield PullModelResponse(
                status=pulled.status,
                digest=pulled.digest,
                total_bytes=pulled.total,
                completed_bytes=pulled.completed,
            )
        if failed is not None:
            self._fail_pull(Reply(500, {}, failed), model)

    def _fail_pull(self, reply: Reply, model: str) -> NoReturn:
        """Raises the error of a pull: ModelNotFound, where the text says that the registry does not have the
        model, whatever the status.
        """
        message = self._words(reply)
        if any(words in message for words in NOT_THERE):
            hint = f"{self.name} says: {message}"
            raise errors.ModelNotFound(model=model, hint=hint, provider=self.name)
        self._fail(reply, model)

    async def list_models(self) -> list[model_service_pb2.Model]:
        """Models on the server's disk, with what each can do as far as Ollama tells within two seconds."""
        tags = await self._tags()
        await self._show_all(tags)
        return [self._model(tag) for tag in tags]

    async def health(self) -> None:
        await self._tags()

    async def _tags(self) -> list[Tag]:
        """Models on the server's disk."""
        reply = await self.http.get("/api/tags", Call())
        if reply.status != HTTPStatus.OK:
            self._fail(reply, "")
        return self.http.decode(reply.body, TAGS).models

    async def _show_all(self, tags: list[Tag]) -> None:
        """Asks for the details of models that are not known yet, for SHOW_TIMEOUT_S in all.

        Models whose details do not come in time are listed without them.
        """
        names = {tag.digest: tag.name for tag in tags}
        self.details = {digest: details for digest, details in self.details.items() if digest in names}
        free, call = asyncio.Semaphore(MAX_CONCURRENT_SHOWS), Call(deadline=monotonic() + SHOW_TIMEOUT_S)

        async def show(digest: str, name: str) -> None:
            # The list is worth having without it.
            with suppress(errors.SpineError):
                async with free:
                    self.details[digest] = await self._show(name, call)

        unknown = [(digest, name) for digest, name in names.items() if digest not in self.details]
        await asyncio.gather(*(show(digest, name) for digest, name in unknown))

    async def _show(self, name: str, call: Call) -> ModelDetails:
        """Details of one model."""
        body = msgspec.json.encode({"model": name})
        reply = await self.http.post("/api/show", body, call)
        if reply.status != HTTPStatus.OK:
            self._fail(reply, name)
        return self.http.decode(reply.body, MODEL_DETAILS)

    def _model(self, tag: Tag) -> model_service_pb2.Model:
        """Contract's model of a tag, with its abilities and context window where they are known."""
        model = model_service_pb2.Model(id=tag.name, owned_by="ollama")
        if modified_s := seconds(tag.modified_at):
            model.create_time.seconds = modified_s
        details = self.details.get(tag.digest)
        if details is None:
            return model
        model.capabilities.extend(CAPABILITIES[name] for name in details.capabilities if name in CAPABILITIES)
        model.supports_vision = "vision" in details.capabilities
        model.supports_streaming = "completion" in details.capabilities
        if length := self.contexts.bounded(details):
            model.context_length = length
        return model

    async def close(self) -> None:
        await self.http.close()

    async def context_length(self, model: str, call: Call) -> int | None:
        return await self.contexts.length(model, call)

    async def _written(
        self, request: pb.CreateCompletionRequest, route: Route, call: Call, *, stream: bool
    ) -> bytes:
        """Body of a request, with the context that it needs."""
        body = self._body(request, route, stream=stream)
        written = msgspec.json.encode(body)
        images = [image for message in body["messages"] for image in message.get("images", ())]
        needed = needed_tokens(body, len(written) - sum(map(len, images)), len(images))
        if self.contexts.is_usual(body["model"], needed):
            return written
        is_set = await self._fit(body, body.get("options", {}), needed, call)
        return msgspec.json.encode(body) if is_set else written

    async def _fit(self, body: dict[str, Any], options: dict[str, Any], needed: int, call: Call) -> bool:
        """Sets the context of a body that needs so many tokens, unless its caller has; True: it was set."""
        if "num_ctx" in options:
            return False
        num_ctx = await self.contexts.num_ctx(body["model"], needed, call)
        if num_ctx is None:
            return False
        body["options"] = {**options, "num_ctx": num_ctx}
        return True

    def _body(self, request: pb.CreateCompletionRequest, route: Route, *, stream: bool) -> dict[str, Any]:
        body = {"truncate": False} | further_fields(request)
        body |= {"model": route.model, "stream": stream, "messages": self._messages(request)}
        options = own_options(body)  # ours go beside them
        for field, value in request.ListFields():
            if field.name in IN_OPTIONS:
                options[OPTIONS[field.name].upstream] = list(value) if field.is_repeated else value
        if options:
            body["options"] = options
        if request.tools:
            body["tools"] = [tool_json(tool) for tool in request.tools]
        if request.HasField("response_format"):
            body |= format_of(request.response_format)
        if request.reasoning_effort:
            body["think"] = think(request.reasoning_effort, route.rules.effort_form)
        for name in ("logprobs", "top_logprobs"):
            if request.HasField(name):
                body[name] = getattr(request, name)
        return body

    def _messages(self, request: pb.CreateCompletionRequest) -> list[dict[str, Any]]:
        if request.HasField("prompt"):
            for name in ("suffix", "best_of"):
                if request.prompt.HasField(name):
                    self._refuse(f"prompt.{name}")
            return [{"role": "user", "content": request.prompt.text}]
        return [self._message(entry) for entry in arrange(request.messages[:], CALLS)]

    def _message(self, entry: Entry) -> dict[str, Any]:
        """Message as Ollama has it: text apart from images."""
        message = entry.message
        role = "system" if message.role == message_pb2.ROLE_DEVELOPER else ROLES[message.role]
        if entry.result_of:
            role = "tool"
        parts = message.content[:]
        text = "\n".join([part.text or part.refusal for part in parts if not part.HasField("image")])
        body: dict[str, Any] = {"role": role, "content": text}
        images = [self._image(part.image) for part in parts if part.HasField("image")]
        if images:
            body["images"] = images
        if message.tool_calls:
            pairs = zip(message.tool_calls, entry.call_ids, strict=True)
            body["tool_calls"] = [self._tool_call(call, call_id) for call, call_id in pairs]
        if message.role == message_pb2.ROLE_ASSISTANT and message.reasoning:
            body["thinking"] = message.reasoning  # gpt-oss goes on from it between calls of tools
        if entry.result_of:
            # Templates know a result by its tool's name; the id tells calls of one tool apart.
            body["tool_name"] = entry.name
            body["tool_call_id"] = entry.result_of
        return body

    def _tool_call(self, call: message_pb2.ToolCall, call_id: str) -> dict[str, Any]:
        """Tool call of an earlier answer; one with free text, which another provider made, is an object."""
        if call.HasField("custom"):
            function: dict[str, Any] = {"name": call.custom.name, "arguments": {"input": call.custom.input}}
        else:
            function = {"name": call.function.name, "arguments": Raw(self._arguments(call))}
        return {"id": call_id, "function": function}

    def _arguments(self, call: message_pb2.ToolCall) -> bytes:
        """JSON object of a call's arguments: text that is not one cannot be sent. Raises InvalidFields."""
        try:
            msgspec.json.decode(call.function.arguments_json.strip() or "{}", type=dict[str, Raw])
        except (msgspec.DecodeError, RecursionError) as error:
            raise errors.InvalidFields(
                [("messages.tool_calls.function.arguments_json", str(error))]
            ) from error
        return (call.function.arguments_json.strip() or "{}").encode()

    def _image(self, image: message_pb2.ImagePart) -> str | bytes:
        """Base64 of an image; images by URL are refused."""
        if image.data:
            return image.data
        found = media_types.parse(image.url)
        if found is None:
            self._refuse("messages.content.image.url", "images by URL; send the image itself")
        return found.data

    def _words(self, reply: Reply) -> str:
        """Message of an error body, or the body itself, without our key."""
        message = error_body.read(reply.body).message or error_body.text_of(reply.status, reply.body)
        return self.http.public(message)

    def _fail(self, reply: Reply, model: str) -> NoReturn:
        """Raises what the status means; the table is STATUSES. Errors of a context that is too long are known
        by their text.
        """
        fault = error_body.read(reply.body)
        in_answer = reply.status == HTTPStatus.OK
        # Of an error within an answer, the words are all that there is.
        status = fault.status or HTTPStatus.INTERNAL_SERVER_ERROR if in_answer else reply.status
        message = self._words(reply)
        if missing := missing_operation(self.name, status, message, model):
            raise missing
        if status == HTTPStatus.NOT_FOUND:
            hint = f"{self.name} says: {message}; `ollama pull {model}` gets it"
            raise errors.ModelNotFound(model=model, hint=hint, provider=self.name)
        kind = STATUSES.get(status, errors.ProviderUnavailable)
        if "context length" in message or "context size" in message:
            kind = errors.ContextLengthExceeded  # with status 400, of older versions 500
        raise kind(
            provider=self.name,
            provider_code=fault.code or str(status) if in_answer else str(status),
            provider_message=message,
            retry_after_s=retry_after_s(reply.headers),
        )


def _tokens(setting: str | None) -> int | None:
    """Number of GENAI_OLLAMA_NUM_CTX. Raises ValueError."""
    if setting is None:
        return None
    if not setting.isdecimal() or not int(setting):
        raise ValueError(f"GENAI_OLLAMA_NUM_CTX={setting} is no number of tokens")
    return int(setting)


STATUSES: dict[int, type[errors.ProviderFailure]] = {
    400: errors.ProviderRejected,
    401: errors.ProviderAuthentication,
    403: errors.ProviderAuthentication,
    429: errors.ProviderRateLimited,
}
