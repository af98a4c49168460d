"""Text that steps write, of many runs in one statement: kept for who comes late, given to who watches now."""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

import asyncpg

from genai_spine.store.database import Database
from genai_spine.store.runs.news import Output, RunNews, text_payloads
from genai_spine.store.runs.plain import statements


class WrittenText(NamedTuple):
    """Piece of text, and the process that wrote it for an attempt of a run."""

    run_id: str
    attempt: int
    executor_id: str
    piece: Output


async def write_text(database: Database, texts: Sequence[WrittenText]) -> None:
    """Writes text of the processes that make the runs, and none of others; what is there stays as it is.

    Whoever watches is given it in either case, and knows by its beginning what is void.
    """
    pieces = [(text.run_id, text.piece) for text in texts]
    rows = [(text.run_id, *_storable(text.piece), text.attempt, text.executor_id) for text in texts]
    news = RunNews.of(database)

    def on_sqlite(connection: sqlite3.Connection) -> None:
        connection.executemany(statements.WRITE_TEXT_ONE, rows)

    async def on_postgresql(connection: asyncpg.Connection) -> None:
        news.own_pids.add(connection.get_server_pid())
        await connection.fetch(statements.WRITE_TEXT, text_payloads(pieces), *zip(*rows, strict=True))

    await database.write_durably(on_sqlite, on_postgresql, len(rows))
    news.give(pieces)


def _storable(piece: Output) -> Output:
    """Piece as both databases keep it, as long as it was: PostgreSQL's text has no character zero."""
    return piece._replace(text=piece.text.replace("\0", "\ufffd")) if "\0" in piece.text else piece
