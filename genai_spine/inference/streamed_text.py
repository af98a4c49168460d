"""Text of a stream, from which tokens are counted when the provider has not reported them."""

from io import StringIO

from genai_spine.tokens import counts
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import usage_pb2


class StreamedText:
    """Text of a stream so far, by choice. Kept as text: tokens are counted only when it is cut."""

    __slots__ = ("_reasoning", "_visible")

    def __init__(self) -> None:
        self._visible: dict[int, StringIO] = {}  # by the number of the choice
        self._reasoning = StringIO()

    def add(self, delta: pb.ChoiceDelta) -> None:
        """Appends what the delta says: content, refusal, reasoning, names and arguments of tool calls."""
        visible = self._visible.get(delta.index)
        if visible is None:
            visible = self._visible[delta.index] = StringIO()
        visible.write(delta.content or delta.refusal)
        if reasoning := delta.reasoning:
            self._reasoning.write(reasoning)
        if calls := delta.tool_calls:
            for call in calls:
                visible.write(call.name)
                visible.write(call.arguments)

    def __bool__(self) -> bool:
        """True once any text has come."""
        return self._reasoning.tell() > 0 or any(text.tell() for text in self._visible.values())

    def usage(
        self, input_tokens: int, tokenizer: Tokenizer, output: "usage_pb2.Provenance"
    ) -> usage_pb2.Usage:
        """Estimated usage. output: provenance of the numbers of output tokens."""
        visible = sum(tokenizer.count(text.getvalue()) for text in self._visible.values())
        reasoning = tokenizer.count(self._reasoning.getvalue())
        return counts.usage(input_tokens, visible, reasoning, output=output)
