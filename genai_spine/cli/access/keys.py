"""`genai-spine keys`: keys of callers, made, listed, rotated and revoked; and the first one of all."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genai_spine.cli.access import guards, limits
from genai_spine.cli.client import connected
from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    PageToken,
    Tenant,
    plain,
    print_json,
    print_listing,
    run,
)
from genai_spine.cli.tables import Column, firm, show_table
from genai_spine.v1 import key_service_pb2 as pb
from genai_spine.v1.key_service_pb2_grpc import KeyServiceStub

if TYPE_CHECKING:
    from genai_spine.settings import Settings
    from genai_spine.v1.key_service_pb2_grpc import KeyServiceAsyncStub

COLUMNS = (firm("id"), firm("secret"), Column("name"), Column("scopes"), firm("last used"), firm("state"))

group = typer.Typer(
    no_args_is_help=True, help="Keys of callers: create, list, limit, rotate, revoke, bootstrap."
)
Id = Annotated[str, typer.Argument(help="Id of the key.")]
Names = list[str]
Time = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="End, UTC.")]


@group.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[Names, typer.Option(help="What it may do; repeatable. Default: completions:read.")] = [],  # noqa: B006
    allow_model: Annotated[Names, typer.Option(help="Model that it may use, or @group; repeatable.")] = [],  # noqa: B006
    deny_model: Annotated[Names, typer.Option(help="Model that it may not; repeatable.")] = [],  # noqa: B006
    allow_provider: Annotated[Names, typer.Option(help="Provider that it may use; repeatable.")] = [],  # noqa: B006
    deny_provider: Annotated[Names, typer.Option(help="Provider that it may not; repeatable.")] = [],  # noqa: B006
    allow_lane: Annotated[Names, typer.Option(help="Lane that it may use; repeatable.")] = [],  # noqa: B006
    project: Annotated[str | None, typer.Option(help="Project that its calls are booked on.")] = None,
    service: Annotated[str | None, typer.Option(help="Service that this is the token of.")] = None,
    expires: Time = None,
    test: Annotated[bool, typer.Option("--test", help="For tests: gs_test_.")] = False,
    deduplicate_retries: Annotated[
        bool, typer.Option("--deduplicate-retries", help="An SDK's own retries join the call they repeat.")
    ] = False,
    tier: limits.Tier = None,
    requests_per_minute: limits.Requests = None,
    tokens_per_minute: limits.Tokens = None,
    concurrent_calls: limits.Concurrent = None,
    request_log: Annotated[
        bool | None,
        typer.Option(help="Its calls are in the request log, or not. Default: as the server is set."),
    ] = None,
    guardrails: guards.Option = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Make a key, and show its secret: this once."""
    permissions = pb.KeyPermissions(
        allowed_models=allow_model,
        denied_models=deny_model,
        allowed_providers=allow_provider,
        denied_providers=deny_provider,
        allowed_lanes=allow_lane,
        guardrails=guards.chosen(guardrails),
    )
    key = pb.ApiKey(
        name=name,
        scopes=scope,
        project_id=project,
        service_name=service,
        test=test,
        deduplicate_retries=deduplicate_retries,
        request_log=request_log,
    )
    if permissions.ByteSize():
        key.permissions.CopyFrom(permissions)
    if expires is not None:
        key.expire_time.FromDatetime(expires.replace(tzinfo=UTC))
    if own := limits.chosen(tier, requests_per_minute, tokens_per_minute, concurrent_calls):
        key.limits.CopyFrom(own)

    async def made() -> pb.KeySecret:
        async with _service(address, tenant) as keys:
            found: pb.KeySecret = await keys.CreateKey(pb.CreateKeyRequest(key=key))
            return found

    _show_secret(run(made()), as_json=as_json)


