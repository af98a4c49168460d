"""Idempotency keys over REST and in the official SDKs: real Envoy and servers, answers lost on the way."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import count
from random import Random
from typing import Any
from uuid import uuid4

import aiohttp
import httpx
import openai
import pytest

from genai_spine.openai_api import sse
from genai_spine.openai_api.headers import EVENTS
from genai_spine.openai_api.responses import DONE, PING
from genai_spine.store.database import Database
from tests.acceptance import node
from tests.acceptance.http import session
from tests.acceptance.stack import Stack
from tests.idempotent_rows import violations
from tests.upstreams.clients import HELLO, text_of
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

MODEL = "gpt-4o"
NATIVE: Any = {"model": MODEL, "messages": [{"role": "ROLE_USER", "content": [{"text": "Hello"}]}]}
CHAT: Any = {"model": MODEL, "messages": HELLO}
WORDS = [f"w{number} " for number in range(40)]
numbers = count(1)


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    return f"{request.node.name[:200]} {next(numbers)}"


@pytest.fixture
async def rest(any_stack: Stack) -> AsyncIterator[aiohttp.ClientSession]:
    async with session(any_stack.url) as opened:
        yield opened
    database = Database(any_stack.database_url)
    try:
        assert await violations(database) == {}
    finally:
        await database.close()


async def posted(
    rest: aiohttp.ClientSession, path: str, body: Any, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    async with rest.post(path, json=body, headers=given) as answer:
        found = {name.lower(): value for name, value in answer.headers.items()}
        return answer.status, found, await answer.read()


def of_the_answer(headers: dict[str, str]) -> dict[str, str]:
    """Headers that every replay has as the first answer had them."""
    own = ("date", "x-genai-replay", "x-genai-replay-id", "x-envoy-upstream-service-time")
    return {name: value for name, value in headers.items() if name not in own}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions:create", NATIVE),
        ("/v1/completions:stream", NATIVE),
        ("/v1/chat/completions", CHAT),
        ("/v1/chat/completions", CHAT | {"stream": True}),
        ("/v1/embeddings", {"model": "text-embedding-3-small", "input": "Hello"}),
        ("/v1/embeddings:create", {"model": "text-embedding-3-small", "inputs": [{"text": "Hello"}]}),
        ("/v1/summarize", {"content": "A long text. It has two sentences.", "model": MODEL}),
        ("/v1/audio/speech", {"model": "tts-1", "input": "Hello", "voice": "alloy"}),
        ("/v1/images/generations", {"model": "gpt-image-1", "prompt": "A cat"}),
    ],
)
async def test_repeat_has_the_same_status_headers_and_bytes(
    rest: aiohttp.ClientSession, openai_upstream: UpstreamProcess, key: str, path: str, body: Any
) -> None:
    own, other = str(uuid4()), str(uuid4())
    first = await posted(rest, path, body, idempotency_key=key, x_request_id=own)
    again = await posted(rest, path, body, idempotency_key=key, x_request_id=other)
    assert first[0] == 200, first
    assert (again[0], again[2]) == (first[0], first[2])
    assert of_the_answer(again[1]) == of_the_answer(first[1])
    assert again[1]["x-request-id"] == own
    assert (again[1]["x-genai-replay"], again[1]["x-genai-replay-id"]) == ("true", other)
    assert "x-genai-replay" not in first[1]
    assert len(openai_upstream.bill()) == 1


async def test_other_body_is_a_conflict(
    rest: aiohttp.ClientSession, openai_upstream: UpstreamProcess, key: str
) -> None:
    await posted(rest, "/v1/chat/completions", CHAT, idempotency_key=key)
    status, headers, body = await posted(
        rest, "/v1/chat/completions", CHAT | {"seed": 1}, idempotency_key=key
    )
    error = json.loads(body)["error"]
    assert (status, error["code"], error["details"]["reason"]) == (409, "CONFLICT", "IDEMPOTENCY_KEY_REUSED")
    assert headers["x-should-retry"] == "false"
    assert len(openai_upstream.bill()) == 1


async def test_error_is_told_again(
    rest: aiohttp.ClientSession, openai_upstream: UpstreamProcess, key: str
) -> None:
    openai_upstream.script(Reply(status=400, body={"error": {"message": "no", "code": "bad"}}))
    first = await posted(rest, "/v1/chat/completions", CHAT, idempotency_key=key)
    again = await posted(rest, "/v1/chat/completions", CHAT, idempotency_key=key)
    assert (first[0], again[0]) == (400, 400)
    assert again[2] == first[2]
    assert again[1]["x-genai-replay"] == "true"
    assert len(openai_upstream.bill()) == 1


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "x" * 10_000])
async def test_header_that_is_no_key(
    rest: aiohttp.ClientSession, openai_upstream: UpstreamProcess, key: str
) -> None:
    status, _, body = await posted(rest, "/v1/chat/completions", CHAT, idempotency_key=key)
    assert (status, json.loads(body)["error"]["code"]) == (400, "VALIDATION_ERROR"), body
    assert not openai_upstream.bill()


async def test_header_beyond_ascii_is_a_key(
    rest: aiohttp.ClientSession, openai_upstream: UpstreamProcess
) -> None:
    answers = [
        await posted(rest, "/v1/chat/completions", CHAT, idempotency_key="Schlüssel 鍵") for _ in range(2)
    ]
    assert answers[0][2] == answers[1][2]
    assert len(openai_upstream.bill()) == 1


def events(data: bytes) -> list[tuple[int | None, bytes]]:
    """Number and payload of each event."""
    found = []
    for block in data.split(b"\n\n")[:-1]:
        lines = [line for line in block.split(b"\n") if not line.startswith(b":")]
        ids = [int(line.removeprefix(b"id: ")) for line in lines if line.startswith(b"id: ")]
        [payload] = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]
        found.append((ids[0] if ids else None, payload))
    return found


async def cut_after(rest: aiohttp.ClientSession, body: Any, place: int, **headers: str) -> bytes:
    """Bytes of a stream whose socket is closed within the event after so many."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    data = b""
    async with rest.post("/v1/chat/completions", json=body, headers=given) as answer:
        async for piece in answer.content.iter_any():
            data += piece
            if data.count(b"\n\n") > place:
                answer.close()
                break
    return data


