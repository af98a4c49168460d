"""Steps of runs: checkpoints that a takeover and a retry do not repeat."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import func, null, select, update

from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.idempotency import paid_answers
from genai_spine.store.runs.events import Owner, PendingEvent, append
from genai_spine.store.runs.news import changing
from genai_spine.store.runs.tables import run_steps, runs
from genai_spine.v1 import run_pb2 as pb


class StepKey(NamedTuple):
    """Step of a run, by what it does."""

    step_id: str
    name: str
    type: str


class StepRows:
    """Table of steps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(
        self, owner: Owner, key: StepKey, events: Sequence[PendingEvent] = ()
    ) -> tuple[int, bytes | None] | None:
        """Begins a step: how often it was begun, and its answer where it is completed.

        events: behind that of its begin. None: the process does not make the run any more.
        """
        columns = run_steps.c
        same = (columns.run_id == owner.run_id, columns.step_id == key.step_id)
        async with changing(self._database) as change:
            found = (await change.execute(select(run_steps).where(*same))).mappings().first()
            if found is not None and found["status"] == "completed":
                return found["attempt"], found["response"]
            held = select(runs.c.id).where(*owner.holds)
            if (await change.execute(held)).first() is None:
                return None
            attempt = 1 if found is None else found["attempt"] + 1
            if found is None:
                number = select(func.count() + 1).where(columns.run_id == owner.run_id).scalar_subquery()
                row = {"run_id": owner.run_id, **key._asdict(), "ordinal": number, "status": "running"}
                values = {**row, "attempt": 1, "started_at": Now(), "execution_ids": []}
                await change.execute(run_steps.insert().values(values))
            else:
                values = {"status": "running", "attempt": attempt, "error": null(), "ended_at": null()}
                await change.execute(update(run_steps).where(*same).values(values))
            data = {"step": key.name, "step_id": key.step_id, "attempt": attempt}
            await append(change, owner.run_id, PendingEvent("step_started", data), *events)
        return attempt, None

    async def end(self, owner: Owner, key: StepKey, values: Mapping[str, Any], *events: PendingEvent) -> bool:
        """Ends a step with its status, answer or error and ledger rows; False: the process lost its run."""
        columns = run_steps.c
        same = (columns.run_id == owner.run_id, columns.step_id == key.step_id, columns.status == "running")
        async with changing(self._database) as change:
            # Deaths between which a step has ended are not the work's own fault.
            held = await change.execute(update(runs).where(*owner.holds).values(recoveries=0))
            if not held.rowcount:
                return False
            ended = await change.execute(update(run_steps).where(*same).values({**values, "ended_at": Now()}))
            if ended.rowcount:  # otherwise an earlier try was committed, and nobody heard of it
                await append(change, owner.run_id, *events)
                if values["status"] == "completed":
                    await paid_answers.forget(change, owner.run_id, of_steps=[key.step_id])
        return True

    async def skip(self, owner: Owner, key: StepKey, response: bytes, *events: PendingEvent) -> bool:
        """Writes a step that is not made; False: the process lost its run."""
        async with changing(self._database) as change:
            held = await change.execute(update(runs).where(*owner.holds).values(recoveries=0))
            if not held.rowcount:
                return False
            columns = run_steps.c
            same = (columns.run_id == owner.run_id, columns.step_id == key.step_id)
            if (await change.execute(select(columns.step_id).where(*same))).first() is not None:
                return True  # by an earlier try
            number = select(func.count() + 1).where(columns.run_id == owner.run_id).scalar_subquery()
            row = {"run_id": owner.run_id, **key._asdict(), "ordinal": number, "attempt": 1}
            row |= {"status": "skipped", "response": response, "execution_ids": []}
            await change.execute(run_steps.insert().values({**row, "started_at": Now(), "ended_at": Now()}))
            await append(change, owner.run_id, *events)
        return True

    async def responses(self, run_id: str) -> dict[str, bytes]:
        """Answers of steps that have ended, by their ids."""
        columns = run_steps.c
        ended = (columns.run_id == run_id, columns.status != "running", columns.response.is_not(None))
        async with self._database.connect() as connection:
            found = await connection.execute(select(columns.step_id, columns.response).where(*ended))
            return {row.step_id: row.response for row in found}

    async def page(self, run_id: str, after: int, size: int) -> Sequence[pb.RunStep]:
        """Steps behind a place in their order, one more than a page holds where there are more."""
        query = (
            select(run_steps)
            .where(run_steps.c.run_id == run_id, run_steps.c.ordinal > after)
            .order_by(run_steps.c.ordinal)
            .limit(size + 1)
        )
        async with self._database.connect() as connection:
            return [_step(row) for row in (await connection.execute(query)).mappings()]


def _step(row: Any) -> pb.RunStep:
    step = pb.RunStep(
        step_id=row["step_id"],
        step_name=row["name"],
        step_type=row["type"],
        step_order=row["ordinal"],
        status=row["status"],
        attempt=row["attempt"],
        execution_ids=row["execution_ids"],
    )
    step.start_time.FromDatetime(row["started_at"])
    if row["error"] is not None:
        step.error.ParseFromString(row["error"])
    if row["ended_at"] is not None:
        step.end_time.FromDatetime(row["ended_at"])
        step.duration_ms = int((row["ended_at"] - row["started_at"]).total_seconds() * 1000)
    return step
