"""TenantService: tenants of the service, and projects of the caller's tenant."""

from genai_spine import http_answer
from genai_spine.access.tenants import TenantLibrary
from genai_spine.call import Call
from genai_spine.v1 import tenant_service_pb2 as pb


class TenantService:
    """RPCs of tenants and projects; see access/tenants.py for their errors."""

    def __init__(self, tenants: TenantLibrary) -> None:
        self.tenants = tenants

    async def CreateTenant(self, request: pb.CreateTenantRequest, call: Call) -> pb.Tenant:
        """New tenant; HTTP status 201."""
        made = await self.tenants.create_tenant(request, call)
        http_answer.answered(call, 201)
        return made

    async def ListTenants(self, request: pb.ListTenantsRequest, call: Call) -> pb.ListTenantsResponse:
        """Page of tenants."""
        return await self.tenants.list_tenants(request, call)

    async def GetTenant(self, request: pb.GetTenantRequest, call: Call) -> pb.Tenant:
        """Tenant by id."""
        return await self.tenants.tenants.get("", request.tenant_id)

    async def UpdateTenant(self, request: pb.UpdateTenantRequest, call: Call) -> pb.Tenant:
        """Change of a tenant."""
        return await self.tenants.update_tenant(request, call)

    async def CreateProject(self, request: pb.CreateProjectRequest, call: Call) -> pb.Project:
        """New project; HTTP status 201."""
        made = await self.tenants.create_project(request, call)
        http_answer.answered(call, 201)
        return made

    async def ListProjects(self, request: pb.ListProjectsRequest, call: Call) -> pb.ListProjectsResponse:
        """Page of projects."""
        return await self.tenants.list_projects(request, call)

    async def GetProject(self, request: pb.GetProjectRequest, call: Call) -> pb.Project:
        """Project by id."""
        return await self.tenants.projects.get(call.principal.tenant_id, request.project_id)

    async def UpdateProject(self, request: pb.UpdateProjectRequest, call: Call) -> pb.Project:
        """Change of a project."""
        return await self.tenants.update_project(request, call)
