"""Retries that the official SDKs make by themselves, with a key that wants them to join: paid once."""

import asyncio
import json
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.acceptance import node
from tests.acceptance.stack import Stack, finished, up
from tests.acceptance.test_idempotency import DroppedAnswers
from tests.upstreams.clients import text_of
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

MODEL = "gpt-4o"
REQUESTS = 30
TRIES = 12  # so that no SDK gives up: a first try again is a new call


@pytest.fixture(scope="module")
def keyed(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, str]]:
    """A service that asks for keys, and a key whose retries join."""
    folder = tmp_path_factory.mktemp("retries")
    url = f"sqlite:///{folder}/spine.db"
    own = settings | {"GENAI_AUTH": "on"}
    command = (sys.executable, "-m", "genai_spine")
    made = finished(*command, "migrate", "--json", cwd=folder, **own, GENAI_DATABASE_URL=url)
    admin = json.loads(made.stdout)["first_key"]
    for stack in up(folder, own, url):
        asking = {"GENAI_ADDRESS": stack.address, "GENAI_API_KEY": admin}
        created = finished(*command, "keys", "create", "web", "--deduplicate-retries", cwd=folder, **asking)
        yield stack, created.stdout.strip()


async def test_python_sdk_whose_answers_are_lost_pays_once(
    keyed: tuple[Stack, str], openai_upstream: UpstreamProcess
) -> None:
    stack, secret = keyed
    openai_upstream.script(default=Reply(["a ", "b ", "c"], interval_s=0.002))
    transport = DroppedAnswers(0.3, seed=11)

    async def one(number: int) -> str:
        asked: Any = {"model": MODEL, "messages": [{"role": "user", "content": f"Number {number}"}]}
        if number % 2:
            return (await sdk.chat.completions.create(**asked)).choices[0].message.content or ""
        stream = await sdk.chat.completions.create(**asked, stream=True)
        return text_of([chunk async for chunk in stream])

    async with (
        httpx.AsyncClient(transport=transport) as http,
        openai.AsyncOpenAI(
            base_url=f"{stack.url}/v1", api_key=secret, http_client=http, max_retries=TRIES
        ) as sdk,
    ):
        texts = await asyncio.gather(*map(one, range(REQUESTS)))
    assert set(texts) == {"a b c"}
    assert transport.dropped > REQUESTS / 6
    assert len(openai_upstream.bill()) == REQUESTS


@pytest.fixture(scope="module")
def node_results(keyed: tuple[Stack, str], openai_process: UpstreamProcess) -> dict[str, str]:
    openai_process.reset()
    stack, secret = keyed
    variables = {"SPINE_URL": stack.url, "SPINE_KEY": secret, "OPENAI_UPSTREAM_URL": openai_process.url}
    return node.results("openai_retries.mjs", **variables)


@pytest.mark.parametrize("name", node.names("openai_retries.mjs"))
def test_node_sdk(node_results: dict[str, str], name: str) -> None:
    assert node_results[name] == ""
