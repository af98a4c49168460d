"""Files and batches: what our adapter finds is what the official package finds."""

from typing import Any

import openai
import pytest

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.v1 import execution_pb2
from genai_spine.v1 import provider_batch_service_pb2 as batches
from genai_spine.v1 import provider_file_service_pb2 as files
from tests.contract.spoken import Spoken, spoken_by
from tests.upstreams import openai_errors
from tests.upstreams.reply import Reply

LINE = b'{"custom_id":"%d","body":{"model":"gpt-4o","messages":[]}}\n'
CONTENT = b"".join(LINE % number for number in range(3))


def upload(**fields: Any) -> files.UploadFileRequest:
    given: dict[str, Any] = {
        "provider": "openai",
        "filename": "in.jsonl",
        "data": CONTENT,
        "purpose": "batch",
    }
    return files.UploadFileRequest(**(given | fields))


async def begun(spoken: Spoken) -> str:
    file = await spoken.provider.upload_file(upload(), Call())
    request = batches.CreateBatchRequest(
        input_file_id=file.id, endpoint="/v1/chat/completions", metadata={"a": "b"}
    )
    return (await spoken.provider.create_batch(request, Call())).id


@spoken_by("openai", "azure", "groq")
async def test_uploads_are_those_of_the_official_client(spoken: Spoken, sdk: openai.AsyncOpenAI) -> None:
    ours = await spoken.provider.upload_file(upload(expires_after_s=3600), Call())
    theirs = await sdk.files.create(
        file=("in.jsonl", CONTENT),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert spoken.up.bill[0].body == spoken.up.bill[1].body
    again = await sdk.files.retrieve(ours.id)
    assert (
        ours.id,
        ours.size_bytes,
        ours.create_time.seconds,
        ours.expire_time.seconds,
        ours.filename,
        ours.purpose,
    ) == (
        again.id,
        again.bytes,
        again.created_at,
        again.expires_at,
        again.filename,
        again.purpose,
    )
    assert theirs.bytes == len(CONTENT)


@spoken_by("openai", "azure")
async def test_batches_go_through_the_states_that_the_official_client_sees(
    spoken: Spoken, sdk: openai.AsyncOpenAI
) -> None:
    id = await begun(spoken)
    body = spoken.up.bill[-1].body
    assert (body["completion_window"], body["metadata"]) == ("24h", {"a": "b"})
    while (batch := await spoken.provider.get_batch(id, Call())).state != batches.BATCH_STATE_COMPLETED:
        assert not batch.HasField("output_file_id")
    theirs = await sdk.batches.retrieve(id)
    assert theirs.request_counts
    assert (batch.request_count, batch.completed_count) == (3, theirs.request_counts.completed)
    assert (batch.output_file_id, batch.endpoint) == (theirs.output_file_id, theirs.endpoint)
    assert (batch.times.create_time.seconds, batch.times.completed_time.seconds) == (
        theirs.created_at,
        theirs.completed_at,
    )
    assert dict(batch.metadata) == theirs.metadata


@spoken_by("openai")
@pytest.mark.parametrize("size", [1, 7, 64, None])
async def test_lines_are_found_wherever_the_pieces_are_cut(spoken: Spoken, size: int | None) -> None:
    id = await begun(spoken)
    for _ in range(3):
        batch = await spoken.provider.get_batch(id, Call())
    path = f"/v1/files/{batch.output_file_id}/content"
    spoken.up.script(Reply(bytes_per_write=size), on=path)
    lines = [line async for line in spoken.provider.batch_lines(batch, Call())]
    assert sorted(custom_id for custom_id, _ in lines) == ["0", "1", "2"]
    for custom_id, execution in lines:
        assert execution.state == execution_pb2.EXECUTION_STATE_SUCCEEDED
        assert (execution.provider_response_id, execution.model) == (f"answer-{custom_id}", "gpt-4o")
        assert execution.usage.output_tokens == 7


@spoken_by("openai")
async def test_what_is_wrong_with_an_input_file_is_told(spoken: Spoken) -> None:
    faults = [{"code": "invalid_json_line", "message": "not JSON", "line": 2, "param": None}]
    body = {"id": "batch_9", "status": "failed", "errors": {"object": "list", "data": faults}}
    spoken.up.script(Reply(body=body), on="/v1/batches/batch_9")
    batch = await spoken.provider.get_batch("batch_9", Call())
    assert batch.state == batches.BATCH_STATE_FAILED
    (fault,) = batch.errors
    assert (fault.code, fault.message, fault.line) == ("invalid_json_line", "not JSON", 2)


@spoken_by("openai")
async def test_state_that_is_not_known_is_no_fault(spoken: Spoken) -> None:
    spoken.up.script(Reply(body={"id": "batch_9", "status": "pondering"}), on="/v1/batches/batch_9")
    batch = await spoken.provider.get_batch("batch_9", Call())
    assert batch.state == batches.BATCH_STATE_UNSPECIFIED


@spoken_by("openai")
async def test_ids_that_are_not_there_are_not_found(spoken: Spoken) -> None:
    provider = spoken.provider
    for kind, ask in (
        ("file", provider.get_file("file-x", Call())),
        ("file", provider.delete_file("file-x", Call())),
        ("batch", provider.get_batch("batch_x", Call())),
        ("batch", provider.cancel_batch("batch_x", Call())),
    ):
        with pytest.raises(
            errors.ProviderObjectNotFound, match=f"provider openai has no {kind} '{kind}"
        ) as failed:
            await ask
        assert failed.value.metadata["provider"] == "openai"
    with pytest.raises(errors.ProviderObjectNotFound):
        await anext(provider.read_file("file-x", Call()))


@spoken_by("openai")
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (openai_errors.rate_limited(1), errors.ProviderRateLimited),
        (openai_errors.invalid_key("sk-test-1"), errors.ProviderAuthentication),
        (openai_errors.server_error(), errors.ProviderUnavailable),
        (Reply(body="{"), errors.ProviderError),
        (Reply(fault="close"), errors.ProviderUnavailable),
    ],
)
async def test_faults_have_the_errors_of_every_other_call(
    spoken: Spoken, reply: Reply, kind: type[errors.SpineError]
) -> None:
    file = await spoken.provider.upload_file(upload(), Call())
    spoken.up.script(reply, on=f"/v1/files/{file.id}")
    with pytest.raises(kind) as failed:
        await spoken.provider.get_file(file.id, Call())
    assert type(failed.value) is kind
    spoken.up.default = reply
    with pytest.raises(kind):
        await spoken.provider.upload_file(upload(), Call())
    assert len(spoken.up.bill) == 3


@spoken_by("openai")
@pytest.mark.parametrize("data", [[], [{"id": "a"}, {"id": "b"}]])
async def test_list_that_does_not_go_on_is_an_error_and_no_end(
    spoken: Spoken, data: list[dict[str, str]]
) -> None:
    """An endpoint that says there is more and names nothing to go on from, or pays no heed to `after`."""
    spoken.up.script(Reply(body={"object": "list", "data": data, "has_more": True}), on="/v1/files")
    request = files.ListFilesRequest(provider="openai", page_token="b")
    with pytest.raises(errors.ProviderError, match="more of the list, but no next page"):
        await spoken.provider.list_files(request, Call())


@spoken_by("openai")
async def test_list_of_batches_that_does_not_go_on_is_an_error(spoken: Spoken) -> None:
    spoken.up.script(Reply(body={"data": [], "has_more": True}), on="/v1/batches")
    with pytest.raises(errors.ProviderError, match="more of the list, but no next page"):
        await spoken.provider.list_batches(batches.ListBatchesRequest(provider="openai"), Call())
