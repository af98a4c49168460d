"""Worker: claims runs of its lanes, makes them, takes over those of processes that ended, and drains.

It owns its runs as long as its process's lease holds. Once that is lost, or could not be renewed in time, it
drops all work at once, and goes on under another id.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

import structlog

from genai_spine.runs.engine import Engine
from genai_spine.runs.execution.executor import RunExecutor
from genai_spine.runs.execution.failures import WORKER_LOST
from genai_spine.runs.pools import Pools
from genai_spine.store.database import Database
from genai_spine.store.runs.events import Owner
from genai_spine.store.runs.news import CANCEL, ORPHANS, QUEUE, RunNews
from genai_spine.store.runs.orphans import Orphan, Orphans, Served
from genai_spine.store.runs.plain.limits import Limits
from genai_spine.store.runs.queue import RunQueue
from genai_spine.store.runs.transitions import Failure
from genai_spine.store.runs.workers import WorkerRows
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.version import VERSION

PROMOTE_S = 0.5  # between two looks for runs whose time has come, or is over
CLAIM_S = 2.0  # between two looks at a queue that was empty, where all who queue runs tell it
FULL_S = 0.02  # between two looks for realtime runs where all places are taken
MAX_RECOVERIES = 3  # takeovers of an attempt with nothing done between them; past that it has failed
MAX_TAKEN_OVER = 50  # runs of processes that ended, in one sweep
SPARE = 2  # times the concurrency: so many realtime runs and orphans start beside a full worker
FENCE_S = 0.25  # at most, between two looks at the lease
DELETE_S = 60.0  # between two deletions of the engine's ended workflows

log = structlog.get_logger()


class Lease(Protocol):
    """Lease of the process, which the ledger renews."""

    server_id: str
    lease_until: float  # by time.monotonic()


@dataclass(frozen=True, slots=True)
class WorkerRules:
    """Lanes and number of runs that a worker takes."""

    lanes: Sequence[str] = ()
    serves_others: bool = True  # every lane that no other living worker names
    max_concurrency: int = 32
    limits: Limits = field(default_factory=dict)  # of all processes


@dataclass(slots=True)
class RunWorker:
    """Worker of one process."""

    database: Database
    engine: Engine
    executor: RunExecutor
    rules: WorkerRules
    lease: Lease
    pools: Pools
    sweeps: list[Callable[[], Awaitable[None]]] = field(default_factory=list)  # beside its own
    _id: str = ""  # that it works under now; empty: it makes no runs
    _is_draining: bool = False
    _holds_engine: bool = False
    _served: Served | None = None  # None: not known yet, or not any more
    _has_more_orphans: bool = False
    _deleted: float = 0.0
    _strays: set[str] = field(default_factory=set)  # runs of its own that nothing here makes, as last seen
    _tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)  # by run id
    _loops: list[asyncio.Task[None]] = field(default_factory=list)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)  # a place, or there is news of the queue
    _due: asyncio.Event = field(default_factory=asyncio.Event)  # the lease was renewed, or orphans were told
    _sweep_due: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self) -> None:
        """Begins to claim."""
        self._id = self.lease.server_id
        await self._look_after()
        loops: list[Coroutine[Any, Any, None]] = [
            self._claim_runs(),
            self._watch_cancels(),
            self._fence(),
            self._keep_looking_after(),
            self._sweep(),
        ]
        self._loops = [asyncio.create_task(loop) for loop in loops]

    async def renewed(self) -> None:
        """With each renewal of the lease, which waits for none of what follows from it."""
        self._due.set()
        if not self._id:  # this process makes no runs, and submits some
            await self.pools.refresh()

    def drain(self) -> None:
        """Claims nothing any more."""
        self._is_draining = True
        self._due.set()

    def retire(self) -> None:
        """Drains, and leaves runs of several steps to others at the end of the steps that are in flight."""
        self.executor.is_leaving = True
        self.drain()

    async def stop(self, timeout_s: float) -> None:
        """Lets runs come to their end for so long; the others are taken over by other processes at once."""
        self.drain()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=timeout_s)
        await _ended(self._loops)
        await self._abandon()
        await self.executor.writer.stop()
        await self.engine.stop()
        if self._id:
            try:  # left on purpose: a run that waits for a day outlives any number of deploys
                await self.executor.transitions.leave_all(self._id)
                await WorkerRows(self.database).remove(self._id)
            except Exception as error:  # its lease runs out all the same
                log.warning("worker_not_removed", worker_id=self._id, cause=str(error)[:300])

    @property
    def active(self) -> int:
        """Runs that it makes now."""
        return len(self._tasks)

    @property
    def _busy(self) -> int:
        """Runs that take a place: those that only wait, for a provider's batch, take none."""
        return self.active - sum(running.is_waiting for running in self.executor.running.values())

    def makes(self, run_id: str) -> bool:
        """Whether a run is surely its own: nobody can have taken it over."""
        running = self.executor.running.get(run_id)
        return self._is_leased and (running is None or running.owner.executor_id == self.lease.server_id)

    @property
    def _is_leased(self) -> bool:
        return monotonic() < self.lease.lease_until

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
        queue, news = RunQueue(self.database, self.rules.limits), RunNews.of(self.database)
        promoted = looked = 0.0
        is_told = True
        with news.subscribed(QUEUE) as told:
            self._freed = told
            while True:
                claimed = 0
                try:
                    if monotonic() - promoted >= PROMOTE_S and self._may_claim:
                        promoted = monotonic()
                        if not queue.is_empty or await queue.has_due():
                            await self.executor.transitions.expire()
                            is_told = bool(await queue.promote()) or is_told
                    is_quiet = queue.is_empty and news.is_listening and not is_told
                    if not is_quiet or monotonic() - looked >= CLAIM_S:
                        looked = monotonic()
                        claimed = await self._claim(queue)
                except Exception as error:  # the database is away; waiting runs lose nothing by that
                    log.warning("runs_not_claimed", cause=str(error)[:300])
                    await asyncio.sleep(PROMOTE_S)
                    is_told = True
                    continue
                is_told = bool(claimed) or await news.wait(told, PROMOTE_S)
                if self._busy >= self.rules.max_concurrency:
                    await asyncio.sleep(FULL_S)

    @property
    def _may_claim(self) -> bool:
        return (
            self._holds_engine
            and not self._is_draining
            and self._served is not None
            and self._is_leased
            and self._id == self.lease.server_id
        )

    async def _claim(self, queue: RunQueue) -> int:
        """Number of runs that it has begun."""
        if not self._may_claim or (served := self._served) is None:
            return 0
        free = self.rules.max_concurrency - self._busy
        only_realtime = free < 1
        if only_realtime:
            free = self.rules.max_concurrency * SPARE - self._busy
        executor_id = self._id
        claimed = await queue.claim(executor_id, served.serves, free, only_realtime=only_realtime)
        for run, submitter in claimed:
            self.executor.claimed[run.run_id] = run, submitter
            self._begin(Owner(run.run_id, run.attempt, executor_id))
        return len(claimed)

    def _begin(self, owner: Owner, *, is_orphan: bool = False) -> None:
        task = asyncio.create_task(self._made(owner, is_orphan=is_orphan))
        self._tasks[owner.run_id] = task
        task.add_done_callback(lambda _: self._ended_one(owner.run_id))

    def _ended_one(self, run_id: str) -> None:
        self._tasks.pop(run_id, None)
        self.executor.claimed.pop(run_id, None)
        self._freed.set()
        if self._has_more_orphans:
            self._due.set()

    async def _made(self, owner: Owner, *, is_orphan: bool) -> None:
        """Makes a run: one of several parts by the engine, a single call at once, whose row says it all."""
        if await self.executor.is_combined(owner.run_id):
            await self._made_by_engine(owner, is_orphan=is_orphan)
            return
        try:
            await self.executor.execute(owner, is_first=not is_orphan)
        except Exception:  # a fault of ours: the run is found again as one that nothing makes, so many times
            log.exception("run_not_made", run_id=owner.run_id)

    async def _made_by_engine(self, owner: Owner, *, is_orphan: bool) -> None:
        """Has the engine make a run, as often as it takes while the engine's database is away."""
        while owner.executor_id == self.lease.server_id:
            try:
                await self.engine.make(owner, is_orphan=is_orphan)
                return
            except Exception as error:
                log.warning("run_not_made", run_id=owner.run_id, cause=str(error)[:300])
                await asyncio.sleep(PROMOTE_S)
                is_orphan = True  # how far it came is not known

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
        """Stops the work once the lease is lost or could not be renewed: others may own the runs by then."""
        while True:
            await asyncio.sleep(FENCE_S)
            if self._tasks and not (self._is_leased and self._id == self.lease.server_id):
                log.warning("worker_fenced", worker_id=self._id, runs=self.active)
                await self._abandon()

    async def _keep_looking_after(self) -> None:
        news = RunNews.of(self.database)
        with news.subscribed(ORPHANS) as told:
            told_too = asyncio.create_task(self._pass_on(told))
            try:
                while True:
                    await self._due.wait()
                    self._due.clear()
                    try:
                        await self._look_after()
                    except Exception as error:
                        log.warning("workers_not_seen", cause=str(error)[:300])
            finally:
                told_too.cancel()

    async def _pass_on(self, told: asyncio.Event) -> None:
        while True:
            await told.wait()
            told.clear()
            self._due.set()

    async def _look_after(self) -> None:
        """Says what it does, sees who else is there, and takes over runs that nobody makes any more."""
        if self._id != self.lease.server_id:
            await self._replace()
        workers = WorkerRows(self.database)
        await workers.write(self._message())
        if self._is_draining:
            await workers.release_engine(self._id)
            self._holds_engine = False
            return
        await self.pools.refresh()
        if self.database.dialect == "sqlite":
            self._holds_engine = await workers.hold_engine(self._id)
            RunNews.of(self.database).is_alone = await workers.processes() < 2
            self._served = Served((), is_all_but=True)
        else:
            self._holds_engine = True
            self._served = self._lanes()
        if not self._holds_engine:
            return
        await self._take_over()
        await self._find_strays()
        self._freed.set()  # what it may claim may be more than before
        self._sweep_due.set()

    def _lanes(self) -> Served:
        """Lanes that it takes runs of now."""
        if not self.rules.serves_others:
            return Served(tuple(self.rules.lanes))
        others = [worker for worker in self.pools.workers if worker.worker_id != self._id]
        named = {lane for worker in others if not worker.is_draining for lane in worker.lanes}
        return Served(tuple(named - set(self.rules.lanes)), is_all_but=True)

    async def _sweep(self) -> None:
        """The further sweeps, one after another; one that fails, or takes long, holds up no takeover."""
        while True:
            await self._sweep_due.wait()
            self._sweep_due.clear()
            for sweep in (*self.sweeps, self._delete_ended):
                try:
                    await sweep()
                except Exception as error:
                    log.warning("runs_not_swept", sweep=sweep.__qualname__, cause=str(error)[:300])

    async def _delete_ended(self) -> None:
        if monotonic() - self._deleted >= DELETE_S:
            self._deleted = monotonic()
            await self.engine.delete_ended(self._orphans.running)

    async def _replace(self) -> None:
        """Goes on under another id, since the lease of this one was lost."""
        log.warning("worker_replaced", worker_id=self._id, by=self.lease.server_id, runs=self.active)
        self._served = None  # it claims nothing before it is among the workers
        await self._abandon()
        self._id = self.lease.server_id

    async def _abandon(self) -> None:
        """Cancels all work; the runs stay as they are, for whoever takes them over."""
        for running in list(self.executor.running.values()):
            running.task.cancel()
        await _ended(list(self._tasks.values()))

    @property
    def _orphans(self) -> Orphans:
        return Orphans(self.database, MAX_RECOVERIES)

    async def _take_over(self) -> None:
        """Takes over runs of processes that ended, as many as it has places for."""
        room = min(MAX_TAKEN_OVER, self.rules.max_concurrency * SPARE - self._busy)
        self._has_more_orphans = room < 1
        if self._served is None or room < 1:
            return
        orphans = await self._orphans.take(self._id, self._served, room)
        self._has_more_orphans = len(orphans) == room
        for orphan in orphans:
            await self._recover(orphan)

    async def _find_strays(self) -> None:
        """Makes runs of its own whose work was lost: a claim whose answer never came, or a fault of ours."""
        mine = {one.run_id: one for one in await self._orphans.mine(self._id)}
        lost = {run_id for run_id in mine if run_id not in self._tasks}
        again = lost & self._strays  # twice in a row: one that was just claimed may have no task yet
        self._strays = lost
        for run_id in again:
            if await self._orphans.restart(mine[run_id], self._id):
                await self._recover(mine[run_id])

    async def _recover(self, orphan: Orphan) -> None:
        """Makes a run that was taken over, unless that happened too often."""
        owner = Owner(orphan.run_id, orphan.attempt, self._id)
        if self._orphans.is_used_up(orphan, self._id):
            await self.executor.transitions.fail(owner, Failure(WORKER_LOST, is_final=True))
            return
        log.info("run_taken_over", run_id=orphan.run_id, of=orphan.executor_id)
        self.executor.taken_over.add(orphan.run_id)
        self._begin(owner, is_orphan=True)


async def _ended(tasks: "Sequence[asyncio.Task[None]]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
