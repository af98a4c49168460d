"""Chain of a process in its database: its beginning, the ends of others, and corrections of settled rows.

A correction keeps the version that it takes the place of.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.store.booking.chain import END, Head, Listed, read
from genai_spine.store.booking.sealing import Sealing
from genai_spine.store.booking.tables import ledger_amendments, ledger_batches, ledger_chains
from genai_spine.store.database import Database, Now
from genai_spine.store.tables import budget_counters, executions, leases

T = TypeVar("T")
_batch, _chain = ledger_batches.c, ledger_chains.c
_amendment_names = ("execution_id", "settled_by", "settle_seq", "kind", "old_json")


@dataclass(frozen=True, slots=True)
class Correction:
    """Other values of a settled row, as long as some of its columns are as they were."""

    id: str
    was: Mapping[str, Any]
    values: Mapping[str, Any]


class LedgerChain:
    """Chain of a process in its database, one batch at a time, and what is written beside the writer."""

    def __init__(self, database: Database, sealing: Sealing | None) -> None:
        """sealing: None: there is no key, and so no chain; rows are corrected all the same."""
        self._database = database
        self._lock = asyncio.Lock()
        self.sealing = sealing

    @property
    def name(self) -> str | None:
        """Name of the chain; None: there is none."""
        return None if self.sealing is None else self.sealing.name

    async def alone(self, work: Callable[[], Awaitable[T]]) -> T:
        """Result of work that is alone with the writer and the chain; after an error the end of the chain is
        looked for again.
        """
        async with self._lock:
            try:
                return await work()
            except BaseException:
                self._forget()
                raise

    async def is_used(self) -> bool:
        """Whether any process has a chain in this database."""
        async with self._database.connect() as connection:
            found = await connection.execute(sa.select(sa.exists(sa.select(_chain.server_id))))
            return bool(found.scalar_one())

    async def open(self) -> None:
        """Begins the chain, so that it is missed where nobody lists its end."""
        if self.sealing is not None:
            row = {"server_id": self.sealing.name, "started_at": Now()}
            async with self._database.begin_in_turn() as connection:
                await connection.execute(self._database.insert_once(ledger_chains, row))

    async def end_others(self) -> list[str]:
        """Names of chains whose processes live no more, and whose ends this chain lists from now on."""
        if (sealing := self.sealing) is None:
            return []
        over = _chain.ended_by.is_(None), _chain.server_id != sealing.name, ~_lives()
        async with self._database.glance() as connection:
            if not (await connection.execute(sa.select(sa.exists().where(*over)))).scalar_one():
                return []
        change = sa.update(ledger_chains).where(*over).values(ended_by=sealing.name)
        async with self._writing() as connection:
            found = (await connection.execute(change.returning(_chain.server_id))).scalars().all()
            heads = {name: await head_of(connection, name) for name in sorted(found)}
            listed = [Listed(END, name, head.hash, head.seq) for name, head in heads.items()]
            if listed:
                await _add(connection, sealing, await _head(connection, sealing), listed)
        return list(heads)

    async def correct(self, kind: str, corrections: Sequence[Correction]) -> list[str]:
        """Ids of the rows that were corrected, in one transaction, with what that changed charged to the
        counters of their budgets.

        kind: why; RERATED or RESOLVED.
        """
        corrections = sorted(corrections, key=lambda one: one.id)  # rows are locked in this order
        done: list[str] = []
        charges: dict[int, int] = {}
        async with self._writing() as connection:
            if self.sealing is not None:
                corrections = await self._sealed(connection, self.sealing, kind, corrections)
            for one in corrections:
                if (old := await _row(connection, one)) is None:
                    continue
                change = sa.update(executions).where(executions.c.id == one.id)
                await connection.execute(change.values(one.values))
                more = one.values.get("cost_ticks", old["cost_ticks"]) - old["cost_ticks"]
                for counter in old["counters"] or ():
                    charges[counter] = charges.get(counter, 0) + more
                done.append(one.id)
            await _charge(connection, charges)
        return done

    async def _sealed(
        self, connection: AsyncConnection, sealing: Sealing, kind: str, corrections: Sequence[Correction]
    ) -> list[Correction]:
        """Those that can be made, with their place in the batch that is made of them."""
        head, listed, placed = await _head(connection, sealing), [], []
        for one in corrections:
            if (old := await _row(connection, one)) is None:
                continue
            values = {**one.values, "settled_by": sealing.name, "settle_seq": head.seq + 1}
            if (amended := sealing.amended(old, kind)) is not None:
                row = dict(zip(_amendment_names, amended, strict=True)) | {"at": Now()}
                await connection.execute(sa.insert(ledger_amendments).values(row))
            listed.append(sealing.settlement(one.id, read({**old, **values}, sealing.columns)))
            placed.append(Correction(one.id, one.was, values))
        if listed:
            await _add(connection, sealing, head, listed)
        return placed

    @asynccontextmanager
    async def _writing(self) -> AsyncGenerator[AsyncConnection]:
        async with self._lock:
            self._forget()  # the writer's own idea of the head
            try:
                async with self._database.begin_write() as connection:
                    yield connection
            finally:
                self._forget()

    def _forget(self) -> None:
        if self.sealing is not None:
            self.sealing.chain.head = None


async def head_of(connection: AsyncConnection, name: str) -> Head:
    """Last batch of a chain."""
    query = sa.select(_batch.seq, _batch.hash).where(_batch.server_id == name).order_by(_batch.seq.desc())
    row = (await connection.execute(query.limit(1))).one_or_none()
    return Head() if row is None else Head(row.seq, row.hash)


def _lives() -> sa.Exists:
    """Whether the process of a chain has a lease; after it lost one its id is `<name>.1`."""
    id, name = leases.c.server_id, _chain.server_id
    return sa.exists().where(leases.c.lease_until > Now(), sa.or_(id == name, id.startswith(name + ".")))


async def _row(connection: AsyncConnection, one: Correction) -> dict[str, Any] | None:
    """Row of a correction, locked; None: it is not any more as it was."""
    query = sa.select(executions).where(executions.c.id == one.id).with_for_update()
    row = (await connection.execute(query)).mappings().one_or_none()
    if row is None or any(row[name] != value for name, value in one.was.items()):
        return None
    return dict(row)


async def _charge(connection: AsyncConnection, charges: Mapping[int, int]) -> None:
    for counter, more in sorted(charges.items()):
        spent = budget_counters.c.spent_ticks + more
        change = sa.update(budget_counters).where(budget_counters.c.id == counter)
        await connection.execute(change.values(spent_ticks=spent))


async def _head(connection: AsyncConnection, sealing: Sealing) -> Head:
    return sealing.chain.follow(*await head_of(connection, sealing.name))


async def _add(connection: AsyncConnection, sealing: Sealing, head: Head, listed: Sequence[Listed]) -> None:
    batch = sealing.chain.batch(head, sealing.seals, listed)
    row = {"server_id": sealing.name, "at": Now()} | batch._asdict()
    await connection.execute(sa.insert(ledger_batches).values(row))
