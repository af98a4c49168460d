"""`genai-spine pipelines`: work of several steps; list, show, run, estimate, validate."""

from pathlib import Path
from typing import Annotated

import typer

from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    PageToken,
    Tenant,
    fail,
    harmless,
    print_json,
    print_listing,
    run,
)
from genai_spine.cli.runs.asked import exit_status, object_of, pairs, pipelines
from genai_spine.cli.runs.submission import BudgetUsd, Detach, Key, Target, followed, set_options
from genai_spine.cli.tables import Column, firm, show_table
from genai_spine.v1 import pipeline_service_pb2 as pb
from genai_spine.v1.run_pb2 import Run

COLUMNS = (firm("name"), firm("version"), firm("steps"), Column("does"), Column("description"))
STEPS = (firm("step"), Column("providers"), firm("seconds"), firm("usd"))
INVALID = 1  # exit status

group = typer.Typer(no_args_is_help=True, help="Work of several steps: list, show, run, estimate, validate.")

Name = Annotated[str, typer.Argument(help="Name or id of a pipeline, or a YAML file.", metavar="PIPELINE")]
Given = Annotated[str | None, typer.Option("--input", help="What it begins with, a JSON object.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="A text that it begins with, as name=text.")]


@group.command("list")
def list_pipelines(
    tag: Annotated[list[str] | None, typer.Option(help="Only with this tag.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Most to show.")] = 100,
    page_token: PageToken = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List pipelines by their names."""
    request = pb.ListPipelinesRequest(tags=tag or (), page_size=limit, page_token=page_token)
    found = run(pipelines(address, tenant, "ListPipelines", request))
    if as_json:
        print_listing("pipelines", list(found.pipelines), next_page_token=found.next_page_token)
        return
    rows = [
        (one.name, one.version, one.step_count, ", ".join(one.required_capabilities), one.description)
        for one in found.pipelines
    ]
    show_table(COLUMNS, [tuple(str(value) for value in row) for row in rows])


@group.command()
def show(
    name: Name, tenant: Tenant = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False
) -> None:
    """Show a pipeline as YAML."""
    found = run(pipelines(address, tenant, "GetPipeline", pb.GetPipelineRequest(pipeline_id=name)))
    if as_json:
        print_json(found)
        return
    typer.echo(harmless(found.yaml), nl=False)


@group.command("run")
def run_pipeline(
    name: Name,
    given: Given = None,
    texts: Set = None,
    key: Key = None,
    budget_usd: BudgetUsd = None,
    detach: Detach = False,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Run a pipeline, and print its output.

    Ctrl-C leaves it running. Exit status: 0 completed, 3 failed, 4 cancelled.
    """
    request = pb.ExecutePipelineRequest()
    _name(request, name, given, texts, (address, tenant))
    set_options(request.options, idempotency_key=key, budget_limit_usd=budget_usd)
    made: Run = run(pipelines(address, tenant, "ExecutePipeline", request))
    ended = followed(made, Target(address, tenant), detach=detach, as_json=as_json)
    if ended is None:
        return
    if not as_json and ended.response.HasField("pipeline"):
        print_json(ended.response.pipeline.output)
    raise typer.Exit(exit_status(ended))


@group.command()
def estimate(
    name: Name,
    given: Given = None,
    texts: Set = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Say what a pipeline would cost, how long it would take, and who would be asked."""
    request = pb.EstimatePipelineRequest()
    _name(request, name, given, texts, (address, tenant))
    found = run(pipelines(address, tenant, "EstimatePipeline", request))
    if as_json:
        print_json(found)
        return
    show_table(STEPS, [_step(name, step) for name, step in sorted(found.step_estimates.items())])
    usd = f"{found.estimated_cost_usd:.6f} USD" if found.HasField("estimated_cost_usd") else "cost not known"
    typer.echo(f"{usd}, {found.estimated_duration_seconds:.1f} s, budgets: {found.budget_status}")
    if found.warning:
        typer.echo(harmless(found.warning), err=True)


@group.command()
def validate(
    file: Annotated[Path, typer.Argument(help="A pipeline in YAML.")],
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Check a pipeline in YAML: each fault with its path. Exit status: 0 valid, 1 not."""
    found = _validated(file, address, tenant)
    if as_json:
        print_json(found)
    elif found.valid:
        typer.echo(f"{file}: valid, {len(found.definition.steps)} steps")
    else:
        _say_faults(file, found)
    raise typer.Exit(0 if found.valid else INVALID)


def _name(
    request: pb.ExecutePipelineRequest | pb.EstimatePipelineRequest,
    name: str,
    given: str | None,
    texts: list[str] | None,
    server: tuple[str, str | None],
) -> None:
    """Writes which pipeline is meant, and what it begins with. A faulty file ends the command."""
    if name.endswith((".yaml", ".yml")):
        found = _validated(Path(name), *server)
        if not found.valid:
            _say_faults(Path(name), found)
            raise typer.Exit(INVALID)
        request.definition.CopyFrom(found.definition)
    else:
        request.pipeline_name = name
    begins = object_of(given, "--input") if given else {}
    request.input_data.update({**begins, **pairs(texts, "--set")})


def _validated(file: Path, address: str, tenant: str | None) -> pb.ValidatePipelineResponse:
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{file}: {error}")
    found: pb.ValidatePipelineResponse = run(
        pipelines(address, tenant, "ValidatePipeline", pb.ValidatePipelineRequest(yaml=text))
    )
    return found


def _say_faults(file: Path, found: pb.ValidatePipelineResponse) -> None:
    for fault in found.faults:
        typer.echo(harmless(f"{file}: {fault.path}: {fault.message}"), err=True)


def _step(name: str, step: pb.PipelineStepEstimate) -> tuple[str, ...]:
    usd = f"{step.estimated_cost_usd:.6f}" if step.HasField("estimated_cost_usd") else "not known"
    return name, ", ".join(step.providers) or "none", f"{step.estimated_duration_seconds:.1f}", usd
