"""A circuit breaker: an upstream that fails again and again is left alone for a while.

Closed: calls are made. After `failures` failed calls in a row it opens, and no call is made for `rest_s`.
Then it is half open: one call at a time is a trial; `successes` good ones close it, a bad one opens it again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from genai_spine.v1 import provider_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """When a circuit opens and closes, and how many calls may run at a time."""

    failures: int = 5  # in a row; 0: it never opens
    open_s: float = 30.0
    successes: int = 2
    concurrency: int | None = None  # calls of one provider at a time; None: no limit


DEFAULTS = UpstreamLimits()


class Circuit:
    """State of one key's circuit: closed, open, or half open. Times are seconds."""

    def __init__(self, limits: UpstreamLimits = DEFAULTS, clock: Callable[[], float] = monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._failed = 0  # in a row
        self._succeeded = 0  # trials in a row
        self._open_until: float | None = None  # None: closed
        self._on_trial = False
        # Closed, and the newest call did not fail: begin() and succeeded() would change nothing.
        self.is_quiet = True

    @property
    def state(self) -> "pb.CircuitState":
        """State as the API shows it."""
        if self._open_until is None:
            return pb.CIRCUIT_STATE_CLOSED
        return pb.CIRCUIT_STATE_OPEN if self.open_s else pb.CIRCUIT_STATE_HALF_OPEN

    @property
    def open_s(self) -> float:
        """Seconds until the next trial; 0 when calls are made."""
        return 0.0 if self._open_until is None else max(0.0, self._open_until - self._clock())

    @property
    def allows(self) -> bool:
        """Whether a call may be made now: closed, or half open without a trial in progress."""
        return self._open_until is None or not (self._on_trial or self.open_s)

    def begin(self) -> None:
        """Records that a call begins; in a half-open circuit it is the trial."""
        self._on_trial = self._open_until is not None

    def succeeded(self) -> None:
        """Records a call that the upstream answered; enough good trials close the circuit."""
        self._failed = 0
        if self._open_until is None or not self._on_trial:
            self.is_quiet = self._open_until is None
            return
        self._on_trial = False
        self._succeeded += 1
        if self._succeeded >= self._limits.successes:
            self._open_until = None
            self.is_quiet = True

    def failed(self) -> None:
        """Records a failed call; a failed trial, or too many in a row, opens the circuit."""
        self.is_quiet = False
        self._failed += 1
        if self._limits.failures and (self._on_trial or self._failed >= self._limits.failures):
            self._open_until = self._clock() + self._limits.open_s
            self._failed = self._succeeded = 0
        self._on_trial = False

    def left(self) -> None:
        """The call ended without saying anything about the upstream: the caller went away."""
        self._on_trial = False
