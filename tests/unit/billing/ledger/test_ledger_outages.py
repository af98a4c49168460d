"""The ledger when its database fails, its lease runs out or its process dies."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from genai_spine.billing.ledger import ledger as ledger_module
from genai_spine.billing.ledger.ledger import Ledger
from genai_spine.billing.ledger.writer import LedgerTimeouts
from genai_spine.call import DEFAULT_TENANT
from genai_spine.errors import ServiceUnavailable
from genai_spine.store.database import POSTGRESQL_ERRORS, Database
from genai_spine.store.executions import Executions
from genai_spine.store.leases import Leases
from genai_spine.v1 import execution_pb2
from genai_spine.v1.execution_pb2 import Execution
from tests.databases import PostgresServer
from tests.ledgers import call, calls_through_a_restart, running, states, succeed
from tests.waiting import until

PENDING = execution_pb2.EXECUTION_STATE_PENDING
LOST = execution_pb2.EXECUTION_STATE_LOST
IMPATIENT = LedgerTimeouts(row_s=0.2, stop_s=0.5)


@pytest.fixture
def executions(database: Database) -> Executions:
    return Executions(database)


@asynccontextmanager
async def database_away(database: Database) -> AsyncIterator[None]:
    """Every write of executions fails inside."""

    async def rename(old: str, new: str) -> None:
        async with database.engine.begin() as connection:
            await connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")

    await rename("executions", "executions_away")
    try:
        yield
    finally:
        await rename("executions_away", "executions")


async def booked(executions: Executions, id: str, state: execution_pb2.ExecutionState.ValueType) -> Execution:
    """The row, as soon as it is in that state."""
    row = None

    async def there() -> bool:
        nonlocal row
        row = await executions.get(id, DEFAULT_TENANT)
        return row is not None and row.state == state

    await until(there)
    return row


def begun(execution: Execution) -> Execution:
    execution.id, execution.state = str(uuid4()), PENDING
    execution.create_time.GetCurrentTime()
    return execution


async def run_out(database: Database) -> None:
    """Ends all leases now, as if their time had passed."""
    async with database.engine.begin() as connection:
        await connection.execute(sa.text("UPDATE leases SET lease_until = started_at"))


async def test_intent_that_the_database_does_not_take_stops_the_answer(executions, database):
    async with running(executions, database, IMPATIENT) as ledger:
        execution = call()
        async with database_away(database):
            ledger.begin(execution)
            with pytest.raises(ServiceUnavailable):
                await ledger.recorded(execution)
        assert (await booked(executions, execution.id, PENDING)).id == execution.id


async def test_settlement_that_the_database_does_not_take_goes_to_the_log_and_later_to_the_books(
    executions, database
):
    async with running(executions, database, IMPATIENT) as ledger:
        execution = call()
        ledger.begin(execution)
        async with database_away(database):
            with capture_logs() as logs:
                await ledger.settle(succeed(execution))
                await asyncio.sleep(0.1)
        overdue = [entry for entry in logs if entry["event"] == "execution_not_booked_yet"]
        assert [entry["log_level"] for entry in overdue] == ["error"]
        assert overdue[0]["execution"]["id"] == execution.id
        assert json.dumps(overdue[0])
        assert await booked(executions, execution.id, execution.state) == execution


async def test_database_that_goes_and_comes_back_loses_and_doubles_nothing(executions, database):
    async def one(number: int) -> None:
        execution = call()
        ledger.begin(execution)
        await asyncio.sleep(number / 200)
        await ledger.settle(succeed(execution))

    async with running(executions, database) as ledger:
        tasks = [asyncio.create_task(one(number)) for number in range(60)]
        await asyncio.sleep(0.1)
        async with database_away(database):
            await asyncio.sleep(0.2)
        await asyncio.gather(*tasks)
    assert await states(database) == {"SUCCEEDED": 60}


async def test_postgresql_that_is_restarted_loses_and_doubles_nothing(
    postgres_server: PostgresServer, postgres_url: str
):
    database = Database(postgres_url)
    count = await calls_through_a_restart(Executions(database), database, postgres_server)
    assert await states(database) == {"SUCCEEDED": count}
    await database.close()


@pytest.mark.parametrize("waits_for_flush", [False, True])
async def test_rows_that_postgresql_lost_before_they_were_on_disk_are_written_again(
    postgres_url: str, waits_for_flush: bool
):
    """A crash between commit and flush, with its effect made by hand: the rows are gone, the session too."""
    database = Database(postgres_url)

    class Crashing(Executions):
        crashes = 2

        async def flush(self):
            if self.crashes:
                self.crashes -= 1
                async with database.begin() as connection:
                    await connection.execute(sa.text("DELETE FROM executions"))
                raise ConnectionError("the database is gone")
            await super().flush()

    executions = Crashing(database)
    timeouts = LedgerTimeouts(waits_for_flush=waits_for_flush)
    ledger = Ledger(executions, Leases(database), lane="cpu", timeouts=timeouts)
    await ledger.start()
    settled, open_ = call(), call()
    await ledger.reserve(settled)
    await ledger.reserve(open_)
    await ledger.settle(succeed(settled))
    await ledger.stop()
    assert executions.crashes == 0
    assert await executions.get(settled.id, DEFAULT_TENANT) == settled
    assert await executions.get(open_.id, DEFAULT_TENANT) == open_
    await database.close()


async def test_session_that_ended_is_not_flushed_by_the_next_one(postgres_url: str):
    database = Database(postgres_url)
    executions = Executions(database)
    with pytest.raises(ConnectionError):
        await executions.flush()
    await executions.save([begun(call())])
    await executions.flush()
    async with database.begin() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        await connection.execute(
            sa.text(f"{others} WHERE pid <> pg_backend_pid() AND datname = current_database()")
        )
    with pytest.raises((ConnectionError, *POSTGRESQL_ERRORS)):
        await executions.flush()
    with pytest.raises(ConnectionError):
        await executions.flush()
    await executions.save([begun(call())])
    await executions.flush()
    await database.close()


async def test_row_that_can_never_be_stored_does_not_hold_up_the_others(executions, database):
    if database.dialect == "sqlite":
        rule = (
            "CREATE TRIGGER rule BEFORE INSERT ON executions WHEN NEW.model = 'bad'"
            " BEGIN SELECT RAISE(ABORT, 'bad'); END"
        )
    else:
        rule = "ALTER TABLE executions ADD CONSTRAINT rule CHECK (model <> 'bad')"
    async with database.engine.begin() as connection:
        await connection.exec_driver_sql(rule)
    async with running(executions, database) as ledger:
        good, bad, other = call(), call(), call()
        bad.model = "bad"
        for execution in (good, bad, other):
            ledger.begin(execution)
        with capture_logs() as logs, pytest.raises(ServiceUnavailable):
            await ledger.recorded(bad)
        await ledger.settle(succeed(good))
        await ledger.settle(succeed(other))
    assert [entry["execution"]["model"] for entry in logs] == ["bad"]
    assert logs[0]["event"] == "execution_refused"
    assert await states(database) == {"SUCCEEDED": 2}


async def test_no_call_begins_while_too_many_rows_wait(executions, database, monkeypatch):
    monkeypatch.setattr(ledger_module, "MAX_WAITING", 3)
    async with running(executions, database) as ledger:
        async with database_away(database):
            waiting = [call() for _ in range(3)]
            for execution in waiting:
                ledger.begin(execution)
            with pytest.raises(ServiceUnavailable):
                ledger.begin(call())
            settlements = [ledger.settle(succeed(execution)) for execution in waiting]
        await asyncio.gather(*settlements)
        ledger.begin(call())
    assert await states(database) == {"SUCCEEDED": 3, "PENDING": 1}


async def test_stop_without_a_database_gives_up_in_time_and_logs_every_row(executions, database):
    ledger = Ledger(executions, Leases(database), lane="cpu", timeouts=IMPATIENT)
    await ledger.start()
    async with database_away(database):
        executing = [call() for _ in range(3)]
        for execution in executing:
            ledger.begin(execution)
        settlement = ledger.settle(succeed(executing[0]))
        with capture_logs() as logs:
            await asyncio.wait_for(ledger.stop(), 20)
        assert settlement.done()
    unbooked = {entry["execution"]["id"] for entry in logs if entry["event"] == "execution_not_booked"}
    assert unbooked == {execution.id for execution in executing}


async def test_lease_that_ran_out_is_replaced_and_running_calls_still_settle(executions, database):
    async def lost() -> bool:
        return await states(database) == {"LOST": 1}

    async with running(executions, database, ttl_s=3.0) as ledger:
        execution = call()
        ledger.begin(execution)
        await ledger.recorded(execution)
        with capture_logs() as logs:
            await run_out(database)
            await until(lost)
        assert (await executions.get(execution.id, DEFAULT_TENANT)).state == LOST
        assert [entry["log_level"] for entry in logs if entry["event"] == "lease_lost"] == ["error"]
        assert ledger.server_id != execution.server_id
        assert await Leases(database).live() == {ledger.server_id: "cpu"}
        await ledger.settle(succeed(execution))
        execution.resolution = execution_pb2.LOSS_RESOLUTION_LATE
        assert await executions.get(execution.id, DEFAULT_TENANT) == execution


CRASHING = """
import asyncio, sys
from genai_spine.billing.ledger.ledger import Ledger
from genai_spine.store.database import POSTGRESQL_ERRORS, Database
from genai_spine.store.executions import Executions
from genai_spine.store.leases import Leases
from genai_spine.v1.execution_pb2 import Execution

