"""Rolling restart: new server processes take the place of the old ones, and no call is cut.

The new ones start beside the old ones, with the program and the configuration as they are now. Once Envoy
calls them, the old ones get no calls any more, and are retired: they end what they have begun. Where the new
ones do not come up, they are stopped, and the old ones go on as if nothing had been.
"""

import asyncio
import http.client
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import structlog

from genai_spine.supervisor import endpoints
from genai_spine.supervisor.envoy import Envoy
from genai_spine.supervisor.plan import Plan, Refused
from genai_spine.supervisor.reload import Reloader
from genai_spine.supervisor.server_process import SNAPSHOT, ServerProcess
from genai_spine.supervisor.watchdog import Watch

MIGRATE_TIMEOUT_S = 600.0
TAKE_UP_TIMEOUT_S = 30.0  # for Envoy to call the new ones: it may just be restarted
LET_GO_TIMEOUT_S = 5.0  # for Envoy to leave out the old ones, which refuse what comes all the same
LOOK_S = 0.1
TOLD_S = 1.0  # between two lines about what is left
STOP_S = 5.0  # for new processes that have had no call
STOP_MARGIN_S = 15.0  # for what a server does after its running calls: booking, closing
# Envoy's own, and where the service is known by: they are as `up` was started with.
OF_EDGE = (
    *("api_host", "api_port", "host", "port", "cors_origins", "envoy_admin_port"),
    *("api_tls_certificate", "api_tls_key", "api_tls_client_ca"),
)
# What they are in a plan.
KEPT = ("api_host", "api_port", "api_tls", "symbols_address", "cors_origins", "envoy_admin_port")

Line = dict[str, Any]
Tell = Callable[[Line], None]

log = structlog.get_logger()


class RestartRefused(Exception):
    """Restart that changed nothing; says why."""


@dataclass(slots=True)
class Fleet:
    """Server processes behind one Envoy."""

    edge: Envoy
    servers: list[ServerProcess]  # that take calls
    starting: list[ServerProcess] = field(default_factory=list)
    leaving: list[ServerProcess] = field(default_factory=list)

    @property
    def all(self) -> list[ServerProcess]:
        return [*self.servers, *self.starting, *self.leaving]

    def direct(self, servers: Sequence[ServerProcess]) -> None:
        """Has Envoy call these."""
        for lane, found in lanes(servers).items():
            endpoints.write(self.edge.run_dir, lane, found)


def lanes(servers: Sequence[ServerProcess]) -> dict[str, list[tuple[str, int]]]:
    """Addresses of servers, by lane; those of their HTTP servers by the lane's other name."""
    found: dict[str, list[tuple[str, int]]] = {}
    for server in servers:
        found.setdefault(server.lane, []).append((server.host, server.port))
        if server.http_port is not None:
            found.setdefault(endpoints.over_http(server.lane), []).append((server.host, server.http_port))
    return found


def addresses(servers: Sequence[ServerProcess]) -> set[tuple[str, int]]:
    """All addresses that Envoy calls servers at."""
    return {address for found in lanes(servers).values() for address in found}


