"""Columns for what a price depends on besides usage: the model that answered, and the service tier."""

import sqlalchemy as sa
from alembic import op

revision = "0003_price_terms"
down_revision = "0002_units"


def upgrade() -> None:
    for name in ("answered_model", "service_tier"):
        op.add_column("executions", sa.Column(name, sa.Text))
