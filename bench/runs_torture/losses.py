"""Calls that were in flight when their worker was lost: what a takeover may repeat, and nothing beside them.

The ledger says which worker meant to make a call, before it is sent. So what was in flight is known whether
or not the provider has heard of it yet: under load many calls lie unread in its sockets when their worker
dies.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from bench.ledger_torture.servers import ServerProcess, Servers
from genai_spine.store.database import Database
from genai_spine.v1.run_pb2 import RunEvent

_CALLS = (
    "SELECT e.id, e.step_id, e.server_id, e.created_at, i.ended_at FROM executions e"
    " JOIN run_items i ON i.run_id = e.run_id AND e.step_id = 'item.' || i.place WHERE e.run_id = :run"
)
CALLS = sa.text(f"{_CALLS} ORDER BY e.id")
IN_FLIGHT = sa.text(
    f"{_CALLS} AND (e.server_id = :server OR e.server_id LIKE :successors) AND (i.ended_at IS NULL OR EXISTS"
    " (SELECT 1 FROM executions o WHERE o.run_id = e.run_id AND o.step_id = e.step_id AND o.id > e.id))"
)
ENDED = sa.text("SELECT count(*) FROM run_items WHERE run_id = :run AND ended_at IS NOT NULL")
MAKER = sa.text("SELECT executor_id FROM runs WHERE id = :run AND status = 'running'")


@dataclass(slots=True)
class Losses:
    """Workers that were killed or frozen, and what was in flight then."""

    database: Database
    run_id: str
    at_kills: set[str] = field(default_factory=set)  # ids of ledger rows
    workers: list[str] = field(default_factory=list)  # ids of killed and frozen ones, as they began
    problems: list[str] = field(default_factory=list)

    async def maker(self, servers: Servers) -> ServerProcess | None:
        """Worker that makes the batch now; None: none does."""
        worker_id = await self._worker_id()
        return servers.by_id(worker_id) if worker_id else None

    async def makes(self, server: ServerProcess) -> bool:
        """Whether a worker makes the batch now."""
        return (await self._worker_id()).startswith(server.server_id)

    async def ended(self) -> int:
        """Number of items that have ended."""
        async with self.database.engine.connect() as connection:
            return int((await connection.execute(ENDED, {"run": self.run_id})).scalar_one())

    async def note(self, server: ServerProcess) -> None:
        """Notes what was in flight of a worker that is dead, or stands still."""
        self.workers.append(server.server_id)
        values = {"run": self.run_id, "server": server.server_id, "successors": f"{server.server_id}.%"}
        async with self.database.engine.connect() as connection:
            self.at_kills |= {row.id for row in await connection.execute(IN_FLIGHT, values)}

    async def at_lost_leases(self, events: Sequence[RunEvent]) -> int:
        """Calls in flight of workers that lost their lease and live on, as a busy machine brings it about.

        Problems are what no loss explains: a call for an item that had its end, a second one of one worker
        for one item, and one that was repeated although its worker had not lost the batch.
        """
        async with self.database.engine.connect() as connection:
            rows = (await connection.execute(CALLS, {"run": self.run_id})).all()
        left = {
            str(event.data["previous_worker"]) for event in events if event.event_type == "orphan_detected"
        }
        calls: dict[str, list[Any]] = defaultdict(list)
        for row in rows:
            calls[row.step_id].append(row)
            if row.ended_at is not None and str(row.created_at) > str(row.ended_at):
                self.problems.append(f"{row.step_id} was called at {row.created_at}, after its end")
        found = 0
        for step_id, of_item in calls.items():
            # One that could not renew its lease in time stops its work, and may take it up again.
            times = Counter(row.server_id for row in of_item if row.server_id not in left)
            if times and max(times.values()) > 1:
                self.problems.append(f"{step_id} was called twice by one worker")
            for row in of_item[:-1]:
                if row.id in self.at_kills:
                    continue
                found += 1
                if row.server_id not in left or row.server_id.startswith(tuple(self.workers)):
                    self.problems.append(f"{step_id} was called again, and was not in flight at a kill")
        return found

    async def _worker_id(self) -> str:
        async with self.database.engine.connect() as connection:
            return str((await connection.execute(MAKER, {"run": self.run_id})).scalar() or "")
