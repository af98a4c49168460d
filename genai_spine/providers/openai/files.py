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
from genai_spine.providers.http.client import HttpClient
from genai_spine.providers.openai import chat_answer
from genai_spine.providers.openai.media import USAGE_REPORT, UsageReport, usage_of_report
from genai_spine.providers.openai.sdk import Sdk, Subject
from genai_spine.v1 import execution_pb2, usage_pb2
from genai_spine.v1 import provider_batch_service_pb2 as batches
from genai_spine.v1 import provider_file_service_pb2 as files

FILES = Subject("file", "")
BATCHES = Subject("batch", "")
BATCH_FIELDS = frozenset({"input_file_id", "endpoint", "completion_window"})  # of ours
STATES = {name.removeprefix("BATCH_STATE_").lower(): name for name in batches.BatchState.keys()}  # noqa: SIM118
TIMES = {field.name: field.name.replace("_time", "_at") for field in batches.BatchTimes.DESCRIPTOR.fields}
TIMES |= {"create_time": "created_at", "expire_time": "expires_at"}


class Files(Provider):
    """Files and batches of OpenAI's API, through the official SDK; a part of the OpenAI adapter.

    A batch's lines come from its output file and its error file, read as streams, whatever their size.
    """

    sdk: Sdk
    http: HttpClient

    async def upload_file(self, request: files.UploadFileRequest, call: Call) -> files.ProviderFile:
        further: dict[str, Any] = {}
        if request.HasField("expires_after_s"):
            further["expires_after"] = {"anchor": "created_at", "seconds": request.expires_after_s}
        purpose: Any = request.purpose
        async with self.sdk.asking(call, FILES) as client:
            raw = await client.files.with_raw_response.create(
                file=(request.filename, request.data), purpose=purpose, **further
            )
        return self._file(self.http.decode(raw.content, FILE))

    async def list_files(self, request: files.ListFilesRequest, call: Call) -> files.ListFilesResponse:
        query: dict[str, Any] = {"order": "asc" if request.oldest_first else "desc"}
        query |= _paged(request)
        if request.HasField("purpose"):
            query["purpose"] = request.purpose
        async with self.sdk.asking(call, FILES) as client:
            raw = await client.files.with_raw_response.list(**query)
        page = self.http.decode(raw.content, FILE_PAGE)
        return files.ListFilesResponse(
            files=[self._file(file) for file in page.data],
            next_page_token=self._next_page(page, request),
        )

    def _next_page(
        self, page: "_FilePage | _BatchPage", request: files.ListFilesRequest | batches.ListBatchesRequest
    ) -> str:
        """Id that the next page begins after; empty: the last one.

        Errors: ProviderError. Callers who follow a list that does not go on would do so for ever
        (https://github.com/BerriAI/litellm/issues/36324, 2026-08-09).
        """
        if not page.has_more:
            return ""
        last_id = page.data[-1].id if page.data else ""
        if last_id in ("", request.page_token):
            raise self.http.unusable("endless_list", "there is more of the list, but no next page")
        return last_id

    async def get_file(self, id: str, call: Call) -> files.ProviderFile:
        async with self.sdk.asking(call, Subject("file", id)) as client:
            raw = await client.files.with_raw_response.retrieve(id)
        return self._file(self.http.decode(raw.content, FILE))

    async def delete_file(self, id: str, call: Call) -> files.DeleteFileResponse:
        async with self.sdk.asking(call, Subject("file", id)) as client:
            raw = await client.files.with_raw_response.delete(id)
        deleted = self.http.decode(raw.content, DELETED)
        return files.DeleteFileResponse(id=deleted.id, deleted=deleted.deleted)

    def read_file(self, id: str, call: Call) -> AsyncGenerator[tuple[str, bytes]]:
        return self.sdk.stream(
            lambda client: client.files.with_streaming_response.content(id), call, Subject("file", id)
        )

    async def create_batch(self, request: batches.CreateBatchRequest, call: Call) -> batches.ProviderBatch:
        options = msgspec.json.decode(request.provider_options_json or "{}", type=dict[str, Any])
        further = {name: value for name, value in options.items() if name not in BATCH_FIELDS}
        optional: dict[str, Any] = {"metadata": dict(request.metadata)} if request.metadata else {}
        window: Any = request.completion_window or "24h"
        endpoint: Any = request.endpoint
        async with self.sdk.asking(call, Subject("file", request.input_file_id)) as client:
            raw = await client.batches.with_raw_response.create(
                input_file_id=request.input_file_id,
                endpoint=endpoint,
                completion_window=window,
                extra_body=further,
                **optional,
            )
        return self._batch(self.http.decode(raw.content, BATCH))

    async def get_batch(self, id: str, call: Call) -> batches.ProviderBatch:
        async with self.sdk.asking(call, Subject("batch", id)) as client:
            raw = await client.batches.with_raw_response.retrieve(id)
        return self._batch(self.http.decode(raw.content, BATCH))

    async def list_batches(
        self, request: batches.ListBatchesRequest, call: Call
    ) -> batches.ListBatchesResponse:
        async with self.sdk.asking(call, BATCHES) as client:
            raw = await client.batches.with_raw_response.list(**_paged(request))
        page = self.http.decode(raw.content, BATCH_PAGE)
        return batches.ListBatchesResponse(
            batches=[self._batch(batch) for batch in page.data],
            next_page_token=self._next_page(page, request),
        )

    async def cancel_batch(self, id: str, call: Call) -> batches.ProviderBatch:
        async with self.sdk.asking(call, Subject("batch", id)) as client:
            raw = await client.batches.with_raw_response.cancel(id)
        return self._batch(self.http.decode(raw.content, BATCH))

    async def batch_lines(
        self, batch: batches.ProviderBatch, call: Call
    ) -> AsyncGenerator[tuple[str, execution_pb2.Execution]]:
        for id in (batch.output_file_id, batch.error_file_id):
            if not id:
                continue
            async with aclosing(self.lines_of(id, call)) as lines:
                async for data in lines:
                    line = self.http.decode(data, LINE)
                    yield line.custom_id, self._execution(line, batch)

    async def lines_of(self, file_id: str, call: Call) -> AsyncGenerator[bytes]:
        """Lines of a file as its bytes arrive, empty ones left out."""
        partial = b""
        async with aclosing(self.read_file(file_id, call)) as chunks:
            async for _, data in chunks:
                *whole, partial = (partial + data).split(b"\n")
                for line in whole:
                    if line.strip():
                        yield line
        if partial.strip():
            yield partial

    def _execution(self, line: "_Line", batch: batches.ProviderBatch) -> execution_pb2.Execution:
        """Ledger's row of one line: model, outcome and usage; a line that failed used nothing."""
        response = line.response or _Response()
        body = response.body or _Body()
        execution = execution_pb2.Execution(
            provider=self.name, model=body.model or batch.model, provider_response_id=body.id
        )
        if response.status_code == HTTPStatus.OK:
            execution.state = execution_pb2.EXECUTION_STATE_SUCCEEDED
            self._add_usage_of_line(body.usage, execution)
        else:
            fault = line.error or body.error or _Fault()
            execution.state = execution_pb2.EXECUTION_STATE_FAILED
            execution.error_reason = "PROVIDER_REJECTED"
            execution.error = fault.message or fault.code or f"HTTP {response.status_code}"
            execution.usage.CopyFrom(chat_answer.usage(chat_answer.Usage()))
        return execution

    def _add_usage_of_line(self, reported: Raw | UnsetType, execution: execution_pb2.Execution) -> None:
        """Adds the usage of a line: chats, completions and embeddings have one form, responses the other."""
        text = b"" if reported is UNSET else bytes(reported)
        if not text.startswith(b"{"):
            unknown = usage_pb2.PROVENANCE_UNKNOWN
            execution.usage.input_provenance = execution.usage.output_provenance = unknown
            return
        execution.usage_json = text.decode("utf-8", "replace")
        younger = self.http.decode(text, USAGE_REPORT)
        if younger.input_tokens is not None:
            execution.usage.CopyFrom(usage_of_report(younger))
            return
        told = self.http.decode(text, chat_answer.USAGE)
        execution.usage.CopyFrom(chat_answer.usage(told))
        if tools := chat_answer.tools(told):
            execution.units.server_tools.update(tools)

    def _file(self, file: "_File") -> files.ProviderFile:
        """Contract's file; times are Unix seconds, size is bytes."""
        return files.ProviderFile(
            id=file.id,
            provider=self.name,
            filename=file.filename,
            purpose=file.purpose,
            size_bytes=file.bytes,
            create_time=chat_answer.moment(file.created_at),
            expire_time=chat_answer.moment(file.expires_at),
            status=file.status or "",
        )

    def _batch(self, reported: "_Batch") -> batches.ProviderBatch:
        """Contract's batch; an unknown status is UNSPECIFIED."""
        times = {name: chat_answer.moment(getattr(reported, at)) for name, at in TIMES.items()}
        batch = batches.ProviderBatch(
            id=reported.id,
            provider=self.name,
            endpoint=reported.endpoint,
            input_file_id=reported.input_file_id,
            completion_window=reported.completion_window,
            state=STATES.get(reported.status, "BATCH_STATE_UNSPECIFIED"),
            output_file_id=reported.output_file_id,
            error_file_id=reported.error_file_id,
            times=batches.BatchTimes(**times),
            request_count=reported.request_counts.total,
            completed_count=reported.request_counts.completed,
            failed_count=reported.request_counts.failed,
            metadata=reported.metadata or {},
            model=reported.model,
        )
        for fault in reported.errors.data or () if reported.errors else ():
            batch.errors.add(
                code=fault.code or "", message=fault.message or "", line=fault.line, param=fault.param
            )
        if reported.usage and reported.usage.input_tokens is not None:
            batch.usage.CopyFrom(usage_of_report(reported.usage))
        return batch


