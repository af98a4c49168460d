"""Rolling restarts and deaths of servers under OpenAI's paths over HTTP: no call is cut, none is repeated."""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.acceptance.edge import free_port
from tests.acceptance.http import session
from tests.acceptance.test_restart import HELD, WORDS, calls, configure, restart, server_pids, sums
from tests.acceptance.test_watchdog import Service, answered, started
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)  # several starts of processes each, on a machine that may be busy
CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "house:m", "messages": [{"role": "user", "content": "hello"}]}
STREAMS, CALLERS = 40, 8


@contextmanager
def service(folder: Path, upstream: UpstreamProcess, database_url: str, **more: str) -> Iterator[Service]:
    configure(folder, upstream)
    admin = str(free_port())
    variables = {"GENAI_DATABASE_URL": database_url, "GENAI_ENVOY_ADMIN_PORT": admin, "GENAI_LEASE_TTL": "60"}
    with started(folder, **variables | more) as found:
        found.said.update(admin=f"http://127.0.0.1:{admin}", database=database_url)
        yield found


async def sent(found: Service, cluster: str) -> int:
    """Calls that Envoy has sent to a cluster."""
    url = f"{found.said['admin']}/stats?filter=^cluster[.]spine_{cluster}[.]upstream_rq_total$"
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return int((await answer.text()).rpartition(":")[2])


async def text_of(http: aiohttp.ClientSession, *, stream: bool = False) -> str:
    """Text of an answer that came to its end. Raises aiohttp.ClientError for one that is cut."""
    async with http.post(CHAT, json=BODY | {"stream": stream}) as answer:
        body = await answer.read()
    assert answer.status == 200, body
    if not stream:
        return str(json.loads(body)["choices"][0]["message"]["content"])
    *events, end, rest = body.decode().split("\n\n")
    assert (end, rest) == ("data: [DONE]", "")
    lines = [line for event in events for line in event.splitlines() if line[0] != ":"]  # but for pings
    told = [json.loads(line.removeprefix("data: "))["choices"] for line in lines]
    return "".join(choice["delta"].get("content") or "" for choices in told for choice in choices)


async def test_rolling_restarts_under_calls_and_streams_over_http_cut_none(
    openai_upstream: UpstreamProcess, sqlite_url: str, tmp_path: Path
) -> None:
    openai_upstream.script(default=HELD)
    with service(tmp_path, openai_upstream, sqlite_url) as found:
        before = await sums(found)
        async with session(found.said["url"]) as http:
            streams = [asyncio.create_task(text_of(http, stream=True)) for _ in range(STREAMS)]
            await until(lambda: len(calls(openai_upstream)) == STREAMS)
            openai_upstream.script(default=Reply("short"))
            is_over, texts = asyncio.Event(), []

            async def caller() -> None:
                while not is_over.is_set():
                    texts.append(await text_of(http))

            callers = [asyncio.create_task(caller()) for _ in range(CALLERS)]
            old = server_pids(found.process.pid)
            async with restart(found) as restarting:
                await restarting.until("draining")
                count = len(texts)
                await until(lambda: len(texts) > count + CALLERS)  # which the new process answers
                openai_upstream.release()
                assert await asyncio.gather(*streams) == ["".join(WORDS)] * STREAMS
                status, outcome, complaint = await restarting.ended()
            assert (status, complaint, outcome["cut"]) == (0, "", 0)
            assert server_pids(found.process.pid).isdisjoint(old)
            count = len(texts)
            await until(lambda: len(texts) > count + CALLERS)
            is_over.set()
            await asyncio.gather(*callers)
        assert set(texts) == {"short"}
        bill = calls(openai_upstream)
        assert len(bill) == STREAMS + len(texts)  # none was made twice
        assert not [entry for entry in bill if entry.disconnected or not entry.finished]
        assert await sent(found, "cpu_http") >= len(bill)
        tokens = sum(entry.prompt_tokens for entry in bill), sum(entry.completion_tokens for entry in bill)
        after = await sums(found)
        assert tuple(now - then for now, then in zip(after, before, strict=True)) == (len(bill), *tokens)


async def test_calls_of_a_killed_process_fail_visibly_and_once_and_others_go_on(
    openai_upstream: UpstreamProcess, sqlite_url: str, tmp_path: Path
) -> None:
    openai_upstream.script(default=HELD)
    with service(tmp_path, openai_upstream, sqlite_url, GENAI_PROCESSES="2") as found:
        pids = server_pids(found.process.pid)
        assert len(pids) == 2
        async with session(found.said["url"]) as http:
            held = [asyncio.create_task(text_of(http, stream=number % 2 == 0)) for number in range(STREAMS)]
            await until(lambda: len(calls(openai_upstream)) == STREAMS)
            os.kill(min(pids), signal.SIGKILL)
            await until(lambda: any(call.done() for call in held))
            openai_upstream.script(default=Reply("short"))
            assert {await text_of(http) for _ in range(10)} == {"short"}
            openai_upstream.release()
            ended = await asyncio.gather(*held, return_exceptions=True)
        whole = [text for text in ended if text == "".join(WORDS)]
        cut = [error for error in ended if isinstance(error, aiohttp.ClientPayloadError | AssertionError)]
        assert len(whole) + len(cut) == STREAMS, ended
        assert whole
        assert cut
        bill = calls(openai_upstream)
        assert len(bill) == STREAMS + 10  # none was sent again
        assert len([entry for entry in bill if entry.disconnected]) == len(cut)
        await until(lambda: len(server_pids(found.process.pid) - pids) == 1)
        await answered(found.said["url"])
