"""The response cache: what is kept, for whom, how long, and what happens without its database."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from genai_spine.call import DEFAULT_TENANT
from genai_spine.delivery import response_cache as cache
from genai_spine.delivery.response_cache import (
    ENTRY_BYTES,
    MAX_BODY_BYTES,
    ResponseCache,
    is_whole,
    max_age_s,
)
from genai_spine.errors import InvalidRequest
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.responses import Responses
from genai_spine.store.tables import response_cache
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

MEMORY = 1 << 20
YEAR_S = 31_536_000


def answer(text: str = "Hello", finish: int = pb.FINISH_REASON_STOP) -> pb.Completion:
    message = message_pb2.Message(
        role=message_pb2.ROLE_ASSISTANT, content=[message_pb2.ContentPart(text=text)]
    )
    choice = pb.Choice(message=message, finish_reason=finish)
    return pb.Completion(provider="openai", model="gpt-4o", choices=[choice])


def in_memory(ttl_s: float = 3600, memory_bytes: int = MEMORY) -> ResponseCache:
    return ResponseCache(None, ttl_s=ttl_s, memory_bytes=memory_bytes)


async def found(kept: ResponseCache, key: str = "key", age_s: float = 60) -> pb.Completion | None:
    return await kept.find(key, age_s, pb.Completion)


class Gated(Responses):
    """A database that is slow: an answer is read at once, and arrives when the gate opens."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.gate, self.read = asyncio.Event(), asyncio.Event()
        self.asked = 0

    async def find(self, key: str, max_age_s: float) -> Any:
        found = await super().find(key, max_age_s)
        self.read.set()
        await self.gate.wait()
        return found

    async def save(self, *row: Any) -> None:
        self.asked += 1
        await self.gate.wait()
        await super().save(*row)


@pytest.fixture
async def shared(database: Database) -> AsyncGenerator[ResponseCache]:
    kept = ResponseCache(Responses(database), ttl_s=3600, memory_bytes=MEMORY)
    yield kept
    await kept.stop()


def another(database: Database) -> ResponseCache:
    """As another process has it."""
    return ResponseCache(Responses(database), ttl_s=3600, memory_bytes=MEMORY)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    hands = Clock()
    monkeypatch.setattr(cache, "monotonic", hands)
    return hands


@pytest.mark.parametrize(
    ("header", "age_s"),
    [
        (None, None),
        ("", None),
        ("max-age=3600", 3600),
        ("Max-Age=0", 0),
        ('max-age="60"', 60),
        ("private, max-age=60", 60),
        ("no-cache", 0),
        ("no-cache, max-age=60", 0),
        ("no-store", None),
        ("max-age=60, no-store", None),
        ("something-else", None),
        (f"max-age={YEAR_S}", YEAR_S),
    ],
)
def test_header_says_what_the_field_says(header: str | None, age_s: int | None) -> None:
    assert max_age_s(header) == age_s


