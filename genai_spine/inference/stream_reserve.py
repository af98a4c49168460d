"""Reserve of a stream: its output is metered as it comes, and more is reserved before the reserve is used up.

Providers end an answer at its `max_tokens`, for all of which is reserved; this is for those that do not.
"""

import asyncio
from collections.abc import Iterable

from genai_spine.billing.budgets import Budgets
from genai_spine.errors import ServiceUnavailable
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1.execution_pb2 import Execution

USED = 0.9  # of the tokens that are reserved for, from which on more is reserved
# Times these tokens, past which a stream ends: pieces have a few more tokens than the whole, an estimate may
# be too high.
COUNTED, ESTIMATED = 1.05, 1.15
LEAST_CHARS = 200  # between two counts
EXTENDING_S = 5.0  # seconds for which a chunk may wait


class StreamReserve:
    """Meter of one stream, and what becomes of it when its reserve is used up."""

    def __init__(self, budgets: Budgets, execution: Execution, answer_tokens: int, model: str) -> None:
        """execution: with its reserve, which is for an answer of so many tokens."""
        self._budgets, self._execution = budgets, execution
        # That are reserved more, each time, and for how many tokens that is enough.
        self._step_ticks, self._step_tokens = -(-execution.reserved_ticks // 2), -(-answer_tokens // 2)
        self._tokenizer = Tokenizer.if_loaded(model)
        self._reserved = answer_tokens
        self._counted = 0  # tokens
        self._pieces: list[str] = []  # since they were counted
        self._chars, self._next_count = 0, max(LEAST_CHARS, answer_tokens // 2)

    async def add(self, deltas: Iterable[pb.ChoiceDelta]) -> None:
        """Meters what was streamed. Errors: BudgetExceeded, where a budget ends the stream."""
        is_end = False
        for delta in deltas:
            is_end = is_end or bool(delta.finish_reason)
            for text in (delta.content or delta.refusal, delta.reasoning, *_arguments(delta)):
                self._pieces.append(text)
                self._chars += len(text)
        if self._chars < self._next_count or is_end:  # at its end there is nothing left to stop
            return
        self._counted += self._tokenizer.count("".join(self._pieces))
        self._pieces.clear()
        if self._counted >= USED * self._reserved:
            await self._extend()
        # Nearly always a character is at most a token.
        left = int(USED * self._reserved) - self._counted
        self._next_count = self._chars + max(LEAST_CHARS, left)

    async def _extend(self) -> None:
        """Reserves as many steps more as what has come already needs."""
        steps = int((self._counted / USED - self._reserved) / self._step_tokens) + 1
        try:
            async with asyncio.timeout(EXTENDING_S):
                refusal = await self._budgets.extend(self._execution, steps * self._step_ticks)
        except (ServiceUnavailable, TimeoutError):  # what runs goes on while the database is away
            return
        if refusal is None:
            self._reserved += steps * self._step_tokens
        elif self._counted > self._reserved * (ESTIMATED if self._tokenizer.encoding is None else COUNTED):
            raise refusal


def _arguments(delta: pb.ChoiceDelta) -> list[str]:
    """Texts of tool calls."""
    return [call.name + call.arguments for call in delta.tool_calls] if delta.tool_calls else []
