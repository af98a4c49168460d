"""Files and Batches API of OpenAI: the typed services' answers in OpenAI's JSON.

Shapes: https://platform.openai.com/docs/api-reference/files and .../batch, 2026-11-28.
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
from google.api.httpbody_pb2 import HttpBody

from genai_spine import page_tokens, validation
from genai_spine.call import Call
from genai_spine.errors import InvalidFields, InvalidRequest
from genai_spine.openai_api import multipart, requests
from genai_spine.openai_api.admission import admit
from genai_spine.openai_api.batches import own
from genai_spine.openai_api.headers import JSON
from genai_spine.openai_api.schemas import Batch
from genai_spine.services.provider_batch import ProviderBatchService
from genai_spine.services.provider_file import ProviderFileService
from genai_spine.v1 import openai_service_pb2 as openai
from genai_spine.v1 import provider_batch_service_pb2 as batches
from genai_spine.v1 import provider_file_service_pb2 as files

DEFAULT_PROVIDER = own.NAME
BATCH_TIMES = {"create_time": "created_at", "expire_time": "expires_at"}  # the others: x_time, x_at


@dataclass(frozen=True, slots=True)
class FilesFacade:
    """Handlers of files and batches; the provider is that of the header x-genai-provider, or this
    service itself.
    """

    files: ProviderFileService
    batches: ProviderBatchService

    async def upload(self, body: bytes, content_type: str, call: Call) -> bytes:
        """Upload of one file from a multipart form. Errors: InvalidRequest."""
        form = multipart.parse(body, content_type)
        file = form.file("file")
        request = files.UploadFileRequest(
            provider=_provider(call),
            filename=file.name,
            data=file.data,
            purpose=form.text("purpose") or "",
            expires_after_s=_expires_after_s(form),
        )
        validation.check(request)
        return _json_answer(call, _file(await self.files.UploadFile(request, call)))

    async def list_files(self, query: openai.ListFileObjectsRequest, call: Call) -> bytes:
        """Page of the provider's files."""
        request = files.ListFilesRequest(
            provider=_provider(call),
            purpose=query.purpose if query.HasField("purpose") else None,
            page_size=query.limit if query.HasField("limit") else None,
            oldest_first=query.order == "asc",
        )
        if query.after:
            request.page_token = page_tokens.token(request, query.after)
        with _refused_as_after("file"):
            page = await self.files.ListFiles(request, call)
        return _json_answer(call, _list([_file(file) for file in page.files], page.next_page_token))

    async def file(self, id: str, call: Call) -> bytes:
        """Metadata of one file."""
        request = files.GetFileRequest(provider=_provider(call), file_id=id)
        return _json_answer(call, _file(await self.files.GetFile(request, call)))

    async def delete(self, id: str, call: Call) -> bytes:
        """Deletion of one file at the provider."""
        request = files.DeleteFileRequest(provider=_provider(call), file_id=id)
        gone = await self.files.DeleteFile(request, call)
        return _json_answer(call, {"id": gone.id, "object": "file", "deleted": gone.deleted})

    def content(self, id: str, call: Call) -> AsyncGenerator[HttpBody]:
        """Bytes of one file, streamed."""
        request = files.DownloadFileRequest(provider=_provider(call), file_id=id)
        return self.files.DownloadFile(request, call)

    async def create_batch(self, body: bytes, call: Call) -> bytes:
        """New batch over an uploaded file. Errors: InvalidRequest."""
        batch = requests.decode(body, Batch)
        request = batches.CreateBatchRequest(
            provider=_provider(call),
            input_file_id=batch.input_file_id,
            endpoint=batch.endpoint,
            completion_window=batch.completion_window,
            metadata=batch.metadata or {},
            cost_labels=batch.cost_labels,
            provider_options_json=requests.extras(requests.fields(body), Batch),
        )
        admit(request, call)
        return _json_answer(call, _batch(await self.batches.CreateBatch(request, call)))

    async def list_batches(self, query: openai.ListBatchObjectsRequest, call: Call) -> bytes:
        """Page of the provider's batches."""
        request = batches.ListBatchesRequest(
            provider=_provider(call), page_size=query.limit if query.HasField("limit") else None
        )
        if query.after:
            request.page_token = page_tokens.token(request, query.after)
        with _refused_as_after("batch"):
            page = await self.batches.ListBatches(request, call)
        return _json_answer(call, _list([_batch(batch) for batch in page.batches], page.next_page_token))

    async def batch(self, id: str, call: Call) -> bytes:
        """State of one batch; its cost is booked once it has ended."""
        request = batches.GetBatchRequest(provider=_provider(call), batch_id=id)
        return _json_answer(call, _batch(await self.batches.GetBatch(request, call)))

    async def cancel(self, id: str, call: Call) -> bytes:
        """Cancellation of one batch."""
        request = batches.CancelBatchRequest(provider=_provider(call), batch_id=id)
        return _json_answer(call, _batch(await self.batches.CancelBatch(request, call)))


