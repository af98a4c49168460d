"""The ledger's hash chain on SQLite and PostgreSQL: what is written agrees, and what is altered is named."""

import asyncio
from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from genai_spine.billing.ledger.verification import ChainHead, Verification
from genai_spine.billing.ledger.writer import LedgerTimeouts
from genai_spine.store.booking.chain import Chain
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.store.leases import Leases
from genai_spine.v1 import execution_pb2
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.usage_pb2 import Cost
from tests.databases import PostgresServer
from tests.ledgers import KEY, call, chained, running, states, succeed, verified
from tests.waiting import until

LOST = execution_pb2.EXECUTION_STATE_LOST
SETTLED = "UPDATE executions SET settled_by = '{chain}', settle_seq = 1, intent_seq = 1 WHERE id = 'added'"
# What somebody may do in the database, and the kinds of findings that name it; {id} is a call of two
# versions, {late} one that was lost and settled late.
TAMPERED = {
    "UPDATE executions SET cost_ticks = 1, cost_usd = 1e-10 WHERE id = '{id}'": {"row_changed"},
    "UPDATE executions SET cost_usd = 0.5 WHERE id = '{id}'": {"row_changed"},
    "UPDATE executions SET input_tokens = input_tokens - 1 WHERE id = '{id}'": {"row_changed"},
    "UPDATE executions SET tenant_id = 'other' WHERE id = '{id}'": {"row_changed"},
    "UPDATE executions SET wasted = true WHERE id = '{id}'": {"row_changed"},
    "UPDATE executions SET cost_labels = '{{\"a\": \"c\"}}' WHERE id = '{id}'": {"row_changed"},
    "UPDATE executions SET created_at = '2020-01-01 00:00:00.000000' WHERE id = '{id}'": {"row_changed"},
    "UPDATE executions SET state = 'CANCELLED', success = false WHERE id = '{id}'": {"row_changed"},
    "UPDATE executions SET settle_seq = NULL, settled_by = NULL WHERE id = '{id}'": {
        "amendment_lost",
        "row_added",
    },
    "DELETE FROM executions WHERE id = '{id}'": {"row_deleted"},
    "DELETE FROM ledger_amendments WHERE execution_id = '{late}'": {"amendment_lost"},
    "UPDATE ledger_amendments SET old_json = '{{}}'": {"amendment_lost"},
    "UPDATE ledger_amendments SET old_json = '[]'": {"amendment_lost"},
    "UPDATE ledger_batches SET hash = '\\x00' WHERE seq = 2": {"batch_changed"},
    "UPDATE ledger_batches SET versions = '\\x00' WHERE seq = 2": {"batch_changed", "row_added"},
    "DELETE FROM ledger_batches WHERE seq = 1": {"batch_deleted", "row_added"},
    "DELETE FROM ledger_batches WHERE seq = 2": {"batch_deleted", "row_added"},
}


async def execute(database: Database, statement: str) -> None:
    if database.dialect == "sqlite":
        statement = statement.replace("'\\x00'", "x'00'")
    async with database.begin() as connection:
        await connection.exec_driver_sql(statement)


def kinds(outcome: Verification) -> set[str]:
    return {finding.kind for finding in outcome.findings}


async def served(database: Database) -> tuple[str, str]:
    """Ids of a call that was settled, and of one that was lost before it was, of a process that ended."""
    executions = chained(database)
    async with running(executions, database) as ledger:
        first, free, late = call(), call(), call()
        first.cost_labels["a"] = "b\u00fc"
        first.end_user, first.metadata_json = "ann\0", '{"x": 1}'
        first.warnings.add(option="top_k")
        await ledger.reserve(first)
        await ledger.settle(succeed(first))
        ledger.begin(free)
        await ledger.settle(succeed(free))
        await ledger.reserve(late)
        await Leases(database).release(ledger.server_id)
        assert await executions.sweep() == [late.id]
        late.units.server_tools["web_search"] = 2
        await ledger.settle(succeed(late))
    return first.id, late.id


async def test_what_is_written_agrees_and_each_row_is_listed(database):
    await served(database)
    outcome = await verified(database)
    assert outcome.findings == []
    assert outcome.versions == 3 + 4  # intents, and settlements of which one was replaced
    assert [head.seq for head in outcome.heads] == [outcome.batches]
    assert await states(database) == {"SUCCEEDED": 3}


