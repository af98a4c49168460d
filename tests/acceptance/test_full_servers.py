"""Full servers behind Envoy: a call that is refused is asked of each of them once."""

import asyncio
import json
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.acceptance.test_watchdog import started
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
FULL = (503, "SERVICE_UNAVAILABLE")
NAMES = [f"refused-{number}" for number in range(5)]


def refused(log: str, request_id: str) -> int:
    """How often servers have refused a call, by their log."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith('{"')]
    wanted = {"reason": "SERVER_FULL", "request_id": request_id}
    return sum(wanted.items() <= line.items() for line in lines)


@pytest.mark.parametrize("servers", [1, 2])
async def test_a_refused_call_reaches_each_server_once(
    openai_upstream: UpstreamProcess, tmp_path: Path, servers: int
) -> None:
    openai_upstream.script(default=Reply("late", first_delay_s=300))
    variables = {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_PROCESSES": str(servers),
        "GENAI_MAX_CONCURRENT_CALLS": "1",
        "GENAI_MAX_WAITING_CALLS": "0",
        "GENAI_LEASE_TTL": "2",
        "GENAI_DRAIN_TIMEOUT": "0.1",
    }
    with started(tmp_path, **variables) as service:
        async with aiohttp.ClientSession() as http:

            async def ask(name: str) -> Any:
                headers = {"x-request-id": name}
                async with http.post(
                    f"{service.said['url']}/v1/chat/completions", json=CHAT, headers=headers
                ) as answer:
                    return answer.status, (await answer.json())["error"]["code"]

            async def run(name: str) -> None:
                async with asyncio.timeout(300):
                    while await ask(name) == FULL:
                        continue

            running = [asyncio.create_task(run(f"running-{number}")) for number in range(servers)]
            await until(lambda: len(openai_upstream.bill()) == servers)
            probes = (f"probe-{number}" for number in count())

            async def is_known() -> bool:
                """Whether each server knows how many there are."""
                name = next(probes)
                return await ask(name) == FULL and refused(service.log(), name) == servers

            await until(is_known)
            for name in NAMES:
                assert await ask(name) == FULL
            assert len(openai_upstream.bill()) == servers
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
    assert [refused(service.log(), name) for name in NAMES] == [servers] * len(NAMES)
