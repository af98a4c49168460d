"""Rates: what calls take of the limits of their key and tenant, and whether there is room for it.

A minute counts together with the part of the minute before it that lies within the last 60 seconds, as if
the calls of that one had come evenly (a sliding window counter).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from genai_spine.v1.rate_limits_pb2 import RateLimits

MINUTE_S = 60.0


class RateLevel(NamedTuple):
    """State of a counter: what this minute and the one before have of requests and tokens."""

    minute: int  # number of the minute since 1970
    elapsed_s: float  # of this minute
    requests: int
    tokens: int
    earlier_requests: int  # of the minute before
    earlier_tokens: int
    running: int  # calls

    def at(self, minute: int, elapsed_s: float) -> "RateLevel":
        """The same counter at another time, which is not before it."""
        if minute <= self.minute:  # before it by another clock
            return self._replace(elapsed_s=elapsed_s if minute == self.minute else 0.0)
        is_next = minute == self.minute + 1
        earlier = (self.requests, self.tokens) if is_next else (0, 0)
        return RateLevel(minute, elapsed_s, 0, 0, *earlier, self.running)

    def plus(self, requests: int, tokens: int, running: int) -> "RateLevel":
        """The counter with more of each."""
        return self._replace(
            requests=self.requests + requests, tokens=self.tokens + tokens, running=self.running + running
        )

    def used(self, kind: str) -> float:
        """Number that counts now. kind: requests, tokens or running."""
        if kind == "running":
            return self.running
        weight = 1 - self.elapsed_s / MINUTE_S
        now, before = self._counts(kind)
        return now + before * weight

    def reset_s(self, kind: str) -> float:
        """Seconds until nothing of what was used counts any more."""
        now, before = self._counts(kind)
        return MINUTE_S * (2 if now else 1 if before else 0) - (self.elapsed_s if now or before else 0)

    def wait_s(self, kind: str, more: int, limit: int) -> float | None:
        """Seconds until there is room for more, if nobody else takes it; None: nobody can know, or never."""
        if kind == "running" or more > limit:
            return None
        now, before = self._counts(kind)
        if now + more <= limit:  # the minute before fades away
            faded = 1 - (limit - now - more) / before if before else 0.0
            return max(0.0, MINUTE_S * faded - self.elapsed_s)
        return MINUTE_S - self.elapsed_s + MINUTE_S * (1 - (limit - more) / now)

    def _counts(self, kind: str) -> tuple[int, int]:
        if kind == "requests":
            return self.requests, self.earlier_requests
        return self.tokens, self.earlier_tokens


@dataclass(slots=True)
class RateReservation:
    """Reservation of a call: its share of the limits of its key and its tenant."""

    limits: Mapping[int, RateLimits]  # by the id of the counter, in the order of ids
    requests: int
    tokens: int
    is_guarded: bool  # it is refused where there is no room; otherwise it is only counted
    levels: Mapping[int, RateLevel] = field(default_factory=dict)  # once it is booked: afterwards

    def takes(self) -> Iterator[tuple[str, int]]:
        """Kinds of what it takes, and how much of each."""
        return iter((("requests", self.requests), ("tokens", self.tokens), ("running", 1)))


@dataclass(frozen=True, slots=True)
class RateRefusal:
    """A reservation that was not granted. level: of the counter; None: there is no such counter."""

    counter: int
    kind: str = ""  # requests, tokens or running
    level: RateLevel | None = None


class RateExceeded(Exception):
    """A rate limit has no room for a call; nothing was written."""

    def __init__(self, refusal: RateRefusal) -> None:
        super().__init__(f"counter {refusal.counter}: {refusal.kind}")
        self.refusal = refusal


def limit_of(limits: RateLimits, kind: str) -> int | None:
    """Number that limits a kind; None: nothing does."""
    name = {"requests": "requests_per_minute", "tokens": "tokens_per_minute"}.get(kind, "concurrent_calls")
    return getattr(limits, name) if limits.HasField(name) else None


def refusal(reservation: RateReservation, levels: Mapping[int, RateLevel]) -> RateRefusal | None:
    """Refusal of a reservation; None: there is room for it, or it is only counted."""
    if not reservation.is_guarded:
        return None
    for counter, limits in reservation.limits.items():
        if (level := levels.get(counter)) is None:
            return RateRefusal(counter)
        for kind, more in reservation.takes():
            limit = limit_of(limits, kind)
            if more and limit is not None and level.used(kind) + more > limit:
                return RateRefusal(counter, kind, level)
    return None


def take(reservations: Iterable[RateReservation], levels: dict[int, RateLevel]) -> None:
    """Enters what the reservations take into the levels."""
    for reservation in reservations:
        for counter in reservation.limits:
            if (level := levels.get(counter)) is not None:
                levels[counter] = level.plus(reservation.requests, reservation.tokens, 1)


def asked(reservations: Iterable[RateReservation]) -> list[dict[str, int | None]]:
    """Rows of what is asked of each counter, in the order of ids: of each kind the sum, the part of it that
    may be refused, and the limit.
    """
    sums: dict[int, dict[str, int | None]] = {}
    for reservation in reservations:
        for counter, limits in reservation.limits.items():
            row = sums.setdefault(counter, {"id": counter})
            for kind, more in reservation.takes():
                asked_more = more if reservation.is_guarded else 0
                row[kind] = (row.get(kind) or 0) + more
                row[f"asked_{kind}"] = (row.get(f"asked_{kind}") or 0) + asked_more
                row[f"most_{kind}"] = limit_of(limits, kind)
    return [sums[counter] for counter in sorted(sums)]


def overtaken(reservation: RateReservation, levels: Mapping[int, RateLevel]) -> RateRefusal:
    """Refusal of a reservation whose room others took each time."""
    for counter, limits in reservation.limits.items():
        for kind, _ in reservation.takes():
            if limit_of(limits, kind) is not None and counter in levels:
                return RateRefusal(counter, kind, levels[counter])
    return RateRefusal(next(iter(reservation.limits)))
