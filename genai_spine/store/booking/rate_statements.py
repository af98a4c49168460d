"""Statements of rate limits: counters of a minute, and the calls that run, on both databases.

A reservation is a row of rate_calls as long as its call runs. Who deletes that row gives back what it held,
once: the settlement, or the sweep when a process died.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from genai_spine.store.booking.entries import Entry, Outcome, reservations
from genai_spine.store.booking.rates import MINUTE_S, RateLevel, asked, take

FIELDS = ("minute", "requests", "tokens", "earlier_requests", "earlier_tokens", "running")
KINDS = ("requests", "tokens", "running")
IDS_PER_QUERY = 500  # on SQLite
_ASKED = ", ".join(f"{part}{kind} bigint" for part in ("", "asked_", "most_") for kind in KINDS)
_ROOM = " AND ".join(
    f"(a.asked_{kind} = 0 OR a.most_{kind} IS NULL OR {used} + a.asked_{kind} <= a.most_{kind})"
    for kind, used in {
        "requests": "h.requests + h.earlier_requests * (1 - h.elapsed / 60)",
        "tokens": "h.tokens + h.earlier_tokens * (1 - h.elapsed / 60)",
        "running": "h.running",
    }.items()
)


def _rolled(kind: str) -> str:
    """Counts of a kind as they are by now, of this minute and of the one before."""
    return (
        f" CASE WHEN c.minute >= k.minute THEN c.{kind} ELSE 0 END AS {kind},"
        f" CASE WHEN c.minute >= k.minute THEN c.earlier_{kind}"
        f" WHEN c.minute = k.minute - 1 THEN c.{kind} ELSE 0 END AS earlier_{kind},"
    )


# Parts of postgresql.RESERVE. $6: what is asked of each counter; $7: the calls.
RESERVE = {
    "rates": (
        f" asked AS MATERIALIZED (SELECT * FROM json_to_recordset($6::json) AS a(id bigint, {_ASKED})),"
        " clock AS MATERIALIZED (SELECT floor(s / 60)::bigint AS minute,"
        " (s - floor(s / 60) * 60)::float8 AS elapsed FROM (SELECT extract(epoch FROM now()) AS s) e),"
        " h AS MATERIALIZED (SELECT c.id, greatest(c.minute, k.minute) AS minute,"
        " CASE WHEN c.minute > k.minute THEN 0 ELSE k.elapsed END AS elapsed,"
        f"{_rolled('requests')}{_rolled('tokens')} c.running"
        " FROM rate_counters c JOIN asked a ON a.id = c.id CROSS JOIN clock k"
        " WHERE (SELECT count(*) FROM l) >= 0 ORDER BY c.id FOR UPDATE OF c),"
        " granted AS MATERIALIZED (SELECT count(*) = (SELECT count(*) FROM asked)"
        f" AND coalesce(bool_and({_ROOM}), true) AS yes FROM h JOIN asked a ON a.id = h.id),"
    ),
    "granted": " AND (SELECT yes FROM granted)",
    "counted": (
        " ru AS (UPDATE rate_counters c SET minute = h.minute, requests = h.requests + a.requests,"
        " tokens = h.tokens + a.tokens, earlier_requests = h.earlier_requests,"
        " earlier_tokens = h.earlier_tokens, running = h.running + a.running"
        " FROM h JOIN asked a ON a.id = h.id WHERE c.id = h.id AND (SELECT yes FROM ok)),"
        " rc AS (INSERT INTO rate_calls (execution_id, minute, tokens, counters)"
        " SELECT r.execution_id, (SELECT minute FROM clock), r.tokens, r.counters"
        " FROM json_to_recordset($7::json) AS r(execution_id text, tokens bigint, counters bigint[])"
        " WHERE (SELECT yes FROM ok)),"
    ),
    "rate_levels": ", (SELECT json_agg(h) FROM h) AS rates",
}
WITHOUT = dict.fromkeys(RESERVE, "")
_GIVEN_BACK = (
    " g AS (DELETE FROM rate_calls c USING s WHERE c.execution_id = s.id"
    " RETURNING c.counters, c.minute, coalesce(s.tokens, c.tokens) - c.tokens AS more),"
    " d AS MATERIALIZED (SELECT u.id, g.minute, count(*) AS ended, sum(g.more) AS more"
    " FROM g CROSS JOIN LATERAL unnest(g.counters) AS u(id) GROUP BY 1, 2),"
    " l AS MATERIALIZED (SELECT c.id, c.minute FROM rate_counters c"
    " WHERE c.id IN (SELECT id FROM d) ORDER BY c.id FOR UPDATE OF c),"
    " t AS MATERIALIZED (SELECT d.id, sum(d.ended)::bigint AS ended,"
    " coalesce(sum(d.more) FILTER (WHERE d.minute = l.minute), 0)::bigint AS now,"
    " coalesce(sum(d.more) FILTER (WHERE d.minute = l.minute - 1), 0)::bigint AS before"
    " FROM d JOIN l ON l.id = d.id GROUP BY 1)"
    " UPDATE rate_counters c SET running = greatest(0, c.running - t.ended),"
    " tokens = greatest(0, c.tokens + t.now), earlier_tokens = greatest(0, c.earlier_tokens + t.before)"
    " FROM t WHERE t.id = c.id"
)
# $1, $2: calls that are over, and the tokens that they used.
RELEASE = f"WITH s AS (SELECT * FROM unnest($1::text[], $2::bigint[]) AS s(id, tokens)),{_GIVEN_BACK}"
# Calls whose row is not PENDING any more; of those that were lost the estimate stands.
_ENDED = (
    "SELECT c.execution_id AS id, CASE WHEN e.state <> 'LOST' THEN e.input_tokens + e.output_tokens END"
    " AS tokens FROM rate_calls c LEFT JOIN executions e ON e.id = c.execution_id"
    " WHERE coalesce(e.state, '') <> 'PENDING'"
)
SWEEP = f"WITH s AS MATERIALIZED ({_ENDED} FOR UPDATE OF c SKIP LOCKED),{_GIVEN_BACK}"

_LEVELS = f"SELECT id, {', '.join(FIELDS)} FROM rate_counters WHERE id IN ({{marks}})"
_COUNT = f"UPDATE rate_counters SET {', '.join(f'{name} = ?' for name in FIELDS)} WHERE id = ?"
_CALL = "INSERT INTO rate_calls (execution_id, minute, tokens, counters) VALUES (?, ?, ?, ?)"
_END = "DELETE FROM rate_calls WHERE execution_id = ? RETURNING minute, tokens, counters"
_GIVE_BACK = (
    "UPDATE rate_counters SET running = max(0, running - ?1),"
    " tokens = max(0, tokens + CASE WHEN minute = ?2 THEN ?3 ELSE 0 END),"
    " earlier_tokens = max(0, earlier_tokens + CASE WHEN minute = ?2 + 1 THEN ?3 ELSE 0 END) WHERE id = ?4"
)


def parameters(entries: Sequence[Entry]) -> tuple[str, str]:
    """$6 and $7 of a reservation on PostgreSQL."""
    calls = [
        {"execution_id": entry.id, "tokens": entry.rates.tokens, "counters": list(entry.rates.limits)}
        for entry in entries
        if entry.rates is not None
    ]
    return msgspec.json.encode(asked(reservations(entries))).decode(), msgspec.json.encode(calls).decode()


def read(outcome: Outcome, entries: Sequence[Entry], found: str | None, *, is_made: bool) -> None:
    """Levels that PostgreSQL found before a reservation, as they are after it."""
    for row in msgspec.json.decode(found or "[]"):
        outcome.rate_levels[row["id"]] = RateLevel(
            elapsed_s=row["elapsed"], **{name: row[name] for name in FIELDS}
        )
    if is_made:
        take(reservations(entries), outcome.rate_levels)


def used(entries: Iterable[Entry]) -> dict[str, int]:
    """Tokens that limited calls used, by the ids of their rows."""
    return {entry.id: entry.used_tokens for entry in entries if entry.used_tokens is not None}


def look(connection: sqlite3.Connection, entries: Sequence[Entry], outcome: Outcome) -> None:
    """Levels of the counters that the entries reserve from, on SQLite."""
    minute, elapsed_s = divmod(time.time(), MINUTE_S)
    counters = sorted({counter for made in reservations(entries) for counter in made.limits})
    for start in range(0, len(counters), IDS_PER_QUERY):
        some = counters[start : start + IDS_PER_QUERY]
        rows = connection.execute(_LEVELS.format(marks=", ".join("?" * len(some))), some)
        for id, *values in rows.fetchall():
            level = RateLevel(elapsed_s=0.0, **dict(zip(FIELDS, values, strict=True)))
            outcome.rate_levels[id] = level.at(int(minute), elapsed_s)


def write(connection: sqlite3.Connection, entries: Sequence[Entry], outcome: Outcome) -> None:
    """Counters and calls of reservations that are made, which the outcome's levels have, on SQLite."""
    for counter, level in outcome.rate_levels.items():
        connection.execute(_COUNT, (*(getattr(level, name) for name in FIELDS), counter))
    for entry in entries:
        if entry.rates is not None:
            counters = list(entry.rates.limits)
            minute = max(
                (outcome.rate_levels[id].minute for id in counters if id in outcome.rate_levels), default=0
            )
            connection.execute(_CALL, (entry.id, minute, entry.rates.tokens, json.dumps(counters)))


def release(connection: sqlite3.Connection, tokens: Mapping[str, int | None]) -> None:
    """Gives back what calls held that are over, on SQLite. tokens: that they used; None: not known."""
    ended: dict[tuple[int, int], list[int]] = {}  # by counter and minute: calls, and tokens more than held
    for id, count in tokens.items():
        for minute, held, counters in connection.execute(_END, (id,)).fetchall():
            for counter in json.loads(counters):
                sums = ended.setdefault((counter, minute), [0, 0])
                sums[0] += 1
                sums[1] += 0 if count is None else count - held
    for (counter, minute), (calls, more) in ended.items():
        connection.execute(_GIVE_BACK, (calls, minute, more, counter))


def sweep(connection: sqlite3.Connection) -> None:
    """Gives back what calls held whose row is not PENDING any more, on SQLite."""
    ended: list[tuple[Any, ...]] = connection.execute(_ENDED).fetchall()
    release(connection, dict(ended))
