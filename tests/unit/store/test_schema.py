"""Migrations on real databases."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from genai_spine.call import ANONYMOUS, DEFAULT_TENANT
from genai_spine.costs import cost_of
from genai_spine.store import schema
from genai_spine.store.access import tables as access_tables
from genai_spine.store.access.keys import KeyRows
from genai_spine.store.budgets import tables as budget_tables
from genai_spine.store.budgets.alerts import Alert, AlertRows
from genai_spine.store.budgets.budgets import BudgetRows
from genai_spine.store.completions import Completions
from genai_spine.store.database import Database
from genai_spine.store.execution_history import ExecutionHistory
from genai_spine.store.executions import Executions
from genai_spine.store.files import tables as file_tables
from genai_spine.store.pipelines import tables as pipeline_tables
from genai_spine.store.prompts import PromptRows
from genai_spine.store.provider_objects import ProviderObjects
from genai_spine.store.rag import search_tables
from genai_spine.store.rag import tables as rag_tables
from genai_spine.store.request_log import tables as request_log_tables
from genai_spine.store.runs import tables as run_tables
from genai_spine.store.session_messages import SessionMessages
from genai_spine.store.sessions import Sessions
from genai_spine.store.stored_completions import StoredCompletionRows
from genai_spine.store.tables import budget_counters, metadata
from genai_spine.store.usage import tables as usage_tables
from genai_spine.v1.execution_service_pb2 import ListExecutionsRequest

UPGRADE = """
import asyncio, sys
from genai_spine.store import schema
print(asyncio.run(schema.upgrade(sys.argv[1])))
"""


async def test_upgrade_brings_an_empty_database_to_the_head_and_names_what_it_did(empty_database_url):
    assert await schema.current(empty_database_url) is None
    applied = await schema.upgrade(empty_database_url)
    assert applied[0] == "0001_executions"
    assert applied[-1] == schema.head()
    assert await schema.current(empty_database_url) == schema.head()


async def test_second_upgrade_does_nothing(database_url):
    assert await schema.upgrade(database_url) == []


async def test_upgrade_takes_an_open_database(empty_database_url):
    database = Database(empty_database_url)
    assert await schema.upgrade(database)
    assert await schema.current(database) == schema.head()
    await database.close()


def _is_of_both(name: str | None, kind: str, _: object) -> bool:
    """Whether both databases have it alike: vectors and words are no tables of SQLAlchemy's."""
    return kind != "table" or not str(name).startswith(search_tables.TABLES)


async def test_migrations_and_tables_say_the_same(database: Database):
    def differences(connection: sa.Connection) -> list[object]:
        opts = {"compare_server_default": True, "include_name": _is_of_both}
        context = MigrationContext.configure(connection, opts=opts)
        for tables in (
            access_tables,
            budget_tables,
            file_tables,
            pipeline_tables,
            rag_tables,
            request_log_tables,
            run_tables,
            usage_tables,
        ):
            assert tables.metadata is metadata  # theirs are among them
        return list(compare_metadata(context, metadata))

    async with database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_processes_that_start_together_upgrade_once(empty_database_url):
    starts = [
        asyncio.create_subprocess_exec(
            sys.executable, "-c", UPGRADE, empty_database_url, stdout=subprocess.PIPE, cwd="/"
        )
        for _ in range(3)
    ]
    processes = await asyncio.gather(*starts)
    outputs = [(await process.communicate())[0].decode().strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert outputs.count("[]") == 2
    assert sum("0001_executions" in output for output in outputs) == 1


async def test_failed_upgrade_changes_nothing(empty_database_url):
    database = Database(empty_database_url)
    async with database.engine.begin() as connection:
        await connection.execute(sa.text("CREATE TABLE leases (mine INTEGER)"))
    with pytest.raises(sa.exc.DBAPIError):
        await schema.upgrade(database)
    async with database.engine.connect() as connection:
        tables = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
    await database.close()
    assert tables == ["leases"]


def fill(connection: sa.Connection, rows: dict[str, dict[str, object]]) -> None:
    """Adds a row to each table as it is now; columns that need a value and are not given get some."""
    some = {sa.Boolean: False, sa.DateTime: datetime(2026, 11, 1, tzinfo=UTC), sa.Text: "x"}
    for name, given in rows.items():
        table = sa.Table(name, sa.MetaData(), autoload_with=connection)
        for column in table.columns:
            if not column.nullable and column.server_default is None and column.name not in given:
                given[column.name] = next((v for kind, v in some.items() if isinstance(column.type, kind)), 0)
        connection.execute(table.insert().values(given))


async def test_rows_of_the_revision_before_0009_live_on(empty_database_url):
    database = Database(empty_database_url)

    def begin(connection: sa.Connection) -> None:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(schema.MIGRATIONS))
        command.upgrade(config, "0008_prompts")
        session = {"id": "s", "history_policy": "ALL", "metadata_json": "{}", "total_cost_ticks": 7}
        message = {"id": "m", "session_id": "s", "metadata_json": "{}", "cost_ticks": 7}
        call = {"id": "e", "state": "SUCCEEDED", "user_id": "ann", "caller": "curl", "wasted": True}
        fill(connection, {"sessions": session, "session_messages": message, "executions": call})

    async with database.engine.begin() as connection:
        await connection.run_sync(begin)
    assert "0009_costs" in await schema.upgrade(database)
    row = await Executions(database).get("e", DEFAULT_TENANT)
    session = await Sessions(database).get("s", DEFAULT_TENANT)
    [message] = await SessionMessages(database).page("s", 10, 0)
    await database.close()
    assert row is not None
    assert (row.end_user, row.user_agent, row.discarded) == ("ann", "curl", True)
    assert (row.principal, dict(row.cost_labels)) == ("", {})
    assert session is not None
    assert session.total_cost == message.message_cost == cost_of(7)


