"""Provider that a run calls first: how many of them run at once may be limited."""

import sqlalchemy as sa
from alembic import op

revision = "0034_run_providers"
down_revision = "0033_run_answers"

QUEUED = sa.text("status = 'queued'")


def upgrade() -> None:
    op.add_column("runs", sa.Column("provider", sa.Text, nullable=False, server_default=sa.text("''")))
    op.drop_index("ix_runs_queue", "runs")
    op.create_index(
        "ix_runs_queue",
        "runs",
        ["lane", "priority", "tenant_id", "provider", "queued_at", "id"],
        sqlite_where=QUEUED,
        postgresql_where=QUEUED,
    )
