"""What a capability works with: prompts, models, the size of a context, and the bill of what it caused.

One Context serves one request. It knows the rest of the service only by what it calls of it.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from google.protobuf.message import Message

from genai_spine.call import Call
from genai_spine.chunks import ChunkBuilder, first_choice, text_of
from genai_spine.errors import (
    ContentFiltered,
    ProviderError,
    SpineError,
)
from genai_spine.refused_fields import drop_refused, retry_without_refused
from genai_spine.v1 import capability_service_pb2 as pb
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import execution_pb2, message_pb2

TICKS_PER_USD = 10**10
Request = completions.CreateCompletionRequest


class Inference(Protocol):
    async def complete(self, request: Request, call: Call) -> completions.Completion: ...

    def stream(self, request: Request, call: Call) -> AsyncGenerator[completions.CompletionChunk]: ...


class Filled(Protocol):
    """A prompt with its variables filled in."""

    @property
    def messages(self) -> list[message_pb2.Message]: ...

    @property
    def purpose(self) -> execution_pb2.Execution:
        """What the rows of the ledger say of the prompt."""
        ...


class Library(Protocol):
    async def version(self, name: str) -> Any:
        """The version of a slug that is to be used. Errors: PromptNotFound."""
        ...

    async def fill(self, pinned: Any, variables: Mapping[str, Any]) -> Filled:
        """Errors: InvalidPromptVariables, InvalidTemplate."""
        ...


class Limits(NamedTuple):
    """Who would answer, and how much it takes."""

    provider: str
    model: str  # the upstream's name
    context_length: int | None  # tokens of input and output; None: nobody says


class Models(Protocol):
    async def limits(self, provider: str, model: str, size: int) -> Limits:
        """size: bytes of the request. Errors: those of routing."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """What of the service every Context works with."""

    inference: Inference
    prompts: Library
    models: Models


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to a model."""

    request: Request
    purpose: execution_pb2.Execution
    slug: str
    aloud: bool = True  # what the model writes goes to whoever watches
    own_temperature: bool = False  # the caller's; otherwise it is ours to leave out

    def drop_refused(self, error: SpineError) -> str:
        """Drops the field that the model refused: the schema, because the prompt asks for JSON as well, or a
        temperature that is not the caller's. Raises the error where it blames neither.
        """
        ours = () if self.own_temperature else ("temperature",)
        return drop_refused(self.request, error, ("response_format", *ours))


@dataclass(frozen=True, slots=True)
class Answer:
    text: str  # the checked JSON where there was a schema and the provider kept to it
    provider: str
    model: str
    was_cut: bool  # by a limit of tokens


class Bill:
    """The sum over the provider calls of one request, and what the last of them said of itself."""

    def __init__(self) -> None:
        self.input_tokens = self.output_tokens = self.ticks = 0
        self.price_known = True
        self.last = completions.Completion()

    def add(self, completion: completions.Completion) -> None:
        self.input_tokens += completion.usage.input_tokens
        self.output_tokens += completion.usage.output_tokens
        self.ticks += completion.cost.cost_ticks
        self.price_known = self.price_known and completion.cost.price_known
        self.last = completion


Tell = Callable[[pb.CapabilityEvent], Awaitable[None]]


@dataclass(slots=True)
class Context:
    services: Services
    call: Call
    tell: Tell | None = None  # takes the events of a streamed call
    bill: Bill = field(default_factory=Bill)
    omitted_characters: int = 0
    pieces: int = 1
    answer_was_cut: bool = False
    left_out: set[str] = field(default_factory=set)  # fields that the model does not take
    slug: str = ""
    prompt_version: int = 0

    async def ask(self, ask: Ask) -> Answer:
        """The model's answer. Errors: those of inference; ContentFiltered, ProviderError (no text)."""
        call = replace(self.call, purpose=ask.purpose)
        for name in self.left_out:
            ask.request.ClearField(name)

        def drop(error: SpineError) -> None:
            self.left_out.add(ask.drop_refused(error))  # the next pieces leave it out at once

        completion = await retry_without_refused(lambda: self._completed(ask, call), drop)
        self.bill.add(completion)
        self.slug, self.prompt_version = ask.slug, ask.purpose.prompt_version
        answer = _answer(completion)
        self.answer_was_cut = self.answer_was_cut or answer.was_cut
        return answer

    async def limits(self, request: Any) -> Limits:
        """Of the model that a request of a capability names."""
        return await self.services.models.limits(request.provider, request.model, request.ByteSize())

    async def progress(self, done: int, total: int) -> None:
        if self.tell:
            await self.tell(pb.CapabilityEvent(progress=pb.CapabilityProgress(done=done, total=total)))

    async def _completed(self, ask: Ask, call: Call) -> completions.Completion:
        request = Request()  # inference writes its route into it
        request.CopyFrom(ask.request)
        if self.tell is None or not ask.aloud:
            return await self.services.inference.complete(request, call)
        answer = ChunkBuilder()
        async with aclosing(self.services.inference.stream(request, call)) as chunks:
            async for chunk in chunks:
                answer.add(chunk)
                if text := "".join(delta.content for delta in chunk.choices):
                    await self.tell(pb.CapabilityEvent(text=text))
        return answer.completion()

    def stamp(self, response: Message) -> None:
        """Puts who answered and what it took into a response."""
        into: Any = response
        usage = pb.CapabilityUsage(
            input_tokens=self.bill.input_tokens,
            output_tokens=self.bill.output_tokens,
            total_tokens=self.bill.input_tokens + self.bill.output_tokens,
            cost_usd=self.bill.ticks / TICKS_PER_USD,
            cost_ticks=self.bill.ticks,
            price_known=self.bill.price_known,
            latency_ms=self.call.latency_ms,
        )
        into.usage.CopyFrom(usage)
        into.provider, into.model = self.bill.last.provider, self.bill.last.model
        into.request_id, into.execution_id = self.call.request_id, self.bill.last.execution_id
        into.cost_usd, into.latency_ms = usage.cost_usd, usage.latency_ms
        if "input_tokens" in response.DESCRIPTOR.fields_by_name:
            into.input_tokens, into.output_tokens = usage.input_tokens, usage.output_tokens
        how = pb.CapabilityContext(
            omitted_characters=self.omitted_characters,
            pieces=self.pieces,
            prompt_slug=self.slug,
            prompt_version=self.prompt_version,
            answer_was_cut=self.answer_was_cut,
        )
        into.context.CopyFrom(how)


def _answer(completion: completions.Completion) -> Answer:
    choice = first_choice(completion)
    text = choice.parsed_json or text_of(choice)
    refusal = "".join(part.refusal for part in choice.message.content)
    if refusal or choice.finish_reason == completions.FINISH_REASON_CONTENT_FILTER:
        said = refusal or "the answer was filtered"
        raise ContentFiltered(provider=completion.provider, provider_message=said)
    if not text.strip():
        raise ProviderError(provider=completion.provider, provider_message="the answer is empty")
    cut = choice.finish_reason == completions.FINISH_REASON_LENGTH
    return Answer(text, completion.provider, completion.model, cut)
