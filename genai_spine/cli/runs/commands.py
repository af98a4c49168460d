"""`genai-spine runs`: submit, list, show, watch, wait, cancel, retry, approve, results, and more; workers."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from genai_spine.cli.client import connected
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
    set_times,
    write,
)
from genai_spine.cli.runs.asked import exit_status, runs
from genai_spine.cli.runs.progress_view import View, ending, line
from genai_spine.cli.runs.submission import submit
from genai_spine.cli.runs.watching import Watch, watched
from genai_spine.cli.tables import Column, firm, number, show_table
from genai_spine.v1 import run_pb2
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.run_service_pb2_grpc import RunServiceStub

COLUMNS = (firm("run"), Column("name"), firm("status"), firm("submitted"), number("s"), firm("lane"))
STEP_COLUMNS = (number("#"), Column("step"), firm("status"), number("attempt"), number("ms"), Column("error"))
QUEUE_COLUMNS = (
    *(firm("lane"), firm("priority"), number("queued"), number("pending"), number("running")),
    *(number("oldest s"), number("workers"), number("limit")),
)
PROVIDER_COLUMNS = (firm("provider"), number("queued"), number("running"), number("limit"))
WORKER_COLUMNS = (
    *(firm("worker"), Column("lanes"), number("running"), number("at most"), number("completed")),
    *(number("failed"), Column("host"), firm("state")),
)

group = typer.Typer(
    no_args_is_help=True,
    help="Durable runs: submit, list, show, watch, wait, cancel, retry, approve, results. Exit status of "
    "those that wait: 0 completed, 3 failed, 4 cancelled, 5 not ended.",
)
group.command()(submit)

RunId = Annotated[str, typer.Argument(help="Id of the run.", metavar="RUN")]


@group.command("list")
def list_runs(
    kind: Annotated[str | None, typer.Option(help="Only of this kind.")] = None,
    status: Annotated[str | None, typer.Option(help="Only with this status.")] = None,
    name: Annotated[str | None, typer.Option(help="Only of this name.")] = None,
    lane: Annotated[str | None, typer.Option(help="Only of this lane.")] = None,
    correlation_id: Annotated[str | None, typer.Option(help="Only with this correlation id.")] = None,
    parent: Annotated[str | None, typer.Option(help="Only children of this run.")] = None,
    since: Time = None,
    until: Time = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most runs to show.")] = 50,
    offset: Annotated[int | None, typer.Option(min=0, help="Runs to leave out before.")] = None,
    page_token: PageToken = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List runs, the newest first."""
    request = pb.ListRunsRequest(page_size=limit, page_token=page_token, offset=offset)
    given = {"kind": kind, "status": status, "name": name, "lane": lane}
    given |= {"correlation_id": correlation_id, "parent_run_id": parent}
    for field, value in given.items():
        if value is not None:
            setattr(request, field, value)
    set_times(request, since, until)
    found = run(runs(address, tenant, "ListRuns", request))
    if as_json:
        print_listing("runs", list(found.runs), next_page_token=found.next_page_token)
    else:
        show_table(COLUMNS, [_row(one) for one in found.runs])


@group.command()
def show(
    run_id: RunId, tenant: Tenant = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False
) -> None:
    """Show a run with its answer and its cost."""
    found = run(runs(address, tenant, "GetRun", pb.GetRunRequest(run_id=run_id)))
    if as_json:
        print_json(found)
        return
    typer.echo(ending(found))
    facts = [f"{found.kind} {found.name}", f"lane {found.lane}", f"priority {found.priority}"]
    facts += [f"attempt {found.attempt}", f"worker {found.worker_id or 'none'}"]
    facts += [f"waits: {found.waiting_reason}"] if found.waiting_reason else []
    typer.echo(", ".join(facts))


