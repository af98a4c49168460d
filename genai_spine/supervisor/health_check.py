"""Health check of a running server by grpc.health.v1, on a connection of its own."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from genai_spine.supervisor.channel import channel_to


async def health(address: str, service: str, limit_s: float) -> str:
    """ServingStatus of a service, by name: SERVING or NOT_SERVING.

    Errors: grpc.aio.AioRpcError, ValueError.
    """
    async with channel_to(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=limit_s)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def health_or_error(address: str, limit_s: float) -> str:
    """SERVING or NOT_SERVING as the server says, else the gRPC status that the check ended with."""
    try:
        return await health(address, "", limit_s)
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
