"""Server processes: started, watched, started again when they die, stopped in order.

One process listens on one port: with a shared port, a client that holds few connections (Envoy) would
keep one process busy and leave the others idle.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic

import structlog

START_S = 30.0  # a server that does not say its port within this has failed
MANY_DEATHS = 5  # within DEATHS_S: it dies of something that a restart does not mend
DEATHS_S = 60.0

# Run by Python in the child: the kernel ends the child when our main thread ends, however that happens,
# and then it becomes what it was started for. Else an Envoy whose parent was killed would keep the port.
DIE_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent is gone already")
os.execv(sys.argv[2], sys.argv[2:])
"""

log = structlog.get_logger()


class Failed(Exception):
    """A part could not be started or does not stay up; says which and why."""


@dataclass(slots=True)
class ServerProcess:
    """One `genai-spine serve` process."""

    lane: str
    host: str
    port: int  # 0: any; the process says which
    environment: Mapping[str, str]
    process: asyncio.subprocess.Process | None = None
    deaths: list[float] = field(default_factory=list)

    async def start(self) -> None:
        """Returns when it takes calls. Raises Failed."""
        arguments = ["--lane", self.lane, "--host", self.host, "--port", str(self.port), "--processes", "1"]
        self.process = await asyncio.create_subprocess_exec(
            *tied_to_us(),
            sys.executable,
            "-m",
            "genai_spine",
            "serve",
            *arguments,
            env={**os.environ, **self.environment},
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C in a terminal reaches the whole group; the servers stop when they are told to.
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(START_S):
                line = await self._stdout().readline()
            self.port = json.loads(line)["port"]
        except (TimeoutError, ValueError, KeyError):
            await self.stop(0)
            raise Failed(f"a server on lane {self.lane} did not start; its log above says why") from None

    async def keep(self) -> None:
        """Starts it again whenever it dies. Raises Failed when it dies too often."""
        while True:
            status = await self._running().wait()
            now = monotonic()
            self.deaths = [then for then in self.deaths if now - then < DEATHS_S] + [now]
            log.error("server_died", lane=self.lane, port=self.port, status=status)
            if len(self.deaths) >= MANY_DEATHS:
                raise Failed(f"the server on lane {self.lane} died {MANY_DEATHS} times in {DEATHS_S:g} s")
            await self.start()

    async def stop(self, grace_s: float) -> None:
        """SIGTERM lets running calls finish; SIGKILL after grace_s."""
        if self.process is None or self.process.returncode is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_s):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    def _running(self) -> asyncio.subprocess.Process:
        if self.process is None:
            raise Failed("the server was not started")
        return self.process

    def _stdout(self) -> asyncio.StreamReader:
        stdout = self._running().stdout
        if stdout is None:
            raise Failed("the server's output is not piped")
        return stdout


def tied_to_us() -> tuple[str, ...]:
    """What to put before a command so that it does not outlive this process; nothing where only Linux can."""
    if sys.platform != "linux":
        return ()
    return (sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(os.getpid()))
