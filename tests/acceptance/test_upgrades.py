"""Runs that an older version began are finished by this one; and two versions make runs beside each other."""

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from genai_spine.store import schema
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.runs.tables import runs
from genai_spine.store.tables import executions
from genai_spine.v1 import dead_letter_service_pb2 as letters
from genai_spine.v1 import run_pb2
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1 import schedule_service_pb2 as schedules
from genai_spine.v1.dead_letter_service_pb2_grpc import DeadLetterServiceStub
from genai_spine.v1.schedule_service_pb2_grpc import ScheduleServiceStub
from tests.acceptance.stack import ROOT
from tests.acceptance.test_deaths import ended as ended_with
from tests.acceptance.test_run_deaths import Server, servers
from tests.databases import BOTH, PostgresServer
from tests.upgrades import restored, work
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

LEASE_S = 2.0
OLDER, NEWER = "0.0.1", "99.0.0"
# Read by Python before the program: the package is another version for it.
SITE = """from importlib import metadata
found = metadata.version
metadata.version = lambda name: {version!r} if name == "genai-spine" else found(name)
"""


@pytest.fixture
def variables(openai_upstream: UpstreamProcess) -> dict[str, str]:
    return {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_LEASE_TTL": str(LEASE_S),
        "GENAI_DRAIN_DELAY": "0",
        "GENAI_PROVIDER_BATCH_POLL_S": "0.2",
        "GENAI_RUN_RETENTION_DAYS": "3650",  # the runs are as old as the version
    }


