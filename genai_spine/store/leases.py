"""Leases of server processes: which of them are alive, by the database's clock."""

from sqlalchemy import delete, insert, select, update

from genai_spine.store.database import Database, Now
from genai_spine.store.tables import leases


class Leases:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, server_id: str, lane: str, ttl_s: float) -> None:
        """First lease of a process; expired ones of others are deleted."""
        row = {"server_id": server_id, "lane": lane, "lease_until": Now(ttl_s), "started_at": Now()}
        async with self._database.begin() as connection:
            await connection.execute(delete(leases).where(leases.c.lease_until <= Now()))
            await connection.execute(insert(leases).values(row))

    async def renew(self, server_id: str, ttl_s: float) -> bool:
        """Renewal; False when the lease expired before: others may have acted on that, so it stays lost."""
        lives = (leases.c.server_id == server_id) & (leases.c.lease_until > Now())
        async with self._database.begin() as connection:
            result = await connection.execute(update(leases).where(lives).values(lease_until=Now(ttl_s)))
        return result.rowcount == 1

    async def release(self, server_id: str) -> None:
        """End of a process's lease, and of those that took its place (`<server_id>.1`): it stops, or died."""
        row = leases.c.server_id
        its = (row == server_id) | row.startswith(f"{server_id}.", autoescape=True)
        async with self._database.begin() as connection:
            await connection.execute(delete(leases).where(its))

    async def live(self) -> dict[str, str]:
        """Lane of each living process, by server id."""
        query = select(leases.c.server_id, leases.c.lane).where(leases.c.lease_until > Now())
        async with self._database.glance() as connection:
            return {row.server_id: row.lane for row in await connection.execute(query)}
