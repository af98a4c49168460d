"""An upstream as routing sees it: one provider with its keys, their circuits, its speed and its limits."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic

from genai_spine import errors
from genai_spine.errors import CircuitOpen, ProviderBusy, SpineError
from genai_spine.providers.base import Provider
from genai_spine.routing.circuit_breaker import DEFAULTS, Circuit, Limits
from genai_spine.v1 import provider_service_pb2 as pb

# What says that the upstream is not well. A refused request says nothing of the kind.
FAILURES = (errors.ProviderUnavailable, errors.ProviderTimeout, errors.ProviderError)
KEY_REST_S = 60.0  # of a key that was refused or has no money left
LIMITED_REST_S = 1.0  # of a key whose rate is limited, when the upstream does not say for how long
NEWEST = 0.2  # weight of the newest measurement in a running mean


class Seat:
    """One key of an upstream."""

    __slots__ = ("circuit", "provider", "rest_until")

    def __init__(self, provider: Provider, circuit: Circuit) -> None:
        self.provider = provider
        self.circuit = circuit
        self.rest_until = 0.0  # on time.monotonic()


class Upstream:
    def __init__(self, providers: Sequence[Provider], limits: Limits = DEFAULTS) -> None:
        """providers: the same upstream, one for each key."""
        self.provider = providers[0]
        self.name = self.provider.name
        self.limits = limits
        self.running = 0
        self.seats = [Seat(provider, Circuit(limits)) for provider in providers]
        # Running means, by model: of the time to the first token of streams, and of whole answers.
        self.first_ms: dict[str, float] = {}
        self.whole_ms: dict[str, float] = {}
        self._next = 0
        self._waiting: list[asyncio.Future[None]] = []

    @property
    def full(self) -> bool:
        return self.limits.concurrency is not None and self.running >= self.limits.concurrency

    @property
    def state(self) -> "pb.CircuitState":
        """The worst of its keys'."""
        states = {seat.circuit.state for seat in self.seats}
        worst_first = (pb.CIRCUIT_STATE_OPEN, pb.CIRCUIT_STATE_HALF_OPEN)
        return next((state for state in worst_first if state in states), pb.CIRCUIT_STATE_CLOSED)

    @property
    def admits(self) -> bool:
        return any(seat.circuit.admits for seat in self.seats)

    @property
    def rest_s(self) -> float:
        return min(seat.circuit.rest_s for seat in self.seats)

    def take(self) -> Seat | None:
        """The next key that may be used, now in use; None when there is none, or too much runs."""
        if self.full:
            return None
        if len(self.seats) == 1:
            seat = self.seats[0]
            if not seat.circuit.admits:
                return None
        else:
            found = self._rested()
            if found is None:
                return None
            seat = found
        seat.circuit.begin()
        self.running += 1
        return seat

    async def wait(self, limit_s: float | None) -> None:
        """Returns when a running call has ended, or the time is over."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(limit_s):
                    await future
        finally:
            if future in self._waiting:
                self._waiting.remove(future)

    def give_back(self, seat: Seat, outcome: BaseException | None) -> None:
        """Ends what take() began; outcome: None for a good answer."""
        self.running -= 1
        if outcome is None:
            seat.circuit.succeeded()
        elif isinstance(outcome, FAILURES):
            seat.circuit.failed()
        elif isinstance(outcome, SpineError):
            seat.circuit.succeeded()  # it answered, if only with a refusal
            self._rest(seat, outcome)
        else:
            seat.circuit.left()
        while self._waiting:
            waiting = self._waiting.pop(0)
            if not waiting.done():
                waiting.set_result(None)
                return

    def measured(self, model: str, took_ms: float, *, streamed: bool) -> None:
        means = self.first_ms if streamed else self.whole_ms
        known = means.get(model, took_ms)
        means[model] = known + NEWEST * (took_ms - known)

    def speed_ms(self, model: str) -> float | None:
        """Of streams where there were any, otherwise of whole answers. None: not measured."""
        return self.first_ms.get(model, self.whole_ms.get(model))

    def resting(self) -> CircuitOpen | ProviderBusy:
        """The error of an upstream that take() gave no seat of."""
        if self.full:
            return ProviderBusy(provider=self.name, running=self.running, retry_after_s=1.0)
        failures, open_s = self.limits.failures, max(self.rest_s, 1.0)
        return CircuitOpen(
            provider=self.name, open_s=f"{open_s:.0f}", failures=failures, retry_after_s=open_s
        )

    def _rested(self) -> Seat | None:
        """In turn; a resting key only when all of them rest."""
        now, count = monotonic(), len(self.seats)
        admitting = [
            seat for at in range(count) if (seat := self.seats[(self._next + at) % count]).circuit.admits
        ]
        if not admitting:
            return None
        rested = [seat for seat in admitting if seat.rest_until <= now]
        seat = rested[0] if rested else min(admitting, key=lambda seat: seat.rest_until)
        self._next = self.seats.index(seat) + 1
        return seat

    def another_key(self, seat: Seat) -> bool:
        """There is a key besides this one that does not rest."""
        now = monotonic()
        return any(
            other is not seat and other.circuit.admits and other.rest_until <= now for other in self.seats
        )

    def _rest(self, seat: Seat, error: SpineError) -> None:
        if isinstance(error, errors.ProviderRateLimited):
            seat.rest_until = monotonic() + (error.retry_after_s or LIMITED_REST_S)
        elif isinstance(error, errors.ProviderAuthentication | errors.ProviderQuotaExceeded):
            seat.rest_until = monotonic() + KEY_REST_S
