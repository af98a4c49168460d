"""Reserves of streams: metered, extended in time, and the end of a stream that may use no more."""

from typing import Any

import pytest

from genai_spine import errors
from genai_spine.inference.stream_reserve import StreamReserve
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1.execution_pb2 import Execution

FULL = errors.BudgetExceeded(
    node="tenant", key="t", period="daily", limit_usd="1", used_usd="1", estimate_usd="1"
)
WORDS = "word " * 100  # some 100 tokens


class Budgets:
    """Reserves more, or not."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []

    async def extend(self, execution: Execution, ticks: int) -> Any:
        self.asked.append(ticks)
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, errors.ServiceUnavailable):
            raise answer
        return answer


def reserve(budgets: Any, tokens: int = 1000) -> StreamReserve:
    return StreamReserve(
        budgets, Execution(reserved_ticks=10 * tokens), tokens, "a-model-without-an-encoding"
    )


async def said(found: StreamReserve, count: int, **fields: Any) -> int:
    """Number of pieces of 100 tokens until the stream was ended, or all of them."""
    for number in range(count):
        try:
            await found.add([pb.ChoiceDelta(**({"content": WORDS} | fields))])
        except errors.BudgetExceeded:
            return number + 1
    return count


@pytest.mark.parametrize("kind", ["content", "refusal", "reasoning"])
async def test_stream_reserve_add_reserves_half_as_much_again_when_nine_tenths_are_used(kind: str) -> None:
    budgets = Budgets()
    found = reserve(budgets)
    text = {"content": "", kind: WORDS}
    await said(found, 8, **text)
    assert budgets.asked == []
    await said(found, 3, **text)
    assert budgets.asked == [5000]
    await said(found, 4, **text)
    assert budgets.asked == [5000, 5000]


async def test_stream_reserve_add_counts_arguments_of_tools() -> None:
    budgets = Budgets()
    found = reserve(budgets, 100)
    await found.add([pb.ChoiceDelta(tool_calls=[pb.ToolCallDelta(name="f", arguments=WORDS)])])
    assert budgets.asked == [500]


async def test_stream_reserve_add_ends_what_a_budget_refuses_once_its_reserve_is_used_up() -> None:
    assert 10 < await said(reserve(Budgets(*[FULL] * 99)), 30) < 15


async def test_stream_reserve_add_lets_the_last_piece_pass() -> None:
    found = reserve(Budgets(*[FULL] * 99), 10)
    end = pb.ChoiceDelta(content=WORDS, finish_reason=pb.FINISH_REASON_STOP)
    await found.add([end])


async def test_stream_reserve_add_goes_on_while_the_database_is_away() -> None:
    away = errors.ServiceUnavailable(cause="x")
    assert await said(reserve(Budgets(*[away] * 99)), 30) == 30
