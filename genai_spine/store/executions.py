"""Executions: the only SQL of the ledger's rows, and the only mapping of a row to a message."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import Any

from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import (
    ColumnElement,
    RowMapping,
    case,
    exists,
    func,
    literal,
    select,
    text,
    tuple_,
)

from genai_spine.costs import TICKS_PER_USD, cost_of, usd_of
from genai_spine.store.booking import postgresql, rate_statements, sqlite
from genai_spine.store.booking.chain import FIXED, JSON_COLUMNS, PLACE, Chain, Head
from genai_spine.store.booking.entries import Entry, Outcome
from genai_spine.store.booking.ledger_chain import Correction, LedgerChain
from genai_spine.store.booking.rates import RateReservation
from genai_spine.store.booking.sealing import Sealing
from genai_spine.store.booking.writers import RowsRefused
from genai_spine.store.database import Database, Now, Utc
from genai_spine.store.tables import executions, leases
from genai_spine.v1 import usage_pb2
from genai_spine.v1.execution_pb2 import (
    EXECUTION_STATE_LOST,
    EXECUTION_STATE_PENDING,
    LOSS_RESOLUTION_RESERVE,
    Execution,
    ExecutionState,
    LossResolution,
)
from genai_spine.v1.lane_pb2 import Lane
from genai_spine.v1.operation_pb2 import Operation

MAX_NAME_CHARS = 500  # characters; PostgreSQL refuses an index entry of more than about 2,700 bytes
MAX_TEXT_CHARS = 20_000
SWEEP_ROWS = 500  # at a time
LOST_ERROR = "the server process ended during the call; what was used is not known"

# Column -> field of Execution.
_TEXTS = {
    "id": "id",
    "request_id": "request_id",
    "provider": "provider",
    "model": "model",
    "requested_model": "requested_model",
    "caller": "user_agent",
    "server_id": "server_id",
    "tenant_id": "tenant_id",
}
_OPTIONAL_TEXTS = {  # unset or empty: NULL
    "capability": "capability",
    "error_reason": "error_reason",
    "error": "error",
    "user_id": "end_user",
    "provider_response_id": "provider_response_id",
    "answered_model": "answered_model",
    "service_tier": "service_tier",
    "speed": "speed",
    "inference_geo": "inference_geo",
    "prompt_id": "prompt_id",
    "variables_hash": "variables_hash",
    "session_id": "session_id",
    "metadata_json": "metadata_json",
    "principal": "principal",
    "project_id": "project_id",
    "api_key_id": "api_key_id",
    "run_id": "run_id",
    "step_id": "step_id",
    "correlation_id": "correlation_id",
    "usage_json": "usage_json",
}
_NUMBERS = {"attempt": "attempt", "streamed": "streamed", "latency_ms": "latency_ms", "wasted": "discarded"}
_COST = ("cost_ticks", "price_known", "is_free", "price_book")
_USAGE = tuple(  # every count of Usage has a column of its name
    field.name
    for field in usage_pb2.Usage.DESCRIPTOR.fields
    if field.cpp_type == field.CPPTYPE_UINT32 and field.name != "total_tokens"
)
_UNITS = tuple(
    field.name for field in usage_pb2.UnitUsage.DESCRIPTOR.fields if field.cpp_type == field.CPPTYPE_UINT32
)
_DERIVED = (
    "operation",
    "lane",
    "prompt_version",
    "cost_labels",
    "warnings",
    "server_tools",
    "est_ticks",
    "held_ticks",
    "counters",
    "resolution",
    "first_token_ms",
    "state",
    "success",
    "input_provenance",
    "output_provenance",
    "cost_usd",
    "created_at",
    "settled_at",
)
_COLUMNS = (*_TEXTS, *_OPTIONAL_TEXTS, *_NUMBERS, *_COST, *_USAGE, *_UNITS, *_DERIVED)
# A settlement that comes after all for a call that was given up says so.
_LATE = "resolution = CASE WHEN executions.state = 'LOST' THEN 'LATE' ELSE excluded.resolution END"

_texts = attrgetter(*_TEXTS.values())
_optional_texts = attrgetter(*_OPTIONAL_TEXTS.values())
_numbers = attrgetter(*_NUMBERS.values())
_cost = attrgetter(*_COST)
_usage = attrgetter(*_USAGE)
_units = attrgetter(*_UNITS)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OPERATIONS = {number: name.removeprefix("OPERATION_").lower() for name, number in Operation.items()}
_LANES = {number: name.removeprefix("LANE_").lower() for name, number in Lane.items()}
_STATES = {number: name.removeprefix("EXECUTION_STATE_") for name, number in ExecutionState.items()}
# Text of a column -> number; a text that this version does not know is left unset.
_OPERATION_NUMBERS: dict[str, Any] = {name: number for number, name in _OPERATIONS.items()}
_LANE_NUMBERS: dict[str, Any] = {name: number for number, name in _LANES.items()}
_PROVENANCES = {
    number: name.removeprefix("PROVENANCE_") for name, number in usage_pb2.Provenance.items() if number
}
_RESOLUTIONS = {
    number: name.removeprefix("LOSS_RESOLUTION_") for name, number in LossResolution.items() if number
}
_RESOLUTION_NUMBERS: dict[str, Any] = {name: number for number, name in _RESOLUTIONS.items()}
_SUCCESS = {"PENDING": None, "SUCCEEDED": True}  # every other state: False


@dataclass(frozen=True, slots=True)
class Booking:
    """Row to be booked, and how."""

    execution: Execution
    is_guarded: bool = False  # an intent that is refused where a budget that blocks has no room
    is_repeated: bool = False  # it may be written already
    is_recorded: bool = False  # of a settlement: its intent is written
    is_loss: bool = False  # of the call of a dead process
    rates: RateReservation | None = None  # of an intent: what it takes of rate limits
    ends_rates: bool = False  # a settlement whose intent had a reservation


@dataclass(frozen=True, slots=True)
class Scope:
    """Settled rows with known usage, made in [start, end) and priced by another book than this one."""

    start: datetime
    end: datetime
    not_by_book: str
    provider: str | None = None  # None: all


class Executions:
    def __init__(self, database: Database, chain: Chain | None = None) -> None:
        """chain: of this process, which lists what is written; None: there is no key for it."""
        self._database = database
        self._sealing = None if chain is None else Sealing(chain, _COLUMNS)
        self.chain = LedgerChain(database, self._sealing)
        # Whether what is written may be lost until flush() returns.
        self.needs_flush = database.dialect == "postgresql"
        is_sqlite = database.dialect == "sqlite"
        self._counters: Callable[[Sequence[int]], Any] = _json_list if is_sqlite else list
        # A late settlement beats LOST, for real numbers beat unknown ones; nothing beats a settlement.
        columns = (*_COLUMNS, *PLACE) if chain else _COLUMNS
        fixed = FIXED | {"resolution", "intent_seq"}
        changed = [name for name in columns if name not in fixed]
        self._upsert = (
            f"INSERT INTO executions ({', '.join(columns)}) VALUES {{values}}"
            " ON CONFLICT (id) DO UPDATE SET "
            + ", ".join([*(f"{name} = excluded.{name}" for name in changed), _LATE])
            + " WHERE executions.state = 'PENDING'"
            " OR (executions.state = 'LOST' AND excluded.state NOT IN ('PENDING', 'LOST'))"
        )
        self._postgresql = postgresql.Booking(columns, self._upsert, JSON_COLUMNS, self._sealing)

    async def save(self, rows: Sequence[Execution]) -> None:
        """Writes intents and settlements that no budget counts, in one transaction; saving one again changes
        nothing.

        Raises RowsRefused when a row cannot be stored at all, otherwise what the
        driver raises; nothing is written then.
        """
        if self._sealing is not None:
            await self.book([Booking(row, is_repeated=True) for row in rows])
            return
        values = self._values(rows)
        if values:
            job = partial(
                self._database.write,
                lambda connection: sqlite.upsert(connection, self._upsert, values),
                lambda connection: self._postgresql.upsert(connection, values),
                len(values),
                atomic=len(values) > 1,
            )
            await self.chain.alone(job)

    async def book(self, bookings: "Sequence[Booking]") -> Outcome:
        """Writes intents and settlements and charges their budgets' counters; no row stands twice in it.

        What is written is atomic by batch on SQLite, and on PostgreSQL for settlements
        and for intents. Errors: as save().
        """
        values = self._values([booking.execution for booking in bookings])
        entries = [
            Entry(
                id=booking.execution.id,
                server_id=booking.execution.server_id,
                values=row,
                is_intent=(is_intent := booking.execution.state == EXECUTION_STATE_PENDING),
                ticks=_held(booking.execution) if is_intent else booking.execution.cost.cost_ticks,
                counters=booking.execution.budget_counters,
                is_guarded=booking.is_guarded,
                is_repeated=booking.is_repeated,
                is_recorded=booking.is_recorded,
                is_loss=booking.is_loss,
                rates=booking.rates if is_intent else None,
                used_tokens=_tokens(booking.execution) if booking.ends_rates else None,
            )
            for booking, row in zip(bookings, values, strict=True)
        ]
        job = partial(
            self._database.write,
            lambda connection: sqlite.book(connection, self._upsert, entries, self._sealing),
            lambda connection: self._postgresql.book(connection, entries),
            len(entries),
        )
        outcome = await self.chain.alone(job)
        if not self.needs_flush:
            self._remember_flushed(self._head)
        return outcome

    async def flush(self) -> None:
        """Returns when what was written survives a crash of the database. Raises when that is not known."""
        head = self._head
        await self._database.flush()
        self._remember_flushed(head)

    @property
    def _head(self) -> Head | None:
        return None if self._sealing is None else self._sealing.chain.head

    def _remember_flushed(self, head: Head | None) -> None:
        if self._sealing is not None and head is not None:
            self._sealing.chain.flushed(head.seq)

    async def next_attempt(self, request_id: str) -> int:
        """First number that no attempt of the request has."""
        query = select(func.max(executions.c.attempt)).where(executions.c.request_id == request_id)
        async with self._database.connect() as connection:
            return int((await connection.execute(query)).scalar_one() or 0) + 1

    async def get(self, id: str, tenant: str) -> Execution | None:
        """Execution by id; None: the tenant has no such row."""
        query = select(executions).where(executions.c.id == id, executions.c.tenant_id == tenant)
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        return None if row is None else execution_of(row)

    async def by_request(self, request_id: str) -> list[Execution]:
        """The calls that one request made, in their order."""
        query = select(executions).where(executions.c.request_id == request_id)
        async with self._database.connect() as connection:
            rows = (
                (await connection.execute(query.order_by(executions.c.attempt, executions.c.id)))
                .mappings()
                .all()
            )
        return [execution_of(row) for row in rows]

    async def count(self, scope: Scope) -> int:
        """Number of rows in a scope."""
        query = select(func.count()).select_from(executions).where(*_within(scope))
        async with self._database.connect() as connection:
            return int((await connection.execute(query)).scalar_one())

    async def page(self, scope: Scope, after: Execution | None, limit: int) -> list[Execution]:
        """The oldest rows of the scope that are younger than `after`."""
        query = select(executions).where(*_within(scope))
        if after is not None:
            at = tuple_(literal(_datetime(after.create_time), Utc()), literal(after.id))
            query = query.where(tuple_(executions.c.created_at, executions.c.id) > at)
        query = query.order_by(executions.c.created_at, executions.c.id).limit(limit)
        async with self._database.connect() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return [execution_of(row) for row in rows]

    async def reprice(self, rated: Sequence[tuple[Execution, usage_pb2.Cost]]) -> None:
        """Writes other costs into settled rows, in one transaction.

        A row that somebody else has priced by another book since it was read is left alone.
        """
        if not rated:
            return
        changes = [
            Correction(
                execution.id,
                {"price_book": execution.cost.price_book},
                {name: getattr(cost, name) for name in (*_COST, "cost_usd")},
            )
            for execution, cost in rated
        ]
        await self.chain.correct("RERATED", changes)

    async def batch_total(self, provider: str, batch_id: str) -> tuple[int, usage_pb2.Cost]:
        """Number of booked lines of a provider's batch, and their cost together."""
        row = executions.c
        unknown = func.sum(case((row.price_known, 0), else_=1))
        query = select(func.count(), func.sum(row.cost_ticks), unknown, func.max(row.price_book)).where(
            row.request_id == batch_id, row.operation == "batch", row.provider == provider
        )
        async with self._database.connect() as connection:
            count, ticks, without_price, book = (await connection.execute(query)).one()
        ticks = int(ticks or 0)
        return count, cost_of(ticks, price_known=not without_price, price_book=book)

    async def sweep(self) -> list[str]:
        """Marks PENDING rows of servers without a live lease as LOST and charges what was reserved for them;
        their ids.
        """
        lost: list[str] = []
        while rows := await self._abandoned():
            bookings = [Booking(_lost(row), is_recorded=True, is_loss=True) for row in rows]
            settled = (await self.book(bookings)).settled
            lost += [row["id"] for row in rows if row["id"] in settled]
            if len(rows) < SWEEP_ROWS:
                break
        await self._give_back()
        return lost

    async def _give_back(self) -> None:
        """Gives back what calls of rate limits held that do not run any more."""
        job = partial(
            self._database.write,
            rate_statements.sweep,
            lambda connection: connection.execute(rate_statements.SWEEP),
            1,
        )
        await self.chain.alone(job)

    async def _abandoned(self) -> Sequence[RowMapping]:
        """Rows of dead processes, at most SWEEP_ROWS."""
        row = executions.c
        lives = exists().where(leases.c.server_id == row.server_id, leases.c.lease_until > Now())
        # In words, not as a value, so that the index of these rows is known to serve.
        is_open = text("executions.state = 'PENDING'")
        query = select(executions).where(is_open, ~lives).limit(SWEEP_ROWS)
        async with self._database.connect() as connection:
            return (await connection.execute(query)).mappings().all()

    def _values(self, rows: Sequence[Execution]) -> list[tuple[Any, ...]]:
        try:
            return [self._row(execution) for execution in rows]
        except (ValueError, OverflowError) as error:  # a time beyond the calendar
            raise RowsRefused(str(error)) from error

    def _row(self, execution: Execution) -> tuple[Any, ...]:
        """Values in the order of _COLUMNS."""
        has, usage, cost, time = execution.HasField, execution.usage, execution.cost, self._database.time
        state = _STATES[execution.state]
        return (
            *_storable(_texts(execution), MAX_NAME_CHARS),
            *_storable([text or None for text in _optional_texts(execution)], MAX_TEXT_CHARS),
            *_numbers(execution),
            *(_NO_AMOUNTS if state == "PENDING" else _amounts(execution)),
            _OPERATIONS[execution.operation],
            _LANES[execution.lane],
            execution.prompt_version or None,
            _labels(execution) if execution.cost_labels else None,
            _warnings(execution) if execution.warnings else None,
            _server_tools(execution) if execution.units.server_tools else None,
            execution.reserved_ticks if has("reserved_ticks") else None,
            _held(execution),
            self._counters(execution.budget_counters) if execution.budget_counters else None,
            _RESOLUTIONS.get(execution.resolution),
            execution.first_token_ms if has("first_token_ms") else None,
            state,
            _SUCCESS.get(state, False),
            _PROVENANCES.get(usage.input_provenance),
            _PROVENANCES.get(usage.output_provenance),
            cost.cost_ticks / TICKS_PER_USD,
            time(_datetime(execution.create_time)),
            time(_datetime(execution.settle_time)) if has("settle_time") else None,
        )


