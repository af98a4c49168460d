"""Health check of a running server by grpc.health.v1, on a connection of its own."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

# To a server of ours: grpc would else ask the proxy of http_proxy for it, loopback included.
DIRECT = (("grpc.enable_http_proxy", 0),)


async def health(address: str, service: str, limit_s: float) -> str:
    """ServingStatus of a service, by name: SERVING or NOT_SERVING. Errors: grpc.aio.AioRpcError."""
    async with grpc.aio.insecure_channel(address, options=DIRECT) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=limit_s)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def health_or_error(address: str, limit_s: float) -> str:
    """SERVING or NOT_SERVING as the server says, else the gRPC status that the check ended with."""
    try:
        return await health(address, "", limit_s)
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
