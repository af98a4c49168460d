"""Tables of access: tenants, projects, keys, and who changed what. Operators query them, so names stay."""

import sqlalchemy as sa

from genai_spine.store.database import Utc
from genai_spine.store.tables import BigId, Counters, metadata


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, Utc, nullable=False)


# One row per customer of the service. The migration makes default-tenant.
tenants = sa.Table(
    "tenants",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _text("name"),
    sa.Column("is_disabled", sa.Boolean, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),  # counts the changes; the etag
    _time("created_at"),
    _time("updated_at"),
    sa.Column("limits", sa.JSON(none_as_null=True)),  # RateLimits; NULL: none
)

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("tenant_id", sa.Text, sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    _text("name"),
    sa.Column("is_disabled", sa.Boolean, nullable=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    _time("created_at"),
    _time("updated_at"),
)

# API keys and tokens of services. Of a secret only its SHA-256 is here, hexadecimal.
api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("project_id", sa.Text),
    _text("name"),
    _text("prefix"),  # beginning of the secret, to know it by
    _text("secret_hash"),
    sa.Column("previous_prefix", sa.Text),  # this and the next 2: of the secret before the last rotation
    sa.Column("previous_hash", sa.Text),
    sa.Column("previous_expires_at", Utc),
    sa.Column("scopes", sa.JSON, nullable=False),  # list of texts
    sa.Column("permissions", sa.JSON(none_as_null=True)),  # KeyPermissions; NULL: all is allowed
    sa.Column("is_test", sa.Boolean, nullable=False),
    sa.Column("service_name", sa.Text),  # NULL: an API key
    sa.Column("deduplicate_retries", sa.Boolean, nullable=False),
    _text("created_by"),
    _time("created_at"),
    sa.Column("expires_at", Utc),  # NULL: never
    sa.Column("last_used_at", Utc),
    sa.Column("revoked_at", Utc),
    sa.Column("request_log", sa.Boolean),  # NULL: as the settings say
    sa.Column("revision", sa.BigInteger, nullable=False),  # counts the changes; the etag
    sa.Column("limits", sa.JSON(none_as_null=True)),  # RateLimits; NULL: as the setting says
    sa.ForeignKeyConstraint(["tenant_id", "project_id"], ["projects.tenant_id", "projects.id"]),
    sa.Index("uq_api_keys_secret_hash", "secret_hash", unique=True),
    sa.Index("uq_api_keys_previous_hash", "previous_hash", unique=True),
    sa.Index("ix_api_keys_tenant", "tenant_id", "created_at", "id"),
)

# One row for whoever's rate is limited: what it made of a minute, and of the one before.
rate_counters = sa.Table(
    "rate_counters",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    _text("subject"),  # key:<id>, tenant:<id>, or the principal of a JWT
    _number("minute"),  # number of the minute since 1970
    _number("requests"),
    _number("tokens"),  # of calls that run: estimated
    _number("earlier_requests"),  # this and the next of the minute before
    _number("earlier_tokens"),
    _number("running"),  # calls
    sa.UniqueConstraint("subject", name="uq_rate_counters_subject"),
    postgresql_with={"fillfactor": "50"},  # updates stay on their page
)

# Calls that run and are counted there; a row is gone when its call is over.
rate_calls = sa.Table(
    "rate_calls",
    metadata,
    sa.Column("execution_id", sa.Text, primary_key=True),
    _number("minute"),
    _number("tokens"),  # that are reserved
    sa.Column("counters", Counters, nullable=False),
)

# Who changed what. Rows are never changed, and are deleted when they are old enough.
audit_log = sa.Table(
    "audit_log",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _time("created_at"),
    _text("tenant_id"),
    _text("actor"),
    _text("action"),
    _text("target"),
    _text("request_id"),
    sa.Column("details", sa.JSON, nullable=False),  # object
    sa.Column("seal", sa.Text),  # HMAC-SHA256 of the row, hexadecimal; NULL: written without a root secret
    _time("expires_at"),
    sa.Index("ix_audit_log_tenant", "tenant_id", "created_at", "id"),
    sa.Index("ix_audit_log_expires_at", "expires_at"),
)