def _amounts(execution: Execution) -> tuple[Any, ...]:
    """Values of the columns _COST, _USAGE and _UNITS."""
    return *_cost(execution.cost), *_usage(execution.usage), *_units(execution.units)


_NO_AMOUNTS = _amounts(Execution())  # of an intent


def _within(scope: Scope) -> list[ColumnElement[bool]]:
    row = executions.c
    conditions = [
        row.created_at >= scope.start,
        row.created_at < scope.end,
        row.state.in_(("SUCCEEDED", "FAILED", "CANCELLED")),
        row.input_provenance.is_distinct_from("UNKNOWN"),
        row.output_provenance.is_distinct_from("UNKNOWN"),
        row.price_book != scope.not_by_book,
    ]
    return conditions if scope.provider is None else [*conditions, row.provider == scope.provider]


def execution_of(row: RowMapping) -> Execution:
    execution = Execution(
        state=f"EXECUTION_STATE_{row['state']}",
        operation=_OPERATION_NUMBERS.get(row["operation"]),
        lane=_LANE_NUMBERS.get(row["lane"]),
    )
    for column, field in (_TEXTS | _OPTIONAL_TEXTS | _NUMBERS).items():
        if row[column]:
            setattr(execution, field, row[column])
    for name in _COST:
        if row[name]:
            setattr(execution.cost, name, row[name])
    for name in _USAGE:
        if row[name]:
            setattr(execution.usage, name, row[name])
    for name in _UNITS:
        if row[name]:
            setattr(execution.units, name, row[name])
    for name, count in (row["server_tools"] or {}).items():
        execution.units.server_tools[name] = count
    if row["est_ticks"] is not None:
        execution.reserved_ticks = row["est_ticks"]
    execution.budget_counters.extend(row["counters"] or ())
    if row["resolution"]:
        execution.resolution = _RESOLUTION_NUMBERS[row["resolution"]]
    for name in ("input_provenance", "output_provenance"):
        if row[name]:
            setattr(execution.usage, name, usage_pb2.Provenance.Value(f"PROVENANCE_{row[name]}"))
    if row["prompt_version"]:
        execution.prompt_version = row["prompt_version"]
    execution.cost_labels.update(row["cost_labels"] or {})
    for warning in row["warnings"] or ():
        json_format.ParseDict(warning, execution.warnings.add(), ignore_unknown_fields=True)
    if row["first_token_ms"] is not None:
        execution.first_token_ms = row["first_token_ms"]
    if execution.HasField("usage"):
        execution.usage.total_tokens = execution.usage.input_tokens + execution.usage.output_tokens
    if execution.HasField("cost"):
        execution.cost.cost_usd = usd_of(execution.cost.cost_ticks)
    execution.create_time.FromDatetime(row["created_at"])
    if row["settled_at"] is not None:
        execution.settle_time.FromDatetime(row["settled_at"])
    return execution


