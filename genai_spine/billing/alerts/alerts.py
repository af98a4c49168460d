"""Alerts of budgets: each threshold is told once, in the log and to a webhook; no call waits for it.

The table is the outbox: whichever server has a webhook tells what is due, and what it could not tell is tried
again for hours, also by others. A webhook is told twice, with the same id, where a server dies in between.
"""

import asyncio
import random
from contextlib import suppress
from uuid import uuid4

import structlog

from genai_spine.billing.alerts.messages import Passed, event_of
from genai_spine.billing.alerts.webhook import Webhook, WebhookFailed
from genai_spine.errors import ServiceUnavailable
from genai_spine.store.booking.entries import Level
from genai_spine.store.budgets.alerts import Alert, AlertRows
from genai_spine.v1.budget_pb2 import Budget

LEASE_S = 60.0  # for which an attempt is its process's own; longer than one takes
POLL_S = 10.0  # between looks for what is due
WAITS_S = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800)  # after each failed attempt: 16 hours
MAX_ALERTED = 100_000  # thresholds that are kept in memory

log = structlog.get_logger()


class BudgetAlerts:
    """Alerts given and delivered; start() for the delivery, stop() at the end."""

    def __init__(self, rows: AlertRows, webhook: Webhook | None = None) -> None:
        self.webhook = webhook  # None: alerts go to the log alone
        self.rows = rows
        self._alerted: set[tuple[int, int, int]] = set()  # counter, percentage and limit
        self._giving: set[asyncio.Task[None]] = set()
        self._due = asyncio.Event()
        self._delivery: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to tell the webhook what is due."""
        self._delivery = asyncio.create_task(self._deliver_all())

    async def stop(self) -> None:
        """Ends; alerts that are being written are waited for."""
        await asyncio.gather(*self._giving, return_exceptions=True)
        if self._delivery is not None:
            self._delivery.cancel()
            await asyncio.wait({self._delivery})

    def watch(self, counter: int, budget: Budget, key: str, level: Level) -> None:
        """Gives an alert where what is spent and reserved has passed a threshold of the budget."""
        over = level.used - level.limit
        if over > 0:
            self.give(counter, budget, key, level, Passed(100, "warned", over))
        elif level.used * 100 >= level.limit * budget.warn_percent > 0:
            self.give(counter, budget, key, level, Passed(budget.warn_percent, "warned"))

    def give(self, counter: int, budget: Budget, key: str, level: Level, passed: Passed) -> None:
        """Gives an alert, once for each threshold of a counter."""
        threshold = (counter, passed.percent, level.limit)
        if threshold in self._alerted:
            return
        if len(self._alerted) >= MAX_ALERTED:
            self._alerted.clear()  # the table knows them
        self._alerted.add(threshold)
        event = event_of(budget, key, level, passed)
        task = asyncio.create_task(self._write(Alert(f"evt_{uuid4().hex}", *threshold, level.used, event)))
        self._giving.add(task)
        task.add_done_callback(self._giving.discard)

    async def _write(self, alert: Alert) -> None:
        try:
            is_first = await self.rows.add(alert, is_due=self.webhook is not None)
        except ServiceUnavailable:
            self._alerted.discard((alert.counter_id, alert.percent, alert.limit_ticks))
            return
        if is_first:
            log.warning(alert.event["type"].replace(".", "_"), alert_id=alert.id, **alert.event["data"])
            self._due.set()

    async def _deliver_all(self) -> None:
        while True:
            try:
                while self.webhook is not None and (alerts := await self.rows.claim(LEASE_S)):
                    await asyncio.gather(*(self._deliver(alert, self.webhook) for alert in alerts))
            except Exception as error:
                log.warning("budget_alerts_not_delivered", cause=f"{type(error).__name__}: {error}"[:500])
            with suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), POLL_S)
            self._due.clear()

    async def _deliver(self, alert: Alert, webhook: Webhook) -> None:
        try:
            await webhook.tell(alert)
        except WebhookFailed as error:
            wait_s = wait_after(alert.attempts)
            await self.rows.failed(alert, wait_s)
            event = "budget_webhook_failed" if wait_s is None else "budget_webhook_retried"
            log.warning(event, alert_id=alert.id, attempts=alert.attempts, in_s=wait_s, cause=str(error))
        else:
            await self.rows.delivered(alert)


def wait_after(attempts: int) -> float | None:
    """Seconds until the next attempt, after so many that failed; None: that was the last one."""
    if attempts > len(WAITS_S):
        return None
    return WAITS_S[attempts - 1] * random.uniform(0.9, 1.1)
