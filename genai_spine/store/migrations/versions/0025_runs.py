"""Durable runs: their events, steps, items and output, dead letters, schedules, workers and webhooks."""

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op

revision = "0025_runs"
down_revision = "0024_access"

TIME = sa.DateTime(timezone=True)
# Legal moves of runs.status, as (from, to).
MOVES = (
    *(("pending", to) for to in ("queued", "running", "cancelled")),
    *(("queued", to) for to in ("running", "completed", "failed", "cancelled")),
    *(("running", to) for to in ("completed", "failed", "cancelled")),
    *(("failed", to) for to in ("dead_lettered", "pending")),
    ("dead_lettered", "pending"),
)


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text) for name in names]


def _number(name: str, default: int | None = None) -> sa.Column[int]:
    given = None if default is None else str(default)
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=given)


def _time(*names: str) -> list[sa.Column[object]]:
    return [sa.Column(name, TIME, nullable=False) for name in names]


def _times(*names: str) -> list[sa.Column[object]]:
    return [sa.Column(name, TIME) for name in names]


def _bytes(*names: str) -> list[sa.Column[bytes]]:
    return [sa.Column(name, sa.LargeBinary, nullable=False) for name in names]


def _optional_bytes(*names: str) -> list[sa.Column[bytes]]:
    return [sa.Column(name, sa.LargeBinary) for name in names]


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.JSON, nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())


def _key(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, primary_key=True) for name in names]


def _partial(name: str, table: str, columns: Iterable[str], where: str, *, unique: bool = False) -> None:
    condition = sa.text(where)
    op.create_index(
        name, table, list(columns), unique=unique, sqlite_where=condition, postgresql_where=condition
    )


def upgrade() -> None:
    _runs()
    _parts()
    _letters_and_schedules()
    _workers_and_webhooks()
    _guard_moves()


def _runs() -> None:
    op.create_table(
        "runs",
        *_key("id"),
        *_text("tenant_id"),
        *_texts("project_id", "api_key_id"),
        *_text("principal"),
        *_optional_bytes("permissions"),
        *_text("kind", "name"),
        *_bytes("work", "options"),
        *_text("status"),
        _number("priority"),
        *_text("lane"),
        _number("attempt", 1),
        *_texts("idempotency_key"),
        *_optional_bytes("request_hash"),
        *_texts("correlation_id", "parent_run_id"),
        *_text("root_run_id"),
        *_texts("retry_of_run_id", "schedule_id"),
        *_text("trigger_source"),
        _json("metadata"),
        _flag("is_held"),
        *_time("created_at"),
        *_times("ready_at", "queued_at", "started_at", "ended_at", "deadline_at"),
        *_texts("executor_id"),
        _number("recoveries", 0),
        *_texts("cancel_mode", "cancel_reason"),
        sa.Column("progress", sa.Double, nullable=False, server_default="0"),
        sa.Column("progress_message", sa.Text, nullable=False),
        *_optional_bytes("error", "response"),
        _number("last_sequence", 0),
    )
    key = ("tenant_id", "idempotency_key")
    _partial("uq_runs_idempotency_key", "runs", key, "idempotency_key IS NOT NULL", unique=True)
    queue = ("lane", "priority", "tenant_id", "queued_at", "id")
    _partial("ix_runs_queue", "runs", queue, "status = 'queued'")
    _partial("ix_runs_pending", "runs", ("ready_at",), "status = 'pending'")
    _partial("ix_runs_running", "runs", ("executor_id", "tenant_id", "lane"), "status = 'running'")
    _partial("ix_runs_deadline", "runs", ("deadline_at",), "deadline_at IS NOT NULL AND ended_at IS NULL")
    _partial("ix_runs_cancelling", "runs", ("executor_id",), "cancel_mode IS NOT NULL AND ended_at IS NULL")
    _partial("ix_runs_parent", "runs", ("parent_run_id", "id"), "parent_run_id IS NOT NULL")
    _partial("ix_runs_correlation", "runs", ("correlation_id", "id"), "correlation_id IS NOT NULL")
    _partial("ix_runs_schedule", "runs", ("schedule_id", "id"), "schedule_id IS NOT NULL")
    _partial("ix_runs_ended", "runs", ("ended_at",), "ended_at IS NOT NULL")
    op.create_index("ix_runs_tenant", "runs", ["tenant_id", "created_at", "id"])
    op.create_index("ix_runs_root", "runs", ["root_run_id"])


