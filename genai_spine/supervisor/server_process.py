"""Server processes: start, health check, ordered stop.

One process listens on one port: with a shared port, a client that holds few connections (Envoy) would
keep one process busy and leave the others idle.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from genai_spine.supervisor.health_check import Health, health_or_error, over_http
from genai_spine.supervisor.watchdog import StartFailed, abort

START_TIMEOUT_S = (
    120.0  # a server that does not say its port within this hangs: slow machines and databases need less
)
RELOAD_TIMEOUT_S = 60.0  # for a server to say what became of a new configuration
EXIT_TIMEOUT_S = 5.0  # for a server that said something else, to end by itself
SNAPSHOT = "GENAI_CONFIG_SNAPSHOT"  # as configuration.source has it, which takes 30 MiB to be imported
HEALTH_SOCKET = "GENAI_HEALTH_SOCKET"
METRICS_FOLDER = "GENAI_METRICS_FOLDER"
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # listened on -> where it is asked

# Run by Python in the child: the kernel ends the child when our main thread ends, however that happens,
# and then it becomes what it was started for. Else an Envoy whose parent was killed would keep the port.
# It leaves no core dump, which would hold prompts and keys. The limit is 1 byte, not 0: where the kernel
# pipes dumps to a program, 0 still makes one.
DIE_WITH_PARENT = """
import ctypes, os, resource, signal, sys
ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a reload, until it listens to it itself
if resource.getrlimit(resource.RLIMIT_CORE)[1] != 0:
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent is gone already")
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(slots=True)
class ServerProcess:
    """`genai-spine serve` process on one port."""

    lane: str
    host: str
    port: int  # 0: any; the process says which
    http_port: int | None = None  # the same of its HTTP server; None: it has none
    http_host: str | None = None  # where it is asked for its health over HTTP; None: it is asked by gRPC
    snapshot: Path | None = None  # file with the configuration that it reads
    health_socket: Path | None = None  # where it is asked for its health; None: at its port
    process: asyncio.subprocess.Process | None = None
    is_ready: bool = False
    # Gets the id in the ledger of a process that ended, whose calls need not wait until its lease runs out.
    on_end: Callable[[str], Awaitable[None]] | None = None
    server_id: str | None = None
    left: Mapping[str, int] = field(default_factory=dict)  # calls and runs, as it says while it retires

    @property
    def kind(self) -> str:
        return "server"

    @property
    def labels(self) -> Mapping[str, object]:
        return {"lane": self.lane, "port": self.port, "pid": self.process and self.process.pid}

    async def start(self) -> None:
        """Start; returns when the process takes calls. Raises StartFailed."""
        self.is_ready, version = False, self._version()
        environment = {SNAPSHOT: str(self.snapshot)} if self.snapshot else {}
        if self.snapshot:
            environment[METRICS_FOLDER] = str(self.snapshot.parent / "metrics")
        if self.health_socket:
            self.health_socket.unlink(missing_ok=True)  # of the process before
            environment[HEALTH_SOCKET] = str(self.health_socket)
        arguments = ["--lane", self.lane, "--host", self.host, "--port", str(self.port), "--processes", "1"]
        if self.http_port is not None:
            arguments += ["--http-port", str(self.http_port)]
        self.process = await asyncio.create_subprocess_exec(
            *tied_to_us(),
            sys.executable,
            "-m",
            "genai_spine",
            "serve",
            *arguments,
            env={**os.environ, **environment},
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C in a terminal reaches the whole group; the servers stop when they are told to.
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                line = await self._stdout().readline()
            said = json.loads(line)
            self.port, self.server_id = said["port"], said["server_id"]
            self.http_port = said["http_port"]
        except TimeoutError:
            await abort(self.process)
            raise self._failed(f"said no port within {START_TIMEOUT_S:g} s") from None
        except (ValueError, KeyError):
            await self.stop(EXIT_TIMEOUT_S)
            raise self._failed(f"ended with status {self.process.returncode}") from None
        self.is_ready = True
        if version != self._version():  # it may have read the one before
            await self.reload()

    async def reload(self) -> str | None:
        """Lets the process read its configuration again. Why it refuses it; None when it is in force.

        One that does not run yet, or not any more, reads it when it starts.
        """
        if not self.is_ready or self.process is None or self.process.returncode is not None:
            return None
        self.process.send_signal(signal.SIGHUP)
        try:
            async with asyncio.timeout(RELOAD_TIMEOUT_S):
                answer = json.loads(await self._stdout().readline())
        except TimeoutError:
            return f"the server on port {self.port} does not answer within {RELOAD_TIMEOUT_S:g} s"
        except ValueError:  # it ended, and is started again
            return None
        refused: str | None = answer.get("refused")
        return refused

    def _version(self) -> tuple[int, int] | None:
        """Identity of the snapshot: each new one is another file."""
        if self.snapshot is None:
            return None
        found = self.snapshot.stat()
        return found.st_ino, found.st_mtime_ns

    def _failed(self, why: str) -> StartFailed:
        return StartFailed(f"a server on lane {self.lane} did not start: it {why}; its log above says more")

    async def restart(self) -> None:
        await self.start()

    async def wait(self) -> int:
        status = await self._running().wait()
        if self.on_end is not None and self.server_id is not None:
            await self.on_end(self.server_id)
        return status

    async def check(self, limit_s: float) -> Health:
        """Health on a connection of its own, which a blocked event loop does not answer.

        It is asked for over plain HTTP where that is known to be spoken, else by grpc.health.v1.
        """
        host = ANY_ADDRESS.get(self.host, self.host)
        if self.http_host is not None and self.http_port is not None:
            return await over_http(self.http_host, self.http_port, limit_s)
        address = f"{host}:{self.port}"
        if self.health_socket:
            address = f"unix:{self.health_socket}"
        match await health_or_error(address, limit_s):
            case "SERVING" | "NOT_SERVING":
                return Health.ANSWERS
            case "UNAVAILABLE":
                return Health.CLOSED
            case (
                _
            ):  # no answer in time; or refused by the library below our code, which may hang all the same
                return Health.SILENT

    async def abort(self) -> None:
        """Ends it at once; its log has the stack of every thread."""
        await abort(self._running())

    async def retire(self, limit_s: float, grace_s: float) -> bool:
        """SIGUSR2 lets it end what it has begun; stop(grace_s) after limit_s. Whether it needed no stop."""
        if not self.is_ready or self.process is None or self.process.returncode is not None:
            await self.stop(grace_s)
            return True
        self.process.send_signal(signal.SIGUSR2)
        try:
            async with asyncio.timeout(limit_s):
                while line := await self._stdout().readline():
                    self.left = json.loads(line)
                await self.wait()
        except TimeoutError:
            await self.stop(grace_s)
            await self.wait()
            return False
        return True

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
            raise StartFailed("the server was not started")
        return self.process

    def _stdout(self) -> asyncio.StreamReader:
        stdout = self._running().stdout
        if stdout is None:
            raise StartFailed("the server's output is not piped")
        return stdout


def tied_to_us() -> tuple[str, ...]:
    """Words before a command, so that it does not outlive this process and leaves no core dump.

    None where only Linux can do that.
    """
    if sys.platform != "linux":
        return ()
    return (sys.executable, "-I", "-S", "-c", DIE_WITH_PARENT, str(os.getpid()))
