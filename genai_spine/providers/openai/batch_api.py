"""OpenAI's batch API for completions: a file of requests, a batch over it, and files of answers and errors.

Wire facts: https://platform.openai.com/docs/guides/batch and .../api-reference/batch, 2026-11-28. Half the
usual price; a file has requests of one model and one path; a line that was not worked on says batch_expired
or batch_cancelled in the error file.
"""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw, Struct

from genai_spine.call import Call
from genai_spine.errors import ProviderObjectNotFound, ProviderRejected
from genai_spine.providers.base import Route
from genai_spine.providers.batch_api import BatchApi, BatchedAnswer, Finding, Line, Sought
from genai_spine.providers.http.client import Reply
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import provider_batch_service_pb2 as batches
from genai_spine.v1 import provider_file_service_pb2 as files

if TYPE_CHECKING:
    from genai_spine.providers.openai.adapter import OpenAI

KEY = "genai_spine_batch"  # in the metadata of a batch
PREFIX = "/v1"  # of the paths that lines name, wherever the API is
CLOCKS_S = 600.0  # by which the provider's clock may differ
MAX_PAGES = 50
UNANSWERED = ("batch_expired", "batch_cancelled")


class OpenAIBatches(BatchApi):
    """Batches of one endpoint, through the adapter's files and batches."""

    def __init__(self, adapter: "OpenAI") -> None:
        self.adapter = adapter

    def path(self, request: pb.CreateCompletionRequest, route: Route) -> str:
        return PREFIX + self.adapter.written(request, route.model).path

    def line(self, request: pb.CreateCompletionRequest, route: Route, id: str) -> Line:
        path, body, _ = self.adapter.written(request, route.model)
        whole = {"custom_id": id, "method": "POST", "url": PREFIX + path, "body": Raw(body)}
        return Line(id, msgspec.json.encode(whole))

    async def send(self, key: str, path: str, lines: Sequence[Line], call: Call) -> batches.ProviderBatch:
        data = b"\n".join(line.data for line in lines)
        name = self.adapter.name
        upload = files.UploadFileRequest(provider=name, filename=_file(key), data=data, purpose="batch")
        file = await self.adapter.upload_file(upload, call)
        create = batches.CreateBatchRequest(
            provider=name, input_file_id=file.id, endpoint=path, metadata={KEY: key}
        )
        return await self.adapter.create_batch(create, call)

    async def find(self, sought: Sought, call: Call) -> Finding:
        since = time.time() - sought.age_s - CLOCKS_S
        request = batches.ListBatchesRequest(provider=self.adapter.name, page_size=100)
        for _ in range(MAX_PAGES):
            page = await self.adapter.list_batches(request, call)
            for batch in page.batches:
                if batch.metadata.get(KEY) == sought.key:
                    return Finding(batch)
            is_older = bool(page.batches) and page.batches[-1].times.create_time.seconds < since
            if is_older or not page.next_page_token:
                return Finding()
            request.page_token = page.next_page_token
        raise self.adapter.http.unusable("endless_list", f"more than {MAX_PAGES} pages of batches")

    async def get(self, id: str, call: Call) -> batches.ProviderBatch:
        return await self.adapter.get_batch(id, call)

    async def cancel(self, id: str, call: Call) -> None:
        with suppress(ProviderRejected):  # it has ended
            await self.adapter.cancel_batch(id, call)

    async def answers(self, batch: batches.ProviderBatch, call: Call) -> AsyncGenerator[BatchedAnswer]:
        for id in (batch.output_file_id, batch.error_file_id):
            if not id:
                continue
            async with aclosing(self.adapter.lines_of(id, call)) as lines:
                async for data in lines:
                    yield _answer(self.adapter.http.decode(data, LINE))

    def read(self, answer: BatchedAnswer, request: pb.CreateCompletionRequest, route: Route) -> pb.Completion:
        if answer.status != HTTPStatus.OK:
            self.adapter.refuse(Reply(answer.status, {}, answer.body), route.model)
        return self.adapter.written(request, route.model).reading.completion(answer.body)

    async def clear(self, key: str, batch: batches.ProviderBatch | None, call: Call) -> None:
        ids = [batch.input_file_id, batch.output_file_id, batch.error_file_id] if batch else []
        if batch is None:
            listed = files.ListFilesRequest(provider=self.adapter.name, purpose="batch", page_size=100)
            page = await self.adapter.list_files(listed, call)
            ids = [file.id for file in page.files if file.filename == _file(key)]
        for id in filter(None, ids):
            with suppress(ProviderObjectNotFound):
                await self.adapter.delete_file(id, call)


class _Response(Struct):
    """HTTP response of a line."""

    status_code: int = 0
    body: Raw = Raw(b"{}")


class _Error(Struct):
    """Error of a line that got no response."""

    code: str | None = None
    message: str | None = None


class _Line(Struct):
    """Line of an output or error file."""

    custom_id: str
    response: _Response | None = None
    error: _Error | None = None


LINE = msgspec.json.Decoder(_Line)


def _answer(line: _Line) -> BatchedAnswer:
    response, error = line.response, line.error
    if response is not None and response.status_code:
        return BatchedAnswer(line.custom_id, response.status_code, bytes(response.body))
    code = (error.code if error else None) or "no_response"
    message = (error.message if error else None) or "the line has no response"
    body = msgspec.json.encode({"error": {"code": code, "message": message}})
    why = f"{code}: {message}" if code in UNANSWERED else ""
    return BatchedAnswer(line.custom_id, HTTPStatus.INTERNAL_SERVER_ERROR, body, why)


def _file(key: str) -> str:
    """Name of the file of requests."""
    return f"genai-spine-{key}.jsonl"
