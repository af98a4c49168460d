"""Anthropic's Message Batches: requests in one call, and their results as JSON lines once all have ended.

Wire facts: https://platform.claude.com/docs/en/api/creating-message-batches and the types of the official
package (anthropic 2.11.0), 2026-11-28. Half the usual price. A batch has no labels, so which one is ours its
results say, by the ids of their lines, and nothing before.
"""

import time
from collections.abc import AsyncGenerator, Collection, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw, Struct

from genai_spine.call import Call
from genai_spine.errors import ProviderObjectNotFound, ProviderRejected, UnsupportedOperation
from genai_spine.providers.anthropic import request as messages_request
from genai_spine.providers.base import Route
from genai_spine.providers.batch_api import BatchApi, BatchedAnswer, Finding, Line, Sought
from genai_spine.providers.http.client import Reply
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import provider_batch_service_pb2 as batches

if TYPE_CHECKING:
    from genai_spine.providers.anthropic.adapter import Anthropic

PATH = "/v1/messages/batches"
CLOCKS_S = 60.0  # by which the provider's clock may differ
MAX_PAGES = 50
UNANSWERED = ("canceled", "expired")


class AnthropicBatches(BatchApi):
    """Message Batches of one endpoint."""

    def __init__(self, adapter: "Anthropic") -> None:
        self.adapter = adapter

    def path(self, request: pb.CreateCompletionRequest, route: Route) -> str:
        if messages_request.names_files(request):
            raise UnsupportedOperation(provider=self.adapter.name, operation="files in batches")
        messages_request.write_request(request, route.model, stream=False)
        return "/v1/messages"

    def line(self, request: pb.CreateCompletionRequest, route: Route, id: str) -> Line:
        params = messages_request.write_request(request, route.model, stream=False)
        return Line(id, msgspec.json.encode({"custom_id": id, "params": params}))

    async def send(self, key: str, path: str, lines: Sequence[Line], call: Call) -> batches.ProviderBatch:
        body = b'{"requests":[' + b",".join(line.data for line in lines) + b"]}"
        return self._batch(await self._ask("POST", "", call, body))

    async def find(self, sought: Sought, call: Call) -> Finding:
        since = time.time() - sought.age_s - CLOCKS_S
        may_be: list[str] = []
        query = "?limit=100"
        for _ in range(MAX_PAGES):
            page = self.adapter.http.decode(await self._ask("GET", query, call), PAGE)
            for found in page.data:
                if found.created_at.timestamp() < since:
                    return Finding(None, may_be)
                if found.request_counts.total != len(sought.ids):
                    continue
                if found.processing_status != "ended":
                    may_be.append(found.id)
                elif await self._is_of(found.id, sought.ids, call):
                    return Finding(self._of(found))
            if not (page.has_more and page.last_id):
                return Finding(None, may_be)
            query = f"?limit=100&after_id={page.last_id}"
        raise self.adapter.http.unusable("endless_list", f"more than {MAX_PAGES} pages of batches")

    async def get(self, id: str, call: Call) -> batches.ProviderBatch:
        return self._batch(await self._ask("GET", f"/{id}", call))

    async def cancel(self, id: str, call: Call) -> None:
        try:
            await self._ask("POST", f"/{id}/cancel", call, b"{}")
        except (ProviderRejected, ProviderObjectNotFound):  # it has ended
            return

    async def answers(self, batch: batches.ProviderBatch, call: Call) -> AsyncGenerator[BatchedAnswer]:
        if batch.output_file_id:
            for line in await self._results(batch.id, call):
                yield _answer(line)

    def read(self, answer: BatchedAnswer, request: pb.CreateCompletionRequest, route: Route) -> pb.Completion:
        if answer.status != HTTPStatus.OK:
            self.adapter.refuse(Reply(answer.status, {}, answer.body), route.model)
        return self.adapter.read(answer.body, route.model)

    async def clear(self, key: str, batch: batches.ProviderBatch | None, call: Call) -> None:
        if batch is not None:
            await self._ask("DELETE", f"/{batch.id}", call)

    async def _is_of(self, id: str, ids: Collection[str], call: Call) -> bool:
        return any(line.custom_id in ids for line in await self._results(id, call))

    async def _results(self, id: str, call: Call) -> list["_Line"]:
        body = await self._ask("GET", f"/{id}/results", call)
        return [self.adapter.http.decode(line, LINE) for line in body.split(b"\n") if line.strip()]

    async def _ask(self, method: str, rest: str, call: Call, body: bytes = b"") -> bytes:
        headers = self.adapter.plain_headers
        reply = await self.adapter.http.request(method, PATH + rest, body, call, headers)
        if reply.status == HTTPStatus.NOT_FOUND and rest.startswith("/"):
            id = rest.split("/")[1]
            raise ProviderObjectNotFound(provider=self.adapter.name, kind="batch", id=id)
        if reply.status != HTTPStatus.OK:
            self.adapter.refuse(reply, "")
        return reply.body

    def _batch(self, body: bytes) -> batches.ProviderBatch:
        return self._of(self.adapter.http.decode(body, BATCH))

    def _of(self, found: "_Batch") -> batches.ProviderBatch:
        """Contract's batch; its results stand for an output file."""
        counts = found.request_counts
        state = batches.BATCH_STATE_IN_PROGRESS
        if found.processing_status == "canceling":
            state = batches.BATCH_STATE_CANCELLING
        elif found.processing_status == "ended":
            is_cancelled = found.cancel_initiated_at is not None
            state = batches.BATCH_STATE_CANCELLED if is_cancelled else batches.BATCH_STATE_COMPLETED
            if counts.expired and not counts.succeeded + counts.errored:
                state = batches.BATCH_STATE_EXPIRED
        batch = batches.ProviderBatch(id=found.id, provider=self.adapter.name, endpoint="/v1/messages")
        batch.state, batch.request_count = state, counts.total
        batch.completed_count, batch.failed_count = counts.succeeded, counts.errored
        batch.times.create_time.FromDatetime(found.created_at)
        if found.results_url:
            batch.output_file_id = f"{found.id}/results"
        return batch


