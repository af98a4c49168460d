"""Dead letters: runs whose retries are used up, until they are replayed or resolved."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select, update

from genai_spine.errors import Conflict, DeadLetterNotFound
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.newest_first import PageEnd, behind
from genai_spine.store.runs.events import DISPATCHER, PendingEvent, append
from genai_spine.store.runs.news import QUEUE, Change, changing
from genai_spine.store.runs.tables import dead_letters, runs
from genai_spine.store.runs.transitions import reopened
from genai_spine.v1 import dead_letter_service_pb2 as pb

MAX_REPLAYS = 3
BATCH_SIZE = 500  # dead letters that are deleted in one transaction

_letter = dead_letters.c


class DeadLetterRows:
    """Table of dead letters."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, id: str, tenant_id: str) -> pb.DeadLetter:
        """Dead letter of a tenant. Errors: DeadLetterNotFound."""
        async with self._database.connect() as connection:
            row = (await connection.execute(_own(id, tenant_id))).mappings().first()
        if row is None:
            raise DeadLetterNotFound(dead_letter=id)
        return _message(row)

    async def of_run(self, run_id: str) -> str | None:
        """Id of a run's entry; None: there is none."""
        query = select(_letter.id).where(_letter.run_id == run_id)
        async with self._database.connect() as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    async def page(
        self, request: pb.ListDeadLettersRequest, tenant_id: str, place: PageEnd | None, size: int
    ) -> list[pb.DeadLetter]:
        """Dead letters of a list, the newest first, one more than a page holds where there are more."""
        query = (
            select(dead_letters)
            .where(*_filters(request, tenant_id), *behind(place, _letter.created_at, _letter.id))
            .order_by(_letter.created_at.desc(), _letter.id.desc())
            .limit(size + 1)
        )
        async with self._database.connect() as connection:
            return [_message(row) for row in (await connection.execute(query)).mappings()]

    async def count(self, request: pb.ListDeadLettersRequest, tenant_id: str) -> int:
        """Number of dead letters that a list is about."""
        query = select(func.count()).select_from(dead_letters).where(*_filters(request, tenant_id))
        async with self._database.connect() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def replay(self, id: str, tenant_id: str) -> str:
        """Makes its run wait for its next attempt; returns the run's id.

        Errors: DeadLetterNotFound; Conflict, when it is resolved, was replayed too often, or its run waits or
        runs already or has no time left.
        """
        async with changing(self._database) as change:
            letter = await _locked(change, id, tenant_id)
            if letter.replay_count >= MAX_REPLAYS:
                raise Conflict(field="dead_letter_id", problem=f"it was replayed {MAX_REPLAYS} times")
            this = (runs.c.id == letter.run_id, runs.c.status == "dead_lettered")
            moved = update(runs).where(*this).values(reopened(0.0))
            row = (await change.execute(moved.returning(runs.c.attempt, runs.c.deadline_at))).first()
            if row is None:
                raise Conflict(field="dead_letter_id", problem="its run is being replayed")
            if row.deadline_at is not None and row.deadline_at <= datetime.now(UTC):
                raise Conflict(field="dead_letter_id", problem="the deadline of its run has passed")
            counted = {"replay_count": _letter.replay_count + 1, "replayed_at": Now()}
            await change.execute(update(dead_letters).where(_letter.id == id).values(counted))
            data = {"dead_letter_id": id, "attempt": row.attempt}
            await append(change, letter.run_id, PendingEvent("reprocessed", data, DISPATCHER))
            change.topics.add(QUEUE)
            return str(letter.run_id)

    async def resolve(self, id: str, tenant_id: str, by: str) -> None:
        """Marks a dead letter as dealt with. Errors: DeadLetterNotFound, Conflict (it is resolved)."""
        async with changing(self._database) as change:
            await _locked(change, id, tenant_id)
            values = {"resolved_at": Now(), "resolved_by": by}
            await change.execute(update(dead_letters).where(_letter.id == id).values(values))

    async def purge(self, kept_s: float, tenant_id: str | None = None) -> int:
        """Deletes dead letters that were resolved so long ago, at most BATCH_SIZE; returns how many."""
        old = select(_letter.id).where(_letter.resolved_at <= Now(-kept_s)).limit(BATCH_SIZE)
        if tenant_id is not None:
            old = old.where(_letter.tenant_id == tenant_id)
        statement = delete(dead_letters).where(_letter.id.in_(old.with_for_update(skip_locked=True)))
        async with self._database.begin() as connection:
            return (await connection.execute(statement)).rowcount


async def _locked(change: Change, id: str, tenant_id: str) -> Any:
    """Row of an unresolved dead letter, which nobody else changes now. Errors: as of replay()."""
    row = (await change.execute(_own(id, tenant_id).with_for_update())).first()
    if row is None:
        raise DeadLetterNotFound(dead_letter=id)
    if row.resolved_at is not None:
        raise Conflict(field="dead_letter_id", problem="it is resolved")
    return row


def _own(id: str, tenant_id: str) -> Any:
    return select(dead_letters).where(_letter.id == id, _letter.tenant_id == tenant_id)


def _filters(request: pb.ListDeadLettersRequest, tenant_id: str) -> Sequence[ColumnElement[bool]]:
    found = [_letter.tenant_id == tenant_id]
    if not request.include_resolved:
        found.append(_letter.resolved_at.is_(None))
    if request.HasField("name"):
        found.append(_letter.name == f"genai.{request.name.removeprefix('genai.')}")
    return found


def _message(row: Any) -> pb.DeadLetter:
    letter = pb.DeadLetter(
        dead_letter_id=row["id"],
        run_id=row["run_id"],
        name=row["name"],
        replay_count=row["replay_count"],
        max_replays=MAX_REPLAYS,
        resolved_by=row["resolved_by"],
    )
    letter.error.ParseFromString(row["error"])
    letter.create_time.FromDatetime(row["created_at"])
    if row["replayed_at"] is not None:
        letter.replay_time.FromDatetime(row["replayed_at"])
    if row["resolved_at"] is not None:
        letter.resolve_time.FromDatetime(row["resolved_at"])
    return letter
