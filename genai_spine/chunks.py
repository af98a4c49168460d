"""Chunks of a streamed answer: built from pieces, joined, folded into one Completion, and unfolded again.

`field += text` on a protobuf message copies the whole text into the message's arena, which keeps every copy
until the message is gone: time and memory would grow with the square of what one read brought. The builders
collect the pieces in lists and join them once.
"""

from collections.abc import AsyncIterator, Iterator, Sequence

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

SCALARS = ("system_fingerprint", "service_tier", "latency_ms")  # optional in chunk and answer

THINKING, THINKING_ENDS = "<think>", "</think>"
WHOLE_JSON = ("annotations_json", "reasoning_state_json", "parsed_json")  # come in one piece


class ToolCallBuilder:
    """A tool call of a choice."""

    __slots__ = ("arguments", "delta")

    def __init__(self, delta: pb.ToolCallDelta) -> None:
        self.delta = delta  # all but the arguments
        self.arguments: list[str] = []

    def add(self, id: str | None, name: str | None, arguments: str | None = None) -> None:
        """Takes over what is given, and appends the arguments."""
        if id:
            self.delta.id = id
        if name:
            self.delta.name = name
        if arguments:
            self.arguments.append(arguments)


class ChoiceBuilder:
    """What a chunk says of one choice."""

    __slots__ = ("content", "delta", "reasoning", "refusal", "tool_calls")

    def __init__(self, delta: pb.ChoiceDelta) -> None:
        self.delta = delta  # all but the text
        self.content: list[str] = []
        self.reasoning: list[str] = []
        self.refusal: list[str] = []
        self.tool_calls: dict[int, ToolCallBuilder] = {}

    def tool_call(self, index: int) -> ToolCallBuilder:
        """The call of the index, which begins when it is not there."""
        call = self.tool_calls.get(index)
        if call is None:
            call = self.tool_calls[index] = ToolCallBuilder(self.delta.tool_calls.add(index=index))
        return call

    def add(self, delta: pb.ChoiceDelta) -> None:
        """Appends the delta's text and tool calls, and takes over the rest."""
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
        for piece in delta.tool_calls:
            call = self.tool_call(piece.index)
            call.add(piece.id, piece.name, piece.arguments)
            if piece.is_custom:
                call.delta.is_custom = True

    def join(self) -> None:
        """Puts the text into the delta."""
        if self.content:
            self.delta.content = "".join(self.content)
        if self.reasoning:
            self.delta.reasoning = "".join(self.reasoning)
        if self.refusal:
            self.delta.refusal = "".join(self.refusal)
        for call in self.tool_calls.values():
            call.delta.arguments = "".join(call.arguments)


class ChunkBuilder:
    """One chunk while pieces are added to it."""

    __slots__ = ("choices", "chunk")

    def __init__(self) -> None:
        self.chunk = pb.CompletionChunk()  # all but the text of its choices
        self.choices: dict[int, ChoiceBuilder] = {}

    def choice(self, index: int = 0) -> ChoiceBuilder:
        """The choice of the index, which begins when it is not there."""
        choice = self.choices.get(index)
        if choice is None:
            # Most have the index 0, which is not written: fields given by name cost more than the delta.
            delta = self.chunk.choices.add(index=index) if index else self.chunk.choices.add()
            choice = self.choices[index] = ChoiceBuilder(delta)
        return choice

    def add(self, chunk: pb.CompletionChunk) -> None:
        """Appends the deltas to those of the same choice, and takes over the rest; chunk stays as it is."""
        for field, value in chunk.ListFields():
            if field.name == "choices":
                for delta in value:
                    self.choice(delta.index).add(delta)
            elif field.message_type:  # a later count replaces the one before, zeros included
                getattr(self.chunk, field.name).CopyFrom(value)
            elif field.has_presence or getattr(self.chunk, field.name) != value:  # most repeat the same ids
                setattr(self.chunk, field.name, value)

    def build(self) -> pb.CompletionChunk:
        """The chunk with all text, once nothing more is to be added."""
        for choice in self.choices.values():
            choice.join()
        return self.chunk

    def completion(self) -> pb.Completion:
        """The Completion of a whole stream, once all of its chunks were added."""
        return completion(self.build())


async def fold(chunks: AsyncIterator[pb.CompletionChunk]) -> pb.Completion:
    """The Completion that the stream spells out."""
    whole = ChunkBuilder()
    async for chunk in chunks:
        whole.add(chunk)
    return whole.completion()


def joined(chunks: Sequence[pb.CompletionChunk]) -> pb.CompletionChunk:
    """One chunk that says what all of them say; at least one, and they stay as they are."""
    if len(chunks) == 1:
        copy = pb.CompletionChunk()
        copy.CopyFrom(chunks[0])
        return copy
    whole = ChunkBuilder()
    for chunk in chunks:
        whole.add(chunk)
    return whole.build()


