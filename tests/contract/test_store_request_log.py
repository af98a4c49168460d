"""Entries of the request log on both databases."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from genai_spine.call import DEFAULT_TENANT
from genai_spine.store.database import Database
from genai_spine.store.newest_first import PageEnd
from genai_spine.store.request_log.rows import RequestLogRows
from genai_spine.store.request_log.tables import request_logs
from genai_spine.store.sweeper import BATCH_SIZE
from genai_spine.v1 import request_log_service_pb2 as pb

START = datetime(2026, 11, 29, tzinfo=UTC)


@pytest.fixture
def rows(database: Database) -> RequestLogRows:
    return RequestLogRows(database)


def entry(number: int, days: float = 30, **fields: Any) -> pb.RequestLog:
    found = pb.RequestLog(id=f"e{number:05}", request_id=f"r{number}", code="OK", request_json="{}", **fields)
    found.create_time.FromDatetime(START + timedelta(seconds=number))
    found.expire_time.FromDatetime(datetime.now(UTC) + timedelta(days=days))
    return found


async def ids(rows: RequestLogRows, tenant: str = DEFAULT_TENANT, **filters: Any) -> list[str]:
    page = await rows.page(pb.ListRequestLogsRequest(**filters), tenant, 100, None)
    return [one.id for one in page.entries]


async def test_entry_comes_back_as_it_was(rows):
    whole = entry(
        1,
        method="/a/B",
        path="/v1/x",
        latency_ms=5,
        error_reason="X",
        error="x",
        principal="key:1",
        project_id="p",
        api_key_id="1",
        model="m",
        end_user="u",
        correlation_id="c",
        answer_json='"\\u0000🙂"',
        request_bytes=7,
        answer_bytes=8,
        request_cut=True,
        answer_cut=True,
        caller="test",
    )
    assert {field.name for field, _ in whole.ListFields()} == set(whole.DESCRIPTOR.fields_by_name)
    await rows.add([(DEFAULT_TENANT, whole), (DEFAULT_TENANT, entry(2))])
    assert await rows.get("e00001", DEFAULT_TENANT) == whole
    assert await rows.get("e00002", DEFAULT_TENANT) == entry_like(await rows.get("e00002", DEFAULT_TENANT), 2)


def entry_like(found: pb.RequestLog, number: int) -> pb.RequestLog:
    """An entry with the expiry of the one that was found."""
    same = entry(number)
    same.expire_time.CopyFrom(found.expire_time)
    return same


@pytest.mark.parametrize("id", ["", "e%", "e00002", "e00001\0", "' OR 1=1 --"])
async def test_no_other_id_or_tenant_finds_an_entry(rows, id):
    await rows.add([(DEFAULT_TENANT, entry(1))])
    assert id == "" or await rows.get(id, DEFAULT_TENANT) is None
    assert await rows.get("e00001", "acme") is None
    assert await ids(rows, "acme") == []


async def test_all_entries_are_written_or_none(rows):
    with pytest.raises(sa.exc.IntegrityError):
        await rows.add([("acme", entry(1)), ("acme", entry(2)), ("acme", entry(1))])
    assert await ids(rows, "acme") == []


async def test_filters_and_pages(rows):
    failed = {"code": "INTERNAL", "error": "x"}
    logs = [
        entry(1, end_user="ann", api_key_id="k", model="m"),
        entry(2, end_user="bob", correlation_id="c"),
        entry(3),
    ]
    logs[2].code = failed["code"]
    await rows.add([(DEFAULT_TENANT, log) for log in logs])
    assert await ids(rows) == ["e00003", "e00002", "e00001"]
    assert await ids(rows, request_id="r2") == ["e00002"]
    assert await ids(rows, end_user="ann") == await ids(rows, api_key_id="k") == await ids(rows, model="m")
    assert await ids(rows, correlation_id="c") == ["e00002"]
    assert await ids(rows, failed=True) == ["e00003"]
    request = pb.ListRequestLogsRequest()
    request.start_time.FromDatetime(START + timedelta(seconds=2))
    request.end_time.FromDatetime(START + timedelta(seconds=3))
    assert [one.id for one in (await rows.page(request, DEFAULT_TENANT, 9, None)).entries] == ["e00002"]
    page = await rows.page(pb.ListRequestLogsRequest(), DEFAULT_TENANT, 2, None)
    assert page.end == PageEnd(START + timedelta(seconds=2), "e00002")
    last = await rows.page(pb.ListRequestLogsRequest(), DEFAULT_TENANT, 2, page.end)
    assert ([one.id for one in last.entries], last.end) == (["e00001"], None)


async def test_many_are_deleted_and_expired_ones_are_swept(rows, database):
    many = [("acme", entry(number, end_user="ann")) for number in range(BATCH_SIZE + 5)]
    await rows.add([*many, ("rival", entry(90_000, end_user="ann")), ("rival", entry(90_001, days=-1))])
    assert await rows.delete(pb.DeleteRequestLogsRequest(end_user="ann"), "acme") == BATCH_SIZE + 5
    assert await ids(rows, "rival") == ["e90001", "e90000"]
    assert await rows.sweep() == 1
    assert await ids(rows, "rival") == ["e90000"]
    async with database.connect() as connection:
        assert (await connection.execute(sa.select(sa.func.count()).select_from(request_logs))).scalar() == 1
