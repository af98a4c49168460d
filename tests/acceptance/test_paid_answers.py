"""Processes are killed between the settlement of a run's calls and its result: no call is paid for twice.

A trigger holds the result back, so that the kill is surely between the two.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from google.protobuf import json_format

from genai_spine.store.database import Database
from genai_spine.store.runs.tables import run_answers, runs
from genai_spine.store.tables import executions
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.pipeline_pb2 import PipelineDefinition
from genai_spine.v1.run_pb2 import Run
from genai_spine.v1.work_pb2 import Work
from tests.acceptance.test_deaths import REQUEST
from tests.acceptance.test_run_deaths import Server, servers
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

WORDS = ["It", " is", " paid."]
# Answers do not wait for commits of settlements, but those of runs do; and the ledger has a chain.
CHAINED = {
    "GENAI_LEDGER_ACK": "journaled",
    "GENAI_LEDGER_JOURNAL": "journal",
    "GENAI_SECRET_KEY": "5a" * 32,
}
LARGE = ["x" * 100_000] * 6  # more than a run's row takes
RESULTS = {
    "runs": "OLD.status = 'running'",
    "run_items": "NEW.status = 'completed'",
    "run_steps": "NEW.status = 'completed'",
}
REFUSED = "CREATE FUNCTION refuse() RETURNS trigger AS $$ BEGIN RAISE 'not yet'; END $$ LANGUAGE plpgsql"


@pytest.fixture
def variables(openai_upstream: UpstreamProcess) -> dict[str, str]:
    openai_upstream.script(default=Reply(WORDS))
    return {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_LEASE_TTL": "4",
        "GENAI_DRAIN_DELAY": "0",
    }


@asynccontextmanager
async def results_held(database: Database) -> AsyncIterator[None]:
    """Inside no run, item or step can be written as ended."""
    is_sqlite = database.dialect == "sqlite"
    async with database.begin() as connection:
        if not is_sqlite:
            await connection.exec_driver_sql(REFUSED)
        for table, condition in RESULTS.items():
            does = "BEGIN SELECT RAISE(ABORT, 'not yet'); END" if is_sqlite else "EXECUTE FUNCTION refuse()"
            each = "" if is_sqlite else " FOR EACH ROW"
            on = f"CREATE TRIGGER held_{table} BEFORE UPDATE OF status ON {table}{each}"
            await connection.exec_driver_sql(f"{on} WHEN ({condition}) {does}")
    try:
        yield
    finally:
        async with database.begin() as connection:
            for table in RESULTS:
                on = "" if is_sqlite else f" ON {table}"
                await connection.exec_driver_sql(f"DROP TRIGGER held_{table}{on}")


async def settled(database: Database, run_id: str) -> list[Any]:
    """Rows of the ledger of a run that are settled."""
    row = executions.c
    query = sa.select(executions).where(row.run_id == run_id, row.state != "PENDING")
    async with database.connect() as connection:
        return list((await connection.execute(query)).mappings())


async def maker_of(of: list[Server], run_id: str) -> tuple[Server, Server]:
    """The server that makes a run, and the other one."""
    making = (await of[0].until_running(run_id)).worker_id.partition(".")[0]
    first, second = of
    return (first, second) if first.id == making else (second, first)


def completion() -> Work:
    return Work(completion=REQUEST)


def one_message() -> Work:
    """Work whose call is made without a stream."""
    work = Work()
    work.summarize.content, work.summarize.model = "The sky is blue. Grass is green.", "gpt-4o"
    return work


def batch() -> Work:
    work = Work()
    for number in range(4):
        item = work.batch.items.add().work.completion
        item.CopyFrom(REQUEST)
        item.messages[0].content[0].text = f"item {number // 2}"  # two are equal
    return work


def pipeline() -> Work:
    asked = {
        "capability": "llm_generation",
        "preferred_providers": ["openai"],
        "fallback": {"enabled": False},
    }
    work = Work()
    work.pipeline.definition.CopyFrom(
        json_format.ParseDict({"name": "paid", "steps": [{"name": "one", **asked}]}, PipelineDefinition())
    )
    work.pipeline.input_data.update({"text": "Hello"})
    return work


def text_of(run: Run) -> str:
    return "".join(part.text for part in run.response.completion.choices[0].message.content)


@pytest.mark.parametrize(
    ("work", "calls", "more"),
    [(completion, 1, {}), (completion, 1, CHAINED), (one_message, 1, {}), (batch, 4, {}), (pipeline, 1, {})],
)
async def test_call_whose_settlement_is_written_is_not_paid_again(
    work: Callable[[], Work],
    calls: int,
    more: dict[str, str],
    variables: dict[str, str],
    database_url: str,
    tmp_path: Path,
    openai_upstream: UpstreamProcess,
) -> None:
    database = Database(database_url)
    async with servers(2, tmp_path, variables | more, database_url) as found:
        async with results_held(database):
            run_id = (await found[0].runs.CreateRun(pb.CreateRunRequest(work=work()))).run_id
            making, other = await maker_of(found, run_id)

            async def is_paid() -> bool:
                return len(await settled(database, run_id)) == calls

            await until(is_paid)
            making.process.kill()
            making.process.wait()
            async with database.connect() as connection:
                assert (await connection.execute(sa.select(runs.c.status))).scalars().all() == ["running"]
        run = await other.wait(run_id)
        assert (run.status, run.attempt) == ("completed", 1), run.error
        assert run.worker_id.partition(".")[0] == other.id
        rows = await settled(database, run_id)
        bill = openai_upstream.bill()
        assert len(rows) == len(bill) == calls
        assert sum(row["input_tokens"] for row in rows) == sum(entry.prompt_tokens for entry in bill)
        assert {row["state"] for row in rows} == {"SUCCEEDED"}
        assert run.cost.cost_ticks == sum(row["cost_ticks"] for row in rows)
        steps = (await other.runs.ListRunSteps(pb.ListRunStepsRequest(run_id=run_id))).steps
        assert {id for step in steps for id in step.execution_ids} <= {row["id"] for row in rows}
        if not run.work.HasField("batch"):
            assert sorted(id for step in steps for id in step.execution_ids) == [row["id"] for row in rows]
        async with database.connect() as connection:
            assert (await connection.execute(sa.select(run_answers.c.run_id))).all() == []
    await database.close()


async def test_large_answer_is_paid_once_and_comes_whole(
    variables: dict[str, str], database_url: str, tmp_path: Path, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(default=Reply(LARGE))
    database = Database(database_url)
    async with servers(2, tmp_path, variables, database_url) as found:
        async with results_held(database):
            run_id = (await found[0].runs.CreateRun(pb.CreateRunRequest(work=completion()))).run_id
            making, other = await maker_of(found, run_id)

            async def is_paid() -> bool:
                return bool(await settled(database, run_id))

            await until(is_paid)
            making.process.kill()
        run = await other.wait(run_id)
        assert (run.status, text_of(run)) == ("completed", "".join(LARGE))
        assert len(openai_upstream.bill()) == 1
    await database.close()
