"""Moves of runs on SQLite and PostgreSQL: what the database refuses, and random histories against a model."""

import asyncio
import itertools
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa

from genai_spine.errors import Conflict, ServiceUnavailable
from genai_spine.store.database import Database
from genai_spine.store.leases import Leases
from genai_spine.store.runs.dead_letters import MAX_REPLAYS, DeadLetterRows
from genai_spine.store.runs.events import EventRows, Owner
from genai_spine.store.runs.news import changing
from genai_spine.store.runs.orphans import Orphans, Served
from genai_spine.store.runs.queue import RunQueue
from genai_spine.store.runs.runs import RunRows, new_run_id
from genai_spine.store.runs.tables import MOVES, dead_letters, runs
from genai_spine.store.runs.transitions import Failure, Transitions
from genai_spine.store.runs.workers import WorkerRows
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1.completion_service_pb2 import CreateCompletionRequest
from genai_spine.v1.run_service_pb2 import Worker
from genai_spine.v1.work_pb2 import Work, WorkResponse

STATUSES = ("pending", "queued", "running", "completed", "failed", "cancelled", "dead_lettered")
OPTIONS = pb.RunOptions(priority="normal", trigger_source="api", max_retries=3)
ERROR = pb.RunError(type="PROVIDER_RATE_LIMITED", message="slow down", is_retryable=True)
SEEDS, STEPS = 12, 40
ENDS = {"completed", "cancelled", "failed", "dead_lettered"}


def a_run(**fields: Any) -> pb.Run:
    id = new_run_id()
    given = {
        "run_id": id,
        "root_run_id": id,
        "kind": "task",
        "name": "genai.completion",
        "work": Work(completion=CreateCompletionRequest(model="m")),
        "options": OPTIONS,
        "status": "queued",
        "attempt": 1,
        "tenant_id": "default-tenant",
        "principal": "anonymous",
        "priority": "normal",
        "lane": "cpu",
    }
    return pb.Run(**(given | fields))


async def submit(database: Database, run: pb.Run) -> None:
    async with changing(database) as change:
        await RunRows(database).add(change, run, {"request_hash": b""})


def everything(lane: str) -> bool:
    return True


async def lasting(rows: RunRows, run_id: str) -> pb.Run | None:
    """Run without how long it has run until now."""
    run = await rows.get(run_id)
    if run is not None:
        run.ClearField("duration_seconds")
    return run


@pytest.mark.parametrize(("old", "new"), list(itertools.product(STATUSES, STATUSES)))
async def test_only_legal_moves_are_taken(database: Database, old: str, new: str):
    run = a_run()
    await submit(database, run)
    move = sa.update(runs).where(runs.c.id == run.run_id)
    for status in PATHS[old]:
        async with database.begin() as connection:
            await connection.execute(move.values(status=status))
    if new in MOVES.get(old, ()):
        async with database.begin() as connection:
            await connection.execute(move.values(status=new))
    else:
        with pytest.raises(sa.exc.IntegrityError, match=r"illegal move of runs\.status"):
            async with database.begin() as connection:
                await connection.execute(move.values(status=new))


# How a queued run gets each status.
PATHS: dict[str, tuple[str, ...]] = {
    "pending": ("failed", "pending"),
    "queued": (),
    "running": ("running",),
    "completed": ("completed",),
    "failed": ("failed",),
    "cancelled": ("cancelled",),
    "dead_lettered": ("failed", "dead_lettered"),
}


@dataclass
class Model:
    """A run as it must be."""

    status: str = "queued"
    attempt: int = 1
    owner: str | None = None
    is_asked: bool = False  # to be cancelled
    replays: int = 0
    history: list[str] = field(default_factory=lambda: ["queued"])

    def move(self, *statuses: str) -> None:
        for status in statuses:
            assert status in MOVES.get(self.status, ()), (self.status, status)
            self.status = status
            self.history.append(status)

    def reopen(self) -> None:
        self.attempt, self.owner, self.is_asked = self.attempt + 1, None, False


