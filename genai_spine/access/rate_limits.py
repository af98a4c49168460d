"""Rate limits: what a key and its tenant may do in a minute and at the same time, whichever server is asked.

A call is counted where it is booked, in the statement that writes its intent. What is known of a key here may
be as old as the key itself (see authentication).
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import NamedTuple

from genai_spine.call import Call, Principal
from genai_spine.errors import ConcurrentLimitExceeded, RateLimited, ServiceUnavailable, SpineError
from genai_spine.http_answer import openai_shaped
from genai_spine.store.access.rate_limits import RateRows
from genai_spine.store.booking.rates import RateExceeded, RateLevel, RateRefusal, RateReservation, limit_of
from genai_spine.v1.rate_limits_pb2 import RateLimits

TIERS = {
    "free": RateLimits(requests_per_minute=60, tokens_per_minute=40_000),
    "standard": RateLimits(requests_per_minute=500, tokens_per_minute=400_000),
    "enterprise": RateLimits(),
}
MAX_KNOWN = 100_000  # counters whose ids are remembered
RETRY_S = 1.0  # where a running call has to end first, which nobody can know
PREFIX = "x-ratelimit-"
Booked = Callable[[RateReservation], Awaitable[None]]


class Full(NamedTuple):
    """Refusal that holds until a time on time.monotonic(): until then requests only become more."""

    refusal: RateRefusal
    limit: int
    until: float


class RateLimiter:
    """Limits of callers, and the reservations of their calls."""

    def __init__(self, rows: RateRows) -> None:
        self._rows = rows
        self._counters: dict[str, int] = {}  # id by subject
        self._opening: dict[str, asyncio.Task[int]] = {}
        self._full: dict[int, Full] = {}  # by the id of the counter

    async def book(self, call: Call, tokens: int, booked: Booked) -> None:
        """Books one call of a request whose rate is limited. booked: writes its intent, with a reservation.

        The first call of a request is refused where there is no room, the others are counted only. Errors:
        RateLimited, ConcurrentLimitExceeded, ServiceUnavailable, those of booked.
        """
        admission = call.rate_admission
        assert admission is not None
        if not admission.is_granted:
            async with admission.lock:
                if not admission.is_granted:
                    await self._admit(call, tokens, booked)
                    admission.is_granted = True
                    return
        await booked(await self._reservation(call.principal, tokens, is_guarded=False))

    async def _admit(self, call: Call, tokens: int, booked: Booked) -> None:
        reservation = await self._reservation(call.principal, tokens, is_guarded=True)
        try:
            if (refusal := self._still_full(reservation)) is not None:
                raise RateExceeded(refusal)
            await booked(reservation)
        except RateExceeded as error:
            raise self._refused(error.refusal, reservation, call) from None
        call.headers.update(headers(reservation, reservation.levels, call))

    async def _reservation(self, principal: Principal, tokens: int, *, is_guarded: bool) -> RateReservation:
        found = {await self._counter(subject): limits for subject, limits in subjects(principal)}
        return RateReservation(dict(sorted(found.items())), 1 if is_guarded else 0, tokens, is_guarded)

    async def _counter(self, subject: str) -> int:
        """Id of a subject's counter; all calls that wait for it share the look into the database."""
        if (id := self._counters.get(subject)) is not None:
            return id
        task = self._opening.get(subject)
        if task is None:
            task = self._opening[subject] = asyncio.create_task(self._open(subject))
            task.add_done_callback(_looked_at)
        return await asyncio.shield(task)

    async def _open(self, subject: str) -> int:
        try:
            id = (await self._rows.open([subject]))[subject]
        finally:
            del self._opening[subject]
        if len(self._counters) >= MAX_KNOWN:
            self._counters.clear()
        self._counters[subject] = id
        return id

    def _still_full(self, reservation: RateReservation) -> RateRefusal | None:
        """Refusal that is known already, so that a flood of calls does not reach the database."""
        for counter, limits in reservation.limits.items():
            if (full := self._full.get(counter)) is None:
                continue
            if full.until > time.monotonic() and limit_of(limits, "requests") == full.limit:
                return full.refusal
            del self._full[counter]
        return None

    def _refused(self, refusal: RateRefusal, reservation: RateReservation, call: Call) -> SpineError:
        """Error of a refusal, with the headers of the answer."""
        level, counter = refusal.level, refusal.counter
        names = [name for name, _ in subjects(call.principal)]
        subject = next((name for name in names if self._counters.get(name) == counter), names[0])
        if level is None:
            self._counters.pop(subject, None)
            return ServiceUnavailable(cause="the counter of its rate limit is gone")
        limit = limit_of(reservation.limits[counter], refusal.kind) or 0
        asked = dict(reservation.takes())[refusal.kind]
        wait_s = level.wait_s(refusal.kind, asked, limit)
        if refusal.kind == "requests" and wait_s is not None:
            known = self._full.get(counter)
            if known is None:
                known = self._full[counter] = Full(refusal, limit, time.monotonic() + wait_s)
            wait_s = known.until - time.monotonic()
        call.headers.update(headers(reservation, {counter: level}, call))
        of, _, id = subject.partition(":")
        # Rounded up: what is left of the minute before is no whole number, and with less there would be room.
        said = {"of": of, "id": id, "limit": limit, "used": math.ceil(level.used(refusal.kind))}
        if refusal.kind == "running":
            return ConcurrentLimitExceeded(**said, retry_after_s=RETRY_S)
        retry_s = None if wait_s is None else max(RETRY_S, wait_s)
        error = RateLimited(**said, kind=refusal.kind, asked=asked, retry_after_s=retry_s)
        error.are_attempts_spent = wait_s is None  # it is too large for its limit by itself
        return error


