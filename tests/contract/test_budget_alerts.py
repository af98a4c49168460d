"""Alerts of budgets on SQLite and on a real PostgreSQL: each threshold once, and a webhook that is told."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import pytest
import sqlalchemy as sa

from genai_spine.billing.alerts.alerts import BudgetAlerts
from genai_spine.billing.alerts.messages import Passed
from genai_spine.billing.alerts.webhook import Webhook
from genai_spine.security.fetch import Fetcher, Limits
from genai_spine.store.booking.entries import Level
from genai_spine.store.budgets.alerts import Alert, AlertRows
from genai_spine.store.budgets.budgets import BudgetRows
from genai_spine.store.budgets.periods import EPOCH
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.tables import budget_alerts
from genai_spine.v1 import budget_pb2 as pb
from genai_spine.webhooks import delivery
from genai_spine.webhooks.posting import WebhookFailed
from tests.contract.test_budgets import budget
from tests.unit.providers.http.raw_server import RawServer, Then, response
from tests.waiting import until

SECRET = b"planted secret"
PRIVATE = Limits(total_s=1, schemes=("http",), ports=range(1, 65_536), is_public_only=False)
BUDGET = pb.Budget(
    id=3, tenant_id="acme", node="BUDGET_NODE_TENANT", period="BUDGET_PERIOD_DAILY", warn_percent=80
)
OK, BROKEN = response(b""), response(b"", status="500 Broken")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again soon."""
    monkeypatch.setattr(delivery, "WAITS_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(delivery, "POLL_S", 0.05)


@asynccontextmanager
async def telling(database: Database, url: str, **fields: Any) -> AsyncIterator[BudgetAlerts]:
    alerts = BudgetAlerts(AlertRows(database), Webhook(url, Fetcher(PRIVATE), **fields))
    alerts.start()
    try:
        yield alerts
    finally:
        await alerts.stop()


async def rows(database: Database, columns: str = "percent, state, attempts") -> list[tuple[Any, ...]]:
    query = f"SELECT {columns} FROM budget_alerts ORDER BY percent, limit_ticks"
    async with database.engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(sa.text(query))]


def all_are(database: Database, state: str, count: int) -> Callable[[], Awaitable[bool]]:
    async def found() -> bool:
        return [state] * count == [row[1] for row in await rows(database)]

    return found


def parts(request: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    return dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:]), body


async def test_webhook_is_told_once_and_signed(database: Database) -> None:
    async with RawServer(OK) as receiver, telling(database, receiver.url, secret=SECRET) as alerts:
        for used in (79, 80, 85, 90, 100, 101, 150):
            alerts.watch(1, BUDGET, "acme", Level(used, 100, True))
        await until(all_are(database, "DELIVERED", 2))
    assert len(receiver.requests) == 2
    events = {}
    for request in receiver.requests:
        headers, body = parts(request)
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = base64.b64encode(hmac.digest(SECRET, signed, sha256)).decode()
        assert headers["webhook-signature"] == f"v1,{digest}"
        assert headers["content-type"] == "application/json"
        events[json.loads(body)["type"]] = json.loads(body)["data"]
    assert events["budget.warning"]["current_spend_ticks"] == "80"
    assert events["budget.exceeded"]["exceeded_by_ticks"] == "1"


async def test_several_servers_give_and_tell_an_alert_once(database: Database, database_url: str) -> None:
    other = Database(database_url)
    async with RawServer(OK) as receiver:
        async with telling(database, receiver.url) as one, telling(other, receiver.url) as another:
            for counter in range(10):
                for alerts in (one, another):
                    alerts.watch(counter, BUDGET, "acme", Level(90, 100, True))
            await until(all_are(database, "DELIVERED", 10))
        ids = [parts(request)[0]["webhook-id"] for request in receiver.requests]
    assert len(ids) == len(set(ids)) == 10
    await other.close()
    assert {row[2] for row in await rows(database)} == {1}


async def test_failed_webhook_is_tried_again_with_the_same_id(database: Database) -> None:
    async with RawServer(BROKEN, [Then.CLOSE], OK) as receiver, telling(database, receiver.url) as alerts:
        alerts.watch(1, BUDGET, "acme", Level(90, 100, True))
        await until(all_are(database, "DELIVERED", 1))
        assert len({parts(request)[0]["webhook-id"] for request in receiver.requests}) == 1
    assert await rows(database) == [(80, "DELIVERED", 3)]


