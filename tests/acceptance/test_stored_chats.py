"""Stored chat completions by the official SDKs, unmodified, through real Envoy."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from tests.acceptance import node
from tests.acceptance.http import session
from tests.acceptance.stack import Stack
from tests.upstreams.clients import ECHO, HELLO
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

MODEL = "gpt-4o"
PATH = "/v1/chat/completions"


@pytest.fixture(params=["/v1", "/api/v1"])
async def sdk(any_stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[openai.AsyncOpenAI]:
    http = openai.DefaultAsyncHttpxClient(verify=False)  # no TLS here, and reading certificates takes 50 ms
    url = any_stack.url + request.param
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=http) as client:
        yield client


@pytest.fixture
def run(request: pytest.FixtureRequest) -> str:
    """A label of this test's answers; the stack has those of others, too."""
    return str(request.node.name)[:512]


async def stored(sdk: openai.AsyncOpenAI, run: str, count: int = 3) -> list[str]:
    """Ids of new answers, the oldest first."""
    made = [
        await sdk.chat.completions.create(model=MODEL, messages=HELLO, store=True, metadata={"run": run})
        for _ in range(count)
    ]
    return [answer.id for answer in made]


async def test_answer_is_retrieved_labelled_and_deleted(sdk: openai.AsyncOpenAI, run: str) -> None:
    chat = sdk.chat.completions
    answer = await chat.create(model=MODEL, messages=HELLO, store=True, metadata={"run": run})
    found = await chat.retrieve(answer.id)
    assert found.to_dict() == answer.to_dict() | {"metadata": {"run": run}}
    updated: Any = await chat.update(answer.id, metadata={"team": "a"})
    assert (updated.id, updated.metadata) == (answer.id, {"team": "a"})
    gone = await chat.delete(answer.id)
    assert (gone.id, gone.deleted, gone.object) == (answer.id, True, "chat.completion.deleted")
    for call in (chat.retrieve, chat.delete, chat.messages.list):
        with pytest.raises(openai.NotFoundError) as failed:
            await call(answer.id)
        assert (failed.value.type, failed.value.param) == ("invalid_request_error", None)
        assert answer.id in failed.value.message
    with pytest.raises(openai.NotFoundError):
        await chat.update(answer.id, metadata={})


async def test_streamed_answer_is_found_when_it_has_ended(sdk: openai.AsyncOpenAI) -> None:
    async with sdk.chat.completions.stream(model=MODEL, messages=HELLO, store=True) as stream:
        answer = await stream.get_final_completion()
    found = await sdk.chat.completions.retrieve(answer.id)
    assert (found.id, found.created, found.model) == (answer.id, answer.created, answer.model)
    assert found.choices[0].message.content == answer.choices[0].message.content == ECHO


async def test_stream_that_is_closed_before_its_end_is_not_stored(
    sdk: openai.AsyncOpenAI, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(text=["tok "] * 5, fault="stall", after=3))
    stream = await sdk.chat.completions.create(model=MODEL, messages=HELLO, store=True, stream=True)
    chunk = await anext(stream)
    await stream.close()
    with pytest.raises(openai.NotFoundError):
        await sdk.chat.completions.retrieve(chunk.id)


async def test_list_follows_its_pages_in_either_order(sdk: openai.AsyncOpenAI, run: str) -> None:
    ids = await stored(sdk, run)
    chat, labels = sdk.chat.completions, {"run": run}
    assert [each.id async for each in chat.list(limit=2, metadata=labels)] == ids
    newest = chat.list(limit=1, order="desc", metadata=labels, model=MODEL)
    assert [each.id async for each in newest] == ids[::-1]
    assert [each.id async for each in chat.list(metadata=labels, model="other")] == []


@pytest.mark.parametrize("label", [("a=b", "c&d"), ("[x]", "%"), ("ü", "a+b c"), ('"', "'; --")], ids=str)
async def test_list_finds_any_label(sdk: openai.AsyncOpenAI, run: str, label: tuple[str, str]) -> None:
    labels = {"run": run, label[0]: label[1]}
    answer = await sdk.chat.completions.create(model=MODEL, messages=HELLO, store=True, metadata=labels)
    assert [each.id async for each in sdk.chat.completions.list(metadata=labels)] == [answer.id]
    other = {"run": run, label[0]: label[1] + "x"}
    assert [each.id async for each in sdk.chat.completions.list(metadata=other)] == []


async def test_list_whose_answers_are_deleted_on_the_way_comes_to_its_end(
    sdk: openai.AsyncOpenAI, run: str
) -> None:
    ids = await stored(sdk, run)
    chat = sdk.chat.completions
    gone = [(await chat.delete(each.id)).id async for each in chat.list(limit=1, metadata={"run": run})]
    assert gone == ids


