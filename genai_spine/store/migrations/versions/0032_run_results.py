"""Large answers of runs, apart from their rows."""

import sqlalchemy as sa
from alembic import op

revision = "0032_run_results"
down_revision = "0031_pipelines"


def upgrade() -> None:
    op.create_table(
        "run_results",
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("response", sa.LargeBinary, nullable=False),
    )