class RollingRestart:
    """Restarts of one fleet, one at a time."""

    def __init__(
        self,
        fleet: Fleet,
        watch: Watch,
        reloader: Reloader,
        make: Callable[[Plan, Path], list[ServerProcess]],
    ) -> None:
        """make: servers of a plan, which read a snapshot."""
        self.fleet = fleet
        self._watch = watch
        self._reloader = reloader
        self._make = make
        self._numbers = count(1)
        self._task: asyncio.Task[None] | None = None
        self._phase = ""

    async def answer(self) -> AsyncGenerator[Line]:
        """Restart, and what it does. It goes on where nobody listens."""
        told: asyncio.Queue[Line] = asyncio.Queue()
        self.begin(told.put_nowait)
        line: Line = {}
        while "refused" not in line:
            line = await told.get()
            yield line

    def listen(self) -> None:
        """SIGUSR2 restarts from now on."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, self.begin)

    def begin(self, tell: Tell = lambda line: None) -> None:
        """Begins a restart. The last line that is told has `refused`: why nothing has changed, or None."""
        if self._task is not None and not self._task.done():
            self._refuse(f"a restart is under way: {self._phase}", tell)
            return
        self._phase = "it has just begun"
        self._task = asyncio.create_task(self._run(tell))

    async def close(self) -> None:
        """Ends one that is under way; its processes are left to who stops the fleet."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, tell: Tell) -> None:
        began = monotonic()
        try:
            older, fixed = await self._replace(tell)
            cut = await self._retire(older, tell)
        except RestartRefused as refused:
            self._refuse(str(refused), tell)
        except asyncio.CancelledError:
            self._refuse("the service is stopping", tell)
            raise
        except Exception:
            log.exception("restart_failed")
            self._refuse("a fault of ours, which the log has", tell)
        else:
            outcome = {"replaced": len(older), "cut": cut, "needs_restart": fixed}
            outcome |= {"seconds": round(monotonic() - began, 1)}
            log.info("restarted", **outcome)
            tell({"refused": None, **outcome})

    def _refuse(self, why: str, tell: Tell) -> None:
        log.error("restart_refused", cause=why)
        tell({"refused": why})

    def _say(self, tell: Tell, phase: str, text: str, **fields: Any) -> None:
        self._phase = text
        tell({"phase": phase, "text": text, **fields})

    async def _replace(self, tell: Tell) -> tuple[list[ServerProcess], list[str]]:
        """Old servers, which get no calls any more, and the settings that have changed in vain.

        Raises RestartRefused.
        """
        reloader, older = self._reloader, self.fleet.servers
        async with reloader.lock:
            snapshot = reloader.snapshot.with_name(f"configuration-{next(self._numbers)}.json")
            try:
                latest, fixed = await self._plan(snapshot)
            except RestartRefused:
                snapshot.unlink(missing_ok=True)
                raise
            newer = self.fleet.starting = self._make(latest, snapshot)
            try:
                self._say(tell, "migrating", "bringing the tables of the database up to date")
                await _migrate(snapshot)
                self._say(tell, "starting", f"starting {_counted(len(newer), 'new process')}")
                await _started(newer)
                self._say(tell, "moving", "Envoy takes up the new processes", servers=_listed(newer))
                self.fleet.direct([*older, *newer])
                await self._taken_up(newer)
            except BaseException:
                self.fleet.direct(older)
                await asyncio.gather(*(server.stop(STOP_S) for server in newer))
                self.fleet.starting = []
                snapshot.unlink(missing_ok=True)
                raise
            reloader.plan, reloader.snapshot, reloader.servers = latest, snapshot, newer
            self.fleet.servers, self.fleet.starting, self.fleet.leaving = newer, [], list(older)
            for server in newer:
                self._watch.add(server)
            self.fleet.direct(newer)
        for server in older:
            await self._watch.remove(server)
        await self._let_go(older)
        return older, fixed

    async def _plan(self, snapshot: Path) -> tuple[Plan, list[str]]:
        """Plan of the configuration as it is now, whose snapshot is written, and the settings that only
        another `up` takes.

        Raises RestartRefused.
        """
        reloader, old = self._reloader, self._reloader.plan
        if old.is_scratch:
            raise RestartRefused("the database is in memory, and ends with its process")
        try:
            latest, _ = await reloader.reader.reread(old, reloader.snapshot, snapshot)
        except Refused as refused:
            raise RestartRefused(str(refused)) from None
        if latest.database != old.database:
            raise RestartRefused(
                "GENAI_DATABASE_URL has changed: the old processes could not leave their runs to the new "
                "ones. Stop `up` and start it again"
            )
        fixed = [name for name in OF_EDGE if latest.digests[name] != old.digests[name]]
        known = {name: old.digests[name] for name in OF_EDGE}
        kept = {name: getattr(old, name) for name in KEPT}
        return replace(latest, digests={**latest.digests, **known}, **kept), fixed

    async def _taken_up(self, newer: Sequence[ServerProcess]) -> None:
        """Waits until Envoy calls the new servers. Raises RestartRefused."""
        wanted = addresses(newer)

        def is_taken_up(known: dict[tuple[str, int], bool]) -> bool:
            return all(known.get(address) for address in wanted)

        def died() -> bool:
            return any(server.process is None or server.process.returncode is not None for server in newer)

        until = monotonic() + TAKE_UP_TIMEOUT_S
        while not await self._knows(is_taken_up):
            if died():
                raise RestartRefused("a new process has ended; its log above says more")
            if monotonic() > until:
                raise RestartRefused(f"Envoy calls no new process within {TAKE_UP_TIMEOUT_S:g} s")
            await asyncio.sleep(LOOK_S)

    async def _let_go(self, older: Sequence[ServerProcess]) -> None:
        """Waits until Envoy has left out the old servers, for a while."""
        left = addresses(older)
        until = monotonic() + LET_GO_TIMEOUT_S
        while not await self._knows(lambda known: left.isdisjoint(known)):
            if monotonic() > until:
                log.warning("old_servers_still_called", servers=_listed(older))
                return
            await asyncio.sleep(LOOK_S)

    async def _knows(self, reached: Callable[[dict[tuple[str, int], bool]], bool]) -> bool:
        try:
            return reached(await self.fleet.edge.servers())
        except (OSError, ValueError, http.client.HTTPException):  # it is just being restarted
            return False

    async def _retire(self, older: Sequence[ServerProcess], tell: Tell) -> int:
        """Number of old servers that were stopped, since they did not end by themselves in time."""
        plan = self._reloader.plan
        limit_s, grace_s = plan.restart_drain_timeout, plan.drain_timeout + STOP_MARGIN_S
        retiring = asyncio.gather(*(server.retire(limit_s, grace_s) for server in older))
        until, said = monotonic() + limit_s, ""
        while not retiring.done():
            try:
                await asyncio.wait([retiring], timeout=TOLD_S)
            except asyncio.CancelledError:
                retiring.cancel()
                await asyncio.gather(retiring, return_exceptions=True)
                raise
            living = [server for server in older if server.process and server.process.returncode is None]
            text = f"left in {_counted(len(living), 'old process')}: {_left(living)}"
            if living and text != said:
                said = text
                self._say(tell, "draining", text, servers=_listed(living))
            self._phase = f"{text}, for up to {max(0.0, until - monotonic()):.0f} s more"
        self.fleet.leaving = []
        return (await retiring).count(False)


