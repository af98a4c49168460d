"""Processes that make runs are killed, frozen and stopped: each run ends once, on whichever is left."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy as sa

from genai_spine.store.database import Database
from genai_spine.store.runs.tables import dead_letters, runs
from genai_spine.v1 import run_pb2
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.run_service_pb2_grpc import RunServiceStub
from genai_spine.v1.work_pb2 import Work
from tests.acceptance.test_deaths import REQUEST, ended, running
from tests.databases import PostgresServer
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

WORDS = [f"word{number} " for number in range(20)]
LEASE_S = 2.0
PATIENCE_S = 60.0
TAKEN_OVER = ["created", "queued", "started", "orphan_detected", "started", "reconciled", "completed"]


@dataclass(slots=True)
class Server:
    """One server process, and a channel to it."""

    process: "subprocess.Popen[bytes]"
    id: str
    channel: grpc.aio.Channel
    runs: Any

    async def submit(self, **options: Any) -> str:
        request = pb.CreateRunRequest(work=Work(completion=REQUEST), options=run_pb2.RunOptions(**options))
        return str((await self.runs.CreateRun(request)).run_id)

    async def get(self, run_id: str) -> run_pb2.Run:
        found: run_pb2.Run = await self.runs.GetRun(pb.GetRunRequest(run_id=run_id))
        return found

    async def until_running(self, run_id: str) -> run_pb2.Run:
        async def is_running() -> bool:
            return (await self.get(run_id)).status == "running"

        await until(is_running)
        return await self.get(run_id)

    async def wait(self, run_id: str) -> run_pb2.Run:
        """The run at its end."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                request = pb.WaitRunRequest(run_id=run_id)
                request.timeout.FromMilliseconds(5000)
                run: run_pb2.Run = await self.runs.WaitRun(request, wait_for_ready=True)
                if run.HasField("end_time"):
                    return run

    async def events(self, run_id: str) -> list[str]:
        """Types of a run's events, which are numbered without a gap."""
        listed = await self.runs.ListRunEvents(pb.ListRunEventsRequest(run_id=run_id))
        assert [event.sequence for event in listed.events] == list(range(1, len(listed.events) + 1))
        return [event.event_type for event in listed.events]


@pytest.fixture
def variables(openai_upstream: UpstreamProcess) -> dict[str, str]:
    openai_upstream.script(default=Reply(WORDS, interval_s=0.25))
    return {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_LEASE_TTL": str(LEASE_S),
        "GENAI_DRAIN_DELAY": "0",
        "GENAI_DRAIN_TIMEOUT": "0.5",
    }


@asynccontextmanager
async def servers(
    count: int, folder: Path, variables: dict[str, str], url: str, *command: str
) -> AsyncIterator[list[Server]]:
    """Server processes of one database."""
    arguments = command or ("serve", "--port", "0")
    async with AsyncExitStack() as stack:
        found = []
        for _ in range(count):
            process, said = stack.enter_context(
                running(*arguments, folder=folder, **variables, GENAI_DATABASE_URL=url)
            )
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{said['port']}"))
            found.append(Server(process, said["server_id"], channel, RunServiceStub(channel)))
        yield found


async def maker(of: list[Server], run_id: str) -> tuple[Server, Server]:
    """The server that makes a run, and another one."""
    run = await of[0].until_running(run_id)
    [making] = [server for server in of if server.id == run.worker_id]
    return making, next(server for server in of if server is not making)


async def test_run_of_a_killed_process_is_finished_once_by_another_one(
    variables: dict[str, str], database_url: str, tmp_path: Path, openai_upstream: UpstreamProcess
) -> None:
    count = 3 if database_url.startswith("postgresql") else 2
    async with servers(count, tmp_path, variables, database_url) as found:
        run_id = await found[-1].submit()
        making, other = await maker(found, run_id)
        await until(lambda: len(openai_upstream.bill()) == 1)
        making.process.kill()
        run = await other.wait(run_id)
        assert (run.status, run.attempt) == ("completed", 1)
        assert run.worker_id != making.id
        assert await other.events(run_id) == TAKEN_OVER
        assert "".join(part.text for part in _message(run).content) == "".join(WORDS)
    assert len(openai_upstream.bill()) == 2


def _message(run: run_pb2.Run) -> Any:
    return run.response.completion.choices[0].message


async def test_run_is_finished_after_the_restart_of_its_only_process(
    variables: dict[str, str], sqlite_url: str, tmp_path: Path, openai_upstream: UpstreamProcess
) -> None:
    async with servers(1, tmp_path, variables, sqlite_url) as [server]:
        run_id = await server.submit()
        await server.until_running(run_id)
        server.process.kill()
    async with servers(1, tmp_path, variables, sqlite_url) as [server]:
        run = await server.wait(run_id)
        assert (run.status, run.attempt) == ("completed", 1)
        assert await server.events(run_id) == TAKEN_OVER
    assert len(openai_upstream.bill()) <= 2


async def test_frozen_process_that_wakes_writes_nothing_and_calls_nobody(
    variables: dict[str, str], database_url: str, tmp_path: Path, openai_upstream: UpstreamProcess
) -> None:
    async with servers(2, tmp_path, variables, database_url) as found:
        run_id = await found[0].submit()
        making, other = await maker(found, run_id)
        await until(lambda: len(openai_upstream.bill()) == 1)
        making.process.send_signal(signal.SIGSTOP)
        run = await other.wait(run_id)
        assert (run.status, run.attempt) == ("completed", 1)
        making.process.send_signal(signal.SIGCONT)
        again = await making.submit()  # it serves on, under another id
        assert (await making.wait(again)).status == "completed"
        assert await other.events(run_id) == TAKEN_OVER
        assert (await other.get(run_id)).end_time == run.end_time
        assert len(openai_upstream.bill()) == 3
        assert making.process.poll() is None