async def test_rows_of_the_revision_before_0014_are_the_default_tenants(empty_database_url):
    database = Database(empty_database_url)
    text = {"tags": "[]", "variables": "[]"}

    def begin(connection: sa.Connection) -> None:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(schema.MIGRATIONS))
        command.upgrade(config, "0013_stored_completions")
        later = datetime(2099, 1, 1, tzinfo=UTC)
        own = {"id": f"{1:032x}", "slug": "own", "is_active": True, "is_system": False, **text}
        shown = {"id": "22222222-2222-4222-8222-222222222222", "slug": "sys", "is_active": True, **text}
        rows: list[dict[str, dict[str, object]]] = [
            {"executions": {"id": "e", "state": "SUCCEEDED", "prompt_id": "p", "success": True}},
            {"executions": {"id": "f", "state": "FAILED", "user_id": "ann", "success": False}},
            {"prompts": own},
            {"prompts": shown | {"is_system": True}},
            {"prompts": {"id": "gone", "slug": "own", "is_active": False, **text}},
            {"prompt_versions": {"id": "v", "prompt_id": own["id"], "variables": "[]"}},
            {"prompt_labels": {"prompt_id": own["id"], "label": "production", "version": 1}},
            {"sessions": {"id": "s", "history_policy": "ALL", "metadata_json": "{}"}},
            {"session_messages": {"id": "m", "session_id": "s", "metadata_json": "{}"}},
            {"completions": {"id": "c", "state": "DONE", "body": b"", "expires_at": later}},
            {"response_cache": {"key": "k", "body": b"", "expires_at": later}},
            {"batch_labels": {"provider": "openai", "batch_id": "b", "cost_labels": {"team": "x"}}},
        ]
        for tenant in ("", "acme"):  # the second one could not come about yet
            kept = {"id": f"stored-{tenant}", "tenant": tenant, "metadata": {}, "expires_at": later}
            rows.append({"stored_completions": kept | {"messages": b"", "body": b""}})
        for row in rows:
            fill(connection, row)

    async with database.engine.begin() as connection:
        await connection.run_sync(begin)
    assert (await schema.upgrade(database))[0] == "0014_tenants"
    for tenant, seen in ((DEFAULT_TENANT, True), ("acme", False)):
        history = await ExecutionHistory(database).page(ListExecutionsRequest(), tenant, 9, None)
        assert {row.id for row in history.executions} == ({"e", "f"} if seen else set())
        assert bool(await Sessions(database).get("s", tenant)) is seen
        assert bool(await Completions(database).find("c", tenant)) is seen
        stored = StoredCompletionRows(database)
        assert bool(await stored.get("stored-", tenant)) is seen
        assert bool(await stored.get("stored-acme", tenant)) is not seen
        assert bool(await PromptRows(database).get("own", tenant)) is seen
        assert await PromptRows(database).get("sys", tenant)
    made = await ProviderObjects(database).get("openai", "b")
    async with database.engine.begin() as connection:
        kept = await connection.execute(sa.text("SELECT tenant_id, key FROM response_cache"))
        assert [tuple(row) for row in kept] == [(DEFAULT_TENANT, "k")]
        again = {"id": "another", "slug": "own", "is_active": True, "tenant_id": "acme", **text}
        await connection.run_sync(fill, {"prompts": dict(again)})
        with pytest.raises(sa.exc.IntegrityError):
            await connection.run_sync(fill, {"prompts": again | {"id": "twin"}})
        await connection.rollback()
    await database.close()
    assert made is not None
    assert (made.principal, made.cost_labels) == (ANONYMOUS, {"team": "x"})


