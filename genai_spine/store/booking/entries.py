"""Entries: rows of the ledger on their way into a database, and what became of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from genai_spine.call import PaidAnswer
from genai_spine.store.booking.rates import RateLevel, RateRefusal, RateReservation, refusal, take
from genai_spine.store.booking.reservations import RunReservation

ROOMS_TRIED = 8  # times that a batch of reservations is tried while other processes take the room it saw


@dataclass(slots=True)
class Entry:
    """One row: an intent, or a settlement that replaces it."""

    id: str
    server_id: str
    values: tuple[Any, ...]  # of all columns, in their order, but for the chain's
    is_intent: bool
    ticks: int  # of an intent what is reserved, of a settlement what it cost
    counters: Sequence[int]  # sorted
    is_guarded: bool = False  # an intent that is refused where a counter that blocks has no room
    is_repeated: bool = False  # it may be written already
    is_recorded: bool = False  # of a settlement: its intent is in the database, as far as is known
    is_fresh: bool = False  # nobody has written any version of it
    is_loss: bool = False  # it books the call of a dead process, unless somebody else has booked it
    rates: RateReservation | None = None  # of an intent: what it takes of rate limits
    used_tokens: int | None = None  # of a settlement whose intent had a reservation: what it used in the end
    run_id: str = ""  # run whose reservation it draws on; empty: none
    is_soft: bool = False  # no budget refuses it while that has anything left
    answer: PaidAnswer | None = None  # of a settlement: what whoever makes its run next is to find
    reservation: RunReservation | None = None  # that reservation, once it is read
    drawn: int = 0  # ticks of an intent that the reservation holds no more
    is_drawn: bool = False

    @property
    def passes(self) -> bool:
        """Whether no budget refuses it: its run has not cost as much yet as was reserved."""
        return self.is_soft and self.reservation is not None and self.reservation.left > 0

    def draw(self) -> None:
        """Takes what it reserves from what its run holds already."""
        if self.reservation is not None and not self.is_drawn:
            self.drawn, self.is_drawn = self.reservation.take(self.ticks), True

    def undraw(self) -> None:
        """Gives that back, because it was refused."""
        if self.reservation is not None and self.is_drawn:
            self.reservation.give(self.ticks)
            self.drawn, self.is_drawn = 0, False

    def need(self, counter: int) -> int:
        """Ticks that one of its counters must hold more."""
        if self.reservation is not None and counter in self.reservation.counters:
            return self.ticks - self.drawn
        return self.ticks


@dataclass(frozen=True, slots=True)
class Level:
    """State of a counter, in ticks."""

    used: int  # spent and reserved
    limit: int  # with what it is raised by now
    blocks: bool

    @property
    def room(self) -> int:
        return self.limit - self.used

    def with_more(self, ticks: int) -> "Level":
        """The same after so much more was spent or reserved."""
        return Level(self.used + ticks, self.limit, self.blocks)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reservation that was not made. level: of the counter; None: there is no such counter."""

    counter: int
    level: Level | None


@dataclass(slots=True)
class Outcome:
    """Outcome of a batch. Rows that are not refused are written."""

    refused: dict[str, Refusal | RateRefusal] = field(default_factory=dict)  # by the id of the row
    levels: dict[int, Level] = field(default_factory=dict)  # of counters that were reserved from, afterwards
    rate_levels: dict[int, RateLevel] = field(default_factory=dict)  # of counters of rate limits, afterwards
    is_lease_lost: bool = False  # no guarded reservation was made: the process has no live lease
    settled: set[str] = field(default_factory=set)  # ids of rows that the batch settled


def is_due(settlement: Entry, state: str) -> bool:
    """Whether a settlement is written over a row of that state; empty: there is none.

    Nothing beats another settlement, but real numbers those of a loss.
    """
    return state in ("", "PENDING") or (state == "LOST" and not settlement.is_loss)


def needs(entries: Iterable[Entry]) -> dict[int, int]:
    """Ticks that are to be reserved, by counter in the order of ids."""
    sums: dict[int, int] = {}
    for entry in entries:
        for counter in entry.counters:
            sums[counter] = sums.get(counter, 0) + entry.need(counter)
        if entry.drawn and entry.reservation is not None:  # such as from the day before
            for counter in entry.reservation.counters.difference(entry.counters):
                sums[counter] = sums.get(counter, 0) - entry.drawn
    return dict(sorted(sums.items()))


def reservations(entries: Iterable[Entry]) -> list[RateReservation]:
    """Reservations of rate limits that the entries have."""
    return [entry.rates for entry in entries if entry.rates is not None]


def fitting(entries: Sequence[Entry], levels: dict[int, Level], outcome: Outcome) -> list[Entry]:
    """Entries that fit into the counters, in their order; the others are refused in the outcome.

    What costs nothing always fits, and so does everything where a counter only warns.
    """
    rooms = {counter: level.room for counter, level in levels.items()}
    rates, admitted = dict(outcome.rate_levels), []
    for entry in entries:
        counters = () if entry.passes else entry.counters
        entry.draw()
        full = next((counter for counter in counters if not _fits(entry, counter, levels, rooms)), None)
        if full is not None:
            outcome.refused[entry.id] = Refusal(full, levels.get(full))
            entry.undraw()
            continue
        if entry.rates is not None:
            if (refused := refusal(entry.rates, rates)) is not None:
                outcome.refused[entry.id] = refused
                entry.undraw()
                continue
            take((entry.rates,), rates)
        for counter, ticks in needs((entry,)).items():
            rooms[counter] = rooms.get(counter, 0) - ticks
        admitted.append(entry)
    return admitted


def _fits(entry: Entry, counter: int, levels: dict[int, Level], rooms: dict[int, int]) -> bool:
    level = levels.get(counter)
    if level is None:
        return False
    need = entry.need(counter)
    return not level.blocks or need <= 0 or need <= rooms[counter]
