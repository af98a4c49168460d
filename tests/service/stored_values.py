"""All that a database holds, to look for what it must not hold."""

import warnings

import sqlalchemy as sa

from genai_spine.store.database import Database


async def stored(database: Database) -> str:
    """All values of all columns of all tables, as Python writes them."""
    metadata = sa.MetaData()
    found: list[str] = []
    async with database.engine.connect() as connection:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Did not recognize type 'halfvec'")  # numbers, of pgvector
            await connection.run_sync(metadata.reflect)
        for table in metadata.tables.values():
            rows = await connection.execute(sa.select(table))
            found += [repr(tuple(row)) for row in rows]
    return "\n".join(found)
