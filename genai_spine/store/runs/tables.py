"""Tables of durable runs. Operators query them, so names stay. Times are UTC.

A run's work, options, answer and error are stored as their proto messages; what is filtered on, ordered by or
raced for has a column of its own.
"""

import sqlalchemy as sa

from genai_spine.store.database import Utc
from genai_spine.store.tables import metadata


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _number(name: str, default: int | None = None) -> sa.Column[int]:
    given = None if default is None else str(default)
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=given)


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, Utc, nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())


def _partial(name: str, where: str, *columns: str, unique: bool = False) -> sa.Index:
    """An index of the rows for which `where` holds."""
    condition = sa.text(where)
    return sa.Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


# Legal moves of runs.status; a trigger refuses every other one, a move to the same status included.
MOVES = {
    "pending": ("queued", "running", "cancelled"),
    "queued": ("running", "completed", "failed", "cancelled"),
    "running": ("completed", "failed", "cancelled"),
    "failed": ("dead_lettered", "pending"),
    "dead_lettered": ("pending",),
}
ENDED = ("completed", "failed", "cancelled", "dead_lettered")
QUEUE_COLUMNS = (
    "lane",
    "priority",
    "tenant_id",
    "provider",
    "queued_at",
    "id",
)  # its groups, and their order
PRIORITIES = ("realtime", "high", "normal", "low", "slow")  # runs.priority is the place in this list

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # UUID; sorts by time
    _text("tenant_id"),
    sa.Column("project_id", sa.Text),
    sa.Column("api_key_id", sa.Text),
    _text("principal"),
    sa.Column("permissions", sa.LargeBinary),  # KeyPermissions of that key; NULL: all
    _text("kind"),
    _text("name"),  # genai.summarize
    sa.Column("work", sa.LargeBinary, nullable=False),  # Work
    sa.Column("options", sa.LargeBinary, nullable=False),  # RunOptions
    _text("status"),
    _number("priority"),
    _text("lane"),
    sa.Column(
        "provider", sa.Text, nullable=False, server_default=sa.text("''")
    ),  # called first; empty: unknown
    _number("attempt", 1),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("request_hash", sa.LargeBinary),  # of kind, name and work: what the key stands for
    sa.Column("correlation_id", sa.Text),
    sa.Column("parent_run_id", sa.Text),
    _text("root_run_id"),
    sa.Column("retry_of_run_id", sa.Text),
    sa.Column("schedule_id", sa.Text),
    _text("trigger_source"),
    sa.Column("metadata", sa.JSON, nullable=False),  # texts by name
    _flag("is_held"),  # it waits for approval
    _time("created_at"),
    sa.Column("ready_at", Utc),  # of a pending run: it is queued no earlier
    sa.Column("queued_at", Utc),
    sa.Column("started_at", Utc),
    sa.Column("ended_at", Utc),
    sa.Column("deadline_at", Utc),
    sa.Column("executor_id", sa.Text),  # process that makes it: the server_id of its lease
    _number("recoveries", 0),  # takeovers of this attempt since a part of it was done last
    sa.Column("cancel_mode", sa.Text),  # immediate or boundary, once somebody asked for it
    sa.Column("cancel_reason", sa.Text),
    sa.Column("progress", sa.Double, nullable=False, server_default="0"),
    sa.Column("progress_message", sa.Text, nullable=False),
    sa.Column("error", sa.LargeBinary),  # RunError
    sa.Column("response", sa.LargeBinary),  # WorkResponse; a large one is in run_results
    _number("last_sequence", 0),  # of its events
    _partial(
        "uq_runs_idempotency_key",
        "idempotency_key IS NOT NULL",
        "tenant_id",
        "idempotency_key",
        unique=True,
    ),
    _partial("ix_runs_queue", "status = 'queued'", *QUEUE_COLUMNS),
    _partial("ix_runs_pending", "status = 'pending'", "ready_at"),
    _partial("ix_runs_running", "status = 'running'", "executor_id", "tenant_id", "lane"),
    _partial("ix_runs_deadline", "deadline_at IS NOT NULL AND ended_at IS NULL", "deadline_at"),
    _partial("ix_runs_cancelling", "cancel_mode IS NOT NULL AND ended_at IS NULL", "executor_id"),
    _partial("ix_runs_parent", "parent_run_id IS NOT NULL", "parent_run_id", "id"),
    _partial("ix_runs_correlation", "correlation_id IS NOT NULL", "correlation_id", "id"),
    _partial("ix_runs_schedule", "schedule_id IS NOT NULL", "schedule_id", "id"),
    _partial("ix_runs_ended", "ended_at IS NOT NULL", "ended_at"),
    sa.Index("ix_runs_tenant", "tenant_id", "created_at", "id"),
    sa.Index("ix_runs_root", "root_run_id"),
)