async def main():
    database = Database(sys.argv[1])
    ledger = Ledger(Executions(database), Leases(database), lane="cpu", lease_ttl_s=60.0)
    await ledger.start()
    calls = [Execution(request_id=f"request-{n}", provider="openai", model="m") for n in range(20)]
    for call in calls:
        ledger.begin(call)
    for call in calls[:5]:
        call.state = 2
        await ledger.settle(call)
    for call in calls[5:]:
        await ledger.recorded(call)
    print("ready", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
SWEEPING = """
import asyncio, sys
from genai_spine.store.database import POSTGRESQL_ERRORS, Database
from genai_spine.store.executions import Executions

async def main():
    database = Database(sys.argv[1])
    print(len(await Executions(database).sweep()))
    await database.close()

asyncio.run(main())
"""


async def python(program: str, url: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", program, url, stdout=subprocess.PIPE)


async def test_rows_of_a_killed_process_are_lost_once_after_its_lease_ran_out(database, database_url):
    crashing = await python(CRASHING, database_url)
    assert await crashing.stdout.readline() == b"ready\n"
    os.kill(crashing.pid, signal.SIGKILL)
    await crashing.wait()
    leases = Leases(database)
    assert await leases.live()
    assert await Executions(database).sweep() == []
    await run_out(database)
    sweepers = [await python(SWEEPING, database_url) for _ in range(2)]
    swept = [int((await sweeper.communicate())[0]) for sweeper in sweepers]
    assert sum(swept) == 15
    assert await states(database) == {"SUCCEEDED": 5, "LOST": 15}
