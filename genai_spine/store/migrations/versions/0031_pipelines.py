"""Pipelines of tenants, with immutable versions."""

import sqlalchemy as sa
from alembic import op

from genai_spine.store.database import Utc

revision = "0031_pipelines"
down_revision = "0030_provider_batches"

ACTIVE = sa.text("is_active")


def upgrade() -> None:
    op.create_table(
        "pipelines",
        sa.Column("id", sa.Text, primary_key=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("tenant_id", "name")),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in ("version", "revision")),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        *(sa.Column(name, Utc, nullable=False) for name in ("created_at", "updated_at")),
    )
    op.create_index(
        "uq_pipelines_name",
        "pipelines",
        ["tenant_id", "name"],
        unique=True,
        sqlite_where=ACTIVE,
        postgresql_where=ACTIVE,
    )
    op.create_table(
        "pipeline_versions",
        sa.Column("pipeline_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("change_notes", "created_by")),
        sa.Column("created_at", Utc, nullable=False),
    )
