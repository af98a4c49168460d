"""Streams that break off over REST, through real Envoy: none of them looks whole to its caller."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from genai_spine.supervisor.envoy import DESCRIPTORS
from tests.acceptance.http import session
from tests.acceptance.stack import Stack
from tests.acceptance.test_deaths import ended, running, server_of
from tests.acceptance.test_symbols import batch
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

MODEL, SLOW = "gpt-4o", "gpt-4o-mini"
MESSAGES = "/v1/sessions/{session_id}/messages:stream"
PULL = "/v1/providers/{provider}/models:pull"
CONTENT = "/v1/files/{file_id}/content"
SYMBOLS = "/v1/symbols:stream"
SAY_HELLO = {"messages": [{"role": "user", "content": "Hello"}]}
SPEAK = {"model": "gpt-4o-mini-tts", "input": "Hello", "voice": "alloy"}
# Streams of messages, with what is sent to them.
TYPED: dict[str, Any] = {
    "/v1/completions:stream": {
        "model": MODEL,
        "messages": [{"role": "ROLE_USER", "content": [{"text": "Hello"}]}],
    },
    "/v1/prompts:stream": {
        "prompt_id": "summarize-article",
        "model": MODEL,
        "variables": {"content": "Oslo has trams."},
    },
    MESSAGES: {"content": "Hello"},
    "/v1/capabilities:stream": {"summarize": {"content": "Oslo has trams.", "model": MODEL}},
    "/v1/speech:create": SPEAK,
    PULL: {"model": "phi4"},
    SYMBOLS: batch(8),
}
# OpenAI's, which write their own error event.
OPENAI: dict[str, Any] = {
    "/v1/chat/completions": {"model": MODEL, "stream": True, **SAY_HELLO},
    "/v1/completions": {"model": MODEL, "stream": True, "prompt": "Hello"},
}
# Bytes, in which there is no place for an error.
RAW: dict[str, Any] = {
    "/v1/audio/speech": SPEAK,
    CONTENT: None,
    "/v1/providers/{provider}/files/{file_id}/content": None,
}
# Out of the database, which no provider cuts.
OWN = ("/v1/usage:export", "/v1/audit:export", "/v1/runs/{run_id}/events", "/v1/runs/{run_id}/items:export")
EVERY = {**TYPED, **OPENAI, **RAW}
TALKING = [path for path in (*TYPED, *OPENAI) if path not in (PULL, SYMBOLS)]
# Two files that a test keeps, at the simulator.
FILES = ("/v1/files/file-0001/content", "/v1/files/file-0002/content")
PROVIDER = {"x-genai-provider": "openai"}
WORDS = [f"word{number} " for number in range(40)]


class Body(NamedTuple):
    status: int
    data: bytes
    is_whole: bool  # its end came, as HTTP says it

    @property
    def events(self) -> list[Any]:
        lines = self.data.decode().split("\n\n")
        return [json.loads(line.removeprefix("data: ")) for line in lines if line]


async def read(
    http: aiohttp.ClientSession, path: str, meanwhile: Callable[[], Awaitable[None]] | None = None
) -> Body:
    """One stream to its end, with what is done once its first bytes have come."""
    url, body = await address(http, path), EVERY[path]
    data, is_whole = b"", True
    async with http.request(
        "GET" if body is None else "POST", url, json=body, headers=PROVIDER if path == CONTENT else None
    ) as answer:
        try:
            async for piece in answer.content.iter_any():
                if not data and meanwhile:
                    await meanwhile()
                data += piece
        except aiohttp.ClientPayloadError:
            is_whole = False
    return Body(answer.status, data, is_whole)


async def address(http: aiohttp.ClientSession, path: str) -> str:
    names = {"provider": "ollama" if path == PULL else "openai"}
    if "{session_id}" in path:
        async with http.post("/v1/sessions", json={"model": MODEL}) as made:
            names["session_id"] = (await made.json())["id"]
    if "{file_id}" in path:
        form = aiohttp.FormData({"purpose": "batch"})
        form.add_field("file", b"x" * 1000, filename="a.jsonl")
        async with http.post("/v1/files", data=form, headers=PROVIDER) as kept:
            names["file_id"] = (await kept.json())["id"]
    return path.format(**names)


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[aiohttp.ClientSession]:
    async with session(stack.url) as opened:
        yield opened


def breaking(openai: UpstreamProcess, ollama: UpstreamProcess, path: str, fault: Any) -> None:
    if path == PULL:
        ollama.script(Reply(fault=fault, after=2, interval_s=0.05), on="/api/pull")
    elif "file_id" in path:
        openai.script(default=Reply(fault=fault, after=1), on=FILES[0])
    else:
        openai.script(Reply(text=WORDS, interval_s=0.05, fault=fault, after=3))


def test_every_stream_over_rest_is_tested_here() -> None:
    files = descriptor_pb2.FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()).file
    methods = [method for file in files for service in file.service for method in service.method]
    rules = [m.options.Extensions[annotations_pb2.http] for m in methods if m.server_streaming]
    assert {rule.post or rule.get for rule in rules} - {"", *OWN} == set(EVERY)


@pytest.mark.parametrize("path", [*TALKING, PULL])
@pytest.mark.parametrize("fault", ["close", "truncate"])
async def test_stream_that_the_provider_cuts_ends_with_an_error_event(
    http: aiohttp.ClientSession,
    openai_upstream: UpstreamProcess,
    ollama_upstream: UpstreamProcess,
    path: str,
    fault: str,
) -> None:
    if (path, fault) == ("/v1/speech:create", "truncate"):
        fault = "reset"  # sound has no last event, so a proper end of the body is its end
    breaking(openai_upstream, ollama_upstream, path, fault)
    body = await read(http, path)
    assert (body.status, body.is_whole) == (200, True)
    *before, last = body.events
    assert before
    assert not any("error" in event for event in before)
    assert last["error"]["code"] == "PROVIDER_ERROR"
    assert last["error"]["request_id"]
    assert last["error"]["details"]["provider_code"] == "cut_stream"
    if path in TYPED:
        assert set(last["error"]) == {"code", "message", "details", "request_id"}


@pytest.mark.parametrize("path", RAW)
async def test_bytes_that_the_provider_cuts_have_no_end(
    http: aiohttp.ClientSession, openai_upstream: UpstreamProcess, ollama_upstream: UpstreamProcess, path: str
) -> None:
    breaking(openai_upstream, ollama_upstream, path, "close")
    body = await read(http, path)
    assert (body.status, body.is_whole) == (200, False)
    assert body.data


async def test_session_that_is_deleted_meanwhile_ends_its_stream_with_an_error_event(
    http: aiohttp.ClientSession, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(text=WORDS, interval_s=0.02))

    async def delete() -> None:
        async with http.get("/v1/sessions?limit=1") as listed:
            [newest] = (await listed.json())["sessions"]
        async with http.delete(f"/v1/sessions/{newest['id']}") as gone:
            assert gone.status == 204

    body = await read(http, MESSAGES, delete)
    assert (body.status, body.is_whole) == (200, True)
    assert body.events[-1]["error"]["code"] == "SESSION_NOT_FOUND"
    assert "result" not in body.events[-2]


@pytest.fixture
def variables(openai_upstream: UpstreamProcess, ollama_upstream: UpstreamProcess) -> dict[str, str]:
    return {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_OLLAMA_URL": ollama_upstream.url,
        "GENAI_MODEL_NAME": SLOW,
        "GENAI_DATABASE_URL": "sqlite:///spine.db",
        "GENAI_DRAIN_DELAY": "0",
        "GENAI_DRAIN_TIMEOUT": "1",
    }


async def all_at_once(
    url: str, openai: UpstreamProcess, ollama: UpstreamProcess, end: Callable[[], None]
) -> dict[str, Body]:
    """Every stream, which would go on for long, and all of them begun when the end comes."""
    openai.script(default=Reply(text=WORDS * 20, interval_s=0.05))
    openai.script(default=Reply(headers_delay_s=60), on=SLOW)
    for path in FILES:
        openai.script(default=Reply(fault="stall", after=1), on=path)
    ollama.script(default=Reply(fault="stall", after=2), on="/api/pull")
    begun = set()

    async def watched(http: aiohttp.ClientSession, path: str) -> Body:
        async def note() -> None:
            begun.add(path)
            if len(begun) == len(EVERY):
                end()

        return await read(http, path, note)

    async with session(url) as http, asyncio.timeout(30):
        bodies = await asyncio.gather(*(watched(http, path) for path in EVERY))
    return dict(zip(EVERY, bodies, strict=True))


async def test_streams_of_a_killed_server_have_no_end(
    variables: dict[str, str],
    tmp_path: Path,
    openai_upstream: UpstreamProcess,
    ollama_upstream: UpstreamProcess,
) -> None:
    with running("up", "--json", "--port", "0", folder=tmp_path, **variables) as (process, said):

        def kill() -> None:
            os.kill(server_of(process), signal.SIGKILL)

        bodies = await all_at_once(said["url"], openai_upstream, ollama_upstream, kill)
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0
    assert [path for path, body in bodies.items() if body.is_whole] == []


async def test_streams_that_outlast_the_stop_of_a_server_say_so(
    variables: dict[str, str],
    tmp_path: Path,
    openai_upstream: UpstreamProcess,
    ollama_upstream: UpstreamProcess,
) -> None:
    with running("up", "--json", "--port", "0", folder=tmp_path, **variables) as (process, said):
        bodies = await all_at_once(
            said["url"], openai_upstream, ollama_upstream, lambda: process.send_signal(signal.SIGTERM)
        )
        assert await ended(process) == 0
    assert {path for path, body in bodies.items() if body.is_whole} == set(TYPED)
    for path in TYPED:
        error = bodies[path].events[-1]["error"]
        assert (path, error["code"]) == (path, "SERVICE_UNAVAILABLE")
