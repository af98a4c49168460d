"""Request log: what is asked and answered over each kind of RPC, redacted; off by default; deleted."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
import sqlalchemy as sa

from genai_spine.request_log import request_log
from genai_spine.store.request_log.tables import request_logs
from genai_spine.v1 import capability_service_pb2 as capabilities
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import execution_service_pb2 as executions
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import message_pb2, method_rules_pb2
from genai_spine.v1 import prompt_service_pb2 as prompts
from genai_spine.v1 import request_log_service_pb2 as pb
from genai_spine.v1 import session_service_pb2 as sessions
from tests.databases import BOTH
from tests.service.running import Running, Upstreams, asked, failure, running
from tests.service.tenancy import METHODS, ask, outcome
from tests.service.test_tenants import BOOKED
from tests.upstreams.reply import Reply
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")
SECRET = "Zq8vT2nB4xK9wL1pR7sD"
TENANT = "default-tenant"
COMPLETE, STREAM = "CompletionService/CreateCompletion", "CompletionService/StreamCompletion"


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def logging(request: pytest.FixtureRequest, all_upstreams: Upstreams) -> AsyncIterator[Running]:
    """A server whose request log is on for all but one tenant."""
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    url = request.getfixturevalue(f"module_{kind}_url")
    async with running(all_upstreams, url, request_log="on", request_log_off="quiet") as found:
        yield found


@pytest.fixture
def service(logging: Running, upstreams: Upstreams) -> Running:
    return logging


async def listed(service: Running, tenant: str = TENANT, **filters: Any) -> list[pb.RequestLog]:
    await service.idle()
    await service.server.foundation.request_log.flush()
    request = pb.ListRequestLogsRequest(**filters)
    (page,) = await ask(service, "RequestLogService/ListRequestLogs", request, tenant)
    return list(page.request_logs)


async def logged(service: Running, tenant: str = TENANT, **filters: Any) -> pb.RequestLog:
    """The newest entry, whole."""
    newest = (await listed(service, tenant, **filters))[0]
    request = pb.GetRequestLogRequest(request_log_id=newest.id)
    (found,) = await ask(service, "RequestLogService/GetRequestLog", request, tenant)
    return found


async def count(service: Running) -> int:
    await service.idle()
    await service.server.foundation.request_log.flush()
    async with service.database.connect() as connection:
        return int(
            (await connection.execute(sa.select(sa.func.count()).select_from(request_logs))).scalar_one()
        )


async def test_completion_is_logged_and_tied_to_its_execution(service: Running) -> None:
    service.openai.script(Reply(text="Bonjour"))
    request = asked("Hello", user="ann", temperature=0.5)
    (answer,) = await ask(service, COMPLETE, request, TENANT, x_correlation_id="order-7")
    entry = await logged(service)
    assert (entry.code, entry.error, entry.request_cut, entry.answer_cut) == ("OK", "", False, False)
    assert entry.method == f"/genai_spine.v1.{COMPLETE}"
    assert (entry.model, entry.end_user, entry.correlation_id) == ("gpt-4o", "ann", "order-7")
    assert entry.principal == "anonymous"
    said = json.loads(entry.request_json)
    assert said["messages"] == [{"role": "ROLE_USER", "content": [{"text": "Hello"}]}]
    assert said["temperature"] == 0.5
    assert json.loads(entry.answer_json)["choices"][0]["message"]["content"] == [{"text": "Bonjour"}]
    assert (entry.request_bytes, entry.answer_bytes) == (request.ByteSize(), answer.ByteSize())
    assert entry.expire_time.seconds - entry.create_time.seconds == 30 * 86400
    ledger = executions.ListExecutionsRequest(request_id=entry.request_id)
    (page,) = await ask(service, "ExecutionService/ListExecutions", ledger, TENANT)
    assert [row.id for row in page.executions] == [answer.execution_id]


async def test_list_shows_no_contents(service: Running) -> None:
    await ask(service, COMPLETE, asked(), TENANT)
    for entry in await listed(service):
        assert (entry.request_json, entry.answer_json) == ("", "")


async def test_stream_is_logged_as_one_answer(service: Running) -> None:
    service.openai.script(Reply(text="Hello there, all of you"))
    await ask(service, STREAM, asked(), TENANT)
    entry = await logged(service)
    [choice] = json.loads(entry.answer_json)["choices"]
    assert choice["message"]["content"] == [{"text": "Hello there, all of you"}]


@pytest.mark.parametrize("stream", [False, True])
async def test_openai_body_is_logged_as_sent_and_its_answer_as_seen(service: Running, stream: bool) -> None:
    service.openai.script(Reply(text="Bonjour à tous"))
    posted = await service.chat(stream=stream, user="bob", seed=7)
    entry = await logged(service)
    sent = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "user": "bob", "seed": 7}
    assert json.loads(entry.request_json) == sent | ({"stream": True} if stream else {})
    assert (entry.path, entry.end_user) == ("/v1/chat/completions", "bob")
    answer = json.loads(entry.answer_json)
    if stream:
        assert answer["choices"][0]["delta"]["content"] == "Bonjour à tous"
        assert answer["choices"][0]["finish_reason"] == "stop"
    else:
        assert answer == posted.json


async def test_failed_call_is_logged_with_its_reason(service: Running) -> None:
    failed = await failure(service.completions.CreateCompletion(asked(model="groq:any")))
    entry = await logged(service, failed=True)
    assert (entry.code, entry.error_reason) == (failed.code.name, failed.reason)
    assert not entry.HasField("answer_json")
    invalid = await failure(service.completions.CreateCompletion(asked(temperature=9)))
    entry = await logged(service)
    assert (entry.code, entry.error_reason) == ("INVALID_ARGUMENT", invalid.reason)
    assert entry.error


async def test_cancelled_call_is_logged(service: Running) -> None:
    service.openai.script(Reply(text="late", headers_delay_s=30))
    call = service.completions.CreateCompletion(asked("never mind"))
    await until(lambda: service.server.lifecycle.running > 0)
    call.cancel()
    entry = await logged(service)
    assert entry.code == "CANCELLED"
    assert "never mind" in entry.request_json


async def test_no_planted_secret_is_written(service: Running) -> None:
    service.openai.script(Reply(text=f"Your key is sk-{SECRET}."))
    tool = message_pb2.ToolCall(
        id="c", function=message_pb2.FunctionCall(name="f", arguments_json=f'{{"password": "{SECRET} x"}}')
    )
    said = [
        message_pb2.Message(role=message_pb2.ROLE_ASSISTANT, tool_calls=[tool]),
        message_pb2.Message(
            role=message_pb2.ROLE_TOOL,
            tool_call_id="c",
            content=[message_pb2.ContentPart(text=f"https://u:{SECRET}@example.com/?api_key={SECRET}")],
        ),
        message_pb2.Message(
            role=message_pb2.ROLE_USER,
            content=[message_pb2.ContentPart(text=f"sk-test-1 curl -H 'Authorization: Bearer {SECRET}'")],
        ),
    ]
    request = completions.CreateCompletionRequest(model="gpt-4o", messages=said)
    await ask(
        *(service, COMPLETE, request, TENANT),
        authorization=f"Bearer gs_live_{SECRET}",
        x_api_key=SECRET,
        user_agent=f"x sk-{SECRET}",
    )
    await service.chat(
        tools=[], metadata={"token": SECRET}, messages=[{"role": "user", "content": f"gs_live_{SECRET}"}]
    )
    entries = await listed(service)
    async with service.database.connect() as connection:
        rows = (await connection.execute(sa.select(request_logs))).all()
    assert len(entries) >= 2
    assert SECRET not in repr(rows)
    assert "sk-test-1" not in repr(rows)
    assert "[redacted]" in (await logged(service)).request_json


async def test_odd_and_large_contents_are_written(service: Running) -> None:
    long = await outcome(service, COMPLETE, asked("a\0b 🙂 " + "é" * 3_000_000, user="x\0y"), TENANT)
    assert long.startswith("INVALID_ARGUMENT")  # for the model, not for the log
    entry = await logged(service)
    assert entry.request_cut
    assert len(entry.request_json.encode()) <= 65_536
    assert json.loads(entry.request_json)["messages"][0]["content"][0]["text"].startswith("a\0b 🙂 é")
    assert entry.request_bytes > 6_000_000
    assert entry.end_user == "x\ufffdy"
    assert [one.id for one in await listed(service, end_user="x\0y")] == [entry.id]
    data = b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "' + b"x" * 10_000_000 + b'"}]}'
    await service.post("/v1/chat/completions", data)
    entry = await logged(service)
    assert (entry.request_cut, entry.request_bytes, entry.model) == (True, len(data), "gpt-4o")


async def test_sound_and_images_are_logged_without_their_bytes(service: Running) -> None:
    sound = bytes(range(256)) * 100
    request = media.CreateTranscriptionRequest(model="whisper-1", data=sound, filename="a.wav")
    await ask(service, "MediaService/CreateTranscription", request, TENANT)
    entry = await logged(service)
    assert json.loads(entry.request_json)["data"].startswith("[25600 bytes, sha256 ")
    await ask(
        service, "MediaService/CreateSpeech", media.CreateSpeechRequest(model="tts-1", input="Hi"), TENANT
    )
    assert " bytes, sha256 " in json.loads((await logged(service)).answer_json)["data"]
    image = media.CreateImagesRequest(model="gpt-image-1", prompt="a cat")
    await ask(service, "MediaService/CreateImages", image, TENANT)
    assert " bytes, sha256 " in (await logged(service)).answer_json


async def test_prompts_sessions_and_capabilities_are_logged(service: Running) -> None:
    prompt = prompts.Prompt(name="x", slug=f"x-{service.database.dialect}", user_prompt_template="Say hi.")
    (made,) = await ask(
        service, "PromptService/CreatePrompt", prompts.CreatePromptRequest(prompt=prompt), TENANT
    )
    execute = prompts.ExecutePromptRequest(prompt_id=made.id, model="gpt-4o", user="cy")
    await ask(service, "PromptService/ExecutePrompt", execute, TENANT)
    assert (await logged(service, end_user="cy")).method.endswith("/ExecutePrompt")
    await ask(service, "PromptService/StreamPrompt", execute, TENANT)
    assert json.loads((await logged(service)).answer_json).keys() >= {"text", "result"}
    create = sessions.CreateSessionRequest(model="gpt-4o")
    (session,) = await ask(service, "SessionService/CreateSession", create, TENANT)
    send = sessions.SendMessageRequest(session_id=session.id, content="Hi there")
    await ask(service, "SessionService/StreamMessage", send, TENANT)
    entry = await logged(service)
    assert json.loads(entry.request_json)["content"] == "Hi there"
    assert json.loads(entry.answer_json).keys() >= {"text", "result"}
    summarize = capabilities.SummarizeRequest(content="One. Two.", model="gpt-4o")
    await ask(service, "CapabilityService/Summarize", summarize, TENANT)
    assert json.loads((await logged(service)).request_json)["content"] == "One. Two."


async def test_methods_that_cost_money_are_those_that_are_logged() -> None:
    paid: Any = method_rules_pb2.paid
    found = {name for name, method in METHODS.items() if method.GetOptions().Extensions[paid]}
    stored = {"ExecutePrompt", "StreamPrompt", "SendMessage", "StreamMessage", "RegenerateMessage"}
    later = {
        "ModelService/DetectDrift",
        "ProviderBatchService/CreateBatch",
        "OpenAIService/CreateBatchObject",
    }
    booked = set(BOOKED) | later  # what the last three cause is booked when it is done
    composed = {
        "RagService/Retrieve",
        "RagService/AnswerQuery",
    }  # each call that they make is
    assert found == booked | composed | {name for name in METHODS if name.partition("/")[2] in stored}


async def test_caller_may_decline_and_others_are_not_logged(service: Running) -> None:
    before = await count(service)
    await ask(service, COMPLETE, asked(), TENANT, x_genai_request_log="off")
    await ask(service, STREAM, asked(), TENANT, x_genai_request_log="off")
    await ask(service, COMPLETE, asked(), "quiet")
    await ask(service, COMPLETE, asked(), "quiet", x_genai_request_log="on")
    await ask(service, "ModelService/GetModel", model_request(), TENANT)
    assert await count(service) == before


def model_request() -> Any:
    from genai_spine.v1 import model_service_pb2

    return model_service_pb2.GetModelRequest(model="openai:gpt-4o")


async def test_off_by_default_leaves_no_row(all_upstreams: Upstreams, database_url: str) -> None:
    all_upstreams.reset()
    async with running(all_upstreams, database_url) as service:
        assert service.server.lifecycle.request_log is None
        await ask(service, COMPLETE, asked(), TENANT, x_genai_request_log="on")
        await ask(service, STREAM, asked(), TENANT)
        assert await count(service) == 0


async def test_on_for_one_tenant_alone(all_upstreams: Upstreams, database_url: str) -> None:
    all_upstreams.reset()
    async with running(all_upstreams, database_url, request_log_on="acme,key:k1") as service:
        for tenant in ("acme", "rival"):
            await ask(service, COMPLETE, asked(), tenant)
        assert await count(service) == 1
        assert len(await listed(service, "acme")) == 1


async def test_reload_switches_for_calls_that_begin_then(all_upstreams: Upstreams, database_url: str) -> None:
    all_upstreams.reset()
    async with running(all_upstreams, database_url) as service:
        for value, entries in (("on", 1), ("off", 1), ("on", 2)):
            await service.server.reload(service.server.settings.model_copy(update={"request_log": value}))
            await ask(service, COMPLETE, asked(), TENANT)
            assert await count(service) == entries


async def test_stop_writes_what_waits(all_upstreams: Upstreams, database_url: str) -> None:
    all_upstreams.reset()
    async with running(all_upstreams, database_url, request_log="on") as service:
        await asyncio.gather(*(ask(service, COMPLETE, asked(), TENANT) for _ in range(20)))
        await service.stop()
        async with service.database.connect() as connection:
            query = sa.select(sa.func.count()).select_from(request_logs)
            assert (await connection.execute(query)).scalar_one() == 20


async def test_entries_are_deleted_alone_by_request_by_user_and_all(service: Running) -> None:
    async def delete(tenant: str, **fields: Any) -> int:
        request = pb.DeleteRequestLogsRequest(**fields)
        (answer,) = await ask(service, "RequestLogService/DeleteRequestLogs", request, tenant)
        return int(answer.deleted_count)

    for tenant in ("one", "two"):
        for user in ("ann", "ann", "bob", "cy"):
            await ask(service, COMPLETE, asked(user=user), tenant, x_request_id=f"{tenant}-{user}")
    await service.idle()  # nothing is flushed: a deletion takes what waits, too
    assert await delete("one", end_user="ann") == 2
    assert await delete("one", end_user="ann") == 0
    assert await delete("one", request_id="two-bob") == 0
    assert await delete("one", request_id="one-bob") == 1
    [last] = await listed(service, "one")
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await delete("two", request_log_id=last.id)
    assert missing.value.details() == f"no request log '{last.id}'"
    assert await delete("one", request_log_id=last.id) == 1
    assert len(await listed(service, "two")) == 4
    assert await delete("two", all=True) == 4
    assert await listed(service, "two") == []


@pytest.mark.parametrize("fields", [{}, {"all": True, "end_user": "x"}, {"request_id": "a", "end_user": "b"}])
async def test_deletion_says_just_one_thing(service: Running, fields: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await ask(
            service, "RequestLogService/DeleteRequestLogs", pb.DeleteRequestLogsRequest(**fields), TENANT
        )
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_pages_hold_each_entry_once(service: Running) -> None:
    for _ in range(5):
        await ask(service, COMPLETE, asked(), "paged")
    await listed(service)
    request, found = pb.ListRequestLogsRequest(page_size=2), []
    while True:
        (page,) = await ask(service, "RequestLogService/ListRequestLogs", request, "paged")
        found += [entry.id for entry in page.request_logs]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert len(found) == len(set(found)) == 5
    assert [entry.id for entry in await listed(service, "paged")] == found


async def test_expired_entries_are_swept(service: Running) -> None:
    await ask(service, COMPLETE, asked(), "old")
    entry = await logged(service, "old")
    async with service.database.begin() as connection:
        past = sa.update(request_logs).where(request_logs.c.id == entry.id)
        await connection.execute(past.values(expires_at=entry.create_time.ToDatetime()))
    assert await service.server.foundation.request_log.rows.sweep() == 1
    assert await listed(service, "old") == []


async def test_full_queue_drops_and_no_call_fails(service: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    log = service.server.foundation.request_log
    await listed(service)
    monkeypatch.setattr(request_log, "MAX_WAITING", 2)
    monkeypatch.setattr(request_log, "LINGER_S", 0.5)
    dropped = log.dropped
    await asyncio.gather(*(ask(service, COMPLETE, asked(), "busy") for _ in range(8)))
    written = len(await listed(service, "busy"))
    assert log.dropped - dropped == 8 - written > 0


async def test_entry_that_cannot_be_made_fails_no_call(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = service.server.foundation.request_log
    await listed(service)
    dropped = log.dropped

    def broken(recording: Any) -> Any:
        raise ValueError("no")

    monkeypatch.setattr(request_log, "entry_of", broken)
    await ask(service, COMPLETE, asked(), "broken")
    assert await listed(service, "broken") == []
    assert log.dropped == dropped + 1