def completion(whole: pb.CompletionChunk) -> pb.Completion:
    """A Completion from a chunk into which the whole stream was merged."""
    result = pb.Completion(id=whole.id, created=whole.created, model=whole.model, provider=whole.provider)
    result.request_id, result.execution_id = whole.request_id, whole.execution_id
    for name in ("usage", "cost"):
        if whole.HasField(name):
            getattr(result, name).CopyFrom(getattr(whole, name))
    for name in SCALARS:
        if whole.HasField(name):
            setattr(result, name, getattr(whole, name))
    result.cache_status = whole.cache_status
    for delta in sorted(whole.choices, key=lambda delta: delta.index):
        result.choices.append(_choice(delta))
    return result


def as_chunk(answer: pb.Completion) -> pb.CompletionChunk:
    """The one chunk of a stream that spells out the answer."""
    chunk = _totals_of(answer)
    chunk.choices.extend(map(_delta, answer.choices))
    return chunk


def unfold(whole: pb.Completion) -> Iterator[pb.CompletionChunk]:
    """The answer as a stream: one chunk for each choice, and one more with usage and cost."""
    for choice in whole.choices:
        chunk = _part_of(whole)
        chunk.choices.append(_delta(choice))
        yield chunk
    last = _totals_of(whole)
    last.latency_ms, last.cache_status = whole.latency_ms, whole.cache_status
    yield last


def _totals_of(whole: pb.Completion) -> pb.CompletionChunk:
    chunk = _part_of(whole)
    for name in ("usage", "cost"):
        if whole.HasField(name):
            getattr(chunk, name).CopyFrom(getattr(whole, name))
    return chunk


def _part_of(whole: pb.Completion) -> pb.CompletionChunk:
    chunk = pb.CompletionChunk(id=whole.id, created=whole.created, model=whole.model, provider=whole.provider)
    chunk.request_id, chunk.execution_id = whole.request_id, whole.execution_id
    for name in ("system_fingerprint", "service_tier"):
        if whole.HasField(name):
            setattr(chunk, name, getattr(whole, name))
    return chunk


def _delta(choice: pb.Choice) -> pb.ChoiceDelta:
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
        arguments = call.custom.input if custom else call.function.arguments
        delta.tool_calls.add(index=index, id=call.id, name=called.name, arguments=arguments, is_custom=custom)
    if choice.HasField("logprobs"):
        delta.logprobs.CopyFrom(choice.logprobs)
    if choice.HasField("parsed_json"):
        delta.parsed_json = choice.parsed_json
    return delta


def _choice(delta: pb.ChoiceDelta) -> pb.Choice:
    message = message_pb2.Message(role=message_pb2.ROLE_ASSISTANT)
    if delta.content:
        message.content.add(text=delta.content)
    if delta.refusal:
        message.content.add(refusal=delta.refusal)
    if delta.reasoning:
        message.reasoning = delta.reasoning
    for name in ("annotations_json", "reasoning_state_json"):
        if delta.HasField(name):
            setattr(message, name, getattr(delta, name))
    for piece in sorted(delta.tool_calls, key=lambda piece: piece.index):
        message.tool_calls.append(_tool_call(piece))
    choice = pb.Choice(index=delta.index, message=message, finish_reason=delta.finish_reason)
    if delta.HasField("logprobs"):
        choice.logprobs.CopyFrom(delta.logprobs)
    if delta.HasField("parsed_json"):
        choice.parsed_json = delta.parsed_json
    return choice


def _tool_call(piece: pb.ToolCallDelta) -> message_pb2.ToolCall:
    if piece.is_custom:
        return message_pb2.ToolCall(
            id=piece.id, custom=message_pb2.CustomCall(name=piece.name, input=piece.arguments)
        )
    return message_pb2.ToolCall(
        id=piece.id, function=message_pb2.FunctionCall(name=piece.name, arguments=piece.arguments)
    )


def first_choice(answer: pb.Completion) -> pb.Choice:
    """The first choice of an answer; an empty one where the provider sent none."""
    return answer.choices[0] if answer.choices else pb.Choice()


def text_of(choice: pb.Choice) -> str:
    """The text of a choice, without refusals."""
    return "".join(part.text for part in choice.message.content)


def without_thinking(text: str) -> str:
    """The text without blanks around it, and without the <think> block that some models put first."""
    text = text.strip().lstrip("\ufeff").lstrip()
    return text.partition(THINKING_ENDS)[2].strip() if text.startswith(THINKING) else text


def has_output(chunk: pb.CompletionChunk) -> bool:
    """Whether the chunk holds output of the model, and not only the role of who speaks."""
    return any(
        delta.content or delta.reasoning or delta.refusal or delta.tool_calls for delta in chunk.choices
    )
