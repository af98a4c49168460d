"""Own files and batches, as a provider named spine: files are kept in the database, a batch is a run."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from genai_spine import page_tokens
from genai_spine.call import Call, uuid7
from genai_spine.errors import InvalidRequest, NotCancellable, ProviderObjectNotFound, RunNotFound
from genai_spine.openai_api.batches.lines import ENDPOINTS, answer_line, items_of
from genai_spine.providers.base import Endpoint, Provider
from genai_spine.runs.library import RunLibrary
from genai_spine.store.files.files import FileRows, FileUpload
from genai_spine.store.runs.items import ItemRows
from genai_spine.v1 import provider_batch_service_pb2 as batches
from genai_spine.v1 import provider_file_service_pb2 as files
from genai_spine.v1 import run_pb2
from genai_spine.v1.run_service_pb2 import (
    CancelRunRequest,
    CreateRunRequest,
    ListRunItemsRequest,
    ListRunsRequest,
)

NAME = "spine"
JSON_LINES = "application/jsonl"
OUTPUT_PURPOSE = "batch_output"
MAX_FILES = 10_000  # of a page
MAX_CONCURRENCY = 20  # items of a batch at once
ITEM_PAGE = 200
MARK = "openai_batch"  # of a run's metadata: it is a batch of this API
ENDPOINT, INPUT_FILE, WINDOW = "openai_endpoint", "openai_input_file", "openai_window"
OURS = (MARK, ENDPOINT, INPUT_FILE, WINDOW)
STATES = {
    "pending": batches.BATCH_STATE_VALIDATING,
    "queued": batches.BATCH_STATE_VALIDATING,
    "running": batches.BATCH_STATE_IN_PROGRESS,
    "completed": batches.BATCH_STATE_COMPLETED,
    "failed": batches.BATCH_STATE_FAILED,
    "dead_lettered": batches.BATCH_STATE_FAILED,
    "cancelled": batches.BATCH_STATE_CANCELLED,
}
WINDOWS = {"24h": timedelta(hours=24)}


@dataclass(frozen=True, slots=True)
class OwnRuns:
    """Runs that batches are."""

    library: RunLibrary
    items: ItemRows


class OwnProvider(Provider):
    """Files and batches of this service itself. Whose they are, the services check before."""

    def __init__(self, rows: FileRows, runs: OwnRuns) -> None:
        super().__init__(Endpoint(NAME, "spine:"))
        self._files = rows
        self._runs = runs

    async def upload_file(self, request: files.UploadFileRequest, call: Call) -> files.ProviderFile:
        id = f"file-{UUID(uuid7()).hex}"
        expires_s = request.expires_after_s if request.HasField("expires_after_s") else None
        new = FileUpload(id, call.principal.tenant_id, request.filename, request.purpose, expires_s)
        await self._files.write(new, _whole(request.data))
        return await self.get_file(id, call)

    async def list_files(self, request: files.ListFilesRequest, call: Call) -> files.ListFilesResponse:
        size = min(page_tokens.size(request, MAX_FILES), MAX_FILES)
        tenant_id = call.principal.tenant_id
        found = await self._files.page(tenant_id, request.page_token, size, oldest_first=request.oldest_first)
        end = found[size - 1].id if len(found) > size else ""
        return files.ListFilesResponse(files=found[:size], next_page_token=end)

    async def get_file(self, id: str, call: Call) -> files.ProviderFile:
        """Errors: ProviderObjectNotFound."""
        file = await self._files.get(id, call.principal.tenant_id)
        if file is None:
            raise ProviderObjectNotFound(provider=NAME, kind="file", id=id)
        return file

    async def delete_file(self, id: str, call: Call) -> files.DeleteFileResponse:
        """Errors: ProviderObjectNotFound."""
        if not await self._files.delete(id, call.principal.tenant_id):
            raise ProviderObjectNotFound(provider=NAME, kind="file", id=id)
        return files.DeleteFileResponse(id=id, deleted=True)

    async def read_file(self, id: str, call: Call) -> AsyncGenerator[tuple[str, bytes]]:
        """Errors: ProviderObjectNotFound."""
        await self.get_file(id, call)
        async for piece in self._files.read(id, call.principal.tenant_id):
            yield JSON_LINES if id.startswith("file-") else "", piece

    async def create_batch(self, request: batches.CreateBatchRequest, call: Call) -> batches.ProviderBatch:
        """Batch over an uploaded file, as a run. Errors: InvalidRequest that names what is wrong."""
        if request.endpoint not in ENDPOINTS:
            raise InvalidRequest(field="endpoint", problem=f"must be one of {', '.join(ENDPOINTS)}")
        window = request.completion_window or "24h"
        if window not in WINDOWS:
            raise InvalidRequest(field="completion_window", problem=f"must be one of {', '.join(WINDOWS)}")
        await self.get_file(request.input_file_id, call)
        content = self._files.read(request.input_file_id, call.principal.tenant_id)
        creating = CreateRunRequest()
        batch, options = creating.work.batch, creating.options
        batch.items.extend(await items_of(content, request.endpoint))
        batch.max_concurrency = MAX_CONCURRENCY
        options.priority, options.lane = "low", "batch"
        options.deadline.FromDatetime(datetime.now(UTC) + WINDOWS[window])
        options.cost_labels.update(request.cost_labels)
        options.metadata.update({name[:64]: value for name, value in request.metadata.items()})
        options.metadata.update({MARK: "1", ENDPOINT: request.endpoint, WINDOW: window})
        options.metadata[INPUT_FILE] = request.input_file_id
        return await self._batch(await self._runs.library.create(creating, call), call)

    async def get_batch(self, id: str, call: Call) -> batches.ProviderBatch:
        """Errors: ProviderObjectNotFound."""
        return await self._batch(await self._run(id, call), call)

    async def list_batches(
        self, request: batches.ListBatchesRequest, call: Call
    ) -> batches.ListBatchesResponse:
        size = page_tokens.size(request, 20)
        listing = ListRunsRequest(page_size=size, page_token=request.page_token)
        listing.metadata_json = json.dumps({MARK: "1"})
        page = await self._runs.library.page(listing, call)
        found = [await self.get_batch(batch_id(run.run_id), call) for run in page.runs]
        return batches.ListBatchesResponse(batches=found, next_page_token=page.next_page_token)

    async def cancel_batch(self, id: str, call: Call) -> batches.ProviderBatch:
        """Errors: ProviderObjectNotFound, InvalidRequest where it has ended."""
        run = await self._run(id, call)
        try:
            request = CancelRunRequest(run_id=run.run_id, reason="cancelled by its caller", mode="boundary")
            run = await self._runs.library.cancel(request, call)
        except NotCancellable as error:
            raise InvalidRequest(field="batch_id", problem=str(error)) from None
        return await self._batch(run, call)

    async def _run(self, id: str, call: Call) -> run_pb2.Run:
        """Errors: ProviderObjectNotFound."""
        try:
            run = await self._runs.library.get(run_id_of(id), call)
        except (RunNotFound, ValueError):
            raise ProviderObjectNotFound(provider=NAME, kind="batch", id=id) from None
        if MARK not in run.options.metadata:
            raise ProviderObjectNotFound(provider=NAME, kind="batch", id=id)
        return run

    async def _batch(self, run: run_pb2.Run, call: Call) -> batches.ProviderBatch:
        labels, counts = run.options.metadata, run.item_counts
        batch = batches.ProviderBatch(
            id=batch_id(run.run_id),
            provider=NAME,
            endpoint=labels[ENDPOINT],
            input_file_id=labels[INPUT_FILE],
            completion_window=labels[WINDOW],
            state=_state(run),
            request_count=counts.total,
            completed_count=counts.completed,
            failed_count=counts.failed,
            metadata={name: value for name, value in labels.items() if name not in OURS},
        )
        _set_times(batch.times, run)
        if run.HasField("end_time"):
            await self._write_answers(batch, run, call)
            batch.usage.CopyFrom(run.usage)
            batch.cost.CopyFrom(run.cost)
        if run.status in ("failed", "dead_lettered") and batch.state == batches.BATCH_STATE_FAILED:
            batch.errors.add(code=run.error.type, message=run.error.message)
        return batch

    async def _write_answers(self, batch: batches.ProviderBatch, run: run_pb2.Run, call: Call) -> None:
        """Names the files of answers and errors, and writes them where they are not there yet."""
        counts, id = run.item_counts, run.run_id.replace("-", "")
        if counts.completed:
            batch.output_file_id = f"file-{id}-output"
            await self._write(batch.output_file_id, run, call, are_errors=False)
        if counts.total > counts.completed:
            batch.error_file_id = f"file-{id}-errors"
            await self._write(batch.error_file_id, run, call, are_errors=True)

    async def _write(self, id: str, run: run_pb2.Run, call: Call, *, are_errors: bool) -> None:
        tenant_id = call.principal.tenant_id
        if await self._files.get(id, tenant_id) is None:
            name = f"{batch_id(run.run_id)}_{'error' if are_errors else 'output'}.jsonl"
            new = FileUpload(id, tenant_id, name, OUTPUT_PURPOSE)
            await self._files.write(new, await self._answers(run, are_errors=are_errors))

    async def _answers(self, run: run_pb2.Run, *, are_errors: bool) -> AsyncIterator[bytes]:
        """Lines of an answer file. They are read before they are written: one connection at a time."""
        pieces: list[bytes] = []
        after, request = -1, ListRunItemsRequest(run_id=run.run_id, include_work=True)
        while True:
            found, goes_on = await self._runs.items.page(request, after, ITEM_PAGE)
            lines = (
                msgspec.json.encode(answer_line(item, run.run_id)) + b"\n"
                for item in found
                if (item.status != "completed") == are_errors
            )
            pieces.append(await asyncio.to_thread(b"".join, lines))
            if not goes_on:
                return _each(pieces)
            after = found[-1].index


def batch_id(run_id: str) -> str:
    """Id of a run as a batch of this API."""
    return f"batch_{run_id.replace('-', '')}"


def run_id_of(batch_id: str) -> str:
    """Run of a batch. Raises ValueError where it is none."""
    return str(UUID(batch_id.removeprefix("batch_")))


def _state(run: run_pb2.Run) -> batches.BatchState:
    if run.is_cancelling:
        return batches.BATCH_STATE_CANCELLING
    if run.status == "failed" and run.error.type == "timeout":
        return batches.BATCH_STATE_EXPIRED
    return STATES[run.status]


def _set_times(times: batches.BatchTimes, run: run_pb2.Run) -> None:
    times.create_time.CopyFrom(run.create_time)
    if run.HasField("start_time"):
        times.in_progress_time.CopyFrom(run.start_time)
    times.expire_time.CopyFrom(run.options.deadline)
    if not run.HasField("end_time"):
        return
    state = _state(run)
    ends = {
        batches.BATCH_STATE_COMPLETED: (times.finalizing_time, times.completed_time),
        batches.BATCH_STATE_EXPIRED: (times.expired_time,),
        batches.BATCH_STATE_CANCELLED: (times.cancelled_time,),
        batches.BATCH_STATE_FAILED: (times.failed_time,),
    }
    for time in ends.get(state, ()):
        time.CopyFrom(run.end_time)


async def _whole(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _each(pieces: list[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