async def test_list_holds_what_was_there_while_more_is_stored(sdk: openai.AsyncOpenAI, run: str) -> None:
    ids = await stored(sdk, run)
    more = asyncio.create_task(stored(sdk, run, 5))
    seen = [each.id async for each in sdk.chat.completions.list(limit=1, metadata={"run": run})]
    added = await more
    assert seen[:3] == ids
    assert seen[3:] == added[: len(seen) - 3]


async def test_messages_come_in_pages(sdk: openai.AsyncOpenAI) -> None:
    said: Any = [{"role": "user", "content": text} for text in "abc"]
    answer = await sdk.chat.completions.create(model=MODEL, messages=said, store=True)
    listed = sdk.chat.completions.messages.list(answer.id, limit=2)
    assert [(each.id, each.content) async for each in listed] == [
        (f"{answer.id}-{number}", text) for number, text in enumerate("abc")
    ]
    newest = await sdk.chat.completions.messages.list(answer.id, order="desc", limit=1)
    assert [each.content for each in newest.data] == ["c"]


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=101", "limit"), ("order=up", "order"), ("after=none", "after")],
)
async def test_wrong_query_is_a_bad_request_that_names_it(stack: Stack, query: str, param: str) -> None:
    async with session(stack.url) as http, http.get(f"{PATH}?{query}") as answer:
        error = (await answer.json())["error"]
        assert (answer.status, error["type"], error["param"]) == (400, "invalid_request_error", param)


async def test_limit_that_is_no_number_is_a_bad_request(stack: Stack) -> None:
    async with session(stack.url) as http, http.get(f"{PATH}?limit=ten") as answer:
        assert answer.status == 400
        assert (await answer.json())["error"]["message"]


async def test_native_paths_have_the_same_answers(stack: Stack) -> None:
    said = {"role": "ROLE_USER", "content": [{"text": "Hello"}]}
    request = {"model": MODEL, "messages": [said], "store": True, "metadata": {"a": "native"}}
    async with session(stack.url) as http:
        async with http.post("/v1/completions:create", json=request) as answer:
            id = (await answer.json())["id"]
        path = f"/v1/stored-completions/{id}"
        async with http.get(path) as answer:
            assert (await answer.json())["metadata"] == {"a": "native"}
        async with http.get("/v1/stored-completions", params={"metadata_json": '{"a":"native"}'}) as answer:
            assert [each["completion"]["id"] for each in (await answer.json())["completions"]] == [id]
        async with http.get(f"{path}/messages") as answer:
            [message] = (await answer.json())["messages"]
            assert [part["text"] for part in message["message"]["content"]] == ["Hello"]
        async with http.patch(path, json={"metadata": {"a": "b"}}) as answer:
            assert (await answer.json())["metadata"] == {"a": "b"}
        async with http.delete(path) as answer:
            assert (answer.status, await answer.read()) == (204, b"")
        async with http.get(path) as answer:
            assert answer.status == 404


@pytest.fixture(scope="module")
def node_results(stack: Stack, openai_process: UpstreamProcess) -> dict[str, str]:
    openai_process.reset()
    return node.results("openai_stored.mjs", SPINE_URL=stack.url, OPENAI_UPSTREAM_URL=openai_process.url)


@pytest.mark.parametrize("name", node.names("openai_stored.mjs"))
def test_node_sdk(node_results: dict[str, str], name: str) -> None:
    assert node_results[name] == ""


async def test_tenant_of_the_header_finds_its_own_answers(any_stack: Stack, run: str) -> None:
    http = openai.DefaultAsyncHttpxClient(verify=False)
    async with openai.AsyncOpenAI(
        base_url=f"{any_stack.url}/v1", api_key="none", max_retries=0, http_client=http
    ) as client:
        acme = client.with_options(default_headers={"X-Tenant-ID": "acme"}).chat.completions
        rival = client.with_options(default_headers={"X-Tenant-ID": "rival"}).chat.completions
        answer = await acme.create(model=MODEL, messages=HELLO, store=True, metadata={"run": run})
        assert (await acme.retrieve(answer.id)).id == answer.id
        assert [found.id async for found in acme.list(metadata={"run": run})] == [answer.id]
        for other in (rival, client.chat.completions):
            assert [found async for found in other.list(metadata={"run": run})] == []
            with pytest.raises(openai.NotFoundError) as raised:
                await other.retrieve(answer.id)
            assert answer.id in raised.value.message
        wrong = client.with_options(default_headers={"X-Tenant-ID": "Acme!"}).chat.completions
        with pytest.raises(openai.BadRequestError, match="x-tenant-id: must be 1 to 63"):
            await wrong.create(model=MODEL, messages=HELLO)
