"""Requests about usage, read: which days, which calls, and by what they are grouped."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from genai_spine.errors import InvalidFields
from genai_spine.store.usage.sums import Question

DEFAULT_DAYS = 30
FIRST_DAY = date(1970, 1, 1)
# Field of the filter -> column.
FIELDS = {
    **{name: name for name in ("provider", "model", "capability", "prompt_id", "project_id", "api_key_id")},
    **{name: name for name in ("operation", "run_id", "correlation_id", "session_id")},
    "end_user": "user_id",
}
RARE = ("run_id", "correlation_id", "session_id")  # a call has them for good, so no default period cuts them
EVERY_TENANT = "tenant"  # group that a total of all tenants is asked for by
# What callers call a group -> column.
GROUPS = {
    **{name: name for name in ("provider", "model", "day", "operation", "capability", "correlation_id")},
    EVERY_TENANT: "tenant_id",
    "project": "project_id",
    "key": "api_key_id",
    "end_user": "user_id",
    "prompt": "prompt_id",
    "run": "run_id",
    "session": "session_id",
}


def question_of(request: Any, tenant: str) -> Question:
    """Question of a request with start_date, end_date and what it has of the filters.

    Grouped by tenant it is about all of them: who asks must be allowed to.

    Errors: InvalidFields for a date that is none, or a period that ends before it begins.
    """
    given = {field.name: value for field, value in request.ListFields()}
    last = _day(request, "end_date") or datetime.now(UTC).date()
    first = _day(request, "start_date")
    if first is None:
        is_rare = any(name in given for name in RARE)
        first = FIRST_DAY if is_rare else last - timedelta(days=DEFAULT_DAYS - 1)
    if last < first:
        raise InvalidFields([("end_date", f"must not be before start_date, {first}")])
    equal = {column: given[name].replace("\0", "\ufffd") for name, column in FIELDS.items() if name in given}
    labels = dict(label.replace("\0", "\ufffd").split("=", 1) for label in given.get("labels", ()))
    is_service_wide = given.get("group_by") == EVERY_TENANT
    end = midnight(last) + timedelta(days=1)
    return Question(tenant, midnight(first), end, equal, labels, is_service_wide)


def midnight(day: date) -> datetime:
    """First moment of a day, UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _day(request: Any, name: str) -> date | None:
    if not request.HasField(name):
        return None
    try:
        day = date.fromisoformat(getattr(request, name))
    except ValueError:
        raise InvalidFields([(name, "must be a day of the calendar, as YYYY-MM-DD")]) from None
    if not 1970 <= day.year < 9999:  # PostgreSQL and Python agree on these
        raise InvalidFields([(name, "must be between 1970-01-01 and 9998-12-31")])
    return day
