"""Items of batch runs, in their order: written with their run, read to be made, and ended many at a time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import and_, bindparam, case, func, insert, literal, null, select, update

from genai_spine.costs import cost_of, sum_costs
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.idempotency import paid_answers
from genai_spine.store.runs.events import DISPATCHER, Owner, PendingEvent, append
from genai_spine.store.runs.news import Change, changing
from genai_spine.store.runs.rows import parsed
from genai_spine.store.runs.tables import run_items, runs
from genai_spine.store.tables import executions
from genai_spine.v1 import batch_pb2, run_pb2
from genai_spine.v1.run_service_pb2 import ListRunItemsRequest
from genai_spine.v1.usage_pb2 import Cost

MAX_PAGE_BYTES = 2 << 20  # of the items of a page, since many clients take 4 MiB; one item is always there
MAX_IDS = 1000  # in one condition
ENDED = ("completed", "failed", "skipped")
COPIED = ("place", "item_id", "content_hash", "work")  # what an item is, whatever came of it

# They have no condition that an index of the status helps with: the primary key has the order.
_open = and_(*(run_items.c.status != status for status in ENDED))
_ended = (
    update(run_items)
    .where(run_items.c.run_id == bindparam("run"), run_items.c.place == bindparam("at_place"), _open)
    .values(
        {
            name: bindparam(f"new_{name}", type_=run_items.c[name].type)
            for name in ("status", "attempt", "response", "error", "execution_ids")
        }
        | {"ended_at": Now()}
    )
)
_begun = (
    update(run_items)
    .where(run_items.c.run_id == bindparam("run"), run_items.c.place == bindparam("at_place"), _open)
    .values(status="running", attempt=bindparam("new_attempt"))
)

_old = run_items.alias("old")
_reused = (
    update(run_items)
    .where(run_items.c.run_id == bindparam("run"), run_items.c.place == bindparam("at_place"))
    .values(
        status="completed",
        is_reused=True,
        ended_at=Now(),
        response=select(_old.c.response)
        .where(_old.c.run_id == bindparam("old_run"), _old.c.place == bindparam("old_place"))
        .scalar_subquery(),
    )
)


@dataclass(frozen=True, slots=True)
class SubmittedItems:
    """Items that a run is submitted with."""

    rows: Sequence[Mapping[str, Any]] = ()
    copied_from: str = ""  # id of a run whose items are taken with their answers, in the place of rows
    reused_from: str = ""  # id of a run whose answers to the same work are taken over


NO_ITEMS = SubmittedItems()


class PendingItem(NamedTuple):
    """Item that has not ended."""

    place: int
    item_id: str
    work: bytes
    attempt: int  # times that it was begun


@dataclass(frozen=True, slots=True)
class ItemEnd:
    """How an item ended."""

    place: int
    item_id: str
    status: str  # completed or failed
    attempt: int
    execution_ids: Sequence[str]
    response: bytes | None = None
    error: bytes | None = None


class BatchProgress(NamedTuple):
    """How far a batch is."""

    share: float
    message: str
    has_event: bool  # by an event


def step_of(place: int) -> str:
    """Step of an item, as the ledger's rows of its calls have it."""
    return f"item.{place}"


async def add_items(change: Change, run_id: str, items: SubmittedItems) -> list[PendingEvent]:
    """Writes a run's items; the events of those whose answers another run has."""
    if items.copied_from:
        await _copy(change, run_id, items.copied_from)
        completed = select(run_items.c.place, run_items.c.item_id).where(
            run_items.c.run_id == run_id, run_items.c.status == "completed"
        )
        reused = [(int(place), str(id)) for place, id in await change.execute(completed)]
    else:
        if items.rows:
            await change.execute(insert(run_items), [{"run_id": run_id, **row} for row in items.rows])
        reused = await _reuse(change, run_id, items) if items.reused_from else []
    return [
        PendingEvent("item_completed", _end_data(place, id, "completed") | {"is_reused": True}, DISPATCHER)
        for place, id in sorted(reused)
    ]


async def _copy(change: Change, run_id: str, copied_from: str) -> None:
    """Items of another run, with the answers that it has."""
    columns = run_items.c
    is_completed = columns.status == "completed"
    values = {
        **{name: columns[name] for name in COPIED},
        "run_id": literal(run_id),
        "status": case((is_completed, "completed"), else_="pending"),
        "is_reused": is_completed,
        "response": columns.response,
        "ended_at": case((is_completed, Now()), else_=null()),
        "execution_ids": literal([], columns.execution_ids.type),
    }
    query = select(*(value.label(name) for name, value in values.items()))
    query = query.where(columns.run_id == copied_from)
    await change.execute(insert(run_items).from_select(list(values), query))


