"""Request log: what was asked and answered, where it is on."""

import sqlalchemy as sa
from alembic import op

revision = "0020_request_log"
down_revision = "0019_rollups"

TEXTS = ("request_id", "method", "code", "principal", "caller", "request_json")
OPTIONAL_TEXTS = (
    *("path", "error_reason", "error", "project_id", "api_key_id", "model", "user_id", "correlation_id"),
    "answer_json",
)
NUMBERS = ("latency_ms", "request_bytes", "answer_bytes")
INDEXES = {
    "ix_request_logs_tenant": ["tenant_id", "created_at", "id"],
    "ix_request_logs_request": ["request_id"],
    "ix_request_logs_user": ["tenant_id", "user_id", "created_at"],
    "ix_request_logs_expires_at": ["expires_at"],
}


def upgrade() -> None:
    op.create_table(
        "request_logs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("tenant_id", sa.Text, nullable=False, server_default="default-tenant"),
        *(sa.Column(name, sa.Text, nullable=False) for name in TEXTS),
        *(sa.Column(name, sa.Text) for name in OPTIONAL_TEXTS),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in NUMBERS),
        *(sa.Column(name, sa.Boolean, nullable=False) for name in ("request_cut", "answer_cut")),
        *(
            sa.Column(name, sa.DateTime(timezone=True), nullable=False)
            for name in ("created_at", "expires_at")
        ),
    )
    for name, columns in INDEXES.items():
        op.create_index(name, "request_logs", columns)
