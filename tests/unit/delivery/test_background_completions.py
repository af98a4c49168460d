"""Completions that are kept: what a caller who went away finds when it comes back."""

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from genai_spine import errors
from genai_spine.call import DEFAULT_TENANT
from genai_spine.delivery import background_completions
from genai_spine.delivery.background_completions import BackgroundCompletions
from genai_spine.errors import CompletionNotFound, InternalError, ProviderError, ServiceUnavailable
from genai_spine.store.completions import Completions
from genai_spine.store.database import Database
from genai_spine.store.leases import Leases
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2


@pytest.fixture
async def completions(database: Database) -> BackgroundCompletions:
    await Leases(database).take("server-1", "cpu", 60)
    return BackgroundCompletions(Completions(database), lambda: "server-1", ttl_s=60)


class Failing(Completions):
    """Does not take an outcome the first times."""

    def __init__(self, database: Database, failures: int) -> None:
        super().__init__(database)
        self.failures = failures

    async def finish(self, *outcome: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("gone")
        await super().finish(*outcome)


def answer() -> pb.Completion:
    message = message_pb2.Message(
        role=message_pb2.ROLE_ASSISTANT, content=[message_pb2.ContentPart(text="Hello")]
    )
    return pb.Completion(id="comp_of_the_attempt", execution_id="row", choices=[pb.Choice(message=message)])


async def test_answer_is_found_under_the_id_that_it_was_told_with(completions: BackgroundCompletions) -> None:
    call = await completions.open("request-1", DEFAULT_TENANT)
    given = answer()
    await call.close(given)
    assert given.id == "comp_of_the_attempt"
    given.id = call.id
    assert await completions.get(call.id, DEFAULT_TENANT) == given
    assert await completions.get("request-1", DEFAULT_TENANT) == given


async def test_two_calls_have_two_ids(completions: BackgroundCompletions) -> None:
    assert (await completions.open("request-1", DEFAULT_TENANT)).id != (
        await completions.open("request-1", DEFAULT_TENANT)
    ).id


async def test_running_call_is_not_found_and_said_to_be_running(completions: BackgroundCompletions) -> None:
    call = await completions.open("request-1", DEFAULT_TENANT)
    for id in (call.id, "request-1"):
        with pytest.raises(CompletionNotFound) as raised:
            await completions.get(id, DEFAULT_TENANT)
        assert raised.value.metadata == {"id": id, "hint": "still running"}


async def test_unknown_id_has_no_hint(completions: BackgroundCompletions) -> None:
    with pytest.raises(CompletionNotFound) as raised:
        await completions.get("nobody", DEFAULT_TENANT)
    assert raised.value.metadata == {"id": "nobody"}


async def test_call_of_a_dead_server_is_said_to_be_lost(database: Database) -> None:
    completions = BackgroundCompletions(Completions(database), lambda: "server-dead", ttl_s=60)
    call = await completions.open("request-1", DEFAULT_TENANT)
    with pytest.raises(CompletionNotFound) as raised:
        await completions.get(call.id, DEFAULT_TENANT)
    assert "ended during the call" in raised.value.metadata["hint"]


async def test_error_of_the_call_is_raised_again(completions: BackgroundCompletions) -> None:
    error = ProviderError(provider="openai", provider_message="broken", provider_code="500")
    call = await completions.open("request-1", DEFAULT_TENANT)
    await call.close(error)
    with pytest.raises(ProviderError) as raised:
        await completions.get(call.id, DEFAULT_TENANT)
    assert (str(raised.value), raised.value.metadata) == (str(error), error.metadata)


async def test_cause_of_an_internal_error_is_not_kept(completions: BackgroundCompletions) -> None:
    call = await completions.open("request-1", DEFAULT_TENANT)
    await call.close(ValueError("secret"))
    with pytest.raises(InternalError) as raised:
        await completions.get(call.id, DEFAULT_TENANT)
    assert "secret" not in str(raised.value)


async def test_outcome_is_written_again_when_the_database_does_not_take_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_completions, "PAUSES_S", (0.0, 0.0))
    await Leases(database).take("server-1", "cpu", 60)
    store = Failing(database, failures=2)
    completions = BackgroundCompletions(store, lambda: "server-1", ttl_s=60)
    call = await completions.open("request-1", DEFAULT_TENANT)
    with capture_logs() as logs:
        await call.close(answer())
    assert [line["event"] for line in logs] == ["completion_not_kept"] * 2
    assert (await completions.get(call.id, DEFAULT_TENANT)).id == call.id
    store.failures = 3
    with capture_logs() as logs:
        await call.close(answer())
    assert logs[-1]["retry_s"] is None


async def test_without_a_database_nothing_is_promised(database: Database) -> None:
    completions = BackgroundCompletions(Completions(database), lambda: "server-1", ttl_s=60)
    async with database.engine.begin() as connection:
        await connection.execute(sa.text("DROP TABLE completions"))
    with pytest.raises(ServiceUnavailable):
        await completions.open("request-1", DEFAULT_TENANT)
    with pytest.raises(ServiceUnavailable):
        await completions.get("request-1", DEFAULT_TENANT)


async def test_database_that_hangs_is_not_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging(Completions):
        async def find(self, id: str, tenant: str) -> None:
            await asyncio.Event().wait()

    monkeypatch.setattr(background_completions, "DB_TIMEOUT_S", 0.02)
    with pytest.raises(ServiceUnavailable):
        await BackgroundCompletions(Hanging(database), lambda: "server-1", ttl_s=60).get("x", DEFAULT_TENANT)


def test_every_kind_of_error_can_be_revived() -> None:
    for kind in errors._kinds(errors.SpineError):
        reason = kind.reason_of()
        back = errors.revived(reason, "field: broken", {"field": "field"})
        assert back.reason_name == reason
        assert str(back) == "field: broken"
        assert back.violations
        assert back.metadata == {"field": "field"}


def test_error_of_a_newer_version_is_an_internal_one() -> None:
    assert type(errors.revived("NEVER_HEARD_OF", "text", {})) is InternalError