def _provider(call: Call) -> str:
    return call.provider or DEFAULT_PROVIDER


@contextmanager
def _refused_as_after(kind: str) -> Iterator[None]:
    """A page token that was made of `after` is refused under that name. Errors: InvalidRequest."""
    try:
        yield
    except InvalidFields as error:
        if error.violations[0][0] != "page_token":
            raise
        raise InvalidRequest(field="after", problem=f"names no {kind}") from None


def _json_answer(call: Call, body: dict[str, Any]) -> bytes:
    """JSON body with content type and provider header set on the call."""
    call.content_type = JSON
    call.headers["x-genai-provider"] = _provider(call)
    return msgspec.json.encode(body)


def _expires_after_s(form: multipart.Form) -> int | None:
    """Expiry in seconds from the form fields expires_after[anchor] and expires_after[seconds]."""
    seconds, anchor = form.text("expires_after[seconds]"), form.text("expires_after[anchor]")
    if anchor not in (None, "created_at"):
        raise InvalidRequest(field="expires_after.anchor", problem="must be created_at")
    if seconds is None:
        return None
    if not seconds.isascii() or not seconds.isdigit():
        raise InvalidRequest(field="expires_after.seconds", problem="must be a whole number of seconds")
    return requests.count("expires_after.seconds", int(seconds[:12]))


def _list(data: list[dict[str, Any]], next_page_token: str) -> dict[str, Any]:
    """List object of OpenAI's paging."""
    first_id, last_id = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return {
        "object": "list",
        "data": data,
        "first_id": first_id,
        "last_id": last_id,
        "has_more": bool(next_page_token),
    }


def _file(file: files.ProviderFile) -> dict[str, Any]:
    """File object of OpenAI."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": file.create_time.seconds,
        "expires_at": file.expire_time.seconds or None,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": file.status,
        "status_details": None,
    }


def _batch(batch: batches.ProviderBatch) -> dict[str, Any]:
    """Batch object of OpenAI, times as Unix seconds."""
    state = batches.BatchState.Name(batch.state).removeprefix("BATCH_STATE_").lower()
    times = {
        BATCH_TIMES.get(field.name, field.name.replace("_time", "_at")): getattr(
            batch.times, field.name
        ).seconds
        or None
        for field in batches.BatchTimes.DESCRIPTOR.fields
    }
    body = {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": _errors(batch),
        "input_file_id": batch.input_file_id,
        "completion_window": batch.completion_window,
        "status": state,
        "output_file_id": batch.output_file_id or None,
        "error_file_id": batch.error_file_id or None,
        **times,
        "request_counts": {
            "total": batch.request_count,
            "completed": batch.completed_count,
            "failed": batch.failed_count,
        },
        "metadata": dict(batch.metadata) or None,
        "model": batch.model or None,
        "provider": batch.provider,
    }
    if batch.HasField("usage"):
        body["usage"] = _usage(batch)
    if batch.HasField("cost"):
        body |= {"cost_usd": batch.cost.cost_usd, "price_known": batch.cost.price_known}
        body["booked_count"] = batch.booked_count
    return body


def _errors(batch: batches.ProviderBatch) -> dict[str, Any] | None:
    """Error list of a failed batch."""
    data = [
        {
            "code": fault.code,
            "message": fault.message,
            "line": fault.line if fault.HasField("line") else None,
            "param": fault.param if fault.HasField("param") else None,
        }
        for fault in batch.errors
    ]
    return {"object": "list", "data": data} if data else None


def _usage(batch: batches.ProviderBatch) -> dict[str, Any]:
    """Token usage of a batch, in OpenAI's names."""
    counts = batch.usage
    return {
        "input_tokens": counts.input_tokens,
        "input_tokens_details": {"cached_tokens": counts.cache_read_tokens},
        "output_tokens": counts.output_tokens,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning_tokens},
        "total_tokens": counts.total_tokens,
    }
