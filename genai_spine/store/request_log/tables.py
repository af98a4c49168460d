"""Table of the request log. Operators query it, so names stay."""

import sqlalchemy as sa

from genai_spine.call import DEFAULT_TENANT
from genai_spine.store.database import Utc
from genai_spine.store.tables import metadata


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


# One row per call of a tenant or key that has the log on; written once, after the call.
request_logs = sa.Table(
    "request_logs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # UUID
    sa.Column("tenant_id", sa.Text, nullable=False, server_default=DEFAULT_TENANT),
    _text("request_id"),  # as in executions
    _text("method"),
    sa.Column("path", sa.Text),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("expires_at", Utc, nullable=False),
    _number("latency_ms"),
    _text("code"),  # OK, or what the call ended with
    sa.Column("error_reason", sa.Text),
    sa.Column("error", sa.Text),
    _text("principal"),
    sa.Column("project_id", sa.Text),
    sa.Column("api_key_id", sa.Text),
    sa.Column("model", sa.Text),  # as the caller named it
    sa.Column("user_id", sa.Text),
    sa.Column("correlation_id", sa.Text),
    _text("caller"),
    _text("request_json"),  # redacted and cut, as is answer_json
    sa.Column("answer_json", sa.Text),
    _number("request_bytes"),
    _number("answer_bytes"),
    sa.Column("request_cut", sa.Boolean, nullable=False),
    sa.Column("answer_cut", sa.Boolean, nullable=False),
    sa.Index("ix_request_logs_tenant", "tenant_id", "created_at", "id"),
    sa.Index("ix_request_logs_request", "request_id"),
    sa.Index("ix_request_logs_user", "tenant_id", "user_id", "created_at"),
    sa.Index("ix_request_logs_expires_at", "expires_at"),
)
