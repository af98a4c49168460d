"""Tables of pipelines and their versions."""

import sqlalchemy as sa

from genai_spine.store.database import Utc
from genai_spine.store.tables import metadata

ACTIVE = "is_active"

pipelines = sa.Table(
    "pipelines",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("tenant_id", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),  # PipelineDefinition of the newest version
    sa.Column("tags", sa.JSON, nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),  # number of the newest one
    sa.Column("revision", sa.BigInteger, nullable=False),  # counts all changes: the etag
    sa.Column("is_active", sa.Boolean, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("updated_at", Utc, nullable=False),
    sa.Index(
        "uq_pipelines_name",
        "tenant_id",
        "name",
        unique=True,
        sqlite_where=sa.text(ACTIVE),
        postgresql_where=sa.text(ACTIVE),
    ),
)

# Immutable: what a pipeline was at one time.
pipeline_versions = sa.Table(
    "pipeline_versions",
    metadata,
    sa.Column("pipeline_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True),  # from 1
    sa.Column("body", sa.LargeBinary, nullable=False),  # PipelineDefinition
    sa.Column("change_notes", sa.Text, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", Utc, nullable=False),
)
