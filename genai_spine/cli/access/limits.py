"""Options of rate limits, as commands of keys and of tenants have them."""

from typing import Annotated, Any

import typer
from google.protobuf.field_mask_pb2 import FieldMask

from genai_spine.cli.output import plain, print_json
from genai_spine.v1.rate_limits_pb2 import RateLimits

MASK = FieldMask(paths=["limits"])  # of an update
Tier = Annotated[str | None, typer.Option(help="Tier: free, standard or enterprise.")]
Requests = Annotated[int | None, typer.Option(min=1, help="Requests a minute that reach a provider.")]
Tokens = Annotated[int | None, typer.Option(min=1, help="Tokens a minute, input and output.")]
Concurrent = Annotated[int | None, typer.Option(min=1, help="Calls of providers at the same time.")]


def chosen(
    tier: str | None, requests: int | None, tokens: int | None, concurrent: int | None
) -> RateLimits | None:
    """Limits of the options; None: none was given."""
    found = RateLimits(
        tier=tier, requests_per_minute=requests, tokens_per_minute=tokens, concurrent_calls=concurrent
    )
    return found if found.ByteSize() else None


def put(resource: Any, own: RateLimits | None) -> None:
    """Puts the limits into a key or tenant of an update; None: it is to have none of its own."""
    resource.SetInParent()
    if own is not None:
        resource.limits.CopyFrom(own)


def show(resource: Any, *, without: str = "", as_json: bool) -> None:
    """Prints a key or tenant that was changed with its limits. without: in the place of none of its own."""
    said = without if without and not resource.HasField("limits") else shown(resource.limits)
    print_json(resource) if as_json else typer.echo(plain(f"{resource.id} ({resource.name}): {said}"))


def shown(limits: RateLimits) -> str:
    """Limits in words."""
    numbers = {
        "requests a minute": limits.requests_per_minute,
        "tokens a minute": limits.tokens_per_minute,
        "calls at once": limits.concurrent_calls,
    }
    words = [f"{number:,} {name}" for name, number in numbers.items() if number]
    return ", ".join([*([f"tier {limits.tier}"] if limits.tier else []), *words]) or "none"