def stands(status: str, table: sa.FromClause = runs) -> sa.ColumnElement[bool]:
    """Condition of a partial index: with a parameter in its place SQLite would not use the index."""
    return table.c.status == sa.literal_column(f"'{status}'")


# Large answers of runs, apart from their rows, which claims, lists and scans read.
run_results = sa.Table(
    "run_results",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("response", sa.LargeBinary, nullable=False),  # WorkResponse
)

# Answers of calls that a run has paid, until its own results say what came of them.
run_answers = sa.Table(
    "run_answers",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("execution_id", sa.Text, primary_key=True),  # the call's, in the ledger
    _text("step_id"),
    sa.Column("request_hash", sa.LargeBinary, nullable=False),  # of the request: SHA-256
    sa.Column("response", sa.LargeBinary, nullable=False),  # message of the provider's answer
)

# Append-only: sequence is 1, 2, 3 ... within a run.
run_events = sa.Table(
    "run_events",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("sequence", sa.BigInteger, primary_key=True),
    _text("event_id"),
    _text("event_type"),
    _time("at"),
    sa.Column("data", sa.JSON, nullable=False),
    _text("source"),
)

# Text that a running step writes, in pieces; deleted some time after the run has ended.
run_output = sa.Table(
    "run_output",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("step_id", sa.Text, primary_key=True),
    sa.Column("begun", sa.BigInteger, primary_key=True),  # number of the step's attempt
    sa.Column("place", sa.BigInteger, primary_key=True),  # characters before this piece
    _text("text"),
    _time("at"),
    sa.Index("ix_run_output_at", "at"),
)

# What a takeover does not repeat. The answer is there once the step is completed.
run_steps = sa.Table(
    "run_steps",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("step_id", sa.Text, primary_key=True),  # hash of the content, and ordinal among equals
    _text("name"),
    _text("type"),
    _number("ordinal"),  # place in the order in which steps began
    _text("status"),
    _number("attempt"),
    _time("started_at"),
    sa.Column("ended_at", Utc),
    sa.Column("error", sa.LargeBinary),  # RunError
    sa.Column("response", sa.LargeBinary),  # the answer's message
    sa.Column("execution_ids", sa.JSON, nullable=False),
)

# Items of a batch, in their order.
run_items = sa.Table(
    "run_items",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("place", sa.BigInteger, primary_key=True),  # from 0
    _text("item_id"),
    _text("status"),
    sa.Column("content_hash", sa.LargeBinary, nullable=False),  # of the work: SHA-256
    sa.Column("work", sa.LargeBinary, nullable=False),  # ItemWork
    sa.Column("response", sa.LargeBinary),  # ItemResponse
    sa.Column("error", sa.LargeBinary),  # RunError
    _number("attempt", 0),
    sa.Column("ended_at", Utc),
    _flag("is_reused"),
    sa.Column("execution_ids", sa.JSON, nullable=False),
    sa.UniqueConstraint("run_id", "item_id", name="uq_run_items_item_id"),
    sa.Index("ix_run_items_status", "run_id", "status", "place"),
)

