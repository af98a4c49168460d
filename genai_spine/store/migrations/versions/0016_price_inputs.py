"""Inputs of the price that a provider reports: speed, place of computation, calls of its tools; and how."""

import sqlalchemy as sa
from alembic import op

revision = "0016_price_inputs"
down_revision = "0015_access"


def upgrade() -> None:
    op.add_column("executions", sa.Column("speed", sa.Text))
    op.add_column("executions", sa.Column("inference_geo", sa.Text))
    op.add_column("executions", sa.Column("server_tools", sa.JSON(none_as_null=True)))
    op.add_column("executions", sa.Column("usage_json", sa.Text))
