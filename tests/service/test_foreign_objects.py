"""Objects at providers that a caller names in the provider's own options: another tenant's are not there."""

import json
from typing import Any

import grpc
import pytest

from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import provider_batch_service_pb2 as batches
from genai_spine.v1 import provider_file_service_pb2 as files
from tests.service.running import Running, asked, failure
from tests.service.tenancy import CHAT, LINE, ask

pytestmark = pytest.mark.asyncio(loop_scope="session")
COMPLETE, STREAM = "CompletionService/CreateCompletion", "CompletionService/StreamCompletion"
SEARCH: Any = {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": []}}]}


def using(file_id: str) -> str:
    """Options that name a file, deep inside."""
    options = json.loads(json.dumps(SEARCH))
    options["tools"][0]["container"]["file_ids"].append(file_id)
    return json.dumps(options | {"api": "responses"})


async def uploaded(service: Running, tenant: str) -> str:
    service.openai.cabinet.prefix = tenant
    upload = files.UploadFileRequest(provider="openai", filename="x", data=LINE, purpose="batch")
    (file,) = await ask(service, "ProviderFileService/UploadFile", upload, tenant)
    return str(file.id)


@pytest.mark.parametrize("name", [COMPLETE, STREAM])
async def test_file_of_another_tenant_is_as_a_missing_one(booked: Running, name: str) -> None:
    file_id = await uploaded(booked, "acme")
    texts = []
    for tenant, id in (("rival", file_id), ("rival", "file-of-nobody"), ("default-tenant", file_id)):
        asked_calls = len(booked.openai.bill.calls)
        found = await failure(ask(booked, name, asked(provider_options_json=using(id)), tenant))
        assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "PROVIDER_OBJECT_NOT_FOUND")
        assert len(booked.openai.bill.calls) == asked_calls
        texts.append(found.message.replace(id, "ID"))
    assert set(texts) == {"provider openai has no file 'ID'"}
    found = await failure(ask(booked, name, asked(provider_options_json=using(file_id)), "acme"))
    assert found.reason == "PROVIDER_REJECTED"  # the simulator has no such tools
    assert file_id in json.dumps(booked.openai.bill.calls[-1].body)


async def test_answer_is_gone_on_from_by_its_own_tenant(booked: Running) -> None:
    options = json.dumps({"api": "responses", "store": True})
    (answer,) = await ask(booked, COMPLETE, asked("One", provider_options_json=options), "acme")
    [row] = await booked.rows(answer.request_id)
    assert row.provider_response_id.startswith("resp_")
    further = json.dumps({"api": "responses", "previous_response_id": row.provider_response_id})
    for tenant in ("rival", "default-tenant"):
        found = await failure(ask(booked, COMPLETE, asked("Two", provider_options_json=further), tenant))
        assert found.message == f"provider openai has no response '{row.provider_response_id}'"
    await ask(booked, COMPLETE, asked("Two", provider_options_json=further), "acme")
    assert booked.openai.bill.calls[-1].body["previous_response_id"] == row.provider_response_id


async def test_openais_own_fields_are_looked_at_too(booked: Running) -> None:
    file_id = await uploaded(booked, "acme")
    posted = await booked.chat(api="responses", file_ids=[file_id])
    assert posted.problem["message"] == f"provider openai has no file '{file_id}'"
    assert booked.openai.bill.calls[-1].path == "/v1/files"


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("MediaService/CreateImages", media.CreateImagesRequest(prompt="a", model="openai:gpt-image-1")),
        ("MediaService/CreateSpeech", media.CreateSpeechRequest(input="a", model="openai:tts-1")),
    ],
)
async def test_media_ask_too(booked: Running, name: str, request_: Any) -> None:
    file_id = await uploaded(booked, "acme")
    request = type(request_)()
    request.CopyFrom(request_)
    request.provider_options_json = json.dumps({"input": {"file_id": file_id}})
    found = await failure(ask(booked, name, request, "rival"))
    assert found.message == f"provider openai has no file '{file_id}'"


async def test_batches_ask_too(booked: Running) -> None:
    theirs, own = await uploaded(booked, "acme"), await uploaded(booked, "rival")
    begin = batches.CreateBatchRequest(provider="openai", input_file_id=own, endpoint=CHAT)
    begin.provider_options_json = json.dumps({"input_file_id": theirs})
    found = await failure(ask(booked, "ProviderBatchService/CreateBatch", begin, "rival"))
    assert found.message == f"provider openai has no file '{theirs}'"


async def test_options_do_not_change_the_model_of_an_image(booked: Running) -> None:
    """Another one would be used without permission, and booked at the price of the first."""
    request = media.CreateImagesRequest(prompt="a", model="openai:gpt-image-1")
    request.provider_options_json = json.dumps({"model": "gpt-image-2", "background": "opaque"})
    await ask(booked, "MediaService/CreateImages", request, "acme")
    body = booked.openai.bill.calls[-1].body
    assert (body["model"], body["background"]) == ("gpt-image-1", "opaque")
