"""Consequences of failed attempts: what is retried, when, and how often."""

from datetime import UTC, datetime, timedelta

import pytest

from genai_spine import errors
from genai_spine.runs.execution import failures
from genai_spine.v1 import run_pb2 as pb


def a_run(attempt: int = 1, **options: object) -> pb.Run:
    given = {"max_retries": 3, "retry_delay_seconds": 10.0, "backoff": "constant"}
    return pb.Run(attempt=attempt, options=pb.RunOptions(**{**given, **options}))


LIMITED = errors.ProviderRateLimited(provider="openai", provider_message="slow down")


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [("constant", (10, 10, 10)), ("linear", (10, 20, 30)), ("none", (0, 0, 0))],
)
def test_delays_grow_as_the_options_say(backoff: str, delays: tuple[float, ...]):
    found = [failures.failure(a_run(n, backoff=backoff), LIMITED).retry_delay_s for n in (1, 2, 3)]
    assert found == list(delays)


def test_an_exponential_delay_doubles_with_jitter_up_to_an_hour():
    for attempt, delay_s in ((1, 10), (2, 20), (3, 40), (30, 3600)):
        run = a_run(attempt, backoff="exponential", max_retries=100)
        found = failures.failure(run, LIMITED).retry_delay_s
        assert found is not None
        assert 0.75 * delay_s <= found <= 1.25 * delay_s


def test_the_provider_may_ask_for_more_time_and_not_for_less():
    for asked_s, delay_s in ((5.0, 10.0), (77.0, 77.0)):
        limited = errors.ProviderRateLimited(provider="openai", provider_message="no", retry_after_s=asked_s)
        assert failures.failure(a_run(), limited).retry_delay_s == delay_s


def test_used_up_retries_are_final():
    found = failures.failure(a_run(attempt=4), LIMITED)
    assert (found.is_final, found.retry_delay_s) == (True, None)


def test_a_limit_of_our_own_is_waited_for_however_often():
    limited = errors.RateLimited(
        of="key", id="k", kind="requests", limit=1, used=1, asked=1, retry_after_s=30.0
    )
    assert failures.failure(a_run(attempt=99), limited).retry_delay_s == 30.0


def test_what_is_wrong_for_good_is_neither_retried_nor_a_dead_letter():
    found = failures.failure(a_run(), errors.ModelNotFound(model="none", hint=""))
    assert (found.retry_delay_s, found.is_final, found.error.is_retryable) == (None, False, False)


def test_an_open_circuit_is_retried_only_where_nobody_was_called():
    circuit = errors.CircuitOpen(upstream="openai", open_s=30, failures=5)
    assert failures.failure(a_run(), circuit, was_sent=False).retry_delay_s == 10.0
    assert failures.failure(a_run(), circuit, was_sent=True).retry_delay_s is None


def test_no_retry_begins_behind_the_deadline():
    run = a_run()
    run.options.deadline.FromDatetime(datetime.now(UTC) + timedelta(seconds=5))
    assert failures.failure(run, LIMITED).retry_delay_s is None
    run.options.deadline.FromDatetime(datetime.now(UTC) + timedelta(seconds=60))
    assert failures.failure(run, LIMITED).retry_delay_s == 10.0


def test_the_limit_that_was_hit_is_named():
    run = a_run()
    run.options.timeout.FromSeconds(3)
    assert failures.timed_out(run).error.message == "it took longer than 0:00:03"
    run.options.deadline.FromSeconds(1)
    assert failures.timed_out(run).error.message == "its deadline passed"
