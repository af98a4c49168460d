"""How long a webhook that fails is tried, and the end of who tries it."""

import asyncio
from typing import Any, cast

import pytest

from genai_spine.webhooks.delivery import WAITS_S, Delivery, wait_after


def test_waits_grow_to_hours_and_end() -> None:
    waits = [wait_after(attempts) for attempts in range(1, len(WAITS_S) + 1)]
    assert all(
        wait is not None and 0.9 * s <= wait <= 1.1 * s for wait, s in zip(waits, WAITS_S, strict=True)
    )
    assert sum(WAITS_S) > 12 * 3600
    assert wait_after(len(WAITS_S) + 1) is None


class Nothing:
    """An outbox in which nothing is due."""

    async def claim(self, lease_s: float, limit: int) -> list[Any]:
        return []


@pytest.mark.parametrize("steps", range(6))
async def test_stop_ends_one_that_is_just_woken(steps: int) -> None:
    async def tell(message: Any) -> None:
        raise AssertionError("nothing is due")

    delivery = Delivery[Any](cast(Any, Nothing()), tell, "webhook")
    delivery.start()
    await asyncio.sleep(0.01)
    delivery.due.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await delivery.stop()