async def test_stream_whose_socket_is_cut_goes_on_where_it_was(
    rest: aiohttp.ClientSession, openai_upstream: UpstreamProcess, key: str
) -> None:
    body, cuts = CHAT | {"stream": True}, range(0, len(WORDS) + 2, 2)
    openai_upstream.script(default=Reply(WORDS, interval_s=0.002))

    async def one(place: int) -> None:
        own = f"{key} {place}"
        data = await cut_after(rest, body, place, idempotency_key=own, x_genai_event_ids="true")
        received = events(data.rpartition(b"\n\n")[0] + b"\n\n")
        last = str(received[-1][0])
        _, _, rest_of_it = await posted(
            rest, "/v1/chat/completions", body, idempotency_key=own, last_event_id=last
        )
        _, _, whole = await posted(
            rest, "/v1/chat/completions", body, idempotency_key=own, x_genai_event_ids="true"
        )
        assert received + events(rest_of_it) == events(whole)
        assert "".join(map(words_of, events(whole))) == "".join(WORDS)

    for at in range(0, len(cuts), 4):
        await asyncio.gather(*map(one, cuts[at : at + 4]))
    bill = openai_upstream.bill()
    assert len(bill) == len(cuts)
    assert all(entry.finished for entry in bill)


def words_of(event: tuple[int | None, bytes]) -> str:
    if event[1] == b"[DONE]":
        return ""
    return "".join(choice["delta"].get("content", "") for choice in json.loads(event[1])["choices"])


