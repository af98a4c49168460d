"""Fixtures of the acceptance tests: simulated upstreams, the service, the TypeScript client, grpcurl.

`stack` is the service on SQLite; `any_stack` runs a test on SQLite and on PostgreSQL; `edge` is Envoy in
front of a scripted server. What the service logged during a test is shown when the test fails.
"""

import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.acceptance.edge import Edge, edge_with
from tests.acceptance.edge_server import EdgeServer
from tests.acceptance.node import TYPESCRIPT, node
from tests.acceptance.stack import ROOT, Stack, finished, tail, up
from tests.databases import PostgresServer
from tests.upstreams.process import UpstreamProcess

GRPCURL = "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3"
NO_GRPCURL = (
    "deselected: the tests of grpcurl, because neither grpcurl nor Go to install it is on this machine"
)
LOGS = pytest.StashKey[list[tuple[Path, int]]]()
DESELECTED = pytest.StashKey[bool]()

sys.path.insert(0, str(ROOT / "clients" / "python"))


@pytest.fixture(scope="session")
def openai_process() -> Iterator[UpstreamProcess]:
    with UpstreamProcess("openai") as process:
        yield process


@pytest.fixture(scope="session")
def ollama_process() -> Iterator[UpstreamProcess]:
    with UpstreamProcess("ollama") as process:
        yield process


@pytest.fixture
def openai_upstream(openai_process: UpstreamProcess) -> Iterator[UpstreamProcess]:
    """OpenAI's simulator with an empty bill and an empty script, which it has afterwards as well."""
    openai_process.reset()
    yield openai_process
    openai_process.reset()


@pytest.fixture
def ollama_upstream(ollama_process: UpstreamProcess) -> Iterator[UpstreamProcess]:
    ollama_process.reset()
    yield ollama_process
    ollama_process.reset()


@pytest.fixture(scope="session")
def settings(openai_process: UpstreamProcess, ollama_process: UpstreamProcess) -> dict[str, str]:
    return {
        "GENAI_OPENAI_BASE_URL": openai_process.base_url,
        "GENAI_OPENAI_API_KEY": "sk-of-the-service",
        "GENAI_OLLAMA_URL": ollama_process.url,
        "GENAI_MODEL_ALIASES": "org/model=openai:gpt-4o",
        "GENAI_PROVIDER_RETRIES": "0",  # so that a failure reaches the client and its own retries
        "GENAI_CIRCUIT_FAILURES": "0",  # they fail on purpose
        "GENAI_CACHE_ENABLED": "true",  # for requests that ask for it
        "GENAI_DRAIN_TIMEOUT": "2",
    }


@pytest.fixture(scope="session")
def stack(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    yield from up(folder, settings, f"sqlite:///{folder}/spine.db")


@pytest.fixture(scope="session")
def postgres_stack(
    settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer
) -> Iterator[Stack]:
    name = postgres_server.create()
    yield from up(tmp_path_factory.mktemp("stack"), settings, postgres_server.url(name))


@pytest.fixture(params=["sqlite", "postgresql"])
def any_stack(request: pytest.FixtureRequest) -> Stack:
    found: Stack = request.getfixturevalue("stack" if request.param == "sqlite" else "postgres_stack")
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running_edge(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    """Envoy in front of a scripted server, for the tests of one module, which run on the module's loop."""
    async with EdgeServer() as server, edge_with(tmp_path_factory.mktemp("edge"), cpu=[server]) as running:
        yield running
        await running.check_lua()


@pytest.fixture
def edge(running_edge: Edge) -> Edge:
    """The module's Envoy, whose server has forgotten the calls of the test before."""
    running_edge.server.reset()
    return running_edge


@pytest.fixture(scope="session")
def typescript_client() -> Path:
    """The folder of the TypeScript client, built by its own build."""
    compiler = TYPESCRIPT / "node_modules" / "typescript" / "bin" / "tsc"
    assert compiler.exists(), "the client's packages are not installed; run `make install`"
    built = node(compiler, "-p", ".")
    assert built.returncode == 0, built.stdout
    return TYPESCRIPT


@pytest.fixture(scope="session")
def grpcurl() -> str:
    """The path of grpcurl, installed with Go when it is not there."""
    if found := _grpcurl():
        return found
    installed = finished("go", "install", GRPCURL)
    assert installed.returncode == 0, f"go install {GRPCURL}\n{installed.stderr}"
    path = _grpcurl()
    assert path, f"`go install {GRPCURL}` succeeded, but there is no grpcurl in Go's bin folder"
    return path


def _grpcurl() -> str | None:
    if shutil.which("go") is None:
        return shutil.which("grpcurl")
    own, workspace = finished("go", "env", "GOBIN", "GOPATH").stdout.splitlines()
    return shutil.which("grpcurl") or shutil.which("grpcurl", path=own or f"{workspace}/bin")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if shutil.which("go") or shutil.which("grpcurl"):
        return
    left_out = [item for item in items if "grpcurl" in getattr(item, "fixturenames", ())]
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=left_out)
    config.stash[DESELECTED] = bool(left_out)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.stash.get(DESELECTED, False):
        terminalreporter.write_line(NO_GRPCURL, yellow=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    yield
    stacks = [value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Stack)]
    item.stash[LOGS] = [(stack.log, stack.log.stat().st_size) for stack in stacks]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report: Any = yield
    if report.failed:
        for log, start in item.stash.get(LOGS, ()):
            report.sections.append(("log of the service during this test", tail(log, start)))
    return report
