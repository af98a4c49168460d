"""Access of a server: keys, tenants and the audit log, and who is asked for a key."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genai_spine.access import secrets
from genai_spine.access.audit import AuditLog
from genai_spine.access.authentication import Authenticator
from genai_spine.access.key_limits import KeyLimits
from genai_spine.access.keys import KeyLibrary
from genai_spine.access.secrets import RootSecret
from genai_spine.access.tenants import TenantLibrary
from genai_spine.runs.execution.callers import Limits
from genai_spine.services.audit import AuditService
from genai_spine.services.key import KeyService
from genai_spine.services.tenant import TenantService
from genai_spine.settings import Settings
from genai_spine.store.access.audit import AuditRows
from genai_spine.store.access.keys import KeyRows
from genai_spine.store.access.tenants import ProjectRows, TenantRows
from genai_spine.store.database import Database
from genai_spine.v1 import audit_service_pb2, key_service_pb2, tenant_service_pb2
from genai_spine.v1.audit_service_pb2_grpc import add_AuditServiceServicer_to_server
from genai_spine.v1.key_service_pb2_grpc import add_KeyServiceServicer_to_server
from genai_spine.v1.rate_limits_pb2 import RateLimits
from genai_spine.v1.tenant_service_pb2_grpc import add_TenantServiceServicer_to_server

if TYPE_CHECKING:
    from genai_spine.access.oidc import JwtVerifier

FILES = (key_service_pb2, tenant_service_pb2, audit_service_pb2)


@dataclass(frozen=True, slots=True)
class Access:
    """Keys, tenants and the audit log over one database."""

    keys: KeyLibrary
    tenants: TenantLibrary
    audit: AuditLog
    audit_rows: AuditRows
    authenticator: Authenticator | None  # None: nobody is asked for a key
    key_limits: Limits | None  # None: nobody has a limit

    @classmethod
    def of(cls, settings: Settings, database: Database) -> "Access":
        """Access as the settings say. Errors: ValueError, OSError (no root secret where one is needed)."""
        root = root_secret(settings)
        rows, tenants, projects = KeyRows(database), TenantRows(database), ProjectRows(database)
        audit_rows = AuditRows(database)
        audit = AuditLog(audit_rows, root)
        authenticator = limits = None
        if settings.auth == "on":
            if root is None:
                raise ValueError(secrets.MISSING)
            authenticator = Authenticator(rows, tenants, _verifier(settings), settings.default_limits)
            limits = KeyLimits(rows, tenants, authenticator).of
        keys, library = KeyLibrary(rows, projects, audit), TenantLibrary(tenants, projects, audit)
        keys.authenticator = library.authenticator = authenticator
        return cls(keys, library, audit, audit_rows, authenticator, limits)

    def limit(self, limits: RateLimits | None) -> None:
        """Rate limits of keys that have none of their own, from now on."""
        if self.authenticator is not None and self.authenticator.limits != limits:
            self.authenticator.limits = limits
            self.authenticator.forget()

    def services(self) -> list[tuple[Any, Any]]:
        """How gRPC adds each service, and the service."""
        return [
            (add_KeyServiceServicer_to_server, KeyService(self.keys)),
            (add_TenantServiceServicer_to_server, TenantService(self.tenants)),
            (add_AuditServiceServicer_to_server, AuditService(self.audit)),
        ]


def root_secret(settings: Settings) -> RootSecret | None:
    """Root secret of the settings; None: there is none. Errors: OSError, ValueError."""
    value = settings.secret_key.get_secret_value() if settings.secret_key is not None else None
    return secrets.found(value, settings.secret_key_file, settings.database)


def _verifier(settings: Settings) -> "JwtVerifier | None":
    """Verifier of the issuer's tokens; None: there is no issuer."""
    if settings.jwt_issuer is None or settings.jwt_audience is None:
        return None
    # Few have an issuer, and its cryptography is a tenth of a server's start.
    from genai_spine.access.oidc import Issuer, JwtVerifier, fetcher

    issuer = Issuer(
        settings.jwt_issuer,
        settings.jwt_audience,
        settings.jwt_jwks_url,
        settings.jwt_tenant_claim,
        settings.jwt_scope_claim,
        settings.jwt_scopes,
    )
    return JwtVerifier(issuer, fetcher(str(settings.ca_file) if settings.ca_file else None))