class History:
    """One run, what is done to it, and the model that says what must come of that."""

    def __init__(self, database: Database, chance: random.Random) -> None:
        self.database, self.chance, self.model = database, chance, Model()
        self.rows, self.transitions = RunRows(database), Transitions(database)
        self.queue, self.letters = RunQueue(database), DeadLetterRows(database)
        self.id = ""

    async def begin(self) -> None:
        run = a_run()
        self.id = run.run_id
        await submit(self.database, run)

    def owner(self) -> Owner:
        """Mostly who makes it, at times somebody who did or never has."""
        executor = self.chance.choice((self.model.owner or "a", self.model.owner or "a", "a", "b"))
        attempt = self.model.attempt - self.chance.choice((0, 0, 0, 1))
        return Owner(self.id, attempt, executor)

    def holds(self, owner: Owner) -> bool:
        model = self.model
        is_owner = (owner.executor_id, owner.attempt) == (model.owner, model.attempt)
        return is_owner and model.status == "running"

    async def claim(self) -> None:
        executor = self.chance.choice("ab")
        claims = await self.queue.claim(executor, everything, 1)
        assert bool(claims) == (self.model.status == "queued")
        if claims:
            assert claims[0][0].attempt == self.model.attempt
            self.model.move("running")
            self.model.owner = executor

    async def complete(self) -> None:
        owner = self.owner()
        is_legal = self.holds(owner)
        assert await self.transitions.complete(owner, WorkResponse(), ()) == is_legal
        if is_legal:
            self.model.move("completed")

    async def fail(self) -> None:
        kind = self.chance.choice(("retry", "final", "permanent"))
        failure = Failure(ERROR, retry_delay_s=0.0 if kind == "retry" else None, is_final=kind == "final")
        owner = self.owner()
        is_legal = self.holds(owner)
        assert await self.transitions.fail(owner, failure) == is_legal
        if not is_legal:
            return
        if kind == "retry" and self.model.is_asked:
            self.model.move("cancelled")
        elif kind == "retry":
            self.model.move("failed", "pending")
            self.model.reopen()
        else:
            self.model.move("failed", *(["dead_lettered"] if kind == "final" else []))

    async def cancel(self) -> None:
        if await self.transitions.cancel_waiting(self.id, "enough"):
            self.model.move("cancelled")
        elif await self.transitions.ask_to_cancel(self.id, "immediate", "enough"):
            assert self.model.status == "running"
            self.model.is_asked = True
        else:
            assert self.model.status in ENDS

    async def stop(self) -> None:
        owner = self.owner()
        is_legal = self.holds(owner)
        assert await self.transitions.cancel_running(owner, "enough") == is_legal
        if is_legal:
            self.model.move("cancelled")

    async def promote(self) -> None:
        assert bool(await self.queue.promote()) == (self.model.status == "pending")
        if self.model.status == "pending":
            self.model.move("queued")

    async def replay(self) -> None:
        query = sa.select(dead_letters.c.id).where(dead_letters.c.run_id == self.id)
        async with self.database.connect() as connection:
            letter = (await connection.execute(query)).scalar()
        if letter is None:
            return
        is_legal = self.model.status == "dead_lettered" and self.model.replays < MAX_REPLAYS
        try:
            await self.letters.replay(letter, "default-tenant")
        except Conflict:
            assert not is_legal
        else:
            assert is_legal
            self.model.move("pending")
            self.model.replays += 1
            self.model.reopen()

    async def check(self) -> None:
        run = await self.rows.get(self.id)
        assert run is not None
        model = self.model
        assert (run.status, run.attempt) == (model.status, model.attempt)
        if model.status == "running":
            assert run.worker_id == model.owner
        assert run.HasField("end_time") == (model.status in ENDS)
        assert run.is_cancelling == (model.is_asked and model.status == "running")
        events = await EventRows(self.database).after(self.id, 0, 1000)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert run.last_sequence == len(events)
        told = [WORDS[event.event_type] for event in events if event.event_type in WORDS]
        assert told == model.history


WORDS = {  # status that an event says
    "queued": "queued",
    "started": "running",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "dead_lettered": "dead_lettered",
    "retry_scheduled": "pending",
    "reprocessed": "pending",
}


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_random_histories_follow_the_model(database: Database, seed: int):
    chance = random.Random(seed)
    history = History(database, chance)
    await history.begin()
    names = ("claim", "claim", "complete", "fail", "fail", "cancel", "stop", "promote", "replay")
    for _ in range(STEPS):
        await getattr(history, chance.choice(names))()
        await history.check()


