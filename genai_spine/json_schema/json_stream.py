"""JSON of a streamed answer, without what models write around it, while it arrives.

A stream that begins with its JSON passes as it comes, up to the end of the first value; a code fence around
it is left out, and a <think> block before it becomes reasoning. What begins with anything else is held back
to its end, where the JSON is found as in a whole answer: what has gone out cannot be taken back.
"""

import re
from enum import Enum

from genai_spine.chunks import THINKING, THINKING_ENDS

FENCE = "```"
_FENCE_HEAD = re.compile(r"```[ \t]*[\w+-]*\s*")
_BLANKS = " \t\r\n\ufeff"
_OUTSIDE = re.compile(r'["\[\]{}]')
_IN_STRING = re.compile(r'\\|"')


class State(Enum):
    """State of one choice's text."""

    BEFORE = "nothing is known yet"
    THINKING = "in a <think> block"
    JSON = "in the JSON"
    AFTER = "behind the JSON"
    HELD = "prose, or a value that is no object and no list: held back"
    FREE = "no JSON is to come: a tool is called, or the model refuses"


class JsonStream:
    """Filter of the text of one choice."""

    def __init__(self, *, hold: bool) -> None:
        """hold: the JSON is held back in any case, because it is going to be rewritten."""
        self.state = State.BEFORE
        self._hold = hold
        self._waiting = ""
        self._sent: list[str] = []  # of the value
        self._levels, self._in_string, self._escaped = 0, False, False

    @property
    def is_held(self) -> bool:
        """Whether the content is still to come, at the end of the stream."""
        return self.state in (State.BEFORE, State.HELD)

    @property
    def value(self) -> str:
        """JSON that has gone out."""
        return "".join(self._sent)

    def take(self, text: str) -> tuple[str, str]:
        """Content and reasoning that go out now."""
        if self.state in (State.BEFORE, State.THINKING):
            return self._begin(self._waiting + text)
        if self.state is State.JSON:
            return self._value(text), ""
        if self.state is State.FREE:
            return text, ""
        if self.state is State.HELD:
            self._waiting += text
        return "", ""

    def release(self) -> str:
        """Text that was held back; no JSON is to come."""
        text, self._waiting = self._waiting, ""
        self.state = State.FREE
        return text

    def _begin(self, text: str) -> tuple[str, str]:
        reasoning = ""
        if self.state is State.BEFORE and text.lstrip(_BLANKS).startswith(THINKING):
            self.state, text = State.THINKING, text.lstrip(_BLANKS)[len(THINKING) :]
        if self.state is State.THINKING:
            reasoning, ended, rest = text.partition(THINKING_ENDS)
            if not ended:
                kept = _overlap(text, THINKING_ENDS)
                self._waiting = text[len(text) - kept :]
                return "", text[: len(text) - kept]
            self.state, text = State.BEFORE, rest
        self._waiting = text
        begun = text.lstrip(_BLANKS)
        if fence := _FENCE_HEAD.match(begun):
            begun = begun[fence.end() :]
        if not begun or THINKING.startswith(begun) or FENCE.startswith(begun):
            return "", reasoning
        if begun[0] not in "{[" or self._hold:
            self.state = State.HELD
            return "", reasoning
        self.state, self._waiting = State.JSON, ""
        return self._value(begun), reasoning

    def _value(self, text: str) -> str:
        """The text as far as it belongs to the value."""
        at = 0
        if self._escaped:
            at, self._escaped = 1, False
        while found := (_IN_STRING if self._in_string else _OUTSIDE).search(text, at):
            at, token = found.end(), found[0]
            if token == "\\":
                self._escaped = at == len(text)
                at += 1
            elif token == '"':
                self._in_string = not self._in_string
            else:
                self._levels += 1 if token in "{[" else -1
                if self._levels <= 0:
                    self.state = State.AFTER
                    text = text[:at]
                    break
        self._sent.append(text)
        return text


def _overlap(text: str, end: str) -> int:
    """Length of the longest beginning of `end` that the text ends with."""
    return next((size for size in range(len(end) - 1, 0, -1) if text.endswith(end[:size])), 0)