def _lost(row: RowMapping) -> Execution:
    """The call of a dead process, with what was reserved for it as its cost."""
    execution, is_estimated = execution_of(row), row["est_ticks"] is not None
    execution.state = EXECUTION_STATE_LOST
    execution.error, execution.error_reason = LOST_ERROR, "INTERNAL_ERROR"
    unknown = usage_pb2.PROVENANCE_UNKNOWN
    execution.usage.input_provenance = usage_pb2.PROVENANCE_ESTIMATED if is_estimated else unknown
    execution.usage.output_provenance = unknown
    execution.cost.cost_ticks, execution.cost.price_known = row["held_ticks"], is_estimated
    if is_estimated:
        execution.resolution = LOSS_RESOLUTION_RESERVE
    execution.settle_time.GetCurrentTime()
    return execution


def _json_list(numbers: Sequence[int]) -> str:
    return f"[{','.join(map(str, numbers))}]"


def _held(execution: Execution) -> int:
    """Ticks that are reserved for it."""
    return execution.reserved_ticks if execution.state == EXECUTION_STATE_PENDING else 0


def _tokens(execution: Execution) -> int:
    """Tokens that it used, as rate limits count them."""
    return execution.usage.input_tokens + execution.usage.output_tokens


def _labels(execution: Execution) -> str:
    labels = {key: value.replace("\0", "\ufffd") for key, value in execution.cost_labels.items()}
    return json.dumps(labels, sort_keys=True, ensure_ascii=False)


def _server_tools(execution: Execution) -> str:
    called = {name.replace("\0", "\ufffd"): count for name, count in execution.units.server_tools.items()}
    return json.dumps(called, sort_keys=True, ensure_ascii=False)


def _warnings(execution: Execution) -> str:
    listed = [
        json_format.MessageToDict(warning, preserving_proto_field_name=True) for warning in execution.warnings
    ]
    return json.dumps(listed, sort_keys=True, ensure_ascii=False).replace("\\u0000", "\ufffd")


def _datetime(time: Timestamp) -> datetime:
    """Datetime of a Timestamp, to the microsecond, which is what both databases keep."""
    return _EPOCH + timedelta(0, time.seconds, time.nanos // 1000)


def _storable(texts: Sequence[Any], longest: int) -> Sequence[Any]:
    """Texts (None: none) as PostgreSQL can hold and index them: without NUL, and not endless."""
    whole = "".join(filter(None, texts))
    if len(whole) <= longest and "\0" not in whole:
        return texts
    return [text and text[:longest].replace("\0", "\ufffd") for text in texts]