def _parts() -> None:
    op.create_table(
        "run_events",
        *_key("run_id"),
        sa.Column("sequence", sa.BigInteger, primary_key=True),
        *_text("event_id", "event_type"),
        *_time("at"),
        _json("data"),
        *_text("source"),
    )
    op.create_table(
        "run_output",
        *_key("run_id", "step_id"),
        sa.Column("begun", sa.BigInteger, primary_key=True),
        sa.Column("place", sa.BigInteger, primary_key=True),
        *_text("text"),
        *_time("at"),
    )
    op.create_index("ix_run_output_at", "run_output", ["at"])
    op.create_table(
        "run_steps",
        *_key("run_id", "step_id"),
        *_text("name", "type"),
        _number("ordinal"),
        *_text("status"),
        _number("attempt"),
        *_time("started_at"),
        *_times("ended_at"),
        *_optional_bytes("error", "response"),
        _json("execution_ids"),
    )
    op.create_table(
        "run_items",
        *_key("run_id"),
        sa.Column("place", sa.BigInteger, primary_key=True),
        *_text("item_id", "status"),
        *_bytes("content_hash", "work"),
        *_optional_bytes("response", "error"),
        _number("attempt", 0),
        *_times("ended_at"),
        _flag("is_reused"),
        _json("execution_ids"),
        sa.UniqueConstraint("run_id", "item_id", name="uq_run_items_item_id"),
    )
    op.create_index("ix_run_items_status", "run_items", ["run_id", "status", "place"])


def _letters_and_schedules() -> None:
    op.create_table(
        "dead_letters",
        *_key("id"),
        *_text("tenant_id"),
        sa.Column("run_id", sa.Text, nullable=False, unique=True),
        *_text("name"),
        *_bytes("error"),
        _number("replay_count", 0),
        *_time("created_at"),
        *_times("replayed_at", "resolved_at"),
        *_texts("resolved_by"),
    )
    op.create_index("ix_dead_letters_tenant", "dead_letters", ["tenant_id", "created_at", "id"])
    _partial("ix_dead_letters_resolved", "dead_letters", ("resolved_at",), "resolved_at IS NOT NULL")
    op.create_table(
        "schedules",
        *_key("id"),
        *_text("tenant_id", "name"),
        *_bytes("body"),
        sa.Column("is_enabled", sa.Boolean, nullable=False),
        *_times("next_at", "last_at"),
        _number("version"),
        *_texts("project_id", "api_key_id"),
        *_text("principal"),
        *_optional_bytes("permissions"),
        sa.Column("pause_reason", sa.Text, nullable=False),
        *_time("created_at", "updated_at"),
        sa.UniqueConstraint("tenant_id", "name", name="uq_schedules_name"),
    )
    _partial("ix_schedules_next", "schedules", ("next_at",), "is_enabled AND next_at IS NOT NULL")
    op.create_table(
        "schedule_ticks",
        *_key("schedule_id"),
        sa.Column("due_at", TIME, primary_key=True),
        *_text("outcome"),
        *_texts("run_id"),
        *_time("seen_at"),
    )


def _workers_and_webhooks() -> None:
    op.create_table(
        "run_workers",
        *_key("server_id"),
        _json("lanes"),
        _flag("serves_others"),
        _number("max_concurrency"),
        _number("active", 0),
        _number("completed", 0),
        _number("failed", 0),
        *_text("host", "version"),
        _flag("is_draining"),
        *_time("started_at"),
    )
    op.create_table("engine_holders", *_key("name"), *_text("server_id"))
    op.create_table(
        "run_webhooks",
        *_key("id"),
        *_text("run_id"),
        _number("sequence"),
        *_text("url", "body", "status"),
        _number("attempt", 0),
        *_times("next_at", "sent_at"),
        *_texts("problem"),
        *_time("created_at"),
        sa.UniqueConstraint("run_id", "sequence", "url", name="uq_run_webhooks_event"),
    )
    _partial("ix_run_webhooks_next", "run_webhooks", ("next_at",), "status = 'waiting'")


def _guard_moves() -> None:
    """The database itself refuses a move of runs.status that is not legal."""
    legal = " OR ".join(f"(OLD.status = '{old}' AND NEW.status = '{to}')" for old, to in MOVES)
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            "CREATE TRIGGER runs_status BEFORE UPDATE OF status ON runs FOR EACH ROW "
            f"WHEN NOT ({legal}) BEGIN SELECT RAISE(ABORT, 'illegal move of runs.status'); END"
        )
        return
    op.execute(
        "CREATE FUNCTION runs_status_guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF NOT ({legal}) THEN "
        "RAISE EXCEPTION 'illegal move of runs.status from % to %', OLD.status, NEW.status "
        "USING ERRCODE = 'check_violation'; END IF; RETURN NEW; END $$"
    )
    op.execute(
        "CREATE TRIGGER runs_status BEFORE UPDATE OF status ON runs "
        "FOR EACH ROW EXECUTE FUNCTION runs_status_guard()"
    )
