"""Lanes of runs: which processes make them, and what becomes of those that nobody serves."""

import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

from genai_spine.v1 import completion_service_pb2, run_pb2
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.work_pb2 import Work
from tests.acceptance.stack import finished
from tests.acceptance.test_deaths import REQUEST
from tests.acceptance.test_run_deaths import Server, servers
from tests.service.running import failure
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply
from tests.waiting import until

EMBEDDING = Work(embeddings=completion_service_pb2.CreateEmbeddingsRequest(model="text-embedding-3-small"))
EMBEDDING.embeddings.inputs.add(text="hello")


@pytest.fixture
def variables(openai_upstream: UpstreamProcess) -> dict[str, str]:
    openai_upstream.script(default=Reply("Hello."))
    return {
        "GENAI_OPENAI_BASE_URL": openai_upstream.base_url,
        "GENAI_OPENAI_API_KEY": "k",
        "GENAI_LEASE_TTL": "2",
        "GENAI_DRAIN_DELAY": "0",
        "GENAI_DRAIN_TIMEOUT": "2",
    }


async def pools(of: Server) -> list[list[str]]:
    listed = await of.runs.ListWorkers(pb.ListWorkersRequest())
    return sorted(list(worker.lanes) for worker in listed.workers)


async def embedding(of: Server) -> Any:
    return await of.runs.CreateRun(pb.CreateRunRequest(work=EMBEDDING))


async def test_pool_makes_the_runs_of_its_lanes_and_the_server_all_others(
    variables: dict[str, str], postgres_url: str, tmp_path: Path
) -> None:
    async with (
        servers(1, tmp_path, variables, postgres_url) as [server],
        servers(1, tmp_path, variables, postgres_url, "work", "--lanes", "gpu,far"),
    ):

        async def is_known() -> bool:
            """Whether the server knows of the pool."""
            return bool((await embedding(server)).lane == "gpu")

        await until(is_known)
        made = {
            lane: await server.wait(await server.submit(lane=lane)) for lane in ("cpu", "gpu", "far", "x")
        }
        assert {run.status for run in made.values()} == {"completed"}
        of = {lane: "server" if run.worker_id == server.id else "worker" for lane, run in made.items()}
        assert of == {"cpu": "server", "gpu": "worker", "far": "worker", "x": "server"}
        assert await pools(server) == [["cpu"], ["gpu", "far"]]


async def test_explicit_lane_without_a_pool_waits_and_says_why(
    variables: dict[str, str], postgres_url: str, tmp_path: Path
) -> None:
    alone = variables | {"GENAI_RUN_OTHER_LANES": "false"}
    async with servers(1, tmp_path, alone, postgres_url) as [server]:
        run_id = await server.submit(lane="gpu")
        run = await server.get(run_id)
        assert (run.status, run.waiting_reason) == ("queued", "NO_WORKER")
        [listed] = (await server.runs.ListRuns(pb.ListRunsRequest())).runs
        assert listed.waiting_reason == "NO_WORKER"
        async with servers(1, tmp_path, variables, postgres_url, "work", "--lanes", "gpu") as [worker]:
            run = await server.wait(run_id)
            assert (run.status, run.worker_id) == ("completed", worker.id)


async def test_embeddings_go_to_the_pool_of_gpu_while_there_is_one(
    variables: dict[str, str], postgres_url: str, tmp_path: Path
) -> None:
    async with servers(1, tmp_path, variables, postgres_url) as [server]:
        assert (await embedding(server)).lane == "cpu"
        async with servers(1, tmp_path, variables, postgres_url, "work", "--lanes", "gpu"):

            async def goes_to_gpu() -> bool:
                return bool((await embedding(server)).lane == "gpu")

            await until(goes_to_gpu)
            assert (
                await server.runs.CreateRun(pb.CreateRunRequest(work=Work(completion=REQUEST)))
            ).lane == "cpu"


async def test_embeddings_without_a_pool_are_refused_where_that_is_configured(
    variables: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    strict = variables | {"GENAI_LANE_FALLBACK": "refuse"}
    async with servers(1, tmp_path, strict, database_url) as [server]:
        problem = await failure(server.runs.CreateRun(pb.CreateRunRequest(work=EMBEDDING)))
        assert (problem.code, problem.reason) == (grpc.StatusCode.UNAVAILABLE, "LANE_NOT_SERVED")
        options = run_pb2.RunOptions(lane="cpu")
        run = await server.runs.CreateRun(pb.CreateRunRequest(work=EMBEDDING, options=options))
        assert (await server.wait(run.run_id)).status == "completed"


async def test_worker_takes_no_calls_but_those_about_its_health(
    variables: dict[str, str], postgres_url: str, tmp_path: Path
) -> None:
    async with servers(1, tmp_path, variables, postgres_url, "work") as [worker]:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await worker.get("any")
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_worker_refuses_sqlite_and_says_what_it_needs(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/spine.db"
    done = finished(sys.executable, "-m", "genai_spine", "work", "--lanes", "gpu", GENAI_DATABASE_URL=url)
    assert done.returncode == 1
    assert "needs PostgreSQL" in done.stderr


def test_lane_with_another_name_is_refused(tmp_path: Path) -> None:
    done = finished(sys.executable, "-m", "genai_spine", "work", "--lanes", "GPU 1", cwd=tmp_path)
    assert done.returncode == 1
    assert "is no lane" in done.stderr
