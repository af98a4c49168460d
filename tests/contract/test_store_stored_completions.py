"""Stored completions, on SQLite and on a real PostgreSQL."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from genai_spine.call import DEFAULT_TENANT
from genai_spine.store import stored_completions
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.stored_completions import StoredCompletionRows
from genai_spine.store.tables import stored_completions as table
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import message_pb2
from genai_spine.v1 import stored_completion_service_pb2 as pb

ODD = {'quote"': "a%b_", "back\\": "'; --", "$.a[0]": "\u2028", "a=b": "", "%": "%", "Ü": "🙂"}


@pytest.fixture
def rows(database: Database) -> StoredCompletionRows:
    return StoredCompletionRows(database)


def said(text: str, role: message_pb2.Role = message_pb2.ROLE_ASSISTANT) -> message_pb2.Message:
    return message_pb2.Message(role=role, content=[message_pb2.ContentPart(text=text)])


def answer(id: str, text: str = "Hello", model: str = "gpt-4o-2024") -> completions.Completion:
    choice = completions.Choice(message=said(text))
    return completions.Completion(id=id, model=model, request_id="r", execution_id="e", choices=[choice])


def asked(*texts: str, **fields: Any) -> completions.CreateCompletionRequest:
    messages = [said(text, message_pb2.ROLE_USER) for text in texts or ("Hi",)]
    return completions.CreateCompletionRequest(messages=messages, **({"model": "gpt-4o"} | fields))


async def ids(
    rows: StoredCompletionRows, labels: Any = None, limit: int = 100, after: str | None = None, **fields: Any
) -> list[str]:
    page = await rows.page(
        pb.ListStoredCompletionsRequest(**fields), DEFAULT_TENANT, labels or {}, limit, after
    )
    assert page is not None
    return [stored.completion.id for stored in page.completions]


async def shift(database: Database, id: str, **times_s: float) -> None:
    values = {name: Now(seconds) for name, seconds in times_s.items()}
    async with database.engine.begin() as connection:
        await connection.execute(sa.update(table).where(table.c.id == id).values(values))


async def test_answer_comes_back_with_its_messages_and_metadata(rows):
    text = "a\0b \ud7ff"
    await rows.add(asked(text, metadata=ODD), answer("comp_1", text), DEFAULT_TENANT, 60)
    stored = await rows.get("comp_1", DEFAULT_TENANT)
    assert (stored.completion, dict(stored.metadata)) == (answer("comp_1", text), ODD)
    assert stored.expire_time.seconds - stored.store_time.seconds in (59, 60, 61)
    [message] = await rows.messages("comp_1", DEFAULT_TENANT)
    assert (message.sequence, message.message) == (0, said(text, message_pb2.ROLE_USER))


async def test_answer_is_stored_once(rows):
    await asyncio.gather(
        *[rows.add(asked(), answer("comp_1", text), DEFAULT_TENANT, 60) for text in "abcdef"]
    )
    await rows.add(asked(), answer("comp_1", "late"), DEFAULT_TENANT, 60)
    assert await ids(rows) == ["comp_1"]
    assert (await rows.get("comp_1", DEFAULT_TENANT)).completion.choices[0].message.content[0].text in set(
        "abcdef"
    )


@pytest.mark.parametrize("id", ["", "comp_%", "comp__", "comp_1\0", "' OR 1=1 --", "comp_2"])
async def test_no_other_id_finds_an_answer(rows, id):
    await rows.add(asked(), answer("comp_1"), DEFAULT_TENANT, 60)
    assert await rows.get(id, DEFAULT_TENANT) is None
    assert await rows.messages(id, DEFAULT_TENANT) is None
    assert not await rows.set_metadata(id, DEFAULT_TENANT, {"a": "b"})
    assert not await rows.delete(id, DEFAULT_TENANT)
    assert await rows.page(pb.ListStoredCompletionsRequest(), DEFAULT_TENANT, {}, 10, id) is None


@pytest.mark.parametrize("entry", ODD.items(), ids=str)
async def test_label_is_found_by_its_exact_text(rows, entry):
    key, value = entry
    await rows.add(asked(metadata=ODD), answer("comp_1"), DEFAULT_TENANT, 60)
    await rows.add(asked(metadata={key: value + "x", "other": value}), answer("comp_2"), DEFAULT_TENANT, 60)
    await rows.add(asked(), answer("comp_3"), DEFAULT_TENANT, 60)
    assert await ids(rows, {key: value}) == ["comp_1"]
    assert await ids(rows, ODD) == ["comp_1"]
    assert await ids(rows, ODD | {"more": ""}) == []


async def test_model_is_that_which_was_asked_for_or_answered(rows):
    await rows.add(asked(model="fast"), answer("comp_1"), DEFAULT_TENANT, 60)
    await rows.add(asked(), answer("comp_2"), DEFAULT_TENANT, 60)
    assert await ids(rows, model="fast") == ["comp_1"]
    assert await ids(rows, model="gpt-4o-2024") == ["comp_1", "comp_2"]
    assert await ids(rows, model="gpt%") == []
    assert await ids(rows, model="gpt-4o\0") == []


@pytest.mark.parametrize("newest_first", [False, True])
async def test_pages_hold_each_answer_once_in_order(rows, database, newest_first):
    names = [f"comp_{number}" for number in range(7)]
    for number, id in enumerate(names):
        await rows.add(asked(), answer(id), DEFAULT_TENANT, 60)
        await shift(database, id, created_at=-100.0 + number // 3)  # some at the same time
    order = names[::-1] if newest_first else names
    async with database.engine.begin() as connection:  # exactly the same
        first = sa.select(sa.func.min(table.c.created_at)).where(table.c.id < "comp_3").scalar_subquery()
        await connection.execute(sa.update(table).where(table.c.id < "comp_3").values(created_at=first))
    seen: list[str] = []
    request = pb.ListStoredCompletionsRequest(newest_first=newest_first)
    end = None
    while page := await rows.page(request, DEFAULT_TENANT, {}, 2, end):
        seen += [stored.completion.id for stored in page.completions]
        if (end := page.end) is None:
            break
    assert seen == order


async def test_list_goes_on_behind_a_deleted_answer(rows, database):
    for number, id in enumerate(("comp_1", "comp_2", "comp_3")):
        await rows.add(asked(), answer(id), DEFAULT_TENANT, 60)
        await shift(database, id, created_at=-10.0 + number)
    assert await rows.delete("comp_1", DEFAULT_TENANT)
    assert await ids(rows, after="comp_1") == ["comp_2", "comp_3"]
    assert await ids(rows) == ["comp_2", "comp_3"]


async def test_nothing_is_left_of_what_a_deleted_answer_said(rows, database):
    await rows.add(asked("secret", metadata={"a": "secret"}), answer("comp_1", "secret"), DEFAULT_TENANT, 60)
    assert await rows.delete("comp_1", DEFAULT_TENANT)
    async with database.engine.connect() as connection:
        row = (await connection.execute(sa.select(table))).mappings().one()
    assert "secret" not in repr(dict(row))
    assert not await rows.delete("comp_1", DEFAULT_TENANT)
    assert not await rows.set_metadata("comp_1", DEFAULT_TENANT, {})
    await rows.add(asked("secret"), answer("comp_1", "secret"), DEFAULT_TENANT, 60)  # the same answer again
    assert await rows.get("comp_1", DEFAULT_TENANT) is None


async def test_one_of_two_deletions_finds_it_and_no_update_brings_it_back(rows):
    await rows.add(asked(metadata={"a": "b"}), answer("comp_1"), DEFAULT_TENANT, 60)
    changes = [rows.set_metadata("comp_1", DEFAULT_TENANT, {"n": str(number)}) for number in range(5)]
    deleted = await asyncio.gather(
        rows.delete("comp_1", DEFAULT_TENANT), rows.delete("comp_1", DEFAULT_TENANT), *changes
    )
    assert sorted(deleted[:2]) == [False, True]
    assert await rows.get("comp_1", DEFAULT_TENANT) is None


async def test_metadata_of_two_updates_is_that_of_one(rows):
    await rows.add(asked(metadata={"a": "b"}), answer("comp_1"), DEFAULT_TENANT, 60)
    given = [{f"key{number}": "x", f"also{number}": "y"} for number in range(5)]
    assert all(await asyncio.gather(*[rows.set_metadata("comp_1", DEFAULT_TENANT, each) for each in given]))
    assert dict((await rows.get("comp_1", DEFAULT_TENANT)).metadata) in given


async def test_page_is_bounded_in_bytes_and_has_one_answer_at_least(rows, database, monkeypatch):
    monkeypatch.setattr(stored_completions, "MAX_PAGE_BYTES", 300)
    for number in range(3):
        await rows.add(asked(), answer(f"comp_{number}", "x" * 100), DEFAULT_TENANT, 60)
        await shift(database, f"comp_{number}", created_at=-10.0 + number)
    assert await ids(rows) == ["comp_0", "comp_1"]
    assert await ids(rows, after="comp_1") == ["comp_2"]
    monkeypatch.setattr(stored_completions, "MAX_PAGE_BYTES", 5)
    assert await ids(rows) == ["comp_0"]


async def test_expired_answers_are_not_found_and_are_swept(rows, database):
    for id in ("comp_1", "comp_2"):
        await rows.add(asked(), answer(id), DEFAULT_TENANT, 60)
    await shift(database, "comp_1", expires_at=-1.0)
    assert await rows.get("comp_1", DEFAULT_TENANT) is None
    assert await rows.messages("comp_1", DEFAULT_TENANT) is None
    assert await ids(rows) == ["comp_2"]
    assert (await rows.sweep(), await rows.sweep()) == (1, 0)
    assert await ids(rows) == ["comp_2"]


async def test_messages_of_forty_megabytes_are_stored_whole(rows):
    text = "ü" * (20 << 20)
    await rows.add(asked(text), answer("comp_1"), DEFAULT_TENANT, 60)
    [message] = await rows.messages("comp_1", DEFAULT_TENANT)
    assert message.message.content[0].text == text
    assert await ids(rows) == ["comp_1"]
