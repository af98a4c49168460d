"""`genai-spine health`: whether a server serves. Containers ask often, so it loads next to nothing."""

from typing import Annotated

import typer

from genai_spine.cli.output import DEFAULT_ADDRESS, Address, Json, print_json, run

TIMEOUT_S = 5.0


def health(
    service: Annotated[str, typer.Option(help="Full name of a gRPC service. Default: the server.")] = "",
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Ask a server by grpc.health.v1; exit 0 if it serves."""
    from genai_spine.supervisor import health_check

    state = run(health_check.health(address, service, TIMEOUT_S))
    print_json({"status": state}) if as_json else typer.echo(state)
    if state != "SERVING":
        raise typer.Exit(1)
