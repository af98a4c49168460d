"""Alerts of budgets: each threshold once, and the outbox of those that a webhook has still to be told.

One of a counter of TOTAL stays as long as that: without it the threshold would be announced again.
"""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from genai_spine.store import sweeper
from genai_spine.store.connections.expressions import Now
from genai_spine.store.database import Database
from genai_spine.store.tables import budget_alerts, budget_counters

BATCH_SIZE = 20

_alert = budget_alerts.c


@dataclass(frozen=True, slots=True)
class Alert:
    """Threshold of a counter that was passed, and the event that says so."""

    id: str
    counter_id: int
    percent: int  # of the limit; 100: the limit was passed
    limit_ticks: int
    used_ticks: int
    event: dict[str, Any]
    attempts: int = 0  # begun, this one included


class AlertRows:
    """Table budget_alerts."""

    def __init__(self, database: Database, *, days: int = 90) -> None:
        """days: that an alert is kept which nobody has still to be told."""
        self._database = database
        self._kept_s = days * 86_400.0

    async def add(self, alert: Alert, *, is_due: bool) -> bool:
        """Whether it is the first one about this threshold. is_due: a webhook is to be told."""
        row = {
            **{name: getattr(alert, name) for name in ("id", "counter_id", "percent", "limit_ticks")},
            "used_ticks": alert.used_ticks,
            "event": alert.event,
            "at": Now(),
        }
        if is_due:
            row |= {"state": "PENDING", "next_attempt_at": Now()}
        async with self._database.begin_in_turn() as connection:
            return (await connection.execute(self._database.insert_once(budget_alerts, row))).rowcount == 1

    async def claim(self, lease_s: float, limit: int = BATCH_SIZE) -> list[Alert]:
        """Alerts whose webhook is to be told now, by this process alone for lease_s, the oldest first."""
        due = (
            sa.select(_alert.id)
            .where(_alert.state == "PENDING", _alert.next_attempt_at <= Now())
            .order_by(_alert.next_attempt_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        claim = (
            sa.update(budget_alerts)
            .where(_alert.id.in_(due), _alert.state == "PENDING")
            .values(attempts=_alert.attempts + 1, next_attempt_at=Now(lease_s))
        )
        async with self._database.begin_in_turn() as connection:
            rows = (await connection.execute(claim.returning(budget_alerts))).mappings().all()
        names = Alert.__dataclass_fields__
        return [
            Alert(**{name: row[name] for name in names}) for row in sorted(rows, key=lambda row: row["at"])
        ]

    async def delivered(self, alert: Alert) -> None:
        """The webhook was told."""
        await self._end(alert, state="DELIVERED", next_attempt_at=None)

    async def failed(self, alert: Alert, wait_s: float | None, problem: str = "") -> None:
        """The webhook was not told. wait_s: until it is tried again; None: it is given up.

        problem: stands in the log alone.
        """
        if wait_s is None:
            await self._end(alert, state="FAILED", next_attempt_at=None)
        else:
            await self._end(alert, next_attempt_at=Now(wait_s))

    async def sweep(self) -> int:
        """Number of alerts deleted because they are kept no longer; at most sweeper.BATCH_SIZE."""
        key = sa.tuple_(*budget_alerts.primary_key)
        goes_on = sa.exists().where(
            budget_counters.c.id == _alert.counter_id, budget_counters.c.expires_at.is_(None)
        )
        is_pending = sa.func.coalesce(_alert.state, "") == "PENDING"
        old = (
            sa.select(*budget_alerts.primary_key)
            .where(_alert.at <= Now(-self._kept_s), ~is_pending, ~goes_on)
            .order_by(_alert.at)
            .limit(sweeper.BATCH_SIZE)
            .with_for_update(skip_locked=True, of=budget_alerts)
        )
        async with self._database.begin() as connection:
            return (await connection.execute(sa.delete(budget_alerts).where(key.in_(old)))).rowcount

    async def _end(self, alert: Alert, **values: Any) -> None:
        """End of an attempt, unless another process has begun one since."""
        mine = (_alert.id == alert.id, _alert.state == "PENDING", _alert.attempts == alert.attempts)
        async with self._database.begin_in_turn() as connection:
            await connection.execute(sa.update(budget_alerts).where(*mine).values(values))
