"""Answers of requests with `store`: kept once when they are complete, and found as their callers saw them."""

import json
from typing import Any
from urllib.parse import urlencode

import grpc
import pytest
import pytest_asyncio
import sqlalchemy as sa
from google.api.httpbody_pb2 import HttpBody

from genai_spine.store.tables import stored_completions as table
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import openai_service_pb2 as openai
from genai_spine.v1 import stored_completion_service_pb2 as stored
from tests.service.running import Posted, Running, Upstreams, asked, failure
from tests.upstreams.reply import Content, Reply, ToolCall

pytestmark = pytest.mark.asyncio(loop_scope="session")
PATH = "/v1/chat/completions"


@pytest_asyncio.fixture(loop_scope="session")
async def service(on_each: Running, upstreams: Upstreams) -> Running:
    """A server on either database, which has nothing stored."""
    async with on_each.database.engine.begin() as connection:
        await connection.execute(sa.delete(table))
    return on_each


async def called(service: Running, method: str, request: Any, query: str = "") -> Posted:
    """One of the unary methods over stored answers, as the edge calls it."""
    posted = Posted()
    call = getattr(service.facade, method)(request, metadata=[("x-envoy-original-path", PATH + query)])
    try:
        posted.add(await call)
    except grpc.aio.AioRpcError as error:
        posted.error = error
    posted.headers |= dict(await call.trailing_metadata() or ())
    return posted


async def got(service: Running, id: str) -> Posted:
    return await called(service, "GetChatCompletion", openai.GetChatCompletionRequest(completion_id=id), "/x")


async def listed(service: Running, labels: Any = None, **fields: Any) -> Posted:
    query = {f"metadata[{key}]": value for key, value in (labels or {}).items()}
    request = openai.ListChatCompletionsRequest(**fields)
    return await called(service, "ListChatCompletions", request, f"?{urlencode(query)}")


async def updated(service: Running, id: str, body: bytes) -> Posted:
    request = openai.UpdateChatCompletionRequest(completion_id=id, body=HttpBody(data=body))
    return await called(service, "UpdateChatCompletion", request, "/x")


async def messages(service: Running, id: str, **fields: Any) -> Posted:
    request = openai.ListChatMessagesRequest(completion_id=id, **fields)
    return await called(service, "ListChatMessages", request, "/x/messages")


async def rows(service: Running) -> int:
    async with service.database.engine.connect() as connection:
        found: int = (await connection.execute(sa.select(sa.func.count()).select_from(table))).scalar_one()
    return found


def content(events: list[Any]) -> str:
    return "".join(event["choices"][0]["delta"].get("content") or "" for event in events[:-1])


async def test_whole_answer_is_stored_as_its_caller_saw_it(service: Running) -> None:
    service.openai.script(Reply(choices=[Content("one"), Content("two")]))
    answer = (await service.chat(store=True, n=2, metadata={"team": "a"})).json
    assert (await got(service, answer["id"])).json == answer | {"metadata": {"team": "a"}}
    assert service.openai.bill[0].body["store"] is False
    assert "metadata" not in service.openai.bill[0].body


async def test_streamed_answer_is_stored_as_its_caller_saw_it(service: Running) -> None:
    service.openai.script(Reply(text=["one ", "two"], tool_calls=[ToolCall("f", ['{"a"', ":1}"])]))
    tools = [{"type": "function", "function": {"name": "f"}}]
    events = (await service.chat(stream=True, store=True, tools=tools)).events
    found = (await got(service, events[0]["id"])).json
    assert found["object"] == "chat.completion"
    assert (found["created"], found["model"]) == (events[0]["created"], events[0]["model"])
    [choice] = found["choices"]
    assert choice["message"]["content"] == content(events) == "one two"
    assert choice["message"]["tool_calls"][0]["function"]["arguments"] == '{"a":1}'
    assert choice["finish_reason"] == "tool_calls"
    assert found["usage"]["total_tokens"] > 0
    assert found["metadata"] == {}


async def test_streams_of_several_answers_are_stored_as_one(service: Running) -> None:
    answers = (await service.chat(model="llama3.2:latest", stream=True, store=True, n=2)).events
    found = (await got(service, answers[0]["id"])).json
    assert [choice["index"] for choice in found["choices"]] == [0, 1]
    assert all(choice["message"]["content"] for choice in found["choices"])
    assert await rows(service) == 1


