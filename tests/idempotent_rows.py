"""What must hold of idempotent calls and their blocks, whatever happened: each query finds nothing."""

from typing import Any

import sqlalchemy as sa

from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.tables import idempotent_calls

INVARIANTS = {
    "an answer that is done can be told": """
        SELECT * FROM idempotent_calls WHERE state = 'DONE' AND body IS NULL AND last_seq IS NULL
        AND completion_id IS NULL""",
    "blocks follow one another": """
        SELECT call_id, first_seq FROM (
          SELECT call_id, first_seq, lag(last_seq, 1, 0) OVER (PARTITION BY call_id ORDER BY first_seq)
          AS before FROM stream_blocks) AS blocks WHERE first_seq <> before + 1""",
    "blocks end where their stream ends": """
        SELECT c.call_id FROM idempotent_calls c WHERE c.last_seq > 0 AND c.blocks_until IS NOT NULL
        AND c.last_seq <> (
          SELECT coalesce(max(b.last_seq), 0) FROM stream_blocks b WHERE b.call_id = c.call_id)""",
    "no block is without its call": """
        SELECT call_id FROM stream_blocks WHERE call_id NOT IN (SELECT call_id FROM idempotent_calls)""",
    "a call that is done is settled": """
        SELECT c.call_id FROM idempotent_calls c JOIN executions e ON e.request_id = c.request_id
        WHERE c.state = 'DONE' AND e.state = 'PENDING'""",
    "one call has one key": """
        SELECT request_id FROM idempotent_calls GROUP BY 1 HAVING count(*) > 1""",
}


async def violations(database: Database) -> dict[str, list[Any]]:
    """Rows that break an invariant, by its name; empty: none does."""
    found = {}
    async with database.engine.connect() as connection:
        for name, query in INVARIANTS.items():
            if rows := (await connection.execute(sa.text(query))).all():
                found[name] = list(rows)
    return found


async def call_rows(database: Database) -> list[Any]:
    """Calls with a key, oldest first."""
    query = sa.text("SELECT * FROM idempotent_calls ORDER BY created_at, call_id")
    async with database.engine.connect() as connection:
        return list((await connection.execute(query)).mappings().all())


async def aged(database: Database, **times: float) -> None:
    """Sets times of all calls, in seconds from now; those that have none keep none."""
    async with database.engine.begin() as connection:
        for name, seconds in times.items():
            has_it = idempotent_calls.c[name].is_not(None)
            await connection.execute(sa.update(idempotent_calls).where(has_it).values({name: Now(seconds)}))
