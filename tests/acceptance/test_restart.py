"""Rolling restarts of `up`: no call is cut, nothing is paid twice, and what goes wrong changes nothing."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import sqlalchemy as sa
from google.protobuf.duration_pb2 import Duration

from genai_spine.store.database import Database
from genai_spine.v1 import batch_pb2, item_work_pb2, run_pb2
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.completion_service_pb2_grpc import CompletionServiceStub
from genai_spine.v1.message_pb2 import ROLE_USER, ContentPart, Message
from genai_spine.v1.run_service_pb2_grpc import RunServiceStub
from genai_spine.v1.work_pb2 import Work
from tests.acceptance.stack import ROOT, environment
from tests.acceptance.test_cli import at
from tests.acceptance.test_deaths import running
from tests.acceptance.test_idempotent_deaths import headed
from tests.acceptance.test_reload import events
from tests.acceptance.test_watchdog import LIMIT_S, UP, Service, answered, replaced, started
from tests.databases import PostgresServer
from tests.upstreams.bill import Entry
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

pytestmark = pytest.mark.timeout(300)  # several starts of processes each, on a machine that may be busy
STREAMS, SINGLES, BATCHES, ITEMS = 200, 45, 5, 4
WORDS = ["one ", "two ", "three "]
HELD = Reply(WORDS, is_held=True)
CONFIGURATION = """
settings: {{drain_timeout: 1, restart_drain_timeout: {limit_s}, run_concurrency: 64}}
providers:
  house: {{protocol: openai, base_url: "{url}", api_key: k, models: [m]}}
aliases: {{{alias}: "house:m"}}
"""
# A server that dies at its start, as long as there is a file that says so.
CRASHING = """
import os, sys
if "serve" in sys.orig_argv and os.path.exists("crash"):
    os._exit(3)
"""
REQUEST = completions.CreateCompletionRequest(
    model="house:m", messages=[Message(role=ROLE_USER, content=[ContentPart(text="hello")])]
)


def configure(folder: Path, upstream: UpstreamProcess, *, limit_s: float = 600, alias: str = "first") -> None:
    text = CONFIGURATION.format(url=upstream.base_url, limit_s=limit_s, alias=alias)
    (folder / "genai.yaml").write_text(text)


@pytest.fixture(scope="module")
def stack(
    openai_process: UpstreamProcess, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("restarted")
    (folder / "sitecustomize.py").write_text(CRASHING)
    configure(folder, openai_process)
    variables = {
        "GENAI_DATABASE_URL": postgres_server.url(postgres_server.create()),
        "GENAI_LEASE_TTL": "60",  # nothing here is to wait until a lease runs out
        "PYTHONPATH": f"{folder}:{ROOT}",
    }
    with started(folder, **variables) as service:
        service.said["database"] = variables["GENAI_DATABASE_URL"]
        yield service


@pytest.fixture
def service(stack: Service, openai_upstream: UpstreamProcess) -> Service:
    configure(stack.folder, openai_upstream)
    return stack


@dataclass(slots=True)
class Restart:
    """`genai-spine restart` that runs."""

    process: asyncio.subprocess.Process
    lines: list[dict[str, Any]]

    async def until(self, phase: str) -> dict[str, Any]:
        """The line about a phase."""
        assert self.process.stdout is not None
        async with asyncio.timeout(LIMIT_S):
            while True:
                said = await self.process.stdout.readline()
                assert said, f"it ended before {phase}: {self.lines}"
                self.lines.append(json.loads(said))
                if self.lines[-1].get("phase") == phase:
                    return self.lines[-1]

    async def ended(self) -> tuple[int, dict[str, Any], str]:
        """Exit status, last line and complaint."""
        async with asyncio.timeout(LIMIT_S):
            said, complaint = await self.process.communicate()
        self.lines += [json.loads(line) for line in said.splitlines()]
        return self.process.returncode or 0, self.lines[-1] if self.lines else {}, complaint.decode()


@asynccontextmanager
async def restart(service: Service) -> AsyncIterator[Restart]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "genai_spine", "restart", "--json", "--port", port(service)),
        env=environment(),
        cwd=service.folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Restart(process, [])
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def calls(upstream: UpstreamProcess) -> list[Entry]:
    """Without what `up` asks before it serves."""
    return [entry for entry in upstream.bill() if entry.is_call]


def port(service: Service) -> str:
    return str(service.said["url"].rpartition(":")[2])


def channel(service: Service) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(service.said["grpc"])


def children(up: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{up}/task/{up}/children").read_text().split()]


def server_pids(up: int) -> set[int]:
    words = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in children(up)}
    return {pid for pid, command in words.items() if b"serve" in command}


def batch() -> Work:
    """Items one after the other: the first one is in flight when the restart comes."""
    items = [batch_pb2.BatchItem(work=item_work_pb2.ItemWork(completion=REQUEST)) for _ in range(ITEMS)]
    return Work(batch=batch_pb2.Batch(items=items, is_sequential=True))


async def streamed(http: aiohttp.ClientSession, service: Service, model: str = "first") -> str:
    """Text of a stream that came to its end."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    text, done = "", False
    async with http.post(f"{service.said['url']}/v1/chat/completions", json=body) as answer:
        assert answer.status == 200
        async for line in answer.content:
            if line.startswith(b"data: {"):
                choices = json.loads(line.removeprefix(b"data: "))["choices"]
                text += "".join(choice["delta"].get("content") or "" for choice in choices)
            done = done or line.startswith(b"data: [DONE]")
    assert done
    return text


