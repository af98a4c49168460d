"""Prompts, their versions and labels."""

import sqlalchemy as sa
from alembic import op

revision = "0008_prompts"
down_revision = "0007_sessions"


def upgrade() -> None:
    _create_prompts()
    active = sa.text("is_active")
    op.create_index(
        "uq_prompts_active_slug",
        "prompts",
        ["slug"],
        unique=True,
        sqlite_where=active,
        postgresql_where=active,
    )
    op.create_index("ix_prompts_updated_at", "prompts", ["updated_at"])
    op.create_table(
        "prompt_versions",
        sa.Column("id", sa.Text, primary_key=True),
        _prompt(),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("system_prompt", sa.Text),
        sa.Column("user_prompt_template", sa.Text, nullable=False),
        sa.Column("change_notes", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("variables", sa.Text, nullable=False),
        *_preferences(),
        sa.UniqueConstraint("prompt_id", "version", name="uq_prompt_versions"),
    )
    op.create_table(
        "prompt_labels",
        _prompt(),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("prompt_id", "label"),
    )


def _create_prompts() -> None:
    op.create_table(
        "prompts",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("slug", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("system_prompt", sa.Text),
        sa.Column("user_prompt_template", sa.Text, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("variables", sa.Text, nullable=False),
        sa.Column("is_system", sa.Boolean, nullable=False),
        sa.Column("is_public", sa.Boolean, nullable=False),
        sa.Column("created_by", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        *_preferences(),
        sa.Column("search_text", sa.Text, nullable=False),
    )


def _preferences() -> list[sa.Column[object]]:
    return [
        sa.Column("preferred_provider", sa.Text),
        sa.Column("preferred_model", sa.Text),
        sa.Column("temperature", sa.Double),
        sa.Column("max_tokens", sa.BigInteger),
        sa.Column("output_schema", sa.Text),
    ]


def _prompt() -> sa.Column[str]:
    return sa.Column("prompt_id", sa.Text, sa.ForeignKey("prompts.id", ondelete="CASCADE"), nullable=False)
