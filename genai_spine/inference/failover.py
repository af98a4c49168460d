"""One request's way through its candidates: who is asked next, when, and when it is given up.

The only place that repeats anything. A round asks each candidate once, without a pause between two of
them; after a round in which all failed there is a pause, and another round while attempts are left.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import uniform
from time import monotonic
from types import TracebackType

import structlog

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.errors import InternalError, SpineError
from genai_spine.providers.base import Provider
from genai_spine.routing.router import Route
from genai_spine.routing.upstream import Seat, Upstream

FIRST_DELAY_S = 0.5  # after the first round; doubled for each one after it
LONGEST_DELAY_S = 8.0
TIMER_S = 0.05  # a timer may be early by that much
LONGEST_RETRY_AFTER_S = 20.0  # a provider that asks for more is left to the caller's own retry

# The same candidate may do better a little later.
PASSING = (errors.ProviderRateLimited, errors.ProviderUnavailable)
# Another candidate may do better at once. What is wrong with the request itself stands nowhere here.
PARTICULAR = (
    *PASSING,
    errors.ProviderTimeout,
    errors.ProviderError,
    errors.ProviderAuthentication,
    errors.ProviderQuotaExceeded,
    errors.CircuitOpen,
    errors.ProviderBusy,
    errors.ModelNotFound,
    errors.ContextLengthExceeded,
    errors.UnsupportedOperation,
)
# Another key of the same upstream may do better.
OF_THE_KEY = (errors.ProviderRateLimited, errors.ProviderAuthentication, errors.ProviderQuotaExceeded)

log = structlog.get_logger()


@dataclass(slots=True)
class Turn:
    """One call that is to be made now; entered while it runs."""

    route: Route
    upstream: Upstream
    seat: Seat
    delivered: bool = False  # something has reached the caller, so no other call may be made

    @property
    def provider(self) -> Provider:
        return self.seat.provider

    def __enter__(self) -> "Turn":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.upstream.give_back(self.seat, error)


class Pursuit:
    def __init__(
        self, routes: Sequence[Route], upstreams: Mapping[str, Upstream], call: Call, retries: int
    ) -> None:
        """retries: calls after the first one, as far as there are not more candidates and keys than that."""
        self._routes = routes
        self._upstreams = upstreams
        self._call = call
        self._retries = retries
        self._queue = deque(routes)
        self._made = 0
        self._rounds = 0
        self._over: set[Route] = set()  # candidates that another attempt cannot help
        self._asked_s: dict[Route, float] = {}  # what a candidate asked to wait for, on time.monotonic()
        self._error: SpineError | None = None
        self._tried: list[str] = []

    async def turn(self) -> Turn:
        """The next call to make. Raises the last error when no candidate can be asked."""
        while self._queue:
            route = self._queue.popleft()
            upstream = self._upstreams[route.provider.name]
            seat = upstream.take()
            while seat is None and upstream.full and not self._queue and self._waits:
                await upstream.wait(self._call.remaining_s)  # nobody else is left: stand in line
                seat = upstream.take()
            if seat is not None:
                self._made += 1
                return Turn(route, upstream, seat)
            self._note(route, upstream.resting())
        raise self._last()

    async def failed(self, turn: Turn, error: SpineError) -> None:
        """Returns when another turn may follow; raises the error when none may."""
        self._note(turn.route, error)
        if turn.delivered or not isinstance(error, PARTICULAR):
            raise error
        if isinstance(error, OF_THE_KEY) and self._another_key(turn):
            self._queue.appendleft(turn.route)
            return
        self._asked_s.pop(turn.route, None)
        if not isinstance(error, PASSING):
            self._over.add(turn.route)
        elif error.retry_after_s is not None:
            self._asked_s[turn.route] = monotonic() + error.retry_after_s
        if not self._queue:
            await self._another_round()

    @property
    def _budget(self) -> int:
        return max(self._retries + 1, len(self._routes))

    def _another_key(self, turn: Turn) -> bool:
        most = self._budget + len(turn.upstream.seats) - 1
        return self._made < most and turn.upstream.another_key(turn.seat)

    @property
    def _waits(self) -> bool:
        return self._call.remaining_s is None or self._call.remaining_s > 0

    async def _another_round(self) -> None:
        left = [route for route in self._routes if route not in self._over]
        delay_s = self._delay_s(left) if left and self._made < self._budget else None
        remaining_s = self._call.remaining_s
        if delay_s is None or (remaining_s is not None and delay_s >= remaining_s):
            raise self._last()
        cause = str(self._error)
        log.info("provider_retry", request_id=self._call.request_id, delay_s=round(delay_s, 2), cause=cause)
        await asyncio.sleep(delay_s)
        now = monotonic() + TIMER_S
        self._queue.extend(route for route in left if self._asked_s.get(route, 0.0) <= now)

    def _delay_s(self, left: Sequence[Route]) -> float | None:
        """Until the first candidate may be asked again. None: too long."""
        now = monotonic()
        asked_s = min(max(0.0, self._asked_s.get(route, now) - now) for route in left)
        waits = [route for route in left if route in self._asked_s]
        if len(waits) == len(left):
            return asked_s if asked_s <= LONGEST_RETRY_AFTER_S else None
        self._rounds += 1
        return uniform(0.5, 1.0) * min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** (self._rounds - 1))

    def _note(self, route: Route, error: SpineError) -> None:
        self._tried.append(f"{route.provider.name}:{route.model} {error.reason_name}")
        self._error = error

    def _last(self) -> SpineError:
        """The last error; of several candidates it says what each answered."""
        error = self._error or InternalError()
        if len(self._routes) > 1 and len(self._tried) > 1:
            error.metadata["tried"] = "; ".join(self._tried)[-500:]
        return error
