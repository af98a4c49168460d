"""OpenAI adapter: OpenAI itself, gateways, and local servers that speak its chat completions.

Wire facts: https://platform.openai.com/docs/api-reference, 2026-11-28. Differences between endpoints are a
Dialect in the registry row, so a new gateway is one line and no file. A model that exists only on the
Responses API is asked there, with the same request and the same chunks (`responses_request`,
`responses_response`).

Chat, embeddings and models go through our own HTTP client, which is the hot path; images, sound, files and
batches are rare, and go through the official SDK (`media`, `files`, `sdk`).
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from typing import NamedTuple, NoReturn

import msgspec
from msgspec import Struct

from genai_spine.call import Call
from genai_spine.json_schema.rewrite import SchemaRules
from genai_spine.providers.base import Endpoint, Option, Route
from genai_spine.providers.http.client import NO_HEADERS, Headers, HttpClient, Reply
from genai_spine.providers.http.event_stream import ServerSentEvents
from genai_spine.providers.openai import azure, chat, chat_answer, embeddings, pass_through, responses_request
from genai_spine.providers.openai.azure import Entra
from genai_spine.providers.openai.batch_api import OpenAIBatches
from genai_spine.providers.openai.chat_response import ChatReader, ResponseReader
from genai_spine.providers.openai.errors import failure
from genai_spine.providers.openai.files import Files
from genai_spine.providers.openai.media import Media
from genai_spine.providers.openai.messages import PLAIN, MessageDialect
from genai_spine.providers.openai.responses_response import ResponsesReader
from genai_spine.providers.openai.sdk import Sdk
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, model_service_pb2

AS_IT_IS = SchemaRules()


def _no_model(model: str) -> bool:
    """False for every model: the default of a dialect."""
    return False


@dataclass(frozen=True, slots=True)
class Dialect:
    """Dialect of one endpoint: how it departs from OpenAI.

    The defaults are those of a plain compatible server; OpenAI's own row sets more than a gateway's.
    """

    key_header: str = "authorization"  # with "Bearer "; any other header takes the bare key
    max_tokens: str = "max_tokens"
    options: Mapping[str, Option] = field(default_factory=dict)  # beyond OPTIONS
    base64_embeddings: bool = False
    # Models that are asked at /completions with the text as it is. All others get it as a user
    # message, because a chat model answers 404 there.
    text_models: Callable[[str], bool] = _no_model
    # Models that are asked at /responses; a request can ask for it with {"api": "responses"} in its
    # provider_options_json. None: the endpoint has no such API.
    responses: Callable[[str], bool] | None = None
    # What it demands of a schema that it is to follow strictly. Any other schema goes out as it is.
    schema: SchemaRules = AS_IT_IS
    messages: MessageDialect = PLAIN  # what it takes of an earlier answer, and of ids
    # It may store answers by itself: is told not to where the request says a word about storing.
    stores: bool = False
    azure: bool = False  # addresses by deployment, and Entra's tokens where there is no key
    batches: bool = False  # it has OpenAI's batch API, at half the price
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


class PreparedRequest(NamedTuple):
    """Request as it goes out: path below the base URL, JSON body, and the reader of its answer."""

    path: str
    body: bytes
    reading: ResponseReader


class OpenAI(Media, Files):
    """Adapter of one endpoint and its dialect.

    A request goes to /chat/completions, /completions (bare text) or /responses, whichever the dialect says
    for its model; what the chosen API cannot take is refused by check_options.
    """

    OPTIONS = OPTIONS

    def __init__(self, endpoint: Endpoint, dialect: Dialect = Dialect()) -> None:
        super().__init__(endpoint)
        self.dialect = dialect
        self.options = OPTIONS | dict(dialect.options) | {"max_tokens": Option(dialect.max_tokens)}
        self.local = dialect.local if endpoint.local is None else endpoint.local
        self.schema = dialect.schema
        self.deployments = dialect.azure and azure.by_deployment(endpoint)
        self.entra = Entra.of(endpoint) if dialect.azure else None
        headers = {}
        if endpoint.api_key:
            bearer = dialect.key_header == "authorization"
            headers[dialect.key_header] = f"Bearer {endpoint.api_key}" if bearer else endpoint.api_key
        url = azure.address(endpoint) if dialect.azure else endpoint.base_url
        self.http = HttpClient(replace(endpoint, base_url=url), headers)
        self.sdk = Sdk(replace(endpoint, base_url=url), headers, self._authorization, self._fail)
        self.batch_api = OpenAIBatches(self) if dialect.batches else None

    def stream(
        self, request: pb.CreateCompletionRequest, route: Route, call: Call
    ) -> AsyncGenerator[pb.CompletionChunk]:
        """The answer's chunks. Errors: those of writing the request are raised at once."""
        passing = call.pass_through
        messages = passing.content_for(request) if passing is not None else None
        path, body, reading = self._write(request, route.model, stream=True, messages=messages)
        if self.entra is None:
            reads = self.http.stream(path, body, call, reading.frames)
        else:
            reads = self._authorized(path, body, call, reading.frames)
        fail = partial(self._fail, model=route.model)
        return reading.stream(reads, fail, max(1, request.choice_count))

    async def _authorized(
        self, path: str, body: bytes, call: Call, frames: ServerSentEvents
    ) -> AsyncGenerator[list[bytes]]:
        """Reads of a stream that needs a token of Entra first."""
        headers = await self._authorization(call)
        async with aclosing(self.http.stream(path, body, call, frames, headers)) as reads:
            async for payloads in reads:
                yield payloads

    async def complete(self, request: pb.CreateCompletionRequest, route: Route, call: Call) -> pb.Completion:
        passing = call.pass_through
        messages = passing.content_for(request) if passing is not None else None
        path, body, reading = self._write(request, route.model, stream=False, messages=messages)
        headers = NO_HEADERS if self.entra is None else await self._authorization(call)
        reply = await self.http.post(path, body, call, headers)
        if reply.status != HTTPStatus.OK:
            self._fail(reply, route.model)
        if passing is not None and messages is not None and (found := pass_through.pass_on(reply.body)):
            passing.answers.append(found)
            return found[0]
        return reading.completion(reply.body)

    async def embed(
        self, request: pb.CreateEmbeddingsRequest, route: Route, call: Call
    ) -> pb.CreateEmbeddingsResponse:
        passing, inputs = call.pass_through, None
        base64 = self.dialect.base64_embeddings
        if passing is not None and (inputs := passing.content_for(request)) is not None:
            base64 = base64 and passing.is_base64  # so that the caller gets them as they are
        body = embeddings.write(request, route.model, base64=base64, inputs=inputs)
        path = self._path("/embeddings", route.model)
        reply = await self.http.post(path, body, call, await self._authorization(call))
        if reply.status != HTTPStatus.OK:
            self._fail(reply, route.model)
        if passing is not None and inputs is not None:
            found = embeddings.pass_on(self.http, reply.body, request, base64=passing.is_base64)
            if found is not None:
                passing.answers.append(found)
                return found[0]
        return embeddings.read(self.http, reply.body, request, route.model)

    async def list_models(self) -> list[model_service_pb2.Model]:
        """Models of the endpoint. Of Azure by deployment: the resource's models, after which deployments are
        usually named.
        """
        call = Call()
        reply = await self.http.request("GET", "/models", b"", call, await self._authorization(call))
        if reply.status != HTTPStatus.OK:
            self._fail(reply, "")
        bare = reply.body.lstrip().startswith(b"[")  # Together answers a bare list
        entries = (
            self.http.decode(reply.body, MODEL_LIST) if bare else self.http.decode(reply.body, MODELS).data
        )
        return [
            model_service_pb2.Model(
                id=entry.id,
                create_time=chat_answer.moment(entry.created or entry.created_at),
                owned_by=entry.owned_by or self.name,
            )
            for entry in entries
        ]

    async def close(self) -> None:
        if self.entra:
            await self.entra.close()
        await self.http.close()
        await self.sdk.close()

    def options_for(self, request: pb.CreateCompletionRequest, route: Route) -> Mapping[str, Option]:
        return responses_request.OPTIONS if self._bridged(request, route.model) else self.options

    def check_options(self, request: pb.CreateCompletionRequest, route: Route) -> None:
        if self._bridged(request, route.model):
            for name in ("suffix", "best_of"):
                if request.prompt.HasField(name):
                    self._refuse(f"prompt.{name}")
            for index, message in enumerate(request.messages):
                if message.HasField("name"):
                    self._refuse(f"messages[{index}].name", "names of speakers")
        elif self._as_text(request, route.model):
            for descriptor, _ in request.ListFields():
                if descriptor.name in CHAT_ONLY:
                    self._refuse(descriptor.name, f"{descriptor.name} with a bare text")

    def _bridged(self, request: pb.CreateCompletionRequest, model: str) -> bool:
        """The Responses API is asked."""
        if self.dialect.responses is None:
            return False
        chosen = responses_request.chosen_api(request) if request.provider_options_json else None
        return self.dialect.responses(model) if chosen is None else chosen == "responses"

    def _as_text(self, request: pb.CreateCompletionRequest, model: str) -> bool:
        """The prompt goes out as it is; otherwise the request is, or becomes, a chat."""
        if not request.HasField("prompt"):
            return False
        prompt = request.prompt
        raw = prompt.HasField("tokens") or prompt.HasField("suffix") or prompt.HasField("best_of")
        return raw or self.dialect.text_models(model)

    def _write(
        self, request: pb.CreateCompletionRequest, model: str, *, stream: bool, messages: bytes | None = None
    ) -> PreparedRequest:
        """messages: of a chat, as they came, in JSON."""
        if self._bridged(request, model):
            if request.choice_count > 1:
                self._refuse("choice_count")
            body = responses_request.write_request(request, model, self.dialect.schema, stream=stream)
            return PreparedRequest("/responses", msgspec.json.encode(body), ResponsesReader(self.http))
        if self._as_text(request, model):
            options = {**self.options, "max_tokens": Option("max_tokens")}  # whatever its name is in a chat
            body = chat.write_request(request, model, options, stream=stream)
            chat.write_prompt(body, request.prompt)
            path, reading = "/completions", ChatReader(self.http, TEXT)
        else:
            body = chat.write_request(request, model, self.options, stream=stream)
            chat.write_chat(body, request, self.dialect.schema, self.dialect.messages, plain=messages)
            if request.HasField("prompt"):
                body["messages"] = [{"role": "user", "content": request.prompt.text}]
            forced = request.HasField("tool_choice") and _forces(request.tool_choice)
            if self.dialect.stores and request.HasField("store"):
                body["store"] = False  # this service stores it; OpenAI may store by default
            path, reading = "/chat/completions", ChatReader(self.http, CHAT, forced=forced)
        if self.dialect.responses:
            body.pop("api", None)
        path = self._path(path, model)
        return PreparedRequest(path, msgspec.json.encode(body), reading)

    def written(self, request: pb.CreateCompletionRequest, model: str) -> PreparedRequest:
        """Request for an answer that is no stream. Errors: those of writing it."""
        return self._write(request, model, stream=False)

    def refuse(self, reply: Reply, model: str) -> NoReturn:
        """Raises what a reply other than 200 means."""
        self._fail(reply, model)

    def _path(self, path: str, model: str) -> str:
        """Path below the base URL, which with Azure's deployments holds the model."""
        return azure.path_of(path, model) if self.deployments else path

    async def _authorization(self, call: Call) -> Headers:
        """Authorization header of one request; a key stands in the headers of all requests."""
        if self.entra is None:
            return NO_HEADERS
        return {"authorization": f"Bearer {await self.entra.token(call)}"}

    def _fail(self, reply: Reply, model: str) -> NoReturn:
        """Raises what the upstream's error means. A refused Entra token is forgotten, and never shown."""
        if self.entra:
            if reply.status == HTTPStatus.UNAUTHORIZED:
                self.entra.forget()
            body = self.entra.public(reply.body.decode("utf-8", "replace"))
            reply = replace(reply, body=body.encode())
        raise failure(self.http, reply, model)


def _forces(choice: message_pb2.ToolChoice) -> bool:
    """Whether a tool must be called."""
    named = choice.function_name or choice.custom_name
    return bool(named) or choice.mode == message_pb2.ToolChoice.MODE_REQUIRED


class _Model(Struct):
    """Model in the list of models; times are Unix seconds."""

    id: str
    created: int | float | None = None
    created_at: int | float | None = None  # Azure by deployment
    owned_by: str | None = None


class _Models(Struct):
    """List of models."""

    data: list[_Model]


CHAT = msgspec.json.Decoder(chat_answer.Answer)
TEXT = msgspec.json.Decoder(chat_answer.TextAnswer)
MODELS = msgspec.json.Decoder(_Models)
MODEL_LIST = msgspec.json.Decoder(list[_Model])
