"""Booking on SQLite: who fits is decided in order, in the transaction that writes."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

from genai_spine.store.booking import rate_statements
from genai_spine.store.booking import reservations as run_reservations
from genai_spine.store.booking.chain import Batch, Head
from genai_spine.store.booking.entries import Entry, Level, Outcome, fitting, is_due, needs, reservations
from genai_spine.store.booking.rates import take
from genai_spine.store.booking.sealing import AMENDMENT_COLUMNS, BATCH_COLUMNS, LAST, Sealing
from genai_spine.store.idempotency import paid_answers

ROWS_PER_STATEMENT = (64, 8, 1)  # SQLite takes at most 32,766 values in one
FEW_ROWS = 64  # that are written one by one, by the statement that costs least
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
LAST_BATCH = LAST.format(one="?")
# Behind the batch whose hash is the last value.
ADD_BATCH = (
    f"INSERT INTO ledger_batches ({BATCH_COLUMNS}) SELECT ?1, ?2, ?3, ?4, {NOW} WHERE coalesce("
    "(SELECT hash FROM ledger_batches WHERE server_id = ?1 ORDER BY seq DESC LIMIT 1), x'') = ?5"
)
AMEND = f"INSERT INTO ledger_amendments ({AMENDMENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, {NOW})"
WHOLE = "SELECT * FROM executions WHERE id = ?"
Charges = dict[int, list[int]]  # counter -> changes of what is spent and of what is reserved


class Statements(NamedTuple):
    """Statements that write rows of one layout."""

    upsert: str  # "INSERT INTO executions (a, b) VALUES {values} ...", whatever is there
    insert: str  # a row that is not there
    update: str  # the settlement of a row that is PENDING
    updated: Callable[[Sequence[Any]], tuple[Any, ...]]  # values of update in those of a row

    @classmethod
    def of(cls, upsert: str, columns: Sequence[str], changed: Sequence[str]) -> "Statements":
        """changed: columns that a settlement changes."""
        insert = upsert.partition(" ON CONFLICT ")[0].format(values=f"({', '.join('?' * len(columns))})")
        update = f"UPDATE executions SET {', '.join(f'{name} = ?' for name in changed)} WHERE id = ?"
        places = [columns.index(name) for name in (*changed, "id")]
        return cls(upsert, insert, update, itemgetter(*places))


def upsert(connection: sqlite3.Connection, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """Rows in few statements, for each of which SQLite leaves the interpreter alone."""
    start = 0
    for size in ROWS_PER_STATEMENT:
        text = _insert(statement, len(rows[0]), size)
        while len(rows) - start >= size:
            connection.execute(text, list(chain.from_iterable(rows[start : start + size])))
            start += size


def book(
    connection: sqlite3.Connection,
    statements: Statements,
    entries: Sequence[Entry],
    sealing: Sealing | None,
) -> Outcome:
    """Settlements first, then reservations, in the order in which they stand."""
    outcome, charges = Outcome(), Charges()
    known = _known(connection, entries)
    if held := _held(connection, entries):
        for entry in entries:
            entry.reservation = held.get(entry.run_id)
    written = [
        entry
        for entry in entries
        if not entry.is_intent and is_due(entry, known[entry.id][0] if entry.id in known else "")
    ]
    intents = [entry for entry in entries if entry.is_intent and entry.id not in known]
    outcome.settled = {entry.id for entry in written}
    for entry in written:
        _settle(entry, known.get(entry.id), charges)
    if ended := rate_statements.used(written):
        rate_statements.release(connection, ended)
    admitted = _admitted(connection, intents, charges, outcome) if intents else intents
    if written or admitted:
        _write(connection, statements, [*written, *admitted], known, sealing)
    paid_answers.write(connection, written)
    if held:
        run_reservations.write(connection, held)
    if charges:
        _charge(connection, charges)
    return outcome


def _known(connection: sqlite3.Connection, entries: Sequence[Entry]) -> dict[str, tuple[Any, ...]]:
    """What is there of entries of which some version may be: state, held and cost ticks, counters."""
    uncertain = [
        entry.id for entry in entries if entry.is_repeated or not (entry.is_intent or entry.is_fresh)
    ]
    return {row[0]: row[1:] for row in _by_ids(connection, KNOWN, uncertain)} if uncertain else {}


def _held(connection: sqlite3.Connection, entries: Sequence[Entry]) -> run_reservations.Reservations:
    """Reservations of the runs that entries draw on."""
    runs = [entry.run_id for entry in entries if entry.run_id]
    return run_reservations.read(connection, runs) if runs else {}


def _admitted(
    connection: sqlite3.Connection, intents: Sequence[Entry], charges: Charges, outcome: Outcome
) -> list[Entry]:
    """Intents that nothing refuses; what they reserve is added to the charges."""
    guarded = [entry for entry in intents if entry.is_guarded]
    if guarded and connection.execute(LIVES, (guarded[0].server_id,)).fetchone() is None:
        outcome.is_lease_lost = True
        guarded = []
    asserted = [entry for entry in intents if not entry.is_guarded]
    for entry in asserted:
        entry.draw()
    if wanted := needs(chain(guarded, asserted)):
        outcome.levels = _levels(connection, wanted)
    levels = outcome.levels
    for counter, (spent, reserved) in charges.items():
        if counter in levels:
            levels[counter] = levels[counter].with_more(spent + reserved)
    rate_statements.look(connection, intents, outcome)
    take(reservations(asserted), outcome.rate_levels)
    fit = fitting(guarded, levels, outcome)
    take(reservations(fit), outcome.rate_levels)
    admitted = [*asserted, *fit]
    rate_statements.write(connection, admitted, outcome)
    for counter, ticks in needs(admitted).items():
        charges.setdefault(counter, [0, 0])[1] += ticks
        if counter in levels:
            levels[counter] = levels[counter].with_more(ticks)
    return admitted


def _write(
    connection: sqlite3.Connection,
    statements: Statements,
    entries: Sequence[Entry],
    known: Mapping[str, Sequence[Any]],
    sealing: Sealing | None,
) -> None:
    """Rows, and their batch of the chain where there is one."""
    if sealing is None:
        _write_rows(connection, statements, [(entry.id, entry.values) for entry in entries], known)
        return
    for entry in entries if known else ():
        if entry.id in known and known[entry.id][0] == "LOST":
            sealing.late(entry)
            cursor = connection.execute(WHOLE, (entry.id,))
            names = [column[0] for column in cursor.description]
            if old := sealing.amended(dict(zip(names, cursor.fetchone(), strict=True)), "LATE"):
                connection.execute(AMEND, old)
    head = sealing.chain.head or _last(connection, sealing)
    while not _added(connection, sealing, head, batch := sealing.batch(head, entries, known)):
        head = _last(connection, sealing)
    rows = [(entry.id, sealing.placed(head, entry)) for entry in entries]
    _write_rows(connection, statements, rows, known)
    sealing.chain.head = batch.head


def _write_rows(
    connection: sqlite3.Connection,
    statements: Statements,
    rows: Sequence[tuple[str, tuple[Any, ...]]],
    known: Mapping[str, Sequence[Any]],
) -> None:
    """Rows by their ids. An upsert of a row costs half as much again as the insert or update that it is."""
    if len(rows) > FEW_ROWS:
        upsert(connection, statements.upsert, [values for _, values in rows])
        return
    for id, values in rows:
        if id not in known:
            connection.execute(statements.insert, values)
        elif known[id][0] == "PENDING":
            connection.execute(statements.update, statements.updated(values))
        else:
            upsert(connection, statements.upsert, [values])


def _last(connection: sqlite3.Connection, sealing: Sealing) -> Head:
    return sealing.chain.follow(*connection.execute(LAST_BATCH, (sealing.name,)).fetchone() or Head())


def _added(connection: sqlite3.Connection, sealing: Sealing, head: Head, batch: Batch) -> bool:
    """Whether the batch is written; not where the head is another one by now."""
    return connection.execute(ADD_BATCH, (sealing.name, *batch, head.hash)).rowcount == 1


def _settle(entry: Entry, known: Sequence[Any] | None, charges: Charges) -> None:
    _, held, cost, counters = known or ("", 0, 0, None)
    charged = entry.counters if known is None else json.loads(counters or "[]")
    _add(charges, charged, entry.ticks - cost, -held)
    if (reservation := entry.reservation) is not None:
        _add(charges, reservation.counters, 0, reservation.give(held + cost - entry.ticks))


def _add(charges: Charges, counters: Iterable[int], spent: int, reserved: int) -> None:
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


def _by_ids(connection: sqlite3.Connection, query: str, ids: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    for start in range(0, len(ids), IDS_PER_QUERY):
        some = ids[start : start + IDS_PER_QUERY]
        yield from connection.execute(query.format(marks=", ".join("?" * len(some))), some).fetchall()


@lru_cache(maxsize=64)
def _insert(statement: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return statement.format(values=", ".join([row] * rows))
