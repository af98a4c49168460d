"""Tokens are counted over REST, through real Envoy, without a call to a provider."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.acceptance.http import session
from tests.acceptance.stack import Stack
from tests.upstreams.process import UpstreamProcess

COUNT = "/v1/tokens:count"


@pytest.fixture
async def rest(stack: Stack) -> AsyncIterator[aiohttp.ClientSession]:
    async with session(stack.url) as http:
        yield http


def asked(model: str, **fields: Any) -> dict[str, Any]:
    message = {"role": "ROLE_USER", "content": [{"text": "tiktoken is great!"}]}
    return {"request": {"model": model, "messages": [message], **fields}}


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_an_openai_chat_is_counted_exactly(
    rest: aiohttp.ClientSession, openai_upstream: UpstreamProcess, prefix: str
) -> None:
    async with rest.post(prefix + COUNT, json=asked("gpt-4o", max_tokens=128_000)) as answer:
        assert answer.status == 200
        assert await answer.json() == {
            "input_tokens": 13,
            "provenance": "PROVENANCE_PROVIDER_REPORTED",
            "counter": "o200k_base",
            "model": "gpt-4o",
            "provider": "openai",
            "context_length": 128_000,
            "fits": False,
        }
    assert openai_upstream.bill() == []


async def test_an_estimate_says_so(rest: aiohttp.ClientSession) -> None:
    async with rest.post(COUNT, json=asked("ollama:of-nobody")) as answer:
        said = await answer.json()
    assert (said["provenance"], said["counter"], said["fits"]) == ("PROVENANCE_ESTIMATED", "estimate", True)
    assert said["input_tokens"] > 7
    assert "context_length" not in said


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "UNPROCESSABLE_ENTITY"),
        ({"request": {"model": "gpt-4o"}}, 422, "UNPROCESSABLE_ENTITY"),
        (asked("claude-3-haiku"), 404, "MODEL_NOT_FOUND"),
        (asked("gpt-4o", provider="nobody"), 400, "VALIDATION_ERROR"),
    ],
    ids=["empty", "no messages", "unknown model", "unknown provider"],
)
async def test_what_cannot_be_counted_is_refused(
    rest: aiohttp.ClientSession, body: dict[str, Any], status: int, code: str
) -> None:
    async with rest.post(COUNT, json=body) as answer:
        said = await answer.json()
    assert (answer.status, said["error"]["code"]) == (status, code)
