"""Options that a model did not take as they were asked for, with the call."""

import sqlalchemy as sa
from alembic import op

revision = "0012_warnings"
down_revision = "0011_reasoning_state"


def upgrade() -> None:
    op.add_column("executions", sa.Column("warnings", sa.JSON(none_as_null=True)))
