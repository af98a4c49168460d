"""`genai-spine tenants` and `projects`: customers who share nothing, and what their spend is booked on."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genai_spine.call import DEFAULT_TENANT
from genai_spine.cli.access import limits
from genai_spine.cli.client import connected
from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    PageToken,
    Tenant,
    fail,
    plain,
    print_json,
    print_listing,
    run,
)
from genai_spine.cli.tables import Column, firm, show_table
from genai_spine.v1 import tenant_service_pb2 as pb
from genai_spine.v1.tenant_service_pb2_grpc import TenantServiceStub

if TYPE_CHECKING:
    from genai_spine.v1.tenant_service_pb2_grpc import TenantServiceAsyncStub

COLUMNS = (firm("id"), Column("name"), firm("state"), firm("created (UTC)"))
Id = Annotated[str, typer.Argument(help="Id: small letters, digits and hyphens.")]
Name = Annotated[str | None, typer.Option(help="What people call it. Default: its id.")]
Limit = Annotated[int, typer.Option(min=1, max=200, help="Most to show.")]

tenants = typer.Typer(
    no_args_is_help=True, help="Tenants: create, list, limit, disable, enable; their webhook secrets."
)
projects = typer.Typer(no_args_is_help=True, help="Projects of a tenant: create, list, disable, enable.")


@tenants.command("create")
def create_tenant(
    id: Id,
    name: Name = None,
    tier: limits.Tier = None,
    requests_per_minute: limits.Requests = None,
    tokens_per_minute: limits.Tokens = None,
    concurrent_calls: limits.Concurrent = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Make a tenant. Its limits are those of all its keys together."""
    request = pb.CreateTenantRequest(tenant=pb.Tenant(id=id, name=name or ""))
    if own := limits.chosen(tier, requests_per_minute, tokens_per_minute, concurrent_calls):
        request.tenant.limits.CopyFrom(own)
    _show(run(_asked(address, None, "CreateTenant", request)), as_json=as_json)


@tenants.command("list")
def list_tenants(
    limit: Limit = 50,
    page_token: PageToken = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List tenants by their ids."""
    request = pb.ListTenantsRequest(page_size=limit, page_token=page_token)
    found = run(_asked(address, None, "ListTenants", request))
    _show_list("tenants", found.tenants, found.next_page_token, as_json=as_json)


@tenants.command("disable")
def disable_tenant(id: Id, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Take the keys of a tenant no more."""
    request = pb.UpdateTenantRequest(tenant_id=id, tenant=pb.Tenant(disabled=True))
    _show(run(_asked(address, None, "UpdateTenant", request)), as_json=as_json)


@tenants.command("enable")
def enable_tenant(id: Id, address: Address = DEFAULT_ADDRESS, as_json: Json = False) -> None:
    """Take the keys of a tenant again."""
    request = pb.UpdateTenantRequest(tenant_id=id, tenant=pb.Tenant(disabled=False))
    _show(run(_asked(address, None, "UpdateTenant", request)), as_json=as_json)


@tenants.command("webhook-secret")
def webhook_secret(
    id: Annotated[str, typer.Argument(help="Id of the tenant.")] = DEFAULT_TENANT, as_json: Json = False
) -> None:
    """Print what a tenant checks its webhooks with; two lines while the root secret is rotated."""
    from genai_spine.access.secrets import of_webhooks
    from genai_spine.cli.service.configured import settings_with
    from genai_spine.server.access import root_secret

    if (root := root_secret(settings_with())) is None:
        fail("webhooks are signed by the root secret, and there is none: set GENAI_SECRET_KEY")
    found = [f"whsec_{base64.b64encode(key).decode()}" for key in of_webhooks(root, id)]
    if as_json:
        print_json({"tenant_id": id, "secrets": found})
    else:
        typer.echo("\n".join(found))


@tenants.command("limit")
def limit_tenant(
    id: Id,
    tier: limits.Tier = None,
    requests_per_minute: limits.Requests = None,
    tokens_per_minute: limits.Tokens = None,
    concurrent_calls: limits.Concurrent = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Set the rate limits of a tenant with all its keys; they replace those before. Without options: none."""
    request = pb.UpdateTenantRequest(tenant_id=id, update_mask=limits.MASK)
    limits.put(request.tenant, limits.chosen(tier, requests_per_minute, tokens_per_minute, concurrent_calls))
    limits.show(run(_asked(address, None, "UpdateTenant", request)), as_json=as_json)


@projects.command("create")
def create_project(
    id: Id,
    name: Name = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Make a project."""
    request = pb.CreateProjectRequest(project=pb.Project(id=id, name=name or ""))
    _show(run(_asked(address, tenant, "CreateProject", request)), as_json=as_json)


@projects.command("list")
def list_projects(
    limit: Limit = 50,
    page_token: PageToken = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List projects by their ids."""
    request = pb.ListProjectsRequest(page_size=limit, page_token=page_token)
    found = run(_asked(address, tenant, "ListProjects", request))
    _show_list("projects", found.projects, found.next_page_token, as_json=as_json)


@projects.command("disable")
def disable_project(
    id: Id, tenant: Tenant = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False
) -> None:
    """Take the keys of a project no more."""
    request = pb.UpdateProjectRequest(project_id=id, project=pb.Project(disabled=True))
    _show(run(_asked(address, tenant, "UpdateProject", request)), as_json=as_json)


@projects.command("enable")
def enable_project(
    id: Id, tenant: Tenant = None, address: Address = DEFAULT_ADDRESS, as_json: Json = False
) -> None:
    """Take the keys of a project again."""
    request = pb.UpdateProjectRequest(project_id=id, project=pb.Project(disabled=False))
    _show(run(_asked(address, tenant, "UpdateProject", request)), as_json=as_json)


def _show(found: Any, *, as_json: bool) -> None:
    state = "disabled" if found.disabled else "enabled"
    print_json(found) if as_json else typer.echo(plain(f"{found.id} ({found.name}): {state}"))


def _show_list(kind: str, found: Any, token: str, *, as_json: bool) -> None:
    if as_json:
        print_listing(kind, list(found), next_page_token=token)
        return
    rows = [
        (
            one.id,
            one.name,
            "disabled" if one.disabled else "enabled",
            one.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M"),
        )
        for one in found
    ]
    show_table(COLUMNS, rows)


async def _asked(address: str, tenant: str | None, method: str, request: Any) -> Any:
    """Answer of a method."""
    async with _service(address, tenant) as service:
        return await getattr(service, method)(request)


@asynccontextmanager
async def _service(address: str, tenant: str | None) -> AsyncIterator["TenantServiceAsyncStub"]:
    async with connected(address, tenant) as channel:
        stub: Any = TenantServiceStub(channel)
        yield stub
