"""The official clients, pointed at a simulator, and what the tests of the simulators do with them."""

from typing import Any

import aiohttp
import anthropic
import openai

from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.server import Upstream

HELLO: Any = [{"role": "user", "content": "Hello"}]
ECHO = "You said: Hello"


def openai_client(up: OpenAIUpstream, **options: Any) -> openai.AsyncOpenAI:
    """The official client; not loading the CA certificates saves 50 ms per test."""
    http = openai.DefaultAsyncHttpxClient(verify=False)
    options = {"api_key": "sk-test-1", "max_retries": 0, **options}
    return openai.AsyncOpenAI(base_url=up.base_url, http_client=http, **options)


async def stream_of(sdk: Any, **options: Any) -> list[Any]:
    asked = {"model": "gpt-4o", "messages": HELLO, "stream_options": {"include_usage": True}} | options
    return [chunk async for chunk in await sdk.chat.completions.create(stream=True, **asked)]


def text_of(chunks: list[Any]) -> str:
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


async def drain(stream: Any, seen: list[Any]) -> None:
    """Keeps what came before an error."""
    async for item in stream:
        seen.append(item)


async def raw(up: Upstream, path: str, **body: Any) -> bytes:
    async with aiohttp.ClientSession() as session, session.post(up.url + path, json=body) as response:
        return await response.read()


def anthropic_client(up: Upstream, **options: Any) -> anthropic.AsyncAnthropic:
    """The official client; without the CA certificates, as openai_client()."""
    http = anthropic.DefaultAsyncHttpxClient(verify=False)
    options = {"api_key": "sk-test-1", "max_retries": 0, **options}
    return anthropic.AsyncAnthropic(base_url=up.url, http_client=http, **options)
