"""One server for each file of tests, on uvloop as in production, with its simulators and a database."""

import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import uvloop

from tests.service.running import Running, Upstreams, running
from tests.upstreams.ollama import OllamaUpstream
from tests.upstreams.openai import OpenAIUpstream

HERE = Path(__file__).parent


def pytest_asyncio_loop_factories() -> Mapping[str, Any]:
    return {"uvloop": uvloop.new_event_loop}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder share one event loop, because they share servers."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def all_upstreams() -> AsyncIterator[Upstreams]:
    async with OpenAIUpstream() as openai, OllamaUpstream() as ollama:
        yield Upstreams(openai, ollama)


@pytest.fixture
def upstreams(all_upstreams: Upstreams) -> Upstreams:
    """With nothing scripted and an empty bill."""
    all_upstreams.reset()
    return all_upstreams


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running_service(
    all_upstreams: Upstreams, sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Running]:
    path = tmp_path_factory.mktemp("service") / "spine.db"
    shutil.copy(sqlite_template, path)
    async with running(all_upstreams, f"sqlite:///{path}") as found:
        yield found


@pytest.fixture
def service(running_service: Running, upstreams: Upstreams) -> Running:
    """A server that does not try again; the database is SQLite."""
    return running_service
