"""A provider's batch: its lines come onto the books once, whoever asks and however often."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, usage_pb2
from genai_spine.v1 import provider_batch_service_pb2 as batches
from genai_spine.v1 import provider_file_service_pb2 as files
from genai_spine.v1.operation_pb2 import OPERATION_BATCH
from tests.service.running import Running, Upstreams, failure, running
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHAT, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"
ENDED = batches.BATCH_STATE_COMPLETED


def lines(*ids: str, model: str = "gpt-4o") -> bytes:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], "input": "Hello"}
    return b"\n".join(json.dumps({"custom_id": id, "body": body}).encode() for id in ids)


async def begun(service: Running, data: bytes, endpoint: str = CHAT, name: str = "a", **fields: Any) -> str:
    """A batch's id. Simulated ids begin anew with each test, and rows do not: `name` makes it another."""
    service.openai.cabinet.prefix = name
    upload = files.UploadFileRequest(provider="openai", filename="in.jsonl", data=data, purpose="batch")
    file = await service.files.UploadFile(upload)
    made = await service.batches.CreateBatch(
        batches.CreateBatchRequest(provider="openai", input_file_id=file.id, endpoint=endpoint, **fields)
    )
    assert made.state == batches.BATCH_STATE_VALIDATING
    return str(made.id)


async def asked(service: Running, id: str) -> Any:
    return await service.batches.GetBatch(batches.GetBatchRequest(provider="openai", batch_id=id))


async def ended(service: Running, id: str) -> Any:
    """The first answer that says that the batch has ended."""
    while True:
        batch = await asked(service, id)
        if batch.state == ENDED:
            return batch
        assert not batch.HasField("cost")
        assert not batch.booked_count


async def test_lines_have_the_cost_labels_of_their_batch(booked: Running, request: Any) -> None:
    name = f"labels-{request.node.callspec.id}"
    id = await begun(booked, lines("a", "b"), name=name, cost_labels={"team": "search"})
    await ended(booked, id)
    assert [dict(row.cost_labels) for row in await booked.rows(id)] == [{"team": "search"}] * 2


async def test_each_line_is_one_row_with_its_own_usage_and_cost(booked: Running, request: Any) -> None:
    booked.openai.cabinet.cached_tokens = 4
    id = await begun(booked, lines("a", "b", "refuse-c"), name=f"each-{request.node.callspec.id}")
    batch = await ended(booked, id)
    rows = await booked.rows(id)
    assert (batch.request_count, batch.completed_count, batch.failed_count) == (3, 2, 1)
    assert batch.booked_count == len(rows) == 3
    good = [row for row in rows if row.state == execution_pb2.EXECUTION_STATE_SUCCEEDED]
    (bad,) = [row for row in rows if row.state == execution_pb2.EXECUTION_STATE_FAILED]
    for row in good:
        assert (row.operation, row.provider, row.model) == (OPERATION_BATCH, "openai", "gpt-4o")
        assert (row.usage.cache_read_tokens, row.usage.visible_output_tokens) == (4, 7)
        assert row.usage.output_provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED
        # gpt-4o in a batch: 1.25 USD for 1M input, 1.25 cached as ever, 5 for output.
        uncached = row.usage.uncached_input_tokens
        assert row.cost.cost_ticks == uncached * 12_500 + 4 * 12_500 + 7 * 50_000
        assert row.provider_response_id in ("answer-a", "answer-b")
        assert json.loads(row.usage_json)["completion_tokens"] == 7
    assert (bad.error, bad.error_reason, bad.cost.cost_ticks) == ("no such model", "PROVIDER_REJECTED", 0)
    assert batch.cost.cost_ticks == sum(row.cost.cost_ticks for row in rows)
    assert batch.cost.price_known


async def test_asking_again_adds_nothing_and_reads_nothing(booked: Running, request: Any) -> None:
    id = await begun(booked, lines("a", "b"), name=f"again-{request.node.callspec.id}")
    first = await ended(booked, id)
    reads = [entry for entry in booked.openai.bill if entry.path.endswith("/content")]
    again = await asked(booked, id)
    assert again == first
    assert [entry for entry in booked.openai.bill if entry.path.endswith("/content")] == reads
    assert len(await booked.rows(id)) == 2


async def test_many_who_ask_at_once_book_each_line_once(booked: Running, request: Any) -> None:
    id = await begun(booked, lines(*map(str, range(700))), name=f"many-{request.node.callspec.id}")
    for _ in range(2):
        await asked(booked, id)
    answers = await asyncio.gather(*(asked(booked, id) for _ in range(5)))
    assert {answer.booked_count for answer in answers} == {700}
    assert len({answer.cost.cost_ticks for answer in answers}) == 1
    assert len(await booked.rows(id)) == 700


