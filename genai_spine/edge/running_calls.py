"""Running calls, counted by the configuration that they began with, so that it can be put away after them."""

import asyncio


class RunningCalls:
    """Count of running calls, by the configuration that they began with.

    A generation is a configuration's number: each reload of it begins the next one.
    """

    def __init__(self) -> None:
        self.generation = 0
        self._counts = {0: 0}
        self._older: asyncio.Future[None] | None = None  # done when no call of an older generation runs

    @property
    def count(self) -> int:
        """Calls of all generations."""
        return sum(self._counts.values())

    def begin(self) -> int:
        """Begins a call; returns its generation."""
        self._counts[self.generation] += 1
        return self.generation

    def end(self, generation: int) -> None:
        """Ends a call of a generation."""
        self._counts[generation] -= 1
        if generation != self.generation:
            self._clean()

    def next_generation(self) -> "asyncio.Future[None]":
        """Begins a generation; the future is done when the calls of those before it have ended."""
        self.generation += 1
        self._counts[self.generation] = 0
        if self._older is None or self._older.done():
            self._older = asyncio.get_running_loop().create_future()
        older = self._older
        self._clean()
        return older

    def _clean(self) -> None:
        self._counts = {
            generation: count
            for generation, count in self._counts.items()
            if count or generation == self.generation
        }
        if len(self._counts) == 1 and self._older is not None and not self._older.done():
            self._older.set_result(None)
