"""A request's way through its candidates: who is asked next, and when it is given up."""

import asyncio
from time import monotonic

import pytest

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.errors import SpineError
from genai_spine.inference import failover
from genai_spine.inference.failover import Failover
from genai_spine.providers.base import Route
from genai_spine.routing.circuit_breaker import UpstreamLimits
from genai_spine.routing.upstream import Upstream
from tests.unit.routing.candidates import providers, upstreams

DOWN = errors.ProviderUnavailable(provider="x", provider_message="down")
REFUSED = errors.ProviderRejected(provider="x", provider_message="bad")
GARBAGE = errors.ProviderError(provider="x", provider_message="garbage")
FULL = errors.BudgetExceeded(
    node="tenant", key="t", period="daily", limit_usd="1", used_usd="1", estimate_usd="1"
)
MADE = providers()
ROUTES = [Route(provider, "m") for provider in MADE.values()]  # openai, anthropic, ollama


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failover, "FIRST_DELAY_S", 0.0)


def limited(retry_after_s: float | None) -> SpineError:
    return errors.ProviderRateLimited(provider="x", provider_message="slow down", retry_after_s=retry_after_s)


async def asked(found: Failover, *outcomes: SpineError) -> tuple[list[str], SpineError | None]:
    """Who was asked, and the error that ended it; None: a slot was left after the outcomes."""
    names: list[str] = []
    try:
        for outcome in outcomes:
            slot = await found.next_slot()
            names.append(slot.route.provider.name)
            slot.release(outcome)
            await found.on_error(slot, outcome)
        slot = await found.next_slot()
        names.append(slot.route.provider.name)
        slot.release(None)
        return names, None
    except SpineError as error:
        return names, error


def over(routes: list[Route], retries: int = 3, call: Call | None = None) -> Failover:
    return Failover(routes, upstreams(MADE), call or Call(), retries)


async def test_failover_each_candidate_is_asked_before_any_is_asked_again() -> None:
    names, _ = await asked(over(ROUTES), DOWN, DOWN, DOWN)
    assert names == ["openai", "anthropic", "ollama", "openai"]


async def test_failover_retries_bound_all_calls_together_but_each_candidate_has_its_turn() -> None:
    names, error = await asked(over(ROUTES, retries=0), DOWN, DOWN, DOWN)
    assert names == ["openai", "anthropic", "ollama"]
    assert error is DOWN
    names, error = await asked(over(ROUTES[:1], retries=2), DOWN, DOWN, DOWN)
    assert (names, error) == (["openai"] * 3, DOWN)


async def test_failover_what_is_wrong_with_the_request_ends_it() -> None:
    names, error = await asked(over(ROUTES), REFUSED)
    assert (names, error) == (["openai"], REFUSED)


async def test_failover_what_another_try_cannot_mend_is_not_tried_again_there() -> None:
    names, _ = await asked(over(ROUTES[:2]), GARBAGE, DOWN, DOWN)
    assert names == ["openai", "anthropic", "anthropic", "anthropic"]


async def test_failover_after_the_first_byte_nobody_else_is_asked() -> None:
    found = over(ROUTES)
    slot = await found.next_slot()
    slot.delivered = True
    with pytest.raises(errors.ProviderUnavailable):
        await found.on_error(slot, DOWN)


async def test_failover_a_time_that_a_provider_asks_for_is_waited_out() -> None:
    started = monotonic()
    names, _ = await asked(over(ROUTES[:1]), limited(0.1))
    assert names == ["openai", "openai"]
    assert monotonic() - started >= 0.09


async def test_failover_a_time_that_is_too_long_is_the_callers_to_wait() -> None:
    names, error = await asked(over(ROUTES[:1]), limited(60))
    assert names == ["openai"]
    assert error is not None
    assert error.retry_after_s == 60


async def test_failover_no_pause_outlasts_the_deadline() -> None:
    call = Call(deadline=monotonic() + 0.05)
    names, _ = await asked(over(ROUTES[:1], call=call), limited(1.0))
    assert names == ["openai"]


