"""Chat sessions, their messages and files; indexes for the history of executions."""

import sqlalchemy as sa
from alembic import op

revision = "0007_sessions"
down_revision = "0006_completions"


def upgrade() -> None:
    _create_sessions()
    _create_messages()
    op.create_index("ix_sessions_updated_at", "sessions", ["updated_at", "id"])
    op.create_index("ux_session_messages", "session_messages", ["session_id", "sequence"], unique=True)
    for name in ("session", "prompt", "user"):
        _index_executions(name, f"{name}_id IS NOT NULL", f"{name}_id", "created_at")
    _index_executions("failed", "success = false", "success", "created_at")


def _index_executions(name: str, where: str, *columns: str) -> None:
    op.create_index(
        f"ix_executions_{name}",
        "executions",
        columns,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("title", sa.Text),
        sa.Column("title_folded", sa.Text),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("provider", sa.Text),
        sa.Column("system_prompt", sa.Text, nullable=False),
        sa.Column("metadata_json", sa.Text, nullable=False),
        sa.Column("history_policy", sa.Text, nullable=False),
        sa.Column("history_window", sa.BigInteger, nullable=False),
        sa.Column("parent_session_id", sa.Text),
        sa.Column("message_count", sa.BigInteger, nullable=False),
        sa.Column("total_tokens", sa.BigInteger, nullable=False),
        sa.Column("total_cost_ticks", sa.BigInteger, nullable=False),
        sa.Column("summary", sa.Text),
        sa.Column("summary_messages", sa.BigInteger, nullable=False),
        sa.Column("summary_tokens", sa.BigInteger, nullable=False),
        sa.Column("summary_cost_ticks", sa.BigInteger, nullable=False),
        sa.Column("send_token", sa.Text),
        sa.Column("send_until", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )


def _create_messages() -> None:
    op.create_table(
        "session_messages",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("session_id", sa.Text, sa.ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("content_folded", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("provider", sa.Text),
        sa.Column("execution_id", sa.Text),
        sa.Column("input_tokens", sa.BigInteger, nullable=False),
        sa.Column("output_tokens", sa.BigInteger, nullable=False),
        sa.Column("cost_ticks", sa.BigInteger, nullable=False),
        sa.Column("latency_ms", sa.BigInteger, nullable=False),
        sa.Column("metadata_json", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    message = sa.ForeignKey("session_messages.id", ondelete="CASCADE")
    op.create_table(
        "session_attachments",
        sa.Column("message_id", sa.Text, message, primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
