"""The circuit breaker: when it opens, what a trial is, when it is closed again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.routing.circuit_breaker import Circuit, UpstreamLimits
from genai_spine.v1 import provider_service_pb2 as pb

CLOSED, OPEN, HALF_OPEN = (
    pb.CIRCUIT_STATE_CLOSED,
    pb.CIRCUIT_STATE_OPEN,
    pb.CIRCUIT_STATE_HALF_OPEN,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(clock: Clock, **limits: float) -> Circuit:
    circuit = Circuit(UpstreamLimits(**limits), clock)  # type: ignore[arg-type]
    for _ in range(5):
        circuit.begin()
        circuit.failed()
    return circuit


def test_five_failures_in_a_row_open_it_for_30_s(clock: Clock) -> None:
    circuit = opened(clock)
    assert (circuit.state, circuit.allows, circuit.open_s) == (OPEN, False, 30.0)
    clock.now += 29.9
    assert not circuit.allows
    clock.now += 0.2
    assert (circuit.state, circuit.allows) == (HALF_OPEN, True)


def test_a_success_in_between_begins_the_count_anew(clock: Clock) -> None:
    circuit = Circuit(clock=clock)
    for outcome in "ffffsffff":
        circuit.begin()
        circuit.failed() if outcome == "f" else circuit.succeeded()
    assert circuit.state == CLOSED


def test_one_trial_at_a_time_and_two_good_ones_close_it(clock: Clock) -> None:
    circuit = opened(clock)
    clock.now += 31
    circuit.begin()
    assert not circuit.allows, "a trial is running"
    circuit.succeeded()
    assert (circuit.state, circuit.allows) == (HALF_OPEN, True)
    circuit.begin()
    circuit.succeeded()
    assert (circuit.state, circuit.allows) == (CLOSED, True)


def test_a_bad_trial_opens_it_again(clock: Clock) -> None:
    circuit = opened(clock)
    clock.now += 31
    circuit.begin()
    circuit.failed()
    assert (circuit.state, circuit.open_s) == (OPEN, 30.0)


def test_a_trial_whose_caller_left_says_nothing(clock: Clock) -> None:
    circuit = opened(clock)
    clock.now += 31
    circuit.begin()
    circuit.left()
    assert (circuit.state, circuit.allows) == (HALF_OPEN, True)


def test_calls_that_began_before_it_opened_do_not_count_as_trials(clock: Clock) -> None:
    circuit = Circuit(clock=clock)
    for _ in range(7):
        circuit.begin()
    for _ in range(5):
        circuit.failed()
    circuit.succeeded()
    circuit.succeeded()
    assert circuit.state == OPEN


def test_zero_failures_never_open_it(clock: Clock) -> None:
    assert opened(clock, failures=0).allows


@given(st.lists(st.sampled_from("fsl"), max_size=60))
def test_it_admits_again_at_the_latest_after_its_rest(outcomes: list[str]) -> None:
    clock = Clock()
    circuit = Circuit(clock=clock)
    for outcome in outcomes:
        if not circuit.allows:
            clock.now += 30.0
            assert circuit.allows
        circuit.begin()
        {"f": circuit.failed, "s": circuit.succeeded, "l": circuit.left}[outcome]()
