"""Idempotent calls: the only SQL of their claims and outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import Exists, and_, case, delete, exists, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.idempotency.blocks import Block, insertion
from genai_spine.store.tables import (
    KEY_IS_OURS,
    completions,
    executions,
    idempotent_calls,
    leases,
    stream_blocks,
)

SWEEP_CALLS = 50  # per statement; each may have hundreds of blocks
FOLLOWED_S = 5.0  # for so long after a follower has said so are blocks written for it
OURS = "auto:"  # begins keys that no caller chose
OURS_TTL_S = 600.0  # that an outcome with such a key is kept

calls = idempotent_calls.c


@dataclass(frozen=True, slots=True)
class Scope:
    """Scope of a key, and the key."""

    tenant_id: str
    principal: str
    key: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Right to make a call, as the table has it."""

    scope: Scope
    call_id: int  # of this claim alone
    method: str
    request_hash: bytes
    server_id: str
    request_id: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a call."""

    state: str  # DONE or FAILED
    headers: dict[str, str]
    body: bytes | None = None  # of an answer in one message
    completion_id: str | None = None  # of a background completion that may have the same body
    error: bytes | None = None  # JSON
    blocks: list[Block] = field(default_factory=list)  # that are not written yet
    last_seq: int | None = None  # of a stream


@dataclass(frozen=True, slots=True)
class FoundCall:
    """Row of a call."""

    call_id: int
    method: str
    request_hash: bytes
    state: str
    epoch: int
    request_id: str
    headers: dict[str, str]
    body: bytes | None
    error: bytes | None
    last_seq: int | None
    is_alive: bool  # its process has a lease
    has_expired: bool


class IdempotentCalls:
    """Table of idempotent calls. Times are seconds."""

    def __init__(self, database: Database, *, ttl_s: float, resume_ttl_s: float) -> None:
        """ttl_s: that an outcome is kept. resume_ttl_s: the messages of a stream."""
        self._database = database
        self._ttl_s = ttl_s
        self._resume_ttl_s = resume_ttl_s

    async def key_of_body(self, scope: Scope, request_hash: bytes) -> str | None:
        """Key of the newest call with this body and a key that no caller chose; None: there is none."""
        lives = or_(calls.expires_at > Now(), calls.state == "RUNNING")
        of_it = (calls.tenant_id == scope.tenant_id, calls.principal == scope.principal)
        query = select(calls.key).where(*of_it, calls.request_hash == request_hash, text(KEY_IS_OURS), lives)
        query = query.order_by(calls.created_at.desc(), calls.call_id.desc()).limit(1)
        async with self._database.connect() as connection:
            return (await connection.execute(query)).scalar_one_or_none()

    async def claim(self, claim: Claim) -> bool:
        """Whether the call is now this claim's; False: the key is known."""
        row = {
            "tenant_id": claim.scope.tenant_id,
            "principal": claim.scope.principal,
            "key": claim.scope.key,
            "call_id": claim.call_id,
            "method": claim.method,
            "request_hash": claim.request_hash,
            "state": "RUNNING",
            "server_id": claim.server_id,
            "epoch": 0,
            "request_id": claim.request_id,
            "created_at": Now(),
            "expires_at": Now(self._ttl_s),
        }
        async with self._database.begin_in_turn() as connection:
            inserted = await connection.execute(self._database.insert_once(idempotent_calls, row))
        return inserted.rowcount == 1

    async def take_over(self, claim: Claim, found: FoundCall) -> bool:
        """Whether the call of a dead process is now this claim's."""
        values = {
            "call_id": claim.call_id,
            "server_id": claim.server_id,
            "request_id": claim.request_id,
            "epoch": found.epoch + 1,
            "expires_at": Now(self._ttl_s),
        }
        async with self._database.begin_in_turn() as connection:
            return await _changed(connection, _running(found.call_id) & ~_owner_lives(), values)

    async def move(self, call_ids: Sequence[int], server_id: str) -> None:
        """Gives running calls to another id of their process; those that were taken over stay so."""
        theirs = and_(calls.call_id.in_(call_ids), calls.state == "RUNNING")
        async with self._database.begin_in_turn() as connection:
            await _changed(connection, theirs, {"server_id": server_id})

    async def find(self, scope: Scope) -> FoundCall | None:
        """Call of a key."""
        body = func.coalesce(calls.body, completions.c.body).label("whole")
        query = (
            select(
                idempotent_calls,
                body,
                _owner_lives().label("lives"),
                (calls.expires_at <= Now()).label("expired"),
            )
            .select_from(idempotent_calls.outerjoin(completions, completions.c.id == calls.completion_id))
            .where(*_of(scope))
        )
        async with self._database.connect() as connection:
            row = (await connection.execute(query)).mappings().one_or_none()
        if row is None:
            return None
        return FoundCall(
            call_id=row["call_id"],
            method=row["method"],
            request_hash=row["request_hash"],
            state=row["state"],
            epoch=row["epoch"],
            request_id=row["request_id"],
            headers=msgspec.json.decode(row["headers"] or "{}"),
            body=row["whole"],
            error=None if row["error"] is None else row["error"].encode(),
            last_seq=row["last_seq"],
            is_alive=bool(row["lives"]),
            has_expired=bool(row["expired"]) and not (row["state"] == "RUNNING" and row["lives"]),
        )

    async def was_tried(self, found: FoundCall) -> bool:
        """Whether a provider may have been called for it."""
        query = select(exists().where(executions.c.request_id == found.request_id))
        async with self._database.connect() as connection:
            return bool((await connection.execute(query)).scalar_one())

    async def call_ids(self, request_ids: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Calls and methods of requests, by their ids."""
        query = select(calls.request_id, calls.call_id, calls.method).where(calls.request_id.in_(request_ids))
        async with self._database.connect() as connection:
            return {id: (call_id, method) for id, call_id, method in await connection.execute(query)}

    async def finish(self, call_id: int, outcome: Outcome) -> bool:
        """Writes the outcome of a claim that still holds, and the last messages of a stream.

        A body that a background completion has already is not stored twice.
        """
        values: dict[str, Any] = {
            "state": outcome.state,
            "headers": msgspec.json.encode(outcome.headers).decode(),
            "error": None if outcome.error is None else outcome.error.decode(),
            "last_seq": outcome.last_seq,
            "expires_at": self._expiry(),
        }
        if outcome.last_seq is not None:
            values["blocks_until"] = Now(self._resume_ttl_s)
        async with self._database.begin_in_turn() as connection:
            if outcome.body is not None and not await self._has_body(connection, outcome):
                values["body"] = outcome.body
            elif outcome.body is not None:
                values["completion_id"] = outcome.completion_id
            if outcome.blocks:
                await connection.execute(*insertion(call_id, outcome.blocks))
            return await _changed(connection, _running(call_id), values)

    async def lose(self, found: FoundCall, outcome: Outcome) -> None:
        """Writes the outcome of a call whose process died."""
        values: dict[str, Any] = {
            "state": outcome.state,
            "error": (outcome.error or b"").decode(),
            "expires_at": self._expiry(),
        }
        if outcome.last_seq is not None:
            values |= {"last_seq": outcome.last_seq, "blocks_until": Now(self._resume_ttl_s)}
        async with self._database.begin_in_turn() as connection:
            await _changed(connection, _running(found.call_id) & ~_owner_lives(), values)

    async def release(self, call_id: int) -> None:
        """Gives a claim up: a repeat makes the call again."""
        async with self._database.begin_in_turn() as connection:
            await connection.execute(delete(idempotent_calls).where(_running(call_id)))

    async def forget(self, found: FoundCall) -> None:
        """Deletes an expired call."""
        async with self._database.begin_in_turn() as connection:
            await _delete(connection, [found.call_id])

    async def follow(self, call_id: int) -> None:
        """Says that somebody reads its blocks."""
        async with self._database.begin_in_turn() as connection:
            await _changed(connection, _running(call_id), {"followed_until": Now(FOLLOWED_S)})

    async def sweep(self) -> int:
        """Number of expired calls deleted, and of streams whose messages were, at most SWEEP_CALLS each."""
        is_over = or_(calls.state != "RUNNING", ~_owner_lives())
        expired = select(calls.call_id).where(calls.expires_at <= Now(), is_over).limit(SWEEP_CALLS)
        ended = select(calls.call_id).where(calls.blocks_until <= Now()).limit(SWEEP_CALLS)
        async with self._database.begin_in_turn() as connection:
            gone = list((await connection.execute(expired.with_for_update(skip_locked=True))).scalars())
            await _delete(connection, gone)
        async with self._database.begin_in_turn() as connection:
            read = list((await connection.execute(ended.with_for_update(skip_locked=True))).scalars())
            if read:
                await connection.execute(delete(stream_blocks).where(stream_blocks.c.call_id.in_(read)))
                await _changed(connection, calls.call_id.in_(read), {"blocks_until": None})
        return len(gone) + len(read)

    def _expiry(self) -> Any:
        """End of the time that an outcome is kept."""
        return case((text(KEY_IS_OURS), Now(min(OURS_TTL_S, self._ttl_s))), else_=Now(self._ttl_s))

    async def _has_body(self, connection: AsyncConnection, outcome: Outcome) -> bool:
        """Whether a background completion has the body; it is kept as long as this outcome then."""
        if outcome.completion_id is None:
            return False
        same = and_(completions.c.id == outcome.completion_id, completions.c.body == outcome.body)
        until = _later(completions.c.expires_at, Now(self._ttl_s), self._database.dialect)
        kept = await connection.execute(update(completions).where(same).values(expires_at=until))
        return kept.rowcount == 1


def _of(scope: Scope) -> tuple[Any, ...]:
    return (
        calls.tenant_id == scope.tenant_id,
        calls.principal == scope.principal,
        calls.key == scope.key,
    )


def _running(call_id: int) -> Any:
    return and_(calls.call_id == call_id, calls.state == "RUNNING")


def _owner_lives() -> Exists:
    return exists().where(leases.c.server_id == calls.server_id, leases.c.lease_until > Now())


def _later(time: Any, other: Any, dialect: str) -> Any:
    return (func.max if dialect == "sqlite" else func.greatest)(time, other)


async def _changed(connection: AsyncConnection, where: Any, values: dict[str, Any]) -> bool:
    return (await connection.execute(update(idempotent_calls).where(where).values(values))).rowcount > 0


async def _delete(connection: AsyncConnection, call_ids: list[int]) -> None:
    if call_ids:
        await connection.execute(delete(stream_blocks).where(stream_blocks.c.call_id.in_(call_ids)))
        await connection.execute(delete(idempotent_calls).where(calls.call_id.in_(call_ids)))
