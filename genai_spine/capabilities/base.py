"""What a capability is: a typed request, a prompt of the library, and a reading of what the model wrote.

A subclass is one file with one row in CAPABILITIES. It says which message it takes and gives, how a
request becomes the variables of its prompt, and how an answer becomes the response. What all have in
common is here: options, domain, long inputs, usage and cost, streams.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, cast

from google.protobuf.message import Message

from genai_spine.capabilities.context import Answer, Ask, Context, Limits
from genai_spine.capabilities.options import merged
from genai_spine.concurrency import gather_or_cancel
from genai_spine.errors import ContextLengthExceeded, InvalidFields, ProviderError
from genai_spine.text import chunking
from genai_spine.text.answer_parsing import Unreadable
from genai_spine.text.chunking import Piece, Room
from genai_spine.tokens.context_window import check_context
from genai_spine.tokens.tokenizer import Measure
from genai_spine.v1 import capability_service_pb2 as pb
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import message_pb2

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

RESERVE = 1024  # tokens for an answer of no given length, but at most a quarter of the context
MOST_ECHOED = 3000  # tokens of a piece whose answer is as long; many models end at 4,096
LONGEST = 8_000_000  # characters; what a prompt can be filled in with
LARGE = 100_000  # characters; a longer text is counted in a thread


class Part(NamedTuple):
    """One piece of a content, and what was read from the answer to it."""

    piece: Piece
    response: Any


class Capability(Generic[Request, Response]):
    """One kind of work on text."""

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

    def settle(self, request: Request) -> None:
        """Puts aliases and defaults into their fields; what rules cannot say is refused (InvalidFields)."""

    def whole(self, request: Request) -> Piece:
        """All that is asked about, which may be too long for a model."""
        return Piece(getattr(request, "content", ""))

    def variables(self, request: Request, piece: Piece) -> dict[str, Any]:
        """The prompt's variables for a piece of the content."""
        raise NotImplementedError

    def read(self, answer: Answer, request: Request, piece: Piece) -> Response:
        """The response without usage and cost. Raises Unreadable."""
        raise NotImplementedError

    async def join(self, parts: list[Part], request: Request, context: Context) -> Response:
        """One response of the responses to all pieces of a long content."""
        raise NotImplementedError

    async def finish(self, response: Response, request: Request) -> None:
        """What is done with the response to all of the content, in place."""

    def unread(self, request: Request) -> int:
        """Characters of the content that whole() leaves out."""
        return 0

    def slug(self, request: Request) -> str:
        """Of the prompt."""
        return f"capability-{self.NAME}"

    def slugs(self) -> list[str]:
        """Of all prompts that it may use."""
        return [f"capability-{self.NAME}"]

    def tag(self, request: Request) -> str:
        """What the ledger calls it."""
        return self.NAME

    def temperature(self, request: Request) -> float:
        return self.TEMPERATURE

    def shape(self, request: Request) -> Mapping[str, Any] | None:
        return self.SHAPE

    # What all do alike

    @property
    def member(self) -> str:
        """Its field in StreamCapabilityRequest and CapabilityEvent."""
        return self.NAME.replace("-", "_")

    async def run(self, request: Request, context: Context) -> Response:
        """Errors: InvalidFields, those of routing and of inference, ContextLengthExceeded, ProviderError."""
        given = merged(request)
        _settle_content(given)
        self.settle(given)
        pieces = await self.pieces(self.whole(given), given, context)
        context.omitted_characters += self.unread(given)
        try:
            response = await self.worked(pieces, given, context)
        except Unreadable as error:
            raise ProviderError(provider=context.bill.last.provider, provider_message=str(error)) from None
        await self.finish(response, given)
        context.stamp(response)
        return response

    async def worked(self, pieces: list[Piece], request: Request, context: Context) -> Response:
        """The response to all pieces of a content."""
        if len(pieces) == 1:
            return await self.answered(pieces[0], request, context)
        context.pieces = max(context.pieces, len(pieces))
        gate, done = asyncio.Semaphore(chunking.AT_A_TIME), 0

        async def one(piece: Piece) -> Part:
            nonlocal done
            async with gate:
                part = Part(piece, await self.answered(piece, request, context, aloud=False))
            done += 1
            await context.progress(done, len(pieces))
            return part

        await context.progress(0, len(pieces))
        return await self.join(await gather_or_cancel(map(one, pieces)), request, context)

    async def answered(
        self, piece: Piece, request: Request, context: Context, *, aloud: bool = True
    ) -> Response:
        answer = await context.ask(await self._ask(piece, request, context, aloud=aloud))
        try:
            return self.read(answer, request, piece)
        except Unreadable as error:
            if answer.was_cut:
                raise Unreadable(f"{error}; a limit of tokens cut it") from None
            raise

    async def pieces(self, whole: Piece, request: Request, context: Context) -> list[Piece]:
        """What of the content is asked about: all of it, its beginning and end, or pieces of it.

        Errors: ContextLengthExceeded, before anything is spent.
        """
        if len(whole.text) + len(whole.other) > LONGEST:
            raise InvalidFields([("content", f"must have at most {LONGEST} characters")])
        limits = await context.limits(request)
        policy = getattr(request, "long_input", pb.LONG_INPUT_REFUSE) or pb.LONG_INPUT_REFUSE
        in_pieces = self.ECHOES and policy == pb.LONG_INPUT_MAP_REDUCE
        # A token is at least one byte: most requests are let through without counting.
        size = limits.context_length if not in_pieces else MOST_ECHOED
        if size is None or request.ByteSize() * 2 <= size:
            return [whole]
        if policy == pb.LONG_INPUT_REFUSE:
            await check_context(_bare(whole, limits), limits.context_length)
            return [whole]
        room = await self.room(limits, request, context)
        if room.tokens < chunking.LEAST_ROOM:
            raise _too_long(limits, "the prompt alone leaves no room for the content")
        if await _soon(len(whole.text), room.has, whole.text + whole.other):
            return [whole]
        if policy == pb.LONG_INPUT_TRUNCATE:
            short = await asyncio.to_thread(self.shortened, whole, room)
            context.omitted_characters += short.omitted
            return [short]
        try:
            return await asyncio.to_thread(self.split, whole, room)
        except ValueError as error:
            raise _too_long(limits, str(error)) from None

    def shortened(self, whole: Piece, room: Room) -> Piece:
        return chunking.shortened(whole.text, room)

    def split(self, whole: Piece, room: Room) -> list[Piece]:
        """Raises ValueError when it would be too many pieces."""
        return chunking.pieces(whole.text, room)

    async def room(self, limits: Limits, request: Request, context: Context) -> Room:
        """What a model has for the content, and, where the answer is as long, for the answer."""
        measure = await Measure.of(limits.model)
        length = limits.context_length
        if length is None:
            return Room(MOST_ECHOED, measure)
        empty = (await self._ask(Piece(""), request, context)).request
        around = sum(measure.count(part.text) + 4 for message in empty.messages for part in message.content)
        if self.ECHOES:
            half = (length - around) // 2
            is_split = cast(Any, request).long_input == pb.LONG_INPUT_MAP_REDUCE
            return Room(min(half, MOST_ECHOED) if is_split else half, measure)
        return Room(length - around - (self.MAX_TOKENS or min(RESERVE, length // 4)), measure)

    async def _ask(self, piece: Piece, request: Request, context: Context, *, aloud: bool = True) -> Ask:
        prompts, wanted = context.services.prompts, cast(Any, request)
        filled = await prompts.fill(await prompts.version(self.slug(request)), self.variables(request, piece))
        asked = completions.CreateCompletionRequest(
            messages=filled.messages, temperature=self.temperature(request), max_tokens=self.MAX_TOKENS
        )
        asked.provider, asked.model = wanted.provider, wanted.model
        if wanted.domain:
            _add_hint(asked, f"The text is about, or comes from: {wanted.domain}")
        shape = self.shape(request)
        if shape is not None:
            form = asked.response_format.json_schema
            form.name, form.schema_json = self.member, json.dumps(shape, ensure_ascii=False)
            form.strict = form.unchecked = True
        purpose = filled.purpose
        purpose.capability = self.tag(request)
        own = "temperature" in request.DESCRIPTOR.fields_by_name and request.HasField("temperature")
        return Ask(asked, purpose, self.slug(request), aloud=aloud, own_temperature=own)


def _settle_content(request: Any) -> None:
    """content and text are one field."""
    known = request.DESCRIPTOR.fields_by_name
    if "content" in known and "text" in known:
        request.content = request.content or request.text
        if not request.content.strip():
            raise InvalidFields([("content", "is required")])


def _bare(whole: Piece, limits: Limits) -> completions.CreateCompletionRequest:
    """What is asked about, without the prompt: less than what would be sent."""
    message = message_pb2.Message(role=message_pb2.ROLE_USER)
    message.content.add(text=whole.text)
    message.content.add(text=whole.other)
    return completions.CreateCompletionRequest(
        provider=limits.provider, model=limits.model, messages=[message]
    )


def _add_hint(request: completions.CreateCompletionRequest, hint: str) -> None:
    """At the end of the instructions."""
    first = request.messages[0]
    if first.role != message_pb2.ROLE_SYSTEM:
        request.messages.insert(0, message_pb2.Message(role=message_pb2.ROLE_SYSTEM))
        request.messages[0].content.add(text=hint)
    else:
        first.content[-1].text += f"\n\n{hint}"


def _too_long(limits: Limits, problem: str) -> ContextLengthExceeded:
    return ContextLengthExceeded(
        provider=limits.provider,
        provider_code="context_length_exceeded",
        provider_message=f"{problem}; {limits.model} takes {limits.context_length} tokens",
        model=limits.model,
        context_length=limits.context_length,
    )


async def _soon(size: int, work: Any, *arguments: Any) -> Any:
    """The result of work, done in a thread where the size says that it would hold up the event loop."""
    return work(*arguments) if size <= LARGE else await asyncio.to_thread(work, *arguments)


async def stream(
    capability: "Capability[Any, Any]", request: Message, context: Context
) -> AsyncGenerator[pb.CapabilityEvent]:
    """Events as they happen; the last one is the result. Errors: as run()."""
    queue: asyncio.Queue[pb.CapabilityEvent | None] = asyncio.Queue()

    async def tell(event: pb.CapabilityEvent) -> None:
        queue.put_nowait(event)

    async def work() -> pb.CapabilityEvent:
        try:
            response = await capability.run(request, context)
        finally:
            queue.put_nowait(None)
        last = pb.CapabilityEvent()
        getattr(last, capability.member).CopyFrom(response)
        return last

    context.tell = tell
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