async def test_failover_a_request_that_its_client_repeats_gets_no_second_round() -> None:
    repeated = Call(client_retries=1)
    assert (await asked(over(ROUTES[:1], call=repeated), DOWN))[0] == ["openai"]
    assert (await asked(over(ROUTES, call=repeated), DOWN, DOWN, DOWN))[0] == [
        "openai",
        "anthropic",
        "ollama",
    ]
    ups = upstreams(MADE, openai=UpstreamLimits(failures=1))
    held = ups["openai"].acquire("m")
    assert held is not None
    ups["openai"].release(held, "m", DOWN)
    names, _ = await asked(Failover(ROUTES[:2], ups, repeated, 3), DOWN)
    assert names == ["anthropic"], "a candidate that was passed over leaves no attempt to another one"


async def test_failover_the_last_error_says_that_the_attempts_are_spent() -> None:
    down = errors.ProviderUnavailable(provider="x", provider_message="down")
    _, error = await asked(over(ROUTES[:1], retries=1), down, down)
    assert error is down
    assert down.are_attempts_spent
    _, error = await asked(over(ROUTES[:1], retries=1, call=Call(client_retries=1)), down)
    assert error is down
    assert down.are_attempts_spent
    _, error = await asked(over(ROUTES[:1], retries=0), down)
    assert error is down
    assert not down.are_attempts_spent, "who leaves all retries to the clients wants them"


async def test_failover_the_error_says_what_each_answered() -> None:
    _, error = await asked(over(ROUTES[:2], retries=0), limited(60), GARBAGE)
    assert error is not None
    assert error.metadata["tried"] == "openai:m PROVIDER_RATE_LIMITED; anthropic:m PROVIDER_ERROR"


async def test_failover_another_key_of_the_same_upstream_is_asked_first() -> None:
    first, second, _ = MADE.values()
    pool = {"openai": Upstream([first, first]), "anthropic": Upstream([second])}
    found = Failover([Route(first, "m"), Route(second, "m")], pool, Call(), 3)
    names, _ = await asked(found, limited(30), limited(30))
    assert names == ["openai", "openai", "anthropic"]


async def test_failover_an_open_circuit_is_passed_over_and_alone_it_is_an_error() -> None:
    ups = upstreams(MADE, openai=UpstreamLimits(failures=1))
    key_slot = ups["openai"].acquire("m")
    assert key_slot is not None
    ups["openai"].release(key_slot, "m", DOWN)
    assert (await asked(Failover(ROUTES[:2], ups, Call(), 0)))[0] == ["anthropic"]
    names, error = await asked(Failover(ROUTES[:1], ups, Call(), 0))
    assert names == []
    assert isinstance(error, errors.CircuitOpen)
    assert error.retry_after_s


async def test_failover_who_is_alone_stands_in_line_and_leaves_it_at_the_deadline() -> None:
    ups = upstreams(MADE, openai=UpstreamLimits(concurrency=1))
    held = ups["openai"].acquire("m")
    assert held is not None
    waiting = asyncio.create_task(Failover(ROUTES[:1], ups, Call(), 0).next_slot())
    await asyncio.sleep(0.01)
    assert not waiting.done()
    ups["openai"].release(held, "m", None)
    slot = await waiting
    assert slot.route.provider.name == "openai"
    late = Call(deadline=monotonic() + 0.02)
    with pytest.raises(errors.ProviderBusy, match="1 calls are running"):
        await Failover(ROUTES[:1], ups, late, 0).next_slot()


async def test_attempt_that_a_budget_refuses_is_not_made_and_the_error_before_it_stands() -> None:
    refused = FULL
    _, error = await asked(Failover(ROUTES, upstreams(MADE), Call(), 0), GARBAGE, refused)
    assert isinstance(error, errors.ProviderError)
    _, error = await asked(Failover(ROUTES, upstreams(MADE), Call(), 0), refused)
    assert error is refused


async def test_stream_that_a_budget_ends_says_so_whatever_failed_before_it() -> None:
    found = over(ROUTES)
    await found.on_error(await found.next_slot(), GARBAGE)
    slot = await found.next_slot()
    slot.delivered = True
    with pytest.raises(errors.BudgetExceeded):
        await found.on_error(slot, FULL)


async def test_failover_restrict_leaves_only_these_candidates_that_may_still_be_tried() -> None:
    found = over(ROUTES)
    assert found.restrict([ROUTES[2], ROUTES[1]])
    names, _ = await asked(found, DOWN, DOWN, DOWN)
    assert names == ["ollama", "anthropic", "ollama", "anthropic"]
    found = over(ROUTES)
    await found.on_error(await found.next_slot(), GARBAGE)
    assert not found.restrict([ROUTES[0]])
    assert (await found.next_slot()).route == ROUTES[1]