@group.command("list")
def list_keys(
    project: Annotated[str | None, typer.Option(help="Only of this project.")] = None,
    ended: Annotated[bool, typer.Option("--ended", help="Revoked and expired ones as well.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most keys to show.")] = 50,
    page_token: PageToken = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List keys, the newest first. Nobody is shown a secret."""
    request = pb.ListKeysRequest(
        project_id=project, include_ended=ended, page_size=limit, page_token=page_token
    )

    async def listed() -> pb.ListKeysResponse:
        async with _service(address, tenant) as keys:
            found: pb.ListKeysResponse = await keys.ListKeys(request)
            return found

    found = run(listed())
    if as_json:
        print_listing("keys", list(found.keys), next_page_token=found.next_page_token)
        return
    rows = [
        (key.id, f"{key.prefix}...", key.name, " ".join(key.scopes), _time(key, "last_use_time"), _state(key))
        for key in found.keys
    ]
    show_table(COLUMNS, rows)


@group.command()
def rotate(
    id: Id,
    overlap_s: Annotated[int, typer.Option(min=0, help="Seconds for which the old secret goes on.")] = 86_400,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Give a key another secret, and show it: this once."""

    async def rotated() -> pb.KeySecret:
        async with _service(address, tenant) as keys:
            request = pb.RotateKeyRequest(key_id=id, overlap_s=overlap_s)
            found: pb.KeySecret = await keys.RotateKey(request)
            return found

    _show_secret(run(rotated()), as_json=as_json)


@group.command()
def revoke(
    id: Id,
    stop_runs: Annotated[bool, typer.Option("--stop-runs", help="Cancel its runs that wait.")] = False,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """End a key for good: at once, on other servers within 2.5 s."""

    async def revoked() -> pb.ApiKey:
        async with _service(address, tenant) as keys:
            found: pb.ApiKey = await keys.RevokeKey(pb.RevokeKeyRequest(key_id=id, stop_runs=stop_runs))
            return found

    key = run(revoked())
    print_json(key) if as_json else typer.echo(plain(f"revoked {key.id} ({key.name})"))


@group.command()
def limit(
    id: Id,
    tier: limits.Tier = None,
    requests_per_minute: limits.Requests = None,
    tokens_per_minute: limits.Tokens = None,
    concurrent_calls: limits.Concurrent = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Set the rate limits of a key; they replace those before. Without options: as the setting says."""
    request = pb.UpdateKeyRequest(key_id=id, update_mask=limits.MASK)
    limits.put(request.key, limits.chosen(tier, requests_per_minute, tokens_per_minute, concurrent_calls))

    async def changed() -> pb.ApiKey:
        async with _service(address, tenant) as keys:
            found: pb.ApiKey = await keys.UpdateKey(request)
            return found

    limits.show(run(changed()), without="as the setting says", as_json=as_json)


@group.command()
def bootstrap(as_json: Json = False) -> None:
    """Make the first admin key and show it, where there is no key at all; needs no server."""
    from genai_spine.cli.service.configured import settings_with

    made = run(first_key(settings_with()))
    if made is not None:
        _show_secret(made, as_json=as_json)
    elif as_json:
        print_json({"key": None, "secret": None})
    else:
        typer.echo("there are keys already; `genai-spine keys create` makes another one", err=True)


async def first_key(settings: "Settings") -> pb.KeySecret | None:
    """First admin key; None: there is a key already. Raises ValueError."""
    from genai_spine.server.access import Access
    from genai_spine.store import schema
    from genai_spine.store.database import Database

    database = Database(settings.database)
    try:
        await schema.check(database)
        return await Access.of(settings, database).keys.bootstrap()
    finally:
        await database.close()


def _show_secret(made: pb.KeySecret, *, as_json: bool) -> None:
    """Secret of a key on standard output, and beside it on standard error that it is shown this once."""
    if as_json:
        print_json(made)
        return
    typer.echo(made.secret)
    typer.echo(plain(f"key {made.key.id} ({made.key.name}); its secret is not shown again"), err=True)


def _time(key: pb.ApiKey, field: str) -> str:
    return getattr(key, field).ToDatetime().strftime("%Y-%m-%d %H:%M") if key.HasField(field) else "never"


def _state(key: pb.ApiKey) -> str:
    if key.HasField("revoke_time"):
        return "revoked"
    if key.HasField("expire_time"):
        is_over = key.expire_time.ToDatetime(UTC) <= datetime.now(UTC)
        return "expired" if is_over else f"until {_time(key, 'expire_time')}"
    return "valid"


@asynccontextmanager
async def _service(address: str, tenant: str | None) -> AsyncIterator["KeyServiceAsyncStub"]:
    async with connected(address, tenant) as channel:
        stub: Any = KeyServiceStub(channel)
        yield stub
