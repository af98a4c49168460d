"""Booking on PostgreSQL: a batch of settlements and a batch of reservations are one statement each.

No lock is held over a round trip: counters are locked in the order of their ids, changed and released by the
statement. Reservations that do not all fit are not made; the rooms come back, the process works out who fits
and sends these again.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import asyncpg
import msgspec

from genai_spine.store.booking import rate_statements
from genai_spine.store.booking.entries import ROOMS_TRIED, Entry, Level, Outcome, Refusal, fitting, needs
from genai_spine.store.booking.rates import RateRefusal, overtaken

LIMIT = "c.limit_ticks + CASE WHEN c.raise_until > now() THEN c.raise_ticks ELSE 0 END"
ROWS = "SELECT {columns} FROM json_populate_recordset(NULL::executions, {rows}::json)"
# $1: the process, $2: rows, $3 and $4: counters and what they must hold, $5: whether a full one refuses.
RESERVE = (
    "WITH need(id, ticks) AS (SELECT * FROM unnest($3::bigint[], $4::bigint[])),"
    " l AS MATERIALIZED ("
    f"SELECT c.id, c.spent_ticks + c.reserved_ticks AS used, {LIMIT} AS most, c.blocks, n.ticks,"
    f" NOT c.blocks OR n.ticks = 0 OR c.spent_ticks + c.reserved_ticks + n.ticks <= {LIMIT} AS fits"
    " FROM budget_counters c JOIN need n ON n.id = c.id ORDER BY c.id FOR UPDATE OF c),"
    " alive AS MATERIALIZED (SELECT EXISTS ("
    "SELECT 1 FROM leases WHERE server_id = $1 AND lease_until > now()) AS yes),{rates}"
    " ok AS MATERIALIZED (SELECT NOT $5::boolean OR (coalesce(bool_and(fits), true)"
    " AND count(*) = cardinality($3::bigint[]) AND (SELECT yes FROM alive){granted}) AS yes FROM l),{counted}"
    " u AS (UPDATE budget_counters c SET reserved_ticks = c.reserved_ticks + n.ticks FROM need n"
    " WHERE n.id = c.id AND (SELECT yes FROM ok)),"
    " i AS (INSERT INTO executions ({columns}) SELECT * FROM ({source}) s WHERE (SELECT yes FROM ok))"
    " SELECT (SELECT yes FROM ok) AS yes, (SELECT yes FROM alive) AS lives, array_agg(id) AS ids,"
    " array_agg(used) AS used, array_agg(most) AS most, array_agg(blocks) AS blocks{rate_levels} FROM l"
)
# The count makes all locks come first, in order.
SETTLE = (
    "WITH s AS MATERIALIZED ({source}),"
    " o AS MATERIALIZED (SELECT e.id, e.held_ticks, e.cost_ticks FROM executions e JOIN s ON s.id = e.id"
    " ORDER BY e.id FOR UPDATE OF e),"
    " w AS ({upsert} RETURNING id, cost_ticks, counters),"
    " d AS MATERIALIZED (SELECT c.id, sum(w.cost_ticks - coalesce(o.cost_ticks, 0))::bigint AS spent,"
    " sum(coalesce(o.held_ticks, 0))::bigint AS held"
    " FROM w LEFT JOIN o ON o.id = w.id CROSS JOIN LATERAL unnest(w.counters) AS c(id) GROUP BY 1),"
    " l AS MATERIALIZED ("
    "SELECT c.id FROM budget_counters c JOIN d ON d.id = c.id ORDER BY c.id FOR UPDATE OF c)"
    " UPDATE budget_counters c SET spent_ticks = c.spent_ticks + d.spent,"
    " reserved_ticks = c.reserved_ticks - d.held FROM d WHERE d.id = c.id AND (SELECT count(*) FROM l) >= 0"
)
# Of rows of dead processes. $1: what is said of them. A row that is locked is somebody's work.
SWEEP = (
    "WITH o AS MATERIALIZED (SELECT e.id, e.held_ticks, e.est_ticks, e.counters FROM executions e"
    " WHERE e.state = 'PENDING' AND NOT EXISTS (SELECT 1 FROM leases"
    " WHERE leases.server_id = e.server_id AND lease_until > now()) ORDER BY e.id FOR UPDATE SKIP LOCKED),"
    " e AS (UPDATE executions SET state = 'LOST', success = false, error = $1,"
    " error_reason = 'INTERNAL_ERROR',"
    " input_provenance = CASE WHEN o.est_ticks IS NULL THEN 'UNKNOWN' ELSE 'ESTIMATED' END,"
    " output_provenance = 'UNKNOWN', price_known = o.est_ticks IS NOT NULL, cost_ticks = o.held_ticks,"
    " cost_usd = o.held_ticks / 1e10,"
    " resolution = CASE WHEN o.est_ticks IS NULL THEN NULL ELSE 'RESERVE' END,"
    " held_ticks = 0, settled_at = now() FROM o WHERE executions.id = o.id),"
    " d AS MATERIALIZED (SELECT c.id, sum(o.held_ticks)::bigint AS held"
    " FROM o CROSS JOIN LATERAL unnest(o.counters) AS c(id) GROUP BY 1),"
    " l AS MATERIALIZED ("
    "SELECT c.id FROM budget_counters c JOIN d ON d.id = c.id ORDER BY c.id FOR UPDATE OF c),"
    " u AS (UPDATE budget_counters c SET spent_ticks = c.spent_ticks + d.held,"
    " reserved_ticks = c.reserved_ticks - d.held FROM d WHERE d.id = c.id AND (SELECT count(*) FROM l) >= 0)"
    " SELECT id FROM o"
)
KNOWN = "SELECT id FROM executions WHERE id = ANY($1::text[])"


class Booking:
    """Statements of one table layout."""

    def __init__(self, columns: Sequence[str], upsert: str, json_columns: frozenset[str]) -> None:
        """upsert: "INSERT INTO executions (a, b) VALUES {values} ..."."""
        names = ", ".join(columns)
        self._columns = columns
        self._json_columns = json_columns
        self._upsert = upsert.format(values=f"({', '.join(f'${n}' for n in range(1, len(columns) + 1))})")
        source = ROWS.format(columns=names, rows="$2")
        self._reserve = RESERVE.format(columns=names, source=source, **rate_statements.WITHOUT)
        self._reserve_limited = RESERVE.format(columns=names, source=source, **rate_statements.RESERVE)
        chosen = f"SELECT {names} FROM s WHERE (SELECT count(*) FROM o) >= 0"
        self._settle = SETTLE.format(
            source=ROWS.format(columns=names, rows="$1"), upsert=upsert.replace("VALUES {values}", chosen)
        )

    async def upsert(self, connection: asyncpg.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Rows in one transaction and one flight."""
        await connection.executemany(self._upsert, rows)

    async def book(self, connection: asyncpg.Connection, entries: Sequence[Entry]) -> Outcome:
        """Settlements first, then reservations, in the order in which they stand."""
        outcome = Outcome()
        settlements = [entry for entry in entries if not entry.is_intent]
        extras = list(chain.from_iterable(entry.also for entry in settlements))
        if extras:  # the settlement comes last, so that counters are locked for one round trip only
            async with connection.transaction():
                for extra in extras:
                    await connection.execute(_numbered(extra.text), *extra.values)
                await self._settled(connection, settlements)
        else:
            await self._settled(connection, settlements)
        if used := rate_statements.used(settlements):
            await connection.execute(rate_statements.RELEASE, list(used), list(used.values()))
        intents = [entry for entry in entries if entry.is_intent]
        if uncertain := [entry.id for entry in intents if entry.is_repeated]:
            known = {row[0] for row in await connection.fetch(KNOWN, uncertain)}
            intents = [entry for entry in intents if entry.id not in known]
        if asserted := [entry for entry in intents if not entry.is_guarded]:
            await self._reserved(connection, asserted, outcome)
        if guarded := [entry for entry in intents if entry.is_guarded]:
            await self._admit(connection, guarded, outcome)
        return outcome

    async def _settled(self, connection: asyncpg.Connection, entries: Sequence[Entry]) -> None:
        if entries:
            await connection.execute(self._settle, self._json(entries))

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
        row = await connection.fetchrow(
            self._reserve_limited if is_limited else self._reserve,
            entries[0].server_id,
            self._json(entries),
            list(need),
            list(need.values()),
            is_guarded,
            *(rate_statements.parameters(entries) if is_limited else ()),
        )
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

    def _json(self, entries: Sequence[Entry]) -> str:
        return msgspec.json.encode([self._named(entry.values) for entry in entries]).decode()

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


@lru_cache(maxsize=64)
def _numbered(text: str) -> str:
    """Placeholders as PostgreSQL has them."""
    numbers = iter(range(1, text.count("?") + 1))
    return re.sub(r"\?", lambda _: f"${next(numbers)}", text)
