"""Due times: cron lines over both changes of the clock in two time zones, intervals, and one single time."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from genai_spine.schedules import due_times
from genai_spine.v1.schedule_service_pb2 import Schedule

# Zone, a moment before its spring and its autumn change of 2026, and hours to UTC in winter.
BERLIN = ("Europe/Berlin", datetime(2026, 3, 28, 12), datetime(2026, 10, 24, 12), 1)
NEW_YORK = ("America/New_York", datetime(2026, 3, 7, 17), datetime(2026, 10, 31, 16), -5)
ZONES = pytest.mark.parametrize(("zone", "spring", "autumn", "offset"), [BERLIN, NEW_YORK])


def cron(line: str, zone: str = "UTC") -> Schedule:
    return Schedule(cron_expression=line, timezone=zone)


def due(schedule: Schedule, past: datetime, count: int) -> list[datetime]:
    """Next due times, without their time zone, which is UTC."""
    found, last = [], past.replace(tzinfo=UTC)
    for _ in range(count):
        following = due_times.after(schedule, last, last)
        assert following is not None
        last = following
        found.append(last.replace(tzinfo=None))
    return found


@ZONES
def test_half_past_two_daily_is_due_behind_the_gap_in_spring(
    zone: str, spring: datetime, autumn: datetime, offset: int
) -> None:
    gap, day_after = due(cron("30 2 * * *", zone), spring, 2)
    at_three = datetime(spring.year, spring.month, spring.day) + timedelta(days=1, hours=3 - (offset + 1))
    assert gap == at_three
    assert day_after == at_three + timedelta(days=1) - timedelta(minutes=30)


@ZONES
def test_half_past_two_daily_is_due_once_where_the_hour_comes_twice(
    zone: str, spring: datetime, autumn: datetime, offset: int
) -> None:
    found = due(cron("30 1 * * *" if offset < 0 else "30 2 * * *", zone), autumn, 3)
    days = [(moment + timedelta(hours=offset)).date() for moment in found]
    assert days == sorted(set(days))
    assert len(days) == 3


@ZONES
def test_hourly_is_due_each_real_hour_over_both_changes(
    zone: str, spring: datetime, autumn: datetime, offset: int
) -> None:
    for start in (spring, autumn):
        found = due(cron("0 * * * *", zone), start, 48)
        assert found == [start + timedelta(hours=hour) for hour in range(1, 49)]


@ZONES
def test_line_with_a_second_of_zero_is_that_without_it(
    zone: str, spring: datetime, autumn: datetime, offset: int
) -> None:
    for start in (spring, autumn):
        assert due(cron("0 30 2 * * *", zone), start, 3) == due(cron("30 2 * * *", zone), start, 3)


def test_seconds_days_of_the_week_and_last_days_are_read() -> None:
    start = datetime(2026, 2, 1)
    assert due(cron("*/20 * * * * *"), start, 2) == [start.replace(second=20), start.replace(second=40)]
    assert due(cron("0 0 * * 1"), start, 1) == [datetime(2026, 2, 2)]
    assert due(cron("0 0 L * *"), start, 1) == [datetime(2026, 2, 28)]
    assert due(cron("0 0 29 2 *"), start, 1) == [datetime(2028, 2, 29)]


def test_interval_stays_on_its_grid_however_late_it_is() -> None:
    schedule, first = Schedule(interval_seconds=60), datetime(2026, 1, 1, tzinfo=UTC)
    assert due_times.after(schedule, first, first) == first + timedelta(seconds=60)
    late = first + timedelta(seconds=3601)
    assert due_times.after(schedule, first, late) == first + timedelta(seconds=3660)
    assert due_times.first(schedule, first) == first + timedelta(seconds=60)


def test_one_single_time_is_due_once_and_never_in_the_past() -> None:
    schedule, at = Schedule(), datetime(2026, 1, 1, tzinfo=UTC)
    schedule.run_time.FromDatetime(at)
    assert due_times.first(schedule, at - timedelta(seconds=1)) == at
    assert due_times.first(schedule, at) is None
    assert due_times.after(schedule, at, at) is None


def test_days_are_those_of_the_time_zone() -> None:
    at = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    assert due_times.days(cron("0 0 * * *", "Europe/Berlin"), at) == {
        "{due}": "2026-03-01T23:30:00Z",
        "{date}": "2026-03-02",
        "{day_before}": "2026-03-01",
    }


# Public reports: temporalio/temporal#8205, elizaOS/eliza#11100, NousResearch/hermes-agent#109532,
# meteor/meteor-synced-cron#152, OctopusDeploy/Issues#7433.
@pytest.mark.parametrize(
    ("zone", "line", "past"),
    [
        ("Australia/Lord_Howe", "45 1 * * *", datetime(2026, 4, 3)),  # half an hour comes twice
        ("Australia/Lord_Howe", "15 2 * * *", datetime(2026, 10, 2)),  # half an hour is left out
        ("Africa/Casablanca", "30 2 * * *", datetime(2026, 2, 13)),  # summer time ends for Ramadan
        ("America/Sao_Paulo", "0 0 * * *", datetime(2018, 11, 2)),  # midnight is left out
        ("America/Havana", "30 0 * * *", datetime(2026, 10, 30)),  # the hour behind midnight comes twice
    ],
)
def test_daily_is_due_once_a_day_whatever_a_zone_does_with_its_clock(
    zone: str, line: str, past: datetime
) -> None:
    found = due(cron(line, zone), past, 6)
    days = [moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).date() for moment in found]
    assert days == sorted(set(days))
    gaps = [later - earlier for earlier, later in pairwise(found)]
    assert all(timedelta(hours=22) < gap < timedelta(hours=26) for gap in gaps)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns"])
@pytest.mark.parametrize("line", ["30 1 * * *", "30 2 * * *", "*/15 * * * *", "5-50/5 1,2 * * 0"])
def test_next_due_time_is_never_in_the_past_within_an_hour_that_comes_twice(zone: str, line: str) -> None:
    schedule = cron(line, zone)
    for month, day in ((10, 25), (4, 4), (11, 1), (3, 29)):
        for minute in range(0, 24 * 60, 7):
            now = datetime(2026, month, day, tzinfo=UTC) + timedelta(minutes=minute)
            following = due_times.after(schedule, now, now)
            assert following is not None
            assert following > now


def test_day_that_a_zone_leaves_out_is_due_behind_the_gap() -> None:
    """Apia had no 30 December 2011."""
    found = due(cron("0 12 * * *", "Pacific/Apia"), datetime(2011, 12, 29), 4)
    zone = ZoneInfo("Pacific/Apia")
    shown = [moment.replace(tzinfo=UTC).astimezone(zone).strftime("%d %H:%M") for moment in found]
    assert shown == ["29 12:00", "31 00:00", "31 12:00", "01 12:00"]


def test_interval_is_real_time_over_a_change_of_the_clock() -> None:
    start = datetime(2026, 3, 28, 23, 30)
    schedule = Schedule(interval_seconds=7200, timezone="Europe/Berlin")
    assert due(schedule, start, 3) == [start + timedelta(hours=2 * number) for number in (1, 2, 3)]
