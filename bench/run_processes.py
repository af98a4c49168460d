"""The processes of a measurement of runs, and the CPU time that they and their database take."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import sqlalchemy as sa

from bench.processes import ROOT, address, cpu_s, output, process
from genai_spine.store.database import Database
from genai_spine.v1.run_service_pb2_grpc import RunServiceStub

CONCURRENCY = 500  # runs at once: the streams of one process


@dataclass(slots=True)
class RunProcesses:
    """A server, with PostgreSQL a worker too, and the database."""

    url: str
    database: Database
    pids: list[int]
    channel: grpc.aio.Channel
    _backends: dict[int, float] = field(default_factory=dict)  # CPU time of PostgreSQL's processes, by pid

    @property
    def name(self) -> str:
        """SQLite or PostgreSQL."""
        return self.database.dialect

    @property
    def stub(self) -> Any:
        """Service of the process that takes calls."""
        return RunServiceStub(self.channel)

    @property
    def worker_pid(self) -> int:
        """Process that makes the runs."""
        return self.pids[-1]

    async def cpu_s(self) -> float:
        """CPU time of all until now; that of the database's processes that have ended too."""
        if self.name == "postgresql":
            async with self.database.connect() as connection:
                found = await connection.execute(sa.text("SELECT pid FROM pg_stat_activity"))
                for pid in found.scalars():
                    self._backends[pid] = max(cpu_s(pid), self._backends.get(pid, 0.0))  # 0: it has ended
        return sum(map(cpu_s, self.pids)) + sum(self._backends.values())


@asynccontextmanager
async def run_processes(url: str, upstream_url: str, **more: str) -> AsyncIterator[RunProcesses]:
    """Processes on a database, which is migrated first."""
    settings = {
        "GENAI_DATABASE_URL": url,
        "GENAI_DEFAULT_PROVIDER": "builtin",
        "GENAI_BUILTIN_BASE_URL": "builtin:",
        "GENAI_OPENAI_BASE_URL": f"{upstream_url}/v1",
        "GENAI_OPENAI_API_KEY": "bench",
        "GENAI_RATE_LIMIT_REQUESTS_PER_MINUTE": "0",
        "GENAI_LOG_LEVEL": "WARNING",
        "GENAI_DRAIN_TIMEOUT": "2",
        **more,
    }
    output("-m", "genai_spine", "migrate", tree=ROOT, **settings)
    is_embedded = url.startswith("sqlite")
    serving = settings if is_embedded else settings | {"GENAI_RUN_CONCURRENCY": "0"}
    async with AsyncExitStack() as stack:
        started = [stack.enter_context(process("genai_spine", "serve", "--port", "0", tree=ROOT, **serving))]
        if not is_embedded:
            work = process("genai_spine", "work", "--others", tree=ROOT, **settings)
            started.append(stack.enter_context(work))
        database = Database(url)
        stack.push_async_callback(database.close)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address(started[0])))
        yield RunProcesses(url, database, [one.process.pid for one in started], channel)
