"""Due times of a schedule: cron lines in its time zone, intervals, and one single time; all in UTC outside.

What a change to summer time does is cron's own: a fixed time of day that does not exist is due right behind
the gap, one that comes twice is due once, and what comes each hour or oftener comes by the real clock.
"""

from datetime import UTC, datetime, timedelta
from math import floor
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from genai_spine.errors import InvalidFields
from genai_spine.v1.schedule_service_pb2 import Schedule

TIMES = ("cron_expression", "interval_seconds", "run_time")
UNITED = "schedule."  # before a field's name in an error

_zones: dict[str, ZoneInfo] = {}


def check(schedule: Schedule) -> None:
    """Errors: InvalidFields, which names the field: no time or several, no cron line, no time zone."""
    given = [name for name in TIMES if schedule.HasField(name)]
    if not given:
        raise _invalid(TIMES[0], "must be set, or interval_seconds, or run_time")
    if len(given) > 1:
        raise _invalid(given[1], f"cannot be used together with {given[0]}")
    zone = _zone(schedule)
    if schedule.HasField("cron_expression"):
        try:
            next(_cron(schedule.cron_expression, datetime.now(zone)))
        except CronSimError as error:
            raise _invalid("cron_expression", f"is no cron line: {error}") from None
        except StopIteration:
            raise _invalid("cron_expression", "is never due") from None


def first(schedule: Schedule, now: datetime) -> datetime | None:
    """First due time of a schedule that begins now; None: there is none."""
    if schedule.HasField("run_time"):
        run_time = schedule.run_time.ToDatetime(UTC)
        return run_time if run_time > now else None
    return after(schedule, now, now)


def after(schedule: Schedule, due: datetime, past: datetime) -> datetime | None:
    """Next due time behind `past`, counted on from a due time; None: there is none."""
    if schedule.HasField("run_time"):
        return None
    past = max(due, past)
    if schedule.HasField("interval_seconds"):
        step = timedelta(seconds=schedule.interval_seconds)
        return due + step * (floor((past - due) / step) + 1)
    for found in _cron(schedule.cron_expression, past.astimezone(_zone(schedule))):
        following: datetime = found.astimezone(UTC)
        if following > past:  # within an hour that comes for the second time it was due in the first one
            return following
    return None


def days(schedule: Schedule, due: datetime) -> dict[str, str]:
    """Texts that stand for a due time in the options and params of its run."""
    day = due.astimezone(_zone(schedule)).date()
    return {
        "{due}": due.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "{date}": day.isoformat(),
        "{day_before}": (day - timedelta(days=1)).isoformat(),
    }


def _cron(line: str, past: datetime) -> CronSim:
    fields = line.split()
    if len(fields) == 6 and fields[0] == "0":
        line = " ".join(fields[1:])  # cron's rules for summer time are those of five fields
    return CronSim(line, past)


def _zone(schedule: Schedule) -> ZoneInfo:
    """Errors: InvalidFields."""
    name = schedule.timezone or "UTC"
    if name not in _zones:
        try:
            _zones[name] = ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            raise _invalid("timezone", "is no time zone; one is Europe/Berlin") from None
    return _zones[name]


def _invalid(field: str, problem: str) -> InvalidFields:
    return InvalidFields([(f"{UNITED}{field}", problem)])