async def _reuse(change: Change, run_id: str, items: SubmittedItems) -> list[tuple[int, str]]:
    """Takes over the answers to the same work; place and id of the items that got one.

    First those at the same place, all at once; the others one by one, since a join of both runs' hashes takes
    minutes where the database does not know yet how many rows there are.
    """
    columns = run_items.c
    completed = (_old.c.run_id == items.reused_from, _old.c.status == "completed")
    taken = await change.execute(
        update(run_items)
        .where(columns.run_id == run_id, *completed, _old.c.place == columns.place)
        .where(_old.c.content_hash == columns.content_hash)
        .values(status="completed", is_reused=True, response=_old.c.response, ended_at=Now())
        .returning(columns.place, columns.item_id)
    )
    reused = [(int(place), str(id)) for place, id in taken]
    done = {place for place, _ in reused}
    found = await change.execute(select(_old.c.content_hash, _old.c.place).where(*completed))
    places = {bytes(digest): place for digest, place in found}
    moved = [row for row in items.rows if row["place"] not in done and row["content_hash"] in places]
    if moved:
        rows = [{"at_place": row["place"], "old_place": places[row["content_hash"]]} for row in moved]
        keys = {"run": run_id, "old_run": items.reused_from}
        await change.execute(_reused, [{**keys, **row} for row in rows])
    return reused + [(row["place"], row["item_id"]) for row in moved]