async def test_webhook_that_never_answers_well_is_given_up(database: Database) -> None:
    async with RawServer(BROKEN) as receiver, telling(database, receiver.url) as alerts:
        alerts.watch(1, BUDGET, "acme", Level(90, 100, True))
        await until(all_are(database, "FAILED", 1))
    assert await rows(database) == [(80, "FAILED", 4)]


async def test_alert_of_a_server_that_died_is_told_by_another_one(database: Database) -> None:
    alert = Alert("evt_1", 1, 80, 100, 90, {"type": "budget.warning"})
    assert await AlertRows(database).add(alert, is_due=True)
    [claimed] = await AlertRows(database).claim(lease_s=0.3)  # by a server that ends here
    assert (claimed.id, claimed.attempts) == ("evt_1", 1)
    assert await AlertRows(database).claim(lease_s=60) == []  # it is its own for so long
    async with RawServer(OK) as receiver, telling(database, receiver.url):
        await until(all_are(database, "DELIVERED", 1))
    await AlertRows(database).failed(claimed, 1)  # too late to say so
    assert await rows(database) == [(80, "DELIVERED", 2)]


async def test_claims_at_once_share_no_alert(database: Database, database_url: str) -> None:
    table = AlertRows(database)
    servers = [Database(database_url) for _ in range(6)]
    for number in range(30):
        await table.add(Alert(f"evt_{number}", number, 80, 100, 90, {}), is_due=True)
    claimed = await asyncio.gather(*(AlertRows(server).claim(60) for server in servers))
    for server in servers:
        await server.close()
    ids = [alert.id for alerts in claimed for alert in alerts]
    assert len(ids) == len(set(ids))
    while alerts := await table.claim(60):
        ids += [alert.id for alert in alerts]
    assert sorted(ids) == sorted(f"evt_{number}" for number in range(30))


async def test_another_limit_is_another_threshold(database: Database) -> None:
    alerts = BudgetAlerts(AlertRows(database))
    for limit in (100, 200, 100):
        alerts.give(1, BUDGET, "acme", Level(limit, limit, True), Passed(100, "blocked", 1))
    await alerts.stop()
    assert await rows(database, "limit_ticks, state, used_ticks") == [(100, None, 100), (200, None, 200)]


async def test_private_address_is_told_only_where_that_is_said(database: Database) -> None:
    alert = Alert("evt_1", 1, 80, 100, 90, {"type": "budget.warning"})
    public = Limits(schemes=("http",), ports=range(1, 65_536))
    async with RawServer(OK) as receiver:
        with pytest.raises(WebhookFailed, match="GENAI_BUDGET_WEBHOOK_URL: leads to an address that is not"):
            await Webhook(receiver.url, Fetcher(public)).tell(alert)
        assert receiver.connections == 0
        await Webhook(receiver.url, Fetcher(PRIVATE)).tell(alert)
        assert receiver.connections == 1


async def test_alerts_are_kept_for_their_days_and_those_of_no_end_as_long_as_their_counter(
    database: Database,
) -> None:
    budgets, table = BudgetRows(database, counters_days=0), AlertRows(database, days=90)
    total = await budgets.upsert(budget(period=pb.BUDGET_PERIOD_TOTAL))
    key = (total.id, "default-tenant", EPOCH)
    [endless] = (await budgets.open_counters([key])).values()
    for number, (counter, state, days) in enumerate(
        [
            (endless, "DELIVERED", 4000),
            (101, "PENDING", 91),
            (102, "DELIVERED", 89),
            (103, "DELIVERED", 91),
            (104, "FAILED", 91),
            (105, None, 91),
        ]
    ):
        await table.add(Alert(f"evt_{number}", counter, 80, 100, 90, {}), is_due=True)
        change = sa.update(budget_alerts).where(budget_alerts.c.id == f"evt_{number}")
        async with database.engine.begin() as connection:
            await connection.execute(change.values(state=state, at=Now(-days * 86_400.0)))
    assert await table.sweep() == 3
    assert {row[0] for row in await rows(database, "id")} == {"evt_0", "evt_1", "evt_2"}
    await budgets.delete(total.id)
    assert (await budgets.sweep(), await table.sweep()) == (1, 1)
    assert {row[0] for row in await rows(database, "id")} == {"evt_1", "evt_2"}