async def test_run_that_kills_its_workers_again_and_again_is_dead_lettered(
    variables: dict[str, str], database_url: str, tmp_path: Path, openai_upstream: UpstreamProcess
) -> None:
    database = Database(database_url)
    async with servers(2, tmp_path, variables, database_url) as found:
        run_id = await found[0].submit()
        making, other = await maker(found, run_id)
        async with database.begin() as connection:  # it was taken over three times before
            await connection.execute(sa.update(runs).values(recoveries=3))
        making.process.kill()
        run = await other.wait(run_id)
        assert (run.status, run.error.type) == ("dead_lettered", "worker_lost")
        events = await other.events(run_id)
        assert events == ["created", "queued", "started", "orphan_detected", "failed", "dead_lettered"]
        async with database.connect() as connection:
            letters = (await connection.execute(sa.select(dead_letters.c.run_id))).scalars().all()
        assert letters == [run_id]
    await database.close()
    assert len(openai_upstream.bill()) <= 1


async def test_database_that_stops_and_starts_costs_no_run(
    variables: dict[str, str],
    postgres_url: str,
    postgres_server: PostgresServer,
    tmp_path: Path,
    openai_upstream: UpstreamProcess,
) -> None:
    """Longer than the lease lasts: the work is dropped, nobody is called, and all is made afterwards."""
    async with servers(2, tmp_path, variables, postgres_url) as found:
        ids = [await found[0].submit() for _ in range(4)]
        for run_id in ids:
            await found[0].until_running(run_id)
        await until(lambda: len(openai_upstream.bill()) == len(ids))
        postgres_server.stop()
        await asyncio.sleep(2 * LEASE_S)
        assert len(openai_upstream.bill()) == len(ids)  # nothing is paid without a database
        postgres_server.start()
        for run_id in ids:
            run = await found[0].wait(run_id)
            assert (run.status, run.attempt) == ("completed", 1)
            events = await found[0].events(run_id)
            assert events.count("completed") == 1
        assert len(openai_upstream.bill()) <= 2 * len(ids)
        assert [server.process.poll() for server in found] == [None, None]


async def test_database_that_restarts_during_a_takeover_makes_no_run_twice(
    variables: dict[str, str],
    postgres_url: str,
    postgres_server: PostgresServer,
    tmp_path: Path,
    openai_upstream: UpstreamProcess,
) -> None:
    async with servers(2, tmp_path, variables, postgres_url) as found:
        run_id = await found[0].submit()
        making, other = await maker(found, run_id)
        making.process.kill()
        await asyncio.sleep(LEASE_S)  # about when it is taken over
        postgres_server.stop()
        postgres_server.start()
        run = await other.wait(run_id)
        assert (run.status, run.attempt) == ("completed", 1)
        events = await other.events(run_id)
        assert events.count("completed") == 1
    assert len(openai_upstream.bill()) <= 3


async def test_runs_of_a_stopping_process_go_on_elsewhere_at_once(
    variables: dict[str, str], database_url: str, tmp_path: Path, openai_upstream: UpstreamProcess
) -> None:
    patient = variables | {"GENAI_LEASE_TTL": "60"}
    async with servers(2, tmp_path, patient, database_url) as found:
        run_id = await found[0].submit()
        making, other = await maker(found, run_id)
        watching = asyncio.create_task(_watched(other, run_id))
        making.process.send_signal(signal.SIGTERM)
        assert await ended(making.process) == 0
        run = await other.wait(run_id)
        assert (run.status, run.attempt) == ("completed", 1)
        assert await watching == list(range(1, len(TAKEN_OVER) + 1))
        assert await other.events(run_id) == TAKEN_OVER
    assert await recoveries(database_url) == [0], "a deploy is not the run's fault"


async def recoveries(url: str) -> list[int]:
    """Takeovers of all runs that count."""
    database = Database(url)
    async with database.connect() as connection:
        found = list((await connection.execute(sa.select(runs.c.recoveries))).scalars())
    await database.close()
    return found


async def _watched(server: Server, run_id: str) -> list[int]:
    """Numbers of the events that a watcher sees, to the end."""
    request = pb.WatchRunRequest(run_id=run_id)
    return [event.sequence async for event in server.runs.WatchRun(request) if event.event_type != "output"]


async def test_process_that_drains_lets_short_runs_end_and_takes_no_others(
    variables: dict[str, str], database_url: str, tmp_path: Path, openai_upstream: UpstreamProcess
) -> None:
    patient = variables | {"GENAI_DRAIN_TIMEOUT": "20"}
    async with servers(2, tmp_path, patient, database_url) as found:
        run_id = await found[0].submit()
        making, other = await maker(found, run_id)
        making.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        later = await other.submit()
        assert (await other.wait(later)).worker_id.startswith(other.id)
        assert (await other.wait(run_id)).worker_id == making.id
        assert await other.events(run_id) == ["created", "queued", "started", "completed"]
        assert await ended(making.process) == 0
    assert len(openai_upstream.bill()) == 2
