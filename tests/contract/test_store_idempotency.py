"""Claims, outcomes and blocks of idempotent calls, on both databases."""

from dataclasses import replace
from itertools import count

import pytest

from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.store.idempotency.blocks import Block, StreamBlocks
from genai_spine.store.idempotency.calls import Claim, IdempotentCalls, Outcome, Scope
from genai_spine.store.leases import Leases
from genai_spine.v1.execution_pb2 import Execution, ExecutionState
from genai_spine.v1.operation_pb2 import Operation
from tests.idempotent_rows import aged, call_rows, violations

ids = count(1)
DONE = Outcome("DONE", {"a": "b"}, body=b"answer")


@pytest.fixture
def calls(database: Database) -> IdempotentCalls:
    return IdempotentCalls(database, ttl_s=100.0, resume_ttl_s=50.0)


@pytest.fixture
async def lives(database: Database) -> str:
    """A server with a lease."""
    await Leases(database).take("lives", "cpu", 60.0)
    return "lives"


def claim(server: str = "lives", key: str = "k", tenant: str = "t", principal: str = "p") -> Claim:
    number = next(ids)
    return Claim(Scope(tenant, principal, key), number, "/S/M", b"hash", server, f"request-{number}")


async def test_key_is_claimed_once_for_each_caller(calls: IdempotentCalls, lives: str) -> None:
    assert await calls.claim(claim())
    assert not await calls.claim(claim())
    assert await calls.claim(claim(tenant="other"))
    assert await calls.claim(claim(principal="other"))
    assert await calls.claim(claim(key="other"))


async def test_outcome_is_found_as_it_was_written(calls: IdempotentCalls, lives: str) -> None:
    mine = claim()
    await calls.claim(mine)
    found = await calls.find(mine.scope)
    assert found
    assert (found.state, found.is_alive, found.body, found.call_id) == ("RUNNING", True, None, mine.call_id)
    assert await calls.finish(mine.call_id, DONE)
    found = await calls.find(mine.scope)
    assert found
    assert (found.state, found.body, found.headers) == ("DONE", b"answer", {"a": "b"})
    assert not await calls.finish(mine.call_id, replace(DONE, body=b"other"))


async def test_released_key_is_free(calls: IdempotentCalls, lives: str) -> None:
    mine = claim()
    await calls.claim(mine)
    await calls.release(mine.call_id)
    assert await calls.find(mine.scope) is None
    assert await calls.claim(claim())
    await calls.finish(mine.call_id, DONE)  # of the claim that was given up: nothing happens
    found = await calls.find(mine.scope)
    assert found
    assert found.state == "RUNNING"


async def test_only_a_dead_servers_call_is_taken_over_and_by_one(calls: IdempotentCalls, lives: str) -> None:
    of_the_living = claim()
    await calls.claim(of_the_living)
    found = await calls.find(of_the_living.scope)
    assert found
    assert not await calls.take_over(claim(), found)
    of_the_dead = claim("dead", key="other")
    await calls.claim(of_the_dead)
    found = await calls.find(of_the_dead.scope)
    assert found
    assert not found.is_alive
    heirs = [claim(key="other"), claim(key="other")]
    assert [await calls.take_over(heir, found) for heir in heirs] == [True, False]
    assert not await calls.finish(of_the_dead.call_id, DONE)  # the dead was only slow
    now = await calls.find(of_the_dead.scope)
    assert now
    assert (now.state, now.call_id, now.request_id) == ("RUNNING", heirs[0].call_id, heirs[0].request_id)


async def test_running_calls_move_to_another_id_and_those_that_were_taken_over_or_ended_do_not(
    calls: IdempotentCalls, lives: str
) -> None:
    running, ended, taken = (claim("dead", key=key) for key in ("running", "ended", "taken"))
    for mine in (running, ended, taken):
        await calls.claim(mine)
    await calls.finish(ended.call_id, DONE)
    found = await calls.find(taken.scope)
    assert found
    assert await calls.take_over(claim(key="taken"), found)
    await calls.move([running.call_id, ended.call_id, taken.call_id], "lives")
    now = {one.scope.key: await calls.find(one.scope) for one in (running, ended, taken)}
    assert [one.is_alive for one in now.values() if one] == [True, False, True]
    assert now["taken"]
    assert now["taken"].call_id != taken.call_id


async def test_execution_of_the_request_says_that_a_provider_was_asked(
    calls: IdempotentCalls, database: Database, lives: str
) -> None:
    mine = claim()
    await calls.claim(mine)
    found = await calls.find(mine.scope)
    assert found
    assert not await calls.was_tried(found)
    row = Execution(
        id="e1", request_id=mine.request_id, server_id="dead", state=ExecutionState.EXECUTION_STATE_PENDING
    )
    row.operation = Operation.OPERATION_COMPLETION
    row.lane = 1  # type: ignore[assignment]
    row.create_time.GetCurrentTime()
    await Executions(database).save([row])
    assert await calls.was_tried(found)


async def test_blocks_are_read_from_any_place(calls: IdempotentCalls, database: Database, lives: str) -> None:
    mine, blocks = claim(), StreamBlocks(database)
    await calls.claim(mine)
    written = [Block(1, [b"1", b"2"], {"h": "v"}), Block(3, [b"3"]), Block(4, [b"4", b"5"])]
    for block in written[:2]:
        assert await blocks.add({mine.call_id: block}) == set()
    await calls.follow(mine.call_id)
    outcome = Outcome("DONE", {"h": "v"}, blocks=written[2:], last_seq=5)
    assert await calls.finish(mine.call_id, outcome)
    assert await blocks.read(mine.call_id, 0) == written
    assert await blocks.read(mine.call_id, 1) == written
    assert await blocks.read(mine.call_id, 3) == written[2:]
    assert await blocks.read(mine.call_id, 5) == []
    assert (await blocks.first(mine.call_id), await blocks.last_seq(mine.call_id)) == (written[0], 5)
    assert await violations(database) == {}


async def test_who_follows_is_seen_with_the_next_block(
    calls: IdempotentCalls, database: Database, lives: str
) -> None:
    mine, blocks = claim(), StreamBlocks(database)
    await calls.claim(mine)
    await calls.follow(mine.call_id)
    assert await blocks.add({mine.call_id: Block(1, [b"1"], {})}) == {mine.call_id}


async def test_block_of_a_claim_that_is_gone_is_not_written(
    calls: IdempotentCalls, database: Database, lives: str
) -> None:
    mine, blocks = claim("dead"), StreamBlocks(database)
    await calls.claim(mine)
    found = await calls.find(mine.scope)
    assert found
    await calls.take_over(claim(), found)
    await blocks.add({mine.call_id: Block(1, [b"1"], {})})
    assert await blocks.read(mine.call_id, 0) == []


async def test_sweep_takes_blocks_first_and_then_calls_that_are_over(
    calls: IdempotentCalls, database: Database, lives: str
) -> None:
    ended, runs, blocks = claim(key="ended"), claim(key="runs"), StreamBlocks(database)
    for one in (ended, runs):
        await calls.claim(one)
    await calls.finish(ended.call_id, Outcome("DONE", {}, blocks=[Block(1, [b"1"], {})], last_seq=1))
    assert await calls.sweep() == 0
    await aged(database, blocks_until=-1)
    assert await calls.sweep() == 1
    assert await blocks.read(ended.call_id, 0) == []
    await aged(database, expires_at=-1)
    assert await calls.sweep() == 1
    assert [row["key"] for row in await call_rows(database)] == ["runs"]