@group.command()
def watch(
    run_id: RunId,
    after: Annotated[int, typer.Option(min=0, help="Only events after this sequence number.")] = 0,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Watch a run to its end: live on a terminal, a line an event elsewhere. Ctrl-C leaves the run alone."""
    ended = watched(Watch(address, tenant, run_id, after), View(as_json=as_json))
    raise typer.Exit(exit_status(ended))


@group.command()
def wait(
    run_id: RunId,
    timeout: Annotated[float, typer.Option(min=0, max=3600, help="Seconds.")] = 30.0,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Wait for a run's end, or until the time is up, which leaves the run alone (exit status 5)."""
    request = pb.WaitRunRequest(run_id=run_id)
    request.timeout.FromMilliseconds(int(timeout * 1000))
    found = run(runs(address, tenant, "WaitRun", request))
    print_json(found) if as_json else typer.echo(ending(found))
    raise typer.Exit(exit_status(found))


@group.command()
def cancel(
    run_id: RunId,
    reason: Annotated[str | None, typer.Option(help="Kept with the run.")] = None,
    boundary: Annotated[bool, typer.Option("--boundary", help="Calls that run may end.")] = False,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Stop a run and its children."""
    request = pb.CancelRunRequest(run_id=run_id, reason=reason, mode="boundary" if boundary else None)
    _say(run(runs(address, tenant, "CancelRun", request)), as_json=as_json)


@group.command()
def retry(
    run_id: RunId, tenant: Tenant = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False
) -> None:
    """Submit the work of a failed run once more, as a new run."""
    _say(run(runs(address, tenant, "RetryRun", pb.RetryRunRequest(run_id=run_id))), as_json=as_json)


@group.command()
def approve(
    run_id: RunId, tenant: Tenant = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False
) -> None:
    """Let a run start that was submitted with --hold."""
    _say(run(runs(address, tenant, "ApproveRun", pb.ApproveRunRequest(run_id=run_id))), as_json=as_json)


@group.command()
def results(
    run_id: RunId,
    output: Annotated[Path | None, typer.Option(help="File to write. Default: standard output.")] = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
) -> None:
    """Write the answer of a run as JSON; of a batch its items, one a line."""
    found = run(runs(address, tenant, "GetRun", pb.GetRunRequest(run_id=run_id)))
    if not found.HasField("end_time"):
        typer.echo(f"genai-spine: the run is {found.status}; these are its results until now", err=True)
    write_results(address, tenant, found, output)


@group.command()
def events(
    run_id: RunId,
    after: Annotated[int, typer.Option(min=0, help="Only events after this sequence number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Most events to show.")] = 100,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List the events of a run."""
    request = pb.ListRunEventsRequest(run_id=run_id, after_sequence=after, page_size=limit)
    found = run(runs(address, tenant, "ListRunEvents", request))
    if as_json:
        print_listing("events", list(found.events), next_page_token=found.next_page_token)
        return
    for event in found.events:
        typer.echo(line(event))


@group.command()
def steps(
    run_id: RunId, tenant: Tenant = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False
) -> None:
    """List the steps of a run in the order in which they began."""
    found = run(runs(address, tenant, "ListRunSteps", pb.ListRunStepsRequest(run_id=run_id, page_size=1000)))
    if as_json:
        print_listing("steps", list(found.steps), next_page_token=found.next_page_token)
        return
    rows = [
        (
            *(str(step.step_order), step.step_name, step.status, str(step.attempt)),
            *(str(step.duration_ms) if step.HasField("duration_ms") else "", step.error.message),
        )
        for step in found.steps
    ]
    show_table(STEP_COLUMNS, rows)


@group.command()
def stats(tenant: Tenant = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Show how many runs wait and run, by lane and priority, and what was done in the last 24 hours."""
    found = run(runs(address, tenant, "GetQueueStats", pb.GetQueueStatsRequest()))
    if as_json:
        print_json(found)
        return
    rows = [
        (
            *(depth.lane, depth.priority, str(depth.queued), str(depth.pending), str(depth.running)),
            *(f"{depth.oldest_wait_s:.1f}" if depth.HasField("oldest_wait_s") else "", str(depth.workers)),
            str(depth.lane_limit) if depth.HasField("lane_limit") else "",
        )
        for depth in found.depths
    ]
    show_table(QUEUE_COLUMNS, rows)
    if found.providers:
        show_table(PROVIDER_COLUMNS, [_provider_row(of) for of in found.providers])
    done = f"completed {found.completed_24h}, failed {found.failed_24h}, cancelled {found.cancelled_24h}"
    typer.echo(f"last 24 hours: {done}; stale {found.stale}, dead letters {found.dead_letters}")


def _provider_row(of: pb.ProviderDepth) -> tuple[str, ...]:
    limit = str(of.provider_limit) if of.HasField("provider_limit") else ""
    return of.provider, str(of.queued), str(of.running), limit


def workers(address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """List the worker processes that live, and what each serves and does."""
    found = run(runs(address, None, "ListWorkers", pb.ListWorkersRequest(page_size=1000)))
    if as_json:
        print_listing("workers", list(found.workers), next_page_token=found.next_page_token)
        return
    show_table(WORKER_COLUMNS, [_worker_row(worker) for worker in found.workers])


def write_results(address: str, tenant: str | None, found: run_pb2.Run, output: Path | None) -> None:
    """Writes the answer of a run, or the items of a batch, to a file or to standard output."""
    if found.work.WhichOneof("request") != "batch":
        text = _answer_of(found)
        output.write_text(text + "\n") if output else typer.echo(text)
        return
    target = output.open("wb") if output else None
    try:
        run(_export(address, tenant, found.run_id, target.write if target else _write_text))
    finally:
        if target:
            target.close()


async def _export(address: str, tenant: str | None, run_id: str, take: Callable[[bytes], object]) -> None:
    async with connected(address, tenant) as channel:
        stub: Any = RunServiceStub(channel)
        async for piece in stub.ExportRunItems(pb.ExportRunItemsRequest(run_id=run_id)):
            take(piece.data)


def _write_text(data: bytes) -> None:
    write(data.decode())


def _answer_of(found: run_pb2.Run) -> str:
    from google.protobuf.json_format import MessageToJson

    member = found.response.WhichOneof("response")
    if member is None:
        fail(f"the run has no answer: it is {found.status}")
    return MessageToJson(
        getattr(found.response, member),
        preserving_proto_field_name=True,
        indent=2 if sys.stdout.isatty() else None,
        ensure_ascii=True,
    )


def _say(found: run_pb2.Run, *, as_json: bool) -> None:
    print_json(found) if as_json else typer.echo(ending(found))


def _row(one: run_pb2.Run) -> tuple[str, ...]:
    submitted = one.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S")
    duration = f"{one.duration_seconds:.1f}" if one.HasField("duration_seconds") else ""
    return one.run_id, one.name, one.status, submitted, duration, one.lane


def _worker_row(worker: pb.Worker) -> tuple[str, ...]:
    lanes = ",".join(worker.lanes) + (" and others" if worker.serves_other_lanes else "")
    counts = (worker.active, worker.max_concurrency, worker.completed, worker.failed)
    state = "draining" if worker.is_draining else "serving"
    return worker.worker_id, lanes, *map(str, counts), worker.host, state
