"""Metrics of several server processes as one text, at /metrics through real Envoy."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.http import session
from tests.acceptance.test_restart import server_pids
from tests.acceptance.test_watchdog import Service, answered, started
from tests.upstreams.process import UpstreamProcess
from tests.waiting import until

CALLS = 40
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def three(openai_upstream: UpstreamProcess, tmp_path: Path) -> Iterator[Service]:
    """`up` with three servers."""
    variables = {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_PROCESSES": "3",
        "GENAI_DRAIN_DELAY": "0",
        "GENAI_DRAIN_TIMEOUT": "1",
    }
    with started(tmp_path, **variables) as service:
        yield service


async def counted(http: aiohttp.ClientSession) -> float:
    """Calls of OpenAI that succeeded, of all processes."""
    async with http.get("/metrics") as answer:
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        text = await answer.text()
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "ai_provider_requests_total"
        and sample.labels["provider"] == "openai"
        and sample.labels["status"] == "success"
    )


@pytest.mark.timeout(180)
async def test_whichever_process_is_asked_tells_of_all_and_of_those_that_have_ended(three: Service) -> None:
    async with session(three.said["url"]) as http:

        async def call() -> None:
            async with http.post("/v1/chat/completions", json=BODY) as answer:
                assert answer.status == 200

        await asyncio.gather(*(call() for _ in range(CALLS)))

        async def is_all() -> bool:
            return await counted(http) == CALLS

        await until(is_all)
        for _ in range(12):  # by chance another process
            assert await counted(http) == CALLS
        before = server_pids(three.process.pid)
        os.kill(min(before), signal.SIGTERM)
        await until(lambda: bool(server_pids(three.process.pid) - before))
        await answered(three.said["url"])
        for _ in range(12):
            assert await counted(http) == CALLS
