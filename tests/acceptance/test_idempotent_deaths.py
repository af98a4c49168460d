"""Servers killed at every stage of a call with an idempotency key: the next one does as the key promises."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import pytest

from genai_spine.store.database import Database
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1.completion_service_pb2_grpc import CompletionServiceStub
from tests.acceptance.test_deaths import REQUEST, running
from tests.idempotent_rows import violations
from tests.service.running import failure, failure_of
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

WORDS = [f"word{number} " for number in range(20)]
LEASE_S = 1.0
numbers = count(1)


@dataclass
class Servers:
    """Processes that share a database: the first may be killed, and another one comes in its place."""

    folder: Path
    variables: dict[str, str]
    stack: ExitStack
    processes: "list[subprocess.Popen[bytes]]"
    addresses: list[str]

    def start(self) -> None:
        command = running("serve", "--port", "0", folder=self.folder, **self.variables)
        process, said = self.stack.enter_context(command)
        self.processes.append(process)
        self.addresses.append(f"127.0.0.1:{said['port']}")

    def kill_first(self) -> None:
        process = self.processes.pop(0)
        self.addresses.pop(0)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def servers(openai_upstream: UpstreamProcess, database_url: str, tmp_path: Path) -> Iterator[Servers]:
    variables = {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_DATABASE_URL": database_url,
        "GENAI_LEASE_TTL": str(LEASE_S),
        "GENAI_DRAIN_DELAY": "0",
    }
    with ExitStack() as stack:
        found = Servers(tmp_path, variables, stack, [], [])
        found.start()
        found.start()
        yield found


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url)
    yield opened
    assert await violations(opened) == {}
    await opened.close()


def headed(key: str, **headers: str) -> tuple[tuple[str, str], ...]:
    return (("idempotency-key", key), *((name.replace("_", "-"), value) for name, value in headers.items()))


async def until_asked(upstream: UpstreamProcess, calls: int) -> None:
    await until(lambda: len(upstream.bill()) == calls)


async def rest_of(address: str, key: str, **headers: str) -> tuple[list[pb.CompletionChunk], str]:
    """Chunks of a repeat, and the reason of the error that ends them; empty: none does."""
    async with grpc.aio.insecure_channel(address) as channel:
        call = CompletionServiceStub(channel).StreamCompletion(REQUEST, metadata=headed(key, **headers))
        chunks: list[pb.CompletionChunk] = []
        try:
            async for chunk in call:
                chunks.append(chunk)
        except grpc.aio.AioRpcError as error:
            return chunks, failure_of(error).reason
        return chunks, ""


async def complete(address: str, key: str, **headers: str) -> Any:
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = CompletionServiceStub(channel)
        return await stub.CreateCompletion(REQUEST, metadata=headed(key, **headers))


async def test_answer_outlives_its_server(
    servers: Servers, database: Database, openai_upstream: UpstreamProcess
) -> None:
    first = await complete(servers.addresses[0], "k")
    chunks, _ = await rest_of(servers.addresses[0], "s")
    servers.kill_first()
    assert (await complete(servers.addresses[0], "k")).SerializeToString() == first.SerializeToString()
    assert await rest_of(servers.addresses[0], "s") == (chunks, "")
    servers.kill_first()
    servers.start()
    assert (await complete(servers.addresses[0], "k")).SerializeToString() == first.SerializeToString()
    assert await rest_of(servers.addresses[0], "s") == (chunks, "")
    assert len(openai_upstream.bill()) == 2


async def test_call_of_a_dead_server_is_made_again_unless_its_caller_minds(
    servers: Servers, database: Database, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(*[Reply(["late"], headers_delay_s=30)] * 2)
    async with grpc.aio.insecure_channel(servers.addresses[0]) as channel:
        stub: Any = CompletionServiceStub(channel)
        calls = [stub.CreateCompletion(REQUEST, metadata=headed(key)) for key in ("repeat", "fail")]
        sent = [asyncio.ensure_future(call) for call in calls]
        await until_asked(openai_upstream, 2)
        await asyncio.sleep(0.2)  # until their intents are durable
        servers.kill_first()
        await asyncio.gather(*sent, return_exceptions=True)
    [address] = servers.addresses
    again, *_ = await asyncio.gather(*(complete(address, "repeat") for _ in range(5)))
    assert again.choices
    assert len(openai_upstream.bill()) == 3
    async with grpc.aio.insecure_channel(address) as channel:
        stub = CompletionServiceStub(channel)
        for _ in range(2):
            lost = stub.CreateCompletion(REQUEST, metadata=headed("fail", x_genai_on_lost="fail"))
            assert (await failure(lost)).reason == "CALL_LOST"
    assert len(openai_upstream.bill()) == 3


@pytest.mark.parametrize("place", [1, 2, 7, 19])
async def test_stream_of_a_dead_server_ends_where_it_was_and_is_not_paid_again(
    servers: Servers, database: Database, openai_upstream: UpstreamProcess, place: int
) -> None:
    openai_upstream.script(Reply(WORDS * 2, interval_s=0.06))
    received: list[pb.CompletionChunk] = []

    async def follow() -> tuple[list[pb.CompletionChunk], str]:
        return await rest_of(servers.addresses[1], "k")

    async with grpc.aio.insecure_channel(servers.addresses[0]) as channel:
        call = CompletionServiceStub(channel).StreamCompletion(REQUEST, metadata=headed("k"))
        following: asyncio.Task[Any] | None = None
        try:
            async for chunk in call:
                received.append(chunk)
                following = following or asyncio.create_task(follow())
                if len(received) == place:
                    await asyncio.sleep(0.3)  # a block is written each 0.1 s
                    servers.kill_first()
                    break
        except grpc.aio.AioRpcError:
            pass
        call.cancel()
    assert following is not None
    chunks, reason = await following
    assert reason == "STREAM_LOST"
    assert chunks[:place] == received[:place]
    last = str(received[-1].sequence)
    rest, reason = await rest_of(servers.addresses[0], "k", x_genai_resume_after=last)
    assert (received + rest, reason) == (chunks, "STREAM_LOST")
    assert len(openai_upstream.bill()) == 1
    await until(lambda: counted(database))


async def counted(database: Database) -> bool:
    """Whether what was kept of the one lost stream is in its row, which costs what was reserved."""
    query = "SELECT state, resolution, output_tokens, cost_ticks = est_ticks FROM executions"
    async with database.connect() as connection:
        [(state, resolution, tokens, is_reserve)] = await connection.exec_driver_sql(query)
    return (state, resolution, bool(is_reserve)) == ("LOST", "STREAM", True) and tokens > 0


@pytest.mark.parametrize("place", [1, 3, 11, 20, 22])
async def test_stream_is_never_a_mixture_of_two_calls(
    servers: Servers, database: Database, openai_upstream: UpstreamProcess, place: int
) -> None:
    openai_upstream.script(Reply(WORDS, interval_s=0.01), Reply(["other "] * 30))
    received: list[pb.CompletionChunk] = []
    async with grpc.aio.insecure_channel(servers.addresses[0]) as channel:
        async for chunk in CompletionServiceStub(channel).StreamCompletion(REQUEST, metadata=headed("k")):
            received.append(chunk)
            if len(received) == place:
                servers.kill_first()
                break
    chunks, reason = await rest_of(servers.addresses[0], "k")
    if len(openai_upstream.bill()) == 2:  # no block was written
        assert reason == ""
        # Pieces that come at once may be one chunk.
        assert "".join(delta.content for chunk in chunks for delta in chunk.choices) == "other " * 30
    else:
        same = min(len(chunks), len(received))
        assert chunks[:same] == received[:same]
        assert reason == ("" if chunks[-1].HasField("cost") else "STREAM_LOST")


async def test_stream_of_which_nothing_was_kept_is_made_again(
    servers: Servers, database: Database, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(WORDS, first_delay_s=30), Reply(WORDS, interval_s=0.001))
    async with grpc.aio.insecure_channel(servers.addresses[0]) as channel:
        call = CompletionServiceStub(channel).StreamCompletion(REQUEST, metadata=headed("k"))
        reading = asyncio.ensure_future(call.read())
        await until_asked(openai_upstream, 1)
        await asyncio.sleep(0.2)
        servers.kill_first()
        await asyncio.gather(reading, return_exceptions=True)
    chunks, reason = await rest_of(servers.addresses[0], "k")
    assert reason == ""
    assert "".join(delta.content for chunk in chunks for delta in chunk.choices) == "".join(WORDS)
    assert len(openai_upstream.bill()) == 2


async def test_follower_on_another_server_hears_the_stream_while_it_runs(
    servers: Servers, database: Database, openai_upstream: UpstreamProcess
) -> None:
    openai_upstream.script(Reply(WORDS, interval_s=0.05))
    results = await asyncio.gather(*(rest_of(address, "k") for address in servers.addresses * 2))
    assert all(result == results[0] for result in results)
    assert len(openai_upstream.bill()) == 1
