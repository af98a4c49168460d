"""Anthropic's Message Batches: a batch goes one step each time it is asked for.

Shapes: https://platform.claude.com/docs/en/api/creating-message-batches (2026-11-28). Results are in no
order, and there only once all have ended.
"""

import json
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from tests.upstreams.anthropic_errors import error, invalid
from tests.upstreams.anthropic_messages import message_answer
from tests.upstreams.bill import Entry
from tests.upstreams.delivery import Answer, Event
from tests.upstreams.reply import Reply
from tests.upstreams.server import Refused, Upstream


class MessageBatches:
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self.prefix = ""  # of ids
        self.clear()

    def clear(self) -> None:
        self.batches: dict[str, dict[str, Any]] = {}
        self.requests: dict[str, list[dict[str, Any]]] = {}
        self.holds = False  # batches stay in progress until they are cancelled
        self.stops_after: int | None = None  # requests that are answered before a batch is cancelled
        self.hides: set[str] = set()  # ids of batches that the list does not show
        self.errors: dict[str, str] = {}  # error.type of the answer to a text

    def routes(self) -> list[web.RouteDef]:
        answer, path = self._upstream.endpoint, "/v1/messages/batches"
        return [
            web.post(path, answer(self._create)),
            web.get(path, answer(self._list)),
            web.get(f"{path}/{{id}}", answer(self._get)),
            web.get(f"{path}/{{id}}/results", answer(self._results)),
            web.post(f"{path}/{{id}}/cancel", answer(self._cancel)),
            web.delete(f"{path}/{{id}}", answer(self._delete)),
        ]

    def _create(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        requests = body.get("requests") or []
        ids = [one.get("custom_id") for one in requests]
        if not requests or len(set(ids)) != len(ids):
            raise Refused(invalid("requests: custom_id must be unique"))
        if any(one["params"].get("stream") for one in requests):
            raise Refused(invalid("requests.0.params.stream: streaming is not supported in batches"))
        id = f"msgbatch_{self.prefix}{len(self.batches) + 1:04}"
        now = datetime.now(UTC).isoformat()
        counts = dict.fromkeys(("succeeded", "errored", "canceled", "expired"), 0)
        self.requests[id] = requests
        self.batches[id] = {
            "id": id,
            "type": "message_batch",
            "processing_status": "in_progress",
            "request_counts": {"processing": len(requests)} | counts,
            "created_at": now,
            "expires_at": now,
            **dict.fromkeys(("ended_at", "archived_at", "cancel_initiated_at", "results_url")),
        }
        return _json(self.batches[id])

    def _list(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        found = [
            self._shown(batch, entry) for id, batch in reversed(self.batches.items()) if id not in self.hides
        ]
        return _json({"data": found, "has_more": False, "first_id": None, "last_id": None})

    def _get(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        return _json(self._shown(self._batch(entry), entry))

    def _shown(self, batch: dict[str, Any], entry: Entry) -> dict[str, Any]:
        """Batch as it is seen, one step later than the last time."""
        asked = batch.setdefault("_asked", 0)
        batch["_asked"] = asked + 1
        is_cancelled = batch["processing_status"] == "canceling"
        if is_cancelled or (batch["processing_status"] == "in_progress" and asked and not self.holds):
            results = [json.loads(line)["result"]["type"] for line in self._lines(batch, entry)]
            for kind in batch["request_counts"]:
                batch["request_counts"][kind] = results.count(kind)
            url = f"{self._upstream.url}/v1/messages/batches/{batch['id']}/results"
            batch |= {"processing_status": "ended", "ended_at": batch["created_at"], "results_url": url}
            self.batches[batch["id"]] = batch
        return {name: value for name, value in batch.items() if name != "_asked"}

    def _results(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        batch = self._batch(entry)
        if batch["processing_status"] != "ended":
            raise Refused(error("not_found_error", "No results yet"))
        return Answer([Event("\n".join(self._lines(batch, entry)).encode())], "application/x-jsonl")

    def _cancel(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        batch = self._batch(entry)
        if batch["processing_status"] == "ended":
            raise Refused(invalid("the batch has ended"))
        batch |= {"processing_status": "canceling", "cancel_initiated_at": batch["created_at"]}
        return _json(batch)

    def _delete(self, body: dict[str, Any], reply: Reply, entry: Entry) -> Answer:
        batch = self._batch(entry)
        return _json({"id": batch["id"], "type": "message_batch_deleted"})

    def _batch(self, entry: Entry) -> dict[str, Any]:
        id = entry.path.split("/")[4]
        if id not in self.batches:
            raise Refused(error("not_found_error", f"No batch {id}"))
        return self.batches[id]

    def _lines(self, batch: dict[str, Any], entry: Entry) -> list[str]:
        requests = self.requests[batch["id"]]
        answered = requests[: self.stops_after] if batch["cancel_initiated_at"] else requests
        found = []
        for one in reversed(requests):
            kind = self.errors.get(_text(one["params"]["messages"][0]["content"]))
            if one not in answered:
                result: dict[str, Any] = {"type": "canceled"}
            elif kind is not None:
                fault = {"type": "error", "error": {"type": kind, "message": "no"}, "request_id": "req_1"}
                result = {"type": "errored", "error": fault}
            else:
                made = message_answer(one["params"], Reply(), entry)
                result = {"type": "succeeded", "message": json.loads(made.events[0].data)}
            found.append(json.dumps({"custom_id": one["custom_id"], "result": result}))
        return found


def _text(content: Any) -> str:
    """Text of a message."""
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content)


def _json(value: Any) -> Answer:
    return Answer([Event(json.dumps(value).encode())])
