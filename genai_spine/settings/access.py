"""Settings of who may call and how much: authentication, tokens of an issuer, web pages, limits."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from genai_spine.origins import origin
from genai_spine.settings.notation import named, names
from genai_spine.v1.rate_limits_pb2 import RateLimits

Names = dict[str, tuple[str, ...]]


class Access(BaseModel):
    """Callers that are let in. Which hosts may be listened on without is a rule of Settings."""

    auth: Literal["on", "off"] | None = Field(
        None,
        description="`on` asks every caller for a key, `off` asks nobody and may listen beyond loopback. "
        "Unset: nobody is asked, and only loopback may be listened on.",
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Root secret: 32 bytes as 64 hexadecimal digits or base64; two with a comma while it is "
        "rotated, the newer one first. With SQLite `migrate` makes one beside the database.",
    )
    secret_key_file: Path | None = Field(None, description="File with the root secret, in its place.")
    access_groups: Annotated[Names, NoDecode] = Field(
        {},
        description="Named groups of models, for the permissions of keys: "
        '`{"fast": ["gpt-4o-mini", "claude-haiku-*"]}`.',
    )
    jwt_issuer: str | None = Field(
        None, description="OpenID Connect issuer whose JWTs are taken as keys are: the claim `iss`, exactly."
    )
    jwt_audience: str | None = Field(None, description="Claim `aud` of its tokens; needed with it.")
    jwt_jwks_url: str | None = Field(
        None, description="Address of its public keys; unset: as its discovery document says."
    )
    jwt_tenant_claim: str | None = Field(
        None, description="Claim that names the tenant; unset: all tokens are of `default-tenant`."
    )
    jwt_scope_claim: str = Field(
        "scope", description="Claim with the scopes: words or a list; with dots: inside of others."
    )
    jwt_scopes: Annotated[Names, NoDecode] = Field(
        {},
        description='Scopes of a value of that claim: `{"users": ["completions:read", "prompts:read"]}`; '
        "unset: its values are scopes.",
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Web pages that may call, beside those of this machine: "
        "`https://app.example.com,http://10.0.0.5:3000`; `*`: all.",
    )
    rate_limit_requests_per_minute: int = Field(
        60,
        ge=0,
        le=1_000_000_000,
        description="Requests that reach a provider, for keys without limits of their own, where "
        "authentication is on; 0: no limit.",
    )
    max_concurrent_calls: int = Field(
        5000, ge=0, description="Calls that may cost money, of one process at once; more wait. 0: no limit."
    )
    max_waiting_calls: int = Field(
        5000, ge=0, description="Calls that wait for that; one more is 503 with Retry-After."
    )
    max_call_wait: float = Field(
        10.0, ge=0, le=3600, description="Seconds that such a call waits; then it is 503 with Retry-After."
    )

    @property
    def default_limits(self) -> RateLimits | None:
        """Limits of keys that have none of their own; None: none."""
        count = self.rate_limit_requests_per_minute
        return RateLimits(requests_per_minute=count) if count else None

    shared_objects: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Ids of objects at providers that every caller may name in a provider's own options; `*` "
        "stands for any characters: `vs_handbook,cachedContents/*`.",
    )

    @property
    def has_no_secret(self) -> bool:
        """Whether no setting says what the root secret is."""
        return self.secret_key is None and self.secret_key_file is None

    @field_validator("access_groups", "jwt_scopes", mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        pairs = named(value, "name=one|another,name=one")
        return {
            name: tuple(part.strip() for part in found.split("|")) if isinstance(found, str) else found
            for name, found in pairs.items()
        }

    @field_validator("cors_origins", "shared_objects", mode="before")
    @classmethod
    def _apart(cls, value: Any) -> Any:
        return names(value)

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(one if one == "*" else origin(one) for one in value)
