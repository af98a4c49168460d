"""Pages of the ledger, on SQLite and on a real PostgreSQL: complete, stable, and read by index."""

from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import uuid4

import pytest
import sqlalchemy as sa

from genai_spine.call import DEFAULT_TENANT
from genai_spine.store import execution_history
from genai_spine.store.database import Database
from genai_spine.store.execution_history import ExecutionHistory, PageEnd
from genai_spine.store.executions import Executions
from genai_spine.v1 import execution_pb2
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.execution_service_pb2 import ListExecutionsRequest

PENDING, SUCCEEDED = execution_pb2.EXECUTION_STATE_PENDING, execution_pb2.EXECUTION_STATE_SUCCEEDED
FAILED, LOST = execution_pb2.EXECUTION_STATE_FAILED, execution_pb2.EXECUTION_STATE_LOST
CANCELLED = execution_pb2.EXECUTION_STATE_CANCELLED
START = datetime(2026, 11, 1, tzinfo=UTC)
UNSUCCESSFUL = [FAILED, CANCELLED, LOST]


@pytest.fixture
def history(database: Database) -> ExecutionHistory:
    return ExecutionHistory(database)


_attempts = count(1)


def call(number: int, **fields) -> Execution:
    given = {"state": SUCCEEDED, "provider": "openai", "model": "gpt-4o", "request_id": f"r{number}"}
    execution = Execution(id=str(uuid4()), operation="OPERATION_COMPLETION", **(given | fields))
    execution.tenant_id = execution.tenant_id or DEFAULT_TENANT
    execution.attempt = next(_attempts)
    execution.create_time.FromDatetime(START + timedelta(seconds=number))
    return execution


async def pages(history: ExecutionHistory, limit: int = 3, **filters) -> list[list[Execution]]:
    found, after = [], None
    while True:
        page = await history.page(ListExecutionsRequest(**filters), DEFAULT_TENANT, limit, after)
        found.append(page.executions)
        after = page.end
        if after is None:
            return found


async def listed(history: ExecutionHistory, **filters) -> list[str]:
    return [row.request_id for page in await pages(history, 100, **filters) for row in page]


