"""The response cache's rows, on SQLite and on a real PostgreSQL."""

import asyncio

import pytest
import sqlalchemy as sa

from genai_spine.call import DEFAULT_TENANT
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.responses import CachedResponse, Responses
from genai_spine.store.sweeper import BATCH_SIZE
from genai_spine.store.tables import response_cache

ANSWER = CachedResponse(DEFAULT_TENANT, "completion", "openai", "gpt-4o", b"\x00\xff\x0a answer")
NEWER = CachedResponse(DEFAULT_TENANT, "completion", "openai", "gpt-4o", b"newer")


@pytest.fixture
def responses(database: Database) -> Responses:
    return Responses(database)


async def shift(database: Database, **times_s: float) -> None:
    """Sets columns of all rows to so many seconds from now."""
    values = {name: Now(seconds) for name, seconds in times_s.items()}
    async with database.engine.begin() as connection:
        await connection.execute(sa.update(response_cache).values(values))


async def keys(database: Database) -> list[str]:
    async with database.engine.connect() as connection:
        return list((await connection.execute(sa.select(response_cache.c.key))).scalars())


async def fill(database: Database, rows: int, expires_in_s: float) -> None:
    row = {"operation": "completion", "provider": "p", "model": "m", "body": b"", "body_bytes": 0}
    row |= {"key": sa.bindparam("k"), "created_at": Now(), "expires_at": Now(expires_in_s)}
    named = [{"k": f"{expires_in_s} {number}"} for number in range(rows)]
    async with database.engine.begin() as connection:
        await connection.execute(sa.insert(response_cache).values(row), named)


async def test_answer_comes_back_with_its_age(responses, database):
    await responses.save("key", ANSWER, 60)
    body, age_s = await responses.find("key", 60)
    assert body == ANSWER.body
    assert 0 <= age_s < 5
    await shift(database, created_at=-10)
    _, age_s = await responses.find("key", 60)
    assert 10 <= age_s < 15


async def test_row_says_what_it_is(responses, database):
    await responses.save("key", ANSWER, 60)
    async with database.engine.connect() as connection:
        row = (await connection.execute(sa.select(response_cache))).mappings().one()
    assert (row["operation"], row["provider"], row["model"]) == ("completion", "openai", "gpt-4o")
    assert row["body_bytes"] == len(ANSWER.body)
    assert (row["expires_at"] - row["created_at"]).total_seconds() == pytest.approx(60, abs=0.01)


async def test_unknown_key_finds_nothing(responses):
    await responses.save("key", ANSWER, 60)
    assert await responses.find("other", 60) is None


async def test_answer_older_than_asked_for_is_not_found(responses, database):
    await responses.save("key", ANSWER, 3600)
    await shift(database, created_at=-100)
    assert await responses.find("key", 99) is None
    assert await responses.find("key", 110) is not None


async def test_answer_that_ran_out_is_not_found_however_young(responses, database):
    await responses.save("key", ANSWER, 60)
    await shift(database, expires_at=-1)
    assert await responses.find("key", 3600) is None


async def test_newer_answer_takes_the_place_of_the_older_one(responses, database):
    await responses.save("key", ANSWER, 60)
    await shift(database, created_at=-100, expires_at=-1)
    await responses.save("key", NEWER, 60)
    body, age_s = await responses.find("key", 60)
    assert (body, age_s < 5) == (NEWER.body, True)
    assert await keys(database) == ["key"]


async def test_processes_that_save_one_key_together_leave_one_row(responses, database, database_url):
    others = [Database(database_url) for _ in range(3)]
    saves = [Responses(other).save("key", ANSWER, 60) for other in others for _ in range(5)]
    await asyncio.gather(*saves, responses.save("key", ANSWER, 60))
    for other in others:
        await other.close()
    assert await keys(database) == ["key"]


async def test_sweep_deletes_what_ran_out_few_rows_at_a_time(responses, database):
    await fill(database, BATCH_SIZE + 7, -1)
    await fill(database, 3, 60)
    assert await responses.sweep() == BATCH_SIZE
    assert await responses.sweep() == 7
    assert await responses.sweep() == 0
    assert len(await keys(database)) == 3


async def test_sweepers_of_several_processes_do_not_wait_for_each_other(responses, database, database_url):
    await fill(database, 300, -1)
    others = [Database(database_url) for _ in range(2)]
    deleted = await asyncio.gather(responses.sweep(), *(Responses(other).sweep() for other in others))
    for other in others:
        await other.close()
    assert sum(deleted) + await responses.sweep() == 300
    assert await keys(database) == []
