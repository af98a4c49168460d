"""A real server that asks for keys, and callers with keys of several kinds."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from genai_spine.server.services import FILES
from genai_spine.v1 import audit_service_pb2_grpc, key_service_pb2_grpc, tenant_service_pb2_grpc
from genai_spine.v1 import key_service_pb2 as pb
from genai_spine.v1 import tenant_service_pb2 as tenants
from tests.service.running import Running, Upstreams, running

SECRET_KEY = "ab" * 32
Metadata = Sequence[tuple[str, str]]


def bearer(secret: str) -> Metadata:
    return [("authorization", f"Bearer {secret}")]


def methods() -> Iterator[MethodDescriptor]:
    """Every RPC of every service that the server has, from the descriptors."""
    for file in FILES:
        for service in file.DESCRIPTOR.services_by_name.values():
            yield from service.methods


class Keyed:
    """Server that asks for keys, with its first admin key."""

    def __init__(self, service: Running, admin: str) -> None:
        self.service, self.admin = service, admin
        self.keys: Any = key_service_pb2_grpc.KeyServiceStub(service.channel)
        self.tenants: Any = tenant_service_pb2_grpc.TenantServiceStub(service.channel)
        self.audit: Any = audit_service_pb2_grpc.AuditServiceStub(service.channel)

    async def key(self, *scopes: str, by: str | None = None, tenant: str = "", **fields: Any) -> pb.KeySecret:
        """A new key. by: secret of who makes it; default: the admin. tenant: that it acts for."""
        request = pb.CreateKeyRequest(key=pb.ApiKey(name="a test's", scopes=scopes, **fields))
        metadata = [*bearer(by or self.admin), *([("x-tenant-id", tenant)] if tenant else [])]
        made: pb.KeySecret = await self.keys.CreateKey(request, metadata=metadata)
        return made

    async def tenant(self, id: str) -> None:
        request = tenants.CreateTenantRequest(tenant=tenants.Tenant(id=id))
        await self.tenants.CreateTenant(request, metadata=bearer(self.admin))

    async def failure(self, method: MethodDescriptor, metadata: Metadata) -> "Failure":
        """What an empty request to a method ends with."""
        name = f"/{method.containing_service.full_name}/{method.name}"
        call: Any
        try:
            if method.server_streaming:
                call = self.service.channel.unary_stream(name)(b"", metadata=metadata)
                async for _ in call:
                    break
                call.cancel()
            else:
                await self.service.channel.unary_unary(name)(b"", metadata=metadata)
        except grpc.aio.AioRpcError as error:
            return Failure(error)
        return Failure(None)


class Failure:
    """How a call ended."""

    def __init__(self, error: grpc.aio.AioRpcError | None) -> None:
        self.code = error.code() if error else grpc.StatusCode.OK
        self.text = error.details() if error else ""
        info = error_details_pb2.ErrorInfo()
        status: Any = rpc_status.from_call(error) if error else None
        if status is not None:
            status.details[0].Unpack(info)
        self.reason, self.metadata = info.reason, dict(info.metadata)


@asynccontextmanager
async def keyed(upstreams: Upstreams, database_url: str, **settings: Any) -> AsyncIterator[Keyed]:
    async with running(upstreams, database_url, auth="on", secret_key=SECRET_KEY, **settings) as service:
        first = await service.server.foundation.access.keys.bootstrap()
        assert first is not None
        yield Keyed(service, first.secret)
