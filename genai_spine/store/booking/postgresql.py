"""Booking on PostgreSQL: a batch of settlements and a batch of reservations are one statement each.

No lock is held over a round trip: counters are locked in the order of their ids, changed and released by the
statement. Reservations that do not all fit are not made; the rooms come back, the process works out who fits
and sends these again.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, NamedTuple

import asyncpg
import msgspec
from sqlalchemy.dialects.postgresql import dialect

from genai_spine.store.booking import rate_statements, reservations
from genai_spine.store.booking.chain import Head
from genai_spine.store.booking.entries import (
    ROOMS_TRIED,
    Entry,
    Level,
    Outcome,
    Refusal,
    fitting,
    is_due,
    needs,
)
from genai_spine.store.booking.rates import RateRefusal, overtaken
from genai_spine.store.booking.sealing import AMENDMENT_COLUMNS, BATCH_COLUMNS, LAST, Sealing
from genai_spine.store.idempotency import paid_answers
from genai_spine.store.tables import executions

DIALECT = dialect()  # type: ignore[no-untyped-call]
TYPES = {str(column.name): column.type.compile(dialect=DIALECT) for column in executions.c}
CHAINED = 5  # arguments of the chain
HEADS_TRIED = 3  # times that the last batch is looked for

LIMIT = "c.limit_ticks + CASE WHEN c.raise_until > now() THEN c.raise_ticks ELSE 0 END"
ROWS = "SELECT {columns} FROM json_populate_recordset(NULL::executions, {rows}::json)"
# $1: the process, $2: rows, $3 and $4: counters and what they must hold, $5: whether a full one refuses.
RESERVE = (
    "WITH need(id, ticks) AS (SELECT * FROM unnest($3::bigint[], $4::bigint[])),"
    " l AS MATERIALIZED ("
    f"SELECT c.id, c.spent_ticks + c.reserved_ticks AS used, {LIMIT} AS most, c.blocks, n.ticks,"
    f" NOT c.blocks OR n.ticks <= 0 OR c.spent_ticks + c.reserved_ticks + n.ticks <= {LIMIT} AS fits"
    " FROM budget_counters c JOIN need n ON n.id = c.id ORDER BY c.id FOR UPDATE OF c),"
    " alive AS MATERIALIZED (SELECT EXISTS ("
    "SELECT 1 FROM leases WHERE server_id = $1 AND lease_until > now()) AS yes),"
    "{rates}{head} ok AS MATERIALIZED (SELECT {follows} AND (NOT $5::boolean OR ("
    "coalesce(bool_and(fits), true) AND count(*) = cardinality($3::bigint[])"
    " AND (SELECT yes FROM alive){granted})) AS yes FROM l),{counted}"
    " u AS (UPDATE budget_counters c SET reserved_ticks = c.reserved_ticks + n.ticks FROM need n"
    " WHERE n.id = c.id AND (SELECT yes FROM ok)),"
    " i AS (INSERT INTO executions ({columns}) SELECT * FROM ({source}) s WHERE (SELECT yes FROM ok))"
    "{batch}"
    " SELECT (SELECT yes FROM ok) AS yes, {follows} AS follows, (SELECT yes FROM alive) AS lives,"
    " array_agg(id) AS ids, array_agg(used) AS used, array_agg(most) AS most,"
    " array_agg(blocks) AS blocks{rate_levels} FROM l"
)
# The count makes all locks come first, in order.
SETTLE = (
    "WITH s AS MATERIALIZED ({source}),"
    " o AS MATERIALIZED (SELECT e.id, e.state, e.held_ticks, e.cost_ticks FROM executions e"
    " JOIN s ON s.id = e.id ORDER BY e.id FOR UPDATE OF e),"
    "{head}"
    " w AS ({upsert} RETURNING id, cost_ticks, counters),"
    " d AS MATERIALIZED (SELECT c.id, sum(w.cost_ticks - coalesce(o.cost_ticks, 0))::bigint AS spent,"
    " sum(coalesce(o.held_ticks, 0))::bigint AS held"
    " FROM w LEFT JOIN o ON o.id = w.id CROSS JOIN LATERAL unnest(w.counters) AS c(id) GROUP BY 1),"
    " l AS MATERIALIZED ("
    "SELECT c.id FROM budget_counters c JOIN d ON d.id = c.id ORDER BY c.id FOR UPDATE OF c),"
    " u AS (UPDATE budget_counters c SET spent_ticks = c.spent_ticks + d.spent,"
    " reserved_ticks = c.reserved_ticks - d.held FROM d WHERE d.id = c.id AND (SELECT count(*) FROM l) >= 0)"
    "{batch}{answers}"
    " SELECT {outcome}, (SELECT array_agg(id) FROM w) AS ids"
)
# With a chain, $n: its name, number and hash of the batch, hash of the one before, and its list.
HEAD = (
    " head AS MATERIALIZED (SELECT coalesce((SELECT seq = ${seq}::bigint - 1 AND hash = ${before}::bytea"
    " FROM ledger_batches WHERE server_id = ${name}::text ORDER BY seq DESC LIMIT 1), ${seq}::bigint = 1)"
    " AS yes),"
)
BATCH = (
    ", batch AS (INSERT INTO ledger_batches ({columns}) SELECT ${name}::text, ${seq}::bigint, ${hash}::bytea,"
    " ${versions}::bytea, now() WHERE (SELECT yes FROM ok))"
)
FOLLOWS = "(SELECT yes FROM head)"
# $2 and $3: ids of the settlements, and the states that their rows are expected to have; '': there is none.
EXPECTED = (
    f" ok AS MATERIALIZED (SELECT {FOLLOWS} AND bool_and(coalesce(o.state, '') = x.state) AS yes"
    " FROM unnest($2::text[], $3::text[]) AS x(id, state) LEFT JOIN o ON o.id = x.id),"
)
# A row that another process inserted meanwhile must end the statement, for the batch lists it: by a division.
OUTCOME = (
    f"(SELECT yes FROM ok) AS yes, {FOLLOWS} AS follows, 1 / (CASE WHEN (SELECT yes FROM ok)"
    " AND (SELECT count(*) FROM w) <> cardinality($2::text[]) THEN 0 ELSE 1 END) AS whole"
)
LAST_BATCH = LAST.format(one="$1")
WHOLE = "SELECT * FROM executions WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE"
AMEND = f"INSERT INTO ledger_amendments ({AMENDMENT_COLUMNS}) VALUES ($1, $2, $3, $4, $5, now())"
KNOWN = "SELECT id FROM executions WHERE id = ANY($1::text[])"


class Statement(NamedTuple):
    """Statement that writes rows, in two forms: JSON costs 0.3 ms, however few rows it has."""

    one: str  # with the values of the one row behind its other arguments
    many: str  # with a JSON array of rows

    @classmethod
    def of(cls, template: str, names: Sequence[str], rows: str, arguments: int, **parts: str) -> "Statement":
        """names: of the columns; rows: the argument that has JSON; arguments: so many before the chain's."""
        first = arguments + (CHAINED if parts["head"] else 0) + 1
        values = ", ".join(f"${first + place}::{TYPES[name]} AS {name}" for place, name in enumerate(names))
        one = f"SELECT {values} WHERE {rows}::text IS NULL"
        many = ROWS.format(columns=", ".join(names), rows=rows)
        return cls(template.format(source=one, **parts), template.format(source=many, **parts))


