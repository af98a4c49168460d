"""Executions: the only SQL of the ledger's rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

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

from genai_spine.call import PaidAnswer
from genai_spine.costs import cost_of
from genai_spine.store.booking import execution_rows, postgresql, rate_statements, sqlite
from genai_spine.store.booking.chain import FIXED, JSON_COLUMNS, PLACE, Chain, Head
from genai_spine.store.booking.entries import Entry, Outcome
from genai_spine.store.booking.execution_rows import COLUMNS, COST, datetime_of, execution_of, held, values_of
from genai_spine.store.booking.ledger_chain import Correction, LedgerChain
from genai_spine.store.booking.rates import RateReservation
from genai_spine.store.booking.sealing import Sealing
from genai_spine.store.booking.writers import RowsRefused
from genai_spine.store.database import Database, Now, Utc
from genai_spine.store.tables import executions, leases
from genai_spine.v1 import usage_pb2
from genai_spine.v1.execution_pb2 import (
    EXECUTION_STATE_PENDING,
    Execution,
)

SWEEP_ROWS = 500  # at a time
ROW_BYTES = 4096  # of an answer, which are as much work as a row
# A settlement that comes after all for a call that was given up says so.
_LATE = "resolution = CASE WHEN executions.state = 'LOST' THEN 'LATE' ELSE excluded.resolution END"


@dataclass(slots=True)
class Booking:
    """Row to be booked, and how. Not frozen, since that takes three times as long to make."""

    execution: Execution
    is_guarded: bool = False  # an intent that is refused where a budget that blocks has no room
    is_repeated: bool = False  # it may be written already
    is_recorded: bool = False  # of a settlement: its intent is written
    is_fresh: bool = False  # nobody has written any version of it
    is_loss: bool = False  # of the call of a dead process
    rates: RateReservation | None = None  # of an intent: what it takes of rate limits
    ends_rates: bool = False  # a settlement whose intent had a reservation
    draws: bool = False  # on the reservation of its run
    is_soft: bool = False  # no budget refuses it while that has anything left
    answer: PaidAnswer | None = None  # of a settlement of a run's call, which is written with it


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
        self._sealing = None if chain is None else Sealing(chain, COLUMNS)
        self.chain = LedgerChain(database, self._sealing)
        # Whether what is written may be lost until flush() returns.
        self.needs_flush = database.dialect == "postgresql"
        is_sqlite = database.dialect == "sqlite"
        self._counters: Callable[[Sequence[int]], Any] = _json_list if is_sqlite else list
        # A late settlement beats LOST, for real numbers beat unknown ones; nothing beats a settlement.
        columns = (*COLUMNS, *PLACE) if chain else COLUMNS
        fixed = FIXED | {"resolution", "intent_seq"}
        changed = [name for name in columns if name not in fixed]
        self._upsert = (
            f"INSERT INTO executions ({', '.join(columns)}) VALUES {{values}}"
            " ON CONFLICT (id) DO UPDATE SET "
            + ", ".join([*(f"{name} = excluded.{name}" for name in changed), _LATE])
            + " WHERE executions.state = 'PENDING'"
            " OR (executions.state = 'LOST' AND excluded.state NOT IN ('PENDING', 'LOST'))"
        )
        self._sqlite = sqlite.Statements.of(self._upsert, columns, [*changed, "resolution"])
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
                ticks=held(booking.execution) if is_intent else booking.execution.cost.cost_ticks,
                counters=booking.execution.budget_counters,
                is_guarded=booking.is_guarded,
                is_repeated=booking.is_repeated,
                is_recorded=booking.is_recorded,
                is_fresh=booking.is_fresh,
                is_loss=booking.is_loss,
                rates=booking.rates if is_intent else None,
                used_tokens=_tokens(booking.execution) if booking.ends_rates else None,
                run_id=booking.execution.run_id if booking.draws else "",
                is_soft=booking.is_soft,
                answer=booking.answer,
            )
            for booking, row in zip(bookings, values, strict=True)
        ]
        job = partial(
            self._database.write,
            lambda connection: sqlite.book(connection, self._sqlite, entries, self._sealing),
            lambda connection: self._postgresql.book(connection, entries),
            len(entries) + sum(len(entry.answer.body) for entry in entries if entry.answer) // ROW_BYTES,
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
            at = tuple_(literal(datetime_of(after.create_time), Utc()), literal(after.id))
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
                {name: getattr(cost, name) for name in (*COST, "cost_usd")},
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
            bookings = [Booking(execution_rows.lost(row), is_recorded=True, is_loss=True) for row in rows]
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
        async with self._database.glance() as connection:
            return (await connection.execute(query)).mappings().all()

    def _values(self, rows: Sequence[Execution]) -> list[tuple[Any, ...]]:
        try:
            return [values_of(execution, self._database.time, self._counters) for execution in rows]
        except (ValueError, OverflowError) as error:  # a time beyond the calendar
            raise RowsRefused(str(error)) from error


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


def _json_list(numbers: Sequence[int]) -> str:
    return f"[{','.join(map(str, numbers))}]"


def _tokens(execution: Execution) -> int:
    """Tokens that it used, as rate limits count them."""
    return execution.usage.input_tokens + execution.usage.output_tokens
