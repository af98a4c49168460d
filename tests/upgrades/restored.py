"""Databases that older versions left behind, as new ones for a test."""

import asyncio
import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg

from tests.databases import PostgresServer

DATABASES = Path(__file__).parent / "databases"
VERSIONS = sorted({path.name.partition(".")[0] for path in DATABASES.glob("*.sql.gz")})


def sqlite_url(version: str, folder: Path) -> str:
    """URL of the version's SQLite database, in a folder."""
    for part, file in (("sqlite", "spine.db"), ("sqlite.engine", "spine.db.engine")):
        with closing(sqlite3.connect(folder / file)) as connection:
            connection.executescript(_script(version, part))
    return f"sqlite:///{folder}/spine.db"


async def postgres_url(version: str, server: PostgresServer) -> str:
    """URL of the version's PostgreSQL database, on a server."""
    url = server.url(await asyncio.to_thread(server.create))
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_script(version, "postgresql"))
    finally:
        await connection.close()
    return url


def _script(version: str, part: str) -> str:
    return gzip.decompress((DATABASES / f"{version}.{part}.sql.gz").read_bytes()).decode()
