"""Files and batches of any endpoint that offers OpenAI's paths for them.

Wire facts: https://platform.openai.com/docs/api-reference/files and .../batch, and the types of the
official package, 2026-11-28.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from genai_spine.call import Call
from genai_spine.providers.base import Provider
from genai_spine.providers.http.client import Wire
from genai_spine.providers.openai import chat as wire_json
from genai_spine.providers.openai.media import Counted, counted
from genai_spine.providers.openai.sdk import Sdk, Subject
from genai_spine.v1 import execution_pb2, usage_pb2
from genai_spine.v1 import provider_batch_service_pb2 as batches
from genai_spine.v1 import provider_file_service_pb2 as files

FILES = Subject("file", "")
BATCHES = Subject("batch", "")
STATES = {name.removeprefix("BATCH_STATE_").lower(): name for name in batches.BatchState.keys()}  # noqa: SIM118
TIMES = {field.name: field.name.replace("_time", "_at") for field in batches.BatchTimes.DESCRIPTOR.fields}
TIMES |= {"create_time": "created_at", "expire_time": "expires_at"}


class Files(Provider):
    sdk: Sdk
    wire: Wire

    async def upload_file(self, request: files.UploadFileRequest, call: Call) -> files.ProviderFile:
        further: dict[str, Any] = {}
        if request.HasField("expires_after_s"):
            further["expires_after"] = {"anchor": "created_at", "seconds": request.expires_after_s}
        purpose: Any = request.purpose
        async with self.sdk.asking(call, FILES) as client:
            raw = await client.files.with_raw_response.create(
                file=(request.filename, request.data), purpose=purpose, **further
            )
        return self._file(self.wire.decode(raw.content, FILE))

    async def list_files(self, request: files.ListFilesRequest, call: Call) -> files.ListFilesResponse:
        asked: dict[str, Any] = {"order": "asc" if request.oldest_first else "desc"}
        asked |= _paged(request)
        if request.HasField("purpose"):
            asked["purpose"] = request.purpose
        async with self.sdk.asking(call, FILES) as client:
            raw = await client.files.with_raw_response.list(**asked)
        page = self.wire.decode(raw.content, FILE_PAGE)
        return files.ListFilesResponse(
            files=[self._file(file) for file in page.data],
            next_page_token=page.data[-1].id if page.has_more and page.data else "",
        )

    async def get_file(self, id: str, call: Call) -> files.ProviderFile:
        async with self.sdk.asking(call, Subject("file", id)) as client:
            raw = await client.files.with_raw_response.retrieve(id)
        return self._file(self.wire.decode(raw.content, FILE))

    async def delete_file(self, id: str, call: Call) -> files.DeleteFileResponse:
        async with self.sdk.asking(call, Subject("file", id)) as client:
            raw = await client.files.with_raw_response.delete(id)
        deleted = self.wire.decode(raw.content, DELETED)
        return files.DeleteFileResponse(id=deleted.id, deleted=deleted.deleted)

    def read_file(self, id: str, call: Call) -> AsyncGenerator[tuple[str, bytes]]:
        return self.sdk.stream(
            lambda client: client.files.with_streaming_response.content(id), call, Subject("file", id)
        )

    async def create_batch(self, request: batches.CreateBatchRequest, call: Call) -> batches.ProviderBatch:
        given = request.provider_options_json
        asked: dict[str, Any] = {"metadata": dict(request.metadata)} if request.metadata else {}
        window: Any = request.completion_window or "24h"
        endpoint: Any = request.endpoint
        async with self.sdk.asking(call, Subject("file", request.input_file_id)) as client:
            raw = await client.batches.with_raw_response.create(
                input_file_id=request.input_file_id,
                endpoint=endpoint,
                completion_window=window,
                extra_body=msgspec.json.decode(given, type=dict[str, Any]) if given else {},
                **asked,
            )
        return self._batch(self.wire.decode(raw.content, BATCH))

    async def get_batch(self, id: str, call: Call) -> batches.ProviderBatch:
        async with self.sdk.asking(call, Subject("batch", id)) as client:
            raw = await client.batches.with_raw_response.retrieve(id)
        return self._batch(self.wire.decode(raw.content, BATCH))

    async def list_batches(
        self, request: batches.ListBatchesRequest, call: Call
    ) -> batches.ListBatchesResponse:
        async with self.sdk.asking(call, BATCHES) as client:
            raw = await client.batches.with_raw_response.list(**_paged(request))
        page = self.wire.decode(raw.content, BATCH_PAGE)
        return batches.ListBatchesResponse(
            batches=[self._batch(batch) for batch in page.data],
            next_page_token=page.data[-1].id if page.has_more and page.data else "",
        )

    async def cancel_batch(self, id: str, call: Call) -> batches.ProviderBatch:
        async with self.sdk.asking(call, Subject("batch", id)) as client:
            raw = await client.batches.with_raw_response.cancel(id)
        return self._batch(self.wire.decode(raw.content, BATCH))

    async def batch_lines(
        self, batch: batches.ProviderBatch, call: Call
    ) -> AsyncGenerator[tuple[str, execution_pb2.Execution]]:
        for id in (batch.output_file_id, batch.error_file_id):
            if not id:
                continue
            async with aclosing(self._lines(id, call)) as lines:
                async for data in lines:
                    line = self.wire.decode(data, LINE)
                    yield line.custom_id, self._execution(line, batch)

    async def _lines(self, file_id: str, call: Call) -> AsyncGenerator[bytes]:
        begun = b""
        async with aclosing(self.read_file(file_id, call)) as pieces:
            async for _, data in pieces:
                *whole, begun = (begun + data).split(b"\n")
                for line in whole:
                    if line.strip():
                        yield line
        if begun.strip():
            yield begun

    def _execution(self, line: "_Line", batch: batches.ProviderBatch) -> execution_pb2.Execution:
        response = line.response or _Response()
        body = response.body or _Body()
        execution = execution_pb2.Execution(
            provider=self.name, model=body.model or batch.model, provider_response_id=body.id
        )
        if response.status_code == HTTPStatus.OK:
            execution.state = execution_pb2.EXECUTION_STATE_SUCCEEDED
            execution.usage.CopyFrom(self._line_usage(body.usage))
        else:
            fault = line.error or body.error or _Fault()
            execution.state = execution_pb2.EXECUTION_STATE_FAILED
            execution.error_reason = "PROVIDER_REJECTED"
            execution.error = fault.message or fault.code or f"HTTP {response.status_code}"
            execution.usage.CopyFrom(wire_json.usage(wire_json.Usage()))
        return execution

    def _line_usage(self, given: Raw | UnsetType) -> usage_pb2.Usage:
        """Of chats, completions and embeddings in one form, of responses in the other."""
        if given is UNSET or bytes(given) == b"null":
            unknown = usage_pb2.PROVENANCE_UNKNOWN
            return usage_pb2.Usage(input_provenance=unknown, output_provenance=unknown)
        younger = self.wire.decode(bytes(given), COUNTED)
        if younger.input_tokens is not None:
            return counted(younger)
        return wire_json.usage(self.wire.decode(bytes(given), USAGE))

    def _file(self, file: "_File") -> files.ProviderFile:
        return files.ProviderFile(
            id=file.id,
            provider=self.name,
            filename=file.filename,
            purpose=file.purpose,
            size_bytes=file.bytes,
            create_time=wire_json.moment(file.created_at),
            expire_time=wire_json.moment(file.expires_at),
            status=file.status or "",
        )

    def _batch(self, given: "_Batch") -> batches.ProviderBatch:
        times = {name: wire_json.moment(getattr(given, at)) for name, at in TIMES.items()}
        batch = batches.ProviderBatch(
            id=given.id,
            provider=self.name,
            endpoint=given.endpoint,
            input_file_id=given.input_file_id,
            completion_window=given.completion_window,
            state=STATES.get(given.status, "BATCH_STATE_UNSPECIFIED"),
            output_file_id=given.output_file_id,
            error_file_id=given.error_file_id,
            times=batches.BatchTimes(**times),
            request_count=given.request_counts.total,
            completed_count=given.request_counts.completed,
            failed_count=given.request_counts.failed,
            metadata=given.metadata or {},
            model=given.model,
        )
        for fault in given.errors.data or () if given.errors else ():
            batch.errors.add(
                code=fault.code or "", message=fault.message or "", line=fault.line, param=fault.param
            )
        if given.usage and given.usage.input_tokens is not None:
            batch.usage.CopyFrom(counted(given.usage))
        return batch


class _File(Struct):
    id: str
    bytes: int = 0
    created_at: int | float | None = None
    expires_at: int | float | None = None
    filename: str = ""
    purpose: str = ""
    status: str | None = None


class _FilePage(Struct):
    data: list[_File]
    has_more: bool = False


class _Deleted(Struct):
    id: str
    deleted: bool = False


class _Fault(Struct):
    code: str | None = None
    message: str | None = None
    line: int | None = None
    param: str | None = None


class _Faults(Struct):
    data: list[_Fault] | None = None


class _Counts(Struct):
    total: int = 0
    completed: int = 0
    failed: int = 0


class _Batch(Struct):
    id: str
    status: str
    endpoint: str = ""
    input_file_id: str = ""
    completion_window: str = ""
    created_at: int | float | None = None
    in_progress_at: int | float | None = None
    expires_at: int | float | None = None
    finalizing_at: int | float | None = None
    completed_at: int | float | None = None
    failed_at: int | float | None = None
    expired_at: int | float | None = None
    cancelling_at: int | float | None = None
    cancelled_at: int | float | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: _Faults | None = None
    request_counts: _Counts = msgspec.field(default_factory=_Counts)
    metadata: dict[str, str] | None = None
    model: str | None = None
    usage: Counted | None = None


class _BatchPage(Struct):
    data: list[_Batch]
    has_more: bool = False


class _Body(Struct):
    id: str | None = None
    model: str | None = None
    usage: Raw | UnsetType = UNSET
    error: _Fault | None = None


class _Response(Struct):
    status_code: int = 0
    body: _Body | None = None


class _Line(Struct):
    custom_id: str
    response: _Response | None = None
    error: _Fault | None = None


FILE = msgspec.json.Decoder(_File)
FILE_PAGE = msgspec.json.Decoder(_FilePage)
DELETED = msgspec.json.Decoder(_Deleted)
BATCH = msgspec.json.Decoder(_Batch)
BATCH_PAGE = msgspec.json.Decoder(_BatchPage)
LINE = msgspec.json.Decoder(_Line)
COUNTED = msgspec.json.Decoder(Counted)
USAGE = msgspec.json.Decoder(wire_json.Usage)


def _paged(request: files.ListFilesRequest | batches.ListBatchesRequest) -> dict[str, Any]:
    asked: dict[str, Any] = {"limit": request.page_size} if request.page_size else {}
    return asked | ({"after": request.page_token} if request.page_token else {})
