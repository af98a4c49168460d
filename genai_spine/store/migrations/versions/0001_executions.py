"""The ledger's rows, and the leases of the processes that write them."""

import sqlalchemy as sa
from alembic import op

revision = "0001_executions"
down_revision = None


def upgrade() -> None:
    _create_executions()
    op.create_index("ix_executions_created_at", "executions", ["created_at"])
    op.create_index("ix_executions_request_id", "executions", ["request_id"])
    pending = sa.text("state = 'PENDING'")
    op.create_index(
        "ix_executions_pending", "executions", ["server_id"], sqlite_where=pending, postgresql_where=pending
    )
    op.create_table(
        "leases",
        sa.Column("server_id", sa.Text, primary_key=True),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
    )


def _create_executions() -> None:
    op.create_table(
        "executions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("prompt_id", sa.Text),
        sa.Column("prompt_version", sa.BigInteger),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost_usd", sa.Double, nullable=False),
        sa.Column("latency_ms", sa.BigInteger, nullable=False),
        sa.Column("success", sa.Boolean),
        sa.Column("error", sa.Text),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("request_id", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("capability", sa.Text),
        sa.Column("requested_model", sa.Text, nullable=False),
        sa.Column("attempt", sa.BigInteger, nullable=False),
        sa.Column("streamed", sa.Boolean, nullable=False),
        sa.Column("cost_ticks", sa.BigInteger, nullable=False),
        sa.Column("price_known", sa.Boolean, nullable=False),
        sa.Column("is_free", sa.Boolean, nullable=False),
        sa.Column("price_book", sa.Text, nullable=False),
        sa.Column("input_provenance", sa.Text),
        sa.Column("output_provenance", sa.Text),
        sa.Column("uncached_input_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_read_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_write_5m_tokens", sa.BigInteger, nullable=False),
        sa.Column("cache_write_1h_tokens", sa.BigInteger, nullable=False),
        sa.Column("audio_input_tokens", sa.BigInteger, nullable=False),
        sa.Column("image_input_tokens", sa.BigInteger, nullable=False),
        sa.Column("visible_output_tokens", sa.BigInteger, nullable=False),
        sa.Column("reasoning_tokens", sa.BigInteger, nullable=False),
        sa.Column("audio_output_tokens", sa.BigInteger, nullable=False),
        sa.Column("accepted_prediction_tokens", sa.BigInteger, nullable=False),
        sa.Column("rejected_prediction_tokens", sa.BigInteger, nullable=False),
        sa.Column("first_token_ms", sa.BigInteger),
        sa.Column("error_reason", sa.Text),
        sa.Column("user_id", sa.Text),
        sa.Column("session_id", sa.Text),
        sa.Column("caller", sa.Text, nullable=False),
        sa.Column("lane", sa.Text, nullable=False),
        sa.Column("server_id", sa.Text, nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.Column("provider_response_id", sa.Text),
    )
