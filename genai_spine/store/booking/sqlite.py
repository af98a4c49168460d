"""Booking on SQLite: who fits is decided in order, in the transaction that writes."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

from genai_spine.store.booking import rate_statements
from genai_spine.store.booking.entries import Entry, Level, Outcome, fitting, needs, reservations
from genai_spine.store.booking.rates import take

ROWS_PER_STATEMENT = (64, 8, 1)  # SQLite takes at most 32,766 values in one
IDS_PER_QUERY = 500
NOW = "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"
LEVELS = (
    "SELECT id, spent_ticks + reserved_ticks,"
    f" limit_ticks + CASE WHEN raise_until > {NOW} THEN raise_ticks ELSE 0 END, blocks"
    " FROM budget_counters WHERE id IN ({marks})"
)
KNOWN = "SELECT id, state, held_ticks, cost_ticks, counters FROM executions WHERE id IN ({marks})"
LIVES = f"SELECT 1 FROM leases WHERE server_id = ? AND lease_until > {NOW}"
CHARGE = (
    "UPDATE budget_counters SET spent_ticks = spent_ticks + ?, reserved_ticks = reserved_ticks + ?"
    " WHERE id = ?"
)
DEAD = (
    "SELECT id, held_ticks, counters FROM executions WHERE state = 'PENDING' AND NOT EXISTS"
    f" (SELECT 1 FROM leases WHERE leases.server_id = executions.server_id AND lease_until > {NOW})"
)
LOSE = (
    "UPDATE executions SET state = 'LOST', success = 0, error = ?, error_reason = 'INTERNAL_ERROR',"
    " input_provenance = CASE WHEN est_ticks IS NULL THEN 'UNKNOWN' ELSE 'ESTIMATED' END,"
    " output_provenance = 'UNKNOWN', price_known = est_ticks IS NOT NULL, cost_ticks = held_ticks,"
    " cost_usd = held_ticks / 1e10, resolution = CASE WHEN est_ticks IS NULL THEN NULL ELSE 'RESERVE' END,"
    f" held_ticks = 0, settled_at = {NOW} WHERE id = ? AND state = 'PENDING'"
)
Charges = dict[int, list[int]]  # counter -> changes of what is spent and of what is reserved


def upsert(connection: sqlite3.Connection, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """Rows in few statements, for each of which SQLite leaves the interpreter alone."""
    start = 0
    for size in ROWS_PER_STATEMENT:
        text = _insert(statement, len(rows[0]), size)
        while len(rows) - start >= size:
            connection.execute(text, list(chain.from_iterable(rows[start : start + size])))
            start += size


def book(connection: sqlite3.Connection, statement: str, entries: Sequence[Entry]) -> Outcome:
    """Settlements first, then reservations, in the order in which they stand."""
    outcome, charges = Outcome(), Charges()
    for extra in chain.from_iterable(entry.also for entry in entries):
        connection.execute(extra.text, extra.values)
    known = {row[0]: row[1:] for row in _by_ids(connection, KNOWN, [entry.id for entry in entries])}
    written = [entry for entry in entries if not entry.is_intent]
    for entry in written:
        _settle(entry, known.get(entry.id), charges)
    rate_statements.release(connection, rate_statements.used(written))
    intents = [entry for entry in entries if entry.is_intent and entry.id not in known]
    guarded = [entry for entry in intents if entry.is_guarded]
    if guarded and connection.execute(LIVES, (guarded[0].server_id,)).fetchone() is None:
        outcome.is_lease_lost = True
        guarded = []
    asserted = [entry for entry in intents if not entry.is_guarded]
    outcome.levels = levels = _levels(connection, needs(chain(guarded, asserted)))
    for counter, (spent, reserved) in charges.items():
        if counter in levels:
            levels[counter] = _charged(levels[counter], spent + reserved)
    rate_statements.look(connection, intents, outcome)
    take(reservations(asserted), outcome.rate_levels)
    fit = fitting(guarded, levels, outcome)
    take(reservations(fit), outcome.rate_levels)
    admitted = [*asserted, *fit]
    rate_statements.write(connection, admitted, outcome)
    for counter, ticks in needs(admitted).items():
        charges.setdefault(counter, [0, 0])[1] += ticks
        if counter in levels:
            levels[counter] = _charged(levels[counter], ticks)
    if written or admitted:
        upsert(connection, statement, [entry.values for entry in (*written, *admitted)])
    _charge(connection, charges)
    return outcome


def sweep(connection: sqlite3.Connection, error: str) -> list[str]:
    """Ids of rows of dead processes, which are LOST now and charged with what was reserved for them."""
    dead = connection.execute(DEAD).fetchall()
    charges = Charges()
    for _, held, counters in dead:
        _add(charges, json.loads(counters or "[]"), held, -held)
    connection.executemany(LOSE, [(error, id) for id, _, _ in dead])
    _charge(connection, charges)
    rate_statements.sweep(connection)
    return [id for id, _, _ in dead]


def _settle(entry: Entry, known: Sequence[Any] | None, charges: Charges) -> None:
    if known is None:
        _add(charges, entry.counters, entry.ticks, 0)
        return
    state, held, cost, counters = known
    if state in ("PENDING", "LOST"):
        _add(charges, json.loads(counters or "[]"), entry.ticks - cost, -held)


def _add(charges: Charges, counters: Sequence[int], spent: int, reserved: int) -> None:
    for counter in counters:
        change = charges.setdefault(counter, [0, 0])
        change[0] += spent
        change[1] += reserved


def _charge(connection: sqlite3.Connection, charges: Charges) -> None:
    changed = [(spent, held, counter) for counter, (spent, held) in sorted(charges.items()) if spent or held]
    if changed:
        connection.executemany(CHARGE, changed)


def _levels(connection: sqlite3.Connection, counters: dict[int, int]) -> dict[int, Level]:
    rows = _by_ids(connection, LEVELS, list(counters))
    return {counter: Level(used, limit, bool(blocks)) for counter, used, limit, blocks in rows}


def _charged(level: Level, ticks: int) -> Level:
    return Level(level.used + ticks, level.limit, level.blocks)


def _by_ids(connection: sqlite3.Connection, query: str, ids: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(ids), IDS_PER_QUERY):
        some = ids[start : start + IDS_PER_QUERY]
        yield from connection.execute(query.format(marks=", ".join("?" * len(some))), some).fetchall()


@lru_cache(maxsize=64)
def _insert(statement: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return statement.format(values=", ".join([row] * rows))
