"""Answers given again, and answers fetched later, over REST through real Envoy."""

import asyncio
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.acceptance.http import session
from tests.acceptance.stack import Stack
from tests.acceptance.upstream_stop import called
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

ASK = {"X-Cache-Control": "max-age=3600"}


def typed(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "ROLE_USER", "content": [{"text": text}]}], **fields}


def openai(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **fields}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions:create", typed("create")),
        ("/v1/completions:stream", typed("stream")),
        ("/v1/chat/completions", openai("chat")),
        ("/v1/chat/completions", openai("chat stream", stream=True)),
        ("/v1/embeddings:create", {"model": "text-embedding-3-small", "inputs": [{"text": "typed"}]}),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "openai"}),
    ],
)
async def test_second_answer_says_hit_and_calls_no_provider(
    stack: Stack, openai_upstream: UpstreamProcess, path: str, body: dict[str, Any]
) -> None:
    async with session(stack.url) as client:
        found = []
        for headers in (ASK, ASK, {}):
            async with client.post(path, json=body, headers=headers) as answer:
                assert answer.status == 200, await answer.text()
                await answer.read()
                found.append(answer.headers.get("x-cache"))
    assert found == ["MISS", "HIT", None]
    assert len(openai_upstream.bill()) == 2


async def test_header_that_cannot_be_read_is_a_400(stack: Stack) -> None:
    async with (
        session(stack.url) as client,
        client.post(
            "/v1/completions:create", json=typed("bad"), headers={"X-Cache-Control": "max-age=soon"}
        ) as answer,
    ):
        assert answer.status == 400
        assert "X-Cache-Control" in (await answer.json())["detail"]


async def test_answer_of_a_caller_who_went_away_is_fetched_with_get(
    any_stack: Stack, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(["late ", "answer"], headers_delay_s=2))
    request_id = str(uuid4())
    body = typed("continue", disconnect_policy="DISCONNECT_POLICY_CONTINUE")
    async with session(any_stack.url) as client:
        headers = {"x-request-id": request_id}
        asking = asyncio.ensure_future(client.post("/v1/completions:create", json=body, headers=headers))
        await called(openai_upstream)
        asking.cancel()
        await asyncio.wait({asking})
        status, found = await fetched(client, request_id)
        assert (status, found["error"]["details"]["hint"]) == (404, "still running")
        async with asyncio.timeout(20):
            while status != 200:
                await asyncio.sleep(0.02)
                status, found = await fetched(client, request_id)
        assert found["choices"][0]["message"]["content"] == [{"text": "late answer"}]
        assert await fetched(client, found["id"]) == (200, found)
    assert len(openai_upstream.bill()) == 1


async def fetched(client: aiohttp.ClientSession, id: str) -> tuple[int, Any]:
    async with client.get(f"/v1/completions/{id}") as answer:
        return answer.status, await answer.json()
