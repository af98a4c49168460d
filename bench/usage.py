"""`python -m bench.usage 10000000`: how long a report of usage takes, of calls that the database makes up."""

import asyncio
import shutil
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.store import schema
from genai_spine.store.database import Database
from genai_spine.store.usage.rollups import Rollups
from genai_spine.store.usage.sums import UsageSums
from genai_spine.usage.reports import UsageReports
from genai_spine.v1.usage_service_pb2 import GetUsageRequest
from tests.databases import PostgresServer

DAYS = 30
ROLLUPS = ("usage_rollup", "usage_rollup_days", "usage_rollup_models")
ASKED = 11  # times
# What a filled table needs while it is filled is its key alone.
UNUSED = ("prompt", "user", "correlation", "failed", "session", "run", "request_id")
FILL = """
INSERT INTO executions (id, provider, model, input_tokens, output_tokens, cost_usd, latency_ms, success,
    created_at, state, request_id, operation, requested_model, attempt, streamed, cost_ticks, price_known,
    is_free, price_book, input_provenance, output_provenance, uncached_input_tokens, cache_read_tokens,
    cache_write_5m_tokens, cache_write_1h_tokens, audio_input_tokens, image_input_tokens,
    visible_output_tokens, reasoning_tokens, audio_output_tokens, accepted_prediction_tokens,
    rejected_prediction_tokens, caller, lane, server_id, settled_at, tenant_id, project_id, api_key_id,
    user_id, cost_labels)
SELECT '{day}-' || n, (ARRAY['openai','anthropic','bedrock','ollama'])[1 + n % 4], 'model-' || n % 20,
    n % 4000, n % 500, 0, n % 3000, n % 50 > 0, timestamptz '{start}' + n * interval '{gap} microseconds',
    CASE WHEN n % 50 > 0 THEN 'SUCCEEDED' ELSE 'FAILED' END, '{day}-' || n, 'completion', '', 1, true,
    n % 100000, true, false, 'book', 'PROVIDER_REPORTED', 'PROVIDER_REPORTED', n % 4000, 0, 0, 0, 0, 0,
    n % 500, 0, 0, 0, 0, 'bench', 'cpu', 'bench', timestamptz '{start}',
    CASE WHEN n % 10 < 9 THEN 'default-tenant' ELSE 'tenant-' || n % 7 END, 'project-' || n % 5,
    'key-' || n % 10, 'user-' || n % 50, json_build_object('team', 'team-' || n % 8)
FROM generate_series(1, {rows}) AS n
"""


async def measure(rows: int) -> None:
    """Prints how long it takes to fill, roll up and ask a PostgreSQL with so many calls of 30 days."""
    folder = _folder()
    server = PostgresServer(folder)
    try:
        database = Database(server.url(server.create()))
        try:
            await schema.upgrade(database)
            await _fill(database, rows)
            await _ask(database, rows)
        finally:
            await database.close()
    finally:
        server.close()
        shutil.rmtree(folder)


def _folder() -> Path:
    """Folder that the server's own user can read."""
    folder = Path(tempfile.mkdtemp(prefix="spine-bench-"))
    folder.chmod(0o755)
    return folder


async def _fill(database: Database, rows: int) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    per_day = rows // DAYS
    began = perf_counter()
    async with database.engine.begin() as connection:
        for name in UNUSED:
            await connection.exec_driver_sql(f"DROP INDEX IF EXISTS ix_executions_{name}")
        await connection.exec_driver_sql("ALTER TABLE executions DISABLE TRIGGER USER")
    for number in range(DAYS):
        start = today - timedelta(days=DAYS - 1 - number)
        end = min(start + timedelta(days=1), datetime.now(UTC))
        gap = int((end - start).total_seconds() * 1e6 / (per_day + 1))
        made = FILL.format(day=start.date(), start=start.isoformat(), gap=gap, rows=per_day)
        async with database.engine.begin() as connection:
            await (await _driver(connection)).execute(made, timeout=600)
    async with database.engine.begin() as connection:
        await connection.exec_driver_sql("ALTER TABLE executions ENABLE TRIGGER USER")
        for first in range(DAYS * 24):
            hour = today - timedelta(days=DAYS - 1) + timedelta(hours=first)
            if hour < datetime.now(UTC):
                day = hour.replace(hour=0)
                await connection.execute(
                    sa.text("INSERT INTO usage_changes (hour, next_hour, day) VALUES (:hour, :next, :day)"),
                    {"hour": hour, "next": hour + timedelta(hours=1), "day": day},
                )
    filled = perf_counter()
    await Rollups(database).roll()
    rolled = perf_counter()
    async with database.engine.connect() as connection:
        connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
        for table in ("executions", *ROLLUPS, "usage_changes"):
            raw = await _driver(connection)
            await raw.execute(f"ANALYZE {table}", timeout=600)
        counts = [(await raw.fetchval(f"SELECT count(*) FROM {table}", timeout=600)) for table in ROLLUPS]
    print(f"filled in {filled - began:.0f} s, rolled up in {rolled - filled:.0f} s; rows: {counts}")


async def _driver(connection: AsyncConnection) -> Any:
    """Connection of asyncpg, whose statements may take longer than 30 s."""
    return (await connection.get_raw_connection()).driver_connection


async def _ask(database: Database, rows: int) -> None:
    reports = UsageReports(UsageSums(database))
    questions = {
        "by provider, model and day": GetUsageRequest(),
        "of one provider, by key": GetUsageRequest(provider="openai", group_by="key"),
        "by end user": GetUsageRequest(group_by="end_user"),
        "by a label": GetUsageRequest(group_by="label:team"),
    }
    for name, request in questions.items():
        times = []
        for _ in range(ASKED):
            began = perf_counter()
            await reports.usage(request, "default-tenant")
            times.append((perf_counter() - began) * 1000)
        print(f"{rows:,} calls, {name}: median {median(times):.0f} ms, worst {max(times):.0f} ms", flush=True)


if __name__ == "__main__":
    asyncio.run(measure(int(sys.argv[1]) if sys.argv[1:] else 10_000_000))
