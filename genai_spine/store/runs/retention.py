"""Retention of runs: what ended long ago is deleted in small transactions, and nothing that has not ended.

A run goes with its answer, events, steps, items, webhooks and its own budget; the ledger keeps its calls. One
that is among the dead letters stays until its entry is gone, and a child until its root has ended.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.runs.tables import (
    dead_letters,
    provider_batches,
    run_answers,
    run_events,
    run_items,
    run_output,
    run_results,
    run_steps,
    run_webhooks,
    runs,
)
from genai_spine.store.tables import budgets

RUNS_AT_ONCE = 25
ROWS_AT_ONCE = 500  # a short transaction holds nobody up
MANY = 500  # what a sweep returns while more may be left
OUTPUT_KEPT_S = 600.0  # after the end of its run, whose answer has it all
PARTS = (
    *(run_output, run_events, run_steps, run_items, run_webhooks, provider_batches, run_results),
    run_answers,
)


class RunRetention:
    """Runs that have ended."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sweep(self, kept_s: float) -> int:
        """Deletes some runs that ended so long ago; returns how many, or MANY where more may be left."""
        root = runs.alias("root")
        is_open = sa.exists().where(root.c.id == runs.c.root_run_id, root.c.ended_at.is_(None))
        is_letter = sa.exists().where(dead_letters.c.run_id == runs.c.id)
        old = (
            sa.select(runs.c.id)
            .where(runs.c.ended_at <= Now(-kept_s), ~is_open, ~is_letter)
            .order_by(runs.c.ended_at)
            .limit(RUNS_AT_ONCE)
        )
        async with self._database.connect() as connection:
            ids = list((await connection.execute(old)).scalars())
        if not ids:
            return 0
        for table in PARTS:
            while await self._delete_part(table, table.c.run_id.in_(ids)) >= ROWS_AT_ONCE:
                pass
        async with self._database.begin_write() as connection:
            own = sa.and_(budgets.c.node == "RUN", budgets.c.node_key.in_(ids))
            await connection.execute(sa.delete(budgets).where(own))
            ended = (runs.c.id.in_(ids), runs.c.ended_at.is_not(None))
            deleted = await connection.execute(sa.delete(runs).where(*ended))
        return MANY if len(ids) == RUNS_AT_ONCE else int(deleted.rowcount)

    async def sweep_output(self) -> int:
        """Deletes text of runs that ended some minutes ago, at most ROWS_AT_ONCE pieces; returns how many."""
        ended = sa.exists().where(runs.c.id == run_output.c.run_id, runs.c.ended_at <= Now(-OUTPUT_KEPT_S))
        return await self._delete_part(run_output, ended)

    async def _delete_part(self, table: sa.Table, condition: sa.ColumnElement[bool]) -> int:
        key: Sequence[Any] = list(table.primary_key)
        some = sa.select(*key).where(condition).limit(ROWS_AT_ONCE)
        statement = sa.delete(table).where(sa.tuple_(*key).in_(some))
        async with self._database.begin_in_turn() as connection:
            return int((await connection.execute(statement)).rowcount)
