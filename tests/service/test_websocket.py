"""Events of runs over WebSocket, at a server without Envoy."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from genai_spine.v1.pipeline_pb2 import PipelineWork
from genai_spine.v1.work_pb2 import Work
from tests.databases import BOTH
from tests.service.keyed import Keyed, bearer, keyed
from tests.service.run_calls import RunCalls, completion, free
from tests.service.running import Upstreams, running
from tests.service.sockets import refusal, rest_of, socket
from tests.service.test_http_server import port, raw
from tests.upstreams.reply import Reply
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOBODY = "11111111-1111-4111-8111-111111111111"
WORDS = [f"word{number} " for number in range(8)]


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def server(request: pytest.FixtureRequest, all_upstreams: Upstreams) -> AsyncIterator[Keyed]:
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    url = request.getfixturevalue(f"module_{kind}_url")
    async with keyed(all_upstreams, url, http_port=0) as found:
        yield found


@pytest.fixture
def calls(server: Keyed, upstreams: Upstreams) -> RunCalls:
    return RunCalls(server.service.channel, bearer(server.admin))


def address(server: Keyed) -> str:
    return f"127.0.0.1:{port(server.service)}"


def events(run_id: str, query: str = "") -> str:
    return f"/v1/runs/{run_id}/events{query}"


def key(server: Keyed, secret: str = "") -> str:
    return f"bearer.{secret or server.admin}"


def opening(server: Keyed, run_id: str) -> bytes:
    """Beginning of a handshake."""
    return (
        f"GET {events(run_id)} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {server.admin}\r\n"
        "upgrade: websocket\r\nconnection: upgrade\r\n"
    ).encode()


async def seen(server: Keyed, path: str, **options: Any) -> tuple[list[dict[str, Any]], int | None]:
    async with socket(address(server), path, "genai-spine.events", key(server), **options) as opened:
        return await rest_of(opened)


class TestEvents:
    async def test_all_that_happened_is_shown_and_the_close_is_normal(
        self, server: Keyed, calls: RunCalls
    ) -> None:
        run = await calls.submit(free())
        await calls.ended(run)
        shown, code = await seen(server, events(run.run_id))
        frames = [frame for frame in shown if frame["event_type"] != "output"]
        assert code == 1000
        assert [frame["event_type"] for frame in frames] == await calls.log(run)
        assert [frame["sequence"] for frame in frames] == list(range(1, len(frames) + 1))
        assert {frame["run_id"] for frame in frames} == {run.run_id}

    @pytest.mark.parametrize("after", [0, 1, 2, 100])
    async def test_events_begin_behind_a_sequence(self, server: Keyed, calls: RunCalls, after: int) -> None:
        run = await calls.submit(free())
        await calls.ended(run)
        count = len(await calls.events(run))
        frames, code = await seen(server, events(run.run_id, f"?after_sequence={after}"))
        told = [frame["sequence"] for frame in frames if frame["event_type"] != "output"]
        assert (told, code) == (list(range(after + 1, count + 1)), 1000)

    async def test_a_run_that_runs_is_followed_and_its_text_comes(
        self, server: Keyed, calls: RunCalls
    ) -> None:
        server.service.openai.script(Reply(WORDS, interval_s=0.05))
        run = await calls.submit(completion())
        frames, code = await seen(server, events(run.run_id))
        texts = [frame["output"]["text"] for frame in frames if frame["event_type"] == "output"]
        told = [frame["sequence"] for frame in frames if frame["event_type"] != "output"]
        assert code == 1000
        assert "".join(texts) == "".join(WORDS)
        assert told == list(range(1, len(told) + 1))
        assert frames[-1]["event_type"] == "completed"

    async def test_whoever_leaves_and_comes_back_misses_nothing(self, server: Keyed, calls: RunCalls) -> None:
        server.service.openai.script(Reply(WORDS, interval_s=0.05))
        run = await calls.submit(completion())
        got: list[int] = []
        while True:
            path = events(run.run_id, f"?after_sequence={got[-1] if got else 0}")
            async with socket(address(server), path, key(server)) as opened:
                try:
                    async with asyncio.timeout(0.08):
                        frames, code = await rest_of(opened)
                        got += [frame["sequence"] for frame in frames if frame["event_type"] != "output"]
                        break
                except TimeoutError:
                    frame = None
                    async for text in opened:
                        frame = text
                        break
                    assert frame is not None
        assert code == 1000
        count = len(await calls.events(run))
        assert got[-1] == count

    async def test_an_execution_has_the_frames_of_its_own_path(self, server: Keyed, calls: RunCalls) -> None:
        run = await calls.submit(_pipeline())
        await calls.ended(run)
        path = f"/v1/ai/pipelines/exec-{run.run_id}/events"
        frames, code = await seen(server, path)
        assert code == 1000
        assert {frozenset(frame) for frame in frames} == {
            frozenset(("event_id", "event_type", "execution_id", "timestamp", "category", "sequence", "data"))
        }
        assert {frame["execution_id"] for frame in frames} == {f"exec-{run.run_id}"}
        found = {frame["event_type"]: frame["category"] for frame in frames}
        assert found["workflow.started"] == "workflow"
        assert (found["step.completed"], found["provider.called"]) == ("step", "step")
        assert (found["progress.update"], found["cost.incurred"]) == ("progress", "cost")
        only, _ = await seen(server, f"{path}?categories=cost,step")
        assert {frame["category"] for frame in only} == {"cost", "step"}
        assert [f for f in frames if f["category"] in ("cost", "step")] == only


class TestCallers:
    async def test_the_key_is_in_no_answer_and_the_other_subprotocol_is_chosen(
        self, server: Keyed, calls: RunCalls
    ) -> None:
        run = await calls.submit(free())
        async with socket(address(server), events(run.run_id), key(server), "mine") as opened:
            assert opened.subprotocol == "mine"
        async with socket(
            address(server), events(run.run_id), key(server), "x", "genai-spine.events"
        ) as opened:
            assert opened.subprotocol == "genai-spine.events"
            assert opened.response is not None
            assert server.admin not in str(opened.response.headers)

    async def test_a_header_is_as_good_as_a_subprotocol_and_both_are_refused(
        self, server: Keyed, calls: RunCalls
    ) -> None:
        run = await calls.submit(free())
        headers = {"authorization": f"Bearer {server.admin}"}
        async with socket(address(server), events(run.run_id), additional_headers=headers) as opened:
            assert (await rest_of(opened))[1] == 1000
        status, body = await refusal(
            address(server), events(run.run_id), key(server), additional_headers=headers
        )
        assert (status, body["error"]["code"]) == (400, "VALIDATION_ERROR")

    async def test_nobody_else_sees_a_run(self, server: Keyed, calls: RunCalls) -> None:
        run = await calls.submit(free())
        await server.tenant("strangers")
        foreign = (await server.key("runs:read", tenant="strangers")).secret
        weak = (await server.key("prompts:read")).secret
        cases: dict[str, tuple[str, ...]] = {
            "none": (),
            "wrong": (key(server, "gs_live_" + "A" * 43),),
            "odd": ("bearer.", "genai-spine.events"),
            "foreign": (key(server, foreign),),
            "weak": (key(server, weak),),
        }
        found = {
            name: await refusal(address(server), events(run.run_id), *offered)
            for name, offered in cases.items()
        }
        statuses = {name: status for name, (status, _) in found.items()}
        assert statuses == {"none": 401, "wrong": 401, "odd": 401, "foreign": 404, "weak": 403}
        missing = await refusal(address(server), events(NOBODY), key(server, foreign))
        text = missing[1]["error"]["message"].replace(NOBODY, run.run_id)
        assert found["foreign"][1]["error"]["message"] == text

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("?after_sequence=-1", "after_sequence"),
            ("?after_sequence=x", "after_sequence"),
            ("?after_sequence=9999999999", "after_sequence"),
            ("?categories=step,nothing", "categories"),
        ],
    )
    async def test_what_cannot_be_asked_is_refused_by_name(
        self, server: Keyed, query: str, field: str
    ) -> None:
        status, body = await refusal(address(server), events(NOBODY, query), key(server))
        assert status == 400
        assert field in body["error"]["message"]

    async def test_other_work_is_no_execution(self, server: Keyed, calls: RunCalls) -> None:
        run = await calls.submit(free())
        status, _ = await refusal(address(server), f"/v1/ai/pipelines/{run.run_id}/events", key(server))
        assert status == 404

    async def test_a_page_calls_by_way_of_envoy(self, server: Keyed) -> None:
        headers = {"origin": "http://localhost:3000"}
        status, _ = await refusal(address(server), events(NOBODY), key(server), additional_headers=headers)
        assert status == 403


class TestLimits:
    async def test_a_large_message_ends_it(self, server: Keyed, calls: RunCalls) -> None:
        async with held(server, calls) as opened:
            await opened.send("x" * 5000)
            assert (await rest_of(opened))[1] == 1009

    async def test_a_flood_ends_it_and_a_few_words_do_not(self, server: Keyed, calls: RunCalls) -> None:
        async with held(server, calls) as opened:
            for _ in range(50):
                await opened.send("ping")
            assert await (await opened.ping()) >= 0
            for _ in range(1000):
                await opened.send("ping")
            assert (await rest_of(opened))[1] == 1008

    async def test_whoever_goes_is_forgotten(self, server: Keyed, calls: RunCalls) -> None:
        http = server.service.server.http
        assert http is not None
        async with held(server, calls) as opened:
            await until(lambda: len(http.sockets.streams.running) == 1)
            opened.transport.abort()
            await until(lambda: not http.sockets.streams.running)
        async with held(server, calls) as opened:
            await opened.close()
        await until(lambda: not http.sockets.streams.running)

    async def test_one_that_reads_nothing_holds_up_nobody(self, server: Keyed, calls: RunCalls) -> None:
        """Its events wait in the database: memory does not grow with what it does not read."""
        run = await calls.submit(free())
        await calls.ended(run)
        async with held(server, calls) as stuck:
            stuck.transport.pause_reading()
            frames, code = await seen(server, events(run.run_id))
            assert (code, bool(frames)) == (1000, True)
            stuck.transport.resume_reading()


class TestHandshakes:
    @pytest.mark.parametrize(
        "lines",
        [
            b"",
            b"sec-websocket-key: x\r\nsec-websocket-version: 13\r\n",
            b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 7\r\n",
        ],
    )
    async def test_a_handshake_that_is_none_is_refused(
        self, server: Keyed, calls: RunCalls, lines: bytes
    ) -> None:
        run = await calls.submit(free())
        answer = await raw(server.service, opening(server, run.run_id) + lines + b"\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")

    @pytest.mark.parametrize(
        "line",
        [
            b"GET /v1/runs/x/events HTTP/1.1\r\nupgrade: h2c",
            b"GET /v1/chat/completions HTTP/1.1\r\nupgrade: websocket",
            b"POST /v1/runs/x/events HTTP/1.1\r\nupgrade: websocket",
            b"GET /v1/runs/x/events HTTP/1.1\r\nupgrade: websocket\r\ncontent-length: 5",
        ],
    )
    async def test_no_other_upgrade_is_taken(self, server: Keyed, line: bytes) -> None:
        answer = await raw(server.service, line + b"\r\nhost: localhost\r\nconnection: upgrade\r\n\r\nhello")
        assert answer.split(b" ", 2)[1] in (b"400", b"404", b"405")

    async def test_bytes_that_are_no_frames_end_it_and_nothing_else(
        self, server: Keyed, calls: RunCalls
    ) -> None:
        server.service.openai.script(Reply(["x"], first_delay_s=2))
        run = await calls.submit(completion())
        head = opening(server, run.run_id) + b"sec-websocket-version: 13\r\n"
        head += b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        for junk in (b"\0" * 200, os.urandom(300), b"GET / HTTP/1.1\r\n\r\n", b"\x81\xff" + b"\xff" * 8):
            answer = await raw(server.service, head + junk)
            assert answer.startswith(b"HTTP/1.1 101 ")
        assert (await raw(server.service, head + b"\0" * 40_000))[:12] in (b"", b"HTTP/1.1 101")
        await calls.cancel(run)


async def test_a_server_that_stops_sends_its_sockets_away(
    all_upstreams: Upstreams, sqlite_template: Path, tmp_path: Path, upstreams: Upstreams
) -> None:
    for suffix in ("", ".engine"):
        shutil.copy(f"{sqlite_template}{suffix}", tmp_path / f"spine.db{suffix}")
    upstreams.openai.script(Reply(WORDS, interval_s=0.5))
    async with running(all_upstreams, f"sqlite:///{tmp_path}/spine.db", http_port=0) as service:
        run = await RunCalls(service.channel).submit(completion())
        async with socket(f"127.0.0.1:{port(service)}", events(run.run_id)) as opened:
            await opened.recv()
            stopping = asyncio.create_task(service.stop())
            assert (await rest_of(opened))[1] == 1012
            await stopping


def held(server: Keyed, calls: RunCalls) -> "Held":
    return Held(server, calls)


class Held:
    """A WebSocket on a run that does not end by itself."""

    def __init__(self, server: Keyed, calls: RunCalls) -> None:
        self._server, self._calls = server, calls

    async def __aenter__(self) -> Any:
        self._server.service.openai.script(Reply(["x"], first_delay_s=20))
        self._run = await self._calls.submit(completion())
        self._context = socket(address(self._server), events(self._run.run_id), key(self._server))
        return await self._context.__aenter__()

    async def __aexit__(self, *error: Any) -> None:
        await self._context.__aexit__(*error)
        await self._calls.cancel(self._run)


def _pipeline() -> Work:
    work = PipelineWork(pipeline_name="text_summarization")
    work.input_data.update({"text": "It rained all day. The river rose. Nobody was hurt."})
    return Work(pipeline=work)