@pytest.mark.parametrize("fields", [{}, {"store": None}, {"store": False}, {"metadata": {"a": "b"}}])
@pytest.mark.parametrize("stream", [False, True])
async def test_nothing_is_stored_unless_it_is_asked_for(
    service: Running, fields: dict[str, Any], stream: bool
) -> None:
    assert (await service.chat(stream=stream, **fields)).data
    assert await rows(service) == 0


@pytest.mark.parametrize("model", ["vllm:any", "llama3.2:latest", "builtin:extractive"])
async def test_other_vendors_hear_nothing_of_it(service: Running, model: str) -> None:
    answer = (await service.chat(model=model, store=True, metadata={"a": "b"})).json
    assert (await got(service, answer["id"])).json == answer | {"metadata": {"a": "b"}}
    sent = [entry.body for upstream in (service.openai, service.ollama) for entry in upstream.bill]
    assert not any({"store", "metadata"} & set(body) for body in sent)


@pytest.mark.parametrize("fault", ["cut", "error_event"])
async def test_broken_stream_stores_nothing(service: Running, fault: str) -> None:
    service.openai.script(Reply(text=["a"] * 5, fault=fault, after=3))
    assert "error" in (await service.chat(stream=True, store=True)).events[-1]
    assert await rows(service) == 0


async def test_stream_that_is_left_stores_nothing(service: Running) -> None:
    service.openai.script(Reply(text=["a"] * 5, fault="stall", after=3))
    call = service.completions.StreamCompletion(asked(store=True))
    await call.read()
    call.cancel()
    await service.idle()
    assert await rows(service) == 0


async def test_failed_answer_stores_nothing(service: Running) -> None:
    service.openai.script(Reply(status=500))
    assert (await service.chat(store=True)).problem["status"] >= 500
    assert await rows(service) == 0


async def test_answer_that_goes_on_without_its_caller_is_stored(service: Running) -> None:
    policy = pb.DISCONNECT_POLICY_CONTINUE
    answer = await service.completions.CreateCompletion(asked(store=True, disconnect_policy=policy))
    found = await service.stored.GetStoredCompletion(stored.GetStoredCompletionRequest(id=answer.id))
    assert found.completion.choices == answer.choices
    assert await rows(service) == 1


async def test_equal_requests_that_share_a_call_are_stored_each(service: Running) -> None:
    for _ in range(2):
        await service.completions.CreateCompletion(asked(store=True, coalesce=True))
    assert await rows(service) == 2


async def test_native_caller_finds_labels_and_deletes(service: Running) -> None:
    answer = await service.completions.CreateCompletion(asked("Hi", store=True, metadata={"a": "b=c"}))
    id = answer.id
    page = await service.stored.ListStoredCompletions(
        stored.ListStoredCompletionsRequest(metadata_json='{"a":"b=c"}', model="gpt-4o")
    )
    assert [each.completion for each in page.completions] == [answer]
    said = await service.stored.ListStoredMessages(stored.ListStoredMessagesRequest(id=id))
    assert [each.message for each in said.messages] == list(asked("Hi").messages)
    change = stored.UpdateStoredCompletionRequest(id=id, metadata={"n": "1"})
    assert dict((await service.stored.UpdateStoredCompletion(change)).metadata) == {"n": "1"}
    await service.stored.DeleteStoredCompletion(stored.DeleteStoredCompletionRequest(id=id))
    gone = await failure(service.stored.GetStoredCompletion(stored.GetStoredCompletionRequest(id=id)))
    assert (gone.code, gone.reason) == (grpc.StatusCode.NOT_FOUND, "COMPLETION_NOT_FOUND")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"metadata": {"a": "b"}}, "metadata"),
        ({"store": True, "metadata": {"a" * 65: "b"}}, "metadata"),
        ({"store": True, "metadata": {"": "b"}}, "metadata"),
        ({"store": True, "metadata": {"a": "b" * 513}}, "metadata"),
        ({"store": True, "metadata": {"a": "\0"}}, "metadata"),
        ({"store": True, "metadata": {"\0": "a"}}, "metadata"),
        ({"store": True, "metadata": {str(n): "b" for n in range(17)}}, "metadata"),
        ({"store": True, "messages": [], "prompt": pb.TextPrompt(text="a")}, "store"),
    ],
    ids=str,
)
async def test_native_request_names_the_field_that_is_wrong(
    service: Running, fields: dict[str, Any], field: str
) -> None:
    request = pb.CreateCompletionRequest(**({"model": "gpt-4o", "messages": asked("Hi").messages} | fields))
    failed = await failure(service.completions.CreateCompletion(request))
    assert failed.code == grpc.StatusCode.INVALID_ARGUMENT
    assert failed.fields[0].startswith(field)
    assert not service.openai.bill


