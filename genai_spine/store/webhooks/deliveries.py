"""Deliveries of runs' webhooks: claimed by one process for a time, delivered, tried again or given up."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import select, update

from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.runs.events import WORKER, PendingEvent, append
from genai_spine.store.runs.news import changing
from genai_spine.store.runs.tables import run_webhooks, runs
from genai_spine.store.webhooks.outbox import FAILED, SENT

MAX_PROBLEM = 500  # characters

_webhook = run_webhooks.c


@dataclass(frozen=True, slots=True)
class RunMessage:
    """Message about a run that somebody is to be told."""

    id: str
    run_id: str
    tenant_id: str
    url: str = field(repr=False)
    body: str = field(repr=False)
    attempts: int = 0  # begun, this one included


class DeliveryRows:
    """Table run_webhooks."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, lease_s: float, limit: int) -> list[RunMessage]:
        """Messages that are due, by this process alone for lease_s, the oldest first."""
        due = (
            select(_webhook.id)
            .where(_webhook.status == "waiting", _webhook.next_at <= Now())
            .order_by(_webhook.next_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        claimed = (
            update(run_webhooks)
            .where(_webhook.id.in_(due), _webhook.status == "waiting")
            .values(attempt=_webhook.attempt + 1, next_at=Now(lease_s))
            .returning(_webhook.id, _webhook.run_id, _webhook.url, _webhook.body, _webhook.attempt)
        )
        async with self._database.begin_in_turn() as connection:
            rows = (await connection.execute(claimed)).all()
            ids = {row.run_id for row in rows}
            of = await connection.execute(select(runs.c.id, runs.c.tenant_id).where(runs.c.id.in_(ids)))
            tenants = {row.id: row.tenant_id for row in of}
        found = sorted(rows, key=lambda row: row.id)
        return [
            RunMessage(row.id, row.run_id, tenants.get(row.run_id, ""), row.url, row.body, row.attempt)
            for row in found
        ]

    async def delivered(self, message: RunMessage) -> None:
        """The message was told."""
        values = {"status": "delivered", "next_at": None, "sent_at": Now(), "problem": None}
        await self._end(message, values, [_event(SENT, message)])

    async def failed(self, message: RunMessage, wait_s: float | None, problem: str) -> None:
        """The message was not told. wait_s: until it is tried again; None: it is given up."""
        values: dict[str, Any] = {"problem": problem[:MAX_PROBLEM]}
        if wait_s is not None:
            await self._end(message, values | {"next_at": Now(wait_s)}, [])
            return
        events = [_event(FAILED, message, problem=problem[:MAX_PROBLEM])]
        await self._end(message, values | {"status": "given_up", "next_at": None}, events)

    async def _end(self, message: RunMessage, values: dict[str, Any], events: Sequence[PendingEvent]) -> None:
        """End of an attempt, unless another process has begun one since."""
        mine = (_webhook.id == message.id, _webhook.status == "waiting", _webhook.attempt == message.attempts)
        async with changing(self._database) as change:
            ended = await change.execute(update(run_webhooks).where(*mine).values(values))
            if not ended.rowcount or not events:
                return
            there = await change.execute(select(runs.c.id).where(runs.c.id == message.run_id))
            if there.first() is not None:  # a run is deleted some time after its end
                await append(change, message.run_id, *events)


def _event(event_type: str, message: RunMessage, **data: Any) -> PendingEvent:
    """Event in the run's log; of the address no more than its host, since the rest may be a secret."""
    fields = {
        "target": urlsplit(message.url).hostname or "",
        "webhook_id": message.id,
        "attempts": message.attempts,
        **data,
    }
    return PendingEvent(event_type, fields, WORKER)
