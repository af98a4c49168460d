"""An upstream's keys: which models of them are called, and which are left alone for a while."""

from time import monotonic

import pytest

from genai_spine import errors
from genai_spine.errors import SpineError
from genai_spine.routing import upstream as upstreams
from genai_spine.routing.circuit_breaker import UpstreamLimits
from genai_spine.routing.upstream import Upstream
from tests.unit.routing.candidates import providers

OPENAI = providers()["openai"]
BROKEN = errors.ProviderUnavailable(provider="p", provider_code="500", provider_message="m")
REFUSED = errors.ProviderRejected(provider="p", provider_message="m")
LIMITED = errors.ProviderRateLimited(provider="p", provider_message="m", retry_after_s=60)
INVALID_KEY = errors.ProviderAuthentication(provider="p", provider_message="m")


def unreachable(code: str) -> SpineError:
    return errors.ProviderUnavailable(provider="p", provider_code=code, provider_message="m")


def called(upstream: Upstream, model: str, outcome: BaseException | None = None) -> str | None:
    """Which key was taken for a call that ended like this; None: there was none to be had."""
    key_slot = upstream.acquire(model)
    if key_slot is None:
        return None
    upstream.release(key_slot, model, outcome)
    return str(upstream.key_slots.index(key_slot))


@pytest.mark.parametrize(
    "outcome",
    [
        BROKEN,
        errors.ProviderTimeout(provider="p", phase="x", timeout_s="1"),
        errors.ProviderError(provider="p", provider_message="m"),
        errors.ProviderUnavailable(provider="p", provider_message="m"),
    ],
)
def test_upstream_a_models_failures_open_its_own_circuit(outcome: SpineError) -> None:
    upstream = Upstream([OPENAI], UpstreamLimits(failures=2))
    assert [called(upstream, "a", outcome) for _ in range(3)] == ["0", "0", None]
    assert called(upstream, "b") == "0"
    assert (upstream.allows, upstream.open_models) == (True, ["a"])
    assert upstream.circuit_open("a").retry_after_s == pytest.approx(30, abs=1)


@pytest.mark.parametrize("code", ["connect", "connect_timeout", "connection_lost", "proxy", "redirect"])
def test_upstream_that_cannot_be_reached_opens_the_circuit_of_all_models(code: str) -> None:
    upstream = Upstream([OPENAI], UpstreamLimits(failures=2))
    called(upstream, "a", unreachable(code))
    called(upstream, "b", unreachable(code))
    assert called(upstream, "c") is None
    assert (upstream.allows, upstream.open_models) == (False, [])


def test_upstream_a_model_comes_back_after_good_trials_and_is_forgotten() -> None:
    upstream = Upstream([OPENAI], UpstreamLimits(failures=1, open_s=0.0, successes=2))
    called(upstream, "a", BROKEN)
    trial = upstream.acquire("a")
    assert trial is not None
    assert called(upstream, "a") is None, "a trial is running"
    assert called(upstream, "b") == "0"
    upstream.release(trial, "a", None)
    assert called(upstream, "a", REFUSED) == "0", "it answered, if only with a refusal"
    assert not upstream.key_slots[0].model_circuits


def test_upstream_an_answer_to_one_model_ends_no_other_models_row_of_failures() -> None:
    upstream = Upstream([OPENAI], UpstreamLimits(failures=2))
    called(upstream, "a", BROKEN)
    called(upstream, "b")
    called(upstream, "a", BROKEN)
    assert called(upstream, "a") is None


def test_upstream_a_caller_that_goes_away_ends_a_trial_without_a_verdict() -> None:
    upstream = Upstream([OPENAI], UpstreamLimits(failures=1, open_s=0.0))
    called(upstream, "a", BROKEN)
    assert called(upstream, "a", GeneratorExit()) == "0"
    assert called(upstream, "a") == "0"


@pytest.mark.parametrize(
    "unsent",
    [
        errors.BudgetExceeded(
            node="tenant", key="t", period="daily", limit_usd="1", used_usd="1", estimate_usd="1"
        ),
        errors.PriceUnknown(provider="p", model="a"),
        errors.ServiceUnavailable(cause="its ledger cannot be written"),
    ],
)
def test_upstream_a_call_that_was_not_sent_ends_a_trial_without_a_verdict(unsent: SpineError) -> None:
    upstream = Upstream([OPENAI], UpstreamLimits(failures=2))
    for outcome in (BROKEN, unsent, BROKEN):
        called(upstream, "a", outcome)
    assert upstream.open_models == ["a"], "two in a row, with nothing between them that was sent"
    trying = Upstream([OPENAI], UpstreamLimits(failures=1, open_s=0.0, successes=2))
    called(trying, "a", BROKEN)
    for _ in range(5):
        assert called(trying, "a", unsent) == "0"
    assert trying.key_slots[0].model_circuits, "no trial has succeeded"


def test_upstream_a_limited_rate_rests_a_key_for_that_model_and_a_refused_key_for_all() -> None:
    upstream = Upstream([OPENAI, OPENAI])
    assert called(upstream, "a", LIMITED) == "0"
    assert [called(upstream, "a") for _ in range(3)] == ["1"] * 3
    assert {called(upstream, "b") for _ in range(2)} == {"0", "1"}
    upstream = Upstream([OPENAI, OPENAI])
    assert called(upstream, "a", INVALID_KEY) == "0"
    assert [called(upstream, "b") for _ in range(3)] == ["1"] * 3


def test_upstream_rests_no_key_for_longer_than_an_hour() -> None:
    upstream = Upstream([OPENAI, OPENAI])
    in_a_month = errors.ProviderRateLimited(provider="p", provider_message="m", retry_after_s=31 * 86_400)
    called(upstream, "a", in_a_month)
    assert upstream.key_slots[0].cooldown("a") - monotonic() == pytest.approx(3600, abs=5)


def test_upstream_names_of_models_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstreams, "MAX_MODELS", 3)
    upstream = Upstream([OPENAI], UpstreamLimits(failures=1))
    for number in range(9):
        called(upstream, f"broken {number}", BROKEN)
        called(upstream, f"limited {number}", LIMITED)
    [key_slot] = upstream.key_slots
    assert len(key_slot.model_circuits) == 3
    assert len(key_slot.model_cooldowns) <= 3
    assert called(upstream, "broken 8") is None
