"""Runs through the channel, as the tests of this folder submit and follow them."""

from typing import Any

import grpc
import sqlalchemy as sa
from google.protobuf.duration_pb2 import Duration

from genai_spine.store.tables import executions
from genai_spine.v1 import dead_letter_service_pb2_grpc, run_pb2, run_service_pb2_grpc
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.run_pb2 import RunOptions
from genai_spine.v1.work_pb2 import Work
from tests.service.running import Running, asked
from tests.waiting import until

OPEN = ("pending", "queued", "running")


class RunCalls:
    """Calls of the run service."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Any = ()) -> None:
        """metadata: of each call, such as a key."""
        self.runs: Any = run_service_pb2_grpc.RunServiceStub(channel)
        self.letters: Any = dead_letter_service_pb2_grpc.DeadLetterServiceStub(channel)
        self.metadata = metadata

    async def submit(self, work: Work | None = None, **options: Any) -> run_pb2.Run:
        """Submits a completion, or other work."""
        request = pb.CreateRunRequest(work=work or completion(), options=RunOptions(**options))
        found: run_pb2.Run = await self.runs.CreateRun(request, metadata=self.metadata)
        return found

    async def get(self, run_id: str) -> run_pb2.Run:
        found: run_pb2.Run = await self.runs.GetRun(pb.GetRunRequest(run_id=run_id), metadata=self.metadata)
        return found

    async def ended(self, run: run_pb2.Run, limit_s: int = 30) -> run_pb2.Run:
        """The run once it has ended with no retry to follow."""
        request = pb.WaitRunRequest(run_id=run.run_id, timeout=Duration(seconds=limit_s))
        found: run_pb2.Run = await self.runs.WaitRun(request, metadata=self.metadata)
        assert found.HasField("end_time"), found
        return found

    async def reached(self, run: run_pb2.Run, *statuses: str) -> run_pb2.Run:
        """The run once it has one of the statuses."""
        seen: list[run_pb2.Run] = []

        async def looked() -> bool:
            seen.append(await self.get(run.run_id))
            return seen[-1].status in statuses

        await until(looked)
        return seen[-1]

    async def cancel(self, run: run_pb2.Run, mode: str = "", reason: str = "") -> run_pb2.Run:
        request = pb.CancelRunRequest(run_id=run.run_id, reason=reason, mode=mode or None)
        found: run_pb2.Run = await self.runs.CancelRun(request, metadata=self.metadata)
        return found

    async def events(self, run: run_pb2.Run) -> list[run_pb2.RunEvent]:
        """Log of a run, which has no gap."""
        request = pb.ListRunEventsRequest(run_id=run.run_id, page_size=1000)
        found = (await self.runs.ListRunEvents(request, metadata=self.metadata)).events
        assert [event.sequence for event in found] == list(range(1, len(found) + 1))
        return list(found)

    async def log(self, run: run_pb2.Run) -> list[str]:
        """Types of a run's events."""
        return [event.event_type for event in await self.events(run)]


def completion(text: str = "Hello", **fields: Any) -> Work:
    return Work(completion=asked(text, **fields))


def free(text: str = "Hello") -> Work:
    """Work that costs nothing and needs no upstream."""
    return completion(text, model="builtin:extractive")


async def provider_calls(service: Running, run_id: str) -> list[Execution]:
    """Rows of the ledger of a run's provider calls, once all of them are settled."""
    query = sa.select(executions.c.request_id).where(executions.c.run_id == run_id).distinct()
    async with service.database.connect() as connection:
        requests = (await connection.execute(query)).scalars().all()
    return [row for request in requests for row in await service.rows(request)]
