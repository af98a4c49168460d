"""Watchdog: a child process that exits or stops answering its health check is replaced, after a backoff.

A check is asked for every period and fails when it has no answer by then. Only failures in a row count, and
none counts for more than a period: a machine that slept through the night has missed one check, not 5000.
"""

import asyncio
import contextlib
import signal
from asyncio.subprocess import Process
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from random import uniform
from time import monotonic
from typing import Protocol

import structlog

from genai_spine.supervisor.health_check import Health

MAX_PERIOD_S = 5.0
MIN_FAILED_CHECKS = 6  # that fail in a row before a process counts as hung
STACK_DUMP_S = 2.0  # to write where it hangs, before SIGKILL
MIN_BACKOFF_S, MAX_BACKOFF_S = 0.5, 30.0
STEADY_S = 60.0  # a process that ran for this long starts with a clean record

log = structlog.get_logger()


class StartFailed(OSError):
    """Start of a child process failed; says which one and why."""


class Child(Protocol):
    """A process that a watchdog keeps running."""

    @property
    def kind(self) -> str:
        """Kind of process: server or envoy. Log events begin with it."""

    @property
    def labels(self) -> Mapping[str, object]:
        """Log fields that tell the process from others of its kind."""

    async def restart(self) -> None:
        """Restart on the old port; returns when it answers.

        Raises OSError, StartFailed among them, and then leaves no process.
        """

    async def wait(self) -> int:
        """Exit status, once the process ends."""

    async def check(self, limit_s: float) -> Health:
        """Health, asked within limit_s."""

    async def abort(self) -> None:
        """Ends it when it hangs."""


@dataclass(slots=True)
class Backoff:
    """Exponential backoff with jitter: none after the first death, then 0.5 s, 1 s, 2 s, ... up to 30 s."""

    deaths: int = 0  # in a row

    def next_s(self) -> float:
        self.deaths += 1
        if self.deaths == 1:
            return 0.0
        doublings = min(self.deaths - 2, 10)
        return uniform(0.5, 1.0) * min(MAX_BACKOFF_S, MIN_BACKOFF_S * 2.0**doublings)


@dataclass(slots=True)
class Watchdog:
    """Watchdog of one child that has been started."""

    child: Child
    timeout_s: float  # of silence
    closed_s: float  # that it may take no connections: longer than it takes to drain
    backoff: Backoff = field(default_factory=Backoff)

    async def keep(self) -> None:
        """Replaces the process whenever it exits or hangs. Ends by being cancelled only.

        It never gives up: what has worked once is not a wrong configuration.
        """
        while True:
            since = monotonic()
            status = await self._ended()
            if monotonic() - since >= STEADY_S:
                self.backoff = Backoff()
            await self._replace(status)

    async def _ended(self) -> int:
        watching = asyncio.ensure_future(self._abort_when_hung())
        try:
            return await self.child.wait()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _replace(self, status: int) -> None:
        pause_s = self.backoff.next_s()
        self._error("died", status=status, restart_in_s=round(pause_s, 2))
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self.child.restart()
            except OSError as error:
                pause_s = self.backoff.next_s()
                self._error("not_restarted", error=str(error), restart_in_s=round(pause_s, 2))
            else:
                log.info(f"{self.child.kind}_restarted", **self.child.labels)
                return

    async def _abort_when_hung(self) -> None:
        most_silent = max(MIN_FAILED_CHECKS, ceil(self.timeout_s / MAX_PERIOD_S))
        period_s = self.timeout_s / most_silent
        most_closed = ceil(self.closed_s / period_s)
        silent = closed = 0
        while silent < most_silent and closed < most_closed:
            seen, _ = await asyncio.gather(self._check(period_s), asyncio.sleep(period_s))
            silent = silent + 1 if seen is Health.SILENT else 0
            closed = closed + 1 if seen is Health.CLOSED else 0
        self._error("hung", checks_failed=silent or closed, every_s=round(period_s, 2), seen=seen.value)
        await self.child.abort()

    async def _check(self, limit_s: float) -> Health:
        try:
            return await self.child.check(limit_s)
        except Exception:  # a fault of ours: the process is left alone
            log.exception("health_check_failed", **self.child.labels)
            return Health.ANSWERS

    def _error(self, what: str, **details: object) -> None:
        log.error(f"{self.child.kind}_{what}", **self.child.labels, **details)


class Watch:
    """Watchdogs of children that come and go."""

    def __init__(self, timeout_s: float, closed_s: float) -> None:
        """Both as of each Watchdog."""
        self._timeout_s = timeout_s
        self._closed_s = closed_s
        self._tasks: list[tuple[Child, asyncio.Task[None]]] = []
        self._problem: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def add(self, child: Child) -> None:
        """Begins to watch a child that has been started."""
        task = asyncio.create_task(Watchdog(child, self._timeout_s, self._closed_s).keep())
        task.add_done_callback(self._ended)
        self._tasks.append((child, task))

    async def remove(self, child: Child) -> None:
        """Watches a child no more."""
        tasks = [task for one, task in self._tasks if one is child]
        self._tasks = [pair for pair in self._tasks if pair[0] is not child]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def keep(self) -> None:
        """Ends by being cancelled, and then watches nobody; raises what a watchdog raises."""
        try:
            await asyncio.shield(self._problem)
        finally:
            for child, _ in list(self._tasks):
                await self.remove(child)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and not self._problem.done():
            self._problem.set_exception(task.exception() or AssertionError("a watchdog ended"))


async def abort(process: Process) -> None:
    """SIGABRT, for a stack trace of where it hangs; SIGKILL after STACK_DUMP_S."""
    with contextlib.suppress(ProcessLookupError):  # it ended in between
        process.send_signal(signal.SIGABRT)
        process.send_signal(signal.SIGCONT)  # a stopped process would not see SIGABRT
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STACK_DUMP_S):
                await process.wait()
                return
        process.kill()
    await process.wait()