class Booking:
    """Statements of one table layout."""

    def __init__(
        self, columns: Sequence[str], upsert: str, json_columns: frozenset[str], sealing: Sealing | None
    ) -> None:
        """upsert: "INSERT INTO executions (a, b) VALUES {values} ..."; sealing: None: there is no chain."""
        names = ", ".join(columns)
        self._columns = columns
        self._json_columns = json_columns
        self._sealing = sealing
        self._upsert = upsert.format(values=f"({', '.join(f'${n}' for n in range(1, len(columns) + 1))})")
        self._reserve = Statement.of(
            RESERVE, columns, "$2", 5, columns=names, **rate_statements.WITHOUT, **_chained(sealing, 6)
        )
        self._reserve_limited = Statement.of(
            RESERVE, columns, "$2", 7, columns=names, **rate_statements.RESERVE, **_chained(sealing, 8)
        )
        chosen = f"SELECT {names} FROM s WHERE (SELECT count(*) FROM o) >= 0"
        parts = {"outcome": "true AS yes, true AS follows"}
        if sealing is not None:
            chosen += " AND (SELECT yes FROM ok)"
            parts = {"outcome": OUTCOME}
        parts["upsert"] = upsert.replace("VALUES {values}", chosen)
        self._settle = _settlement(columns, sealing, parts, with_answers=False)
        self._settle_answered = _settlement(columns, sealing, parts, with_answers=True)

    async def upsert(self, connection: asyncpg.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Rows in one transaction and one flight."""
        await connection.executemany(self._upsert, rows)

    async def book(self, connection: asyncpg.Connection, entries: Sequence[Entry]) -> Outcome:
        """Settlements first, then reservations, in the order in which they stand."""
        outcome = Outcome()
        used = rate_statements.used(entry for entry in entries if not entry.is_intent)
        if drawing := [entry for entry in entries if entry.run_id]:
            async with connection.transaction():
                await self._book_drawing(connection, drawing, outcome)
            entries = [entry for entry in entries if not entry.run_id]
        if settlements := [entry for entry in entries if not entry.is_intent]:
            outcome.settled |= await self._settled(connection, settlements)
        if used:
            await connection.execute(rate_statements.RELEASE, list(used), list(used.values()))
        intents = await self._new(connection, entries)
        if asserted := [entry for entry in intents if not entry.is_guarded]:
            await self._reserved(connection, asserted, outcome)
        if guarded := [entry for entry in intents if entry.is_guarded]:
            await self._admit(connection, guarded, outcome)
        return outcome

    async def _new(self, connection: asyncpg.Connection, entries: Sequence[Entry]) -> list[Entry]:
        """Intents that are not written yet."""
        intents = [entry for entry in entries if entry.is_intent]
        if uncertain := [entry.id for entry in intents if entry.is_repeated]:
            known = {row[0] for row in await connection.fetch(KNOWN, uncertain)}
            return [entry for entry in intents if entry.id not in known]
        return intents

    async def _book_drawing(
        self, connection: asyncpg.Connection, entries: Sequence[Entry], outcome: Outcome
    ) -> None:
        """Rows of runs that hold money in their counters, in a transaction: these runs have few at a time.

        Locked are the reservations first, then rows, then counters.
        """
        found = await reservations.lock(connection, (entry.run_id for entry in entries))
        for entry in entries:
            entry.reservation = found.get(entry.run_id)
        settlements = [entry for entry in entries if not entry.is_intent]
        ids = [entry.id for entry in settlements]
        rows = {row["id"]: row for row in await connection.fetch(reservations.LOCK_ROWS, ids)}
        lists = [entry.counters for entry in entries] + [row["counters"] or () for row in rows.values()]
        counters = {id for ids in (*lists, *(one.counters for one in found.values())) for id in ids}
        await connection.fetch(reservations.LOCK_COUNTERS, sorted(counters))
        if settlements:
            await self._settle_drawing(connection, settlements, rows, outcome)
        for entry in await self._new(connection, entries):
            await self._reserve_drawing(connection, entry, outcome)
        await reservations.save(connection, found)

    async def _settle_drawing(
        self,
        connection: asyncpg.Connection,
        entries: Sequence[Entry],
        rows: Mapping[str, Any],
        outcome: Outcome,
    ) -> None:
        """Settlements, each of which gives back to its run what the call did not need."""
        if self._sealing is None:
            settled = await self._settled(connection, entries)
        else:
            settled = await self._settled_as_found(connection, self._sealing, entries)
        outcome.settled |= settled
        for entry in entries:
            if (reservation := entry.reservation) is None or entry.id not in settled:
                continue
            row = rows.get(entry.id)
            given = row["held_ticks"] + row["cost_ticks"] if row else 0
            more = reservation.give(given - entry.ticks)
            await connection.execute(reservations.HOLD_MORE, list(reservation.counters), more)

    async def _reserve_drawing(self, connection: asyncpg.Connection, entry: Entry, outcome: Outcome) -> None:
        """One intent, which draws on what its run holds."""
        entry.is_guarded = entry.is_guarded and not entry.passes
        entry.draw()
        if not entry.is_guarded:
            await self._reserved(connection, [entry], outcome)
            return
        await self._admit(connection, [entry], outcome)
        if entry.id in outcome.refused or outcome.is_lease_lost:
            entry.undraw()

    async def _settled(self, connection: asyncpg.Connection, entries: Sequence[Entry]) -> set[str]:
        """Ids of the rows that were settled; the others were before."""
        if self._sealing is None:
            statement, answered = self._settling(entries)
            row = await self._send(connection, statement, entries, (), lambda rows: (rows, *answered))
            return set(row["ids"] or ())
        states = {entry.id: "PENDING" if entry.is_recorded else "" for entry in entries}
        if await self._settled_as(connection, entries, states):
            return {entry.id for entry in entries}
        return await self._settled_as_found(connection, self._sealing, entries)

    def _settling(self, entries: Sequence[Entry]) -> tuple[Statement, Sequence[Any]]:
        """Statement of settlements, and its arguments about the answers that are written with them."""
        answered = paid_answers.arguments(entries)
        return (self._settle_answered if answered else self._settle), answered

    async def _settled_as(
        self, connection: asyncpg.Connection, entries: Sequence[Entry], states: Mapping[str, str]
    ) -> bool:
        """Whether they were settled, as one batch of the chain; not where a row has another state."""
        known = {id for id, state in states.items() if state}
        expected = [entry.id for entry in entries], [states[entry.id] for entry in entries]
        statement, answered = self._settling(entries)
        given = (*expected, *answered)
        try:
            row = await self._send(connection, statement, entries, known, lambda rows: (rows, *given))
        except asyncpg.DivisionByZeroError:
            return False
        return bool(row["yes"])

    async def _settled_as_found(
        self, connection: asyncpg.Connection, sealing: Sealing, entries: Sequence[Entry]
    ) -> set[str]:
        """The same whatever their rows are like: a transaction that locks them first."""
        async with connection.transaction():
            ids = [entry.id for entry in entries]
            rows = {row["id"]: row for row in await connection.fetch(WHOLE, ids)}
            states = {id: rows[id]["state"] if id in rows else "" for id in ids}
            due = [entry for entry in entries if is_due(entry, states[entry.id])]
            lost = [entry for entry in due if states[entry.id] == "LOST"]
            for entry in lost:
                sealing.late(entry)
            amended = [sealing.amended(rows[entry.id], "LATE") for entry in lost]
            await connection.executemany(AMEND, [old for old in amended if old])
            if due and not await self._settled_as(connection, due, states):
                raise ConnectionError("rows changed while they were locked")  # another one was inserted
        return {entry.id for entry in due}

    async def _admit(self, connection: asyncpg.Connection, entries: list[Entry], outcome: Outcome) -> None:
        for _ in range(ROOMS_TRIED):
            is_made = await self._reserved(connection, entries, outcome)
            if is_made or outcome.is_lease_lost:
                return
            if not (entries := fitting(entries, outcome.levels, outcome)):
                return
        for entry in entries:  # others were faster each time: no room was left for long
            outcome.refused[entry.id] = _overtaken(entry, outcome)

    async def _reserved(
        self, connection: asyncpg.Connection, entries: Sequence[Entry], outcome: Outcome
    ) -> bool:
        """Whether all were reserved; the outcome has the levels afterwards."""
        need, is_guarded = needs(entries), entries[0].is_guarded
        is_limited = any(entry.rates is not None for entry in entries)
        rates = rate_statements.parameters(entries) if is_limited else ()
        needed = (list(need), list(need.values()), is_guarded, *rates)
        statement, server_id = self._reserve_limited if is_limited else self._reserve, entries[0].server_id
        row = await self._send(connection, statement, entries, (), lambda rows: (server_id, rows, *needed))
        is_made = bool(row["yes"])
        if is_limited:
            rate_statements.read(outcome, entries, row["rates"], is_made=is_made)
        outcome.is_lease_lost = is_guarded and not row["lives"]
        found = zip(row["ids"] or (), row["used"] or (), row["most"] or (), row["blocks"] or (), strict=True)
        for counter, used, most, blocks in found:
            outcome.levels[counter] = Level(used + need[counter] if is_made else used, most, blocks)
        if not is_made:  # the missing ones are not full, they are not there
            for counter in need.keys() - set(row["ids"] or ()):
                outcome.levels.pop(counter, None)
        return is_made

    async def _send(
        self,
        connection: asyncpg.Connection,
        statement: Statement,
        entries: Sequence[Entry],
        known: Container[str],
        arguments: Callable[[str | None], Sequence[Any]],
    ) -> asyncpg.Record:
        """Answer of a statement that writes rows, with their batch of the chain where there is one.

        known: ids of rows that are in the database; arguments: with the JSON of the rows, or None for it.
        """
        sealing = self._sealing
        if sealing is None:
            rows = [entry.values for entry in entries]
            return await self._run(connection, statement, rows, arguments, ())
        for _ in range(HEADS_TRIED):
            head = sealing.chain.head
            if head is None:
                found = await connection.fetchrow(LAST_BATCH, sealing.name)
                head = sealing.chain.follow(*(found or Head()))
            batch = sealing.batch(head, entries, known)
            chained = (sealing.name, batch.seq, head.hash, batch.hash, batch.versions)
            rows = [sealing.placed(head, entry) for entry in entries]
            row = await self._run(connection, statement, rows, arguments, chained)
            if row["follows"]:
                sealing.chain.head = batch.head if row["yes"] else head
                return row
            sealing.chain.head = None  # the database forgot what was not flushed
        raise ConnectionError("the chain of this process has no end to go on from")

    async def _run(
        self,
        connection: asyncpg.Connection,
        statement: Statement,
        rows: Sequence[Sequence[Any]],
        arguments: Callable[[str | None], Sequence[Any]],
        chained: Sequence[Any],
    ) -> asyncpg.Record:
        if len(rows) == 1:
            return await connection.fetchrow(statement.one, *arguments(None), *chained, *rows[0])
        text = msgspec.json.encode([self._named(row) for row in rows]).decode()
        return await connection.fetchrow(statement.many, *arguments(text), *chained)

    def _named(self, values: Sequence[Any]) -> dict[str, Any]:
        row = dict(zip(self._columns, values, strict=True))
        for name in self._json_columns:
            if row[name] is not None:
                row[name] = msgspec.Raw(row[name].encode())
        return row


def _overtaken(entry: Entry, outcome: Outcome) -> Refusal | RateRefusal:
    """Refusal of a reservation whose room others took each time."""
    if entry.counters:
        return Refusal(entry.counters[0], outcome.levels.get(entry.counters[0]))
    assert entry.rates is not None  # else nothing could refuse it
    return overtaken(entry.rates, outcome.rate_levels)


def _settlement(
    columns: Sequence[str], sealing: Sealing | None, parts: Mapping[str, str], *, with_answers: bool
) -> Statement:
    """Statement of settlements: rows, what is expected where there is a chain, answers, the chain."""
    number = 1 if sealing is None else 3
    written = paid_answers.with_answers(number + 1) if with_answers else ""
    number += len(paid_answers.TYPES) if with_answers else 0
    chained = _chained(sealing, number + 1)
    chained["head"] += EXPECTED if sealing is not None else ""
    return Statement.of(SETTLE, columns, "$1", number, **parts, **chained, answers=written)


def _chained(sealing: Sealing | None, first: int) -> dict[str, str]:
    """Parts of a statement that are about the chain, whose arguments begin with that number."""
    if sealing is None:
        return {"head": "", "batch": "", "follows": "true"}
    names = ("name", "seq", "before", "hash", "versions")
    numbers = {name: first + place for place, name in enumerate(names)}
    batch = BATCH.format(columns=BATCH_COLUMNS, **numbers)
    return {"head": HEAD.format(**numbers), "batch": batch, "follows": FOLLOWS}
