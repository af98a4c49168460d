"""Tenants of all that is stored; what was there before is the default tenant's."""

import sqlalchemy as sa
from alembic import op

revision = "0014_tenants"
down_revision = "0013_stored_completions"

OWNED = ("executions", "prompts", "sessions", "completions", "response_cache")
ATTRIBUTION = ("project_id", "api_key_id", "run_id", "step_id", "correlation_id")
# Indexes of executions with the condition of their rows; the first ones took the place of others.
REPLACED = {
    "ix_executions_prompt": ("prompt_id IS NOT NULL", ["tenant_id", "prompt_id", "created_at"]),
    "ix_executions_user": ("user_id IS NOT NULL", ["tenant_id", "user_id", "created_at"]),
    "ix_executions_failed": ("success = false", ["tenant_id", "success", "created_at"]),
}
ADDED = {
    "ix_executions_run": ("run_id IS NOT NULL", ["run_id", "created_at"]),
    "ix_executions_correlation": (
        "correlation_id IS NOT NULL",
        ["tenant_id", "correlation_id", "created_at"],
    ),
}


def upgrade() -> None:
    for table in OWNED:
        op.add_column(table, _tenant())
    for name in ATTRIBUTION:
        op.add_column("executions", sa.Column(name, sa.Text))
    _index_executions()
    _index("prompts", "ix_prompts_updated_at", ["tenant_id", "updated_at"])
    _index("sessions", "ix_sessions_updated_at", ["tenant_id", "updated_at", "id"])
    op.drop_index("uq_prompts_active_slug", "prompts")
    active = sa.text("is_active")
    op.create_index(
        "uq_prompts_active_slug",
        "prompts",
        ["tenant_id", "slug"],
        unique=True,
        sqlite_where=active,
        postgresql_where=active,
    )
    _rename_tenants_of_stored_completions()
    _replace_batch_labels()


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant_id", sa.Text, nullable=False, server_default="default-tenant")


def _index(table: str, name: str, columns: list[str]) -> None:
    """Index in the place of the one of its name."""
    op.drop_index(name, table)
    op.create_index(name, table, columns)


def _index_executions() -> None:
    op.create_index("ix_executions_tenant", "executions", ["tenant_id", "created_at"])
    for name in REPLACED:
        op.drop_index(name, "executions")
    for name, (where, columns) in (REPLACED | ADDED).items():
        condition = sa.text(where)
        op.create_index(name, "executions", columns, sqlite_where=condition, postgresql_where=condition)


def _rename_tenants_of_stored_completions() -> None:
    """Column tenant becomes tenant_id: a new one, because SQLite gives no default to one that is there."""
    op.drop_index("ix_stored_completions_created_at", "stored_completions")
    op.add_column("stored_completions", _tenant())
    op.execute("UPDATE stored_completions SET tenant_id = tenant WHERE tenant <> ''")
    op.drop_column("stored_completions", "tenant")
    columns = ["tenant_id", "created_at", "id"]
    op.create_index("ix_stored_completions_created_at", "stored_completions", columns)


def _replace_batch_labels() -> None:
    op.create_table(
        "provider_objects",
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        _tenant(),
        sa.Column("project_id", sa.Text),
        sa.Column("api_key_id", sa.Text),
        sa.Column("principal", sa.Text),
        sa.Column("cost_labels", sa.JSON),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True)),
    )
    columns = ["tenant_id", "provider", "kind", "created_at", "id"]
    op.create_index("ix_provider_objects_tenant", "provider_objects", columns)
    op.execute(
        "INSERT INTO provider_objects (provider, id, kind, cost_labels, created_at)"
        " SELECT provider, batch_id, 'batch', cost_labels, CURRENT_TIMESTAMP FROM batch_labels"
    )
    op.drop_table("batch_labels")
