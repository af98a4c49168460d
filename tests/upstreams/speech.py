"""From a scripted Content and a request's limits to what one choice says, piece by piece."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.upstreams.reply import Content, ToolCall
from tests.upstreams.samples import count_tokens, pieces


@dataclass(frozen=True, slots=True)
class Limits:
    stop: Sequence[str] = ()
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Speech:
    """One choice as it goes over the wire."""

    text: list[str]
    reasoning: list[str]
    refusal: list[str]
    tool_calls: list[ToolCall]
    finish_reason: str  # in OpenAI's words

    @property
    def tokens(self) -> int:
        said = count_tokens("".join(self.text)) + count_tokens("".join(self.refusal))
        called = sum(count_tokens(call.name + "".join(call.arguments)) for call in self.tool_calls)
        return said + called + self.reasoning_tokens

    @property
    def reasoning_tokens(self) -> int:
        return count_tokens("".join(self.reasoning))


def speak(content: Content, default: Content, limits: Limits) -> Speech:
    """default: what is said when the content names neither text nor tool calls nor a refusal."""
    named = content.text is not None or content.tool_calls or content.refusal
    said = content if named else default
    reasoning, cut_in_reasoning = _shorten(pieces(content.reasoning), limits.max_tokens)
    left = limits.max_tokens
    if left is not None:
        left -= count_tokens("".join(reasoning))
    text, cut_in_text = _shorten(_stop(pieces(said.text or ""), limits.stop), left)
    reason = "tool_calls" if said.tool_calls else "stop"
    if any(call.kind == "legacy" for call in said.tool_calls):
        reason = "function_call"
    if cut_in_reasoning or cut_in_text:
        reason = "length"
    return Speech(
        text=text,
        reasoning=reasoning,
        refusal=pieces(content.refusal),
        tool_calls=list(said.tool_calls),
        finish_reason=content.finish_reason or said.finish_reason or reason,
    )


def _stop(texts: list[str], stops: Sequence[str]) -> list[str]:
    whole = "".join(texts)
    found = [whole.find(stop) for stop in stops if stop and stop in whole]
    return _cut(texts, min(found)) if found else texts


def _shorten(texts: list[str], max_tokens: int | None) -> tuple[list[str], bool]:
    """The longest beginning within max_tokens, and whether anything was cut off."""
    if max_tokens is None or count_tokens("".join(texts)) <= max_tokens:
        return texts, False
    return _cut(texts, max(0, 4 * max_tokens - 1)), True


def _cut(texts: list[str], length: int) -> list[str]:
    kept: list[str] = []
    for text in texts:
        if length <= 0:
            break
        kept.append(text[:length])
        length -= len(text)
    return kept


class Tally:
    """Tokens of what was said so far, counted per choice and channel as count_tokens does."""

    def __init__(self) -> None:
        self._said: dict[tuple[int, str], int] = {}

    def add(self, choice: int, channel: str, text: str) -> int:
        """Adds a piece; returns the tokens of everything so far."""
        key = (choice, channel)
        self._said[key] = self._said.get(key, 0) + len(text)
        return self.total

    @property
    def total(self) -> int:
        return sum(length // 4 + 1 for length in self._said.values() if length)
