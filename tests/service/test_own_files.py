"""Files that this service keeps, and batches that it makes, belong to their tenant."""

import grpc
import pytest

from genai_spine.v1 import provider_batch_service_pb2 as batches
from genai_spine.v1 import provider_file_service_pb2 as files
from tests.service.running import Running
from tests.service.tenancy import LINE, ask

pytestmark = pytest.mark.asyncio(loop_scope="session")
OWN = "spine"


async def upload(booked: Running, tenant: str) -> str:
    request = files.UploadFileRequest(provider=OWN, filename="in.jsonl", data=LINE, purpose="batch")
    (kept,) = await ask(booked, "ProviderFileService/UploadFile", request, tenant)
    return str(kept.id)


async def test_foreign_file_is_like_one_that_is_not_there(booked: Running):
    id = await upload(booked, "acme")
    for method, request in (
        ("GetFile", files.GetFileRequest(provider=OWN, file_id=id)),
        ("DownloadFile", files.DownloadFileRequest(provider=OWN, file_id=id)),
        ("DeleteFile", files.DeleteFileRequest(provider=OWN, file_id=id)),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(booked, f"ProviderFileService/{method}", request, "globex")
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    (page,) = await ask(
        booked, "ProviderFileService/ListFiles", files.ListFilesRequest(provider=OWN), "globex"
    )
    assert not page.files
    (page,) = await ask(booked, "ProviderFileService/ListFiles", files.ListFilesRequest(provider=OWN), "acme")
    assert [file.id for file in page.files] == [id]


async def test_equal_content_is_kept_apart_by_tenant(booked: Running):
    mine, theirs = await upload(booked, "acme-2"), await upload(booked, "globex-2")
    delete = files.DeleteFileRequest(provider=OWN, file_id=mine)
    await ask(booked, "ProviderFileService/DeleteFile", delete, "acme-2")
    read = files.DownloadFileRequest(provider=OWN, file_id=theirs)
    bodies = await ask(booked, "ProviderFileService/DownloadFile", read, "globex-2")
    assert b"".join(body.data for body in bodies) == LINE


async def test_batch_of_a_foreign_file_is_not_made(booked: Running):
    id = await upload(booked, "acme-3")
    request = batches.CreateBatchRequest(provider=OWN, input_file_id=id, endpoint="/v1/chat/completions")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(booked, "ProviderBatchService/CreateBatch", request, "globex-3")
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
