"""Tenants and projects: made, changed and disabled; each change is audited, and holds here at once."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from genai_spine import field_masks, page_tokens
from genai_spine.access.audit import AuditLog
from genai_spine.access.authentication import Authenticator
from genai_spine.call import Call
from genai_spine.errors import Conflict, InvalidFields
from genai_spine.store.access.tenants import ProjectRows, TenantRows
from genai_spine.v1 import tenant_service_pb2 as pb

DEFAULT_PAGE_SIZE = 50
EDITABLE = ("name", "disabled")
EDITABLE_OF_TENANTS = (*EDITABLE, "limits")
M = TypeVar("M", pb.Tenant, pb.Project)


class TenantLibrary:
    """Tenants, and the projects of the tenant of whoever calls."""

    def __init__(self, tenants: TenantRows, projects: ProjectRows, audit: AuditLog) -> None:
        self.tenants, self.projects, self.audit = tenants, projects, audit
        self.authenticator: Authenticator | None = None  # that must hear of changes; None: nobody is asked

    async def create_tenant(self, request: pb.CreateTenantRequest, call: Call) -> pb.Tenant:
        """A new tenant. Errors: InvalidFields, Conflict."""
        tenant = _new(request.tenant, "tenant")
        entry = self.audit.entry(call, "tenants.create", f"tenant:{tenant.id}", tenant)
        return self._changed(await self.tenants.add(tenant, entry))

    async def create_project(self, request: pb.CreateProjectRequest, call: Call) -> pb.Project:
        """A new project. Errors: InvalidFields, Conflict, TenantNotFound."""
        project = _new(request.project, "project")
        project.tenant_id = call.principal.tenant_id
        entry = self.audit.entry(call, "projects.create", f"project:{project.id}", project)
        return self._changed(await self.projects.add(project, entry))

    async def list_tenants(self, request: pb.ListTenantsRequest, call: Call) -> pb.ListTenantsResponse:
        """Page of tenants by their ids. Errors: InvalidFields (page token)."""
        found, token = await _page(request, call, self.tenants.page)
        return pb.ListTenantsResponse(tenants=found, next_page_token=token)

    async def list_projects(self, request: pb.ListProjectsRequest, call: Call) -> pb.ListProjectsResponse:
        """Page of projects by their ids. Errors: InvalidFields (page token)."""
        found, token = await _page(request, call, self.projects.page)
        return pb.ListProjectsResponse(projects=found, next_page_token=token)

    async def update_tenant(self, request: pb.UpdateTenantRequest, call: Call) -> pb.Tenant:
        """Update by field mask. Errors: InvalidFields, TenantNotFound, EtagMismatch, Conflict."""
        fields = field_masks.chosen(request.update_mask.paths, request.tenant, EDITABLE_OF_TENANTS)
        tenant = _changed_copy(request.tenant, request.tenant_id)
        if "disabled" in fields and tenant.disabled and tenant.id == call.principal.tenant_id:
            raise Conflict(field="tenant.disabled", problem="it is the caller's own tenant")
        details = _details(tenant, fields)
        entry = self.audit.entry(call, "tenants.update", f"tenant:{tenant.id}", details)
        return self._changed(await self.tenants.change(tenant, fields, entry))

    async def update_project(self, request: pb.UpdateProjectRequest, call: Call) -> pb.Project:
        """Update by field mask. Errors: InvalidFields, ProjectNotFound, EtagMismatch."""
        fields = field_masks.chosen(request.update_mask.paths, request.project, EDITABLE)
        project = _changed_copy(request.project, request.project_id)
        project.tenant_id = call.principal.tenant_id
        details = _details(project, fields)
        entry = self.audit.entry(call, "projects.update", f"project:{project.id}", details)
        return self._changed(await self.projects.change(project, fields, entry))

    def _changed(self, message: M) -> M:
        if self.authenticator is not None:
            self.authenticator.forget()
        return message


def _new(given: M, name: str) -> M:
    """What can be chosen of a new tenant or project. Errors: InvalidFields."""
    if not given.id:
        raise InvalidFields([(f"{name}.id", "is required")])
    made = type(given)(id=given.id, name=given.name or given.id, disabled=given.disabled)
    _copy_limits(given, made)
    return made


def _changed_copy(given: M, id: str) -> M:
    """What can be changed of a tenant or project, with the etag that was read."""
    copy = type(given)(id=id, name=given.name, disabled=given.disabled)
    if given.HasField("etag"):
        copy.etag = given.etag
    _copy_limits(given, copy)
    return copy


def _copy_limits(given: M, copy: M) -> None:
    if isinstance(given, pb.Tenant) and isinstance(copy, pb.Tenant) and given.HasField("limits"):
        copy.limits.CopyFrom(given.limits)


def _details(changed: M, fields: Sequence[str]) -> dict[str, Any]:
    """Fields of a tenant or project as the audit log has them."""
    shown = MessageToDict(changed, preserving_proto_field_name=True)
    return {name: shown.get(name, getattr(changed, name) if name in EDITABLE else None) for name in fields}


async def _page(
    request: Any, call: Call, read: Callable[[str, int, str | None], Awaitable[list[M]]]
) -> tuple[list[M], str]:
    """Page of a list by ids, and the token of the next one."""
    (after,) = page_tokens.place(request, str) or (None,)
    size = page_tokens.size(request, DEFAULT_PAGE_SIZE)
    found = await read(call.principal.tenant_id, size + 1, after)
    more = len(found) > size
    message: Message = request
    return found[:size], page_tokens.token(message, found[size - 1].id) if more else ""
