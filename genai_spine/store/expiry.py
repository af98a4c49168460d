"""Expiry sweep: rows that have expired, deleted in batches."""

import sqlalchemy as sa

from genai_spine.store.database import Database, Now

BATCH_SIZE = 500  # per statement: a short transaction holds nobody up


async def sweep(database: Database, table: sa.Table) -> int:
    """Number of rows deleted, at most ROWS. Rows that another process deletes just now are left to it."""
    [key] = table.primary_key
    expired = sa.select(key).where(table.c.expires_at <= Now()).order_by(table.c.expires_at).limit(BATCH_SIZE)
    statement = sa.delete(table).where(key.in_(expired.with_for_update(skip_locked=True)))
    async with database.begin() as connection:
        return (await connection.execute(statement)).rowcount
