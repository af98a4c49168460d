"""Limits of runs that run at once, over all processes that share the database.

A claim counts what runs inside its transaction, under a lock of each limit that it may fill: two workers
never fill a last place twice.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

Key = tuple[str, str]  # what is limited: a column of runs and its value, ("lane", "gpu")
Limits = Mapping[Key, int]  # most runs that run at once
NO_LIMITS: Limits = {}
NO_NAMES: Mapping[str, int] = {}


def run_limits(lanes: Mapping[str, int], providers: Mapping[str, int] = NO_NAMES) -> dict[Key, int]:
    """Limits of lanes and providers by their names."""
    found = {("lane", name): most for name, most in lanes.items()}
    return found | {("provider", name): most for name, most in providers.items()}


class Room:
    """Places that are left under limits."""

    def __init__(self, limits: Limits, running: Counter[Key]) -> None:
        self._left = {key: most - running[key] for key, most in limits.items()}

    def has(self, keys: Iterable[Key]) -> bool:
        """Whether one more may run."""
        return all(self._left.get(key, 1) > 0 for key in keys)

    def take(self, keys: Iterable[Key]) -> None:
        """Takes a place under each limit."""
        for key in keys:
            if key in self._left:
                self._left[key] -= 1


class Limited(NamedTuple):
    """Limits that some waiting runs are under."""

    limits: Limits
    keys: Mapping[str, Sequence[Key]]  # of each run

    @property
    def locks(self) -> list[str]:
        """Names of the locks of whoever counts, in one order, so that two never wait for each other."""
        return sorted(f"runs {column} {value}" for column, value in self.limits)

    def within(self, ids: Sequence[str], running: Counter[Key]) -> list[str]:
        """Runs that have places, the first ones first."""
        room, found = Room(self.limits, running), []
        for run_id in ids:
            if room.has(self.keys[run_id]):
                room.take(self.keys[run_id])
                found.append(run_id)
        return found


UNLIMITED = Limited(NO_LIMITS, {})
