"""Chunks put together from many pieces: their text is collected, and joined once.

`field += text` on a protobuf message copies the whole text into the message's arena, which keeps every copy
until the message is gone: time and memory would grow with the square of what one read brought.
"""

from genai_spine.v1 import completion_service_pb2 as pb

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
