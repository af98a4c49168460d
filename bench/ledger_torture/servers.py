"""Servers of a torture: real processes, killed with SIGKILL and started again in the place of the dead."""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import grpc

from bench.processes import ROOT
from genai_spine.v1.capability_service_pb2_grpc import CapabilityServiceStub
from genai_spine.v1.completion_service_pb2_grpc import CompletionServiceStub
from genai_spine.v1.openai_service_pb2_grpc import OpenAIServiceStub
from genai_spine.v1.prompt_service_pb2_grpc import PromptServiceStub
from genai_spine.v1.session_service_pb2_grpc import SessionServiceStub
from tests.acceptance.stack import environment

START_S = 180.0
STARTS = 5  # tries, as a supervisor makes them: a frozen process may hold SQLite's lock meanwhile
LOGGED = 20  # last lines, of a server that did not start
STOP_S = 30.0
# Each server has connections of its own; grpc would share them between channels of one address.
OPTIONS = (("grpc.use_local_subchannel_pool", 1),)


@dataclass(eq=False, slots=True)
class ServerProcess:
    """One running process and a channel to it."""

    process: asyncio.subprocess.Process
    channel: grpc.aio.Channel
    server_id: str
    completions: Any = field(init=False)
    capabilities: Any = field(init=False)
    openai: Any = field(init=False)
    prompts: Any = field(init=False)
    sessions: Any = field(init=False)

    def __post_init__(self) -> None:
        self.completions = CompletionServiceStub(self.channel)
        self.capabilities = CapabilityServiceStub(self.channel)
        self.openai = OpenAIServiceStub(self.channel)
        self.prompts = PromptServiceStub(self.channel)
        self.sessions = SessionServiceStub(self.channel)

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None


class Servers:
    """So many servers with one database; what they log goes to one file."""

    def __init__(self, count: int, folder: Path, variables: Mapping[str, str]) -> None:
        self.log = folder / "log"
        self.killed = 0
        self._count = count
        self._folder = folder
        self._variables = variables
        self._alive: list[ServerProcess] = []
        self._ready = asyncio.Event()
        self._starting: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None

    async def __aenter__(self) -> Self:
        await asyncio.gather(*(self._start() for _ in range(self._count)))
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for task in self._starting:
            task.cancel()
        await asyncio.gather(*self._starting, return_exceptions=True)
        for server in self._alive:
            server.process.terminate()
        for server in self._alive:
            await server.channel.close()
            try:
                await asyncio.wait_for(server.process.wait(), STOP_S)
            except TimeoutError:
                server.process.kill()
                await server.process.wait()

    @property
    def ended(self) -> int:
        """Number of servers that ended without a kill."""
        return sum(not server.is_alive for server in self._alive)

    def pick(self, number: int) -> ServerProcess:
        """A living server, another one for each number."""
        if self._failure is not None:
            raise RuntimeError(f"a server did not start; see {self.log}") from self._failure
        return self._alive[number % len(self._alive)]

    def by_id(self, server_id: str) -> ServerProcess | None:
        """Living server that has, or began with, an id; None: there is none."""
        return next((one for one in self._alive if server_id.startswith(one.server_id)), None)

    async def two_alive(self) -> None:
        """Returns when two servers live: one may be killed then, and the other one goes on."""
        while len(self._alive) < 2 and self._failure is None:
            self._ready.clear()
            await self._ready.wait()

    def kill(self, server: ServerProcess) -> bool:
        """Kills a server and starts another one; False: it is dead already, or is the last one."""
        if server not in self._alive or len(self._alive) < 2:
            return False
        self._alive.remove(server)
        server.process.kill()
        self.killed += 1
        task = asyncio.create_task(self._replace(server))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)
        return True

    async def all_there(self) -> None:
        """Returns when every killed server is replaced."""
        while self._starting:
            await asyncio.wait(set(self._starting))

    async def _replace(self, server: ServerProcess) -> None:
        await server.process.wait()
        for left in reversed(range(STARTS)):
            try:
                await self._start()
                break
            except Exception as error:
                if not left:
                    self._failure = error
                    self._ready.set()
        await asyncio.sleep(1)  # calls that it was answering see that it is gone
        await server.channel.close()

    def _last_lines(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOGGED:])

    async def _start(self) -> None:
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "genai_spine", "serve", "--port", "0"),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=self._folder,
                env=environment(**self._variables) | {"PYTHONPATH": str(ROOT)},
            )
        assert process.stdout
        try:
            line = await asyncio.wait_for(process.stdout.readline(), START_S)
            if not line:
                raise RuntimeError(f"a server ended with {await process.wait()}:\n{self._last_lines()}")
            said = json.loads(line)
        except BaseException:
            if process.returncode is None:
                process.kill()
            raise
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{said['port']}", OPTIONS)
        self._alive.append(ServerProcess(process, channel, said["server_id"]))
        self._ready.set()
