"""Webhooks of runs through the channel, on both databases: signed, tried again, given up, not led astray."""

import base64
import hmac
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import grpc
import pytest
import pytest_asyncio
import sqlalchemy as sa
from google.protobuf.json_format import MessageToDict, ParseDict

from genai_spine.access.secrets import derived
from genai_spine.store.runs.events import PendingEvent, append
from genai_spine.store.runs.news import changing
from genai_spine.store.webhooks.deliveries import DeliveryRows
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1 import run_service_pb2_grpc
from genai_spine.v1.run_pb2 import Run
from genai_spine.webhooks import delivery
from tests.databases import BOTH
from tests.service.keyed import SECRET_KEY
from tests.service.running import Running, Upstreams, failure, running
from tests.unit.providers.http.raw_server import RawServer, Then, response
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

OK, BROKEN = response(b""), response(b"", status="500 Broken")


class Told:
    """Server whose runs tell webhooks on this machine."""

    def __init__(self, server: Running) -> None:
        self.server = server
        self.runs: Any = run_service_pb2_grpc.RunServiceStub(server.channel)

    async def submit(self, url: str, *event_types: str, **fields: Any) -> Run:
        """Run of a summary that tells an address of its events."""
        request = pb.CreateRunRequest(name="summarize")
        ParseDict({"content": "Rain fell. Wind blew.", "model": "extractive"}, request.params)
        ParseDict({"webhook": {"url": url, "event_types": event_types}, **fields}, request.options)
        made: Run = await self.runs.CreateRun(request)
        return made

    async def events(self, run: Run) -> dict[str, dict[str, Any]]:
        """Data of the last event of each type."""
        found = await self.runs.ListRunEvents(pb.ListRunEventsRequest(run_id=run.run_id))
        return {event.event_type: MessageToDict(event.data) for event in found.events}

    async def status(self, run: Run) -> list[tuple[str, int]]:
        """Status and attempts of the messages about a run, in the order of its events."""
        query = "SELECT status, attempt FROM run_webhooks WHERE run_id = :run ORDER BY sequence"
        async with self.server.database.connect() as connection:
            rows = await connection.execute(sa.text(query), {"run": run.run_id})
            return [(status, attempt) for status, attempt in rows]

    async def ended(self, run: Run, *expected: str) -> list[tuple[str, int]]:
        """Status and attempts, once the messages about a run stand so."""

        async def are() -> bool:
            return [status for status, _ in await self.status(run)] == [*expected]

        await until(are)
        return await self.status(run)


