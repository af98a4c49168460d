"""Real processes ended in the middle of a stream: nothing is lost, nothing is booked twice."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, message_pb2, usage_pb2
from genai_spine.v1.completion_service_pb2_grpc import CompletionServiceStub
from tests.acceptance.stack import environment
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

WORDS = [f"word{number} " for number in range(30)]
REQUEST = pb.CreateCompletionRequest(
    model="gpt-4o",
    messages=[
        message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text="hello")])
    ],
)
LEASE_S = 1.0


@contextmanager
def running(*command: str, folder: Path, **variables: str) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """A command of ours, and the line of JSON that it prints when it is ready."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "genai_spine", *command],
            env=environment(**variables),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    try:
        yield process, json.loads(process.stdout.readline() if process.stdout else b"")
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()


def server_of(up: "subprocess.Popen[bytes]") -> int:
    """Pid of the server process below `genai-spine up`."""
    children = Path(f"/proc/{up.pid}/task/{up.pid}/children").read_text().split()
    [pid] = [pid for pid in children if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return int(pid)


@pytest.fixture
def variables(openai_upstream: UpstreamProcess, database_url: str) -> dict[str, str]:
    openai_upstream.script(Reply(WORDS, interval_s=0.05))
    return {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_DATABASE_URL": database_url,
        "GENAI_LEASE_TTL": str(LEASE_S),
        "GENAI_DRAIN_DELAY": "0",
    }


async def booked(database_url: str, request_id: str) -> list[execution_pb2.Execution]:
    database = Database(database_url)
    try:
        return await Executions(database).by_request(request_id)
    finally:
        await database.close()


async def until_not_serving(address: str) -> None:
    """Until its health is no longer SERVING, or nobody answers for it."""
    async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(20):
        health, serving = HealthStub(channel), True
        while serving:
            try:
                answer = await health.Check(HealthCheckRequest())
                serving = answer.status == HealthCheckResponse.SERVING
            except grpc.aio.AioRpcError:
                return


async def ended(process: "subprocess.Popen[bytes]") -> int:
    return await asyncio.to_thread(process.wait, 20)


async def test_stream_finishes_after_sigterm_and_new_calls_are_refused(
    variables: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    with running("serve", "--port", "0", folder=tmp_path, **variables) as (process, said):
        address = f"127.0.0.1:{said['port']}"
        async with grpc.aio.insecure_channel(address) as channel:
            text, request_id = "", ""
            async for chunk in CompletionServiceStub(channel).StreamCompletion(REQUEST):
                if text.startswith("word0") and process.poll() is None and not request_id:
                    process.send_signal(signal.SIGTERM)
                    await until_not_serving(address)
                    async with grpc.aio.insecure_channel(address) as other:
                        with pytest.raises(grpc.aio.AioRpcError) as refused:
                            await CompletionServiceStub(other).CreateCompletion(REQUEST)
                    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
                request_id = chunk.request_id if text else ""
                text += "".join(delta.content for delta in chunk.choices)
        assert text == "".join(WORDS)
        assert await ended(process) == 0
    [row] = await booked(database_url, request_id)
    assert row.state == execution_pb2.EXECUTION_STATE_SUCCEEDED
    assert row.usage.output_provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED


async def test_call_of_a_killed_server_is_booked_as_lost_once_after_its_restart(
    variables: dict[str, str], database_url: str, tmp_path: Path, openai_upstream: UpstreamProcess
) -> None:
    with running("serve", "--port", "0", folder=tmp_path, **variables) as (process, said):
        async with grpc.aio.insecure_channel(f"127.0.0.1:{said['port']}") as channel:
            stream = CompletionServiceStub(channel).StreamCompletion(REQUEST)
            request_id = (await stream.read()).request_id
            process.kill()
            assert await stream.code() == grpc.StatusCode.UNAVAILABLE
        assert await ended(process) == -signal.SIGKILL
    [pending] = await booked(database_url, request_id)
    assert pending.state == execution_pb2.EXECUTION_STATE_PENDING
    with running("serve", "--port", "0", folder=tmp_path, **variables):
        rows = [pending]
        deadline = time.monotonic() + 10 * LEASE_S
        while rows[0].state == execution_pb2.EXECUTION_STATE_PENDING and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            rows = await booked(database_url, request_id)
        [lost] = rows
        assert lost.state == execution_pb2.EXECUTION_STATE_LOST
        assert lost.usage.output_provenance == usage_pb2.PROVENANCE_UNKNOWN
        assert (lost.id, lost.model) == (pending.id, "gpt-4o")
    assert len(openai_upstream.bill()) == 1


async def test_call_that_was_sent_has_a_row_whenever_its_server_is_killed(
    variables: dict[str, str], database_url: str, tmp_path: Path, openai_upstream: UpstreamProcess
) -> None:
    """Unary calls that are never answered: when the kill comes, some are sent and some are not."""
    openai_upstream.script(*[Reply("never", fault="stall")] * 200)
    begun = 0
    for wanted in (1, 7, 20):
        before = len(openai_upstream.bill())
        with running("serve", "--port", "0", folder=tmp_path, **variables) as (process, said):
            async with grpc.aio.insecure_channel(f"127.0.0.1:{said['port']}") as channel:
                stub = CompletionServiceStub(channel)
                ids = [(("x-request-id", f"call-{begun + number}"),) for number in range(20)]
                calls = [stub.CreateCompletion(REQUEST, metadata=id) for id in ids]
                await until(lambda most=before + wanted: len(openai_upstream.bill()) >= most)
                process.kill()
                await asyncio.gather(*calls, return_exceptions=True)
        begun += len(ids)
    database = Database(database_url)
    rows = [row for n in range(begun) for row in await Executions(database).by_request(f"call-{n}")]
    await database.close()
    assert len(openai_upstream.bill()) >= 28
    assert len(rows) >= len(openai_upstream.bill())
    assert len({(row.request_id, row.attempt) for row in rows}) == len(rows)


async def test_rows_of_a_killed_server_are_booked_at_once_where_its_supervisor_sees_it(
    variables: dict[str, str], database_url: str, tmp_path: Path, openai_upstream: UpstreamProcess
) -> None:
    """Although its lease would last for a minute."""
    openai_upstream.reset()  # the answer that is scripted for all tests here would be booked before the kill
    openai_upstream.script(Reply("never", fault="stall"))
    patient = variables | {"GENAI_LEASE_TTL": "60"}
    with running("up", "--json", "--port", "0", folder=tmp_path, **patient) as (process, said):
        async with grpc.aio.insecure_channel(said["grpc"]) as channel:
            given = (("x-request-id", "killed"),)
            call = CompletionServiceStub(channel).CreateCompletion(REQUEST, metadata=given)
            await until(lambda: bool(openai_upstream.bill()))
            os.kill(server_of(process), signal.SIGKILL)
            await asyncio.gather(call, return_exceptions=True)

        async def lost() -> bool:
            [row] = await booked(database_url, "killed")
            return row.state == execution_pb2.EXECUTION_STATE_LOST

        await until(lost)
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0


async def test_stream_over_rest_finishes_after_sigterm_to_the_whole_service(
    variables: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    with running("up", "--json", "--port", "0", folder=tmp_path, **variables) as (process, said):
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{said['url']}/v1/chat/completions", json=body) as answer,
        ):
            lines = []
            async for line in answer.content:
                if b"word2 " in line:
                    process.send_signal(signal.SIGTERM)
                lines.append(line)
        assert lines[-2:] == [b"data: [DONE]\n", b"\n"]
        assert sum(b"word" in line for line in lines) > 20
        assert await ended(process) == 0
    [row] = await booked(database_url, answer.headers["x-request-id"])
    assert row.state == execution_pb2.EXECUTION_STATE_SUCCEEDED


async def test_killed_server_is_started_again_behind_the_same_envoy(
    variables: dict[str, str], tmp_path: Path
) -> None:
    with running("up", "--json", "--port", "0", folder=tmp_path, **variables) as (process, said):
        os.kill(server_of(process), signal.SIGKILL)
        async with aiohttp.ClientSession() as session:
            deadline = time.monotonic() + 20
            statuses = []
            while 200 not in statuses[-3:] and time.monotonic() < deadline:
                async with session.get(f"{said['url']}/health") as answer:
                    statuses.append(answer.status)
                await asyncio.sleep(0.1 if answer.status == 200 else 0.3)
        assert statuses[-1] == 200
        assert set(statuses) <= {200, 503}
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0
