"""Streams that were kept of lost calls, on SQLite and on a real PostgreSQL."""

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from genai_spine.call import DEFAULT_TENANT
from genai_spine.delivery.lost_streams import LostStreams, StreamText
from genai_spine.store.booking.lost_calls import LostCalls
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.store.idempotency.blocks import Block, StreamBlocks
from genai_spine.store.idempotency.calls import Claim, IdempotentCalls, Scope
from genai_spine.v1 import execution_pb2, usage_pb2
from genai_spine.v1.execution_pb2 import Execution
from tests.ledgers import call, chained, running, verified

RESERVED = 10**9
WORDS = [b"one ", b"two ", b"three ", b"four"]


def streams(database: Database) -> LostStreams:
    calls = IdempotentCalls(database, ttl_s=100.0, resume_ttl_s=50.0)
    blocks, executions = StreamBlocks(database), chained(database)
    return LostStreams(
        executions,
        LostCalls(database),
        calls,
        blocks,
        lambda _, data: StreamText(data.decode(), data.decode()),
    )


async def lose(database: Database, requests: Sequence[str] = ("r",), *, streamed: bool = True) -> list[str]:
    """Ids of calls of these requests, the process of which died."""
    executions = chained(database)
    async with running(executions, database) as ledger:
        rows = [call() for _ in requests]
        for row, request in zip(rows, requests, strict=True):
            row.request_id, row.streamed, row.reserved_ticks, row.model = (
                request,
                streamed,
                RESERVED,
                "gpt-4o",
            )
            await ledger.reserve(row)
    assert sorted(await executions.sweep()) == sorted(row.id for row in rows)
    return [row.id for row in rows]


async def keep(database: Database, request: str = "r", words: Sequence[bytes] = WORDS) -> None:
    """Blocks of a stream of a request."""
    number = hash(request) & 0xFFFFFF
    calls = IdempotentCalls(database, ttl_s=100.0, resume_ttl_s=50.0)
    await calls.claim(Claim(Scope("t", "p", request), number, "/S/M", b"hash", "dead", request))
    blocks = StreamBlocks(database)
    for place in range(0, len(words), 2):
        await blocks.add({number: Block(place + 1, words[place : place + 2])})


async def found(database: Database, id: str) -> Execution:
    row = await Executions(database).get(id, DEFAULT_TENANT)
    assert row is not None
    return row


async def test_stream_text_is_counted_and_the_cost_stays_what_was_reserved(database):
    await keep(database)
    [id] = await lose(database)
    await streams(database).count([id])
    row = await found(database, id)
    assert (row.state, row.resolution) == (
        execution_pb2.EXECUTION_STATE_LOST,
        execution_pb2.LOSS_RESOLUTION_STREAM,
    )
    assert (row.usage.visible_output_tokens, row.usage.reasoning_tokens, row.usage.output_tokens) == (4, 4, 8)
    assert row.usage.output_provenance == usage_pb2.PROVENANCE_PARTIAL_STREAM
    assert row.usage.input_provenance == usage_pb2.PROVENANCE_ESTIMATED
    assert (row.cost.cost_ticks, row.cost.price_known) == (RESERVED, True)
    assert (await verified(database)).findings == []


async def test_several_processes_count_a_stream_once(database, database_url):
    await keep(database)
    [id] = await lose(database)
    others = [Database(database_url) for _ in range(3)]
    await asyncio.gather(*(streams(other).count([id]) for other in others))
    for other in others:
        await other.close()
    outcome = await verified(database)
    assert (outcome.findings, outcome.versions) == ([], 3)  # intent, loss, and what was counted


@pytest.mark.parametrize(
    ("requests", "streamed", "kept"),
    [
        (["r"], True, []),  # no message went out
        (["r"], False, WORDS),  # an answer in one message was not kept
        (["other"], True, WORDS),  # another request's
        (["r", "r"], True, WORDS),  # of two calls nobody knows which one spoke
    ],
)
async def test_call_of_which_nothing_was_kept_stays_as_it_is(database, requests, streamed, kept):
    await keep(database, words=kept)
    ids = await lose(database, requests, streamed=streamed)
    await streams(database).count(ids)
    for id in ids:
        assert (await found(database, id)).resolution == execution_pb2.LOSS_RESOLUTION_RESERVE


async def test_stream_that_cannot_be_read_harms_nobody(database):
    await keep(database, words=[b"\xff"])
    [id] = await lose(database)
    with capture_logs() as logs:
        await streams(database).count([id])
    assert [entry["event"] for entry in logs] == ["lost_streams_not_counted"]
    assert (await found(database, id)).resolution == execution_pb2.LOSS_RESOLUTION_RESERVE
