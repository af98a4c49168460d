"""Rows written by the ledger's writer, for tests."""

from collections.abc import Sequence
from typing import Any

from genai_spine.store.booking import sqlite
from genai_spine.store.database import Database


async def write_many(database: Database, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """statement: "INSERT INTO t (a, b) VALUES {values} ..."."""
    if not rows:
        return
    marks = ", ".join(f"${number}" for number in range(1, len(rows[0]) + 1))
    await database.write(
        lambda connection: sqlite.upsert(connection, statement, rows),
        lambda connection: connection.executemany(statement.format(values=f"({marks})"), rows),
        len(rows),
        atomic=len(rows) > 1,
    )