async def watched(http: aiohttp.ClientSession, service: Service, run_id: str) -> list[int]:
    """Numbers of a run's events by server-sent events: asked again where they were cut, and only there."""
    numbers: list[int] = []
    last = ""
    while last != "completed":
        headers = {"accept": "text/event-stream", "last-event-id": str(numbers[-1] if numbers else 0)}
        url = f"{service.said['url']}/v1/runs/{run_id}/events"
        with suppress(aiohttp.ClientError):
            async with http.get(url, headers=headers) as answer:
                assert answer.status == 200
                async for line in answer.content:
                    if line.startswith(b"data: {") and "output" not in (event := json.loads(line[6:])):
                        numbers.append(event["sequence"])
                        last = event["event_type"]
            assert last == "completed"  # a whole body is a whole answer
    return numbers


async def wait(runs: Any, run_id: str) -> run_pb2.Run:
    """A run at its end."""
    request = pb.WaitRunRequest(run_id=run_id, timeout=Duration(seconds=60))
    found: run_pb2.Run = await runs.WaitRun(request)
    assert found.HasField("end_time")
    return found


async def sums(service: Service) -> tuple[int, int, int]:
    """Rows of the ledger that succeeded, and their tokens in and out."""
    database = Database(service.said["database"])
    query = "SELECT count(*), sum(input_tokens), sum(output_tokens) FROM executions WHERE state = 'SUCCEEDED'"
    try:
        async with database.connect() as connection:
            [row] = await connection.execute(sa.text(query))
            return row[0], row[1] or 0, row[2] or 0
    finally:
        await database.close()


async def test_restart_under_streams_and_runs_cuts_none_and_pays_nothing_twice(
    service: Service, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(default=HELD)
    old, begun = service.pid("serve"), STREAMS + SINGLES + BATCHES
    before = await sums(service)
    connector, limit = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=2 * LIMIT_S)
    async with aiohttp.ClientSession(connector=connector, timeout=limit) as http, channel(service) as over:
        runs: Any = RunServiceStub(over)
        streams = [asyncio.create_task(streamed(http, service)) for _ in range(STREAMS)]
        works = [Work(completion=REQUEST)] * SINGLES + [batch() for _ in range(BATCHES)]
        ids = [(await runs.CreateRun(pb.CreateRunRequest(work=work))).run_id for work in works]
        watches = [asyncio.create_task(watched(http, service, run_id)) for run_id in (ids[0], ids[-1])]
        await until(lambda: len(calls(openai_upstream)) == begun)
        worker = (await runs.GetRun(pb.GetRunRequest(run_id=ids[-1]))).worker_id
        configure(service.folder, openai_upstream, alias="second")
        async with restart(service) as restarting:
            draining = await restarting.until("draining")
            assert [one["pid"] for one in draining["servers"]] == [old]
            assert len(server_pids(service.process.pid)) == 2
            refused = at(service.folder, "restart", "--port", port(service))
            assert refused.returncode == 1
            assert "a restart is under way: left in 1 old process: " in refused.stderr
            openai_upstream.script(Reply(WORDS))
            text = await streamed(http, service, "second")  # which the old one does not know
            assert text == "".join(WORDS)
            openai_upstream.release()
            assert await asyncio.gather(*streams) == ["".join(WORDS)] * STREAMS
            ended = [await wait(runs, run_id) for run_id in ids]
            status, outcome, complaint = await restarting.ended()
        assert (status, complaint, outcome["refused"]) == (0, "", None)
        assert (outcome["replaced"], outcome["cut"], outcome["needs_restart"]) == (1, 0, [])
        assert server_pids(service.process.pid).isdisjoint({old})
        seen = await asyncio.gather(*watches)
    assert {(run.status, run.attempt) for run in ended} == {("completed", 1)}
    makers = [run.worker_id == worker for run in ended]
    assert makers == [True] * SINGLES + [False] * BATCHES  # begun on the old one, ended on the new one
    assert seen == [list(range(1, run.last_sequence + 1)) for run in (ended[0], ended[-1])]
    bill = calls(openai_upstream)
    assert len(bill) == begun + BATCHES * (ITEMS - 1) + 1
    assert not [entry for entry in bill if entry.disconnected or not entry.finished]
    tokens = sum(entry.prompt_tokens for entry in bill), sum(entry.completion_tokens for entry in bill)
    after = await sums(service)
    assert tuple(now - then for now, then in zip(after, before, strict=True)) == (len(bill), *tokens)


