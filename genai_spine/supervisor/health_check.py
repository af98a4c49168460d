"""Health check of a running server, on a connection of its own: by grpc.health.v1, or by its HTTP server."""

import asyncio
from enum import Enum

QUESTION = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


class Health(Enum):
    """Outcome of a health check."""

    ANSWERS = "answers"
    SILENT = "silent"  # it takes the connection, or seems to, and says nothing
    CLOSED = "closed"  # it takes no connections: so does a server that lets its last calls finish


async def over_http(host: str, port: int, limit_s: float) -> Health:
    """Health by any answer of the HTTP server: it comes from the event loop that serves the calls."""
    try:
        async with asyncio.timeout(limit_s):
            reader, writer = await asyncio.open_connection(host.strip("[]"), port)
            try:
                writer.write(QUESTION)
                line = await reader.readline()
            finally:
                writer.close()
    except ConnectionError:
        return Health.CLOSED
    except (OSError, TimeoutError, ValueError):
        return Health.SILENT
    return Health.ANSWERS if line else Health.CLOSED


async def health(address: str, service: str, limit_s: float) -> str:
    """ServingStatus of a service, by name: SERVING or NOT_SERVING.

    Errors: grpc.aio.AioRpcError, ValueError.
    """
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    from genai_spine.supervisor.channel import channel_to

    async with channel_to(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=limit_s)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def health_or_error(address: str, limit_s: float) -> str:
    """SERVING or NOT_SERVING as the server says, else the gRPC status that the check ended with."""
    import grpc

    try:
        return await health(address, "", limit_s)
    except grpc.aio.AioRpcError as error:
        return str(error.code().name)
