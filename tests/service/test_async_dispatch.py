"""Calls that are answered with a run: Prefer: respond-async, and wait of ExecutePrompt."""

from typing import Any

import grpc
import msgspec
import pytest

from genai_spine.call import Call
from genai_spine.v1 import (
    capability_service_pb2,
    capability_service_pb2_grpc,
    completion_service_pb2,
    prompt_service_pb2_grpc,
    run_service_pb2,
    run_service_pb2_grpc,
    session_service_pb2_grpc,
)
from genai_spine.v1 import prompt_service_pb2 as prompts
from genai_spine.v1 import session_service_pb2 as sessions
from genai_spine.v1.run_pb2 import Run
from tests.service.running import Running, asked, failure
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")
PREFER = (("prefer", "respond-async"), ("x-envoy-original-path", "/v1/x"))


async def ended(service: Running, run_id: str) -> Run:
    stub: Any = run_service_pb2_grpc.RunServiceStub(service.channel)
    request = run_service_pb2.WaitRunRequest(run_id=run_id)
    request.timeout.seconds = 20
    run: Run = await stub.WaitRun(request)
    return run


async def dispatched(call: Any) -> tuple[str, dict[str, str]]:
    """Run id in the body of a call's answer, and the headers of the answer."""
    headers = {key: str(value) for key, value in await call.initial_metadata()}
    body = msgspec.json.decode(headers["x-genai-body"])
    assert body["status"] in ("queued", "running", "completed")  # a quick one has ended by then
    assert headers["x-genai-http-status"] == "202"
    assert headers["location"] == f"/v1/runs/{body['run_id']}"
    return body["run_id"], headers


async def test_completion_becomes_a_run_with_its_answer(service: Running) -> None:
    service.openai.script(Reply(text="Blue."))
    call = service.completions.CreateCompletion(
        asked("Sky?", user="ada", cost_labels={"team": "x"}), metadata=PREFER
    )
    answer = await call
    assert not answer.choices
    run_id, headers = await dispatched(call)
    assert headers["preference-applied"] == "respond-async"
    run = await ended(service, run_id)
    assert run.response.completion.choices[0].message.content[0].text == "Blue."
    assert (run.options.user, run.options.cost_labels["team"]) == ("ada", "x")


async def begun(service: Running) -> tuple[Any, str]:
    """Stub of sessions, and the id of a new one."""
    stub: Any = session_service_pb2_grpc.SessionServiceStub(service.channel)
    return stub, (await stub.CreateSession(sessions.CreateSessionRequest(model="gpt-4o-mini"))).id


async def said(stub: Any, session_id: str) -> list[str]:
    listed = await stub.ListMessages(sessions.ListMessagesRequest(session_id=session_id))
    return [message.content for message in listed.messages]


async def test_messages_of_sessions_become_runs(service: Running) -> None:
    stub, session_id = await begun(service)
    service.openai.script(Reply(text="Blue."), Reply(text="Green."))
    call = stub.SendMessage(
        sessions.SendMessageRequest(session_id=session_id, content="Sky?", user="ada"), metadata=PREFER
    )
    await call
    run_id, headers = await dispatched(call)
    assert headers["preference-applied"] == "respond-async"
    run = await ended(service, run_id)
    assert (run.name, run.options.user) == ("genai.send_message", "ada")
    assert run.response.send_message.response.content == "Blue."
    streamed = stub.StreamMessage(
        sessions.SendMessageRequest(session_id=session_id, content="Grass?"), metadata=PREFER
    )
    assert len([event async for event in streamed]) == 1
    assert (await ended(service, (await dispatched(streamed))[0])).status == "completed"
    assert await said(stub, session_id) == ["Sky?", "Blue.", "Grass?", "Green."]


async def test_wait_of_a_message(service: Running) -> None:
    stub, session_id = await begun(service)
    service.openai.script(Reply(text="Blue."), Reply(text="Green."))
    asks = {"session_id": session_id, "content": "Sky?"}
    begun_one = await stub.SendMessage(sessions.SendMessageRequest(**asks, wait=False))
    assert not begun_one.HasField("response")
    assert (await ended(service, begun_one.run_id)).status == "completed"
    answer = await stub.SendMessage(sessions.SendMessageRequest(**asks, wait=True))
    assert answer.response.content == "Green."
    missing = sessions.SendMessageRequest(session_id="none", content="Sky?", wait=True)
    assert (await failure(stub.SendMessage(missing))).reason == "SESSION_NOT_FOUND"


async def test_a_run_sends_its_message_once_however_often_it_is_taken_over(service: Running) -> None:
    stub, session_id = await begun(service)
    service.openai.script(Reply(text="Blue."), Reply(text="again"))
    send = service.server.foundation.runs.worker.executor.handlers["send_message"]
    request = sessions.SendMessageRequest(session_id=session_id, content="Sky?")
    first, again = [
        await send(request, Call(run_id="01a22d71-37b3-779a-a60f-75d4f0fb4972"), lambda text: None)
        for _ in range(2)
    ]
    assert first.response == again.response
    assert again.response.content == "Blue."
    assert await said(stub, session_id) == ["Sky?", "Blue."]