async def test_of_many_that_take_a_run_over_one_gets_it(database: Database):
    transitions = Transitions(database)
    run = a_run()
    await submit(database, run)
    await RunQueue(database).claim("dead", everything, 1)
    leases = Leases(database)
    for name in "abcdefgh":
        await leases.take(name, "cpu", 60.0)
        await WorkerRows(database).write(Worker(worker_id=name, lanes=["cpu"]))
    orphans = Orphans(database, most=3)
    taken = await asyncio.gather(*(orphans.take(name, Served(("cpu",)), 10) for name in "abcdefgh"))
    assert sum(map(len, taken)) == 1
    new = "abcdefgh"[[len(one) for one in taken].index(1)]
    assert not await transitions.complete(Owner(run.run_id, 1, "dead"), WorkResponse(), ())
    assert await transitions.complete(Owner(run.run_id, 1, new), WorkResponse(), ())
    kinds = [event.event_type for event in await EventRows(database).after(run.run_id, 0, 100)]
    assert kinds == [
        *("created", "queued", "started", "orphan_detected", "started", "reconciled", "completed"),
    ]


async def test_a_run_that_was_left_is_taken_over_at_once_and_no_death_is_counted(database: Database):
    transitions, leases, workers = Transitions(database), Leases(database), WorkerRows(database)
    run = a_run()
    await submit(database, run)
    for name in ("old", "new"):
        await leases.take(name, "cpu", 60.0)
        await workers.write(Worker(worker_id=name, lanes=["cpu"]))
    await RunQueue(database).claim("old", everything, 1)
    orphans = Orphans(database, most=0)
    assert await orphans.take("new", Served(("cpu",)), 10) == []
    assert await transitions.leave(Owner(run.run_id, 1, "old"))
    assert not await transitions.leave(Owner(run.run_id, 1, "old"))
    assert not await transitions.complete(Owner(run.run_id, 1, "old"), WorkResponse(), ())
    [orphan] = await orphans.take("new", Served(("cpu",)), 10)
    assert not orphans.is_used_up(orphan, "new")
    [mine] = await orphans.mine("new")
    assert mine.recoveries == 0
    assert await transitions.complete(Owner(run.run_id, 1, "new"), WorkResponse(), ())


@pytest.mark.parametrize("step", ["complete", "fail", "cancel", "replay", "expire"])
async def test_a_transition_that_is_cut_leaves_nothing_half_written(
    database: Database, monkeypatch: pytest.MonkeyPatch, step: str
):
    """The database goes away before the events of a move are written."""
    from genai_spine.store.runs import dead_letters as letters_module
    from genai_spine.store.runs import transitions as transitions_module

    transitions, rows = Transitions(database), RunRows(database)
    options = pb.RunOptions(priority="normal", trigger_source="api")
    if step == "expire":
        options.deadline.FromSeconds(1)
    run = a_run(options=options)
    await submit(database, run)
    owner = Owner(run.run_id, 1, "a")
    if step != "expire":
        await RunQueue(database).claim("a", everything, 1)
    if step == "replay":
        assert await transitions.fail(owner, Failure(ERROR, is_final=True))
    letter = await DeadLetterRows(database).of_run(run.run_id)
    moves = {
        "complete": lambda: transitions.complete(owner, WorkResponse(), ()),
        "fail": lambda: transitions.fail(owner, Failure(ERROR, is_final=True)),
        "cancel": lambda: transitions.cancel_running(owner, "enough"),
        "replay": lambda: DeadLetterRows(database).replay(letter or "", "default-tenant"),
        "expire": transitions.expire,
    }
    before = await lasting(rows, run.run_id)

    async def gone(*arguments: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(transitions_module, "append", gone)
        patch.setattr(transitions_module, "write_rows", gone)
        patch.setattr(letters_module, "append", gone)
        with pytest.raises(ServiceUnavailable):
            await moves[step]()
    assert await lasting(rows, run.run_id) == before
    assert await DeadLetterRows(database).of_run(run.run_id) == letter
    assert await moves[step]()
    after = await rows.get(run.run_id)
    assert after is not None
    assert after != before
    assert after.last_sequence > (before.last_sequence if before else 0)
