"""Workers: processes that make runs, what they serve, and, with SQLite, which one of them it is."""

from typing import Any

from sqlalchemy import delete, func, select, update

from genai_spine.store.database import Database, Now
from genai_spine.store.runs.news import ORPHANS, changing
from genai_spine.store.runs.tables import engine_holders, run_workers
from genai_spine.store.tables import leases
from genai_spine.v1 import run_service_pb2 as pb

ENGINE = "engine"
NUMBERS = ("max_concurrency", "active", "completed", "failed", "is_draining")
_live = select(leases.c.server_id).where(leases.c.lease_until > Now())


class WorkerRows:
    """Table of workers. Those without a live lease count as gone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, worker: pb.Worker) -> None:
        """Writes what a worker serves and does now."""
        row = {
            "server_id": worker.worker_id,
            "lanes": list(worker.lanes),
            "serves_others": worker.serves_other_lanes,
            "host": worker.host,
            "version": worker.version,
            "started_at": Now(),
        }
        row |= {name: getattr(worker, name) for name in NUMBERS}
        values = {name: value for name, value in row.items() if name != "started_at"}
        async with self._database.begin_in_turn() as connection:
            same = run_workers.c.server_id == worker.worker_id
            found = await connection.execute(update(run_workers).where(same).values(values))
            if not found.rowcount:
                await connection.execute(self._database.insert_once(run_workers, row))
                known = select(leases.c.server_id)
                await connection.execute(delete(run_workers).where(run_workers.c.server_id.not_in(known)))

    async def remove(self, worker_id: str) -> None:
        """A worker that stops: whatever it has not ended is free for others, who are told."""
        async with changing(self._database) as change:
            await change.execute(delete(run_workers).where(run_workers.c.server_id == worker_id))
            await change.execute(delete(engine_holders).where(engine_holders.c.server_id == worker_id))
            change.topics.add(ORPHANS)

    async def live(self) -> list[pb.Worker]:
        """Living workers, the oldest first."""
        query = (
            select(run_workers)
            .join(leases, leases.c.server_id == run_workers.c.server_id)
            .where(leases.c.lease_until > Now())
            .order_by(run_workers.c.started_at, run_workers.c.server_id)
        )
        async with self._database.glance() as connection:
            return [_worker(row) for row in (await connection.execute(query)).mappings()]

    async def processes(self) -> int:
        """Number of living processes, those that make no runs included."""
        query = select(func.count()).select_from(leases).where(leases.c.lease_until > Now())
        async with self._database.glance() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def hold_engine(self, worker_id: str) -> bool:
        """Whether this process makes the runs of its SQLite file: one does, as long as its lease holds."""
        holder = select(engine_holders.c.server_id).where(engine_holders.c.name == ENGINE)
        living = holder.where(engine_holders.c.server_id.in_(_live))
        async with self._database.glance() as connection:
            if (named := (await connection.execute(living)).scalar_one_or_none()) is not None:
                return bool(named == worker_id)
        async with self._database.begin_write() as connection:
            row = {"name": ENGINE, "server_id": worker_id}
            await connection.execute(self._database.insert_once(engine_holders, row))
            await connection.execute(
                update(engine_holders)
                .where(engine_holders.c.name == ENGINE, engine_holders.c.server_id.not_in(_live))
                .values(server_id=worker_id)
            )
            return bool((await connection.execute(holder)).scalar_one() == worker_id)

    async def release_engine(self, worker_id: str) -> None:
        """Lets another process make the runs that come; this one ends those that it has."""
        async with changing(self._database) as change:
            mine = (engine_holders.c.name == ENGINE, engine_holders.c.server_id == worker_id)
            released = await change.execute(delete(engine_holders).where(*mine))
            if released.rowcount:
                change.topics.add(ORPHANS)


def _worker(row: Any) -> pb.Worker:
    worker = pb.Worker(
        worker_id=row["server_id"],
        lanes=row["lanes"],
        serves_other_lanes=row["serves_others"],
        host=row["host"],
        version=row["version"],
    )
    for name in NUMBERS:
        setattr(worker, name, row[name])
    worker.start_time.FromDatetime(row["started_at"])
    return worker