class DroppedAnswers(httpx.AsyncBaseTransport):
    """Transport that loses some answers after the server has sent them."""

    def __init__(self, share: float, seed: int) -> None:
        self.inner = httpx.AsyncHTTPTransport(verify=False)
        self.random = Random(seed)
        self.share = share
        self.dropped = self.sent = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        drop, late = self.random.random() < self.share, self.random.random() < 0.5
        answer = await self.inner.handle_async_request(request)
        if drop:
            self.dropped += 1
            if late:  # all of it was on the way
                await answer.aread()
            await answer.aclose()
            raise httpx.ReadError("dropped", request=request)
        return answer

    async def aclose(self) -> None:
        await self.inner.aclose()


async def test_sdk_whose_answers_are_lost_pays_once_for_each_request(
    any_stack: Stack, openai_upstream: UpstreamProcess, key: str
) -> None:
    openai_upstream.script(default=Reply(WORDS[:5], interval_s=0.002))
    transport, requests = DroppedAnswers(0.3, seed=7), 40

    async def one(number: int) -> str:
        headers = {"Idempotency-Key": f"{key} {number}"}
        while True:  # an application asks again when its SDK has given up
            try:
                if number % 2:
                    answer = await sdk.chat.completions.create(
                        model=MODEL, messages=HELLO, extra_headers=headers
                    )
                    return answer.choices[0].message.content or ""
                stream = await sdk.chat.completions.create(
                    model=MODEL, messages=HELLO, stream=True, extra_headers=headers
                )
                return text_of([chunk async for chunk in stream])
            except openai.APIConnectionError:
                continue

    async with (
        httpx.AsyncClient(transport=transport) as http,
        openai.AsyncOpenAI(base_url=f"{any_stack.url}/v1", api_key="none", http_client=http) as sdk,
    ):
        texts = await asyncio.gather(*map(one, range(requests)))
    assert set(texts) == {"".join(WORDS[:5])}
    assert transport.dropped > requests / 5
    assert len(openai_upstream.bill()) == requests


async def test_python_sdk_reads_a_stream_with_numbers(
    stack: Stack, openai_upstream: UpstreamProcess, key: str
) -> None:
    openai_upstream.script(Reply(WORDS, interval_s=0.01))
    headers = {"Idempotency-Key": key, "x-genai-event-ids": "true"}
    async with openai.AsyncOpenAI(base_url=f"{stack.url}/v1", api_key="none") as sdk:
        for _ in range(2):
            stream = await sdk.chat.completions.create(
                model=MODEL, messages=HELLO, stream=True, extra_headers=headers
            )
            chunks = [chunk async for chunk in stream]
            assert text_of(chunks) == "".join(WORDS)
            assert [chunk.sequence for chunk in chunks] == list(range(len(chunks)))  # type: ignore[attr-defined]


async def test_python_sdk_reads_comments_between_numbered_events() -> None:
    """One newline is behind a comment: at two, the SDK takes it for an event once there was an id."""
    head = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":['
    delta = b'{"index":0,"delta":{"content":"w"},"finish_reason":null}]}\n\n'
    texts = [sse.with_id(sse.numbered(head + delta, number), number) for number in range(3)]
    content = PING + PING.join(texts) + PING + sse.with_id(DONE, 3)
    answer = httpx.Response(200, headers={"content-type": EVENTS}, content=content)
    transport = httpx.MockTransport(lambda request: answer)
    async with (
        httpx.AsyncClient(transport=transport) as http,
        openai.AsyncOpenAI(base_url="http://spine/v1", api_key="none", http_client=http) as sdk,
    ):
        stream = await sdk.chat.completions.create(model=MODEL, messages=HELLO, stream=True)
        assert text_of([chunk async for chunk in stream]) == "www"


@pytest.fixture(scope="module")
def node_results(stack: Stack, openai_process: UpstreamProcess) -> dict[str, str]:
    openai_process.reset()
    return node.results("openai_keyed.mjs", SPINE_URL=stack.url, OPENAI_UPSTREAM_URL=openai_process.url)


@pytest.mark.parametrize("name", node.names("openai_keyed.mjs"))
def test_node_sdk(node_results: dict[str, str], name: str) -> None:
    assert node_results[name] == ""
