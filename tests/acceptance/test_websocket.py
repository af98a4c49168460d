"""Events of runs over WebSocket through real Envoy: pages, prefixes, refusals, and servers that stop."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from tests.acceptance.http import session
from tests.acceptance.stack import Stack
from tests.acceptance.test_rest import Client
from tests.acceptance.test_rest_pipelines import BASE, BRIEF, executed
from tests.acceptance.test_restart import server_pids
from tests.acceptance.test_runs import ended, submitted
from tests.acceptance.test_watchdog import Service, answered, started
from tests.databases import PostgresServer
from tests.service.sockets import refusal, rest_of, socket
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

NOBODY = "11111111-1111-4111-8111-111111111111"
PAGE = "http://localhost:5173"
WORDS = [f"word{number} " for number in range(12)]
SLOW = {"name": "completion", "params": {"prompt": "Hello", "model": "gpt-4o"}}


@pytest.fixture
async def rest(any_stack: Stack) -> AsyncIterator[Client]:
    async with session(any_stack.url) as http:
        yield Client(http)


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_a_page_follows_a_run_to_its_end(rest: Client, any_stack: Stack, prefix: str) -> None:
    run = await submitted(rest)
    path = f"{prefix}/v1/runs/{run['run_id']}/events"
    async with socket(any_stack.address, path, "genai-spine.events", origin=PAGE) as opened:
        shown, code = await rest_of(opened)
    frames = [frame for frame in shown if frame["event_type"] != "output"]
    assert code == 1000
    assert [frame["sequence"] for frame in frames] == list(range(1, len(frames) + 1))
    assert frames[-1]["event_type"] == "completed"
    later = f"{path}?after_sequence={frames[1]['sequence']}"
    async with socket(any_stack.address, later, origin=PAGE) as opened:
        found, code = await rest_of(opened)
    assert ([frame for frame in found if frame["event_type"] != "output"], code) == (frames[2:], 1000)


async def test_an_execution_is_followed_by_its_own_id(rest: Client, any_stack: Stack) -> None:
    run_id = await executed(rest, BRIEF)
    path = f"{BASE}/exec-{run_id.removeprefix('exec-')}/events?categories=workflow"
    async with socket(any_stack.address, path, origin=PAGE) as opened:
        frames, code = await rest_of(opened)
    types = [frame["event_type"] for frame in frames]
    assert code == 1000
    assert {"workflow.started", "workflow.completed"} <= set(types)
    assert {frame["category"] for frame in frames} == {"workflow"}


async def test_text_comes_while_it_is_written(
    rest: Client, any_stack: Stack, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(default=Reply(WORDS, interval_s=0.1))
    run = await submitted(rest, **SLOW)
    async with socket(any_stack.address, f"/v1/runs/{run['run_id']}/events", origin=PAGE) as opened:
        frames, code = await rest_of(opened)
    pieces = [frame["output"]["text"] for frame in frames if frame["event_type"] == "output"]
    assert (code, "".join(pieces)) == (1000, "".join(WORDS))
    assert len(pieces) > 2
    assert (await ended(rest, run["run_id"]))["status"] == "completed"


@pytest.mark.parametrize(
    ("origin", "status"),
    [(PAGE, 404), ("http://127.0.0.1", 404), ("https://evil.example", 403), ("null", 403), (None, 404)],
)
async def test_only_pages_that_may_call_are_served(any_stack: Stack, origin: str | None, status: int) -> None:
    path = f"/v1/runs/{NOBODY}/events"
    found, body = await refusal(any_stack.address, path, origin=origin)
    assert found == status
    expected = "NOT_FOUND" if status == 404 else "FORBIDDEN"
    assert body["error"]["code"] == expected
    assert body["error"]["request_id"]


async def test_a_page_that_points_its_own_name_here_is_refused(any_stack: Stack) -> None:
    path = f"/v1/runs/{NOBODY}/events"
    with pytest.raises(InvalidStatus) as refused:
        async with socket(
            "evil.example", path, origin="http://evil.example", host="127.0.0.1", port=any_stack.port
        ):
            pass
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/models", "/v1/chat/completions", "/docs", "/metrics"])
async def test_nothing_else_is_a_websocket(any_stack: Stack, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with socket(any_stack.address, path):
            pass
    assert refused.value.response.status_code in (200, 400, 403, 404, 405)


async def test_events_without_an_upgrade_are_as_they_were(rest: Client) -> None:
    run = await submitted(rest)
    await ended(rest, run["run_id"])
    answer = await rest.get(f"/v1/runs/{run['run_id']}/events")
    assert answer.status == 200
    assert answer.json["events"][0]["event_type"] == "created"


@pytest.fixture
def two(
    openai_upstream: UpstreamProcess, postgres_server: PostgresServer, tmp_path: Path
) -> Iterator[Service]:
    """`up` with two servers."""
    variables = {
        "GENAI_DATABASE_URL": postgres_server.url(postgres_server.create()),
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_PROCESSES": "2",
        "GENAI_LEASE_TTL": "2",
        "GENAI_DRAIN_DELAY": "0.5",
        "GENAI_DRAIN_TIMEOUT": "1",
    }
    with started(tmp_path, **variables) as service:
        yield service


@pytest.mark.timeout(180)
async def test_servers_stop_and_no_event_is_missed(two: Service, openai_upstream: UpstreamProcess) -> None:
    """Each server is stopped in turn: the socket says 1012, and another server goes on from the sequence."""
    openai_upstream.script(default=Reply(["fine"], first_delay_s=2.5))
    step = {"capability": "llm_generation", "preferred_providers": ["openai"]}
    names = ["a", "b", "c", "d", "e"]
    work = {"definition": {"name": "slow", "steps": [{"name": one, **step} for one in names]}}
    async with session(two.said["url"]) as http:
        rest = Client(http)
        run_id = await executed(rest, work | {"input_data": {"text": "Hello"}})
        following = asyncio.create_task(_follow(two, run_id))
        before = server_pids(two.process.pid)
        assert len(before) == 2
        for count, pid in enumerate(sorted(before), 1):
            os.kill(pid, signal.SIGTERM)
            await until(partial(_are_replaced, two, before, count))
            await answered(two.said["url"])
        frames, codes = await following
        run = await ended(rest, run_id)
    assert run["status"] == "completed"
    told = [frame["sequence"] for frame in frames]
    assert told == list(range(1, run["last_sequence"] + 1))
    assert set(codes[:-1]) <= {1012, None}
    assert 1012 in codes
    assert codes[-1] == 1000
    done = [frame["data"]["step_name"] for frame in frames if frame["event_type"] == "step.completed"]
    assert done == names


def _are_replaced(service: Service, before: set[int], count: int) -> bool:
    """Whether so many of the servers before have gone, and others stand in their places."""
    now = server_pids(service.process.pid)
    return len(now - before) == count and len(now) == len(before)


async def _follow(service: Service, run_id: str) -> tuple[list[dict[str, Any]], list[int | None]]:
    """Frames of a run without text, and the codes that its sockets were closed with."""
    frames: list[dict[str, Any]] = []
    codes: list[int | None] = []
    address = service.said["url"].removeprefix("http://")
    async with asyncio.timeout(120):
        while not codes or codes[-1] != 1000:
            after = frames[-1]["sequence"] if frames else 0
            path = f"/v1/runs/{run_id}/events?after_sequence={after}"
            with suppress(InvalidStatus, OSError):
                async with socket(address, path, origin=PAGE) as opened:
                    found, code = await rest_of(opened)
                    frames += [frame for frame in found if frame["event_type"] != "output"]
                    codes.append(code)
    return frames, codes
