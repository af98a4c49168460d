"""Levels of rate limits: a sliding minute, and when there is room again."""

import pytest

from genai_spine.store.booking.rates import (
    RateLevel,
    RateRefusal,
    RateReservation,
    asked,
    limit_of,
    overtaken,
    refusal,
    take,
)
from genai_spine.v1.rate_limits_pb2 import RateLimits


def level(requests: int = 0, earlier: int = 0, elapsed_s: float = 0.0, **fields: int) -> RateLevel:
    given = {"minute": 100, "tokens": 0, "earlier_tokens": 0, "running": 0} | fields
    return RateLevel(elapsed_s=elapsed_s, requests=requests, earlier_requests=earlier, **given)


def reservation(
    limits: RateLimits | None = None, tokens: int = 0, *, is_guarded: bool = True
) -> RateReservation:
    return RateReservation(
        {7: limits or RateLimits(requests_per_minute=10)}, int(is_guarded), tokens, is_guarded
    )


@pytest.mark.parametrize(
    ("elapsed_s", "used"),
    [(0.0, 12.0), (15.0, 9.0), (30.0, 6.0), (60.0, 0.0)],
)
def test_the_minute_before_counts_with_what_of_it_lies_within_60_seconds(elapsed_s, used):
    assert level(earlier=12, elapsed_s=elapsed_s).used("requests") == pytest.approx(used)


@pytest.mark.parametrize(
    ("minute", "requests", "earlier"),
    [(100, 5, 3), (101, 0, 5), (102, 0, 0), (99, 5, 3)],
)
def test_a_counter_moves_on_with_the_minutes_and_never_back(minute, requests, earlier):
    moved = level(5, 3, running=2).at(minute, 20.0)
    assert (moved.requests, moved.earlier_requests, moved.running) == (requests, earlier, 2)
    assert moved.minute == max(minute, 100)
    assert moved.elapsed_s == (0.0 if minute < 100 else 20.0)


@pytest.mark.parametrize("now", [0, 3, 9, 10, 17])
@pytest.mark.parametrize("before", [0, 4, 10, 30])
@pytest.mark.parametrize("elapsed_s", [0.0, 12.5, 59.0])
def test_there_is_room_when_the_wait_is_over_and_not_before(now, before, elapsed_s):
    found = level(now, before, elapsed_s)
    wait_s = found.wait_s("requests", 1, 10)
    assert wait_s is not None

    def has_room(after_s: float) -> bool:
        minutes, elapsed = divmod(elapsed_s + after_s, 60.0)
        return found.at(100 + int(minutes), elapsed).used("requests") + 1 <= 10

    assert has_room(wait_s + 0.01)
    assert wait_s == 0 or not has_room(wait_s - 0.01)


def test_for_more_than_the_limit_there_is_never_room():
    assert level().wait_s("tokens", 11, 10) is None
    assert level(running=1).wait_s("running", 1, 1) is None


@pytest.mark.parametrize(
    ("requests", "earlier", "reset_s"), [(0, 0, 0.0), (0, 4, 40.0), (1, 0, 100.0), (1, 4, 100.0)]
)
def test_all_is_there_again_when_nothing_counts_any_more(requests, earlier, reset_s):
    assert level(requests, earlier, 20.0).reset_s("requests") == reset_s


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        (RateLimits(requests_per_minute=5), "requests"),
        (RateLimits(tokens_per_minute=109), "tokens"),
        (RateLimits(concurrent_calls=2), "running"),
        (RateLimits(requests_per_minute=6, tokens_per_minute=110, concurrent_calls=3), None),
        (RateLimits(), None),
    ],
)
def test_each_kind_refuses_by_itself(limits, kind):
    levels = {7: level(5, tokens=100, running=2)}
    found = refusal(reservation(limits, tokens=10), levels)
    assert found == (None if kind is None else RateRefusal(7, kind, levels[7]))


def test_what_is_only_counted_is_never_refused():
    full = {7: level(10)}
    assert refusal(reservation(is_guarded=False), full) is None
    assert refusal(reservation(is_guarded=False), {}) is None
    assert refusal(reservation(), {}) == RateRefusal(7)


def test_reservations_are_entered_into_the_levels_of_their_counters():
    levels = {7: level(5, 3), 8: level(1)}
    take([reservation(tokens=10), reservation(tokens=20, is_guarded=False)], levels)
    assert levels == {7: level(6, 3, tokens=30, running=2), 8: level(1)}


def test_of_a_batch_is_asked_the_sum_and_what_of_it_may_be_refused():
    limits = RateLimits(requests_per_minute=10, concurrent_calls=4)
    rows = asked([reservation(limits, 10), reservation(limits, 20, is_guarded=False)])
    [row] = rows
    assert (row["id"], row["requests"], row["tokens"], row["running"]) == (7, 1, 30, 2)
    assert (row["asked_requests"], row["asked_tokens"], row["asked_running"]) == (1, 10, 1)
    assert (row["most_requests"], row["most_tokens"], row["most_running"]) == (10, None, 4)


def test_who_was_overtaken_is_told_the_limit_that_others_filled():
    limits = RateLimits(tokens_per_minute=100)
    levels = {7: level(tokens=99)}
    assert limit_of(limits, "tokens") == 100
    assert overtaken(reservation(limits), levels) == RateRefusal(7, "tokens", levels[7])
    assert overtaken(reservation(limits), {}) == RateRefusal(7)