async def test_pages_hold_every_row_once_the_newest_first(executions, history):
    rows = [call(number // 3) for number in range(20)]  # three of each moment
    await executions.save(rows)
    found = await pages(history)
    assert [len(page) for page in found] == [3] * 6 + [2]
    ids = [row.id for page in found for row in page]
    key = {row.id: (row.create_time.ToNanoseconds(), row.id) for row in rows}
    assert ids == sorted(key, key=key.__getitem__, reverse=True)


async def test_pages_stay_whole_while_rows_are_added(executions, history):
    rows = [call(number) for number in range(10)]
    await executions.save(rows)
    first = await history.page(ListExecutionsRequest(), DEFAULT_TENANT, 4, None)
    await executions.save([call(number) for number in range(10, 20)])
    second = await history.page(ListExecutionsRequest(), DEFAULT_TENANT, 100, first.end)
    seen = [row.request_id for row in (*first.executions, *second.executions)]
    assert seen == [f"r{number}" for number in range(9, -1, -1)]


async def test_each_filter_lets_through_what_it_says(executions, history):
    await executions.save(
        [
            call(0, provider="ollama"),
            call(1, model="other"),
            call(2, capability="summarize"),
            call(3, state=FAILED),
            call(4, state=PENDING),
            call(5, end_user="u", cost_labels={"team": "search", "a.b": '"q" = 1'}, session_id="s"),
            call(6, prompt_id="p", prompt_version=2),
            call(7, state=LOST, session_id="s"),
        ]
    )
    expected = {
        "provider": ("ollama", ["r0"]),
        "model": ("other", ["r1"]),
        "capability": ("summarize", ["r2"]),
        "states": ([FAILED], ["r3"]),
        "labels": (["team=search"], ["r5"]),
        "end_user": ("u", ["r5"]),
        "session_id": ("s", ["r7", "r5"]),
        "prompt_id": ("p", ["r6"]),
        "request_id": ("r1", ["r1"]),
    }
    for name, (value, found) in expected.items():
        assert await listed(history, **{name: value}) == found
    assert await listed(history, states=[PENDING]) == ["r4"]
    assert await listed(history, states=[SUCCEEDED]) == ["r6", "r5", "r2", "r1", "r0"]
    assert await listed(history, session_id="s", states=UNSUCCESSFUL) == ["r7"]
    assert await listed(history, session_id="s", provider="ollama") == []
    assert await listed(history, provider="a\0b") == []
    assert await listed(history, states=UNSUCCESSFUL) == ["r7", "r3"]
    assert await listed(history, states=[PENDING, LOST]) == ["r7", "r4"]


async def test_every_cost_label_that_is_asked_for_must_be_there(executions, history):
    labels = {"team": "search", "a.b": '"q" = 1', "empty": ""}
    await executions.save([call(0, cost_labels=labels), call(1, cost_labels={"team": "other"}), call(2)])
    assert await listed(history, labels=["team=search", 'a.b="q" = 1', "empty="]) == ["r0"]
    assert await listed(history, labels=["team=search", "a.b=2"]) == []
    assert await listed(history, labels=["nobody=1"]) == []
    assert await listed(history, labels=["team=a\0b"]) == []


async def test_times_are_from_and_before(executions, history):
    await executions.save([call(number) for number in range(5)])
    request = ListExecutionsRequest()
    request.start_time.FromDatetime(START + timedelta(seconds=1))
    request.end_time.FromDatetime(START + timedelta(seconds=3))
    page = await history.page(request, DEFAULT_TENANT, 10, None)
    assert [row.request_id for row in page.executions] == ["r2", "r1"]


async def test_rare_rows_are_found_over_bounded_pages(executions, history, monkeypatch):
    monkeypatch.setattr(execution_history, "MAX_SCANNED_ROWS", 10)
    await executions.save(
        [call(number, provider="rare" if number in (3, 27) else "openai") for number in range(40)]
    )
    found = await pages(history, 5, provider="rare")
    assert [[row.request_id for row in page] for page in found] == [[], ["r27"], [], ["r3"], []]


async def test_moment_of_many_rows_is_no_trap_for_a_bounded_page(executions, history, monkeypatch):
    monkeypatch.setattr(execution_history, "MAX_SCANNED_ROWS", 10)
    rows = [call(0, provider="rare" if number == 5 else "openai") for number in range(25)]
    await executions.save([*rows, call(-1, provider="rare")])
    assert await listed(history, provider="rare") == ["r0", "r-1"]


INDEXES = {
    "ix_executions_tenant": {"provider": "nobody"},
    "ix_executions_session": {"session_id": "s5"},
    "ix_executions_prompt": {"prompt_id": "p5", "states": [SUCCEEDED]},
    "ix_executions_user": {"end_user": "u5", "model": "gpt-4o"},
    "ix_executions_failed": {"states": UNSUCCESSFUL},
    "ux_executions_attempt": {"request_id": "r5"},
    "ix_executions_run": {"run_id": "run5"},
    "ix_executions_correlation": {"correlation_id": "c5"},
}


async def fill(database: Database, others: str) -> None:
    """Rows, of which nearly all are of the tenant `others`."""
    rows = [call(number, state=SUCCEEDED if number % 100 else FAILED) for number in range(5000)]
    for number, row in enumerate(rows):
        if number % 50 == 1:
            row.session_id, row.prompt_id = f"s{number // 500}", f"p{number // 500}"
            row.run_id, row.correlation_id = f"run{number // 500}", f"c{number // 500}"
        if number % 10 == 2:
            row.end_user = f"u{number // 500}"
        if number % 25:
            row.tenant_id = others
    await Executions(database).save(rows)
    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(sa.text("ANALYZE executions"))


@pytest.mark.parametrize("index", INDEXES)
async def test_list_reads_by_index(database, history, index, monkeypatch):
    monkeypatch.setattr(execution_history, "MAX_SCANNED_ROWS", 100)
    # Where one tenant has all rows, the index of all rows serves as well.
    await fill(database, "acme" if index == "ix_executions_tenant" else DEFAULT_TENANT)
    asked: list[tuple[str, object]] = []

    def note(connection, cursor, statement, parameters, *rest):
        asked.append((statement, parameters))

    sa.event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    after = PageEnd(START + timedelta(seconds=4000), "x")
    page = await history.page(ListExecutionsRequest(**INDEXES[index]), DEFAULT_TENANT, 50, after)
    assert bool(page.executions) == (index != "ix_executions_tenant")
    explain = "EXPLAIN QUERY PLAN" if database.dialect == "sqlite" else "EXPLAIN"
    async with database.engine.connect() as connection:
        for statement, parameters in list(asked):
            plan = (await connection.exec_driver_sql(f"{explain} {statement}", parameters)).all()
            assert index in str(plan), (statement, plan)
