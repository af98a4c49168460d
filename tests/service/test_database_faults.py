"""A database that another one holds, over a real channel: 503 for whoever needs it, and no traceback."""

import sqlite3
from collections.abc import AsyncIterator
from types import SimpleNamespace

import grpc
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from genai_spine.store import database as databases
from genai_spine.v1 import health_service_pb2, prompt_service_pb2, session_service_pb2
from genai_spine.v1.health_service_pb2_grpc import HealthServiceStub
from genai_spine.v1.prompt_service_pb2_grpc import PromptServiceStub
from genai_spine.v1.session_service_pb2_grpc import SessionServiceStub
from tests.service.running import Running, Upstreams, failure, running
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def locked(
    upstreams: Upstreams, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Running, sqlite3.Connection]]:
    """A service whose database another process can lock."""
    monkeypatch.setattr(databases, "LOCK_TIMEOUT_MS", 20)
    async with running(upstreams, sqlite_url) as service:
        other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None, timeout=0)
        yield service, other
        other.close()


def begun(other: sqlite3.Connection) -> bool:
    """Whether the database is locked now: the start of a server writes for a while."""
    try:
        other.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError:
        return False
    return True


async def test_writes_are_refused_with_503_while_the_database_is_locked(
    locked: tuple[Running, sqlite3.Connection],
) -> None:
    service, other = locked
    create = session_service_pb2.CreateSessionRequest(model="openai:gpt-4o")
    named = prompt_service_pb2.Prompt(name="Locked", slug="locked", user_prompt_template="Hello")
    prompt = prompt_service_pb2.CreatePromptRequest(prompt=named)
    await until(lambda: begun(other))
    with capture_logs() as lines:
        for refused in (
            SessionServiceStub(service.channel).CreateSession(create),
            PromptServiceStub(service.channel).CreatePrompt(prompt),
        ):
            found = await failure(refused)
            assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE")
    assert not [line for line in lines if line["event"] == "internal_error"]
    other.execute("ROLLBACK")
    await SessionServiceStub(service.channel).CreateSession(create)
    await PromptServiceStub(service.channel).CreatePrompt(prompt)


async def test_readiness_is_degraded_while_the_disk_is_full(
    locked: tuple[Running, sqlite3.Connection], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = locked
    health = HealthServiceStub(service.channel)
    assert (await health.GetReadiness(health_service_pb2.GetReadinessRequest())).database == "healthy"
    monkeypatch.setattr(databases.shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    ready = await health.GetReadiness(health_service_pb2.GetReadinessRequest())
    assert (ready.status, ready.database) == ("degraded", "error: OSError")
