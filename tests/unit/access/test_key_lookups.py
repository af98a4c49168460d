"""Lookups of keys: those that wait are one statement, and each is of a moment after it was asked for."""

import asyncio
from collections.abc import Sequence

import pytest

from genai_spine.access.key_lookups import MAX_TOGETHER, KeyLookups
from genai_spine.errors import ServiceUnavailable
from genai_spine.v1.key_service_pb2 import ApiKey


class Rows:
    """Table of keys, each of whose statements ends when it is let go."""

    def __init__(self) -> None:
        self.statements: list[Sequence[str]] = []
        self.keys: dict[str, ApiKey] = {}
        self.go = asyncio.Semaphore(0)
        self.error: Exception | None = None

    async def by_digests(self, digests: Sequence[str]) -> dict[str, ApiKey]:
        self.statements.append(digests)
        found = {digest: self.keys[digest] for digest in digests if digest in self.keys}
        await self.go.acquire()
        if self.error is not None:
            raise self.error
        return found

    def release(self, times: int) -> None:
        for _ in range(times):
            self.go.release()


@pytest.fixture
def rows() -> Rows:
    return Rows()


async def begun() -> None:
    """Lets tasks run until they wait."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_flood_is_few_statements_one_at_a_time(rows: Rows):
    rows.keys["right"] = ApiKey(id="key_1")
    lookups = KeyLookups(rows.by_digests)
    tasks = [asyncio.create_task(lookups.key(f"wrong-{number}")) for number in range(1000)]
    honest = asyncio.create_task(lookups.key("right"))
    await begun()
    assert len(rows.statements) == 1
    rows.release(10)
    assert (await honest) == ApiKey(id="key_1")
    assert set(await asyncio.gather(*tasks)) == {None}
    assert len(rows.statements) == -(-1001 // MAX_TOGETHER)
    assert max(map(len, rows.statements)) == MAX_TOGETHER


async def test_a_digest_that_many_wait_for_is_asked_for_once(rows: Rows):
    lookups = KeyLookups(rows.by_digests)
    rows.release(1)
    assert await asyncio.gather(*(lookups.key("a") for _ in range(50))) == [None] * 50
    assert rows.statements == [["a"]]


async def test_who_asks_while_a_statement_runs_has_one_of_its_own(rows: Rows):
    """The one that runs may be of a moment before the key was revoked, or made."""
    lookups = KeyLookups(rows.by_digests)
    before = asyncio.create_task(lookups.key("a"))
    await begun()
    rows.keys["a"] = ApiKey(id="key_1")
    after = asyncio.create_task(lookups.key("a"))
    await begun()
    rows.release(2)
    assert (await before, await after) == (None, ApiKey(id="key_1"))


async def test_a_failure_is_that_of_its_statement_alone(rows: Rows):
    lookups = KeyLookups(rows.by_digests)
    rows.error = ServiceUnavailable(cause="its database does not answer")
    rows.release(1)
    with pytest.raises(ServiceUnavailable):
        await lookups.key("a")
    rows.error = None
    rows.release(1)
    assert await lookups.key("a") is None


async def test_who_leaves_takes_the_answer_from_nobody(rows: Rows):
    lookups = KeyLookups(rows.by_digests)
    leaving, staying = (asyncio.create_task(lookups.key("a")) for _ in range(2))
    await begun()
    leaving.cancel()
    await begun()
    rows.release(1)
    assert await staying is None


async def test_a_secret_that_was_good_before_goes_before_a_flood(rows: Rows):
    rows.keys["right"] = ApiKey(id="key_1")
    lookups = KeyLookups(rows.by_digests)
    flood = [asyncio.create_task(lookups.key(f"wrong-{number}")) for number in range(1000)]
    await begun()
    known = asyncio.create_task(lookups.key("right", was_good=True))
    await begun()
    rows.release(2)
    assert await known == ApiKey(id="key_1")
    assert rows.statements[1] == ["right"]
    rows.release(10)
    assert set(await asyncio.gather(*flood)) == {None}
