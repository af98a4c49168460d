"""On whose behalf a provider was called."""

import sqlalchemy as sa
from alembic import op

revision = "0004_purposes"
down_revision = "0003_price_terms"


def upgrade() -> None:
    op.add_column("executions", sa.Column("variables_hash", sa.Text))
    op.add_column("executions", sa.Column("metadata_json", sa.Text))
