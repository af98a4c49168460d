"""Workers: processes that make runs, what they serve, and, with SQLite, which one of them it is."""

from typing import Any

from sqlalchemy import delete, select, update

from genai_spine.store.database import Database, Now
from genai_spine.store.runs.tables import engine_holders, run_workers
from genai_spine.store.tables import leases
from genai_spine.v1 import run_service_pb2 as pb

ENGINE = "engine"


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
        names = ("max_concurrency", "active", "completed", "failed", "is_draining")
        row |= {name: getattr(worker, name) for name in names}
        statement = self._database.upsert(run_workers, row)
        async with self._database.begin_in_turn() as connection:
            found = await connection.execute(
                update(run_workers)
                .where(run_workers.c.server_id == worker.worker_id)
                .values({name: value for name, value in row.items() if name != "started_at"})
            )
            if not found.rowcount:
                await connection.execute(statement)
                live = select(leases.c.server_id)
                await connection.execute(delete(run_workers).where(run_workers.c.server_id.not_in(live)))

    async def remove(self, worker_id: str) -> None:
        """A worker that stops."""
        async with self._database.begin_in_turn() as connection:
            await connection.execute(delete(run_workers).where(run_workers.c.server_id == worker_id))
            await connection.execute(delete(engine_holders).where(engine_holders.c.server_id == worker_id))

    async def live(self) -> list[pb.Worker]:
        """Living workers, the oldest first."""
        query = (
            select(run_workers)
            .join(leases, leases.c.server_id == run_workers.c.server_id)
            .where(leases.c.lease_until > Now())
            .order_by(run_workers.c.started_at, run_workers.c.server_id)
        )
        async with self._database.connect() as connection:
            return [_worker(row) for row in (await connection.execute(query)).mappings()]

    async def hold_engine(self, worker_id: str) -> bool:
        """Whether this process makes the runs of its SQLite file: one does, as long as its lease holds."""
        live = select(leases.c.server_id).where(leases.c.lease_until > Now())
        row = {"name": ENGINE, "server_id": worker_id}
        async with self._database.begin_write() as connection:
            await connection.execute(self._database.insert_once(engine_holders, row))
            await connection.execute(
                update(engine_holders)
                .where(engine_holders.c.name == ENGINE, engine_holders.c.server_id.not_in(live))
                .values(server_id=worker_id)
            )
            holder = await connection.execute(
                select(engine_holders.c.server_id).where(engine_holders.c.name == ENGINE)
            )
            return bool(holder.scalar_one() == worker_id)


def _worker(row: Any) -> pb.Worker:
    worker = pb.Worker(
        worker_id=row["server_id"],
        lanes=row["lanes"],
        serves_other_lanes=row["serves_others"],
        host=row["host"],
        version=row["version"],
    )
    for name in ("max_concurrency", "active", "completed", "failed", "is_draining"):
        setattr(worker, name, row[name])
    worker.start_time.FromDatetime(row["started_at"])
    return worker
