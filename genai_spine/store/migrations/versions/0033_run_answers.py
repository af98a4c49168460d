"""Answers of calls that a run has paid, until it does not need them any more."""

import sqlalchemy as sa
from alembic import op

revision = "0033_run_answers"
down_revision = "0032_run_results"


def upgrade() -> None:
    op.create_table(
        "run_answers",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("run_id", "execution_id")),
        sa.Column("step_id", sa.Text, nullable=False),
        *(sa.Column(name, sa.LargeBinary, nullable=False) for name in ("request_hash", "response")),
    )