@pytest.mark.parametrize("statement", TAMPERED)
async def test_what_is_altered_is_named(database, statement):
    id, late = await served(database)
    await execute(database, statement.format(id=id, late=late))
    outcome = await verified(database)
    assert kinds(outcome) == TAMPERED[statement]
    if kinds(outcome) <= {"row_changed", "row_deleted"}:
        assert {finding.execution_id for finding in outcome.findings} == {id}


@pytest.mark.parametrize("claim", [None, SETTLED])
async def test_row_that_is_added_is_named(database, claim):
    await served(database)
    added = succeed(call())
    added.id = "added"
    added.create_time.GetCurrentTime()
    added.settle_time.GetCurrentTime()
    await Executions(database).save([added])
    if claim is not None:
        [head] = (await verified(database)).heads
        await execute(database, claim.format(chain=head.chain))
    outcome = await verified(database)
    assert [(finding.kind, finding.execution_id) for finding in outcome.findings] == [("row_added", "added")]


async def test_settlement_says_whether_its_intent_is_written(database):
    """Of one that does not PostgreSQL looks for the row first, in a transaction of more round trips."""
    executions, said = chained(database), []
    book = executions.book

    async def remembering(bookings):
        said.extend(booking.is_recorded for booking in bookings)
        return await book(bookings)

    executions.book = remembering
    async with running(executions, database) as ledger:
        reserved, made_elsewhere = call(), call()
        await ledger.reserve(reserved)
        await ledger.settle(succeed(reserved))
        made_elsewhere.id = "made-elsewhere"
        made_elsewhere.create_time.GetCurrentTime()
        await ledger.book(succeed(made_elsewhere))
    assert said == [False, True, False]
    assert (await verified(database)).findings == []


async def test_end_that_is_cut_off_is_missed_where_another_process_lists_it(database):
    await served(database)
    async with running(chained(database), database):
        pass  # it notes where the first one ended
    [first, second] = (await verified(database)).heads
    assert (await verified(database)).findings == []
    await execute(database, f"DELETE FROM ledger_batches WHERE server_id = '{first.chain}'")
    await execute(database, "DELETE FROM executions")
    await execute(database, "DELETE FROM ledger_amendments")
    await execute(database, f"DELETE FROM ledger_chains WHERE server_id = '{first.chain}'")
    outcome = await verified(database)
    assert [(finding.kind, finding.chain) for finding in outcome.findings] == [("chain_cut", first.chain)]
    assert second.seq == 1


async def test_database_that_was_set_back_is_told_by_what_was_verified_before(database):
    await served(database)
    heads: Sequence[ChainHead] = (await verified(database)).heads
    assert (await verified(database, before=heads)).findings == []
    async with running(chained(database), database) as ledger:
        await ledger.reserve(call())
    assert (await verified(database, before=heads)).findings == []  # what came behind it does no harm
    for table in ("ledger_batches", "ledger_chains", "ledger_amendments", "executions"):
        await execute(database, f"DELETE FROM {table}")
    assert kinds(await verified(database, before=heads)) == {"chain_cut"}


async def test_chain_of_another_secret_is_told_and_both_count_while_it_is_rotated(database):
    await served(database)
    async with running(Executions(database, Chain(b"the newer secret's key, 32 bytes")), database) as ledger:
        await ledger.reserve(call())
    assert kinds(await verified(database)) == {"unknown_key"}
    assert (await verified(database, b"the newer secret's key, 32 bytes", KEY)).findings == []


async def test_loss_that_several_processes_book_is_listed_once(database, database_url):
    rows = [call() for _ in range(40)]
    for number, row in enumerate(rows):
        row.id, row.server_id, row.reserved_ticks = f"lost-{number}", "dead", 10
        row.state = execution_pb2.EXECUTION_STATE_PENDING
        row.create_time.GetCurrentTime()
    await chained(database).save(rows)
    await execute(database, "UPDATE executions SET server_id = settled_by WHERE false")
    others = [Database(database_url) for _ in range(3)]
    swept = await asyncio.gather(*(chained(other).sweep() for other in others))
    assert sorted(id for ids in swept for id in ids) == sorted(row.id for row in rows)
    for other in others:
        await other.close()
    outcome = await verified(database)
    assert kinds(outcome) == {"row_changed"}  # the intents: this test made them in the name of a dead process
    assert outcome.versions == 80


