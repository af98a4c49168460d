"""Ollama by its native API, which has what its OpenAI-compatible one lacks: load times, keep_alive, tags.

Wire facts: https://github.com/ollama/ollama/blob/main/docs/api.md, 2026-11-21.
"""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from datetime import datetime
from http import HTTPStatus
from time import time
from typing import Annotated, Any, NoReturn

import msgspec
from msgspec import Meta, Raw, Struct

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.providers.base import Endpoint, Option, Provider, further_fields, reported_usage
from genai_spine.providers.chunks import completion, merge
from genai_spine.providers.events import JsonLines
from genai_spine.providers.openai_json import FINISH_REASONS, MOST_TOKENS, ROLES, speaks
from genai_spine.providers.wire import Refused, Reply, Wire, retry_after_s
from genai_spine.v1 import completion_service_pb2 as pb

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
    "messages.image": Option("images"),
}
IN_OPTIONS = [name for name in OPTIONS if name not in ("response_format", "tools", "reasoning_effort")]
DATA_URL = re.compile(r"data:[^;,]*;base64,(.*)", re.DOTALL)


class Ollama(Provider):
    OPTIONS = OPTIONS
    LOCAL = True

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        headers = {"authorization": f"Bearer {endpoint.api_key}"} if endpoint.api_key else {}
        self.wire = Wire(endpoint, headers)

    async def stream(
        self, request: pb.CreateCompletionRequest, call: Call
    ) -> AsyncGenerator[pb.CompletionChunk]:
        body = self._write(request, stream=True)
        done, calls = False, 0
        try:
            async with aclosing(self.wire.stream("/api/chat", body, call, JsonLines())) as reads:
                async for lines in reads:
                    whole = pb.CompletionChunk()
                    try:
                        for line in lines:
                            answer = self.wire.decode(line, CHAT)
                            merge(whole, self._chunk(answer, calls))
                            calls += len(answer.message.tool_calls or ()) if answer.message else 0
                            done = done or answer.done
                    except errors.SpineError:
                        # What the same read brought before is the caller's.
                        if speaks(whole):
                            yield whole
                        raise
                    yield whole
        except Refused as refused:
            self._fail(refused.reply, request.model)
        if not done:
            raise self.wire.unusable("cut_stream", "the stream ended before it was complete")

    async def complete(self, request: pb.CreateCompletionRequest, call: Call) -> pb.Completion:
        reply = await self.wire.post("/api/chat", self._write(request, stream=False), call)
        if reply.status != HTTPStatus.OK:
            self._fail(reply, request.model)
        answer = self.wire.decode(reply.body, CHAT)
        if answer.message is None or not answer.done:
            raise self.wire.unusable("no_message", "the answer has no message or is not done")
        return completion(self._chunk(answer, 0))

    async def embed(self, request: pb.CreateEmbeddingsRequest, call: Call) -> pb.CreateEmbeddingsResponse:
        if any(entry.HasField("tokens") for entry in request.inputs):
            self._refuse("inputs", "inputs of token ids")
        body = further_fields(request)
        body |= {"model": request.model, "input": [entry.text for entry in request.inputs]}
        if request.HasField("dimensions"):
            body["dimensions"] = request.dimensions
        reply = await self.wire.post("/api/embed", msgspec.json.encode(body), call)
        if reply.status != HTTPStatus.OK:
            self._fail(reply, request.model)
        answer = self.wire.decode(reply.body, EMBEDDINGS)
        if len(answer.embeddings) != len(request.inputs):
            raise self.wire.unusable(
                "missing_embeddings",
                f"{len(answer.embeddings)} embeddings for {len(request.inputs)} inputs",
            )
        response = pb.CreateEmbeddingsResponse(model=answer.model or request.model)
        for index, values in enumerate(answer.embeddings):
            response.embeddings.add(index=index, values=values)
        if answer.prompt_eval_count is not None:
            response.usage.CopyFrom(reported_usage(answer.prompt_eval_count, 0))
        return response

    async def list_models(self) -> list[pb.Model]:
        reply = await self.wire.get("/api/tags", Call())
        if reply.status != HTTPStatus.OK:
            self._fail(reply, "")
        return [
            pb.Model(id=tag.name, created=_seconds(tag.modified_at), owned_by="ollama")
            for tag in self.wire.decode(reply.body, TAGS).models
        ]

    async def close(self) -> None:
        await self.wire.close()

    def _write(self, request: pb.CreateCompletionRequest, *, stream: bool) -> bytes:
        body = further_fields(request)
        body |= {"model": request.model, "stream": stream, "messages": self._messages(request)}
        options = _own_options(body)  # ours go beside them
        for field, value in request.ListFields():
            if field.name in IN_OPTIONS:
                options[OPTIONS[field.name].upstream] = list(value) if field.is_repeated else value
        if options:
            body["options"] = options
        if request.tools:
            body["tools"] = [_tool(tool) for tool in request.tools]
        if request.HasField("response_format"):
            body |= _format(request.response_format)
        if request.reasoning_effort:
            body["think"] = _think(request.reasoning_effort)
        return msgspec.json.encode(body)

    def _messages(self, request: pb.CreateCompletionRequest) -> list[dict[str, Any]]:
        if request.HasField("prompt"):
            for name in ("suffix", "best_of"):
                if request.prompt.HasField(name):
                    self._refuse(f"prompt.{name}")
            return [{"role": "user", "content": request.prompt.text}]
        names = {call.id: call.function.name for message in request.messages for call in message.tool_calls}
        return [self._message(message, names) for message in request.messages]

    def _message(self, message: pb.Message, names: dict[str, str]) -> dict[str, Any]:
        role = "system" if message.role == pb.ROLE_DEVELOPER else ROLES[message.role]
        text = "\n".join(part.text or part.refusal for part in message.content if not part.HasField("image"))
        body: dict[str, Any] = {"role": role, "content": text}
        images = [self._image(part.image) for part in message.content if part.HasField("image")]
        if images:
            body["images"] = images
        if message.tool_calls:
            body["tool_calls"] = [
                {"function": {"name": call.function.name, "arguments": Raw(self._arguments(call))}}
                for call in message.tool_calls
            ]
        if message.role == pb.ROLE_TOOL:
            body["tool_name"] = names.get(message.tool_call_id, message.name)
        return body

    def _arguments(self, call: pb.ToolCall) -> bytes:
        """Ollama takes arguments as an object, so text that is not one cannot be sent."""
        try:
            msgspec.json.decode(call.function.arguments or "{}", type=dict[str, Raw])
        except msgspec.DecodeError as error:
            raise errors.InvalidFields([("messages.tool_calls.function.arguments", str(error))]) from error
        return (call.function.arguments or "{}").encode()

    def _image(self, image: pb.ImagePart) -> str | bytes:
        if image.data:
            return image.data
        match = DATA_URL.match(image.url)
        if match is None:
            self._refuse("messages.content.image.url", "images by URL; send the image itself")
        return match.group(1)

    def _chunk(self, answer: "Chat", calls: int) -> pb.CompletionChunk:
        """calls: tool calls that this stream has brought before."""
        if answer.error:
            self._fail(Reply(500, {}, msgspec.json.encode({"error": answer.error})), answer.model)
        chunk = pb.CompletionChunk(model=answer.model, created=int(time()))
        delta = chunk.choices.add()
        said = answer.message or Said()
        delta.content, delta.reasoning = said.content or "", said.thinking or ""
        for index, call in enumerate(said.tool_calls or (), calls):
            name, arguments = call.function.name, bytes(call.function.arguments).decode()
            delta.tool_calls.add(index=index, id=call.id or f"call_{index}", name=name, arguments=arguments)
        if answer.done:
            delta.finish_reason = FINISH_REASONS.get(answer.done_reason or "stop", pb.FINISH_REASON_STOP)
            if delta.tool_calls or calls:
                delta.finish_reason = pb.FINISH_REASON_TOOL_CALLS
            if answer.eval_count is not None or answer.prompt_eval_count is not None:
                chunk.usage.CopyFrom(reported_usage(answer.prompt_eval_count or 0, answer.eval_count or 0))
                # Left out when the whole prompt was in the cache, so the number is not known.
                if answer.prompt_eval_count is None:
                    chunk.usage.input_provenance = pb.PROVENANCE_UNKNOWN
        return chunk

    def _fail(self, reply: Reply, model: str) -> NoReturn:
        message = reply.body[:500].decode("utf-8", "replace")
        # What does not decode is not Ollama's own error but that of a proxy in between.
        with suppress(msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            message = FAULT.decode(reply.body).error or message
        message = self.wire.public(message)
        if reply.status == HTTPStatus.NOT_FOUND:
            hint = f"{self.name} says: {message}; `ollama pull {model}` gets it"
            raise errors.ModelNotFound(model=model, hint=hint, provider=self.name)
        kind = STATUSES.get(reply.status, errors.ProviderUnavailable)
        raise kind(
            provider=self.name,
            provider_code=str(reply.status),
            provider_message=message,
            retry_after_s=retry_after_s(reply.headers),
        )


STATUSES: dict[int, type[errors.ProviderFailure]] = {
    400: errors.ProviderRejected,
    401: errors.ProviderAuthentication,
    403: errors.ProviderAuthentication,
    429: errors.RateLimited,
}


def _own_options(body: dict[str, Any]) -> dict[str, Any]:
    """The `options` among the caller's own fields."""
    try:
        options: dict[str, Any] = msgspec.json.decode(body.get("options", b"{}"), type=dict[str, Raw])
    except msgspec.DecodeError as error:
        raise errors.InvalidFields([("provider_options_json", f"options: {error}")]) from error
    return options


def _tool(tool: pb.Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.function.name, "description": tool.function.description}
    function["parameters"] = Raw((tool.function.parameters_json or '{"type":"object"}').encode())
    return {"type": "function", "function": function}


def _format(form: pb.ResponseFormat) -> dict[str, Any]:
    if form.HasField("json_schema"):
        return {"format": Raw(form.json_schema.schema_json.encode())}
    return {"format": "json"} if form.kind == pb.ResponseFormat.KIND_JSON_OBJECT else {}


def _think(effort: pb.ReasoningEffort) -> bool | str:
    """Ollama knows false, low, medium and high."""
    if effort == pb.REASONING_EFFORT_NONE:
        return False
    if effort <= pb.REASONING_EFFORT_LOW:
        return "low"
    return "medium" if effort == pb.REASONING_EFFORT_MEDIUM else "high"


def _seconds(rfc3339: str) -> int:
    try:
        # Nanoseconds are more digits than fromisoformat takes.
        return int(datetime.fromisoformat(re.sub(r"\.\d+", "", rfc3339)).timestamp())
    except ValueError:
        return 0


Count = Annotated[int, Meta(ge=0, le=MOST_TOKENS)]


class Function(Struct):
    name: str
    arguments: Raw = Raw(b"{}")


class ToolCall(Struct):
    function: Function
    id: str | None = None


class Said(Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[ToolCall] | None = None


class Chat(Struct):
    """A whole answer, or one line of a stream."""

    model: str = ""
    message: Said | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: Count | None = None
    eval_count: Count | None = None
    error: str | None = None


class Embeddings(Struct):
    embeddings: list[list[float]]
    model: str = ""
    prompt_eval_count: Count | None = None


class Tag(Struct):
    name: str
    modified_at: str = ""


class Tags(Struct):
    models: list[Tag]


class FaultBody(Struct):
    error: str | None = None


CHAT = msgspec.json.Decoder(Chat)
EMBEDDINGS = msgspec.json.Decoder(Embeddings)
TAGS = msgspec.json.Decoder(Tags)
FAULT = msgspec.json.Decoder(FaultBody)
