"""Several coroutines at once: results in order, and the first failure cancels the rest."""

import asyncio

import pytest

from genai_spine.concurrency import gather_or_cancel, next_tick


async def test_gather_or_cancel_gives_results_in_the_order_of_the_coroutines() -> None:
    first_may_end = asyncio.Event()

    async def first() -> str:
        await first_may_end.wait()
        return "first"

    async def second() -> str:
        first_may_end.set()
        return "second"

    assert await gather_or_cancel([first(), second()]) == ["first", "second"]
    assert await gather_or_cancel([]) == []


async def test_gather_or_cancel_raises_the_first_failure_itself_and_cancels_the_others() -> None:
    cancelled = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async def fails() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await gather_or_cancel([waits(), fails()])
    assert cancelled.is_set()


def test_next_tick_is_later_than_now_and_the_same_until_then() -> None:
    assert {next_tick(now, 0.25) for now in (7.0, 7.1, 7.249)} == {7.25}
    assert next_tick(7.25, 0.25) == 7.5
