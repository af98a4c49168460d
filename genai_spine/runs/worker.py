"""Worker: claims runs of its lanes, makes them, takes over those of processes that ended, and drains."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import structlog

from genai_spine.runs.engine import MAX_RECOVERIES, Engine
from genai_spine.runs.executor import RunExecutor
from genai_spine.runs.failures import WORKER_LOST
from genai_spine.store.database import Database
from genai_spine.store.runs.news import CANCEL, QUEUE, RunNews
from genai_spine.store.runs.queue import RunQueue
from genai_spine.store.runs.transitions import Failure, Orphan, Owner
from genai_spine.store.runs.workers import WorkerRows
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.version import VERSION

PROMOTE_S = 0.5  # between two looks for runs whose time has come
MAX_TAKEN_OVER = 50  # runs of processes that ended, in one sweep
REALTIME_SLOTS = 2  # times the concurrency: realtime runs start beside a full worker

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WorkerRules:
    """Lanes and number of runs that a worker takes."""

    lanes: Sequence[str] = ()
    serves_others: bool = True  # every lane that no other living worker names
    max_concurrency: int = 32
    lease_ttl_s: float = 10.0


@dataclass(slots=True)
class RunWorker:
    """Worker of one process. executor_id: of the process's lease, which may be replaced."""

    database: Database
    engine: Engine
    executor: RunExecutor
    rules: WorkerRules
    executor_id: Callable[[], str]
    sweeps: list[Callable[[], Awaitable[None]]] = field(default_factory=list)  # beside its own
    _id: str = ""  # that it works under now
    _is_draining: bool = False
    _holds_engine: bool = False
    _served: set[str] | None = None  # lanes that others serve; None: not known yet
    _renewed: float = 0.0
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _loops: list[asyncio.Task[None]] = field(default_factory=list)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Begins to claim."""
        self._id = self.executor_id()
        self._renewed = monotonic()
        await self.renewed()
        loops: list[Coroutine[Any, Any, None]] = [self._claim_runs(), self._watch_cancels(), self._fence()]
        self._loops = [asyncio.create_task(loop) for loop in loops]

    async def renewed(self) -> None:
        """With each renewal of the lease: says what it does, and looks after runs of processes that ended."""
        if not self._id:
            return
        self._renewed = monotonic()
        if self._id != self.executor_id():
            await self._replace()
        workers = WorkerRows(self.database)
        await workers.write(self._message())
        living = await workers.live()
        others = [worker for worker in living if worker.worker_id != self._id]
        self._served = {lane for worker in others if not worker.is_draining for lane in worker.lanes}
        if self.database.dialect == "sqlite":
            self._holds_engine = await workers.hold_engine(self._id)
            RunNews.of(self.database).is_alone = not others
        else:
            self._holds_engine = True
        if self._is_draining or not self._holds_engine:
            return
        await self._take_over_orphans()
        for sweep in self.sweeps:
            await sweep()

    def drain(self) -> None:
        """Claims nothing any more."""
        self._is_draining = True

    async def stop(self, timeout_s: float) -> None:
        """Lets runs come to their end for so long; the others are taken over by other processes."""
        self.drain()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout_s)
        await _ended(self._loops)
        await self._abandon()
        await self.engine.stop()
        if self._id:
            await WorkerRows(self.database).remove(self._id)

    @property
    def active(self) -> int:
        """Runs that it makes now."""
        return len(self._tasks)

    def _message(self) -> pb.Worker:
        return pb.Worker(
            worker_id=self._id,
            lanes=self.rules.lanes,
            serves_other_lanes=self.rules.serves_others,
            max_concurrency=self.rules.max_concurrency,
            active=self.active,
            completed=self.executor.completed,
            failed=self.executor.failed,
            host=socket.gethostname(),
            is_draining=self._is_draining,
            version=VERSION,
        )

    async def _claim_runs(self) -> None:
        queue, news = RunQueue(self.database), RunNews.of(self.database)
        promoted = 0.0
        with news.subscribed(QUEUE) as told:
            self._freed = told
            while True:
                claimed = 0
                try:
                    if monotonic() - promoted >= PROMOTE_S and self._may_claim:
                        promoted = monotonic()
                        await queue.promote()
                    claimed = await self._claim(queue)
                except Exception as error:  # the database is away; waiting runs lose nothing by that
                    log.warning("runs_not_claimed", cause=str(error)[:300])
                    await asyncio.sleep(PROMOTE_S)
                if not claimed:
                    await news.wait(told, PROMOTE_S)

    @property
    def _may_claim(self) -> bool:
        return self._holds_engine and not self._is_draining and self._served is not None

    async def _claim(self, queue: RunQueue) -> int:
        """Number of runs that it has begun."""
        if not self._may_claim:
            return 0
        free = self.rules.max_concurrency - self.active
        only_realtime = free < 1
        if only_realtime:
            free = self.rules.max_concurrency * REALTIME_SLOTS - self.active
        lanes = await self._lanes(queue)
        claims = await queue.claim(self._id, lanes, free, only_realtime=only_realtime)
        for claim in claims:
            owner = Owner(claim.run_id, claim.attempt, self._id)
            self._begin(owner, self.engine.run)
        return len(claims)

    async def _lanes(self, queue: RunQueue) -> set[str]:
        """Lanes that it takes runs of now."""
        lanes = set(self.rules.lanes)
        if self.rules.serves_others:
            lanes |= await queue.lanes() - (self._served or set())
        return lanes

    def _begin(self, owner: Owner, work: Callable[[Owner], Awaitable[None]]) -> None:
        task = asyncio.create_task(self._made(owner, work))
        self._tasks.add(task)
        task.add_done_callback(self._ended_one)

    def _ended_one(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._freed.set()

    async def _made(self, owner: Owner, work: Callable[[Owner], Awaitable[None]]) -> None:
        """Has the engine make a run, as often as it takes while the engine's database is away."""
        while owner.executor_id == self._id:
            try:
                await work(owner)
                return
            except Exception as error:
                log.warning("run_not_made", run_id=owner.run_id, cause=str(error)[:300])
                await asyncio.sleep(PROMOTE_S)

    async def _watch_cancels(self) -> None:
        """Ends runs that somebody asked to cancel."""
        news, running = RunNews.of(self.database), self.executor.running
        with news.subscribed(CANCEL) as told:
            while True:
                try:
                    if running:
                        asked = await self.executor.transitions.cancelling(self._id)
                        for run_id, (mode, reason) in asked.items():
                            if run_id in running:
                                running[run_id].cancel(mode, reason)
                except Exception as error:
                    log.warning("cancels_not_read", cause=str(error)[:300])
                await news.wait(told)

    async def _fence(self) -> None:
        """Stops the work once the lease cannot be renewed: others may own the runs by then."""
        while True:
            await asyncio.sleep(self.rules.lease_ttl_s / 10)
            if self._tasks and monotonic() - self._renewed > self.rules.lease_ttl_s:
                log.warning("worker_fenced", worker_id=self._id, runs=self.active)
                await self._abandon()

    async def _replace(self) -> None:
        """Goes on under another id, since the lease of this one was lost."""
        log.warning("worker_replaced", worker_id=self._id, by=self.executor_id(), runs=self.active)
        await self._abandon()
        self._id = self.executor_id()

    async def _abandon(self) -> None:
        """Cancels all work; the runs stay as they are, for whoever takes them over."""
        for running in list(self.executor.running.values()):
            running.task.cancel()
        await _ended(list(self._tasks))

    async def _take_over_orphans(self) -> None:
        transitions = self.executor.transitions
        for orphan in await transitions.orphans(None, MAX_TAKEN_OVER):
            if not self._serves(orphan.lane):
                continue
            if await transitions.take_over(orphan, self._id):
                await self._recover(orphan)

    def _serves(self, lane: str) -> bool:
        return lane in self.rules.lanes or (
            self.rules.serves_others and self._served is not None and lane not in self._served
        )

    async def _recover(self, orphan: Orphan) -> None:
        """Makes a run that was taken over, unless that happened too often."""
        owner = Owner(orphan.run_id, orphan.attempt, self._id)
        if orphan.recoveries >= MAX_RECOVERIES:
            await self.executor.transitions.fail(owner, Failure(WORKER_LOST, is_final=True))
            return
        log.info("run_taken_over", run_id=orphan.run_id, of=orphan.executor_id)
        self._begin(owner, self.engine.recover)


async def _ended(tasks: "Sequence[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