async def test_row_that_two_processes_book_is_listed_by_the_one_that_wrote_it(database, database_url):
    """A line of a provider's batch has the same id wherever it is booked."""
    other_database = Database(database_url)
    async with (
        running(chained(database), database) as first,
        running(chained(other_database), other_database) as second,
    ):
        for number in range(30):
            lines = [call() for _ in range(5)]
            for place, line in enumerate(lines):
                line.id, line.request_id, line.attempt = (
                    f"line-{number}-{place}",
                    f"batch-{number}",
                    place + 1,
                )
                line.create_time.GetCurrentTime()
            copies = [Execution.FromString(line.SerializeToString()) for line in lines]
            await asyncio.gather(
                *(first.book(succeed(line)) for line in lines),
                *(second.book(succeed(line, 9)) for line in copies),
            )
    await other_database.close()
    assert await states(database) == {"SUCCEEDED": 150}
    assert (await verified(database)).findings == []


async def test_row_that_is_rated_again_keeps_its_old_version(database):
    executions = chained(database)
    async with running(executions, database) as ledger:
        row = call()
        await ledger.reserve(row)
        await ledger.settle(succeed(row))
        again = (row, Cost(cost_ticks=130, cost_usd=1.3e-8, price_known=True, price_book="new"))
        await executions.reprice([again])
        await executions.reprice([again])  # it has the price of another book now
        await ledger.reserve(call())  # the chain goes on behind it
    outcome = await verified(database)
    assert (outcome.findings, outcome.versions) == ([], 4)
    async with database.connect() as connection:
        kept = (await connection.execute(sa.text("SELECT kind FROM ledger_amendments"))).scalars().all()
    assert kept == ["RERATED"]


async def test_rows_from_before_the_chain_are_left_alone_and_their_settlements_are_listed(database):
    old, open_ = succeed(call()), call()
    for row in (old, open_):
        row.id, row.server_id = f"old-{row.attempt}", "old server"
        row.create_time.GetCurrentTime()
    old.settle_time.GetCurrentTime()
    open_.state = execution_pb2.EXECUTION_STATE_PENDING
    await Executions(database).save([old, open_])
    async with running(chained(database), database):
        await until(lambda: _is_lost(database, open_.id))
    outcome = await verified(database)
    assert (outcome.findings, outcome.versions) == ([], 1)


async def _is_lost(database: Database, id: str) -> bool:
    return await states(database) == {"SUCCEEDED": 1, "LOST": 1}


async def test_process_says_so_when_its_own_chain_was_cut(database):
    executions = chained(database)
    async with running(executions, database, LedgerTimeouts(waits_for_flush=True)) as ledger:
        for _ in range(3):
            await ledger.reserve(call())
        await execute(database, "DELETE FROM ledger_batches WHERE seq > 1")
        with capture_logs() as logs:
            await ledger.reserve(call())
    assert [entry["found_seq"] for entry in logs if entry["event"] == "ledger_chain_cut"] == [1]


async def test_postgresql_that_dies_leaves_a_chain_that_agrees(
    postgres_server: PostgresServer, postgres_url: str
):
    async def one(number: int) -> None:
        row = call()
        ledger.begin(row)
        await asyncio.sleep(number / 50)
        await ledger.settle(succeed(row))

    database = Database(postgres_url)
    async with running(chained(database), database, ttl_s=1.0) as ledger:
        tasks = [asyncio.create_task(one(number)) for number in range(60)]
        await asyncio.sleep(0.2)
        await asyncio.to_thread(postgres_server.stop)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(postgres_server.start)
        await asyncio.gather(*tasks)
    assert await states(database) == {"SUCCEEDED": 60}
    assert (await verified(database)).findings == []
    await database.close()


async def test_many_calls_at_once_agree(database):
    executions = chained(database)

    async def one(number: int) -> None:
        row = call()
        if number % 3:
            await ledger.reserve(row)
        else:
            ledger.begin(row)
        await ledger.settle(succeed(row, number))

    async with running(executions, database) as ledger:
        await asyncio.gather(*(one(number) for number in range(300)))
    outcome = await verified(database)
    assert (outcome.findings, outcome.versions) == ([], 600)
