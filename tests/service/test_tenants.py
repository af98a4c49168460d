"""Tenants: what one of them has stored, no other one sees, lists, counts, finds, changes or deletes.

Every RPC is in one table: one that takes an id, lists, makes or books something, or stores nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
import pytest_asyncio
import sqlalchemy as sa
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.message import Message

from genai_spine.capabilities import CAPABILITIES
from genai_spine.store.tables import metadata
from genai_spine.v1 import capability_service_pb2 as capabilities
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import message_pb2, symbol_service_pb2
from genai_spine.v1 import prompt_service_pb2 as prompts
from genai_spine.v1 import provider_batch_service_pb2 as batches
from genai_spine.v1 import provider_file_service_pb2 as files
from tests.contract.capability_samples import SAMPLES
from tests.databases import BOTH
from tests.service import tenancy
from tests.service.running import Running, Upstreams, asked, running
from tests.service.tenancy import (
    BY_ID,
    LISTS,
    MAKES,
    MARK,
    METHODS,
    NOTHING_STORED,
    OF_ACCESS,
    SLUG,
    Stored,
    ask,
    body,
    executions_of,
    outcome,
)
from tests.upstreams.reply import Reply
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")
OWNER, RIVAL, NOBODY = "acme", "rival", "nobody"
ID_OF_NOBODY = "11111111-1111-4111-8111-111111111111"
CHAT = [{"role": "user", "content": "x"}]


def form(**fields: str) -> HttpBody:
    """A multipart form with a file."""
    field = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    parts = [field.format(name, value) for name, value in fields.items()]
    file = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\nRIFF\r\n--b--\r\n'
    return HttpBody(data="".join([*parts, file]).encode(), content_type="multipart/form-data; boundary=b")


def symbols() -> symbol_service_pb2.DocumentSymbolsRequest:
    names = {"symbol_id": "s", "name": "f", "kind": "function", "language": "python", "file_path": "a.py"}
    context = symbol_service_pb2.SymbolContext(**names, signature="def f()", centrality=0.5)
    symbol = symbol_service_pb2.Symbol(symbol_id="s", context=context)
    return symbol_service_pb2.DocumentSymbolsRequest(job_id="job", symbols=[symbol])


# RPCs whose calls are booked for whoever asks, whatever comes of them.
BOOKED: dict[str, Callable[[], Message]] = {
    "CompletionService/CreateCompletion": asked,
    "CompletionService/StreamCompletion": asked,
    "CompletionService/CreateEmbeddings": lambda: completions.CreateEmbeddingsRequest(
        model="text-embedding-3-small", inputs=[completions.EmbeddingInput(text="x")]
    ),
    "MediaService/CreateImages": lambda: media.CreateImagesRequest(model="gpt-image-1", prompt="x"),
    "MediaService/CreateSpeech": lambda: media.CreateSpeechRequest(model="tts-1", input="x"),
    "MediaService/CreateTranscription": lambda: media.CreateTranscriptionRequest(
        model="whisper-1", data=b"RIFF", filename="a.wav"
    ),
    "OpenAIService/CreateChatCompletion": lambda: body(model="gpt-4o", messages=CHAT),
    "OpenAIService/CreateTextCompletion": lambda: body(model="gpt-3.5-turbo-instruct", prompt="x"),
    "OpenAIService/CreateEmbedding": lambda: body(model="text-embedding-3-small", input="x"),
    "OpenAIService/CreateImage": lambda: body(model="gpt-image-1", prompt="x"),
    "OpenAIService/CreateSpeech": lambda: body(model="tts-1", input="x", voice="alloy"),
    "OpenAIService/CreateTranscription": lambda: form(model="whisper-1"),
    "OpenAIService/CreateTranslation": lambda: form(model="whisper-1"),
    "SymbolService/DocumentSymbols": symbols,
    "SymbolService/StreamDocumentSymbols": symbols,
    "CapabilityService/StreamCapability": lambda: capabilities.StreamCapabilityRequest(
        summarize=capabilities.SummarizeRequest(content="x. y.", model="gpt-4o")
    ),
}
for capability in CAPABILITIES:
    method = "CapabilityService/" + "".join(map(str.capitalize, capability.split("-")))
    BOOKED[method] = lambda request=SAMPLES[capability].request: request
MADE_BY_FORMS = {"OpenAIService/CreateFile": lambda: form(purpose="batch")}


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def caching(request: pytest.FixtureRequest, all_upstreams: Upstreams) -> AsyncIterator[Running]:
    """A server with a response cache."""
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    url = request.getfixturevalue(f"module_{kind}_url")
    async with running(all_upstreams, url, cache_enabled=True, request_log_on=OWNER) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def owner(caching: Running, all_upstreams: Upstreams) -> Stored:
    all_upstreams.reset()
    return await tenancy.store(caching, OWNER)


@pytest.fixture
def service(caching: Running, owner: Stored) -> Running:
    """The same server for all, with what the owner has stored. No simulator forgets its files."""
    return caching


async def contents(service: Running) -> dict[str, Any]:
    """All rows of the database that are no execution, which is written whenever somebody calls a provider."""
    found = {}
    async with service.database.engine.connect() as connection:
        for table in metadata.sorted_tables:
            if not table.name.startswith(("executions", "leases", "run_workers", "usage_", "daily_costs")):
                rows = await connection.execute(sa.select(table).order_by(*table.primary_key))
                found[table.name] = [tuple(row) for row in rows]
    return found


async def test_every_rpc_is_in_one_table() -> None:
    tables = [*BY_ID, *LISTS, *MAKES, *MADE_BY_FORMS, *BOOKED, *OF_ACCESS, *NOTHING_STORED]
    assert sorted(tables) == sorted(METHODS)


@pytest.mark.parametrize("tenant", [RIVAL, "default-tenant"])
@pytest.mark.parametrize("name", BY_ID)
async def test_foreign_thing_is_missing_and_stays_as_it_was(
    service: Running, owner: Stored, name: str, tenant: str
) -> None:
    before = await contents(service)
    for reach in BY_ID[name]:
        id = owner.ids[reach.kind]
        nobodys = {"slug": "nobody-s", "budget": "987654321"}.get(reach.kind, ID_OF_NOBODY)
        missing = await outcome(service, name, reach.request(nobodys), tenant)
        assert missing.startswith("NOT_FOUND: ")
        foreign = await outcome(service, name, reach.request(id), tenant)
        assert foreign.replace(id, nobodys) == missing
    assert await contents(service) == before


@pytest.mark.parametrize("name", LISTS)
async def test_lists_and_searches_show_others_what_nobody_stored(
    service: Running, owner: Stored, name: str
) -> None:
    for request_of in LISTS[name]:
        request = request_of(owner)
        empty = await outcome(service, name, request, NOBODY)
        assert await outcome(service, name, request, RIVAL) == empty
        assert MARK not in empty
        assert await outcome(service, name, request, OWNER) != empty


@pytest.mark.parametrize("name", [name for name in LISTS if not name.startswith("OpenAI")])
async def test_page_token_of_another_tenant_shows_nothing(service: Running, owner: Stored, name: str) -> None:
    request: Any = LISTS[name][0](owner)
    (page,) = await ask(service, name, request, OWNER)
    if not hasattr(page, "next_page_token"):
        return
    assert page.next_page_token
    request.page_token = page.next_page_token
    found = await outcome(service, name, request, RIVAL)
    assert not any(id in found for kind, id in owner.ids.items() if kind != "budget")  # which is a number
    assert MARK not in found


@pytest.mark.parametrize("name", [*MAKES, *MADE_BY_FORMS])
async def test_two_tenants_make_things_of_one_name(service: Running, owner: Stored, name: str) -> None:
    make = MAKES.get(name) or MADE_BY_FORMS[name]
    service.openai.cabinet.prefix = name.replace("/", "-")
    before = await tenants_of(service)
    maker = f"maker-{[*MAKES, *MADE_BY_FORMS].index(name)}"
    result = await outcome(service, name, make(), maker)
    assert result.startswith("["), result
    after = await tenants_of(service)
    assert after.pop(maker)
    assert after == before
    found = await ask(service, "PromptService/GetPrompt", prompts.GetPromptRequest(slug=SLUG), OWNER)
    assert found[0].user_prompt_template == f"Say {MARK} again."


async def tenants_of(service: Running) -> dict[str, int]:
    """Number of rows by tenant."""
    found: dict[str, int] = {}
    async with service.database.engine.connect() as connection:
        for table in (table for table in metadata.sorted_tables if "tenant_id" in table.c):
            query = sa.select(table.c.tenant_id, sa.func.count()).group_by(table.c.tenant_id)
            for tenant, count in await connection.execute(query):
                found[tenant] = found.get(tenant, 0) + count
    return found


@pytest.mark.parametrize("name", BOOKED)
async def test_calls_are_booked_for_their_tenant_alone(service: Running, owner: Stored, name: str) -> None:
    id = f"{name}-{service.database.dialect}"
    result = await outcome(service, name, BOOKED[name](), OWNER, x_request_id=id, x_correlation_id="order-7")
    rows = await executions_of(service, id, OWNER)
    assert rows, result
    assert {(row.tenant_id, row.principal, row.correlation_id) for row in rows} == {(OWNER, "", "order-7")}
    assert await executions_of(service, id, RIVAL) == []
    assert await executions_of(service, id, "default-tenant") == []


async def test_cached_answer_is_given_to_its_tenant_alone(service: Running) -> None:
    request = asked("cache me", cache_max_age_s=60)
    statuses = []
    for tenant in (OWNER, RIVAL, OWNER, RIVAL):
        (answer,) = await ask(service, "CompletionService/CreateCompletion", request, tenant)
        statuses.append(completions.CacheStatus.Name(answer.cache_status).removeprefix("CACHE_STATUS_"))
    assert statuses == ["MISS", "MISS", "HIT", "HIT"]


async def test_equal_requests_share_a_call_within_a_tenant_alone(service: Running) -> None:
    service.openai.script(*[Reply(text="x", headers_delay_s=0.3)] * 2)
    request = asked("share me", coalesce=True)
    before = len(service.openai.bill.calls)
    await asyncio.gather(
        *(
            ask(service, "CompletionService/CreateCompletion", request, tenant)
            for tenant in (OWNER, RIVAL, OWNER, RIVAL)
        )
    )
    assert len(service.openai.bill.calls) == before + 2


async def test_file_of_another_tenant_is_not_shown_to_a_model(service: Running, owner: Stored) -> None:
    part = message_pb2.ContentPart(file=message_pb2.FilePart(file_id=owner.ids["file"]))
    message = message_pb2.Message(role=message_pb2.ROLE_USER, content=[part])
    request = completions.CreateCompletionRequest(model="gpt-4o", messages=[message])
    name, before = "CompletionService/CreateCompletion", len(service.openai.bill.calls)
    for tenant in (RIVAL, "default-tenant"):
        found = await outcome(service, name, request, tenant)
        assert found == f"NOT_FOUND: provider openai has no file '{owner.ids['file']}'"
    assert len(service.openai.bill.calls) == before
    assert (await outcome(service, name, request, OWNER)).startswith("[")


async def test_output_of_a_batch_is_its_tenants(service: Running, owner: Stored) -> None:
    get = batches.GetBatchRequest(provider="openai", batch_id=owner.ids["batch"])
    (batch,) = await ask(service, "ProviderBatchService/GetBatch", get, OWNER)
    while not batch.output_file_id:
        (batch,) = await ask(service, "ProviderBatchService/GetBatch", get, OWNER)
    download = files.DownloadFileRequest(provider="openai", file_id=batch.output_file_id)
    for tenant in (RIVAL, "default-tenant"):
        found = await outcome(service, "ProviderFileService/DownloadFile", download, tenant)
        assert found.startswith("NOT_FOUND: ")
    assert await ask(service, "ProviderFileService/DownloadFile", download, OWNER)
    assert {row.tenant_id for row in await executions_of(service, batch.id, OWNER)} == {OWNER}
    assert await executions_of(service, batch.id, RIVAL) == []


@pytest.mark.parametrize("tenant", [RIVAL, "default-tenant", OWNER])
async def test_prompts_of_the_service_are_for_all_and_changed_by_none(service: Running, tenant: str) -> None:
    get = prompts.GetPromptRequest(slug="summarizer")
    (prompt,) = await ask(service, "PromptService/GetPrompt", get, tenant)
    assert prompt.is_system
    patch = prompts.UpdatePromptRequest(prompt_id=prompt.id, prompt=prompts.Prompt(name="x"))
    updated = await outcome(service, "PromptService/UpdatePrompt", patch, tenant)
    assert updated.startswith("PERMISSION_DENIED")
    twin = prompts.Prompt(name="x", slug="summarizer", user_prompt_template="x")
    found = await outcome(
        service, "PromptService/CreatePrompt", prompts.CreatePromptRequest(prompt=twin), tenant
    )
    assert found == "ALREADY_EXISTS: slug: another active prompt has it"
    label = prompts.SetPromptLabelRequest(prompt_id=prompt.id, label="a", version=1)
    unlabel = prompts.DeletePromptLabelRequest(prompt_id=prompt.id, label="a")
    changed = [
        await outcome(service, "PromptService/SetPromptLabel", label, tenant),
        await outcome(service, "PromptService/DeletePromptLabel", unlabel, tenant),
    ]
    is_default = tenant == "default-tenant"
    assert [one.startswith("PERMISSION_DENIED") for one in changed] == [not is_default] * 2
    export = prompts.ExportPromptsRequest(prompt_ids=["summarizer"])
    exported = await ask(service, "PromptService/ExportPrompts", export, tenant)
    again = prompts.ImportPromptsRequest(yaml=exported[0].yaml)
    (imported,) = await ask(service, "PromptService/ImportPrompts", again, tenant)
    assert list(imported.unchanged) == ["summarizer"]


@pytest.mark.parametrize("tenant", ["", "Acme", "a_b", "a" * 64, "-a", "a,b", "a b"])
async def test_header_that_is_no_tenant_is_refused(service: Running, tenant: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await ask(service, "CompletionService/CreateCompletion", asked(), tenant)
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.details() == "x-tenant-id: must be 1 to 63 of a-z, 0-9 and -, and not begin with -"


async def test_without_a_header_the_tenant_is_the_default_one(service: Running) -> None:
    answer = await service.completions.CreateCompletion(asked())
    await until(lambda: not service.server.lifecycle.running)
    (row,) = await executions_of(service, answer.request_id, "default-tenant")
    assert row.tenant_id == "default-tenant"