class ItemRows:
    """Table of items."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def counts(self, run_id: str) -> batch_pb2.BatchCounts | None:
        """Items of a batch by how they stand; None: the run has none."""
        columns = run_items.c
        query = (
            select(columns.status, columns.is_reused, func.count())
            .where(columns.run_id == run_id)
            .group_by(columns.status, columns.is_reused)
        )
        async with self._database.connect() as connection:
            rows = (await connection.execute(query)).all()
        if not rows:
            return None
        counts = batch_pb2.BatchCounts()
        for status, is_reused, number in rows:
            setattr(counts, status, getattr(counts, status) + number)
            counts.total += number
            counts.reused += number if is_reused else 0
        return counts

    async def pending(self, run_id: str, after: int, limit: int) -> list[PendingItem]:
        """Items behind a place that have not ended, in their order."""
        columns = run_items.c
        query = (
            select(columns.place, columns.item_id, columns.work, columns.attempt)
            .where(columns.run_id == run_id, columns.place > after, _open)
            .order_by(columns.place)
            .limit(limit)
        )
        async with self._database.connect() as connection:
            return [PendingItem(*row) for row in await connection.execute(query)]

    async def calls(self, run_id: str) -> dict[str, list[str]]:
        """Ids of the ledger's rows of a run by their step: those of workers that ended too."""
        columns = executions.c
        query = (
            select(columns.step_id, columns.id)
            .where(columns.run_id == run_id, columns.step_id.is_not(None))
            .order_by(columns.created_at, columns.id)
        )
        found: dict[str, list[str]] = {}
        async with self._database.connect() as connection:
            for step_id, id in await connection.execute(query):
                found.setdefault(step_id, []).append(id)
        return found

    async def write(
        self,
        owner: Owner,
        ends: Sequence[ItemEnd],
        begun: Mapping[int, int],
        progress: BatchProgress,
        *,
        is_repeat: bool = False,
    ) -> bool:
        """Writes ends of items with their events and how far the run is, in one transaction.

        begun: items that run, by place, with the number of their attempt. is_repeat: of a write that may have
        been committed. False: the process does not make the run any more.
        """
        if is_repeat:
            ends = await self._still_open(owner.run_id, ends)
        events = [
            PendingEvent("item_completed", _end_data(end.place, end.item_id, end.status)) for end in ends
        ]
        if progress.has_event:
            events.append(PendingEvent("progress", {"progress": progress.share, "message": progress.message}))
        values: dict[str, Any] = {"progress": progress.share, "progress_message": progress.message}
        if ends:
            values["recoveries"] = 0  # deaths between which work was done are not the work's own fault
        async with changing(self._database) as change:
            held = await change.execute(update(runs).where(*owner.holds).values(values))
            if not held.rowcount:
                return False
            if begun:
                rows = [{"at_place": place, "new_attempt": number} for place, number in begun.items()]
                await change.execute(_begun, [{"run": owner.run_id, **row} for row in rows])
            if ends:
                await change.execute(_ended, [_values(owner.run_id, end) for end in ends])
                steps = [step_of(end.place) for end in ends]
                await paid_answers.forget(change, owner.run_id, of_steps=steps)
            await append(change, owner.run_id, *events)
        return True

    async def _still_open(self, run_id: str, ends: Sequence[ItemEnd]) -> list[ItemEnd]:
        places = [end.place for end in ends]
        query = select(run_items.c.place).where(
            run_items.c.run_id == run_id, run_items.c.place.in_(places), _open
        )
        async with self._database.connect() as connection:
            found = set((await connection.execute(query)).scalars())
        return [end for end in ends if end.place in found]

    async def page(
        self, request: ListRunItemsRequest, after: int, size: int, max_bytes: int = MAX_PAGE_BYTES
    ) -> tuple[list[batch_pb2.RunItem], bool]:
        """Items behind a place with their costs, and whether more follow.

        At most so many, and fewer where they are large.
        """
        columns = run_items.c
        lengths: Any = func.coalesce(func.length(columns.response), 0)
        if request.include_work:
            lengths += func.length(columns.work)
        wanted = [columns.run_id == request.run_id, columns.place > after]
        if request.HasField("status"):
            wanted.append(columns.status == request.status)
        sized = select(columns.place, lengths).where(*wanted).order_by(columns.place).limit(size + 1)
        async with self._database.connect() as connection:
            found = [(int(place), int(length)) for place, length in await connection.execute(sized)]
            taken = _within(found[:size], max_bytes)
            if not taken:
                return [], False
            query = select(run_items).where(*wanted, columns.place <= found[taken - 1][0])
            rows = (await connection.execute(query.order_by(columns.place))).mappings().all()
            costs = await self._costs(connection, rows)
        items = [_item(row, costs, with_work=request.include_work) for row in rows]
        return items, len(found) > taken

    async def _costs(self, connection: Any, rows: Iterable[Any]) -> dict[str, Cost]:
        """Costs of the calls of items, by the id of the ledger's row."""
        columns = executions.c
        ids = [id for row in rows for id in row["execution_ids"] or ()]
        found: dict[str, Cost] = {}
        for start in range(0, len(ids), MAX_IDS):
            query = select(columns.id, columns.cost_ticks, columns.price_known, columns.is_free)
            part = query.where(columns.id.in_(ids[start : start + MAX_IDS]))
            for id, ticks, is_known, is_free in await connection.execute(part):
                found[id] = cost_of(int(ticks), price_known=is_known, is_free=is_free)
        return found


def _end_data(place: int, item_id: str, status: str) -> dict[str, Any]:
    return {"index": place, "item_id": item_id, "status": status}


def _values(run_id: str, end: ItemEnd) -> dict[str, Any]:
    return {
        "run": run_id,
        "at_place": end.place,
        "new_status": end.status,
        "new_attempt": end.attempt,
        "new_response": end.response,
        "new_error": end.error,
        "new_execution_ids": list(end.execution_ids),
    }


def _within(found: Sequence[tuple[int, int]], max_bytes: int) -> int:
    """How many of these items, by place and length, make a page."""
    total = 0
    for number, (_, length) in enumerate(found):
        total += length
        if total > max_bytes and number:
            return number
    return len(found)


def _item(row: Any, costs: Mapping[str, Cost], *, with_work: bool) -> batch_pb2.RunItem:
    item = batch_pb2.RunItem(
        index=row["place"],
        item_id=row["item_id"],
        status=row["status"],
        attempt=row["attempt"],
        is_reused=row["is_reused"],
    )
    if with_work:
        item.work.ParseFromString(row["work"])
    if row["response"] is not None:
        item.response.ParseFromString(row["response"])
    if (error := parsed(run_pb2.RunError, row["error"])) is not None:
        item.error_type, item.error = error.type, error.message
    if row["ended_at"] is not None:
        item.end_time.FromDatetime(row["ended_at"])
    paid = [costs[id] for id in row["execution_ids"] or () if id in costs]
    item.cost.CopyFrom(sum_costs(paid) if paid else cost_of(0))
    return item
