"""Real processes that hang, die again and again, or cannot start, below `genai-spine up`."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest

from genai_spine.v1.completion_service_pb2_grpc import CompletionServiceStub
from tests.acceptance.stack import ROOT, finished
from tests.acceptance.test_deaths import REQUEST, WORDS, ended, running
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

UP = ("up", "--json", "--port", "0")
HEALTH_S = 2.0
LIMIT_S = 60.0  # for what must happen; on a busy machine a start takes seconds
# Signals block the event loop of a server: for less than the timeout, and for good.
HANGING = f"""
import signal, time
def stuck_for_good(*_):
    time.sleep(600)
signal.signal(signal.SIGUSR1, lambda *_: time.sleep({HEALTH_S * 0.6}))
signal.signal(signal.SIGUSR2, stuck_for_good)
"""


@pytest.fixture
def variables(openai_upstream: UpstreamProcess, tmp_path: Path) -> dict[str, str]:
    (tmp_path / "sitecustomize.py").write_text(HANGING)
    return {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_HEALTH_TIMEOUT": str(HEALTH_S),
        "GENAI_DRAIN_TIMEOUT": "10",
        "PYTHONPATH": f"{tmp_path}:{ROOT}",
    }


def pid_of(up: "subprocess.Popen[bytes]", command: str) -> int | None:
    """Pid of the child with that word in its command line; None: there is none at the moment."""
    for pid in Path(f"/proc/{up.pid}/task/{up.pid}/children").read_text().split():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if any(word.endswith(command.encode()) for word in words):
            return int(pid)
    return None


async def replaced(up: "subprocess.Popen[bytes]", command: str, pid: int) -> int:
    """Pid of the process in place of that one."""
    tries = time.monotonic() + LIMIT_S
    while time.monotonic() < tries:
        found = pid_of(up, command)
        if found and found != pid:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"no other process within {LIMIT_S:g} s")


async def answered(url: str) -> None:
    """Waits until a call through Envoy works."""
    limit, tries = aiohttp.ClientTimeout(total=2.0), time.monotonic() + LIMIT_S
    async with aiohttp.ClientSession(timeout=limit) as session:
        while time.monotonic() < tries:
            try:
                async with session.get(f"{url}/health") as answer:
                    if answer.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass  # what hangs is not replaced yet
            await asyncio.sleep(0.2)
    raise AssertionError(f"no call worked within {LIMIT_S:g} s")


def events(folder: Path, *names: str) -> list[dict[str, Any]]:
    lines = (folder / "log").read_text(errors="replace").splitlines()
    found = [json.loads(line) for line in lines if line.startswith('{"')]
    return [entry for entry in found if entry.get("event") in names]


async def stopped_in_order(up: "subprocess.Popen[bytes]") -> None:
    up.send_signal(signal.SIGTERM)
    assert await ended(up) == 0


async def test_stopped_server_is_replaced_and_named_in_the_log(
    variables: dict[str, str], tmp_path: Path
) -> None:
    with running(*UP, folder=tmp_path, **variables) as (up, said):
        pid = pid_of(up, "serve")
        assert pid
        os.kill(pid, signal.SIGSTOP)
        await replaced(up, "serve", pid)
        await answered(said["url"])
        await stopped_in_order(up)
    hung, died = events(tmp_path, "server_hung", "server_died")
    assert (hung["event"], hung["lane"], hung["pid"]) == ("server_hung", "cpu", pid)
    assert f"127.0.0.1:{hung['port']}" in said["servers"]
    assert (died["pid"], died["status"]) == (pid, -signal.SIGABRT)


async def test_log_has_the_stack_of_a_server_whose_event_loop_is_blocked(
    variables: dict[str, str], tmp_path: Path
) -> None:
    with running(*UP, folder=tmp_path, **variables) as (up, said):
        pid = pid_of(up, "serve")
        assert pid
        os.kill(pid, signal.SIGUSR2)
        await replaced(up, "serve", pid)
        await answered(said["url"])
        await stopped_in_order(up)
    log = (tmp_path / "log").read_text()
    assert "Fatal Python error: Aborted" in log
    assert "in stuck_for_good" in log
    assert not [name for name in os.listdir(tmp_path) if name.startswith("core")]


async def test_server_that_is_busy_for_less_than_the_timeout_is_left_alone(
    variables: dict[str, str], tmp_path: Path
) -> None:
    with running(*UP, folder=tmp_path, **variables) as (up, said):
        pid = pid_of(up, "serve")
        assert pid
        for _ in range(3):
            os.kill(pid, signal.SIGUSR1)
            await answered(said["url"])
            await asyncio.sleep(HEALTH_S / 2)  # a check is due every sixth of it
        assert pid_of(up, "serve") == pid
        await stopped_in_order(up)
    assert events(tmp_path, "server_hung", "server_died") == []


async def test_server_that_drains_for_longer_than_the_timeout_finishes_its_calls(
    variables: dict[str, str], tmp_path: Path, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(WORDS, interval_s=2.5 * HEALTH_S / len(WORDS)))
    with running(*UP, folder=tmp_path, **variables) as (up, said):
        pid, text = pid_of(up, "serve"), ""
        assert pid
        async with grpc.aio.insecure_channel(said["servers"][0]) as channel:
            async for chunk in CompletionServiceStub(channel).StreamCompletion(REQUEST):
                if not text:
                    os.kill(pid, signal.SIGTERM)
                text += "".join(delta.content for delta in chunk.choices) or " "
        assert text.strip() == "".join(WORDS).strip()
        await replaced(up, "serve", pid)
        await answered(said["url"])
        await stopped_in_order(up)
    [died] = events(tmp_path, "server_hung", "server_died")
    assert died["status"] == 0


async def test_up_outlives_a_server_that_dies_again_and_again(
    variables: dict[str, str], tmp_path: Path
) -> None:
    with running(*UP, folder=tmp_path, **variables) as (up, said):
        pid = pid_of(up, "serve")
        assert pid
        for _ in range(5):
            os.kill(pid, signal.SIGKILL)
            pid = await replaced(up, "serve", pid)
        await answered(said["url"])
        await stopped_in_order(up)
    pauses_s = [died["restart_in_s"] for died in events(tmp_path, "server_died", "server_not_restarted")]
    assert pauses_s[0] == 0
    assert pauses_s[-1] > pauses_s[1] > 0


def test_server_that_cannot_start_ends_up_with_its_reason(tmp_path: Path) -> None:
    said = finished(
        *(sys.executable, "-m", "genai_spine", *UP),
        cwd=tmp_path,
        GENAI_PRICE_OVERRIDES=str(tmp_path / "none.yaml"),
    )
    assert said.returncode == 1
    assert "none.yaml" in said.stderr
    last = said.stderr.splitlines()[-1]
    assert last.startswith("genai-spine: a server on lane cpu did not start: it ended with status 1")


async def test_stopped_envoy_is_replaced_on_its_port(variables: dict[str, str], tmp_path: Path) -> None:
    with running(*UP, folder=tmp_path, **variables, GENAI_PORT="0") as (up, said):
        pid, server = pid_of(up, "envoy"), pid_of(up, "serve")
        assert pid
        os.kill(pid, signal.SIGSTOP)
        await replaced(up, "envoy", pid)
        await answered(said["url"])
        await answered(said["symbols"])
        assert pid_of(up, "serve") == server
        await stopped_in_order(up)
    assert [entry["pid"] for entry in events(tmp_path, "envoy_hung", "envoy_died")] == [pid, pid]