class _File(Struct):
    """File object."""

    id: str
    bytes: int = 0
    created_at: int | float | None = None
    expires_at: int | float | None = None
    filename: str = ""
    purpose: str = ""
    status: str | None = None


class _FilePage(Struct):
    """Page of the list of files."""

    data: list[_File]
    has_more: bool = False


class _Deleted(Struct):
    id: str
    deleted: bool = False


class _Fault(Struct):
    """Error of a batch, of a line, or of a line's answer."""

    code: str | None = None
    message: str | None = None
    line: int | None = None
    param: str | None = None


class _Faults(Struct):
    data: list[_Fault] | None = None


class _Counts(Struct):
    """Requests of a batch by outcome."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class _Batch(Struct):
    """Batch object; times are Unix seconds."""

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
    usage: UsageReport | None = None


class _BatchPage(Struct):
    """Page of the list of batches."""

    data: list[_Batch]
    has_more: bool = False


class _Body(Struct):
    """Answer within a line, as far as the ledger needs it."""

    id: str | None = None
    model: str | None = None
    usage: Raw | UnsetType = UNSET
    error: _Fault | None = None


class _Response(Struct):
    """HTTP response of a line."""

    status_code: int = 0
    body: _Body | None = None


class _Line(Struct):
    """Line of an output or error file."""

    custom_id: str
    response: _Response | None = None
    error: _Fault | None = None


FILE = msgspec.json.Decoder(_File)
FILE_PAGE = msgspec.json.Decoder(_FilePage)
DELETED = msgspec.json.Decoder(_Deleted)
BATCH = msgspec.json.Decoder(_Batch)
BATCH_PAGE = msgspec.json.Decoder(_BatchPage)
LINE = msgspec.json.Decoder(_Line)


def _paged(request: files.ListFilesRequest | batches.ListBatchesRequest) -> dict[str, Any]:
    query: dict[str, Any] = {"limit": request.page_size} if request.page_size else {}
    return query | ({"after": request.page_token} if request.page_token else {})
