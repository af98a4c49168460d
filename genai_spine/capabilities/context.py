"""Context of a capability call: prompts, models, context length, and the usage and cost that it caused.

One Context serves one request. The rest of the service is known by protocols only.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from google.protobuf.message import Message

from genai_spine.call import Call
from genai_spine.chunks import ChunkBuilder, first_choice, text_of
from genai_spine.costs import sum_costs, sum_usages
from genai_spine.errors import (
    ContentFiltered,
    ProviderError,
    SpineError,
)
from genai_spine.refused_fields import REFUSALS, drop_refused, dropped_warning
from genai_spine.v1 import capability_service_pb2 as pb
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import execution_pb2, message_pb2, usage_pb2
from genai_spine.v1.capability_result_pb2 import CapabilityContext, CapabilityResult
from genai_spine.v1.option_warning_pb2 import OptionWarning

Request = completions.CreateCompletionRequest


class CompletionClient(Protocol):
    """Protocol of inference: unary and streamed completions."""

    async def complete(self, request: Request, call: Call) -> completions.Completion: ...

    def stream(self, request: Request, call: Call) -> AsyncGenerator[completions.CompletionChunk]: ...


class FilledTemplate(Protocol):
    """Prompt template with its variables filled in."""

    @property
    def messages(self) -> list[message_pb2.Message]: ...

    @property
    def purpose(self) -> execution_pb2.Execution:
        """Attribution for the ledger's rows: prompt, version, hash of the variables."""
        ...


class PromptSource(Protocol):
    """Protocol of the prompt library: a version by slug, then filled in."""

    async def version(self, name: str, tenant: str) -> Any:
        """Version of a tenant's slug that is in use. Errors: PromptNotFound."""
        ...

    async def fill(self, resolved: Any, variables: Mapping[str, Any]) -> FilledTemplate:
        """Template with values in its variables. Errors: InvalidPromptVariables, InvalidTemplate."""
        ...


class ModelLimits(NamedTuple):
    """Model that would answer, and its context length in tokens."""

    provider: str
    model: str  # the upstream's name
    context_length: int | None  # tokens of input and output; None: nobody says


class Models(Protocol):
    """Protocol of the catalog: limits of the model that a request would reach."""

    async def limits(self, provider: str, model: str, size: int) -> ModelLimits:
        """Limits of a model; size: bytes of the request. Errors: those of routing."""
        ...


