"""What the behaviour book does, over REST through Envoy, and on the command line."""

import json

import aiohttp

from tests.acceptance.http import session
from tests.acceptance.stack import Stack, genai_spine
from tests.upstreams.clients import HELLO
from tests.upstreams.process import UpstreamProcess

O3 = {"model": "o3", "temperature": 0.5}
HEADER = "temperature;action=dropped"


async def _posted(stack: Stack, path: str, body: object) -> tuple[aiohttp.ClientResponse, str]:
    async with session(stack.url) as client, client.post(path, json=body) as answer:
        return answer, await answer.text()


async def test_warnings_come_back_on_every_path(stack: Stack, openai_upstream: UpstreamProcess) -> None:
    typed = {**O3, "messages": [{"role": "ROLE_USER", "content": [{"text": "Hello"}]}]}
    for path, body in (
        ("/v1/completions:create", typed),
        ("/v1/completions:stream", typed),
        ("/v1/chat/completions", {**O3, "messages": HELLO}),
        ("/v1/chat/completions", {**O3, "messages": HELLO, "stream": True}),
    ):
        answer, text = await _posted(stack, path, body)
        assert (answer.status, answer.headers.get("x-genai-warnings")) == (200, HEADER), path
        if not body.get("stream"):
            assert '"warnings":' in text


async def test_strict_options_are_refused_by_name(stack: Stack, openai_upstream: UpstreamProcess) -> None:
    answer, text = await _posted(
        stack, "/v1/chat/completions", {**O3, "messages": HELLO, "strict_options": True}
    )
    assert (answer.status, json.loads(text)["error"]["param"]) == (400, "temperature")


async def test_a_model_is_explained_and_the_book_is_listed(stack: Stack) -> None:
    async with session(stack.url) as client:
        async with client.get("/v1/models/openai:o3:explain") as answer:
            found = await answer.json()
        assert (found["provider"], found["model"]) == ("openai", "o3")
        assert found["effort_levels"] == ["low", "medium", "high"]
        async with client.get("/v1/models:behaviour?provider=openai") as answer:
            listed = await answer.json()
        assert {row["name"] for row in found["rows"]} <= {row["name"] for row in listed["rows"]}
        async with client.get("/v1/models/gpt-4o") as answer:
            assert (await answer.json())["id"] == "gpt-4o"


async def test_the_command_line_explains_a_model_and_finds_drift(
    stack: Stack, openai_upstream: UpstreamProcess
) -> None:
    address = ("--address", stack.address)
    explained = genai_spine("models", "explain", "openai:o3", *address)
    assert explained.returncode == 0, explained.stderr
    assert "reasoning effort: low, medium, high" in explained.stdout
    assert "OpenAI's o series" in explained.stdout
    assert "https://" in explained.stdout
    found = genai_spine("drift", "openai", "--model", "gpt-4o-mini", "--json", *address)
    assert found.returncode == 0, found.stdout + found.stderr
    assert json.loads(found.stdout)["models"] == ["gpt-4o-mini"]
    assert genai_spine("models", "behaviour", "--provider", "mistral", *address).returncode == 0