@pytest.mark.parametrize("header", ["max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=31536001"])
def test_max_age_that_is_no_number_of_seconds_is_refused(header: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        max_age_s(header)
    assert raised.value.metadata["field"] == "X-Cache-Control"


@pytest.mark.parametrize(
    "finish", [pb.FINISH_REASON_STOP, pb.FINISH_REASON_LENGTH, pb.FINISH_REASON_TOOL_CALLS]
)
def test_finished_answers_are_whole(finish: int) -> None:
    assert is_whole(answer(finish=finish))


def test_unfinished_filtered_and_empty_answers_are_not_whole() -> None:
    assert not is_whole(answer(finish=pb.FINISH_REASON_CONTENT_FILTER))
    assert not is_whole(answer(finish=pb.FINISH_REASON_UNSPECIFIED))
    assert not is_whole(pb.Completion())
    assert not is_whole(pb.CreateEmbeddingsResponse())
    half = answer()
    half.choices.add(index=1)
    assert not is_whole(half)


class TestMemory:
    async def test_kept_answer_is_found_and_each_finder_has_its_own(self) -> None:
        kept = in_memory()
        kept.keep("key", DEFAULT_TENANT, "completion", answer())
        first, second = await found(kept), await found(kept)
        assert first == second == answer()
        assert first is not second

    async def test_embeddings_are_kept_too(self) -> None:
        kept = in_memory()
        vectors = pb.CreateEmbeddingsResponse(embeddings=[pb.Embedding(values=[0.5])])
        kept.keep("key", DEFAULT_TENANT, "embeddings", vectors)
        assert await kept.find("key", 60, pb.CreateEmbeddingsResponse) == vectors

    async def test_answer_older_than_allowed_is_not_given(self, clock: Clock) -> None:
        kept = in_memory()
        kept.keep("key", DEFAULT_TENANT, "completion", answer())
        clock.now += 59.9
        assert await found(kept, age_s=60) is not None
        clock.now += 0.1
        assert await found(kept, age_s=60) is None
        assert await found(kept, age_s=61) is not None

    async def test_age_0_finds_nothing(self) -> None:
        kept = in_memory()
        kept.keep("key", DEFAULT_TENANT, "completion", answer())
        assert await found(kept, age_s=0) is None

    async def test_no_answer_outlives_the_time_to_live(self, clock: Clock) -> None:
        kept = in_memory(ttl_s=10)
        kept.keep("key", DEFAULT_TENANT, "completion", answer())
        clock.now += 10
        assert await found(kept, age_s=3600) is None

    async def test_newer_answer_takes_the_place_of_the_older_one(self) -> None:
        kept = in_memory()
        kept.keep("key", DEFAULT_TENANT, "completion", answer("old"))
        kept.keep("key", DEFAULT_TENANT, "completion", answer("new"))
        assert await found(kept) == answer("new")

    async def test_filtered_answer_is_not_kept(self) -> None:
        kept = in_memory()
        kept.keep("key", DEFAULT_TENANT, "completion", answer(finish=pb.FINISH_REASON_CONTENT_FILTER))
        assert await found(kept) is None

    async def test_too_large_an_answer_is_not_kept(self) -> None:
        kept = in_memory(memory_bytes=4 * MAX_BODY_BYTES)
        kept.keep("key", DEFAULT_TENANT, "completion", answer("x" * MAX_BODY_BYTES))
        assert await found(kept) is None
        kept.keep("key", DEFAULT_TENANT, "completion", answer("x" * (MAX_BODY_BYTES - 100)))
        assert await found(kept) is not None

    async def test_memory_is_bounded_by_bytes_and_what_was_not_used_goes_first(self) -> None:
        size = len(answer("x" * 1000).SerializeToString()) + ENTRY_BYTES
        kept = in_memory(memory_bytes=3 * size)
        for key in "abc":
            kept.keep(key, DEFAULT_TENANT, "completion", answer("x" * 1000))
        assert await found(kept, "a")
        kept.keep("d", DEFAULT_TENANT, "completion", answer("x" * 1000))
        assert [key for key in "abcd" if await found(kept, key)] == ["a", "c", "d"]

    async def test_answer_that_memory_cannot_hold_does_not_leave_an_older_one_in_its_place(self) -> None:
        kept = in_memory(memory_bytes=2000)
        kept.keep("key", DEFAULT_TENANT, "completion", answer("old"))
        kept.keep("key", DEFAULT_TENANT, "completion", answer("x" * 3000))
        assert await found(kept) is None


class TestDatabase:
    async def test_answer_of_one_process_is_found_by_another(
        self, shared: ResponseCache, database: Database
    ) -> None:
        shared.keep("key", DEFAULT_TENANT, "completion", answer())
        await shared.stop()
        assert await found(another(database)) == answer()

    async def test_answer_that_came_from_the_database_is_as_old_as_it_was_there(
        self, shared: ResponseCache, database: Database
    ) -> None:
        shared.keep("key", DEFAULT_TENANT, "completion", answer())
        await shared.stop()
        async with database.engine.begin() as connection:
            await connection.execute(sa.update(response_cache).values(created_at=Now(-100)))
        other = another(database)
        assert await found(other, age_s=90) is None
        assert await found(other, age_s=200) == answer()
        async with database.engine.begin() as connection:
            await connection.execute(sa.delete(response_cache))
        assert await found(other, age_s=90) is None
        assert await found(other, age_s=200) == answer()  # from memory

    async def test_newer_answer_of_another_process_is_found_behind_an_older_one_in_memory(
        self, shared: ResponseCache, database: Database, clock: Clock
    ) -> None:
        shared.keep("key", DEFAULT_TENANT, "completion", answer("old"))
        await shared.stop()
        clock.now += 30
        other = another(database)
        other.keep("key", DEFAULT_TENANT, "completion", answer("new"))
        await other.stop()
        assert await found(shared, age_s=20) == answer("new")
        assert await found(shared, age_s=3600) == answer("new")

    async def test_answer_that_comes_while_the_database_is_asked_stays(self, database: Database) -> None:
        await _save(database, answer("old"))
        gated = Gated(database)
        kept = ResponseCache(gated, ttl_s=3600, memory_bytes=MEMORY)
        asking = asyncio.create_task(found(kept))
        await gated.read.wait()
        kept.keep("key", DEFAULT_TENANT, "completion", answer("new"))
        gated.gate.set()
        assert await asking == answer("old")
        assert await found(kept) == answer("new")
        await kept.stop()

    async def test_keeping_does_not_wait_for_the_database(self, database: Database) -> None:
        gated = Gated(database)
        kept = ResponseCache(gated, ttl_s=3600, memory_bytes=MEMORY)
        for number in range(200):
            kept.keep(f"key {number}", DEFAULT_TENANT, "completion", answer())
        await asyncio.sleep(0)
        assert gated.asked == cache.MAX_WRITES
        assert await found(kept, "key 199") == answer()
        gated.gate.set()
        await kept.stop()


async def _save(database: Database, kept: pb.Completion) -> None:
    first = another(database)
    first.keep("key", DEFAULT_TENANT, "completion", kept)
    await first.stop()


class TestOutage:
    async def test_broken_database_is_logged_and_left_alone_for_a_while(
        self, database: Database, clock: Clock
    ) -> None:
        async with database.engine.begin() as connection:
            await connection.execute(sa.text("DROP TABLE response_cache"))
        kept = another(database)
        with capture_logs() as logs:
            assert await found(kept) is None
            assert await found(kept) is None
            kept.keep("key", DEFAULT_TENANT, "completion", answer())
            await kept.stop()
            assert await found(kept) == answer()
            assert [line["event"] for line in logs] == ["response_cache_failed"]
            clock.now += cache.COOLDOWN_S
            assert await found(kept, "other") is None
        assert len(logs) == 2

    async def test_failed_write_is_logged_and_the_answer_stays_in_memory(self, database: Database) -> None:
        kept = another(database)
        async with database.engine.begin() as connection:
            await connection.execute(sa.text("DROP TABLE response_cache"))
        with capture_logs() as logs:
            kept.keep("key", DEFAULT_TENANT, "completion", answer())
            await kept.stop()
        assert [line["event"] for line in logs] == ["response_cache_failed"]
        assert await found(kept) == answer()

    async def test_slow_database_counts_as_broken(
        self, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cache, "DB_TIMEOUT_S", 0.02)
        kept = ResponseCache(Gated(database), ttl_s=3600, memory_bytes=MEMORY)
        with capture_logs() as logs:
            assert await found(kept) is None
        assert "TimeoutError" in logs[0]["cause"]