async def test_alerts_of_the_revision_before_0021_are_not_given_again(empty_database_url):
    database = Database(empty_database_url)

    def begin(connection: sa.Connection) -> None:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(schema.MIGRATIONS))
        command.upgrade(config, "0020_request_log")
        named = {"tenant_id": "acme", "node": "TENANT", "node_key": "acme", "period": "TOTAL"}
        given = {"limit_ticks": 100, "policy": "WARN", "warn_percent": 80, "enabled": True}
        fill(connection, {"budgets": {"id": 1, **named, **given}})
        fill(connection, {"budget_counters": {"id": 7, "budget_id": 1, "limit_ticks": 100}})
        fill(connection, {"budget_alerts": {"counter_id": 7, "percent": 80, "used_ticks": 81}})

    async with database.engine.begin() as connection:
        await connection.run_sync(begin)
    assert "0021_budgets" in await schema.upgrade(database)
    [budget] = await BudgetRows(database).find()
    assert (budget.limit_ticks, budget.from_settings) == (100, False)
    rows = AlertRows(database)
    assert not await rows.add(Alert("evt_1", 7, 80, 100, 90, {}), is_due=True)
    assert await rows.add(Alert("evt_2", 7, 100, 100, 101, {}), is_due=True)
    assert [alert.id for alert in await rows.claim(60)] == ["evt_2"]
    await database.close()


async def test_rows_of_the_revision_before_0024_live_on(empty_database_url):
    database = Database(empty_database_url)

    def begin(connection: sa.Connection) -> None:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(schema.MIGRATIONS))
        command.upgrade(config, "0020_request_log")
        key = {"id": "key_1", "tenant_id": DEFAULT_TENANT, "secret_hash": "digest", "scopes": ["admin"]}
        stored = {"provider": "openai", "provider_response_id": "resp_1", "tenant_id": "acme"}
        fill(connection, {"api_keys": key, "executions": {"id": "e", "state": "SUCCEEDED", **stored}})

    async with database.engine.begin() as connection:
        await connection.run_sync(begin)
    assert "0024_access" in await schema.upgrade(database)
    [taken] = (await KeyRows(database).by_digests(["digest"])).values()
    owners = await ProviderObjects(database).tenants_of_answers("openai", ["resp_1", "resp_2"])
    await database.close()
    assert (taken.key.id, taken.key.HasField("request_log")) == ("key_1", False)
    assert owners == {"resp_1": "acme"}


async def test_counters_of_the_revision_before_0027_end_after_their_period(empty_database_url):
    database, now = Database(empty_database_url), datetime.now(UTC)
    total = datetime(1970, 1, 1, tzinfo=UTC)

    def begin(connection: sa.Connection) -> None:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(schema.MIGRATIONS))
        command.upgrade(config, "0024_access")
        for id, period in enumerate(("DAILY", "MONTHLY", "TOTAL"), start=1):
            fill(connection, {"budgets": {"id": id, "tenant_id": "acme", "period": period}})
        counters = [
            (1, 500),
            (1, 300),
            (2, 432),
            (2, 430),
            (9, 500),
            (9, 430),
        ]  # budget, days ago; 9: is gone
        starts = [(budget, now - timedelta(days=days)) for budget, days in counters] + [
            (3, total),
            (9, total),
        ]
        for id, (budget, start) in enumerate(starts, start=1):
            fill(connection, {"budget_counters": {"id": id, "budget_id": budget, "period_start": start}})

    async with database.engine.begin() as connection:
        await connection.run_sync(begin)
    assert "0027_budget_retention" in await schema.upgrade(database)
    assert await BudgetRows(database).sweep() == 3
    async with database.engine.connect() as connection:
        left = (await connection.execute(sa.select(budget_counters.c.id).order_by(sa.text("id")))).scalars()
        assert list(left) == [2, 4, 6, 7, 8]
        ends = sa.select(budget_counters.c.expires_at.is_(None)).order_by(budget_counters.c.id)
        assert list((await connection.execute(ends)).scalars()) == [False, False, False, True, False]
    await database.close()


async def test_database_that_is_up_to_date_needs_no_alembic(database_url, monkeypatch):
    for name in ("alembic", "alembic.config", "alembic.script"):
        monkeypatch.setitem(sys.modules, name, None)
    assert await schema.upgrade(database_url) == []
