"""What digests of versions depend on, and what not."""

from datetime import UTC, datetime
from typing import Any

import pytest

from genai_spine.store.booking.chain import (
    FLAGS,
    UNSEALED,
    Chain,
    Head,
    Listed,
    Seals,
    amended,
    amendment,
    chain_of,
    listed_in,
    read,
)
from genai_spine.store.tables import executions

COLUMNS = tuple(str(column.name) for column in executions.c)
KEY = bytes(range(32))
ROW: dict[str, Any] = dict.fromkeys(COLUMNS) | {
    "id": "call-1",
    "model": "m",
    "cost_ticks": 7,
    "price_known": True,
    "cost_labels": {"team": "search", "a": "b\u00fc"},
    "created_at": datetime(2026, 11, 29, 12, 0, 0, 5, tzinfo=UTC),
}


def digests(seals: Seals, row: dict[str, Any], columns: tuple[str, ...] = COLUMNS) -> tuple[bytes, bytes]:
    values = read(row, columns)
    return seals.intent(values), seals.settlement(seals.settled(values))


def other(name: str, value: Any) -> Any:
    if name in FLAGS:
        return not value
    return datetime(2026, 11, 30, tzinfo=UTC) if name.endswith("_at") else "99"


@pytest.mark.parametrize("name", sorted(set(COLUMNS) - UNSEALED))
def test_every_sealed_column_changes_a_digest(name):
    seals = Seals(KEY, COLUMNS)
    assert digests(seals, ROW | {name: other(name, ROW[name])}) != digests(seals, ROW)


@pytest.mark.parametrize("name", sorted(UNSEALED))
def test_what_changes_while_a_call_runs_is_not_sealed(name):
    seals = Seals(KEY, COLUMNS)
    assert digests(seals, ROW | {name: 99}) == digests(seals, ROW)


def test_row_has_one_digest_whatever_driver_reads_it():
    seals = Seals(KEY, COLUMNS)
    sqlite = ROW | {
        "price_known": 1,
        "cost_labels": '{"a": "b\\u00fc", "team": "search"}',
        "created_at": "2026-11-29 12:00:00.000005",
        "cost_ticks": 7,
        "latency_ms": 0,
    }
    assert digests(seals, sqlite) == digests(seals, ROW)


def test_order_of_columns_does_not_matter():
    turned = COLUMNS[::-1]
    assert digests(Seals(KEY, turned), ROW, turned) == digests(Seals(KEY, COLUMNS), ROW)


def test_digests_depend_on_the_key():
    mine, others = digests(Seals(KEY, COLUMNS), ROW), digests(Seals(KEY[::-1], COLUMNS), ROW)
    assert not set(mine) & set(others)


def test_amended_settlement_has_the_digest_that_it_had():
    seals = Seals(KEY, COLUMNS)
    pairs = seals.settled(read(ROW, COLUMNS))
    assert seals.settlement(amended(amendment(pairs))) == seals.settlement(pairs)


def test_batch_is_sealed_with_its_place_its_chain_and_its_list():
    chain = Chain(KEY, "server")
    seals = chain.seals(COLUMNS)
    listed = [Listed(1, "call-1", b"digest")]
    batch = chain.batch(Head(4, b"before"), seals, listed)
    assert (batch.seq, listed_in(batch.versions)) == (5, listed)
    assert batch.hash == seals.hash("server", 5, b"before", batch.versions)
    changed = [
        seals.hash("other", 5, b"before", batch.versions),
        seals.hash("server", 6, b"before", batch.versions),
        seals.hash("server", 5, b"", batch.versions),
        seals.hash("server", 5, b"before", batch.versions + b"\0"),
    ]
    assert batch.hash not in changed


def test_chain_of_a_process_is_the_same_after_it_lost_its_lease():
    assert chain_of("5f1c.2") == chain_of("5f1c") == "5f1c"
