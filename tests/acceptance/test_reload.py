"""`up` with a genai.yaml: read again under load, by signal and by command, and refused as a whole."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.acceptance.test_cli import at
from tests.acceptance.test_deaths import running
from tests.acceptance.test_watchdog import Service, replaced, started
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

STREAMS = 200
WORDS = [f"word{number} " for number in range(60)]
TEXT = """
settings: {{processes: {processes}, drain_timeout: 2}}
providers:
  house:
    protocol: openai
    base_url: {url}
    api_key: {key}
    models: [m]
aliases: {{{alias}: house}}
"""


def write(folder: Path, url: str, *, key: str = "old", alias: str = "first", processes: int = 2) -> None:
    (folder / "genai.yaml").write_text(TEXT.format(url=url, key=key, alias=alias, processes=processes))


@pytest.fixture
def service(openai_upstream: UpstreamProcess, tmp_path: Path) -> Iterator[Service]:
    write(tmp_path, openai_upstream.base_url)
    with started(tmp_path) as found:
        yield found


@asynccontextmanager
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=120)) as found:
        yield found


async def asked(http: aiohttp.ClientSession, service: Service, model: str) -> tuple[int, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    async with http.post(f"{service.said['url']}/v1/chat/completions", json=body) as answer:
        return answer.status, await answer.json()


def events(service: Service, name: str) -> list[dict[str, Any]]:
    lines = [line for line in service.log().splitlines() if line.startswith('{"')]
    return [entry for line in lines if (entry := json.loads(line))["event"] == name]


def reloads(service: Service) -> list[dict[str, Any]]:
    """Those that the supervisor has finished."""
    return [entry for entry in events(service, "configuration_reloaded") if "processes" in entry]


async def test_a_reload_under_two_hundred_streams_cuts_none(
    service: Service, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(default=Reply(WORDS, interval_s=0.25))
    begun = 0

    async def stream(http: aiohttp.ClientSession) -> str:
        nonlocal begun
        body = {"model": "first", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        text, done = "", False
        async with http.post(f"{service.said['url']}/v1/chat/completions", json=body) as answer:
            assert answer.status == 200
            begun += 1
            async for line in answer.content:
                if line.startswith(b"data: {"):
                    choices = json.loads(line.removeprefix(b"data: "))["choices"]
                    text += "".join(choice["delta"].get("content") or "" for choice in choices)
                done = done or line.startswith(b"data: [DONE]")
        assert done
        return text

    async with session() as http:
        streams = [asyncio.create_task(stream(http)) for _ in range(STREAMS)]
        await until(lambda: begun == STREAMS)
        write(service.folder, openai_upstream.base_url, key="new", alias="second")
        service.process.send_signal(signal.SIGHUP)
        await until(lambda: bool(reloads(service)))
        assert not all(task.done() for task in streams)
        openai_upstream.script(Reply("quick"), Reply("quick"))
        status, _ = await asked(http, service, "second")
        assert status == 200
        assert (await asked(http, service, "first"))[1]["provider"] == "house"  # now a name of no alias
        texts = await asyncio.gather(*streams)
    assert texts == ["".join(WORDS)] * STREAMS
    keys = [entry.headers["authorization"] for entry in openai_upstream.bill() if entry.is_call]
    assert keys == ["Bearer old"] * STREAMS + ["Bearer new"] * 2
    assert not [entry for entry in openai_upstream.bill() if entry.disconnected]
    assert reloads(service)[0]["processes"] == 2


async def test_one_bad_line_keeps_the_old_configuration_everywhere(
    service: Service, openai_upstream: UpstreamProcess
) -> None:
    with (service.folder / "genai.yaml").open("a") as file:
        file.write("alises: {third: house}\n")
    service.process.send_signal(signal.SIGHUP)
    await until(lambda: bool(events(service, "configuration_refused")))
    [refused] = events(service, "configuration_refused")
    assert refused["cause"] == "genai.yaml:10: alises: unknown key; did you mean aliases?"
    said = at(service.folder, "reload", "--port", service.said["url"].rpartition(":")[2])
    assert (said.returncode, "genai.yaml:10: alises" in said.stderr) == (1, True)
    pid = service.pid("serve")
    os.kill(pid, signal.SIGKILL)  # what starts now reads no bad file either
    await replaced(service, "serve", pid)
    await until(lambda: bool(events(service, "server_restarted")))
    async with session() as http:
        for _ in range(4):
            status, answer = await asked(http, service, "first")
            assert (status, answer["provider"]) == (200, "house")
    assert {entry.headers["authorization"] for entry in openai_upstream.bill() if entry.is_call} == {
        "Bearer old"
    }


async def test_the_command_says_what_became_of_it(service: Service, openai_upstream: UpstreamProcess) -> None:
    port = service.said["url"].rpartition(":")[2]
    write(service.folder, openai_upstream.base_url, alias="second", processes=3)
    said = at(service.folder, "reload", "--port", port, "--json")
    assert json.loads(said.stdout) == {
        "refused": None,
        "providers": ["builtin", "house", "ollama"],
        "needs_restart": ["processes"],
        "processes": 2,
    }
    async with session() as http:
        assert (await asked(http, service, "second"))[0] == 200
    assert at(service.folder, "reload", "--port", port).stderr == "needs a restart: processes\n"


def test_where_nothing_runs_the_command_says_so(tmp_path: Path) -> None:
    said = at(tmp_path, "reload", "--port", "1")
    assert said.returncode == 1
    assert "no service of this user listens on port 1" in said.stderr


async def test_a_server_alone_reloads_on_the_signal(openai_upstream: UpstreamProcess, tmp_path: Path) -> None:
    write(tmp_path, openai_upstream.base_url, processes=1)
    assert at(tmp_path, "migrate").returncode == 0
    with running("serve", "--port", "0", folder=tmp_path) as (process, said):
        assert said["port"]
        write(tmp_path, openai_upstream.base_url, alias="second", processes=1)
        process.send_signal(signal.SIGHUP)
        line = await asyncio.to_thread(process.stdout.readline)
        assert json.loads(line) == {"reloaded": ["builtin", "house", "ollama"], "needs_restart": []}
        (tmp_path / "genai.yaml").write_text("{")
        process.send_signal(signal.SIGHUP)
        line = await asyncio.to_thread(process.stdout.readline)
        assert json.loads(line)["refused"].startswith("genai.yaml:2: is no YAML")
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 20) == 0
