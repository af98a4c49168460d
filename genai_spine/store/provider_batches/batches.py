"""Batches of providers that items of runs were sent in: how far each is, and the calls that it consists of.

A row comes before anything that it stands for: before the intents of its calls, and before the provider hears
of it. So whoever takes over knows what there may be at the provider, and asks before it sends anything again.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from genai_spine.call import uuid7
from genai_spine.store.booking.execution_rows import execution_of
from genai_spine.store.database import Database, Now
from genai_spine.store.runs.events import Owner, PendingEvent, append
from genai_spine.store.runs.items import ENDED as ITEM_ENDED
from genai_spine.store.runs.items import ItemEnd, PendingItem
from genai_spine.store.runs.news import Change, changing
from genai_spine.store.runs.tables import provider_batches, run_items, runs
from genai_spine.store.tables import executions
from genai_spine.v1.execution_pb2 import Execution

PREPARING, SENDING, SENT, ENDED, DROPPED = "preparing", "sending", "sent", "ended", "dropped"
LATE = "late"  # it was dropped, and showed at its provider all the same
CALL = "batch"  # operation of the ledger's rows of such calls
SOUGHT_S = 26 * 3600.0  # a provider's batch has ended by then, and what it cost can be read
AT_ONCE = 50  # batches of runs that have ended, of one look

columns = provider_batches.c
_is_open = columns.state.not_in((ENDED, DROPPED, LATE))


class SentBatch(NamedTuple):
    """One batch of a provider, as the database has it."""

    id: str
    run_id: str
    provider: str
    model: str
    path: str
    state: str
    item_count: int
    batch_id: str | None  # the provider's; None: not known, or not there
    age_s: float  # since it began to be put together
    quiet_s: float  # since it was last told to the provider, as far as anybody knows


class ItemWorks(NamedTuple):
    """Item of a batch run, and whether it still has no end."""

    item: PendingItem
    is_open: bool


class ProviderBatchRows:
    """Table of providers' batches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, owner: Owner, provider: str, model: str, path: str) -> str | None:
        """Id of a new one that is being prepared; None: the process does not make the run any more."""
        id = uuid7()
        part = select(func.count() + 1).where(columns.run_id == owner.run_id).scalar_subquery()
        values = {"id": id, "run_id": owner.run_id, "part": part, "provider": provider, "model": model}
        values |= {"path": path, "state": PREPARING, "created_at": Now(), "looked_at": Now()}
        async with changing(self._database) as change:
            if not await _holds(change, owner):
                return None
            await change.execute(insert(provider_batches).values(values))
        return id

    async def begin_sending(self, owner: Owner, id: str, item_count: int) -> bool:
        """preparing to sending; False: the process does not make the run any more."""
        values = {"state": SENDING, "item_count": item_count, "sent_at": Now(), "looked_at": Now()}
        async with changing(self._database) as change:
            if not await _holds(change, owner):
                return False
            moved = await change.execute(_of(id, PREPARING).values(values))
            return bool(moved.rowcount)

    async def may_be_made(self, id: str) -> None:
        """Says that one that is being sent may have come to be at its provider until now."""
        async with self._database.begin_write() as connection:
            await connection.execute(_of(id, SENDING).values(sent_at=Now()))

    async def was_refused(self, id: str) -> None:
        """Says that one that is being sent surely did not come to be."""
        async with self._database.begin_write() as connection:
            await connection.execute(_of(id, SENDING).values(sent_at=None))

    async def sent(self, id: str, batch_id: str, event: PendingEvent, owner: Owner | None = None) -> bool:
        """sending to sent, with the provider's id of it; False: it is dropped, or that batch is another's."""
        try:
            async with changing(self._database) as change:
                moved = await change.execute(_of(id, SENDING).values(state=SENT, batch_id=batch_id))
                if moved.rowcount and owner is not None and await _holds(change, owner):
                    await append(change, owner.run_id, event)
                return bool(moved.rowcount)
        except IntegrityError:
            return False

    async def end(
        self, id: str, state: str, event: PendingEvent | None = None, owner: Owner | None = None
    ) -> None:
        """Last move of one. state: ended or dropped."""
        async with changing(self._database) as change:
            this = update(provider_batches).where(columns.id == id, _is_open)
            moved = await change.execute(this.values(state=state))
            if moved.rowcount and event is not None and owner is not None and await _holds(change, owner):
                await append(change, owner.run_id, event)

    async def claim(self, id: str, older_s: float) -> bool:
        """Claims the next look at one, where nobody else has looked for so long."""
        this = update(provider_batches).where(columns.id == id, columns.looked_at <= Now(-older_s))
        async with self._database.begin_write() as connection:
            return bool((await connection.execute(this.values(looked_at=Now()))).rowcount)

    async def open_of(self, run_id: str) -> list[SentBatch]:
        """Batches of a run that are not done with, in their order."""
        return await self._found(columns.run_id == run_id)

    async def of_ended_runs(self) -> list[SentBatch]:
        """Batches that are not done with although their run has ended, at most AT_ONCE."""
        return await self._found(exists().where(runs.c.id == columns.run_id, runs.c.ended_at.is_not(None)))

    async def abandoned(self, older_s: float) -> list[SentBatch]:
        """Batches that were sent and given up, unless somebody has just looked for them."""
        abandoned = (columns.state == DROPPED, columns.sent_at > Now(-SOUGHT_S), columns.batch_id.is_(None))
        return await self._of_state(*abandoned, columns.looked_at <= Now(-older_s))

    async def late(self) -> list[SentBatch]:
        """Batches that showed after they were given up, and whose cost is not booked yet."""
        return await self._of_state(columns.state == LATE)

    async def is_known(self, provider: str, batch_id: str) -> bool:
        """Whether a provider's batch is one of these."""
        query = select(columns.id).where(columns.provider == provider, columns.batch_id == batch_id)
        async with self._database.connect() as connection:
            return (await connection.execute(query)).first() is not None

    async def is_of_run(self, provider: str, batch_id: str, keys: Iterable[str]) -> bool:
        """Whether a provider's batch has items of a run. keys: what it may be labelled with there."""
        this = or_(columns.batch_id == batch_id, columns.id.in_([*keys]))
        query = select(columns.id).where(columns.provider == provider, this)
        async with self._database.connect() as connection:
            return (await connection.execute(query.limit(1))).first() is not None

    async def calls(self, id: str) -> dict[str, Execution]:
        """Calls of one, by the ids of the ledger's rows."""
        query = select(executions).where(executions.c.request_id == id, executions.c.operation == CALL)
        async with self._database.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return {row["id"]: execution_of(row) for row in rows}

    async def steps(self, run_id: str) -> set[str]:
        """Steps of a run that were in some batch: none of them is sent in another one."""
        was_made = columns.state.not_in((DROPPED, LATE))
        query = (
            select(executions.c.step_id)
            .where(executions.c.run_id == run_id, executions.c.operation == CALL)
            .where(exists().where(columns.id == executions.c.request_id, was_made))
        )
        async with self._database.connect() as connection:
            return set((await connection.execute(query)).scalars())

    async def items(self, run_id: str, places: Sequence[int]) -> dict[int, ItemWorks]:
        """Items of a run by their places."""
        item = run_items.c
        query = select(item.place, item.item_id, item.work, item.attempt, item.status).where(
            item.run_id == run_id, item.place.in_(places)
        )
        async with self._database.connect() as connection:
            rows = (await connection.execute(query)).all()
        return {
            place: ItemWorks(PendingItem(place, id, work, attempt), status not in ITEM_ENDED)
            for place, id, work, attempt, status in rows
        }

    async def answer(self, run_id: str, end: ItemEnd) -> None:
        """Writes the answer to an item that has no end, of a run that nobody makes now."""
        item = run_items.c
        rests = exists().where(runs.c.id == run_id, runs.c.ended_at.is_not(None))
        this = update(run_items).where(item.run_id == run_id, item.place == end.place, rests)
        values: dict[str, Any] = {
            "status": end.status,
            "response": end.response,
            "attempt": end.attempt,
            "ended_at": Now(),
        }
        values["execution_ids"] = list(end.execution_ids)
        async with changing(self._database) as change:
            await change.execute(this.where(item.status.not_in(ITEM_ENDED)).values(values))

    async def found_late(self, id: str, batch_id: str) -> bool:
        """dropped to late, with the provider's id of it; False: it was found before, or is another's."""
        try:
            async with self._database.begin_write() as connection:
                unfound = _of(id, DROPPED).where(columns.batch_id.is_(None))
                moved = await connection.execute(unfound.values(state=LATE, batch_id=batch_id))
                return bool(moved.rowcount)
        except IntegrityError:
            return False

    async def booked_late(self, id: str) -> None:
        """late to dropped, once all that it cost is on the books; it keeps the provider's id."""
        async with self._database.begin_write() as connection:
            await connection.execute(_of(id, LATE).values(state=DROPPED))

    async def _found(self, *conditions: object) -> list[SentBatch]:
        return await self._of_state(_is_open, *conditions)

    async def _of_state(self, *conditions: object) -> list[SentBatch]:
        query = (
            select(provider_batches, Now().label("now"))
            .where(*conditions)  # type: ignore[arg-type]
            .order_by(columns.run_id, columns.part)
            .limit(AT_ONCE)
        )
        async with self._database.glance() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [
            SentBatch(
                **{name: row[name] for name in SentBatch._fields if not name.endswith("_s")},
                age_s=(row["now"] - row["created_at"]).total_seconds(),
                quiet_s=(row["now"] - (row["sent_at"] or row["created_at"])).total_seconds(),
            )
            for row in rows
        ]


async def _holds(change: Change, owner: Owner) -> bool:
    """Whether the process makes the run; its row stays as it is until the end of the transaction."""
    held = select(runs.c.id).where(*owner.holds).with_for_update()
    return (await change.execute(held)).first() is not None


def _of(id: str, state: str):  # type: ignore[no-untyped-def]  # SQLAlchemy's own
    return update(provider_batches).where(columns.id == id, columns.state == state)