@pytest.fixture(params=[f"{version}-{dialect}" for version in restored.VERSIONS for dialect in BOTH])
async def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a database as an older version left it, which is migrated now, an hour after all that is due."""
    version, _, dialect = request.param.rpartition("-")
    if dialect == "sqlite":
        url = restored.sqlite_url(version, tmp_path)
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        url = await restored.postgres_url(version, server)
    await schema.upgrade(url)
    database = Database(url)
    async with database.begin() as connection:
        due = sa.update(runs).where(runs.c.ready_at.is_not(None))
        await connection.execute(due.values(ready_at=runs.c.created_at))
        begun = sa.update(runs).where(runs.c.status == "running")
        await connection.execute(begun.values(started_at=Now()))  # else their time would be up
    await database.close()
    return url


async def by_key(url: str) -> dict[str, str]:
    """Ids of the runs by the names that work.py gives them."""
    database = Database(url)
    async with database.connect() as connection:
        found = await connection.execute(sa.select(runs.c.idempotency_key, runs.c.id))
        ids = {key: id for key, id in found if key is not None}
    await database.close()
    return ids


async def rows_of(url: str, run_id: str) -> list[Any]:
    database = Database(url)
    async with database.connect() as connection:
        found = await connection.execute(sa.select(executions).where(executions.c.run_id == run_id))
        rows = list(found.mappings())
    await database.close()
    return rows


def calls(upstream: UpstreamProcess, key: str) -> Counter[str]:
    """How often this version called the provider, by the mark of what a run asks."""
    found = (entry.raw for entry in upstream.bill() if entry.path == "/v1/chat/completions")
    marks = [raw.partition(f"[{key} ")[2].partition("]")[0] for raw in found if f"[{key} " in raw]
    return Counter(f"[{key} {mark}]" for mark in marks)


@pytest.mark.timeout(240)
async def test_runs_that_an_older_version_began_are_finished_once(
    variables: dict[str, str], old_url: str, tmp_path: Path, openai_upstream: UpstreamProcess
) -> None:
    ids = await by_key(old_url)
    async with servers(1, tmp_path, variables, old_url) as [server]:
        ended = {key: await server.wait(ids[key]) for key in ids if key not in ("held", "buried")}
        left = ended.pop("leaving")
        assert (left.status, left.item_counts.completed) == ("cancelled", 2)
        assert {key: run.status for key, run in ended.items()} == dict.fromkeys(ended, "completed")
        await check_batch(server, openai_upstream, ended["batch"])
        asked = {key: calls(openai_upstream, key) for key in ids}
        once = {key: {work.item(key, 0): 1} for key in ("single", "waiting", "retried")}
        assert {key: asked[key] for key in once} == once
        assert ended["retried"].attempt == 2
        assert asked["done"] == asked["held"] == asked["buried"] == asked["leaving"] == {}
        if "pipeline" in ids:  # the second step is made of the first one's answer, which the third quotes
            assert asked["pipeline"] == {"[pipeline 1]": 2}
            assert ended["pipeline"].response.pipeline.success
        if "pooled" in ids:  # its provider's batch is one that the provider knows no more
            assert asked["pooled"] == {work.item("pooled", place): 1 for place in range(6)}
        await check_what_waited(server, ids)
        for key, run_id in ids.items():
            assert len(await server.events(run_id)) > 3, key
            rows = await rows_of(old_url, run_id)
            assert {row["state"] for row in rows} <= {"SUCCEEDED", "LOST", "FAILED", "CANCELLED"}, key
            booked = (await server.get(run_id)).cost.cost_ticks
            assert sum(row["cost_ticks"] for row in rows) == booked, key
        again = await server.runs.CreateRun(work.request("done", work.item("done", 0)))
        assert again.run_id == ids["done"]


async def check_batch(server: Server, upstream: UpstreamProcess, run: run_pb2.Run) -> None:
    """Items that had ended have their old answers, and the others were asked for once."""
    assert run.item_counts.completed == work.ITEMS
    made = range(work.ITEMS_DONE, work.ITEMS)
    assert calls(upstream, "batch") == {work.item("batch", place): 1 for place in made}
    request = pb.ListRunItemsRequest(run_id=run.run_id, page_size=1000)
    items = (await server.runs.ListRunItems(request)).items
    assert [item.index for item in items] == list(range(work.ITEMS))
    for item in items:
        [part] = item.response.completion.choices[0].message.content
        assert work.item("batch", item.index) in part.text
    events = await server.runs.ListRunEvents(pb.ListRunEventsRequest(run_id=run.run_id, page_size=1000))
    ended = [int(event.data["index"]) for event in events.events if event.event_type == "item_completed"]
    assert sorted(ended) == list(range(work.ITEMS))


async def check_what_waited(server: Server, ids: dict[str, str]) -> None:
    """A run that is held starts once it is approved, and a dead letter is replayed."""
    assert (await server.get(ids["held"])).status == "pending"
    await server.runs.ApproveRun(pb.ApproveRunRequest(run_id=ids["held"]))
    assert (await server.wait(ids["held"])).status == "completed"
    assert (await server.get(ids["buried"])).status == "dead_lettered"
    stub: Any = DeadLetterServiceStub(server.channel)
    [letter] = (await stub.ListDeadLetters(letters.ListDeadLettersRequest())).dead_letters
    request = letters.ReplayDeadLetterRequest(dead_letter_id=letter.dead_letter_id)
    replayed = await stub.ReplayDeadLetter(request)
    assert replayed.run_id == ids["buried"]
    assert (await server.wait(ids["buried"])).status == "completed"
    known: Any = ScheduleServiceStub(server.channel)
    triggered = await known.TriggerSchedule(schedules.TriggerScheduleRequest(schedule_id="upgraded"))
    assert (await server.wait(triggered.run_id)).status == "completed"


def saying(version: str, folder: Path, variables: dict[str, str]) -> dict[str, str]:
    """Variables of a process that is another version of the package."""
    site = folder / version
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE.format(version=version))
    return variables | {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", str(ROOT))])}


async def versions(server: Server) -> list[str]:
    """Versions of the processes that make runs now."""
    found = await server.runs.ListWorkers(pb.ListWorkersRequest())
    return sorted(worker.version for worker in found.workers if not worker.is_draining)


@pytest.mark.parametrize("order", [(OLDER, NEWER), (NEWER, OLDER)], ids=["upgrade", "way back"])
@pytest.mark.timeout(240)
async def test_batch_of_one_version_goes_on_with_another_one(
    variables: dict[str, str],
    database_url: str,
    tmp_path: Path,
    openai_upstream: UpstreamProcess,
    order: tuple[str, str],
) -> None:
    openai_upstream.script(*[Reply()] * work.ITEMS_DONE, default=Reply(is_held=True))
    first, second = (saying(version, tmp_path, variables) for version in order)
    async with servers(1, tmp_path, first | {"GENAI_DRAIN_TIMEOUT": "0.5"}, database_url) as [leaving]:
        run_id = (await leaving.runs.CreateRun(work.batch("rolled", done=work.ITEMS))).run_id
        held = (await leaving.runs.CreateRun(work.held("held"))).run_id
        await until(lambda: len(openai_upstream.bill()) > work.ITEMS_DONE)
        async with servers(1, tmp_path, second, database_url) as [staying]:

            async def are_there() -> bool:
                return await versions(staying) == sorted(order)

            await until(are_there)
            leaving.process.send_signal(signal.SIGTERM)
            assert await ended_with(leaving.process) == 0
            openai_upstream.release()
            run = await staying.wait(run_id)
            assert (run.status, run.attempt, run.item_counts.completed) == ("completed", 1, work.ITEMS)
            assert run.worker_id.startswith(staying.id)
            sends = calls(openai_upstream, "rolled")
            assert set(sends) == {work.item("rolled", place) for place in range(work.ITEMS)}
            assert sends.total() <= work.ITEMS + 4  # those in flight when the first one left
            assert "orphan_detected" in await staying.events(run_id)
            await staying.runs.ApproveRun(pb.ApproveRunRequest(run_id=held))
            assert (await staying.wait(held)).status == "completed"
