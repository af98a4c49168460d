"""Stop sequences of a model that takes none: the answer is cut before the first of them.

What the model wrote behind it was paid for and is thrown away; the call goes on to its end, because only
there stands what it used.
"""

from collections.abc import Sequence

from genai_spine.v1 import completion_service_pb2 as pb


class StopCutter:
    """Texts of one answer, cut at stop sequences; the end of a delta waits while it may begin one."""

    def __init__(self, sequences: Sequence[str]) -> None:
        self._sequences = sequences
        self._longest = max(map(len, sequences))
        self._waiting: dict[int, str] = {}  # by choice
        self._cut: set[int] = set()

    def chunk(self, chunk: pb.CompletionChunk) -> None:
        """Cuts the content of each delta of a chunk, which nobody else has yet."""
        for delta in chunk.choices:
            index = delta.index
            text = self._waiting.pop(index, "") + delta.content
            delta.content = "" if index in self._cut else self._next(index, text, bool(delta.finish_reason))
            if index in self._cut and delta.finish_reason == pb.FINISH_REASON_LENGTH:
                delta.finish_reason = pb.FINISH_REASON_STOP

    def completion(self, answer: pb.Completion) -> None:
        """Cuts the texts of a whole answer, which nobody else has yet."""
        for choice in answer.choices:
            for part in choice.message.content:
                if choice.index in self._cut:
                    part.text = ""
                elif part.text:
                    part.text = self._next(choice.index, part.text, ended=True)
            if choice.index in self._cut and choice.finish_reason == pb.FINISH_REASON_LENGTH:
                choice.finish_reason = pb.FINISH_REASON_STOP

    def _next(self, index: int, text: str, ended: bool) -> str:
        """Text that may go on; what could begin a stop sequence waits, unless the choice has ended."""
        places = [place for place in map(text.find, self._sequences) if place >= 0]
        if places:
            self._cut.add(index)
            return text[: min(places)]
        held = 0 if ended else self._held(text)
        if held:
            self._waiting[index] = text[-held:]
            return text[:-held]
        return text

    def _held(self, text: str) -> int:
        """Length of the longest end of the text that begins a stop sequence."""
        ends = range(min(self._longest - 1, len(text)), 0, -1)
        return next(
            (size for size in ends if any(one.startswith(text[-size:]) for one in self._sequences)), 0
        )
