"""Watchers of a torture: they lose their connection again and again, and go on at another server."""

import asyncio
import random
from dataclasses import dataclass, field

import grpc

from bench.ledger_torture.servers import Servers
from genai_spine.v1.run_pb2 import RunEvent
from genai_spine.v1.run_service_pb2 import WatchRunRequest
from genai_spine.v1.run_service_pb2_grpc import RunServiceStub

PAUSE_S = 0.1
MAX_EVENTS = 60  # of one connection
ENDS = ("completed", "failed", "cancelled", "dead_lettered")


@dataclass(slots=True)
class RunWatch:
    """Watch of one run until its end, over any number of connections."""

    run_id: str
    drawn: random.Random
    events: list[RunEvent] = field(default_factory=list)
    connections: int = 0

    async def follow(self, servers: Servers) -> None:
        """Receives events until the run has ended."""
        while not self._has_ended():
            self.connections += 1
            last = self.events[-1].sequence if self.events else 0
            request = WatchRunRequest(run_id=self.run_id, after_sequence=last, include_output=False)
            left = self.drawn.randrange(1, MAX_EVENTS)
            try:
                stub = RunServiceStub(servers.pick(self.drawn.randrange(1000)).channel)
                call = stub.WatchRun(request)
                async for event in call:
                    self.events.append(event)
                    left -= 1
                    if not left:
                        call.cancel()
                        break
            except (grpc.aio.AioRpcError, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and left:
                    raise
                await asyncio.sleep(PAUSE_S)

    def problems(self) -> list[str]:
        """What is wrong with what was received."""
        numbers = [event.sequence for event in self.events]
        found = []
        if numbers != list(range(1, len(numbers) + 1)):
            found.append(f"run {self.run_id}: the sequence has a gap or a repeat")
        shares = [
            float(str(event.data["progress"])) for event in self.events if event.event_type == "progress"
        ]
        if shares != sorted(shares):
            found.append(f"run {self.run_id}: its progress falls")
        return found

    def _has_ended(self) -> bool:
        return bool(self.events) and self.events[-1].event_type in ENDS
