"""Periods of budgets: calendar periods in UTC."""

from datetime import UTC, datetime, timedelta

from genai_spine.v1.budget_pb2 import BUDGET_PERIOD_DAILY, BUDGET_PERIOD_MONTHLY, BUDGET_PERIOD_WEEKLY

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def period_start(period: int, at: datetime) -> datetime:
    """First moment of the period that a time is in; UTC, weeks begin on Monday."""
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if period == BUDGET_PERIOD_DAILY:
        return day
    if period == BUDGET_PERIOD_WEEKLY:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if period == BUDGET_PERIOD_MONTHLY else EPOCH


def period_end(period: int, start: datetime) -> datetime | None:
    """First moment after the period that begins then; None: it does not end."""
    if period == BUDGET_PERIOD_DAILY:
        return start + timedelta(days=1)
    if period == BUDGET_PERIOD_WEEKLY:
        return start + timedelta(days=7)
    return (start + timedelta(days=31)).replace(day=1) if period == BUDGET_PERIOD_MONTHLY else None