def parts(request: bytes) -> tuple[dict[str, str], dict[str, Any], bytes]:
    """Headers, JSON and bytes of a request."""
    head, _, body = request.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return headers, json.loads(body), body


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again soon."""
    monkeypatch.setattr(delivery, "WAITS_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(delivery, "POLL_S", 0.05)


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def told(request: pytest.FixtureRequest, all_upstreams: Upstreams) -> AsyncIterator[Told]:
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    url = request.getfixturevalue(f"module_{kind}_url")
    settings: dict[str, Any] = {"run_webhook_private": True, "secret_key": SECRET_KEY}
    async with running(all_upstreams, url, **settings) as server:
        yield Told(server)


async def test_end_of_a_run_is_told_once_and_signed_for_its_tenant(told: Told):
    async with RawServer(OK) as receiver:
        run = await told.submit(receiver.url, metadata={"order": "7"}, correlation_id="c-1")
        assert await told.ended(run, "delivered") == [("delivered", 1)]
    [request] = receiver.requests
    headers, message, body = parts(request)
    secret = derived(bytes.fromhex(SECRET_KEY), "webhooks of default-tenant")
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = base64.b64encode(hmac.digest(secret, signed, sha256)).decode()
    assert headers["webhook-signature"] == f"v1,{digest}"
    assert headers["content-type"] == "application/json"
    assert message["type"] == "run.completed"
    data = message["data"]
    assert (data["run_id"], data["name"], data["status"]) == (run.run_id, "genai.summarize", "completed")
    assert (data["metadata"], data["correlation_id"]) == ({"order": "7"}, "c-1")
    sent = (await told.events(run))["webhook_sent"]
    assert sent == {"target": "127.0.0.1", "webhook_id": headers["webhook-id"], "attempts": 1.0}


async def test_chosen_events_are_told_and_no_others(told: Told):
    async with RawServer(OK) as receiver:
        run = await told.submit(receiver.url, "created", "started", "webhook_sent")
        await told.ended(run, "delivered", "delivered")
    types = sorted(parts(request)[1]["type"] for request in receiver.requests)
    assert types == ["run.created", "run.started"]


async def test_run_without_a_webhook_has_the_events_of_its_states_alone(told: Told):
    request = pb.CreateRunRequest(name="summarize")
    ParseDict({"content": "Rain fell.", "model": "extractive"}, request.params)
    request.wait.seconds = 20
    run = await told.runs.CreateRun(request)
    assert [*await told.events(run)] == ["created", "queued", "started", "completed"]
    assert await told.status(run) == []


async def test_receiver_that_fails_and_breaks_off_is_told_again_with_the_same_id(told: Told):
    async with RawServer(BROKEN, [Then.CLOSE], OK) as receiver:
        run = await told.submit(receiver.url)
        assert await told.ended(run, "delivered") == [("delivered", 3)]
        ids = {parts(request)[0]["webhook-id"] for request in receiver.requests}
    assert (len(ids), len(receiver.requests)) == (1, 3)


async def test_receiver_that_never_takes_it_is_given_up_and_the_run_says_so(told: Told):
    async with RawServer(BROKEN) as receiver:
        run = await told.submit(receiver.url)
        assert await told.ended(run, "given_up") == [("given_up", 4)]
    failed = (await told.events(run))["webhook_failed"]
    assert failed["problem"] == "options.webhook.url: answers with HTTP status 500"
    found = await told.runs.GetRun(pb.GetRunRequest(run_id=run.run_id))
    assert found.status == "completed"


async def test_receiver_that_hangs_holds_up_nobody_else(told: Told):
    async with RawServer([Then.STALL]) as hanging, RawServer(OK) as receiver:
        slow = await told.submit(hanging.url)
        await until(lambda: len(hanging.requests) == 1)
        quick = await told.submit(receiver.url)
        await told.ended(quick, "delivered")
        assert [status for status, _ in await told.status(slow)] == ["waiting"]


async def test_redirect_is_a_failure_and_is_not_followed(told: Told):
    async with RawServer(OK) as private:
        moved = response(b"", status="307 Moved", headers=f"location: {private.url}/inside\r\n")
        async with RawServer(moved) as receiver:
            run = await told.submit(receiver.url)
            await told.ended(run, "given_up")
        assert private.connections == 0
    assert (await told.events(run))["webhook_failed"]["problem"].endswith("HTTP status 307")


async def test_message_of_a_process_that_died_is_told_by_another_one(told: Told):
    async with RawServer(OK) as receiver:
        run = await told.submit(receiver.url, hold=True)
        rows = DeliveryRows(told.server.database)
        async with changing(told.server.database) as change:
            await append(change, run.run_id, PendingEvent("cancelled", {"reason": "a test"}))
            claimed = sa.text(
                "UPDATE run_webhooks SET attempt = 1, next_at = next_at WHERE run_id = :run"
            )  # by a process that ends here, whose time is over
            await change.execute(claimed, {"run": run.run_id})
        assert await told.ended(run, "delivered") == [("delivered", 2)]
        assert len(receiver.requests) == 1
    assert all(message.run_id != run.run_id for message in await rows.claim(60, 100))


async def test_failure_that_is_retried_is_told_only_where_that_was_asked_for(told: Told):
    async with RawServer(OK) as receiver:
        default = await told.submit(receiver.url, hold=True)
        asked = await told.submit(receiver.url, "failed", hold=True)
        for run in (default, asked):
            async with changing(told.server.database) as change:
                await append(change, run.run_id, PendingEvent("failed", {"error": "busy"}))
                await append(change, run.run_id, PendingEvent("retry_scheduled", {"delay": 1}))
        await told.ended(asked, "delivered")
        assert await told.status(default) == []


async def test_what_no_transaction_has_committed_is_told_to_nobody(told: Told):
    async with RawServer(OK) as receiver:
        run = await told.submit(receiver.url, "started", hold=True)

        async def fail() -> None:
            async with changing(told.server.database) as change:
                await append(change, run.run_id, PendingEvent("started"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert await told.status(run) == []


@pytest.mark.parametrize("url", ["ftp://example.com/x", "https://user:pw@example.com/", "https:///x"])
async def test_address_that_no_message_goes_to_is_refused_at_submission(told: Told, url: str):
    refused = await failure(told.submit(url))
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT


async def test_private_address_is_never_connected_to_where_that_is_not_allowed(
    all_upstreams: Upstreams, sqlite_url: str
):
    settings: dict[str, Any] = {"secret_key": SECRET_KEY}
    async with RawServer(OK) as receiver, running(all_upstreams, sqlite_url, **settings) as server:
        told = Told(server)
        assert (await failure(told.submit(receiver.url))).code == grpc.StatusCode.INVALID_ARGUMENT
        run = await told.submit(receiver.url.replace("http://127.0.0.1", "https://localhost"), "created")
        await told.ended(run, "given_up")
        assert receiver.connections == 0
        problem = (await told.events(run))["webhook_failed"]["problem"]
        assert problem.endswith("leads to an address that is not of the public internet")


async def test_without_a_root_secret_no_webhook_is_taken(all_upstreams: Upstreams, sqlite_url: str):
    async with running(all_upstreams, sqlite_url, run_webhook_private=True) as server:
        refused = await failure(Told(server).submit("http://127.0.0.1:9/"))
        assert refused.fields == ["options.webhook"]
        assert "GENAI_SECRET_KEY" in refused.message
