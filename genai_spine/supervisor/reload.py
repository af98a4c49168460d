"""Reload of the configuration: checked here first, then handed to every server process.

Servers read a snapshot, a file in the supervisor's own folder, and never genai.yaml itself: one that restarts
while somebody edits the file gets what was found valid last. When one of them refuses a new configuration
(the file of a secret is gone by then), all of them go back to the one before.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from os import tcgetpgrp
from pathlib import Path
from typing import Any

import structlog

from genai_spine.supervisor.plan import Plan, PlanReader, Refused
from genai_spine.supervisor.server_process import ServerProcess

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a reload."""

    refused: str | None = None  # why nothing has changed
    providers: list[str] = field(default_factory=list)
    needs_restart: list[str] = field(default_factory=list)  # settings that have changed in vain
    processes: int = 0  # that have the new configuration

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Reloader:
    """Configuration of a supervisor and its servers."""

    def __init__(self, plan: Plan, snapshot: Path, reader: PlanReader) -> None:
        """plan, snapshot: as the reader has found and written them at the start."""
        self.plan = plan
        self.snapshot = snapshot
        self.servers: Sequence[ServerProcess] = ()
        self.reader = reader
        self.lock = asyncio.Lock()  # around whatever changes the configuration
        self._tasks: set[asyncio.Task[Outcome]] = set()
        self._is_asked = False  # by a signal, and not begun yet

    def listen(self, hang_up: Callable[[], None]) -> None:
        """SIGHUP reloads from now on. hang_up: called in its place when the terminal was closed."""
        on_terminal = sys.stdin is not None and sys.stdin.isatty()

        def reload() -> None:
            if on_terminal and not _has_terminal():
                hang_up()
                return
            if self._is_asked:
                return  # the one that waits reads what the file says by then
            self._is_asked = True
            task = asyncio.create_task(self.reload())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)

    async def reload(self) -> Outcome:
        """Reads the configuration again; nothing changes anywhere when it is wrong."""
        async with self.lock:
            self._is_asked = False
            before = self.snapshot.read_bytes()
            try:
                found = await self.reader.reread(self.plan, self.snapshot, self.snapshot)
            except Refused as refused:
                return self._refused(str(refused))
            problems = await self._tell_servers()
            if problems:
                self.snapshot.write_bytes(before)
                await self._tell_servers()
                return self._refused("; ".join(problems))
            providers = list(found.plan.providers)
            self.plan = replace(self.plan, providers=found.plan.providers)
        if found.changed:
            log.warning("configuration_needs_restart", settings=found.changed)
        log.info("configuration_reloaded", providers=providers, processes=len(self.servers))
        return Outcome(None, providers, found.changed, len(self.servers))

    async def answer(self) -> AsyncGenerator[dict[str, Any]]:
        """Reload, and its outcome as JSON."""
        yield (await self.reload()).as_json()

    async def _tell_servers(self) -> list[str]:
        """Reload of every server; what those say that refuse it."""
        answers = await asyncio.gather(*(server.reload() for server in self.servers))
        return [answer for answer in answers if answer is not None]

    def _refused(self, why: str) -> Outcome:
        log.error("configuration_refused", cause=why)
        return Outcome(refused=why)


def _has_terminal() -> bool:
    """Whether the terminal that this was started from is still there."""
    try:
        tcgetpgrp(sys.stdin.fileno())
    except (OSError, ValueError):
        return False
    return True
