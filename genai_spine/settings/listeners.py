"""Settings of where the service listens, and of the certificates that it shows there."""

from pathlib import Path

from pydantic import BaseModel, Field, model_validator

from genai_spine.security.certificates import ListenerCertificate

# A certificate, its key, and what means nothing without them.
TOGETHER = (
    ("api_tls_certificate", "api_tls_key", "api_tls_client_ca"),
    ("grpc_tls_certificate", "grpc_tls_key", "grpc_tls_client_ca"),
    ("edge_tls_certificate", "edge_tls_key", None),
)


class Listeners(BaseModel):
    """Addresses and ports of Envoy and of the gRPC server."""

    api_host: str = Field("127.0.0.1", description="Address that Envoy listens on.")
    api_port: int = Field(8100, ge=0, le=65535, description="The one public port.")
    api_tls_certificate: Path | None = Field(
        None, description="PEM file: certificate and chain of the public port, which then speaks TLS only."
    )
    api_tls_key: Path | None = Field(None, description="PEM file: its private key, without passphrase.")
    api_tls_client_ca: Path | None = Field(
        None, description="PEM file: callers of the public port must show a certificate of this CA."
    )
    grpc_host: str = Field("127.0.0.1", description="Address that the gRPC server listens on, behind Envoy.")
    grpc_port: int = Field(50051, ge=0, le=65535, description="Port of `serve`; `up` takes free ones.")
    http_host: str = Field("127.0.0.1", description="Address that the HTTP server of `serve` listens on.")
    http_port: int | None = Field(
        None,
        ge=0,
        le=65535,
        description="Port of `serve` for OpenAI's paths over HTTP/1.1, with TLS where the gRPC port has it; "
        "unset: there is none. `up` takes free ones.",
    )
    grpc_tls_certificate: Path | None = Field(
        None, description="The same of the gRPC port of `serve`. Servers of `up` listen on loopback only."
    )
    grpc_tls_key: Path | None = Field(None, description="PEM file: its private key, without passphrase.")
    grpc_tls_client_ca: Path | None = Field(
        None,
        description="PEM file: callers of that port, Envoy among them, must show a certificate of this CA.",
    )
    edge_tls_ca: Path | None = Field(
        None, description="PEM file: CA of the servers that `config edge` writes an Envoy for; then by TLS."
    )
    edge_tls_certificate: Path | None = Field(
        None, description="PEM file: certificate that this Envoy shows to them."
    )
    edge_tls_key: Path | None = Field(None, description="PEM file: its private key, without passphrase.")
    envoy_admin_port: int = Field(0, ge=0, le=65535, description="Envoy's admin port; 0: a private socket.")

    # Set by a supervisor for its servers: Envoy reaches them by loopback; a socket to ask for their health.
    is_behind_own_envoy: bool = Field(False, exclude=True)
    health_socket: Path | None = Field(None, exclude=True)
    metrics_folder: Path | None = Field(None, exclude=True)  # where its servers put their metrics together

    @property
    def api_tls(self) -> ListenerCertificate | None:
        """Certificate of the public port; None: it speaks without TLS."""
        if self.api_tls_certificate is None or self.api_tls_key is None:
            return None
        return ListenerCertificate(self.api_tls_certificate, self.api_tls_key, self.api_tls_client_ca)

    @property
    def grpc_tls(self) -> ListenerCertificate | None:
        """Certificate of the gRPC port; None: it speaks without TLS."""
        if self.is_behind_own_envoy or self.grpc_tls_certificate is None or self.grpc_tls_key is None:
            return None
        return ListenerCertificate(self.grpc_tls_certificate, self.grpc_tls_key, self.grpc_tls_client_ca)

    @model_validator(mode="after")
    def _certificates_with_keys(self) -> "Listeners":
        for certificate, key, client_ca in TOGETHER:
            has_both = getattr(self, certificate) is not None, getattr(self, key) is not None
            if has_both[0] != has_both[1]:
                given, missing = (certificate, key) if has_both[0] else (key, certificate)
                raise ValueError(f"GENAI_{given.upper()} needs GENAI_{missing.upper()}")
            if client_ca and getattr(self, client_ca) is not None and not has_both[0]:
                raise ValueError(f"GENAI_{client_ca.upper()} needs GENAI_{certificate.upper()}")
        if self.edge_tls_certificate is not None and self.edge_tls_ca is None:
            raise ValueError("GENAI_EDGE_TLS_CERTIFICATE needs GENAI_EDGE_TLS_CA")
        return self