def in_force(limits: RateLimits) -> RateLimits | None:
    """Numbers of limits: their own, and for the rest those of their tier. None: nothing is limited."""
    found = RateLimits()
    found.CopyFrom(TIERS.get(limits.tier, RateLimits()))
    found.MergeFrom(limits)
    found.ClearField("tier")
    return found if found.ByteSize() else None


def subjects(principal: Principal) -> Iterator[tuple[str, RateLimits]]:
    """Names of what is limited, each with its limits: the key, or who a JWT is of, and the tenant."""
    if principal.key_limits is not None:
        key_id = principal.key_id
        yield (f"key:{key_id}" if key_id else principal.name), principal.key_limits
    if principal.tenant_limits is not None:
        yield f"tenant:{principal.tenant_id}", principal.tenant_limits


def headers(reservation: RateReservation, levels: Mapping[int, RateLevel], call: Call) -> dict[str, str]:
    """Headers of an answer: limit, what is left of it, and when all of it is there again.

    Of key and tenant the one with less left. On OpenAI's paths also under OpenAI's names, for tokens too.
    """
    found: dict[str, str] = {}
    if (requests := _narrowest("requests", reservation, levels)) is not None:
        limit, left, reset_s = requests
        names = {"limit": limit, "remaining": left, "reset": math.ceil(time.time() + reset_s)}
        found |= {f"{PREFIX}{name}": str(number) for name, number in names.items()}
    if openai_shaped(call.path):
        for kind in ("requests", "tokens"):
            if (narrowest := _narrowest(kind, reservation, levels)) is not None:
                limit, left, reset_s = narrowest
                found[f"{PREFIX}limit-{kind}"] = str(limit)
                found[f"{PREFIX}remaining-{kind}"] = str(left)
                found[f"{PREFIX}reset-{kind}"] = f"{math.ceil(reset_s)}s"
    return found


def _narrowest(
    kind: str, reservation: RateReservation, levels: Mapping[int, RateLevel]
) -> tuple[int, int, float] | None:
    """Limit, what is left, and seconds until all is, of the counter with the least left; None: no limit."""
    return min(
        (
            (limit, max(0, math.floor(limit - level.used(kind))), level.reset_s(kind))
            for counter, level in levels.items()
            if counter in reservation.limits
            and (limit := limit_of(reservation.limits[counter], kind)) is not None
        ),
        key=lambda found: found[1],
        default=None,
    )


def _looked_at(task: "asyncio.Task[int]") -> None:
    """Takes notice of a failure that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


def rates(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """Headers of an answer that are about rate limits."""
    return [(name, value) for name, value in headers.items() if name.startswith(PREFIX)]
