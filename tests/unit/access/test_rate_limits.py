"""Rate limits: tiers, who is limited, and the headers that tell."""

import pytest

from genai_spine.access.rate_limits import TIERS, RateLimiter, headers, in_force, subjects
from genai_spine.call import Call, Principal, RateAdmission
from genai_spine.errors import RateLimited
from genai_spine.store.booking.rates import RateExceeded, RateLevel, RateRefusal, RateReservation
from genai_spine.v1.rate_limits_pb2 import RateLimits

FREE = RateLimits(requests_per_minute=60, tokens_per_minute=40_000)


@pytest.mark.parametrize(
    ("given", "numbers"),
    [
        (RateLimits(), None),
        (RateLimits(tier="enterprise"), None),
        (RateLimits(tier="free"), FREE),
        (RateLimits(tier="standard"), RateLimits(requests_per_minute=500, tokens_per_minute=400_000)),
        (RateLimits(tier="enterprise", concurrent_calls=4), RateLimits(concurrent_calls=4)),
        (
            RateLimits(tier="free", requests_per_minute=7),
            RateLimits(requests_per_minute=7, tokens_per_minute=40_000),
        ),
    ],
)
def test_own_numbers_count_in_the_place_of_those_of_the_tier(given, numbers):
    assert in_force(given) == numbers
    assert TIERS["free"] == FREE  # which nobody has written into


def test_a_key_and_its_tenant_are_limited_each_by_itself():
    both = Principal("key:k", "acme", None, "k", key_limits=FREE, tenant_limits=RateLimits(tier="x"))
    assert [subject for subject, _ in subjects(both)] == ["key:k", "tenant:acme"]
    person = Principal("jwt:ann", "acme", key_limits=FREE)
    assert [subject for subject, _ in subjects(person)] == ["jwt:ann"]
    assert list(subjects(Principal())) == []
    assert (person.is_limited, Principal().is_limited) == (True, False)
    assert (person.limits_tokens, Principal(key_limits=RateLimits(concurrent_calls=1)).limits_tokens) == (
        True,
        False,
    )


def _reservation(**limits: RateLimits) -> RateReservation:
    return RateReservation({int(id[1:]): numbers for id, numbers in limits.items()}, 1, 0, True)


def _level(requests: int, tokens: int = 0) -> RateLevel:
    return RateLevel(100, 20.0, requests, tokens, 0, 0, 1)


def test_headers_are_those_of_the_limit_with_less_left(monkeypatch):
    monkeypatch.setattr("time.time", lambda: 6000.5)
    reservation = _reservation(_1=FREE, _2=RateLimits(requests_per_minute=500))
    levels = {1: _level(20, 100), 2: _level(490)}
    assert headers(reservation, levels, Call(path="/v1/summarize")) == {
        "x-ratelimit-limit": "500",
        "x-ratelimit-remaining": "10",
        "x-ratelimit-reset": "6101",
    }
    assert headers(reservation, levels, Call(path="/v1/chat/completions")) == {
        "x-ratelimit-limit": "500",
        "x-ratelimit-remaining": "10",
        "x-ratelimit-reset": "6101",
        "x-ratelimit-limit-requests": "500",
        "x-ratelimit-remaining-requests": "10",
        "x-ratelimit-reset-requests": "100s",
        "x-ratelimit-limit-tokens": "40000",
        "x-ratelimit-remaining-tokens": "39900",
        "x-ratelimit-reset-tokens": "100s",
    }


def test_what_is_left_is_never_below_nothing():
    reservation = _reservation(_1=RateLimits(requests_per_minute=2))
    assert headers(reservation, {1: _level(5)}, Call())["x-ratelimit-remaining"] == "0"
    assert headers(_reservation(_1=RateLimits(concurrent_calls=2)), {1: _level(5)}, Call()) == {}


@pytest.mark.parametrize(("elapsed_s", "used"), [(0.0, "2"), (0.6, "2"), (29.0, "2"), (30.0, "1")])
async def test_a_refusal_says_numbers_that_leave_no_room(elapsed_s, used):
    class Rows:
        async def open(self, subjects):
            return dict.fromkeys(subjects, 1)

    async def full(reservation):
        level = RateLevel(100, elapsed_s, 0, 0, 2, 0, 0)
        raise RateExceeded(RateRefusal(1, "requests", level))

    limits = RateLimits(requests_per_minute=2 if elapsed_s < 30 else 1)
    call = Call(principal=Principal("key:k", "acme", None, "k", key_limits=limits))
    call.rate_admission = RateAdmission()
    with pytest.raises(RateLimited) as error:
        await RateLimiter(Rows()).book(call, 0, full)
    told = error.value.metadata
    assert told["used"] == used
    assert int(told["used"]) + int(told["asked"]) > int(told["limit"])
    assert call.headers["x-ratelimit-remaining"] == "0"