class _Counts(Struct):
    """Requests of a batch by outcome; all are processing until the whole batch ends."""

    processing: int = 0
    succeeded: int = 0
    errored: int = 0
    canceled: int = 0
    expired: int = 0

    @property
    def total(self) -> int:
        return self.processing + self.succeeded + self.errored + self.canceled + self.expired


class _Batch(Struct):
    """Batch object; processing_status is in_progress, canceling or ended."""

    id: str
    processing_status: str
    created_at: datetime
    request_counts: _Counts = msgspec.field(default_factory=_Counts)
    cancel_initiated_at: datetime | None = None
    results_url: str | None = None


class _Page(Struct):
    """Page of the list, the newest first."""

    data: list[_Batch]
    has_more: bool = False
    last_id: str | None = None


class _Result(Struct):
    """Result of a line: type is succeeded, errored, canceled or expired."""

    type: str
    message: Raw = Raw(b"{}")
    error: Raw = Raw(b"{}")


class _Line(Struct):
    """Line of the results."""

    custom_id: str
    result: _Result


BATCH = msgspec.json.Decoder(_Batch)
PAGE = msgspec.json.Decoder(_Page)
LINE = msgspec.json.Decoder(_Line)


def _answer(line: _Line) -> BatchedAnswer:
    result = line.result
    if result.type == "succeeded":
        return BatchedAnswer(line.custom_id, HTTPStatus.OK, bytes(result.message))
    why = f"the request is {result.type}" if result.type in UNANSWERED else ""
    return BatchedAnswer(line.custom_id, HTTPStatus.INTERNAL_SERVER_ERROR, bytes(result.error), why)
