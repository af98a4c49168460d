"""`genai-spine up`, `serve` and `work`: the service started, with Envoy, alone, or for runs only."""

import gc
import json
import os
import sys
from typing import Annotated, Any, Literal, NoReturn, get_args

import typer

from genai_spine.cli.output import Json, fail, run
from genai_spine.cli.service.configured import configuration_with
from genai_spine.telemetry import logs

Lane = Literal["cpu", "gpu", "batch"]


def known_lanes(given: list[str] | None) -> list[str] | None:
    """A list of Literals is more than Typer can check by itself."""
    if unknown := set(given or ()) - set(get_args(Lane)):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))} is not one of {', '.join(get_args(Lane))}")
    return given


def up(
    port: Annotated[int | None, typer.Option(help="Public port. Default: GENAI_API_PORT, 8100.")] = None,
    processes: Annotated[int | None, typer.Option(help="Server processes on lane cpu.")] = None,
    lane: Annotated[
        list[str] | None, typer.Option(help="Lanes to start; repeatable. Default: cpu.", callback=known_lanes)
    ] = None,
    as_json: Json = False,
) -> None:
    """Start the server and Envoy, and print the URLs and the first calls to try."""
    options = {"api_port": port, "processes": processes}
    _supervise("up", {"options": options, "lanes": list(lane or ["cpu"]), "as_json": as_json})


def serve(
    host: Annotated[str | None, typer.Option(help="Address. Default: GENAI_GRPC_HOST, 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0: any. Default: GENAI_GRPC_PORT, 50051.")] = None,
    lane: Annotated[Lane | None, typer.Option(help="Lane that it serves. Default: cpu.")] = None,
    processes: Annotated[
        int | None, typer.Option(help="Processes, on these ports and those after them. Default: 1.")
    ] = None,
    http_port: Annotated[
        int | None, typer.Option(help="Port of OpenAI's paths over HTTP; 0: any. Default: GENAI_HTTP_PORT.")
    ] = None,
) -> None:
    """Start the server alone, without Envoy: gRPC, and OpenAI's paths over HTTP."""
    logs.write_stack_when_aborted()
    gc.disable()  # nothing that a start makes is garbage; the server that runs collects again
    from genai_spine import server

    options = {"grpc_host": host, "grpc_port": port, "http_port": http_port, "lane": lane}
    options["processes"] = processes
    configuration = configuration_with(**options)
    if configuration.settings.processes == 1:
        run(server.serve(configuration, lambda fields: typer.echo(json.dumps(fields))))
    else:
        _supervise("serve", {"options": options})


def _supervise(command: str, job: dict[str, Any]) -> NoReturn:
    """Becomes the supervisor, under the same process id and without what a command line needs of memory."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "genai_spine.supervisor", command, json.dumps(job)])


def work(
    lanes: Annotated[str, typer.Option(help="Lanes whose runs it makes, with commas between them.")] = "cpu",
    concurrency: Annotated[
        int | None, typer.Option(help="Runs at once. Default: GENAI_RUN_CONCURRENCY, 32.", min=1)
    ] = None,
    others: Annotated[
        bool, typer.Option("--others", help="Also the runs of lanes that no other worker names.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address of its health service.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of its health service; 0: any.")] = 0,
) -> None:
    """Start a worker: it makes durable runs of its lanes, and takes no calls. It needs PostgreSQL."""
    logs.write_stack_when_aborted()
    gc.disable()
    from genai_spine import server

    named = [lane.strip() for lane in lanes.split(",") if lane.strip()]
    configuration = configuration_with(
        grpc_host=host,
        grpc_port=port,
        run_lanes=",".join(named),
        run_other_lanes=others,
        run_concurrency=concurrency,
        lane=next((lane for lane in named if lane in get_args(Lane)), None),
    )
    if not configuration.settings.database.startswith("postgres"):
        fail(
            "a worker needs PostgreSQL: with SQLite the server makes its runs itself. Set GENAI_DATABASE_URL"
        )
    run(server.serve(configuration, lambda fields: typer.echo(json.dumps(fields)), only_runs=True))