async def test_limits_of_metadata_are_inclusive(service: Running) -> None:
    labels = {f"{n:02}" + "ü" * 62: "🙂" * 512 for n in range(16)}
    answer = (await service.chat(store=True, metadata=labels)).json
    assert (await got(service, answer["id"])).json["metadata"] == labels
    two = dict(list(labels.items())[:2])  # all of them are more than a URL holds
    assert [each["id"] for each in (await listed(service, two)).json["data"]] == [answer["id"]]


@pytest.mark.parametrize("metadata", [5, "a", ["a"], {"a": 1}, {"a": None}, {"a": {}}], ids=json.dumps)
async def test_metadata_of_another_type_is_refused(service: Running, metadata: Any) -> None:
    problem = (await service.chat(store=True, metadata=metadata)).problem
    assert (problem["status"], problem["type"]) == (400, "invalid_request_error")
    assert problem["param"].startswith("metadata")
    id = (await service.chat(store=True)).json["id"]
    problem = (await updated(service, id, json.dumps({"metadata": metadata}).encode())).problem
    assert problem["status"] == 400
    assert problem["param"].startswith("metadata")


async def test_list_is_paged_by_ids_in_either_order(service: Running) -> None:
    ids = [(await service.chat(store=True, metadata={"n": str(n)})).json["id"] for n in range(3)]
    first = (await listed(service, limit=2)).json
    assert first["object"] == "list"
    assert [each["id"] for each in first["data"]] == ids[:2]
    assert (first["first_id"], first["last_id"], first["has_more"]) == (ids[0], ids[1], True)
    last = (await listed(service, limit=2, after=ids[1])).json
    assert [each["id"] for each in last["data"]] == ids[2:]
    assert not last["has_more"]
    newest = (await listed(service, order="desc", after=ids[2])).json
    assert [each["id"] for each in newest["data"]] == ids[1::-1]
    [found] = (await listed(service, {"n": "1"}, model="gpt-4o")).json["data"]
    assert found == (await got(service, ids[1])).json
    nothing = (await listed(service, {"n": "%"})).json
    assert (nothing["data"], nothing["first_id"], nothing["has_more"]) == ([], None, False)


@pytest.mark.parametrize(
    ("fields", "labels", "param"),
    [
        ({"limit": 0}, {}, "limit"),
        ({"limit": 101}, {}, "limit"),
        ({"limit": -1}, {}, "limit"),
        ({"order": "random"}, {}, "order"),
        ({"after": "chatcmpl-none"}, {}, "after"),
        ({"after": "%"}, {}, "after"),
        ({"after": "a\0"}, {}, "after"),
        ({}, {str(n): "" for n in range(17)}, "metadata"),
        ({}, {"a": "\0"}, "metadata"),
        ({}, {"": "a"}, "metadata"),
        ({}, {"a" * 65: "a"}, "metadata"),
        ({}, {"a": "a" * 513}, "metadata"),
    ],
    ids=str,
)
async def test_list_names_what_is_wrong_with_its_query(
    service: Running, fields: dict[str, Any], labels: dict[str, str], param: str
) -> None:
    problem = (await listed(service, labels, **fields)).problem
    assert (problem["status"], problem["type"]) == (400, "invalid_request_error")
    assert problem["param"].startswith(param)