async def test_stream_becomes_a_run(service: Running) -> None:
    call = service.completions.StreamCompletion(asked(model="builtin:extractive"), metadata=PREFER)
    assert len([chunk async for chunk in call]) == 1
    run_id, _ = await dispatched(call)
    assert (await ended(service, run_id)).status == "completed"


async def test_capability_and_embeddings_become_runs(service: Running) -> None:
    stub: Any = capability_service_pb2_grpc.CapabilityServiceStub(service.channel)
    summarize = capability_service_pb2.SummarizeRequest(content="One. Two.", provider="builtin")
    streamed = capability_service_pb2.StreamCapabilityRequest(summarize=summarize)
    embed = completion_service_pb2.CreateEmbeddingsRequest(
        model="builtin:hashing", inputs=[completion_service_pb2.EmbeddingInput(text="x")]
    )
    for call in (
        stub.Summarize(summarize, metadata=PREFER),
        service.completions.CreateEmbeddings(embed, metadata=PREFER),
    ):
        await call
        assert (await ended(service, (await dispatched(call))[0])).status == "completed"
    call = stub.StreamCapability(streamed, metadata=PREFER)
    assert len([event async for event in call]) == 1
    assert (await ended(service, (await dispatched(call))[0])).name == "genai.summarize"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello. You."}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello. You."}], "stream": True}),
        ("/v1/completions", {"prompt": "Hello. You."}),
        ("/v1/embeddings", {"model": "builtin:hashing", "input": "Hello"}),
    ],
)
async def test_paths_of_openai_answer_with_a_run(service: Running, path: str, body: dict[str, Any]) -> None:
    posted = await service.post(path, {"model": "builtin:extractive"} | body, prefer="respond-async, wait=1")
    assert (await ended(service, posted.json["run_id"])).status == "completed"


async def test_same_key_is_one_run_and_another_body_is_refused(service: Running) -> None:
    async def submitted(text: str) -> str:
        request = asked(text, model="builtin:extractive", idempotency_key="async-once")
        call = service.completions.CreateCompletion(request, metadata=PREFER)
        await call
        return (await ended(service, (await dispatched(call))[0])).run_id

    first = await submitted("One.")
    request = asked("One.", model="builtin:extractive")
    call = service.completions.CreateCompletion(
        request, metadata=(*PREFER, ("idempotency-key", "async-once"))
    )
    await call
    headers = dict(await call.initial_metadata())
    assert msgspec.json.decode(headers["x-genai-body"]) == {"run_id": first, "status": "completed"}
    failed = await failure(
        service.completions.CreateCompletion(
            asked("Two.", model="builtin:extractive", idempotency_key="async-once"), metadata=PREFER
        )
    )
    assert failed.reason == "IDEMPOTENCY_KEY_REUSED"


async def test_preference_of_a_grpc_caller_counts_for_nothing(service: Running) -> None:
    answer = await service.completions.CreateCompletion(
        asked(model="builtin:extractive"), metadata=(("prefer", "respond-async"),)
    )
    assert answer.choices


async def test_prompt_without_waiting_is_a_run(service: Running) -> None:
    stub: Any = prompt_service_pb2_grpc.PromptServiceStub(service.channel)
    request = prompts.ExecutePromptRequest(prompt_slug="summarize-article", wait=False)
    request.variables.update({"content": "One. Two."})
    request.options.model = "builtin:extractive"
    response = await stub.ExecutePrompt(request)
    run = await ended(service, response.run_id)
    assert run.response.execute_prompt.output
    assert not response.output


@pytest.mark.parametrize("slug", ["summarize-article", "nobody-s"])
async def test_run_that_has_ended_by_then_is_the_answer_where_nobody_waits(
    service: Running, slug: str
) -> None:
    stub: Any = prompt_service_pb2_grpc.PromptServiceStub(service.channel)
    request = prompts.ExecutePromptRequest(prompt_slug=slug, wait=False, idempotency_key=f"quick {slug}")
    request.variables.update({"content": "One. Two."})
    request.options.model = "builtin:extractive"
    first = await stub.ExecutePrompt(request)
    run = await ended(service, first.run_id)
    assert run.status in ("completed", "failed")
    again = await stub.ExecutePrompt(request)
    assert (again.run_id, again.status, again.output) == (first.run_id, run.status, "")


async def test_prompt_that_is_waited_for_has_its_answer_or_its_error(service: Running) -> None:
    stub: Any = prompt_service_pb2_grpc.PromptServiceStub(service.channel)
    request = prompts.ExecutePromptRequest(prompt_slug="summarize-article", wait=True)
    request.variables.update({"content": "One. Two."})
    request.options.model = "builtin:extractive"
    response = await stub.ExecutePrompt(request)
    assert response.output
    assert not response.run_id
    request.prompt_slug = "nobody-s"
    failed = await failure(stub.ExecutePrompt(request))
    assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "PROMPT_NOT_FOUND")
