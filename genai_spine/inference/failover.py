"""Failover: which candidate is tried next, with backoff and jitter between rounds, and when it is given up.

The only retry loop: no layer below or above repeats a call. A round tries each candidate once, without a
pause between two of them (fallback). After a round in which all failed there is a pause (exponential
backoff with jitter, or the provider's Retry-After), and another round while attempts are left.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import uniform
from time import monotonic

import structlog

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.errors import InternalError, SpineError
from genai_spine.providers.base import Route
from genai_spine.routing.upstream import KeySlot, Upstream

FIRST_DELAY_S = 0.5  # after the first round; doubled for each one after it
MAX_DELAY_S = 8.0
TIMER_S = 0.05  # a timer may be early by that much
MAX_RETRY_AFTER_S = 20.0  # a provider that asks for more is left to the caller's own retry

# The same candidate may do better a little later.
RETRYABLE = (errors.ProviderRateLimited, errors.ProviderUnavailable)
# Another candidate may do better at once. What is wrong with the request itself stands nowhere here.
FAILOVER = (
    *RETRYABLE,
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
# Errors after which the upstream may have worked, and billed it, although no answer came of it.
MAY_HAVE_BILLED = (
    errors.ProviderError,
    errors.ProviderTimeout,
    errors.DeadlineExceeded,
    errors.InternalError,
    errors.ServiceUnavailable,
    errors.SchemaMismatch,
)
# Another key of the same upstream may do better.
KEY_ERRORS = (errors.ProviderRateLimited, errors.ProviderAuthentication, errors.ProviderQuotaExceeded)

log = structlog.get_logger()


@dataclass(slots=True)
class Slot:
    """Permission to make one call now, of one candidate with one key; running until release()."""

    route: Route
    upstream: Upstream
    key_slot: KeySlot
    delivered: bool = False  # something has reached the caller, so no other call may be made

    def release(self, outcome: BaseException | None) -> None:
        """Ends the call for circuit breaker, key and limit. outcome: None for a good answer."""
        self.upstream.release(self.key_slot, self.route.model, outcome)


class Failover:
    """State of one operation's retries: candidates that are left, attempts made, the last error."""

    def __init__(
        self, routes: Sequence[Route], upstreams: Mapping[str, Upstream], call: Call, retries: int
    ) -> None:
        """retries: calls after the first one, as far as there are not more candidates and keys than that.

        None after the first round for a request that its client repeats by itself.
        """
        self._routes = routes
        self._upstreams = upstreams
        self._call = call
        self._retries = 0 if call.client_retries else retries
        self._is_repeater = retries > 0  # without retries of ours, those of a client multiply nothing
        self._queue = deque(routes)
        self._attempts = 0
        self._rounds = 0
        self._exhausted: set[Route] = set()  # candidates that another attempt cannot help
        self._retry_at: dict[Route, float] = {}  # by Retry-After, on time.monotonic()
        self._error: SpineError | None = None
        self._tried: list[str] = []

    async def next_slot(self) -> Slot:
        """Slot of the next attempt. Waits for the concurrency limit only when no other candidate is left.

        Errors: the last one, with all in its metadata, when no candidate may be tried.
        """
        while self._queue:
            route = self._queue.popleft()
            upstream = self._upstreams[route.provider.name]
            key_slot = upstream.acquire(route.model)
            while key_slot is None and upstream.full and not self._queue and self._may_wait:
                await upstream.wait(self._call.remaining_s)  # nobody else is left: stand in line
                key_slot = upstream.acquire(route.model)
            if key_slot is not None:
                self._attempts += 1
                return Slot(route, upstream, key_slot)
            self._note(route, upstream.busy() if upstream.full else upstream.circuit_open(route.model))
        raise self._last()

    async def on_error(self, slot: Slot, error: BaseException) -> None:
        """Returns when another attempt may follow, after a pause where one is due; else raises the error."""
        if not isinstance(error, SpineError):
            raise error
        is_refused = isinstance(error, errors.BudgetExceeded | errors.PriceUnknown) and not slot.delivered
        if is_refused and self._error is not None:
            raise self._last()  # the attempt was not made, so the error of the last one stands
        self._note(slot.route, error)
        if slot.delivered or not isinstance(error, FAILOVER):
            raise error
        if self._other_key(slot, error):
            self._queue.appendleft(slot.route)
            return
        self._retry_at.pop(slot.route, None)
        if not isinstance(error, RETRYABLE):
            self._exhausted.add(slot.route)
        elif error.retry_after_s is not None:
            self._retry_at[slot.route] = monotonic() + error.retry_after_s
        if not self._queue:
            await self._next_round()

    def restrict(self, routes: Sequence[Route]) -> bool:
        """Whether one of these candidates is left; then only they are, in this order."""
        left = [route for route in routes if route not in self._exhausted]
        if left:
            self._routes, self._queue = left, deque(left)
        return bool(left)

    @property
    def _budget(self) -> int:
        return max(self._retries + 1, len(self._routes))

    def _other_key(self, slot: Slot, error: SpineError) -> bool:
        """Whether another key, or another host, of the same upstream is asked at once."""
        most = self._budget + len(slot.upstream.key_slots) - 1
        if self._attempts >= most:
            return False
        if isinstance(error, KEY_ERRORS):
            return slot.upstream.has_other_key(slot.key_slot, slot.route.model)
        return isinstance(error, errors.ProviderUnavailable) and slot.upstream.has_other_host(slot.key_slot)

    @property
    def _may_wait(self) -> bool:
        return self._call.remaining_s is None or self._call.remaining_s > 0

    async def _next_round(self) -> None:
        left = [route for route in self._routes if route not in self._exhausted]
        may_repeat = left and self._retries and self._attempts < self._budget
        delay_s = self._delay_s(left) if may_repeat else None
        remaining_s = self._call.remaining_s
        if delay_s is None or (remaining_s is not None and delay_s >= remaining_s):
            raise self._last()
        cause = self._error.logged if self._error else None
        log.info("provider_retry", request_id=self._call.request_id, delay_s=round(delay_s, 2), cause=cause)
        await asyncio.sleep(delay_s)
        now = monotonic() + TIMER_S
        self._queue.extend(route for route in left if self._retry_at.get(route, 0.0) <= now)

    def _delay_s(self, left: Sequence[Route]) -> float | None:
        """Until the first candidate may be asked again. None: too long."""
        now = monotonic()
        wait_s = min(max(0.0, self._retry_at.get(route, now) - now) for route in left)
        waiting = [route for route in left if route in self._retry_at]
        if len(waiting) == len(left):
            return wait_s if wait_s <= MAX_RETRY_AFTER_S else None
        self._rounds += 1
        return uniform(0.5, 1.0) * min(MAX_DELAY_S, FIRST_DELAY_S * 2.0 ** (self._rounds - 1))

    def _note(self, route: Route, error: SpineError) -> None:
        self._tried.append(f"{route.provider.name}:{route.model} {error.reason_name}")
        self._error = error

    def _last(self) -> SpineError:
        """The last error; of several candidates it says what each answered."""
        error = self._error or InternalError()
        if len(self._routes) > 1 and len(self._tried) > 1:
            error.metadata["tried"] = "; ".join(self._tried)[-500:]
        error.are_attempts_spent = self._is_repeater
        return error
