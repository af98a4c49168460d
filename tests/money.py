"""What must be true of ledger and budgets at any moment: each query finds no row."""

from typing import Any

import sqlalchemy as sa

from genai_spine.store.database import Database

# {ids}: rows (execution, counter). {now}: the database's clock, 5 s ago.
HELD = "nobody dead holds any"
QUERIES = {
    "counters equal their rows": (
        "SELECT c.id FROM budget_counters c LEFT JOIN (SELECT counter, sum(cost_ticks) s, sum(held_ticks) h"
        " FROM {ids} GROUP BY 1) e ON e.counter = c.id LEFT JOIN (SELECT counter,"
        " sum(CASE WHEN left_ticks > 0 THEN left_ticks ELSE 0 END) h FROM {held} GROUP BY 1) r"
        " ON r.counter = c.id WHERE c.spent_ticks - c.opening_ticks <> coalesce(e.s, 0)"
        " OR c.reserved_ticks <> coalesce(e.h, 0) + coalesce(r.h, 0)"
    ),
    "no run that has ended holds money": (
        "SELECT h.run_id FROM run_reservations h LEFT JOIN runs r ON r.id = h.run_id"
        " WHERE r.id IS NULL OR r.ended_at IS NOT NULL"
    ),
    "only open calls hold money": (
        "SELECT id FROM executions WHERE (held_ticks <> 0 AND state <> 'PENDING')"
        " OR held_ticks NOT IN (0, coalesce(est_ticks, 0))"
    ),
    HELD: (
        "SELECT id FROM executions WHERE state = 'PENDING' AND NOT EXISTS (SELECT 1 FROM leases"
        " WHERE leases.server_id = executions.server_id AND lease_until > {now})"
    ),
    "an attempt is one row": (
        "SELECT request_id FROM executions GROUP BY request_id, attempt HAVING count(*) > 1"
    ),
    "no limit is passed but by calls that cost more than estimated": (
        "SELECT c.id FROM budget_counters c LEFT JOIN (SELECT counter,"
        " sum(CASE WHEN cost_ticks > est_ticks THEN cost_ticks - est_ticks ELSE 0 END) m"
        " FROM {ids} GROUP BY 1) e ON e.counter = c.id"
        " WHERE blocks AND spent_ticks + reserved_ticks > limit_ticks + raise_ticks + coalesce(e.m, 0)"
    ),
    "a period's counter holds that period's rows": (
        "SELECT e.id FROM {ids} e JOIN budget_counters c ON c.id = e.counter"
        " WHERE e.created_at < c.period_start"
    ),
}
IDS = {
    "sqlite": "(SELECT executions.*, j.value AS counter FROM executions, json_each(executions.counters) j)",
    "postgresql": "(SELECT executions.*, x AS counter FROM executions, unnest(executions.counters) x)",
}
HOLDS = {  # rows (reservation, counter)
    "sqlite": "(SELECT run_reservations.*, j.value AS counter FROM run_reservations, json_each(counters) j)",
    "postgresql": "(SELECT run_reservations.*, x AS counter FROM run_reservations, unnest(counters) x)",
}
NOW = {
    "sqlite": "(strftime('%Y-%m-%d %H:%M:%f', 'now', '-5 seconds') || '000')",
    "postgresql": "(now() - interval '5 seconds')",
}


async def broken(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Keys of rows that break a rule, by the rule."""
    found = {}
    async with database.engine.connect() as connection:
        for rule, query in QUERIES.items():
            text = query.format(
                ids=IDS[database.dialect], held=HOLDS[database.dialect], now=NOW[database.dialect]
            )
            if rows := (await connection.execute(sa.text(text))).all():
                found[rule] = [tuple(row) for row in rows]
    return found


async def violations(database: Database, *, besides: str = "") -> dict[str, int]:
    """Number of rows that break a rule, by the rule. besides: a rule that a test breaks on purpose."""
    found = await broken(database)
    return {rule: len(rows) for rule, rows in found.items() if rule != besides}
