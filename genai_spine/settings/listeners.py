"""Settings of where the service listens."""

from pydantic import BaseModel, Field


class Listeners(BaseModel):
    """Addresses and ports of Envoy and of the gRPC server."""

    api_host: str = Field("127.0.0.1", description="Address that Envoy listens on.")
    api_port: int = Field(8100, ge=0, le=65535, description="The one public port.")
    grpc_host: str = Field("127.0.0.1", description="Address that the gRPC server listens on, behind Envoy.")
    grpc_port: int = Field(50051, ge=0, le=65535, description="Port of `serve`; `up` takes free ones.")
    envoy_admin_port: int = Field(0, ge=0, le=65535, description="Envoy's admin port; 0: a private socket.")
