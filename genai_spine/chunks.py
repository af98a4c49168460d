"""Chunks of a streamed answer: built from deltas, joined, folded into one Completion, and unfolded again.

`field += text` on a protobuf message copies the whole text into the message's arena, which keeps every copy
until the message is gone: time and memory would grow with the square of what one read brought. The builders
collect the texts in lists and join them once.

A Completion and the chunks of its stream hold the same, so adapters that can only stream, or only answer
whole, get the other way from here.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from operator import attrgetter

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

TERMS = ("system_fingerprint", "service_tier", "speed", "inference_geo")  # of the call that answered

THINKING, THINKING_ENDS = "<think>", "</think>"
HIGH_HALVES = frozenset(map(chr, range(0xD800, 0xDC00)))  # first halves of UTF-16's pairs
WHOLE_JSON = ("annotations_json", "reasoning_state_json", "parsed_json")  # come in one piece


class ToolCallBuilder:
    """Tool call of a choice while its arguments arrive: id and name come once, the arguments as text in any
    number of parts.
    """

    __slots__ = ("arguments", "delta")

    def __init__(self, delta: pb.ToolCallDelta) -> None:
        self.delta = delta  # all but the arguments
        self.arguments: list[str] = []

    def add(self, id: str | None, name: str | None, arguments: str | None = None) -> None:
        """Sets the id and the name where they are there, and appends the arguments. None and "" leave what is
        set: upstreams repeat or omit both in later deltas.
        """
        if id:
            self.delta.id = id
        if name:
            self.delta.name = name
        if arguments:
            self.arguments.append(arguments)


class ChoiceBuilder:
    """Choice of a chunk while deltas are added to it: texts in lists, everything else in `delta`."""

    __slots__ = ("content", "delta", "reasoning", "refusal", "tool_calls")

    def __init__(self, delta: pb.ChoiceDelta) -> None:
        self.delta = delta  # all but the text
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.tool_calls: dict[int, ToolCallBuilder] = {}

    def tool_call(self, index: int) -> ToolCallBuilder:
        """Tool call with the index, begun when it is not there. The index is the one within the answer, so it
        stays the same over all chunks.
        """
        call = self.tool_calls.get(index)
        if call is None:
            call = self.tool_calls[index] = ToolCallBuilder(self.delta.tool_calls.add(index=index))
        return call

    def add(self, delta: pb.ChoiceDelta) -> None:
        """Appends the delta's text and tool calls, and takes over the rest.

        The finish reason and the JSON fields replace earlier ones, log probabilities are appended.
        """
        if delta.content:
            self.content.append(delta.content)
        if delta.reasoning:
            self.reasoning.append(delta.reasoning)
        if delta.refusal:
            self.refusal.append(delta.refusal)
        if delta.finish_reason:
            self.delta.finish_reason = delta.finish_reason
        for name in WHOLE_JSON:
            if delta.HasField(name):
                setattr(self.delta, name, getattr(delta, name))
        if delta.HasField("logprobs"):
            self.delta.logprobs.MergeFrom(delta.logprobs)
        for call_delta in delta.tool_calls[:]:
            call = self.tool_call(call_delta.index)
            call.add(call_delta.id, call_delta.name, call_delta.arguments)
            if call_delta.is_custom:
                call.delta.is_custom = True
            if call_delta.HasField("provider_state_json"):
                call.delta.provider_state_json = call_delta.provider_state_json

    def mend(self, halves: dict[str, str]) -> None:
        """Joins halves of characters (UTF-16 surrogates), which upstreams send in two deltas.

        halves: by the text that they end, those that wait for the next chunk. A half that stays alone, and
        the last one before the finish reason, becomes U+FFFD.
        """
        texts = {"content": self.content, "reasoning": self.reasoning, "refusal": self.refusal}
        place = f"{self.delta.index}:"
        waiting = [key.removeprefix(place) for key in halves if key.startswith(place)]
        for index in {*self.tool_calls, *(int(name) for name in waiting if name.isdigit())}:
            texts[str(index)] = self.tool_call(index).arguments
        for name, parts in texts.items():
            if not parts and not (self.delta.finish_reason and name in waiting):
                continue
            text = halves.pop(place + name, "") + "".join(parts)
            if text[-1:] in HIGH_HALVES and not self.delta.finish_reason:
                halves[place + name], text = text[-1], text[:-1]
            parts[:] = [with_whole_characters(text)]

    def join(self) -> None:
        """Joins the collected texts into the delta. Called once, by ChunkBuilder.build().

        Raises UnicodeEncodeError for halves of characters.
        """
        if self.content:
            self.delta.content = "".join(self.content)
        if self.reasoning:
            self.delta.reasoning = "".join(self.reasoning)
        if self.refusal:
            self.delta.refusal = "".join(self.refusal)
        for call in self.tool_calls.values():
            call.delta.arguments = "".join(call.arguments)


class ChunkBuilder:
    """Chunk while deltas are added to it: adapters use one for each read of the socket, `fold` one for a
    whole stream.
    """

    __slots__ = ("choices", "chunk", "halves")

    def __init__(self, halves: dict[str, str] | None = None) -> None:
        """halves: of characters, which wait for the next chunk of a stream; all its builders share them."""
        self.chunk = pb.CompletionChunk()  # all but the text of its choices
        self.choices: dict[int, ChoiceBuilder] = {}
        self.halves = halves

    def choice(self, index: int = 0) -> ChoiceBuilder:
        """Choice with the index, begun when it is not there."""
        choice = self.choices.get(index)
        if choice is None:
            # Most have the index 0, which is not written: fields given by name cost more than the delta.
            delta = self.chunk.choices.add(index=index) if index else self.chunk.choices.add()
            choice = self.choices[index] = ChoiceBuilder(delta)
        return choice

    def add(self, chunk: pb.CompletionChunk) -> None:
        """Appends the deltas to those of the same choice, and takes over the rest.

        Usage and cost replace earlier ones, because upstreams report totals so far. The given chunk stays as
        it is.
        """
        for field, value in chunk.ListFields():
            if field.name == "choices":
                for delta in value[:]:
                    self.choice(delta.index).add(delta)
            elif field.is_repeated:
                repeated = getattr(self.chunk, field.name)
                del repeated[:]
                repeated.extend(value)
            elif field.message_type:  # a later count replaces the one before, zeros included
                getattr(self.chunk, field.name).CopyFrom(value)
            elif field.has_presence or getattr(self.chunk, field.name) != value:  # most repeat the same ids
                setattr(self.chunk, field.name, value)

    def build(self) -> pb.CompletionChunk:
        """Finished chunk with all text, once nothing more is to be added."""
        for choice in self.choices.values():
            if self.halves:
                choice.mend(self.halves)
            try:
                choice.join()
            except UnicodeEncodeError:
                choice.mend({} if self.halves is None else self.halves)
                choice.join()
        return self.chunk

    def completion(self) -> pb.Completion:
        """Completion of a whole stream, once all of its chunks were added."""
        return completion(self.build())


async def fold(chunks: AsyncIterator[pb.CompletionChunk]) -> pb.Completion:
    """Completion that a whole stream spells out. Errors of the stream pass through."""
    whole = ChunkBuilder()
    async for chunk in chunks:
        whole.add(chunk)
    return whole.completion()


def joined(chunks: Sequence[pb.CompletionChunk]) -> pb.CompletionChunk:
    """Single chunk that says what all of the chunks say, for a consumer that was slower than the provider.

    At least one chunk is given; they stay as they are.
    """
    if len(chunks) == 1:
        copy = pb.CompletionChunk()
        copy.CopyFrom(chunks[0])
        return copy
    whole = ChunkBuilder()
    for chunk in chunks:
        whole.add(chunk)
    return whole.build()


def completion(whole: pb.CompletionChunk) -> pb.Completion:
    """Completion from a chunk into which the whole stream was merged; choices in the order of their index."""
    result = pb.Completion()  # fields given by name cost more
    result.id, result.model, result.provider = whole.id, whole.model, whole.provider
    result.request_id, result.execution_id = whole.request_id, whole.execution_id
    if whole.HasField("create_time"):
        result.create_time.CopyFrom(whole.create_time)
    if whole.HasField("usage"):
        result.usage.CopyFrom(whole.usage)
    if whole.HasField("cost"):
        result.cost.CopyFrom(whole.cost)
    if whole.HasField("units"):
        result.units.CopyFrom(whole.units)
    if whole.HasField("system_fingerprint"):
        result.system_fingerprint = whole.system_fingerprint
    if whole.HasField("service_tier"):
        result.service_tier = whole.service_tier
    if whole.HasField("speed"):
        result.speed = whole.speed
    if whole.HasField("inference_geo"):
        result.inference_geo = whole.inference_geo
    if whole.HasField("latency_ms"):
        result.latency_ms = whole.latency_ms
    result.cache_status = whole.cache_status
    if whole.warnings:
        result.warnings.extend(whole.warnings)
    for delta in sorted(whole.choices[:], key=attrgetter("index")):
        _set_choice(result.choices.add(), delta)
    return result


def as_chunk(answer: pb.Completion) -> pb.CompletionChunk:
    """Single chunk of a stream that spells out the whole answer, usage and cost included."""
    chunk = _totals_of(answer)
    chunk.choices.extend(map(_delta, answer.choices))
    return chunk


def unfold(whole: pb.Completion) -> Iterator[pb.CompletionChunk]:
    """Stream of an answer: one chunk for each choice, and one more with usage, cost and latency (ms)."""
    for choice in whole.choices:
        chunk = _part_of(whole)
        chunk.choices.append(_delta(choice))
        yield chunk
    last = _totals_of(whole)
    last.latency_ms, last.cache_status = whole.latency_ms, whole.cache_status
    yield last


def _totals_of(whole: pb.Completion) -> pb.CompletionChunk:
    chunk = _part_of(whole)
    for name in ("usage", "cost", "units"):
        if whole.HasField(name):
            getattr(chunk, name).CopyFrom(getattr(whole, name))
    chunk.warnings.extend(whole.warnings)
    return chunk


def _part_of(whole: pb.Completion) -> pb.CompletionChunk:
    chunk = pb.CompletionChunk(id=whole.id, model=whole.model, provider=whole.provider)
    chunk.request_id, chunk.execution_id = whole.request_id, whole.execution_id
    if whole.HasField("create_time"):
        chunk.create_time.CopyFrom(whole.create_time)
    for name in TERMS:
        if whole.HasField(name):
            setattr(chunk, name, getattr(whole, name))
    return chunk


def _delta(choice: pb.Choice) -> pb.ChoiceDelta:
    """Delta that holds the whole choice. Parts of a message's content become one text, since a delta has no
    parts.
    """
    message = choice.message
    delta = pb.ChoiceDelta(
        index=choice.index, finish_reason=choice.finish_reason, reasoning=message.reasoning
    )
    delta.content = "".join(part.text for part in message.content)
    delta.refusal = "".join(part.refusal for part in message.content)
    for name in ("annotations_json", "reasoning_state_json"):
        if message.HasField(name):
            setattr(delta, name, getattr(message, name))
    for index, call in enumerate(message.tool_calls):
        custom = call.WhichOneof("call") == "custom"
        called = call.custom if custom else call.function
        arguments = call.custom.input if custom else call.function.arguments_json
        into = delta.tool_calls.add(
            index=index, id=call.id, name=called.name, arguments=arguments, is_custom=custom
        )
        if call.HasField("provider_state_json"):
            into.provider_state_json = call.provider_state_json
    if choice.HasField("logprobs"):
        delta.logprobs.CopyFrom(choice.logprobs)
    if choice.HasField("parsed_json"):
        delta.parsed_json = choice.parsed_json
    return delta


def _set_choice(choice: pb.Choice, delta: pb.ChoiceDelta) -> None:
    """Fills a choice from the merged delta; tool calls in the order of their index."""
    choice.index, choice.finish_reason = delta.index, delta.finish_reason
    message = choice.message
    message.role = message_pb2.ROLE_ASSISTANT
    if content := delta.content:
        message.content.add().text = content
    if refusal := delta.refusal:
        message.content.add().refusal = refusal
    if reasoning := delta.reasoning:
        message.reasoning = reasoning
    if delta.HasField("annotations_json"):
        message.annotations_json = delta.annotations_json
    if delta.HasField("reasoning_state_json"):
        message.reasoning_state_json = delta.reasoning_state_json
    if delta.tool_calls:
        message.tool_calls.extend(map(_tool_call, sorted(delta.tool_calls, key=attrgetter("index"))))
    if delta.HasField("logprobs"):
        choice.logprobs.CopyFrom(delta.logprobs)
    if delta.HasField("parsed_json"):
        choice.parsed_json = delta.parsed_json


def _tool_call(call_delta: pb.ToolCallDelta) -> message_pb2.ToolCall:
    call = message_pb2.ToolCall(id=call_delta.id)
    if call_delta.is_custom:
        call.custom.name, call.custom.input = call_delta.name, call_delta.arguments
    else:
        call.function.name, call.function.arguments_json = call_delta.name, call_delta.arguments
    if call_delta.HasField("provider_state_json"):
        call.provider_state_json = call_delta.provider_state_json
    return call


def first_choice(answer: pb.Completion) -> pb.Choice:
    """First choice of an answer; an empty one where the provider sent none."""
    return answer.choices[0] if answer.choices else pb.Choice()


def text_of(choice: pb.Choice) -> str:
    """Text of a choice, without refusals."""
    return "".join(part.text for part in choice.message.content)


def without_thinking(text: str) -> str:
    """Text without blanks around it, and without the <think> block that some models put first."""
    text = text.strip().lstrip("\ufeff").lstrip()
    return text.partition(THINKING_ENDS)[2].strip() if text.startswith(THINKING) else text


def with_whole_characters(text: str) -> str:
    """Text whose halves of characters (UTF-16 surrogates) are joined; U+FFFD for one that is alone."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def has_output(chunk: pb.CompletionChunk) -> bool:
    """Whether the chunk holds output of the model, and not only the role of who speaks. From the first such
    chunk on, a stream has reached its caller and is not tried elsewhere.
    """
    return any(
        delta.content or delta.reasoning or delta.refusal or delta.tool_calls for delta in chunk.choices
    )


def says_something(delta: pb.ChoiceDelta) -> bool:
    """Whether the delta says more than that a choice is there."""
    return delta.ByteSize() > (pb.ChoiceDelta(index=delta.index).ByteSize() if delta.index else 0)