@dataclass(frozen=True, slots=True)
class CapabilityDependencies:
    """Dependencies that every Context shares."""

    inference: CompletionClient
    prompts: PromptSource
    models: Models


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """Completion request that is ready to send, with its attribution."""

    request: Request
    purpose: execution_pb2.Execution
    slug: str
    streamed: bool = True  # what the model writes goes to whoever watches
    own_temperature: bool = False  # the caller's; otherwise it is ours to leave out

    def drop_refused(self, error: SpineError) -> str:
        """Field that the model refused, once it is dropped. Raises the error where it blames no such field.

        Old models take no schema, reasoning models no temperature. The prompt asks for JSON as well.
        """
        ours = () if self.own_temperature else ("temperature",)
        return drop_refused(self.request, error, ("response_format", *ours))


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer of a model, as capabilities parse it."""

    text: str  # the checked JSON where there was a schema and the provider kept to it
    provider: str
    model: str
    was_cut: bool  # by a limit of tokens


class Bill:
    """Sum of usage (tokens) and cost (ticks) over the provider calls of one request.

    Last: the last completion.
    """

    def __init__(self) -> None:
        self.usages: list[usage_pb2.Usage] = []
        self.costs: list[usage_pb2.Cost] = []
        self.last = completions.Completion()

    def add(self, completion: completions.Completion) -> None:
        """Usage and cost of one more completion."""
        self.usages.append(completion.usage)
        self.costs.append(completion.cost)
        self.last = completion


EventSink = Callable[[pb.CapabilityEvent], Awaitable[None]]


@dataclass(slots=True)
class Context:
    """State of one request: its calls so far, what was omitted, and which fields the model rejected."""

    services: CapabilityDependencies
    call: Call
    emit: EventSink | None = None  # takes the events of a streamed call
    bill: Bill = field(default_factory=Bill)
    omitted_characters: int = 0
    chunk_count: int = 1
    answer_was_cut: bool = False
    dropped_fields: set[str] = field(default_factory=set)  # fields that the model does not take
    warnings: dict[str, OptionWarning] = field(default_factory=dict)  # by the option
    slug: str = ""
    prompt_version: int = 0

    async def complete(self, prepared: PreparedRequest) -> Answer:
        """Answer of the model; a field that it refuses is dropped for this and all later chunks.

        Errors: those of inference; ContentFiltered, ProviderError (no text).
        """
        call = replace(self.call, attribution=prepared.purpose)
        while True:
            for name in self.dropped_fields:
                prepared.request.ClearField(name)
            try:
                completion = await self._completed(prepared, call)
                break
            except REFUSALS as error:
                name = prepared.drop_refused(error)
                self.dropped_fields.add(name)
                self.warnings[name] = dropped_warning(name, error)
        self.bill.add(completion)
        self.warnings |= {warning.option: warning for warning in completion.warnings}
        self.slug, self.prompt_version = prepared.slug, prepared.purpose.prompt_version
        answer = _answer(completion)
        self.answer_was_cut = self.answer_was_cut or answer.was_cut
        return answer

    async def limits(self, request: Any) -> ModelLimits:
        """Limits of the model that a capability's request names."""
        return await self.services.models.limits(request.provider, request.model, request.ByteSize())

    async def progress(self, done: int, total: int) -> None:
        """Progress event, in chunks, where somebody listens."""
        if self.emit:
            await self.emit(pb.CapabilityEvent(progress=pb.CapabilityProgress(done=done, total=total)))

    async def _completed(self, prepared: PreparedRequest, call: Call) -> completions.Completion:
        """Completion, unary or streamed; deltas of text go to emit."""
        if self.emit is None or not prepared.streamed:
            return await self.services.inference.complete(prepared.request, call)
        answer = ChunkBuilder()
        async with aclosing(self.services.inference.stream(prepared.request, call)) as chunks:
            async for chunk in chunks:
                answer.add(chunk)
                if text := "".join(delta.content for delta in chunk.choices):
                    await self.emit(pb.CapabilityEvent(text=text))
        return answer.completion()

    def stamp(self, response: Message) -> None:
        """Usage, cost, provider, model, ids and context written into a response."""
        into: Any = response
        result: CapabilityResult = into.result
        result.usage.CopyFrom(sum_usages(self.bill.usages))
        result.cost.CopyFrom(sum_costs(self.bill.costs))
        result.provider, result.model = self.bill.last.provider, self.bill.last.model
        result.request_id, result.execution_id = self.call.request_id, self.bill.last.execution_id
        result.latency_ms = self.call.latency_ms
        how = CapabilityContext(
            omitted_characters=self.omitted_characters,
            pieces=self.chunk_count,
            prompt_slug=self.slug,
            prompt_version=self.prompt_version,
            answer_was_cut=self.answer_was_cut,
        )
        result.context.CopyFrom(how)
        result.warnings.extend(self.warnings.values())


def _answer(completion: completions.Completion) -> Answer:
    """Answer of a completion. Errors: ContentFiltered, ProviderError (empty)."""
    choice = first_choice(completion)
    text = choice.parsed_json or text_of(choice)
    refusal = "".join(part.refusal for part in choice.message.content)
    if refusal or choice.finish_reason == completions.FINISH_REASON_CONTENT_FILTER:
        reason = refusal or "the answer was filtered"
        raise ContentFiltered(provider=completion.provider, provider_message=reason)
    if not text.strip():
        raise ProviderError(provider=completion.provider, provider_message="the answer is empty")
    cut = choice.finish_reason == completions.FINISH_REASON_LENGTH
    return Answer(text, completion.provider, completion.model, cut)
