"""Keys of callers, tenants with their projects, and the log of who changed what."""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0015_access"
down_revision = "0014_tenants"


def upgrade() -> None:
    _tenants()
    _api_keys()
    _audit_log()


def _tenants() -> None:
    def described() -> list[sa.Column[object]]:
        return [
            sa.Column("name", sa.Text, nullable=False),
            sa.Column("is_disabled", sa.Boolean, nullable=False),
            sa.Column("revision", sa.BigInteger, nullable=False),
            sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
            sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        ]

    tenants = op.create_table("tenants", sa.Column("id", sa.Text, primary_key=True), *described())
    now = datetime.now(UTC)
    row = {"id": "default-tenant", "name": "default-tenant", "is_disabled": False, "revision": 0}
    op.bulk_insert(tenants, [row | {"created_at": now, "updated_at": now}])
    op.create_table(
        "projects",
        sa.Column("tenant_id", sa.Text, sa.ForeignKey("tenants.id"), primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        *described(),
    )


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("project_id", sa.Text),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("secret_hash", sa.Text, nullable=False),
        sa.Column("previous_prefix", sa.Text),
        sa.Column("previous_hash", sa.Text),
        sa.Column("previous_expires_at", sa.DateTime(timezone=True)),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("permissions", sa.JSON),
        sa.Column("is_test", sa.Boolean, nullable=False),
        sa.Column("service_name", sa.Text),
        sa.Column("deduplicate_retries", sa.Boolean, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("last_used_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id", "project_id"], ["projects.tenant_id", "projects.id"]),
    )
    op.create_index("uq_api_keys_secret_hash", "api_keys", ["secret_hash"], unique=True)
    op.create_index("uq_api_keys_previous_hash", "api_keys", ["previous_hash"], unique=True)
    op.create_index("ix_api_keys_tenant", "api_keys", ["tenant_id", "created_at", "id"])


def _audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tenant_id", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.Column("seal", sa.Text),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ix_audit_log_tenant", "audit_log", ["tenant_id", "created_at", "id"])
    op.create_index("ix_audit_log_expires_at", "audit_log", ["expires_at"])
