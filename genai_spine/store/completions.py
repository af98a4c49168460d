"""Background completions, stored for callers who went away: the only SQL of completions."""

from dataclasses import dataclass

import msgspec
from sqlalchemy import RowMapping, exists, select, update

from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.sweeper import delete_expired
from genai_spine.store.tables import completions, leases
from genai_spine.v1 import completion_service_pb2 as pb

LOST = "LOST"  # never in the table: RUNNING by a server without a live lease


@dataclass(frozen=True, slots=True)
class CompletionFailure:
    """Error that a background call ended with."""

    reason: str  # ErrorReason without its prefix
    message: str
    metadata: dict[str, str]


class Completions:
    """Table of background completions, with their expiry."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, id: str, tenant: str, request_id: str, server_id: str, ttl_s: float) -> None:
        """Row of a running call; ttl_s: seconds until it expires."""
        row = {
            "id": id,
            "tenant_id": tenant,
            "request_id": request_id,
            "server_id": server_id,
            "state": "RUNNING",
            "created_at": Now(),
            "expires_at": Now(ttl_s),
        }
        async with self._database.begin() as connection:
            await connection.execute(completions.insert().values(row))

    async def finish(self, id: str, outcome: pb.Completion | CompletionFailure, ttl_s: float) -> None:
        """Outcome of a call, stored for ttl_s seconds from now on."""
        row: dict[str, object] = {"expires_at": Now(ttl_s)}
        if isinstance(outcome, CompletionFailure):
            error = outcome.message.replace("\0", "\ufffd")  # PostgreSQL holds no NUL
            row |= {"state": "FAILED", "error_reason": outcome.reason, "error": error}
            row["error_metadata"] = msgspec.json.encode(outcome.metadata).decode()
        else:
            row |= {"state": "DONE", "body": outcome.SerializeToString()}
            row["execution_id"] = outcome.execution_id
        async with self._database.begin() as connection:
            await connection.execute(update(completions).where(completions.c.id == id).values(row))

    async def find(self, id: str, tenant: str) -> pb.Completion | CompletionFailure | str | None:
        """Outcome by id, otherwise the newest of the request id; its state while there is no outcome.

        None: the tenant has none.
        """
        columns, id = completions.c, id.replace("\0", "\ufffd")  # PostgreSQL takes no NUL; no id has it
        lives = exists().where(leases.c.server_id == columns.server_id, leases.c.lease_until > Now())
        query = select(completions, lives.label("lives"))
        query = query.where(columns.tenant_id == tenant, columns.expires_at > Now())
        async with self._database.connect() as connection:
            for found in (
                query.where(columns.id == id),
                query.where(columns.request_id == id).order_by(columns.created_at.desc()).limit(1),
            ):
                row = (await connection.execute(found)).mappings().one_or_none()
                if row is not None:
                    return _outcome(row)
        return None

    async def sweep(self) -> int:
        """Number of expired rows deleted; call it again while it is sweeper.BATCH_SIZE."""
        return await delete_expired(self._database, completions)


def _outcome(row: RowMapping) -> pb.Completion | CompletionFailure | str:
    if row["state"] == "DONE":
        return pb.Completion.FromString(row["body"])
    if row["state"] == "FAILED":
        metadata = msgspec.json.decode(row["error_metadata"], type=dict[str, str])
        return CompletionFailure(row["error_reason"], row["error"], metadata)
    return "RUNNING" if row["lives"] else LOST
