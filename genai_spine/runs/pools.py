"""Pools of workers: which lanes a living worker serves.

Read with each renewal of the process's lease, so that it is a few seconds old at most. A worker serves the
lanes that it names; one may also serve every lane that no other worker names.
"""

from collections.abc import Callable
from dataclasses import dataclass

from genai_spine.errors import LaneNotServed
from genai_spine.store.runs.workers import WorkerRows
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.work_pb2 import Work

CPU, GPU = "cpu", "gpu"
OF_GPU = frozenset(("embeddings", "images"))  # work whose lane is gpu where a pool serves it


@dataclass(slots=True)
class Pools:
    """Living workers of all processes."""

    rows: WorkerRows
    refuses: Callable[[], bool]  # whether work of gpu is refused without a pool, in place of done on cpu
    workers: tuple[pb.Worker, ...] = ()

    async def refresh(self) -> None:
        """Reads the workers again."""
        self.workers = tuple(await self.rows.live())

    def names(self, lane: str) -> bool:
        """Whether a worker serves a lane by its name."""
        return any(lane in worker.lanes and not worker.is_draining for worker in self.workers)

    def serves(self, lane: str) -> bool:
        """Whether a worker takes runs of a lane."""
        takes_all = any(worker.serves_other_lanes and not worker.is_draining for worker in self.workers)
        return takes_all or self.names(lane)

    def default_lane(self, work: Work) -> str:
        """Lane of work whose caller names none. Errors: LaneNotServed."""
        if work.WhichOneof("request") not in OF_GPU:
            return CPU
        if self.names(GPU):
            return GPU
        if self.refuses():
            raise LaneNotServed(lane=GPU)
        return CPU
