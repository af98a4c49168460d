"""Options of rate limits, and limits in words."""

import pytest

from genai_spine.cli.access.limits import chosen, shown
from genai_spine.v1.rate_limits_pb2 import RateLimits


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (RateLimits(), "none"),
        (RateLimits(tier="free"), "tier free"),
        (RateLimits(concurrent_calls=8), "8 calls at once"),
        (
            RateLimits(tier="standard", requests_per_minute=2000, tokens_per_minute=1_000_000),
            "tier standard, 2,000 requests a minute, 1,000,000 tokens a minute",
        ),
    ],
)
def test_limits_are_shown_in_words(limits, words):
    assert shown(limits) == words


def test_options_that_are_not_given_set_nothing():
    assert chosen(None, None, None, None) is None
    assert chosen("free", None, 5, None) == RateLimits(tier="free", tokens_per_minute=5)
