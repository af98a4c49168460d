"""`genai-spine runs submit`: work by its name or as it is, with its options."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from genai_spine.cli.output import DEFAULT_ADDRESS, Address, Json, Tenant, Time, fail, print_json, run
from genai_spine.cli.runs.asked import exit_status, object_of, pairs, parse, runs
from genai_spine.cli.runs.progress_view import View, ending
from genai_spine.cli.runs.watching import Watch, watched
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.run_pb2 import Run, RunOptions


class Priority(StrEnum):
    """Orders of start."""

    REALTIME = "realtime"
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"
    SLOW = "slow"


class Backoff(StrEnum):
    """How the delay grows with each retry."""

    CONSTANT = "constant"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"
    NONE = "none"


Texts = Annotated[list[str] | None, typer.Option(help="key=value; may be repeated.")]
Lane = Annotated[str | None, typer.Option(help="Which workers may take it.")]
Key = Annotated[str | None, typer.Option(help="Idempotency key: repeats find the same run.")]
BudgetUsd = Annotated[float | None, typer.Option(min=0, help="Most that it may cost.")]
Detach = Annotated[bool, typer.Option("--detach", help="Submit it, and do not watch.")]


def submit(
    name: Annotated[str | None, typer.Argument(help="Name of the work: summarize, workflow:batch.")] = None,
    kind: Annotated[str | None, typer.Option(help="task, pipeline, workflow or step.")] = None,
    params: Annotated[str | None, typer.Option(help="Its params, a JSON object; @FILE reads one.")] = None,
    work_json: Annotated[str | None, typer.Option(help="The work as it is, JSON of Work; @FILE.")] = None,
    file: Annotated[Path | None, typer.Option(help="A whole CreateRunRequest, JSON.")] = None,
    priority: Priority | None = None,
    lane: Lane = None,
    key: Key = None,
    correlation_id: Annotated[str | None, typer.Option(help="Ties runs and calls together.")] = None,
    parent: Annotated[str | None, typer.Option(help="Run that this one is a part of.")] = None,
    metadata: Texts = None,
    cost_label: Texts = None,
    not_before: Time = None,
    deadline: Time = None,
    timeout: Annotated[float | None, typer.Option(min=0.001, help="Seconds of an attempt at most.")] = None,
    max_retries: Annotated[int | None, typer.Option(min=0, max=100)] = None,
    retry_delay: Annotated[float | None, typer.Option(min=0, help="Seconds.")] = None,
    backoff: Backoff | None = None,
    budget_usd: BudgetUsd = None,
    webhook: Annotated[str | None, typer.Option(help="https address that is told of its end.")] = None,
    hold: Annotated[bool, typer.Option("--hold", help="It waits for `runs approve`.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check, and submit nothing.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Watch it to its end.")] = False,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Submit work. With --watch the exit status says how it ended: 0, 3 (failed) or 4 (cancelled)."""
    request = _work(name, params, work_json, file)
    options = request.options
    set_options(
        options,
        priority=priority,
        lane=lane,
        idempotency_key=key,
        correlation_id=correlation_id,
        parent_run_id=parent,
        max_retries=max_retries,
        retry_delay_seconds=retry_delay,
        backoff=backoff,
        budget_limit_usd=budget_usd,
        hold=hold or None,
    )
    options.metadata.update(pairs(metadata, "--metadata"))
    options.cost_labels.update(pairs(cost_label, "--cost-label"))
    if webhook:
        options.webhook.url = webhook
    if timeout is not None:
        options.timeout.FromMilliseconds(int(timeout * 1000))
    _set_time(options, "not_before", not_before)
    _set_time(options, "deadline", deadline)
    request.kind, request.dry_run = kind or request.kind, request.dry_run or dry_run
    if not request.kind:
        request.ClearField("kind")
    _submit(request, Target(address, tenant), watch=watch, as_json=as_json)


def set_options(options: RunOptions, **given: Any) -> None:
    """Sets options that were given, and that the command line submits."""
    options.trigger_source = "cli"
    for field, value in given.items():
        if value is not None:
            setattr(options, field, value)


class Target(NamedTuple):
    """Server and tenant of a command."""

    address: str
    tenant: str | None


def _submit(request: pb.CreateRunRequest, target: Target, *, watch: bool, as_json: bool) -> None:
    made = run(runs(*target, "CreateRun", request))
    if watch and not request.dry_run:
        ended = watched(Watch(*target, made.run_id), View(as_json=as_json))
        raise typer.Exit(exit_status(ended))
    if as_json:
        print_json(made)
    else:
        typer.echo("it can be submitted" if request.dry_run else ending(made))


def followed(made: Run, target: Target, *, detach: bool, as_json: bool) -> Run | None:
    """Run at its end, which is watched; None: it is not waited for, and only said."""
    if detach:
        print_json(made) if as_json else typer.echo(ending(made))
        return None
    if not as_json:
        typer.echo(f"run {made.run_id}", err=True)
    return watched(Watch(*target, made.run_id), View(as_json=as_json))


def _work(name: str | None, params: str | None, work_json: str | None, file: Path | None) -> Any:
    """Request with the work alone; anything but one way to say it ends the command."""
    if sum(given is not None for given in (name, work_json, file)) != 1:
        fail("say one of NAME, --work-json and --file")
    request = pb.CreateRunRequest()
    if file is not None:
        parse(object_of(_read(file), str(file)), request, str(file))
    elif work_json is not None:
        parse(object_of(_text(work_json), "--work-json"), request.work, "--work-json")
    else:
        request.name = name or ""
        request.params.update(object_of(_text(params or "{}"), "--params"))
    return request


def _set_time(options: RunOptions, field: str, time: datetime | None) -> None:
    if time is not None:
        getattr(options, field).FromDatetime(time.replace(tzinfo=UTC))


def _text(given: str) -> str:
    return _read(Path(given[1:])) if given.startswith("@") else given


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        fail(f"{path}: {error.strerror}")
