"""One server for each file of tests, on uvloop as in production, with its simulators and a database."""

import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import uvloop

from genai_spine.providers.base import Endpoint
from genai_spine.store.budgets.budgets import BudgetRows
from genai_spine.v1 import budget_pb2
from tests.contract.test_budgets import budget
from tests.databases import BOTH, PostgresServer
from tests.service.running import TIMEOUTS, Running, Upstreams, running
from tests.unit.providers.http.raw_server import RawServer
from tests.upstreams import aws_wire
from tests.upstreams.anthropic import AnthropicUpstream
from tests.upstreams.azure import AzureUpstream
from tests.upstreams.bedrock import BedrockUpstream
from tests.upstreams.ollama import OllamaUpstream
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.server import Upstream
from tests.upstreams.vendor_rules import VENDORS


def pytest_asyncio_loop_factories() -> Mapping[str, Any]:
    """For tests of this folder; they say loop_scope="session" themselves, because they share servers."""
    return {"uvloop": uvloop.new_event_loop}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def all_upstreams() -> AsyncIterator[Upstreams]:
    found = Upstreams(
        openai=OpenAIUpstream(),
        ollama=OllamaUpstream(),
        anthropic=AnthropicUpstream(),
        azure=AzureUpstream(),
        bedrock=BedrockUpstream(),
        openrouter=OpenAIUpstream(strict=False),
    )
    async with AsyncExitStack() as stack:
        for upstream in found.each():
            await stack.enter_async_context(upstream)
        yield found


@pytest.fixture(scope="module", autouse=True)
def fresh_upstreams(all_upstreams: Upstreams) -> None:
    """No file of tests begins with what another one scripted."""
    all_upstreams.reset()


@pytest.fixture
def upstreams(all_upstreams: Upstreams) -> Upstreams:
    """With nothing scripted and an empty bill."""
    all_upstreams.reset()
    return all_upstreams


@pytest.fixture(scope="module")
def module_sqlite_url(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("service") / "spine.db"
    shutil.copy(sqlite_template, path)
    shutil.copy(f"{sqlite_template}.engine", f"{path}.engine")
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def module_postgres_url(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    name = postgres_server.create(postgres_template)
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def on_sqlite(all_upstreams: Upstreams, module_sqlite_url: str) -> AsyncIterator[Running]:
    async with running(all_upstreams, module_sqlite_url) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def on_each(request: pytest.FixtureRequest, all_upstreams: Upstreams) -> AsyncIterator[Running]:
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    async with running(all_upstreams, request.getfixturevalue(f"module_{kind}_url")) as found:
        yield found


@pytest.fixture
def service(on_sqlite: Running, upstreams: Upstreams) -> Running:
    """A server that makes one attempt at each call; its database is SQLite."""
    return on_sqlite


@pytest.fixture
def booked(on_each: Running, upstreams: Upstreams) -> Running:
    """The same, once with SQLite and once with PostgreSQL."""
    return on_each


@pytest_asyncio.fixture(loop_scope="session")
async def limited(booked: Running) -> AsyncIterator[Any]:
    """Sets the tenant's daily budget, which is gone after the test."""
    rows, made = BudgetRows(booked.database), []

    async def limit(ticks: int, **fields: Any) -> budget_pb2.Budget:
        made.append(await rows.upsert(budget(limit_ticks=ticks, **fields)))
        await booked.server.foundation.budgets.refresh()
        return made[-1]

    yield limit
    for one in made:
        await rows.delete(one.id)
    await booked.server.foundation.budgets.refresh()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def all_vendors() -> AsyncIterator[dict[str, Upstream]]:
    found: dict[str, Upstream] = {name: OpenAIUpstream(vendor=name) for name in VENDORS}
    found |= {"openai": OpenAIUpstream(), "openrouter": OpenAIUpstream(strict=False)}
    found |= {"anthropic": AnthropicUpstream(), "bedrock": BedrockUpstream()}
    async with AsyncExitStack() as stack:
        for upstream in found.values():
            await stack.enter_async_context(upstream)
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def vendors_service(
    all_upstreams: Upstreams, module_sqlite_url: str, all_vendors: dict[str, Upstream]
) -> AsyncIterator[Running]:
    endpoints = {}
    for name, upstream in all_vendors.items():
        url = upstream.base_url if isinstance(upstream, OpenAIUpstream) else upstream.url
        key = aws_wire.BEARER if name == "bedrock" else "sk-test"
        further = {"control_url": url} if name == "bedrock" else {}
        endpoints[name] = Endpoint(name, url, key, timeouts=TIMEOUTS, further=further)
    async with running(all_upstreams, module_sqlite_url, endpoints=endpoints) as found:
        yield found


@pytest.fixture
def vendors(all_vendors: dict[str, Upstream]) -> dict[str, Upstream]:
    """Strict simulators by the names of their providers, with nothing scripted and an empty bill."""
    for upstream in all_vendors.values():
        upstream.reset()
    return all_vendors


@pytest.fixture
def serving(vendors_service: Running, vendors: dict[str, Upstream]) -> Running:
    """A server with every vendor whose rules of a conversation are simulated."""
    return vendors_service


@pytest_asyncio.fixture(loop_scope="session")
async def raw() -> AsyncIterator[RawServer]:
    """Upstream of raw bytes, which its tests set."""
    async with RawServer(b"") as server:
        yield server
