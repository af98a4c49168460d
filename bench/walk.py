"""Counts what one warm call goes through in the package: files, calls, returns to a file, async generators.

A return is a call from one file of the package into another one that the request has been in before.
Generators are the async generators that stand between the socket and gRPC when a chunk is written. Calls
after the answer has gone out (the log line) count; generated stubs do not.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.processes import MODEL, ROOT, Running, address, output, process, python, serving
from bench.targets import TEXT, Typed
from genai_spine.v1 import capability_service_pb2 as capability_pb
from genai_spine.v1 import session_service_pb2 as session_pb
from genai_spine.v1.capability_service_pb2_grpc import CapabilityServiceStub
from genai_spine.v1.session_service_pb2_grpc import SessionServiceStub

if TYPE_CHECKING:
    from genai_spine.v1.capability_service_pb2_grpc import CapabilityServiceAsyncStub
    from genai_spine.v1.session_service_pb2_grpc import SessionServiceAsyncStub

PROBE = ROOT / "bench" / "probe.py"
CHUNKS, INTERVAL_MS = 8, 50  # far enough apart that each one is a read of its own
QUIET_S = 0.3  # until what a call leaves behind has been done
IDLE_S = 1.5  # the server's own work that is done about once a second is seen in it
TRIES = 3  # rarer work falls into one of them at most
MOST_TRIES = 10
Call = Callable[[], Awaitable[object]]
Entered = tuple[str | None, str, str]  # caller's file, file, task and function


@dataclass(frozen=True, slots=True)
class Walk:
    """One call's way: its files in the order in which it first enters them."""

    name: str
    calls: list[Entered]
    generators: list[str]  # from the socket outwards

    @property
    def files(self) -> list[str]:
        return list(dict.fromkeys(file for _, file, _ in self.calls))

    @property
    def returns(self) -> int:
        entered: set[str] = set()
        count = 0
        for caller, file, _ in self.calls:
            count += caller not in (None, file) and file in entered
            entered.add(file)
        return count

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "files": self.files,
            "calls": len(self.calls),
            "returns": self.returns,
            "generators": self.generators,
        }


class Merged(Exception):
    """Several chunks came in one read, as on a machine that is busy elsewhere: the walk was a shorter one."""


class Calls:
    """One call of each kind, by the contract alone."""

    def __init__(self, netloc: str) -> None:
        self.typed = Typed(netloc)
        self.capabilities: CapabilityServiceAsyncStub = CapabilityServiceStub(self.typed.channel)
        self.sessions: SessionServiceAsyncStub = SessionServiceStub(self.typed.channel)
        self.session_id = ""

    async def streamed(self) -> None:
        """Raises Merged."""
        chunks = await self.typed.stream()
        if sum(any(delta.content for delta in chunk.choices) for chunk in chunks) != CHUNKS:
            raise Merged

    async def summarize(self) -> None:
        await self.capabilities.Summarize(capability_pb.SummarizeRequest(text=TEXT, model=MODEL))

    async def begin_session(self) -> None:
        """A conversation with one question and its answer."""
        session = await self.sessions.CreateSession(session_pb.CreateSessionRequest(model=MODEL))
        self.session_id = session.id
        await self.send()

    async def send(self) -> None:
        request = session_pb.SendMessageRequest(session_id=self.session_id, content=TEXT)
        await self.sessions.SendMessage(request)


async def walked(tree: Path) -> list[Walk]:
    """Walks through the server of a checkout of any commit, whatever its modules are called."""
    pace = ("--chunks", str(CHUNKS), "--interval-ms", str(INTERVAL_MS))
    with (
        process("tests.upstreams.openai", "--fast", "--port", "0", *pace) as mock,
        tempfile.TemporaryDirectory(prefix="genai-spine-bench-") as folder,
    ):
        settings = serving(f"http://{address(mock)}", Path(folder))
        output("-m", "genai_spine", "migrate", tree=tree, **settings)
        with python("-P", str(PROBE), str(tree), "serve", "--port", "0", tree=tree, **settings) as server:
            calls = Calls(address(server))
            probed = Probed(server)
            await probed.idle(calls.typed.stream)
            walks = [
                await probed.quietest("streamed chat", calls.streamed, before=calls.typed.stream),
                await probed.quietest("unary completion", calls.typed.unary, before=calls.typed.unary),
                await probed.quietest("Summarize", calls.summarize, before=calls.summarize),
                await probed.quietest("SendMessage", calls.send, before=calls.begin_session),
            ]
            await calls.typed.close()
            return walks


class Probed:
    """A server that records its calls."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.own: set[Entered] = set()  # what it does without being called

    async def idle(self, before: Call) -> None:
        """Learns the server's own calls, which the walks then leave out."""
        await before()
        own = await self._recorded("idle", partial(asyncio.sleep, IDLE_S))
        self.own = set(own.calls)

    async def quietest(self, name: str, call: Call, *, before: Call) -> Walk:
        """Of some tries the one with the fewest calls. before: readies the server for each of them."""
        tries: list[Walk] = []
        for _ in range(MOST_TRIES):
            await before()
            with suppress(Merged):
                tries.append(await self._recorded(name, call))
            if len(tries) == TRIES:
                return min(tries, key=lambda walk: len(walk.calls))
        raise RuntimeError(f"{name}: several chunks came in one read, again and again")

    async def _recorded(self, name: str, call: Call) -> Walk:
        await asyncio.sleep(QUIET_S)
        self.server.told("begin")
        try:
            await call()
            await asyncio.sleep(QUIET_S)
        finally:
            recorded = self.server.told("end")
        entered: list[Entered] = [(caller, file, what) for caller, file, what in recorded["calls"]]
        return Walk(name, [one for one in entered if one not in self.own], recorded["generators"])


def printed(walks: list[Walk]) -> str:
    lines = [f"{'':<18}{'files':>8}{'calls':>8}{'returns':>9}{'generators':>12}"]
    lines += [
        f"{walk.name:<18}{len(walk.files):>8}{len(walk.calls):>8}{walk.returns:>9}{len(walk.generators):>12}"
        for walk in walks
    ]
    return "\n".join(lines)


def listed(walks: list[Walk]) -> str:
    """Each call's files in the order in which it enters them, and its generators."""
    lines = []
    for walk in walks:
        lines += ["", f"{walk.name}:", *(f"  {file}" for file in walk.files)]
        lines += [f"  generator: {generator}" for generator in walk.generators]
    return "\n".join(lines)