async def test_query_of_broken_utf8_or_of_too_many_fields_is_refused(service: Running) -> None:
    for query in ("?metadata[a]=%ff", "?" + "&".join(f"a{n}=" for n in range(300))):
        request = openai.ListChatCompletionsRequest()
        problem = (await called(service, "ListChatCompletions", request, query)).problem
        assert (problem["status"], problem["param"]) == (400, "query")


@pytest.mark.parametrize("id", ["chatcmpl-none", "comp_none", "x", "chatcmpl-%", "chatcmpl-\0"])
async def test_unknown_id_is_404_in_openais_shape(service: Running, id: str) -> None:
    named = openai.GetChatCompletionRequest(completion_id=id)
    for posted in (
        await got(service, id),
        await messages(service, id),
        await updated(service, id, b'{"metadata":{}}'),
        await called(service, "DeleteChatCompletion", named, "/x"),
    ):
        problem = posted.problem
        assert (problem["status"], problem["type"]) == (404, "invalid_request_error")
        assert posted.error is not None
        assert posted.error.code() == grpc.StatusCode.NOT_FOUND
        assert problem["details"]["id"] == id


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"metadat', b'{"metdata":{}}', b"\xff"])
async def test_update_without_metadata_changes_nothing(service: Running, body: bytes) -> None:
    id = (await service.chat(store=True, metadata={"a": "b"})).json["id"]
    assert (await updated(service, id, body)).problem["status"] == 400
    assert (await got(service, id)).json["metadata"] == {"a": "b"}


@pytest.mark.parametrize(("given", "now"), [({"n": "1"}, {"n": "1"}), ({}, {}), (None, {})])
async def test_update_replaces_the_metadata(service: Running, given: Any, now: dict[str, str]) -> None:
    id = (await service.chat(store=True, metadata={"a": "b"})).json["id"]
    answer = (await updated(service, id, json.dumps({"metadata": given, "other": 1}).encode())).json
    assert answer["metadata"] == now
    assert (await got(service, id)).json == answer


async def test_deleted_answer_is_gone(service: Running) -> None:
    id = (await service.chat(store=True)).json["id"]
    named = openai.GetChatCompletionRequest(completion_id=id)
    gone = await called(service, "DeleteChatCompletion", named, "/x")
    assert gone.json == {"object": "chat.completion.deleted", "id": id, "deleted": True}
    assert "x-genai-http-status" not in gone.headers
    assert (await got(service, id)).problem["status"] == 404
    assert (await listed(service)).json["data"] == []


async def test_messages_come_back_in_pages(service: Running) -> None:
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "https://a.example/x.png", "detail": "low"}},
    ]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    given = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "name": "Ann", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": ""},
        {"role": "user", "content": "NUL \0"},
    ]
    id = (await service.chat(model="vllm:any", store=True, messages=given)).json["id"]
    page = (await messages(service, id)).json
    assert not page["has_more"]
    expected = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "name": "Ann", "content": "a", "content_parts": parts},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": ""},
        {"role": "user", "content": "NUL \0"},
    ]
    empty = {"name": None, "content_parts": None, "refusal": None}
    assert page["data"] == [
        empty | message | {"id": f"{id}-{number}"} for number, message in enumerate(expected)
    ]
    first = (await messages(service, id, limit=2)).json
    assert (first["last_id"], first["has_more"]) == (f"{id}-1", True)
    rest = (await messages(service, id, after=first["last_id"])).json
    assert first["data"] + rest["data"] == page["data"]
    newest = (await messages(service, id, order="desc", after=f"{id}-2")).json
    assert newest["data"] == page["data"][1::-1]


@pytest.mark.parametrize("after", ["x", "-1", "chatcmpl-other-0"])
async def test_messages_behind_a_message_of_another_answer_are_refused(service: Running, after: str) -> None:
    id = (await service.chat(store=True)).json["id"]
    problem = (await messages(service, id, after=after)).problem
    assert (problem["status"], problem["param"]) == (400, "after")


async def test_answer_of_a_database_that_fails_goes_out_and_says_so(
    service: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr("genai_spine.store.stored_completions.StoredCompletionRows.add", fails)
    monkeypatch.setattr("genai_spine.delivery.stored_completions.PAUSES_S", (0.0,))
    posted = await service.chat(store=True)
    assert posted.json["choices"]
    assert posted.headers["x-genai-stored"] == "false"
