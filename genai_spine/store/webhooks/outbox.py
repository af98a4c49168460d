"""Outbox of runs' events: who is to be told is written in the transaction of what is told."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, insert, select

from genai_spine.call import uuid7
from genai_spine.store.connections.expressions import Now
from genai_spine.store.runs.news import WEBHOOKS, Change
from genai_spine.store.runs.tables import run_webhooks, runs
from genai_spine.v1.run_pb2 import RunError, RunOptions, RunWebhook

ENDS = ("completed", "failed", "cancelled", "dead_lettered")
SENT, FAILED = "webhook_sent", "webhook_failed"  # of the telling itself, which is not told
TOLD = ("id", "name", "kind", "status", "attempt", "tenant_id", "correlation_id", "metadata", "error")


async def enqueue(change: Change, options: bytes, events: Sequence[Mapping[str, Any]]) -> None:
    """Writes who is to be told of events that were appended to a run's log. options: of the run."""
    wanted = RunOptions.FromString(options)
    if not wanted.HasField("webhook"):
        return
    if not wanted.webhook.event_types:
        events = await _ends_for_good(change, events)
    told = [event for event in events if _is_chosen(event["event_type"], wanted.webhook)]
    if not told:
        return
    columns = [runs.c[name] for name in TOLD]
    found = await change.execute(select(*columns).where(runs.c.id == told[0]["run_id"]))
    run = found.mappings().one()
    statement = insert(run_webhooks).values(next_at=Now(), created_at=Now())
    await change.execute(statement, [_row(wanted.webhook.url, event, run) for event in told])
    change.topics.add(WEBHOOKS)


def webhook_row(event: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any] | None:
    """Row of who is told that a run has started, but for its times; None: nobody. run: its row."""
    wanted = RunOptions.FromString(run["options"])
    if not wanted.HasField("webhook") or not _is_chosen(event["event_type"], wanted.webhook):
        return None
    return _row(wanted.webhook.url, event, run)


def _is_chosen(event_type: str, webhook: RunWebhook) -> bool:
    return event_type in (webhook.event_types or ENDS) and event_type not in (SENT, FAILED)


async def _ends_for_good(change: Change, events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Events without a failure that is retried: nobody is told an end that is none.

    The failure may stand in the log already, by the same transaction.
    """
    kept: list[Mapping[str, Any]] = []
    for event in events:
        if event["event_type"] == "retry_scheduled":
            columns = run_webhooks.c
            failure = (columns.run_id == event["run_id"], columns.sequence == event["sequence"] - 1)
            await change.execute(delete(run_webhooks).where(*failure, columns.status == "waiting"))
            if kept and kept[-1]["event_type"] == "failed":
                kept.pop()
        kept.append(event)
    return kept


def _row(url: str, event: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": f"evt_{uuid7()}",
        "run_id": event["run_id"],
        "sequence": event["sequence"],
        "url": url,
        "body": json.dumps(_body(event, run)),
        "status": "waiting",
        "attempt": 0,
    }


def _body(event: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """Message of an event, by the Standard Webhooks specification."""
    data = {
        "run_id": run["id"],
        "name": run["name"],
        "kind": run["kind"],
        "status": run["status"],
        "attempt": run["attempt"],
        "tenant_id": run["tenant_id"],
        "correlation_id": run["correlation_id"],
        "metadata": run["metadata"],
        "sequence": event["sequence"],
        "event": event["data"],
    }
    if run["error"] is not None and run["status"] in ("failed", "dead_lettered"):
        error = RunError.FromString(run["error"])
        data["error"] = {"type": error.type, "message": error.message}
    time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"type": f"run.{event['event_type']}", "timestamp": time, "data": data}
