"""Capability base class: a typed request, a prompt template of the library, and a parser for the answer.

A subclass is one file with one row in CAPABILITIES. It names its messages and says how a request becomes
prompt variables and how an answer becomes the response. Shared by all: options, domain hint, long inputs
(refuse, truncate, map-reduce), usage and cost, streams.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, cast

from google.protobuf.message import Message

from genai_spine.capabilities.context import Answer, Context, ModelLimits, PreparedRequest
from genai_spine.capabilities.options import merged
from genai_spine.concurrency import gather_or_cancel
from genai_spine.errors import ContextLengthExceeded, InvalidFields, ProviderError
from genai_spine.text import chunking
from genai_spine.text.answer_parsing import UnreadableAnswer
from genai_spine.text.chunking import TextChunk, TokenBudget
from genai_spine.tokens.context_window import check_context
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import capability_service_pb2 as pb
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import message_pb2

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

ANSWER_RESERVE_TOKENS = 1024  # tokens, where no limit is set; at most a quarter of the context
MAX_ECHO_TOKENS = 3000  # tokens of a chunk whose answer is as long; many models end at 4,096
MAX_CONTENT_CHARS = 8_000_000  # the most that a prompt is filled in with
THREAD_THRESHOLD_CHARS = 100_000  # characters; a longer text is counted in a thread


class ChunkResult(NamedTuple):
    """Result of one chunk: the chunk and the response that was parsed from its answer."""

    chunk: TextChunk
    response: Any


class Capability(Generic[Request, Response]):
    """Base class of capabilities: template method run(), with hooks for subclasses.

    Hooks get a copy of the request with its defaults applied; chunk is the part of the content in question.
    """

    NAME: ClassVar[str]  # in the registry and the ledger; with "_" for "-" the field of StreamCapability
    METHOD: ClassVar[str]  # of CapabilityService
    REQUEST: type[Request]
    RESPONSE: type[Response]
    TEMPERATURE: ClassVar[float]
    MAX_TOKENS: ClassVar[int | None] = None
    # JSON Schema of the answer, for providers that take one; None: the answer is plain text.
    SHAPE: ClassVar[Mapping[str, Any] | None] = None
    ECHOES: ClassVar[bool] = False  # the answer is about as long as the content

    # What a subclass says of itself

    def apply_defaults(self, request: Request) -> None:
        """Defaults and aliases put into their fields, in place; rules that protos cannot express are checked.

        Errors: InvalidFields.
        """

    def full_content(self, request: Request) -> TextChunk:
        """Full content as one chunk, which may be too long for a model."""
        return TextChunk(getattr(request, "content", ""))

    def variables(self, request: Request, chunk: TextChunk) -> dict[str, Any]:
        """Prompt variables for one chunk of the content."""
        raise NotImplementedError

    def read(self, answer: Answer, request: Request, chunk: TextChunk) -> Response:
        """Parser of the answer: the response without usage and cost. Raises UnreadableAnswer."""
        raise NotImplementedError

    async def join(self, results: list[ChunkResult], request: Request, context: Context) -> Response:
        """Reduce step: one response of the responses to all chunks of a long content."""
        raise NotImplementedError

    async def finish(self, response: Response, request: Request) -> None:
        """Post-processing of the response to the full content, in place."""

    def unread_characters(self, request: Request) -> int:
        """Characters of the content that full_content() leaves out; reported as omitted."""
        return 0

    def slug(self, request: Request) -> str:
        """Slug of the prompt for this request."""
        return f"capability-{self.NAME}"

    def slugs(self) -> list[str]:
        """Slugs of all prompts that the capability may use."""
        return [f"capability-{self.NAME}"]

    def tag(self, request: Request) -> str:
        """Name in the ledger's rows."""
        return self.NAME

    def temperature(self, request: Request) -> float:
        """Sampling temperature, 0 to 2."""
        return self.TEMPERATURE

    def shape(self, request: Request) -> Mapping[str, Any] | None:
        """JSON Schema of the answer for this request; None: plain text."""
        return self.SHAPE

    # What all do alike

    @property
    def member(self) -> str:
        """Field name in StreamCapabilityRequest and CapabilityEvent."""
        return self.NAME.replace("-", "_")

    async def run(self, request: Request, context: Context) -> Response:
        """Response to a request, with usage, cost and context filled in.

        Errors: InvalidFields, those of routing and of inference, ContextLengthExceeded, ProviderError (answer
        that cannot be parsed).
        """
        given = merged(request)
        context.call.cost_labels = {**context.call.cost_labels, **cast(Any, given).cost_labels}
        _merge_content_alias(given)
        await _off_loop(given.ByteSize(), self.apply_defaults, given)
        chunks = await self.chunks(self.full_content(given), given, context)
        context.omitted_characters += self.unread_characters(given)
        try:
            response = await self.process(chunks, given, context)
        except UnreadableAnswer as error:
            raise ProviderError(provider=context.bill.last.provider, provider_message=str(error)) from None
        await self.finish(response, given)
        context.stamp(response)
        return response

    async def process(self, chunks: list[TextChunk], request: Request, context: Context) -> Response:
        """Map-reduce over the chunks of a content, at most MAX_CONCURRENT_CHUNKS at a time.

        Progress is reported.
        """
        if len(chunks) == 1:
            return await self.process_chunk(chunks[0], request, context)
        context.chunk_count = max(context.chunk_count, len(chunks))
        gate, done = asyncio.Semaphore(chunking.MAX_CONCURRENT_CHUNKS), 0

        async def one(chunk: TextChunk) -> ChunkResult:
            nonlocal done
            async with gate:
                result = ChunkResult(chunk, await self.process_chunk(chunk, request, context, streamed=False))
            done += 1
            await context.progress(done, len(chunks))
            return result

        await context.progress(0, len(chunks))
        return await self.join(await gather_or_cancel(map(one, chunks)), request, context)

    async def process_chunk(
        self, chunk: TextChunk, request: Request, context: Context, *, streamed: bool = True
    ) -> Response:
        """Response to one chunk. streamed: its text goes out as events. Raises UnreadableAnswer."""
        answer = await context.complete(await self._prepare(chunk, request, context, streamed=streamed))
        try:
            return cast(Response, await _off_loop(request.ByteSize(), self.read, answer, request, chunk))
        except UnreadableAnswer as error:
            if answer.was_cut:
                raise UnreadableAnswer(f"{error}; a limit of tokens cut it") from None
            raise

    async def chunks(self, whole: TextChunk, request: Request, context: Context) -> list[TextChunk]:
        """Chunks of the content for the model: all of it, its beginning and end, or parts, by long_input.

        Errors: ContextLengthExceeded, before anything is spent; InvalidFields above MAX_CONTENT_CHARS.
        """
        if len(whole.text) + len(whole.other) > MAX_CONTENT_CHARS:
            raise InvalidFields([("content", f"must have at most {MAX_CONTENT_CHARS} characters")])
        limits = await context.limits(request)
        policy = getattr(request, "long_input", pb.LONG_INPUT_REFUSE) or pb.LONG_INPUT_REFUSE
        in_chunks = self.ECHOES and policy == pb.LONG_INPUT_MAP_REDUCE
        # A token is at least one byte: most requests are let through without counting.
        size = limits.context_length if not in_chunks else MAX_ECHO_TOKENS
        if size is None or request.ByteSize() * 2 <= size:
            return [whole]
        if policy == pb.LONG_INPUT_REFUSE:
            await check_context(
                _content_request(whole, limits), limits.provider, limits.model, limits.context_length
            )
            return [whole]
        budget = await self.budget(limits, request, context)
        if budget.tokens < chunking.MIN_BUDGET_TOKENS:
            raise _too_long(limits, "the prompt alone leaves no room for the content")
        if await _off_loop(len(whole.text), budget.has, whole.text + whole.other):
            return [whole]
        if policy == pb.LONG_INPUT_TRUNCATE:
            short = await asyncio.to_thread(self.shortened, whole, budget)
            context.omitted_characters += short.omitted
            return [short]
        try:
            return await asyncio.to_thread(self.split, whole, budget)
        except ValueError as error:
            raise _too_long(limits, str(error)) from None

    def shortened(self, whole: TextChunk, budget: TokenBudget) -> TextChunk:
        """Truncated content: beginning and end around a mark."""
        return chunking.shortened(whole.text, budget)

    def split(self, whole: TextChunk, budget: TokenBudget) -> list[TextChunk]:
        """Chunks that fit the budget. Raises ValueError when it would be too many."""
        return chunking.split(whole.text, budget)

    async def budget(self, limits: ModelLimits, request: Request, context: Context) -> TokenBudget:
        """Token budget of a model for the content and, where the answer is as long, for the answer."""
        measure = await Tokenizer.of(limits.model)
        length = limits.context_length
        if length is None:
            return TokenBudget(MAX_ECHO_TOKENS, measure)
        empty = (await self._prepare(TextChunk(""), request, context)).request
        around = sum(measure.count(part.text) + 4 for message in empty.messages for part in message.content)
        if self.ECHOES:
            half = (length - around) // 2
            is_split = cast(Any, request).long_input == pb.LONG_INPUT_MAP_REDUCE
            return TokenBudget(min(half, MAX_ECHO_TOKENS) if is_split else half, measure)
        return TokenBudget(
            length - around - (self.MAX_TOKENS or min(ANSWER_RESERVE_TOKENS, length // 4)), measure
        )

    async def _prepare(
        self, chunk: TextChunk, request: Request, context: Context, *, streamed: bool = True
    ) -> PreparedRequest:
        """Completion request of one chunk: filled prompt, temperature, schema, and its attribution."""
        prompts, wanted = context.services.prompts, cast(Any, request)
        variables = await _off_loop(request.ByteSize(), self.variables, request, chunk)
        version = await prompts.version(self.slug(request), context.call.principal.tenant_id)
        filled = await prompts.fill(version, variables)
        completion = completions.CreateCompletionRequest(
            messages=filled.messages,
            temperature=self.temperature(request),
            max_tokens=getattr(request, "max_tokens", 0) or self.MAX_TOKENS,
        )
        completion.provider, completion.model = wanted.provider, wanted.model
        if wanted.domain:
            _add_hint(completion, f"The text is about, or comes from: {wanted.domain}")
        shape = self.shape(request)
        if shape is not None:
            form = completion.response_format.json_schema
            form.name, form.schema_json = self.member, json.dumps(shape, ensure_ascii=False)
            form.strict = form.unchecked = True
        purpose = filled.purpose
        purpose.capability = self.tag(request)
        own = "temperature" in request.DESCRIPTOR.fields_by_name and request.HasField("temperature")
        return PreparedRequest(
            completion, purpose, self.slug(request), streamed=streamed, own_temperature=own
        )


def _merge_content_alias(request: Any) -> None:
    """Alias: content and text are one field. Errors: InvalidFields where both are blank."""
    known = request.DESCRIPTOR.fields_by_name
    if "content" in known and "text" in known:
        request.content = request.content or request.text
        if not request.content.strip():
            raise InvalidFields([("content", "is required")])


def _content_request(whole: TextChunk, limits: ModelLimits) -> completions.CreateCompletionRequest:
    """Request with the content alone, without the prompt: a lower bound of what would be sent."""
    message = message_pb2.Message(role=message_pb2.ROLE_USER)
    message.content.add(text=whole.text)
    message.content.add(text=whole.other)
    return completions.CreateCompletionRequest(
        provider=limits.provider, model=limits.model, messages=[message]
    )


def _add_hint(request: completions.CreateCompletionRequest, hint: str) -> None:
    """Hint appended to the system message; one is made where there is none."""
    first = request.messages[0]
    if first.role != message_pb2.ROLE_SYSTEM:
        request.messages.insert(0, message_pb2.Message(role=message_pb2.ROLE_SYSTEM))
        request.messages[0].content.add(text=hint)
    else:
        first.content[-1].text += f"\n\n{hint}"


def _too_long(limits: ModelLimits, problem: str) -> ContextLengthExceeded:
    """Error of a content that no chunking can fit."""
    return ContextLengthExceeded(
        provider=limits.provider,
        provider_code="context_length_exceeded",
        provider_message=f"{problem}; {limits.model} takes {limits.context_length} tokens",
        model=limits.model,
        context_length=limits.context_length,
    )


async def _off_loop(size: int, work: Any, *arguments: Any) -> Any:
    """Result of work; a text above THREAD_THRESHOLD_CHARS is worked on in a thread, off the event loop."""
    return work(*arguments) if size <= THREAD_THRESHOLD_CHARS else await asyncio.to_thread(work, *arguments)


async def stream(
    capability: "Capability[Any, Any]", request: Message, context: Context
) -> AsyncGenerator[pb.CapabilityEvent]:
    """Event stream of a capability: text and progress as they happen; the last event is the result.

    Events are numbered from 0. Closing the stream cancels the work. Errors: as Capability.run().
    """
    queue: asyncio.Queue[pb.CapabilityEvent | None] = asyncio.Queue()

    async def emit(event: pb.CapabilityEvent) -> None:
        queue.put_nowait(event)

    async def work() -> pb.CapabilityEvent:
        try:
            response = await capability.run(request, context)
        finally:
            queue.put_nowait(None)
        last = pb.CapabilityEvent()
        getattr(last, capability.member).CopyFrom(response)
        return last

    context.emit = emit
    task = asyncio.create_task(work())
    sequence = 0
    try:
        while (event := await queue.get()) is not None:
            event.sequence, sequence = sequence, sequence + 1
            yield event
        last = await task
        last.sequence = sequence
        yield last
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