async def test_new_processes_that_do_not_come_up_change_nothing(
    service: Service, openai_upstream: UpstreamProcess
) -> None:
    old = service.pid("serve")
    openai_upstream.script(HELD)
    async with aiohttp.ClientSession() as http:
        stream = asyncio.create_task(streamed(http, service, "house:m"))
        await until(lambda: len(calls(openai_upstream)) == 1)
        (service.folder / "crash").touch()
        async with restart(service) as restarting:
            status, outcome, complaint = await restarting.ended()
        (service.folder / "crash").unlink()
        assert status == 1
        assert "a server on lane cpu did not start: it ended with status 3" in outcome["refused"]
        assert outcome["refused"] in complaint
        with (service.folder / "genai.yaml").open("a") as file:
            file.write("alises: {}\n")
        async with restart(service) as restarting:
            status, outcome, _ = await restarting.ended()
        assert (status, "alises: unknown key" in outcome["refused"]) == (1, True)
        assert server_pids(service.process.pid) == {old}
        await answered(service.said["url"])
        openai_upstream.release()
        assert await stream == "".join(WORDS)


async def test_call_whose_envoy_dies_goes_on_with_its_key_on_the_new_process(
    service: Service, openai_upstream: UpstreamProcess
) -> None:
    old, envoy = service.pid("serve"), service.pid("envoy")
    openai_upstream.script(default=HELD)
    text = ""
    async with channel(service) as over:
        call = CompletionServiceStub(over).StreamCompletion(REQUEST, metadata=headed("cut"))
        first = await call.read()
        async with restart(service) as restarting:
            await restarting.until("starting")
            os.kill(envoy, signal.SIGKILL)
            assert await call.code() != grpc.StatusCode.OK
            await replaced(service, "envoy", envoy)
            await restarting.until("draining")
            again = CompletionServiceStub(over).StreamCompletion(
                REQUEST,
                metadata=headed("cut", x_genai_resume_after=str(first.sequence)),
                wait_for_ready=True,
            )
            rest = asyncio.create_task(_rest(again))
            await asyncio.sleep(0.5)  # it listens, and nothing comes
            assert not rest.done()
            openai_upstream.release()
            text = "".join(delta.content for delta in first.choices) + await rest
            status, outcome, _ = await restarting.ended()
    assert (status, outcome["refused"], outcome["cut"]) == (0, None, 0)
    assert text == "".join(WORDS)
    assert old not in server_pids(service.process.pid)
    assert len(calls(openai_upstream)) == 1


async def _rest(call: Any) -> str:
    """Text that is left of a stream."""
    text = ""
    while (chunk := await call.read()) is not grpc.aio.EOF:
        text += "".join(delta.content for delta in chunk.choices)
    return text


async def test_process_that_does_not_end_in_its_time_is_stopped(
    service: Service, openai_upstream: UpstreamProcess
) -> None:
    """By the signal in place of the command."""
    configure(service.folder, openai_upstream, limit_s=0.5)
    openai_upstream.script(default=HELD)
    old, done = service.pid("serve"), len(events(service, "restarted"))
    async with channel(service) as over:
        call = CompletionServiceStub(over).StreamCompletion(REQUEST)
        await call.read()
        service.process.send_signal(signal.SIGUSR2)
        async with asyncio.timeout(LIMIT_S):
            with pytest.raises(grpc.aio.AioRpcError) as cut:
                await _rest(call)
    assert "it is stopping" in str(cut.value.details())
    await until(lambda: len(events(service, "restarted")) > done)
    assert events(service, "restarted")[-1]["cut"] == 1
    assert old not in server_pids(service.process.pid)


async def test_supervisor_that_is_killed_in_a_restart_leaves_nothing_running_and_loses_no_run(
    openai_upstream: UpstreamProcess, sqlite_url: str, tmp_path: Path
) -> None:
    configure(tmp_path, openai_upstream)
    openai_upstream.script(default=HELD)
    variables = {"GENAI_DATABASE_URL": sqlite_url, "GENAI_LEASE_TTL": "60"}
    with running(*UP, folder=tmp_path, **variables) as (process, said):
        service = Service(process, said, tmp_path)
        async with channel(service) as over:
            run = await RunServiceStub(over).CreateRun(pb.CreateRunRequest(work=Work(completion=REQUEST)))
            await until(lambda: len(calls(openai_upstream)) == 1)
            async with restart(service) as restarting:
                await restarting.until("draining")
                pids = children(process.pid)
                assert len(pids) == 3  # Envoy, the old one and the new one
                process.kill()
                status, _, complaint = await restarting.ended()
        assert (status, "has ended without an answer" in complaint) == (1, True)
        await until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids))
    openai_upstream.release()
    with started(tmp_path, **variables) as service:
        async with channel(service) as over:
            assert (await wait(RunServiceStub(over), run.run_id)).status == "completed"
    assert len(calls(openai_upstream)) == 2  # the one that was in flight is made again


def test_where_nothing_runs_the_command_says_so(tmp_path: Path) -> None:
    said = at(tmp_path, "restart", "--port", "1")
    assert said.returncode == 1
    assert "no service of this user listens on port 1" in said.stderr
    assert "SIGUSR2" in said.stderr