# Batches of providers that completions of a batch run were sent in. The ledger's rows say what was sent in
# each: their request_id is the id here, their step_id the item, and their own id the line's.
provider_batches = sa.Table(
    "run_provider_batches",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _text("run_id"),
    _number("part"),  # place in the order in which those of the run were begun
    _text("provider"),
    _text("model"),
    _text("path"),  # of the provider's API that answers the lines
    # preparing, sending, sent, ended; dropped: it never came to be, as far as anybody knows; late: it showed
    # after it was dropped, and what it cost is not booked yet
    _text("state"),
    _number("item_count", 0),
    sa.Column("batch_id", sa.Text),  # the provider's
    _time("created_at"),
    sa.Column("sent_at", Utc),  # nothing was sent before; NULL: nothing was sent
    _time("looked_at"),  # the provider was asked for it, by whoever claimed it with that
    sa.UniqueConstraint("run_id", "part", name="uq_run_provider_batches_part"),
    _partial("uq_run_provider_batches_batch", "batch_id IS NOT NULL", "provider", "batch_id", unique=True),
    _partial("ix_run_provider_batches_open", "state <> 'ended' AND state <> 'dropped'", "run_id"),
)

dead_letters = sa.Table(
    "dead_letters",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _text("tenant_id"),
    sa.Column("run_id", sa.Text, nullable=False, unique=True),
    _text("name"),
    sa.Column("error", sa.LargeBinary, nullable=False),  # RunError
    _number("replay_count", 0),
    _time("created_at"),
    sa.Column("replayed_at", Utc),
    sa.Column("resolved_at", Utc),
    sa.Column("resolved_by", sa.Text),
    sa.Index("ix_dead_letters_tenant", "tenant_id", "created_at", "id"),
    _partial("ix_dead_letters_resolved", "resolved_at IS NOT NULL", "resolved_at"),
)

schedules = sa.Table(
    "schedules",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _text("tenant_id"),
    _text("name"),
    sa.Column("body", sa.LargeBinary, nullable=False),  # Schedule, as its maker wrote it
    sa.Column("is_enabled", sa.Boolean, nullable=False),
    sa.Column("next_at", Utc),  # NULL: no due time comes
    sa.Column("last_at", Utc),
    _number("version"),  # counts the changes; the etag
    sa.Column("project_id", sa.Text),
    sa.Column("api_key_id", sa.Text),
    _text("principal"),
    sa.Column("permissions", sa.LargeBinary),
    sa.Column("pause_reason", sa.Text, nullable=False),
    _time("created_at"),
    _time("updated_at"),
    sa.UniqueConstraint("tenant_id", "name", name="uq_schedules_name"),
    _partial("ix_schedules_next", "is_enabled AND next_at IS NOT NULL", "next_at"),
)

# One row a due time: whoever inserts it submits the run.
schedule_ticks = sa.Table(
    "schedule_ticks",
    metadata,
    sa.Column("schedule_id", sa.Text, primary_key=True),
    sa.Column("due_at", Utc, primary_key=True),
    _text("outcome"),  # submitted, skipped or missed
    sa.Column("run_id", sa.Text),
    _time("seen_at"),
)

# Processes that make runs; alive by their leases.
run_workers = sa.Table(
    "run_workers",
    metadata,
    sa.Column("server_id", sa.Text, primary_key=True),
    sa.Column("lanes", sa.JSON, nullable=False),
    _flag("serves_others"),  # every lane that no other worker names
    _number("max_concurrency"),
    _number("active", 0),
    _number("completed", 0),
    _number("failed", 0),
    _text("host"),
    _text("version"),
    _flag("is_draining"),
    _time("started_at"),
)

# With SQLite one process makes all runs: the one that is named here, while its lease holds.
engine_holders = sa.Table(
    "engine_holders",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    _text("server_id"),
)

# Events that somebody is told by a signed POST, until it is delivered or given up.
run_webhooks = sa.Table(
    "run_webhooks",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # webhook-id: equal for every try
    _text("run_id"),
    _number("sequence"),
    _text("url"),
    _text("body"),
    _text("status"),  # waiting, delivered or given_up
    _number("attempt", 0),
    sa.Column("next_at", Utc),
    sa.Column("sent_at", Utc),
    sa.Column("problem", sa.Text),
    _time("created_at"),
    sa.UniqueConstraint("run_id", "sequence", "url", name="uq_run_webhooks_event"),
    _partial("ix_run_webhooks_next", "status = 'waiting'", "next_at"),
)