async def test_two_servers_on_one_database_book_each_line_once(
    upstreams: Upstreams, tmp_path: Path, sqlite_url: str
) -> None:
    async with running(upstreams, sqlite_url) as first, running(upstreams, sqlite_url) as second:
        id = await begun(first, lines(*map(str, range(50))))
        for _ in range(2):
            await asked(first, id)
        answers = await asyncio.gather(asked(first, id), asked(second, id))
        assert [answer.booked_count for answer in answers] == [50, 50]
        assert len(await first.rows(id)) == 50


@pytest.mark.parametrize("endpoint", [RESPONSES, EMBEDDINGS])
async def test_other_endpoints_report_usage_in_their_own_form(service: Running, endpoint: str) -> None:
    id = await begun(service, lines("a"), endpoint, name=endpoint.rpartition("/")[2])
    batch = await ended(service, id)
    (row,) = await service.rows(id)
    assert row.usage.output_tokens == 7
    assert row.usage.reasoning_tokens == (2 if endpoint == RESPONSES else 0)
    assert batch.cost.cost_ticks == row.cost.cost_ticks > 0


async def test_model_without_a_price_leaves_the_cost_open(service: Running) -> None:
    id = await begun(service, lines("a", model="gpt-unheard-of"), name="unpriced")
    batch = await ended(service, id)
    assert (batch.booked_count, batch.cost.cost_ticks, batch.cost.price_known) == (1, 0, False)


async def test_output_that_is_gone_is_no_error(service: Running) -> None:
    id = await begun(service, lines("a"), name="gone")
    for _ in range(2):
        await asked(service, id)
    service.openai.cabinet.deletes_output = True
    batch = await asked(service, id)
    assert (batch.state, batch.booked_count) == (ENDED, 0)


async def test_output_that_cannot_be_read_is_an_error_and_can_be_asked_for_again(service: Running) -> None:
    id = await begun(service, lines("a", "b"), name="broken")
    for _ in range(2):
        await asked(service, id)
    service.openai.script(Reply(body="no json\n"), on="/v1/files/broken-file-0002/content")
    found = await failure(asked(service, id))
    assert found.reason == "PROVIDER_ERROR"
    assert (await asked(service, id)).booked_count == 2


async def test_foreign_request_id_does_not_change_a_batch(service: Running) -> None:
    id = await begun(service, lines("a"), name="foreign")
    metadata = [("x-request-id", id)]
    request = pb.CreateCompletionRequest(
        model="gpt-4o", messages=[{"role": "ROLE_USER", "content": [{"text": "Hi"}]}]
    )
    await service.completions.CreateCompletion(request, metadata=metadata)
    batch = await ended(service, id)
    assert batch.booked_count == 1
    (row,) = [row for row in await service.rows(id) if row.operation == OPERATION_BATCH]
    assert batch.cost.cost_ticks == row.cost.cost_ticks


async def test_unknown_ids_are_not_found(service: Running) -> None:
    asks = [
        service.batches.GetBatch(batches.GetBatchRequest(provider="openai", batch_id="batch_0")),
        service.batches.CancelBatch(batches.CancelBatchRequest(provider="openai", batch_id="batch_0")),
        service.files.GetFile(files.GetFileRequest(provider="openai", file_id="file-0")),
        service.files.DeleteFile(files.DeleteFileRequest(provider="openai", file_id="file-0")),
        service.files.DownloadFile(files.DownloadFileRequest(provider="openai", file_id="file-0")),
    ]
    for ask in asks:
        found = await failure(ask)
        assert (found.reason, found.metadata["provider"]) == ("PROVIDER_OBJECT_NOT_FOUND", "openai")


@pytest.mark.parametrize("id", ["..", ".", "a/b", "a?b", "", "a b"])
async def test_id_that_would_be_another_path_is_refused(service: Running, id: str) -> None:
    found = await failure(service.files.GetFile(files.GetFileRequest(provider="openai", file_id=id)))
    assert (found.reason, found.fields) == ("INVALID_FIELDS", ["file_id"])
    assert len(service.openai.bill) == 0


async def test_pages_follow_each_other(service: Running) -> None:
    for number in range(3):
        await service.files.UploadFile(
            files.UploadFileRequest(provider="openai", filename=f"{number}", data=b"x", purpose="batch")
        )
    names, token = [], ""
    while True:
        page = await service.files.ListFiles(
            files.ListFilesRequest(provider="openai", page_size=2, page_token=token, oldest_first=True)
        )
        names += [file.filename for file in page.files]
        token = page.next_page_token
        if not token:
            break
    assert names == ["0", "1", "2"]
