"""How long a webhook that fails is tried."""

from genai_spine.webhooks.delivery import WAITS_S, wait_after


def test_waits_grow_to_hours_and_end() -> None:
    waits = [wait_after(attempts) for attempts in range(1, len(WAITS_S) + 1)]
    assert all(
        wait is not None and 0.9 * s <= wait <= 1.1 * s for wait, s in zip(waits, WAITS_S, strict=True)
    )
    assert sum(WAITS_S) > 12 * 3600
    assert wait_after(len(WAITS_S) + 1) is None
