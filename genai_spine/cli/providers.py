"""`genai-spine providers` and `pull`: what is configured and answers, and a model fetched onto a disk."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Annotated

import typer

from genai_spine.cli.client import connected
from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    as_rest,
    plain,
    print_json,
    print_listing,
    run,
)
from genai_spine.cli.tables import Column, number, show_table
from genai_spine.v1 import health_service_pb2
from genai_spine.v1 import provider_service_pb2 as pb
from genai_spine.v1.health_service_pb2_grpc import HealthServiceStub
from genai_spine.v1.provider_service_pb2_grpc import ProviderServiceStub

if TYPE_CHECKING:
    from rich.progress import TaskID


def providers(address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """List the configured providers, whether they answer, and how their calls go."""
    listed, health = run(_listed(address))
    if as_json:
        entries = [as_rest(info) | {"health": health.get(info.provider_name, "")} for info in listed]
        print_listing("providers", entries)
        return
    rows = []
    for info in listed:
        state = "available" if info.is_available else f"circuit open for {info.rest_ms / 1000:.0f} s"
        state = state if health.get(info.provider_name) == "healthy" else "does not answer"
        kinds = {pb.Capability.Name(offer.capability) for offer in info.capabilities}
        shown = ", ".join(sorted(kind.removeprefix("CAPABILITY_").lower() for kind in kinds))
        rows.append((info.provider_name, state, str(info.running), str(info.key_count), shown))
    columns = (Column("provider"), Column("state"), number("running"), number("keys"))
    show_table((*columns, Column("what it offers")), rows)


def pull(
    model: Annotated[str, typer.Argument(help="Model, by the provider's name.")],
    provider: Annotated[str, typer.Option(help="Provider that keeps models on its disk.")] = "ollama",
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Fetch a model onto a provider's disk, with its progress."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import Progress

    async def follow() -> None:
        with Progress(console=Console(stderr=True), disable=as_json) as shown:
            tasks: dict[str, TaskID] = {}
            async for step in _pulled(address, provider, model):
                if as_json:
                    print_json(step)
                    continue
                if step.status not in tasks:
                    tasks[step.status] = shown.add_task(escape(plain(step.status)), total=None)
                total = step.total_bytes if step.HasField("total_bytes") else 1
                done = step.completed_bytes if step.HasField("total_bytes") else 1
                shown.update(tasks[step.status], total=total, completed=done)

    run(follow())


async def _listed(address: str) -> tuple[list[pb.ProviderInfo], dict[str, str]]:
    """Providers, and the health of each by its name, asked for now."""
    async with connected(address) as channel:
        request = pb.ListProvidersRequest(page_size=1000)
        listed, ready = await asyncio.gather(
            ProviderServiceStub(channel).ListProviders(request),
            HealthServiceStub(channel).GetReadiness(health_service_pb2.GetReadinessRequest()),
        )
        return list(listed.providers), dict(ready.providers)


async def _pulled(address: str, provider: str, model: str) -> AsyncGenerator[pb.PullModelResponse]:
    """Progress of a model that a provider downloads."""
    async with connected(address) as channel:
        request = pb.PullModelRequest(provider=provider, model=model)
        async for step in ProviderServiceStub(channel).PullModel(request):
            yield step
