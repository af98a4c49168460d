"""Runs: submitted once an idempotency key, found, and listed."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.call import Principal, uuid7
from genai_spine.store.budgets.messages import run_budget_row
from genai_spine.store.budgets.run_holds import RunHold
from genai_spine.store.database import Database
from genai_spine.store.newest_first import PageEnd, behind
from genai_spine.store.runs.events import DISPATCHER, PendingEvent, append, event_row, write_rows
from genai_spine.store.runs.items import NO_ITEMS, ItemRows, SubmittedItems, add_items
from genai_spine.store.runs.news import QUEUE, Change
from genai_spine.store.runs.plain.commits import RunCommits, Submission
from genai_spine.store.runs.rows import LISTED, WHOLE, moment, parsed, row_of, run_of
from genai_spine.store.runs.tables import PRIORITIES, runs
from genai_spine.store.tables import budgets
from genai_spine.v1 import batch_pb2
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1.budget_pb2 import Budget
from genai_spine.v1.key_service_pb2 import KeyPermissions
from genai_spine.v1.run_service_pb2 import ListRunsRequest

FILTERS = ("kind", "status", "lane", "parent_run_id", "correlation_id", "idempotency_key", "schedule_id")


class Submitter(NamedTuple):
    """On whose behalf a run is made, beside what its message says."""

    api_key_id: str | None = None
    permissions: KeyPermissions | None = None  # of that key when the run was submitted; None: all
    has_budget: bool = False  # the run has a budget of its own
    hold: RunHold | None = None  # to be reserved with the run

    @property
    def columns(self) -> dict[str, Any]:
        """Columns that hold it."""
        permissions = None if self.permissions is None else self.permissions.SerializeToString()
        return {"api_key_id": self.api_key_id, "permissions": permissions}


def submitter_of(principal: Principal) -> Submitter:
    """Submitter of a principal's own runs."""
    return Submitter(principal.key_id, principal.permissions)


def submitter_of_row(row: Any, has_budget: bool) -> Submitter:
    """Submitter of a run's row. has_budget: by with_budgets()."""
    return Submitter(row["api_key_id"], parsed(KeyPermissions, row["permissions"]), has_budget)


async def with_budgets(connection: Change | AsyncConnection, run_ids: Sequence[str]) -> set[str]:
    """Of some runs, those that have a budget of their own."""
    columns = budgets.c
    query = select(columns.node_key).where(columns.node == "RUN", columns.node_key.in_(run_ids))
    return set((await connection.execute(query)).scalars())


class KeyTaken(Exception):
    """A run of the tenant has the idempotency key."""

    def __init__(self, run_id: str, request_hash: bytes) -> None:
        super().__init__(run_id)
        self.run_id, self.request_hash = run_id, request_hash


