"""Kept completions, on SQLite and on a real PostgreSQL."""

import pytest
import sqlalchemy as sa

from genai_spine.call import DEFAULT_TENANT
from genai_spine.store.completions import LOST, CompletionFailure, Completions
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.leases import Leases
from genai_spine.store.tables import completions as table
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2


@pytest.fixture
async def completions(database: Database) -> Completions:
    await Leases(database).take("server-1", "cpu", 60)
    return Completions(database)


def answer(id: str, text: str = "Hello") -> pb.Completion:
    message = message_pb2.Message(
        role=message_pb2.ROLE_ASSISTANT, content=[message_pb2.ContentPart(text=text)]
    )
    return pb.Completion(id=id, execution_id="row-1", choices=[pb.Choice(message=message)])


async def shift(database: Database, id: str, **times_s: float) -> None:
    values = {name: Now(seconds) for name, seconds in times_s.items()}
    async with database.engine.begin() as connection:
        await connection.execute(sa.update(table).where(table.c.id == id).values(values))


async def row_of(database: Database, id: str) -> dict:
    async with database.engine.connect() as connection:
        return dict((await connection.execute(sa.select(table).where(table.c.id == id))).mappings().one())


@pytest.mark.parametrize("id", ["comp_1", "request-1"])
async def test_finished_answer_is_found_by_its_id_and_by_its_requests(completions, id):
    await completions.begin("comp_1", DEFAULT_TENANT, "request-1", "server-1", 60)
    assert await completions.find(id, DEFAULT_TENANT) == "RUNNING"
    await completions.finish("comp_1", answer("comp_1"), 60)
    assert await completions.find(id, DEFAULT_TENANT) == answer("comp_1")


async def test_row_says_which_call_was_paid_for(completions, database):
    await completions.begin("comp_1", DEFAULT_TENANT, "request-1", "server-1", 60)
    await completions.finish("comp_1", answer("comp_1"), 60)
    row = await row_of(database, "comp_1")
    assert (row["state"], row["request_id"], row["execution_id"]) == ("DONE", "request-1", "row-1")


async def test_failure_comes_back_with_its_reason(completions, database):
    failed = CompletionFailure("PROVIDER_ERROR", "it broke: a\0b", {"provider": "openai", "code": "ü\0"})
    await completions.begin("comp_1", DEFAULT_TENANT, "request-1", "server-1", 60)
    await completions.finish("comp_1", failed, 60)
    found = await completions.find("comp_1", DEFAULT_TENANT)
    assert found == CompletionFailure("PROVIDER_ERROR", "it broke: a\ufffdb", failed.metadata)
    row = await row_of(database, "comp_1")
    assert (row["state"], row["error_reason"], row["body"]) == ("FAILED", "PROVIDER_ERROR", None)


async def test_newest_answer_of_a_request_id_that_was_used_twice_is_found(completions, database):
    for id in ("comp_1", "comp_2"):
        await completions.begin(id, DEFAULT_TENANT, "request-1", "server-1", 60)
        await completions.finish(id, answer(id, id), 60)
    await shift(database, "comp_1", created_at=-10)
    assert await completions.find("request-1", DEFAULT_TENANT) == answer("comp_2", "comp_2")
    assert await completions.find("comp_1", DEFAULT_TENANT) == answer("comp_1", "comp_1")


async def test_answer_whose_id_is_anothers_request_id_comes_first(completions):
    await completions.begin("comp_1", DEFAULT_TENANT, "request-1", "server-1", 60)
    await completions.begin("comp_2", DEFAULT_TENANT, "comp_1", "server-1", 60)
    await completions.finish("comp_1", answer("comp_1"), 60)
    assert await completions.find("comp_1", DEFAULT_TENANT) == answer("comp_1")


async def test_unknown_id_finds_nothing(completions):
    assert await completions.find("comp_1", DEFAULT_TENANT) is None
    assert await completions.find("comp_1\0", DEFAULT_TENANT) is None


async def test_answer_that_ran_out_is_not_found(completions, database):
    await completions.begin("comp_1", DEFAULT_TENANT, "request-1", "server-1", 60)
    await completions.finish("comp_1", answer("comp_1"), 60)
    await shift(database, "comp_1", expires_at=-1)
    assert await completions.find("comp_1", DEFAULT_TENANT) is None
    assert await completions.find("request-1", DEFAULT_TENANT) is None


async def test_time_to_live_counts_from_the_end(completions, database):
    await completions.begin("comp_1", DEFAULT_TENANT, "request-1", "server-1", 60)
    await shift(database, "comp_1", created_at=-50, expires_at=10)
    await completions.finish("comp_1", answer("comp_1"), 60)
    row = await row_of(database, "comp_1")
    assert (row["expires_at"] - row["created_at"]).total_seconds() == pytest.approx(110, abs=2)


async def test_answer_of_a_server_that_died_is_lost_unless_it_comes_after_all(completions, database):
    await completions.begin("comp_1", DEFAULT_TENANT, "request-1", "server-dead", 60)
    assert await completions.find("comp_1", DEFAULT_TENANT) == LOST
    await completions.finish("comp_1", answer("comp_1"), 60)
    assert await completions.find("comp_1", DEFAULT_TENANT) == answer("comp_1")


async def test_sweep_deletes_only_what_ran_out(completions, database):
    for id in ("comp_1", "comp_2"):
        await completions.begin(id, DEFAULT_TENANT, "request-1", "server-1", 60)
    await shift(database, "comp_1", expires_at=-1)
    assert await completions.sweep() == 1
    assert await completions.find("comp_2", DEFAULT_TENANT) == "RUNNING"
    assert await completions.sweep() == 0