def _counted(number: int, noun: str) -> str:
    plural = "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{'' if number == 1 else plural}"


def _left(servers: Sequence[ServerProcess]) -> str:
    """What retiring servers still do."""
    sums = {noun: sum(server.left.get(f"{noun}s", 0) for server in servers) for noun in ("call", "run")}
    return ", ".join(_counted(number, noun) for noun, number in sums.items())


def _listed(servers: Sequence[ServerProcess]) -> list[Line]:
    return [{**server.labels, **server.left} for server in servers]


async def _started(servers: Sequence[ServerProcess]) -> None:
    """Start of all of them. Raises RestartRefused when one does not come up."""
    starts = [asyncio.create_task(server.start()) for server in servers]
    try:
        await asyncio.gather(*starts)
    except OSError as error:
        raise RestartRefused(str(error)) from None
    finally:
        for start in starts:
            start.cancel()
        await asyncio.gather(*starts, return_exceptions=True)


async def _migrate(snapshot: Path) -> None:
    """Tables as the program on the disk wants them, which may be newer than the one that runs here.

    Raises RestartRefused.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "genai_spine", "migrate", "--no-key", "--json"),
        env={**os.environ, SNAPSHOT: str(snapshot)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(MIGRATE_TIMEOUT_S):
            said, complaint = await process.communicate()
    except TimeoutError:
        raise RestartRefused(f"`genai-spine migrate` did not end within {MIGRATE_TIMEOUT_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = complaint.decode(errors="replace").strip().splitlines()[-1:]
        raise RestartRefused(f"`genai-spine migrate` failed: {' '.join(last).removeprefix('genai-spine: ')}")
    log.info("tables_migrated", applied=json.loads(said)["applied"])