class RunRows:
    """Table of runs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._commits = RunCommits.of(database)

    async def add(
        self,
        change: Change,
        run: pb.Run,
        fields: Mapping[str, Any],
        items: SubmittedItems = NO_ITEMS,
        budget: Budget | None = None,
    ) -> None:
        """Writes a run with its first events, its items and its own budget. Raises KeyTaken.

        fields: columns that no message has. A failed run that it repeats is told of it in its log.
        """
        first = _first_events(run)
        row = {**row_of(run), **fields, "last_sequence": len(first)}
        result = await change.execute(self._database.insert_once(runs, row))
        if not result.rowcount:
            key = (runs.c.tenant_id == run.tenant_id, runs.c.idempotency_key == run.idempotency_key)
            found = await change.execute(select(runs.c.id, runs.c.request_hash).where(*key))
            raise KeyTaken(*found.one())
        await write_rows(change, first, {run.run_id: row["options"]})
        if reused := await add_items(change, run.run_id, items):
            await append(change, run.run_id, *reused)
        if budget is not None:
            await change.execute(insert(budgets).values(run_budget_row(budget)))
        if run.HasField("retry_of_run_id"):
            told = PendingEvent("retried", {"new_run_id": run.run_id}, DISPATCHER)
            await append(change, run.retry_of_run_id, told)
        if run.status == "queued":
            change.topics.add(QUEUE)

    async def add_plain(self, run: pb.Run, fields: Mapping[str, Any]) -> None:
        """The same of a run that is_plain(), in a transaction with others. Raises KeyTaken."""
        events = _first_events(run)
        row = {**row_of(run), **fields, "last_sequence": len(events)}
        if not await self._commits.submit(Submission(row, events)):
            found = await self.with_key(run.tenant_id, run.idempotency_key)
            assert found is not None  # runs are deleted long after their end
            raise KeyTaken(*found)

    async def get(self, run_id: str, tenant_id: str | None = None) -> pb.Run | None:
        """Run by id, with its work and answer; tenant_id: None: of any tenant."""
        query = WHOLE.where(runs.c.id == run_id)
        if tenant_id is not None:
            query = query.where(runs.c.tenant_id == tenant_id)
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else run_of(row)

    async def with_submitter(self, run_id: str) -> tuple[pb.Run, Submitter] | None:
        """Run by id, and on whose behalf it is made."""
        query = select(runs).where(runs.c.id == run_id)
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().first()
            limited = await with_budgets(connection, [run_id])
        return None if row is None else (run_of(row), submitter_of_row(row, bool(limited)))

    async def submitter(self, run_id: str) -> Submitter | None:
        """Submitter of a run; None: there is no such run."""
        found = await self.with_submitter(run_id)
        return None if found is None else found[1]

    async def above(self, run_id: str) -> list[str]:
        """Ids of a run's parent, of the parent of that, and so on."""
        parent = runs.c.parent_run_id
        up = select(parent.label("id")).where(runs.c.id == run_id, parent.is_not(None))
        above = up.cte("above", recursive=True)
        above = above.union(select(parent).join(above, runs.c.id == above.c.id).where(parent.is_not(None)))
        async with self._database.connect() as connection:
            return list((await connection.execute(select(above.c.id))).scalars())

    async def with_key(self, tenant_id: str, idempotency_key: str) -> tuple[str, bytes] | None:
        """Id and request hash of the run that has a tenant's idempotency key."""
        key = (runs.c.tenant_id == tenant_id, runs.c.idempotency_key == idempotency_key)
        async with self._database.connect() as connection:
            row = (await connection.execute(select(runs.c.id, runs.c.request_hash).where(*key))).first()
        return None if row is None else (row.id, row.request_hash)

    async def has_ended(self, run_id: str) -> bool:
        """Whether a run has ended with no retry to follow, or is there no more."""
        query = select(runs.c.ended_at).where(runs.c.id == run_id)
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).first()
        return row is None or row.ended_at is not None

    async def page(
        self, request: ListRunsRequest, tenant_id: str, place: PageEnd | None, size: int
    ) -> list[pb.Run]:
        """Runs of a list, the newest first, one more than a page holds where there are more."""
        query = (
            select(*LISTED)
            .where(*_filters(request, tenant_id), *behind(place, runs.c.created_at, runs.c.id))
            .order_by(runs.c.created_at.desc(), runs.c.id.desc())
            .limit(size + 1)
            .offset(request.offset)
        )
        async with self._database.connect() as connection:
            return [run_of(row) for row in (await connection.execute(query)).mappings()]

    async def count(self, request: ListRunsRequest, tenant_id: str) -> int:
        """Number of runs that a list is about."""
        query = select(func.count()).select_from(runs).where(*_filters(request, tenant_id))
        async with self._database.connect() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def children(self, run_id: str, after: str, size: int) -> list[pb.Run]:
        """Children of a run behind one of them, the oldest first, one more than a page holds."""
        query = (
            select(*LISTED)
            .where(runs.c.parent_run_id == run_id, runs.c.id > after)
            .order_by(runs.c.id)
            .limit(size + 1)
        )
        async with self._database.connect() as connection:
            return [run_of(row) for row in (await connection.execute(query)).mappings()]

    async def open_children(self, run_id: str) -> list[str]:
        """Ids of all runs below one that have not ended, whatever their depth."""
        below = select(runs.c.id).where(runs.c.parent_run_id == run_id).cte("below", recursive=True)
        below = below.union(select(runs.c.id).join(below, runs.c.parent_run_id == below.c.id))
        query = select(runs.c.id).join(below, below.c.id == runs.c.id).where(runs.c.ended_at.is_(None))
        async with self._database.connect() as connection:
            return list((await connection.execute(query)).scalars())

    async def item_counts(self, run_id: str) -> batch_pb2.BatchCounts | None:
        """Items of a batch by how they stand; None: the run has none."""
        return await ItemRows(self._database).counts(run_id)


def is_plain(run: pb.Run, items: SubmittedItems) -> bool:
    """Whether a new run is no more than its row and its first events."""
    options = run.options
    has_more = options.HasField("webhook") or options.HasField("budget_limit_usd")
    return items == NO_ITEMS and not has_more and not run.HasField("retry_of_run_id")


def _first_events(run: pb.Run) -> list[dict[str, Any]]:
    """Rows of the events that a new run begins with."""
    events = [PendingEvent("created", {"kind": run.kind, "name": run.name}, DISPATCHER)]
    if run.status == "queued":
        events.append(PendingEvent("queued", {"external_ref": f"{run.run_id}.{run.attempt}"}, DISPATCHER))
    return [event_row(run.run_id, number, event) for number, event in enumerate(events, 1)]


def new_run_id() -> str:
    """UUID of a run that is submitted now."""
    return uuid7()


def _filters(request: ListRunsRequest, tenant_id: str) -> list[ColumnElement[bool]]:
    columns = runs.c
    found = [columns.tenant_id == tenant_id]
    found += [columns[name] == getattr(request, name) for name in FILTERS if request.HasField(name)]
    if request.HasField("priority"):
        found.append(columns.priority == PRIORITIES.index(request.priority))
    if request.HasField("name"):
        found.append(columns.name == f"genai.{request.name.removeprefix('genai.')}")
    if (since := moment(request, "start_time")) is not None:
        found.append(columns.created_at >= since)
    if (until := moment(request, "end_time")) is not None:
        found.append(columns.created_at < until)
    if request.HasField("metadata_json"):
        wanted = json.loads(request.metadata_json)
        found += [columns.metadata[name].as_string() == str(value) for name, value in wanted.items()]
    return found
