"""Text that steps write, of many runs in one statement: kept for who comes late, given to who watches now."""

import sqlite3
from collections.abc import Sequence

import asyncpg

from genai_spine.store.database import Database
from genai_spine.store.runs.news import Output, RunNews, text_payloads
from genai_spine.store.runs.plain import statements


async def write_text(database: Database, pieces: Sequence[tuple[str, Output]]) -> None:
    """Writes pieces by the ids of their runs; one that is there stays as it is."""
    rows = [(run_id, *piece) for run_id, piece in pieces]
    news = RunNews.of(database)

    def on_sqlite(connection: sqlite3.Connection) -> None:
        connection.executemany(statements.WRITE_TEXT_ONE, rows)

    async def on_postgresql(connection: asyncpg.Connection) -> None:
        news.own_pids.add(connection.get_server_pid())
        await connection.fetch(statements.WRITE_TEXT, text_payloads(pieces), *zip(*rows, strict=True))

    await database.write_durably(on_sqlite, on_postgresql, len(rows))
    news.give(pieces)
