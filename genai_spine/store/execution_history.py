"""Execution history in pages, the newest first.

Every page is bounded: the tenant, and one filter with an index of its own, choose the rows, and the other
filters look at the newest MAX_SCANNED_ROWS of those. Rows further back are on later pages.
"""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, literal_column, select

from genai_spine.store.booking.execution_rows import execution_of
from genai_spine.store.database import Database
from genai_spine.store.newest_first import PageEnd, behind
from genai_spine.store.tables import executions
from genai_spine.v1 import execution_pb2
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.execution_service_pb2 import ListExecutionsRequest

MAX_SCANNED_ROWS = 10_000  # rows
UNINDEXED_FILTERS = ("provider", "model", "capability")  # filters without an index
UNSUCCESSFUL = {"FAILED", "CANCELLED", "LOST"}


class Page(NamedTuple):
    """Page of executions. end: None on the last one."""

    executions: list[Execution]
    end: PageEnd | None  # None: it was the last one


class ExecutionHistory:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, request: ListExecutionsRequest, tenant: str, limit: int, after: PageEnd | None
    ) -> Page:
        """Page of a tenant's rows by a request's filters.

        after: end of the page before; None: from the newest row on.
        """
        chosen, others = _filters(request)
        chosen += [executions.c.tenant_id == tenant, *_times(request, after)]
        newest = (executions.c.created_at.desc(), executions.c.id.desc())
        bound: datetime | None = None
        async with self._database.connect() as connection:
            if others:
                reach = select(executions.c.created_at).where(*chosen).order_by(newest[0])
                bound = (
                    await connection.execute(reach.offset(MAX_SCANNED_ROWS - 1).limit(1))
                ).scalar_one_or_none()
                if bound is not None:
                    others.append(executions.c.created_at >= bound)
            query = select(executions).where(*chosen, *others).order_by(*newest).limit(limit + 1)
            rows = (await connection.execute(query)).mappings().all()
        found = [execution_of(row) for row in rows[:limit]]
        if len(rows) > limit:
            return Page(found, PageEnd(rows[limit - 1]["created_at"], rows[limit - 1]["id"]))
        return Page(found, None if bound is None else PageEnd(bound, ""))


def _filters(request: ListExecutionsRequest) -> tuple[list[ColumnElement[bool]], list[ColumnElement[bool]]]:
    """Filters that choose rows by an index, at most one, and the others."""
    by_index = [
        column == value.replace("\0", "")
        for column, value in (
            (executions.c.request_id, request.request_id),
            (executions.c.session_id, request.session_id),
            (executions.c.prompt_id, request.prompt_id),
            (executions.c.user_id, request.end_user),
            (executions.c.run_id, request.run_id),
            (executions.c.correlation_id, request.correlation_id),
        )
        if value
    ]
    columns: Any = executions.c
    others = [
        columns[name] == getattr(request, name).replace("\0", "")
        for name in UNINDEXED_FILTERS
        if getattr(request, name)
    ]
    names = map(execution_pb2.ExecutionState.Name, request.states)
    states = {name.removeprefix("EXECUTION_STATE_") for name in names}
    if states and states != UNSUCCESSFUL:
        others.append(executions.c.state.in_(sorted(states)))
    if states and states <= UNSUCCESSFUL:
        # A literal, because a partial index serves no placeholder.
        by_index.append(executions.c.success == literal_column("false"))
    for label in request.labels:
        key, _, value = label.partition("=")
        others.append(executions.c.cost_labels[key].as_string() == value.replace("\0", "\ufffd"))
    return by_index[:1], [*by_index[1:], *others]


def _times(request: ListExecutionsRequest, after: PageEnd | None) -> list[ColumnElement[bool]]:
    created_at, id = executions.c.created_at, executions.c.id
    found: list[ColumnElement[bool]] = []
    if request.HasField("start_time"):
        found.append(created_at >= request.start_time.ToDatetime(UTC))
    if request.HasField("end_time"):
        found.append(created_at < request.end_time.ToDatetime(UTC))
    return found + behind(after, created_at, id)
