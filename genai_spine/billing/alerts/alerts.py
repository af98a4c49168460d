"""Alerts of budgets: each threshold is told once, in the log and to a webhook; no call waits for it.

The table is the outbox: whichever server has a webhook tells what is due, and what it could not tell is tried
again for hours, also by others. A webhook is told twice, with the same id, where a server dies in between.
"""

import asyncio
from uuid import uuid4

import structlog

from genai_spine.billing.alerts.messages import Passed, event_of
from genai_spine.billing.alerts.webhook import Webhook
from genai_spine.errors import ServiceUnavailable
from genai_spine.store.booking.entries import Level
from genai_spine.store.budgets.alerts import Alert, AlertRows
from genai_spine.v1.budget_pb2 import Budget
from genai_spine.webhooks.delivery import Delivery
from genai_spine.webhooks.posting import WebhookFailed

MAX_ALERTED = 100_000  # thresholds that are kept in memory

log = structlog.get_logger()


class BudgetAlerts:
    """Alerts given and delivered; start() for the delivery, stop() at the end."""

    def __init__(self, rows: AlertRows, webhook: Webhook | None = None) -> None:
        self.webhook = webhook  # None: alerts go to the log alone
        self.rows = rows
        self._alerted: set[tuple[int, int, int]] = set()  # counter, percentage and limit
        self._giving: set[asyncio.Task[None]] = set()
        self._delivery = Delivery(rows, self._tell, "budget_webhook", lambda: self.webhook is not None)

    def start(self) -> None:
        """Begins to tell the webhook what is due."""
        self._delivery.start()

    async def stop(self) -> None:
        """Ends; alerts that are being written are waited for."""
        await asyncio.gather(*self._giving, return_exceptions=True)
        await self._delivery.stop()

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
            self._delivery.due.set()

    async def _tell(self, alert: Alert) -> None:
        """Tells the webhook that there is now. Errors: WebhookFailed."""
        if self.webhook is None:
            raise WebhookFailed("there is no webhook any more")
        await self.webhook.tell(alert)
