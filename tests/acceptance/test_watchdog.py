"""Real processes that hang, die again and again, or cannot start, below `genai-spine up`."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest

from genai_spine.v1.completion_service_pb2_grpc import CompletionServiceStub
from tests.acceptance.stack import ROOT, finished
from tests.acceptance.test_deaths import REQUEST, WORDS, running
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

UP = ("up", "--json", "--port", "0")
HEALTH_S = 6.0
LIMIT_S = 60.0  # for what must happen; on a busy machine a start takes seconds
# Signals block the event loop of a server: for less than the timeout, and for good.
HANGING = f"""
import signal, time
def stuck_for_good(*_):
    time.sleep(600)
signal.signal(signal.SIGUSR1, lambda *_: time.sleep({HEALTH_S / 2}))
signal.signal(signal.SIGVTALRM, stuck_for_good)
"""


@dataclass(frozen=True, slots=True)
class Service:
    """`genai-spine up` with one server."""

    process: "subprocess.Popen[bytes]"
    said: dict[str, Any]
    folder: Path

    def pid(self, part: str) -> int:
        found = pid_of(self.process, part)
        assert found
        return found

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def events_of(self, pid: int) -> list[dict[str, Any]]:
        """What went wrong with a process, as the log has it."""
        found = [json.loads(line) for line in self.log().splitlines() if line.startswith('{"')]
        return [entry for entry in found if entry.get("pid") == pid and entry.get("level") == "error"]


@contextmanager
def started(folder: Path, **variables: str) -> Iterator[Service]:
    """Stopped as an operator would stop it."""
    with running(*UP, folder=folder, **variables) as (process, said):
        yield Service(process, said, folder)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 0


@pytest.fixture(scope="module")
def service(openai_process: UpstreamProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One for all tests that leave it in order."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "sitecustomize.py").write_text(HANGING)
    variables = {
        "GENAI_OPENAI_BASE_URL": openai_process.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_HEALTH_TIMEOUT": str(HEALTH_S),
        "GENAI_DRAIN_TIMEOUT": "30",
        "GENAI_PORT": "0",
        "PYTHONPATH": f"{folder}:{ROOT}",
    }
    with started(folder, **variables) as service:
        yield service


def pid_of(up: "subprocess.Popen[bytes]", command: str) -> int | None:
    """Pid of the child with that word in its command line; None: there is none at the moment."""
    for pid in Path(f"/proc/{up.pid}/task/{up.pid}/children").read_text().split():
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if any(word.endswith(command.encode()) for word in words):
            return int(pid)
    return None


async def replaced(service: Service, part: str, pid: int) -> int:
    """Pid of the process in place of that one."""
    tries = time.monotonic() + LIMIT_S
    while time.monotonic() < tries:
        found = pid_of(service.process, part)
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


async def test_stopped_server_is_replaced_and_named_in_the_log(service: Service) -> None:
    pid = service.pid("serve")
    os.kill(pid, signal.SIGSTOP)
    await replaced(service, "serve", pid)
    await answered(service.said["url"])
    hung, died = service.events_of(pid)
    assert (hung["event"], hung["lane"], hung["seen"]) == ("server_hung", "cpu", "silent")
    assert f"127.0.0.1:{hung['port']}" in service.said["servers"]
    assert (died["event"], died["status"]) == ("server_died", -signal.SIGABRT)


async def test_log_has_the_stack_of_a_server_whose_event_loop_is_blocked(service: Service) -> None:
    pid = service.pid("serve")
    os.kill(pid, signal.SIGVTALRM)
    await replaced(service, "serve", pid)
    await answered(service.said["url"])
    assert "Fatal Python error: Aborted" in service.log()
    assert "in stuck_for_good" in service.log()
    assert not [name for name in os.listdir(service.folder) if name.startswith("core")]


async def test_server_that_is_busy_for_less_than_the_timeout_is_left_alone(service: Service) -> None:
    pid = service.pid("serve")
    for _ in range(2):
        os.kill(pid, signal.SIGUSR1)
        await answered(service.said["url"])
        await asyncio.sleep(HEALTH_S / 3)  # a check is due every sixth of it
    assert service.pid("serve") == pid
    assert service.events_of(pid) == []


async def test_server_that_drains_for_longer_than_the_timeout_finishes_its_calls(
    service: Service, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(WORDS, interval_s=1.5 * HEALTH_S / len(WORDS)))
    pid, text = service.pid("serve"), ""
    async with grpc.aio.insecure_channel(service.said["servers"][0]) as channel:
        async for chunk in CompletionServiceStub(channel).StreamCompletion(REQUEST):
            if not text:
                os.kill(pid, signal.SIGTERM)
            text += "".join(delta.content for delta in chunk.choices) or " "
    assert text.strip() == "".join(WORDS).strip()
    await replaced(service, "serve", pid)
    await answered(service.said["url"])
    [died] = service.events_of(pid)
    assert died["status"] == 0


async def test_stopped_envoy_is_replaced_on_its_ports(service: Service) -> None:
    pid, server = service.pid("envoy"), service.pid("serve")
    os.kill(pid, signal.SIGSTOP)
    await replaced(service, "envoy", pid)
    await answered(service.said["url"])
    await answered(service.said["symbols"])
    assert service.pid("serve") == server
    assert [entry["event"] for entry in service.events_of(pid)] == ["envoy_hung", "envoy_died"]


async def test_up_outlives_a_server_that_dies_again_and_again(tmp_path: Path) -> None:
    with started(tmp_path) as service:
        pids = [service.pid("serve")]
        for _ in range(5):
            os.kill(pids[-1], signal.SIGKILL)
            pids.append(await replaced(service, "serve", pids[-1]))
        await answered(service.said["url"])
    pauses_s = [death["restart_in_s"] for pid in pids for death in service.events_of(pid)]
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
