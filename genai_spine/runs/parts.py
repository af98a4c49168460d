"""Parts of runs as callers read them: events, steps, items, children, queues and workers."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from google.api.httpbody_pb2 import HttpBody
from google.protobuf import json_format

from genai_spine import page_tokens
from genai_spine.call import Call
from genai_spine.http_answer import answered, carrying
from genai_spine.runs.watching import Events, Place, RunWatcher
from genai_spine.store.runs.events import EventRows
from genai_spine.store.runs.items import ItemRows
from genai_spine.store.runs.queue_stats import QueueCounts
from genai_spine.store.runs.runs import RunRows
from genai_spine.store.runs.steps import StepRows
from genai_spine.store.runs.workers import WorkerRows
from genai_spine.v1 import run_pb2
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.batch_pb2 import RunItem

DEFAULT_PAGE = 100
DEFAULT_CHILDREN = 50
EXPORT_PAGE = 200  # items that are read at once
EVENTS = "text/event-stream"
JSON = "application/json"
JSON_LINES = "application/jsonl"
PING = b": ping\n\n"
PING_INTERVAL_S = 15.0


@dataclass(frozen=True, slots=True)
class RunParts:
    """Reads of what belongs to a run that the caller may see."""

    event_rows: EventRows
    step_rows: StepRows
    item_rows: ItemRows
    runs: RunRows
    queues: QueueCounts
    worker_rows: WorkerRows

    async def events(self, request: pb.ListRunEventsRequest) -> pb.ListRunEventsResponse:
        """Page of a log, in its order."""
        size = request.page_size or DEFAULT_PAGE
        place = page_tokens.place(request, page_tokens.NUMBER)
        after = place[0] if place else request.after_sequence
        found = await self.event_rows.after(request.run_id, after, size + 1)
        response = pb.ListRunEventsResponse(events=found[:size])
        if len(found) > size:
            response.next_page_token = page_tokens.token(request, found[size - 1].sequence)
        return response

    async def read_events(
        self, request: pb.ReadRunEventsRequest, call: Call, run: run_pb2.Run, watcher: RunWatcher
    ) -> AsyncGenerator[HttpBody]:
        """Log as a JSON list, or as server-sent events whose ids are the sequence numbers."""
        after = request.after_sequence
        if call.resume is not None and call.resume.last_event_id and not request.HasField("after_sequence"):
            after = int(call.resume.last_event_id) if call.resume.last_event_id.isdigit() else 0
        if request.stream or EVENTS in call.accept:
            if run.HasField("end_time") and run.last_sequence <= after:
                # A browser asks again for what has ended, until it hears that there is no more.
                answered(call, 204)
                yield HttpBody(content_type=EVENTS)
                return
            async for body in _frames(watcher.watch(request.run_id, Place(after), PING_INTERVAL_S)):
                yield body
            return
        listed = pb.ListRunEventsRequest(
            run_id=request.run_id,
            after_sequence=after,
            page_size=request.page_size or DEFAULT_PAGE,
            page_token=request.page_token,
        )
        yield HttpBody(content_type=JSON, data=_json(await self.events(listed)).encode())

    async def steps(self, request: pb.ListRunStepsRequest) -> pb.ListRunStepsResponse:
        """Page of steps, in the order in which they began."""
        size = request.page_size or DEFAULT_PAGE
        place = page_tokens.place(request, page_tokens.NUMBER)
        found = await self.step_rows.page(request.run_id, place[0] if place else 0, size)
        response = pb.ListRunStepsResponse(steps=found[:size])
        if len(found) > size:
            response.next_page_token = page_tokens.token(request, found[size - 1].step_order)
        return response

    async def items(self, request: pb.ListRunItemsRequest) -> pb.ListRunItemsResponse:
        """Page of items, in their order."""
        size = request.page_size or DEFAULT_PAGE
        place = page_tokens.place(request, page_tokens.NUMBER)
        found, has_more = await self.item_rows.page(request, place[0] if place else -1, size)
        response = pb.ListRunItemsResponse(items=found)
        if has_more:
            response.next_page_token = page_tokens.token(request, found[-1].index)
        return response

    async def export(self, request: pb.ExportRunItemsRequest) -> AsyncGenerator[HttpBody]:
        """All items as JSON lines, in their order; the next ones are read once the last ones are taken."""
        listed = pb.ListRunItemsRequest(run_id=request.run_id)
        after, has_more = -1, True
        while has_more:
            found, has_more = await self.item_rows.page(listed, after, EXPORT_PAGE)
            yield HttpBody(content_type=JSON_LINES, data=await asyncio.to_thread(_lines, found))
            after = found[-1].index if found else after

    async def children(self, request: pb.ListRunChildrenRequest) -> pb.ListRunsResponse:
        """Page of children, the oldest first."""
        size = request.page_size or DEFAULT_CHILDREN
        place = page_tokens.place(request, str)
        found = await self.runs.children(request.run_id, place[0] if place else "", size)
        response = pb.ListRunsResponse(runs=found[:size])
        if len(found) > size:
            response.next_page_token = page_tokens.token(request, found[size - 1].run_id)
        return response

    async def stats(self, call: Call) -> pb.QueueStats:
        """Queues of a tenant by lane and priority."""
        stats = await self.queues.of_tenant(call.principal.tenant_id)
        workers = await self.worker_rows.live()
        for depth in stats.depths:
            depth.workers = sum(depth.lane in worker.lanes or worker.serves_other_lanes for worker in workers)
        return stats

    async def workers(self, request: pb.ListWorkersRequest) -> pb.ListWorkersResponse:
        """Page of living workers, the oldest first."""
        size = request.page_size or DEFAULT_PAGE
        place = page_tokens.place(request, page_tokens.TIME, str)
        found = [worker for worker in await self.worker_rows.live() if place is None or _age(worker) > place]
        response = pb.ListWorkersResponse(workers=found[:size])
        if len(found) > size:
            response.next_page_token = page_tokens.token(request, *_age(found[size - 1]))
        return response


def _age(worker: pb.Worker) -> tuple[datetime, str]:
    """Place of a worker in the list."""
    return worker.start_time.ToDatetime(UTC), worker.worker_id


def _lines(items: Sequence[RunItem]) -> bytes:
    return "".join(_json(item) + "\n" for item in items).encode()


def _json(message: object) -> str:
    return json_format.MessageToJson(
        message,  # type: ignore[arg-type]
        preserving_proto_field_name=True,
        indent=None,
        always_print_fields_with_no_presence=True,
    )


async def _frames(events: Events) -> AsyncGenerator[HttpBody]:
    """Server-sent events, with a comment in each silence so that no proxy ends the connection."""
    content_type = carrying(EVENTS, {"cache-control": "no-cache", "x-accel-buffering": "no"})
    async with aclosing(events):
        async for event in events:
            yield HttpBody(content_type=content_type, data=PING if event is None else _frame(event))
            content_type = ""


def _frame(event: run_pb2.RunEvent) -> bytes:
    """Event as a server-sent event; text has no id, since it is no place to go on from."""
    id = f"id: {event.sequence}\n" if not event.HasField("output") else ""
    return f"{id}event: {event.event_type}\ndata: {_json(event)}\n\n".encode()
