"""`genai-spine batch FILE.jsonl`: the lines of a file as the items of one run, watched, and its results."""

from pathlib import Path
from typing import Annotated, Any

import typer

from genai_spine.cli.output import DEFAULT_ADDRESS, Address, Json, Tenant, fail, run
from genai_spine.cli.runs.asked import exit_status, object_of, parse, runs
from genai_spine.cli.runs.commands import write_results
from genai_spine.cli.runs.submission import (
    BudgetUsd,
    Detach,
    Key,
    Lane,
    Priority,
    Target,
    followed,
    set_options,
)
from genai_spine.v1 import run_service_pb2 as pb

NAMED = {"id", "type", "params"}  # keys of a line that names its work


def batch(
    file: Annotated[
        Path, typer.Argument(help="A JSON object a line: {id, type, params} or {item_id, work}.")
    ],
    output: Annotated[Path | None, typer.Option(help="Default: FILE.results.jsonl beside FILE.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, max=1000, help="Items at once.")] = None,
    max_failures: Annotated[int | None, typer.Option(min=1, help="Failed items that end it.")] = None,
    reuse: Annotated[
        str | None, typer.Option(help="Earlier batch whose equal items are not paid again.")
    ] = None,
    provider_batch: Annotated[
        bool, typer.Option("--provider-batch", help="Completions at half the price, within a day.")
    ] = False,
    priority: Priority = Priority.NORMAL,
    lane: Lane = None,
    key: Key = None,
    budget_usd: BudgetUsd = None,
    detach: Detach = False,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Run the lines of a file as one batch, and write an answer a line, in their order.

    Ctrl-C leaves it running. Exit status: 0 completed, 3 failed, 4 cancelled.
    """
    request = _request(file)
    if concurrency is not None:
        request.work.batch.max_concurrency = concurrency
    if max_failures is not None:
        request.work.batch.max_failures = max_failures
    if reuse is not None:
        request.work.batch.reuse_results_of = reuse
    request.work.batch.provider_batch = provider_batch
    named = {"lane": lane, "idempotency_key": key, "budget_limit_usd": budget_usd}
    set_options(request.options, priority=priority.value, **named)
    made = run(runs(address, tenant, "CreateRun", request))
    ended = followed(made, Target(address, tenant), detach=detach, as_json=as_json)
    if ended is None:
        return
    target = output or file.with_suffix(".results.jsonl")
    write_results(address, tenant, ended, target)
    if not as_json:
        typer.echo(f"results: {target}", err=True)
    raise typer.Exit(exit_status(ended))


def _request(file: Path) -> pb.CreateRunRequest:
    """Submission of a file's lines; one that is wrong ends the command with its number."""
    request = pb.CreateRunRequest()
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    for number, text in enumerate(lines, 1):
        if text.strip():
            _add(request, object_of(text, f"{file}:{number}"), f"{file}:{number}")
    if not request.work.batch.items:
        fail(f"{file} has no items")
    return request


def _add(request: pb.CreateRunRequest, given: dict[str, Any], place: str) -> None:
    item = request.work.batch.items.add()
    if "work" in given:
        parse(given, item, place)
    elif isinstance(given.get("type"), str) and given.keys() <= NAMED:
        member = given["type"].removeprefix("task:").removeprefix("genai.")
        if "id" in given:
            item.item_id = str(given["id"])
        parse({"work": {member: given.get("params", {})}}, item, place)
    else:
        fail(f"{place}: must have type and params, or work")
