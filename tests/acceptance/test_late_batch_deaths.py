"""Processes are killed while they book a batch that was given up and showed: each line is booked once."""

import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from genai_spine.store.database import Database
from genai_spine.store.runs.tables import provider_batches
from genai_spine.store.tables import executions
from tests.acceptance.test_provider_batch_torture import selected, settings, work
from tests.acceptance.test_run_deaths import servers
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.reply import Reply
from tests.waiting import until

FEW, MANY = 20, 300  # items; many: enough for a kill in the middle of their booking
FIRST = "batch_0001"  # which nobody heard of
OUTPUT = "/v1/files/file-0004/content"  # its: two inputs and the output of the second one come before
STALLED = {  # path of the provider at which a call is stalled; None: where the database says so
    "listed": "/v1/batches",
    "cancelling": f"/v1/batches/{FIRST}/cancel",
    "looking": f"/v1/batches/{FIRST}",
    "reading": OUTPUT,
    "booking": None,
}


@pytest.fixture
async def upstream() -> AsyncIterator[OpenAIUpstream]:
    async with OpenAIUpstream() as found:
        yield found


async def late(database: Database) -> list[Any]:
    """Rows of late calls."""
    return await selected(database, sa.select(executions).where(executions.c.request_id.like("%-late")))


async def states(database: Database) -> list[tuple[str, str | None]]:
    rows = await selected(database, sa.select(provider_batches).order_by(provider_batches.c.part))
    return [(row["state"], row["batch_id"]) for row in rows]


@pytest.mark.timeout(200)
@pytest.mark.parametrize("stage", STALLED)
async def test_late_batch_is_booked_once_whenever_its_sweepers_die(
    upstream: OpenAIUpstream, database_url: str, database: Database, tmp_path: Path, stage: str
) -> None:
    cabinet, path = upstream.cabinet, STALLED[stage]
    count = MANY if path is None else FEW
    variables = settings(upstream, "openai") | {"GENAI_PROVIDER_BATCH_GRACE_S": "1", "GENAI_LEASE_TTL": "6"}
    cabinet.hides = {FIRST}
    upstream.script(Reply(fault="close"), on="/v1/batches")
    async with servers(2, tmp_path, variables, database_url) as found:
        run_id = (await found[0].runs.CreateRun(work("openai", count))).run_id
        run = await found[0].wait(run_id)
        assert (run.status, run.item_counts.completed) == ("completed", count)
        assert await states(database) == [("dropped", None), ("ended", "batch_0002")]
        seen = len(upstream.bill)
        if path is not None:
            upstream.script(Reply(fault="stall", after=0 if path == OUTPUT else None), on=path)
        if stage in ("reading", "booking"):
            cabinet._end(cabinet.batches[FIRST], "completed")
        cabinet.hides = set()
        if path is None:
            await until(lambda: _has_rows(database))
        else:
            await until(lambda: any(entry.path == path for entry in upstream.bill.entries[seen:]))
        for server in found:
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
    async with servers(2, tmp_path, variables, database_url) as found:

        async def is_booked() -> bool:
            return (await states(database))[0] == ("dropped", FIRST)

        await until(is_booked)
        run = await found[0].get(run_id)
        rows = await late(database)
        assert len(rows) == cabinet.batches[FIRST]["request_counts"]["completed"]
        assert set(Counter(row["step_id"] for row in rows).values()) <= {1}
        assert {(row["state"], row["output_provenance"]) for row in rows} <= {
            ("SUCCEEDED", "PROVIDER_REPORTED")
        }
        all_rows = await selected(database, sa.select(executions).where(executions.c.run_id == run_id))
        assert run.cost.cost_ticks == sum(row["cost_ticks"] for row in all_rows)
        assert run.discarded_cost.cost_ticks == sum(row["cost_ticks"] for row in rows)
        assert not [row for row in all_rows if row["state"] == "PENDING" or row["held_ticks"]]


async def _has_rows(database: Database) -> bool:
    return bool(await late(database))
