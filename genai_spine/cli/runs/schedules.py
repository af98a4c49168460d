"""`genai-spine schedules`: work at set times; list, show, create, update, delete, pause, resume, trigger."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    PageToken,
    Tenant,
    Time,
    fail,
    print_json,
    print_listing,
    run,
)
from genai_spine.cli.runs.asked import object_of, schedules
from genai_spine.cli.runs.progress_view import ending
from genai_spine.cli.tables import Column, firm, show_table
from genai_spine.v1 import schedule_service_pb2 as pb

COLUMNS = (firm("name"), Column("work"), Column("times"), firm("next"), firm("last"), firm("state"))

group = typer.Typer(
    no_args_is_help=True,
    help="Work at set times: list, show, create, update, delete, pause, resume, trigger.",
)

Name = Annotated[str, typer.Argument(help="Name or id of the schedule.", metavar="SCHEDULE")]
Work = Annotated[str | None, typer.Option("--work", help="Name of the work, such as genai.aggregate_costs.")]
Params = Annotated[str | None, typer.Option(help="Its params, a JSON object.")]
Cron = Annotated[str | None, typer.Option(help="Five fields: minute, hour, day, month, weekday.")]
Every = Annotated[float | None, typer.Option(min=1, help="Seconds between two runs.")]
At = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%dT%H:%M:%S"], help="One single time, UTC.")]
Zone = Annotated[str | None, typer.Option(help="Time zone of --cron, such as Europe/Berlin.")]
Instances = Annotated[int | None, typer.Option(min=1, max=1000, help="Runs of it at once.")]
Grace = Annotated[
    int | None, typer.Option(min=1, help="Seconds after which a time that was missed is left out.")
]


@group.command("list")
def list_schedules(
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most to show.")] = 50,
    page_token: PageToken = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List schedules by their names."""
    request = pb.ListSchedulesRequest(page_size=limit, page_token=page_token)
    found = run(schedules(address, tenant, "ListSchedules", request))
    if as_json:
        print_listing("schedules", list(found.schedules), next_page_token=found.next_page_token)
    else:
        show_table(COLUMNS, [_row(one) for one in found.schedules])


@group.command()
def show(
    name: Name, tenant: Tenant = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False
) -> None:
    """Show a schedule."""
    found = run(schedules(address, tenant, "GetSchedule", pb.GetScheduleRequest(schedule_id=name)))
    _say(found, as_json=as_json)


@group.command()
def create(
    name: Annotated[str, typer.Argument(help="Name, unique in the tenant.")],
    work: Annotated[str, typer.Option("--work", help="Name of the work, such as genai.aggregate_costs.")],
    params: Params = None,
    cron: Cron = None,
    every: Every = None,
    at: At = None,
    timezone: Zone = None,
    max_instances: Instances = None,
    misfire_grace: Grace = None,
    paused: Annotated[bool, typer.Option("--paused", help="It waits for `schedules resume`.")] = False,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Make a schedule; one of --cron, --every and --at says when."""
    if sum(given is not None for given in (cron, every, at)) != 1:
        fail("say one of --cron, --every and --at")
    schedule = pb.Schedule(name=name)
    _fill(schedule, work=work, params=params, cron=cron, every=every, at=at)
    _rules(schedule, timezone, max_instances, misfire_grace)
    if paused:
        schedule.enabled = False
    request = pb.CreateScheduleRequest(schedule=schedule)
    _say(run(schedules(address, tenant, "CreateSchedule", request)), as_json=as_json)


@group.command()
def update(
    name: Name,
    work: Work = None,
    params: Params = None,
    cron: Cron = None,
    every: Every = None,
    at: At = None,
    timezone: Zone = None,
    max_instances: Instances = None,
    misfire_grace: Grace = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Change what is said of a schedule; the rest stays."""
    schedule = pb.Schedule()
    _fill(schedule, work=work, params=params, cron=cron, every=every, at=at)
    _rules(schedule, timezone, max_instances, misfire_grace)
    request = pb.UpdateScheduleRequest(schedule_id=name, schedule=schedule)
    _say(run(schedules(address, tenant, "UpdateSchedule", request)), as_json=as_json)


@group.command()
def delete(
    name: Name, tenant: Tenant = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False
) -> None:
    """End a schedule; runs that it made stay."""
    found = run(schedules(address, tenant, "DeleteSchedule", pb.DeleteScheduleRequest(schedule_id=name)))
    print_json(found) if as_json else typer.echo(f"deleted schedule {name}")


@group.command()
def pause(
    name: Name, tenant: Tenant = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False
) -> None:
    """Make no further runs until it is resumed."""
    found = run(schedules(address, tenant, "PauseSchedule", pb.PauseScheduleRequest(schedule_id=name)))
    _say(found, as_json=as_json)


@group.command()
def resume(
    name: Name, tenant: Tenant = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False
) -> None:
    """Go on from now; times that were missed are left out."""
    found = run(schedules(address, tenant, "ResumeSchedule", pb.ResumeScheduleRequest(schedule_id=name)))
    _say(found, as_json=as_json)


@group.command()
def trigger(
    name: Name, tenant: Tenant = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False
) -> None:
    """Submit its work now, beside its times."""
    found = run(schedules(address, tenant, "TriggerSchedule", pb.TriggerScheduleRequest(schedule_id=name)))
    print_json(found) if as_json else typer.echo(ending(found))


def _fill(
    schedule: pb.Schedule,
    *,
    work: str | None,
    params: str | None,
    cron: str | None,
    every: float | None,
    at: Time,
) -> None:
    """Writes work and times of the options that were given."""
    if work is not None:
        schedule.target_name = work
    if params is not None:
        schedule.params.update(object_of(params, "--params"))
    if cron is not None:
        schedule.cron_expression = cron
    if every is not None:
        schedule.interval_seconds = every
    if at is not None:
        schedule.run_time.FromDatetime(at.replace(tzinfo=UTC))


def _rules(schedule: pb.Schedule, timezone: str | None, instances: int | None, grace: int | None) -> None:
    if timezone is not None:
        schedule.timezone = timezone
    if instances is not None:
        schedule.max_instances = instances
    if grace is not None:
        schedule.misfire_grace_seconds = grace


def _say(schedule: pb.Schedule, *, as_json: bool) -> None:
    print_json(schedule) if as_json else show_table(COLUMNS, [_row(schedule)])


def _row(schedule: pb.Schedule) -> tuple[str, ...]:
    times = f"{schedule.cron_expression} {schedule.timezone}".strip()
    if schedule.HasField("interval_seconds"):
        times = f"every {schedule.interval_seconds:g} s"
    if schedule.HasField("run_time"):
        times = "once"
    state = "paused" if schedule.HasField("enabled") and not schedule.enabled else "on"
    work = schedule.target_name or schedule.work.WhichOneof("request") or ""
    return (
        schedule.name,
        work,
        times,
        _time(schedule, "next_run_time"),
        _time(schedule, "last_run_time"),
        state,
    )


def _time(schedule: pb.Schedule, field: str) -> str:
    if not schedule.HasField(field):
        return ""
    found: str = getattr(schedule, field).ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
    return found
