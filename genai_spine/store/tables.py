"""Tables of the database. Operators query them, so names stay.

A table holds real columns for what is filtered on, summed or joined. Times are UTC.
"""

import sqlalchemy as sa

from genai_spine.call import DEFAULT_TENANT
from genai_spine.store.database import Utc

metadata = sa.MetaData()
BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # which counts up by itself only so
Counters = sa.ARRAY(sa.BigInteger).with_variant(sa.JSON(none_as_null=True), "sqlite")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _added_number(name: str) -> sa.Column[int]:
    """Column of a table that had rows before it had this column."""
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def _added_flag(name: str, default: bool) -> sa.Column[bool]:
    """Of a table that had rows before it had this column."""
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.true() if default else sa.false())


def _tenant() -> sa.Column[str]:
    """Whose row it is; nobody else sees it."""
    return sa.Column("tenant_id", sa.Text, nullable=False, server_default=DEFAULT_TENANT)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _partial(name: str, where: str, *columns: str) -> sa.Index:
    """An index of the rows for which `where` holds."""
    return sa.Index(name, *columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


# Answers that their provider may have stored, to be gone on from: those of OpenAI's Responses API.
ANSWER_IS_STORED = "substr(provider_response_id, 1, 5) = 'resp_'"

# One row per call of a provider: written PENDING before the call, settled once after it.
executions = sa.Table(
    "executions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # UUID; sorts by time
    sa.Column("prompt_id", sa.Text),
    sa.Column("prompt_version", sa.BigInteger),
    _text("provider"),
    _text("model"),  # the provider's own name
    _number("input_tokens"),
    _number("output_tokens"),
    sa.Column("cost_usd", sa.Double, nullable=False),  # cost_ticks / 1e10; sum the ticks to be exact
    _number("latency_ms"),
    sa.Column("success", sa.Boolean),  # NULL while PENDING
    sa.Column("error", sa.Text),
    sa.Column("created_at", Utc, nullable=False),
    _text("state"),  # PENDING, SUCCEEDED, FAILED, CANCELLED or LOST
    _text("request_id"),
    _text("operation"),
    sa.Column("capability", sa.Text),
    _text("requested_model"),  # as the caller named it
    _number("attempt"),
    _flag("streamed"),
    _number("cost_ticks"),  # 1e-10 USD
    _flag("price_known"),  # false: the cost is not known, and not zero
    _flag("is_free"),
    _text("price_book"),
    sa.Column("input_provenance", sa.Text),  # PROVIDER_REPORTED, PARTIAL_STREAM, ESTIMATED or UNKNOWN
    sa.Column("output_provenance", sa.Text),
    _number("uncached_input_tokens"),  # this and the next 5 sum to input_tokens
    _number("cache_read_tokens"),
    _number("cache_write_5m_tokens"),
    _number("cache_write_1h_tokens"),
    _number("audio_input_tokens"),
    _number("image_input_tokens"),
    _number("visible_output_tokens"),  # this and the next 2 sum to output_tokens
    _number("reasoning_tokens"),
    _number("audio_output_tokens"),
    _number("accepted_prediction_tokens"),  # this and the next are part of visible_output_tokens
    _number("rejected_prediction_tokens"),
    sa.Column("first_token_ms", sa.BigInteger),
    sa.Column("error_reason", sa.Text),
    sa.Column("user_id", sa.Text),
    sa.Column("session_id", sa.Text),
    _text("caller"),
    _text("lane"),
    _text("server_id"),  # the process that made the call
    sa.Column("settled_at", Utc),
    sa.Column("provider_response_id", sa.Text),
    sa.Column("answered_model", sa.Text),  # by the provider's word; priced by this name first
    sa.Column("service_tier", sa.Text),  # that the provider says it served
    _added_number("audio_ms"),  # milliseconds of sound
    _added_number("characters"),  # of text that was spoken
    _added_number("images"),
    sa.Column("wasted", sa.Boolean, nullable=False, server_default=sa.false()),  # paid for, not used
    sa.Column("variables_hash", sa.Text),  # SHA-256, hexadecimal
    sa.Column("metadata_json", sa.Text),  # as the caller gave it
    sa.Column("principal", sa.Text),  # who asked: key:<id>, service:<name>; NULL: nobody was asked for a key
    sa.Column("cost_labels", sa.JSON(none_as_null=True)),  # for what, in the caller's words: an object
    sa.Column("warnings", sa.JSON(none_as_null=True)),  # options that were dropped or mapped: a list
    _tenant(),
    sa.Column("project_id", sa.Text),
    sa.Column("api_key_id", sa.Text),
    sa.Column("run_id", sa.Text),  # UUID
    sa.Column("step_id", sa.Text),
    sa.Column("correlation_id", sa.Text),  # as the caller said
    sa.Column("speed", sa.Text),  # this and the next as the provider says; they can have their own prices
    sa.Column("inference_geo", sa.Text),
    sa.Column("server_tools", sa.JSON(none_as_null=True)),  # calls of the provider's tools, by name
    sa.Column("usage_json", sa.Text),  # the provider's usage object as it came
    sa.Column("est_ticks", sa.BigInteger),  # what was reserved; NULL: nobody could tell
    _added_number("held_ticks"),  # what is still reserved: of PENDING rows
    sa.Column("counters", Counters),  # ids of budget_counters that it is charged to, for good; NULL: none
    sa.Column("resolution", sa.Text),  # of a LOST row's numbers: RESERVE, STREAM, PROVIDER or LATE
    # Where the chain of ledger_batches has the intent and the settlement.
    sa.Column("intent_seq", sa.BigInteger),
    sa.Column("settled_by", sa.Text),
    sa.Column("settle_seq", sa.BigInteger),
    sa.Index("ix_executions_created_at", "created_at"),
    sa.Index("ix_executions_tenant", "tenant_id", "created_at"),
    sa.Index("ux_executions_attempt", "request_id", "attempt", unique=True),
    # What few rows have costs the others nothing. What tenants may have in common comes behind the tenant.
    _partial("ix_executions_session", "session_id IS NOT NULL", "session_id", "created_at"),
    _partial("ix_executions_run", "run_id IS NOT NULL", "run_id", "created_at"),
    _partial("ix_executions_prompt", "prompt_id IS NOT NULL", "tenant_id", "prompt_id", "created_at"),
    _partial("ix_executions_user", "user_id IS NOT NULL", "tenant_id", "user_id", "created_at"),
    _partial(
        *("ix_executions_correlation", "correlation_id IS NOT NULL"),
        *("tenant_id", "correlation_id", "created_at"),
    ),
    _partial("ix_executions_failed", "success = false", "tenant_id", "success", "created_at"),
    _partial("ix_executions_stored_answers", ANSWER_IS_STORED, "provider_response_id"),
    sa.Index(
        "ix_executions_pending",
        "server_id",
        sqlite_where=sa.text("state = 'PENDING'"),
        postgresql_where=sa.text("state = 'PENDING'"),
    ),
)

# What may be spent, and by whom; configuration.
budgets = sa.Table(
    "budgets",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    _text("tenant_id"),  # *: of every tenant without a TENANT budget of its own
    _text("node"),  # TENANT, PROJECT, KEY, END_USER, LABEL or RUN
    _text("node_key"),  # id of the node, of a label name=value; *: each one by itself
    _text("period"),  # DAILY, WEEKLY, MONTHLY or TOTAL; UTC, weeks begin on Monday
    _number("limit_ticks"),
    _text("policy"),  # WARN, SOFT_BLOCK, HARD_BLOCK or FALLBACK
    _number("warn_percent"),
    _number("raise_ticks"),  # that the limit is higher until raise_until
    sa.Column("raise_until", Utc),
    _flag("enabled"),
    _number("revision"),  # counts the changes of all budgets; grows
    sa.Column("created_at", Utc, nullable=False),
    _added_flag("from_settings", default=False),  # a default of the settings, and goes with them
    sa.UniqueConstraint("tenant_id", "node", "node_key", "period", name="uq_budgets_node"),
    sqlite_autoincrement=True,  # the id of one that is gone is never given again
)

# What was spent and is reserved in one period of a budget, by one node. Rows are locked in the order of ids.
budget_counters = sa.Table(
    "budget_counters",
    metadata,
    sa.Column("id", BigId, primary_key=True),
    _number("budget_id"),
    _text("node_key"),
    sa.Column("period_start", Utc, nullable=False),  # of TOTAL: 1970
    _number("limit_ticks"),  # this and the next 3 as the budget has them, so that one lock is enough
    _number("raise_ticks"),
    sa.Column("raise_until", Utc),
    _flag("blocks"),  # false: it warns
    _number("spent_ticks"),
    _number("reserved_ticks"),
    _number("opening_ticks"),  # of spent_ticks: of rows that were settled before the budget was made
    sa.Column("expires_at", Utc),  # NULL: of TOTAL, while its budget is there
    sa.UniqueConstraint("budget_id", "node_key", "period_start", name="uq_budget_counters_period"),
    sa.Index("ix_budget_counters_period", "budget_id", "period_start", "id"),
    _partial("ix_budget_counters_expires_at", "expires_at IS NOT NULL", "expires_at"),
    sqlite_autoincrement=True,
    postgresql_with={"fillfactor": "50"},  # updates stay on their page
)

# Alerts: which thresholds of a counter were passed, each once; and those that a webhook has still to be told.
budget_alerts = sa.Table(
    "budget_alerts",
    metadata,
    sa.Column("counter_id", sa.BigInteger, primary_key=True),
    sa.Column("percent", sa.BigInteger, primary_key=True),  # 100: the limit was passed
    sa.Column("limit_ticks", sa.BigInteger, primary_key=True),  # of which it is the percentage
    _number("used_ticks"),
    sa.Column("at", Utc, nullable=False),
    sa.Column("id", sa.Text),  # that the webhook is told; NULL: of an older version
    sa.Column("event", sa.JSON(none_as_null=True)),
    sa.Column("state", sa.Text),  # PENDING, DELIVERED or FAILED; NULL: there was no webhook
    _added_number("attempts"),
    sa.Column("next_attempt_at", Utc),  # of PENDING; while one is made, when it counts as given up
    _partial("ix_budget_alerts_pending", "state = 'PENDING'", "next_attempt_at"),
    sa.Index("ix_budget_alerts_at", "at"),
)

# Files and batches at providers that were made through this service: whose they are, and what they are for.
# A batch's lines get that when they are booked, which may be days later.
provider_objects = sa.Table(
    "provider_objects",
    metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),  # the provider's
    _text("kind"),  # file or batch
    _tenant(),
    sa.Column("project_id", sa.Text),
    sa.Column("api_key_id", sa.Text),
    sa.Column("principal", sa.Text),  # as in executions
    sa.Column("cost_labels", sa.JSON(none_as_null=True)),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("deleted_at", Utc),  # the provider has it no more; lists may go on behind it
    sa.Index("ix_provider_objects_tenant", "tenant_id", "provider", "kind", "created_at", "id"),
)

# One row per running server process. Who has no live lease is dead, and its PENDING rows are lost.
leases = sa.Table(
    "leases",
    metadata,
    sa.Column("server_id", sa.Text, primary_key=True),
    _text("lane"),
    sa.Column("lease_until", Utc, nullable=False),  # by the database's clock
    sa.Column("started_at", Utc, nullable=False),
)

# Answers that may be given again to equal requests. A row is replaced by a newer answer.
response_cache = sa.Table(
    "response_cache",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),  # fingerprint of the request and its tenant
    _tenant(),
    _text("operation"),  # completion or embeddings
    _text("provider"),
    _text("model"),  # the provider's own name
    sa.Column("body", sa.LargeBinary, nullable=False),  # Completion or CreateEmbeddingsResponse
    _number("body_bytes"),
    sa.Column("created_at", Utc, nullable=False),  # both by the database's clock
    sa.Column("expires_at", Utc, nullable=False),
    sa.Index("ix_response_cache_expires_at", "expires_at"),
)

# Answers to requests that said DISCONNECT_POLICY_CONTINUE. A RUNNING row of a dead server has no answer.
completions = sa.Table(
    "completions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _tenant(),
    _text("request_id"),
    sa.Column("execution_id", sa.Text),  # of the call that answered
    _text("state"),  # RUNNING, DONE or FAILED
    _text("server_id"),  # the process that makes the call
    sa.Column("body", sa.LargeBinary),  # Completion; of a row that is DONE
    sa.Column("error_reason", sa.Text),  # this and the next 2: of a row that is FAILED
    sa.Column("error", sa.Text),
    sa.Column("error_metadata", sa.Text),  # JSON object of texts
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("expires_at", Utc, nullable=False),
    sa.Index("ix_completions_request_id", "request_id"),
    sa.Index("ix_completions_expires_at", "expires_at"),
)

# Answers of requests that said `store`, as their callers saw them. A row that is deleted stays without its
# content until it expires, because a list that is read page by page may go on behind it.
stored_completions = sa.Table(
    "stored_completions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # of the answer
    _tenant(),
    _text("model"),  # the provider's own name
    _text("requested_model"),  # as the caller named it
    _text("request_id"),
    sa.Column("execution_id", sa.Text),  # of the call that answered
    sa.Column("metadata", sa.JSON(none_as_null=True), nullable=False),  # object of texts
    sa.Column("messages", sa.LargeBinary, nullable=False),  # ListStoredMessagesResponse
    sa.Column("body", sa.LargeBinary, nullable=False),  # Completion
    _number("body_bytes"),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("deleted_at", Utc),
    sa.Column("expires_at", Utc, nullable=False),
    sa.Index("ix_stored_completions_created_at", "tenant_id", "created_at", "id"),
    sa.Index("ix_stored_completions_expires_at", "expires_at"),
)

# One row per prompt, as it stands now; what it was before is in prompt_versions.
prompts = sa.Table(
    "prompts",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # UUID
    _tenant(),
    _text("name"),
    _text("slug"),
    sa.Column("description", sa.Text),
    sa.Column("system_prompt", sa.Text),
    _text("user_prompt_template"),
    _text("category"),
    _text("tags"),  # JSON: a list of texts
    _text("variables"),  # JSON: a list of objects
    _flag("is_system"),  # of the default tenant, and seen by all
    _flag("is_public"),
    sa.Column("created_by", sa.Text),
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("updated_at", Utc, nullable=False),
    _flag("is_active"),  # false: deleted, and its slug is free again
    _number("version"),  # the newest
    _number("revision"),  # counts the changes; the etag
    sa.Column("preferred_provider", sa.Text),
    sa.Column("preferred_model", sa.Text),
    sa.Column("temperature", sa.Double),
    sa.Column("max_tokens", sa.BigInteger),
    sa.Column("output_schema", sa.Text),  # JSON
    _text("search_text"),  # name, slug and description, in lower case
    sa.Index(
        "uq_prompts_active_slug",
        "tenant_id",
        "slug",
        unique=True,
        sqlite_where=sa.text("is_active"),
        postgresql_where=sa.text("is_active"),
    ),
    sa.Index("ix_prompts_updated_at", "tenant_id", "updated_at"),
)


def _prompt() -> sa.Column[str]:
    return sa.Column("prompt_id", sa.Text, sa.ForeignKey("prompts.id", ondelete="CASCADE"), nullable=False)


# Never changed once they are there.
prompt_versions = sa.Table(
    "prompt_versions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # UUID
    _prompt(),
    _number("version"),  # from 1
    sa.Column("system_prompt", sa.Text),
    _text("user_prompt_template"),
    sa.Column("change_notes", sa.Text),
    sa.Column("created_at", Utc, nullable=False),
    _text("variables"),
    sa.Column("preferred_provider", sa.Text),
    sa.Column("preferred_model", sa.Text),
    sa.Column("temperature", sa.Double),
    sa.Column("max_tokens", sa.BigInteger),
    sa.Column("output_schema", sa.Text),
    sa.UniqueConstraint("prompt_id", "version", name="uq_prompt_versions"),
)

# Names that point at a version and may be moved.
prompt_labels = sa.Table(
    "prompt_labels",
    metadata,
    _prompt(),
    _text("label"),
    _number("version"),
    sa.PrimaryKeyConstraint("prompt_id", "label"),
)

# One row per chat session. The sums are those of its messages and its summary: what changes a message
# changes them in the same transaction.
sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # UUID
    _tenant(),
    sa.Column("title", sa.Text),
    sa.Column("title_folded", sa.Text),  # for the search; databases do not fold the case of all letters
    _text("model"),
    sa.Column("provider", sa.Text),  # NULL: found from the model
    _text("system_prompt"),
    _text("metadata_json"),
    _text("history_policy"),  # ALL, WINDOW or SUMMARY
    _added_number("revision"),  # counts the changes; the etag
    _number("history_window"),
    sa.Column("parent_session_id", sa.Text),  # which may be gone
    _number("message_count"),
    _number("total_tokens"),
    _number("total_cost_ticks"),
    _added_flag("total_price_known", True),  # false: a part of the cost is not known
    sa.Column("summary", sa.Text),
    _number("summary_messages"),  # so many, from the first on, are in the summary
    _number("summary_tokens"),  # that all summaries have taken
    _number("summary_cost_ticks"),
    _added_flag("summary_price_known", True),
    sa.Column("send_token", sa.Text),  # of the send that runs
    sa.Column("send_until", Utc),  # by the database's clock; a send that died ends there
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("updated_at", Utc, nullable=False),
    sa.Index("ix_sessions_updated_at", "tenant_id", "updated_at", "id"),
)

# What was said, by user and assistant. The system message is the session's system_prompt.
session_messages = sa.Table(
    "session_messages",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # UUID
    sa.Column("session_id", sa.Text, sa.ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    _number("sequence"),  # from 0, without gaps
    _text("role"),  # user or assistant
    _text("content"),
    _text("content_folded"),  # for the search
    _text("model"),
    sa.Column("provider", sa.Text),  # NULL: a user's message, as are the next two
    sa.Column("execution_id", sa.Text),
    _number("input_tokens"),
    _number("output_tokens"),
    _number("cost_ticks"),
    _added_flag("price_known", True),
    _added_flag("is_free", False),
    sa.Column("price_book", sa.Text),
    _number("latency_ms"),
    _text("metadata_json"),
    sa.Column("reasoning_state", sa.Text),  # JSON array; NULL: none
    sa.Column("created_at", Utc, nullable=False),
    sa.Index("ux_session_messages", "session_id", "sequence", unique=True),
)

# Files that came with a message, whole: each send passes them to the model again.
session_attachments = sa.Table(
    "session_attachments",
    metadata,
    sa.Column(
        "message_id", sa.Text, sa.ForeignKey("session_messages.id", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("position", sa.Integer, primary_key=True),  # from 0
    _text("filename"),
    _text("media_type"),
    _number("size_bytes"),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

# Calls without a key of their own, whose repeats by an SDK are found by their body.
KEY_IS_OURS = "substr(key, 1, 5) = 'auto:'"

# Calls with an idempotency key: who makes it, and what it came to. A repeat is told the same.
idempotent_calls = sa.Table(
    "idempotent_calls",
    metadata,
    _text("tenant_id"),
    _text("principal"),  # who calls: a key means something for its own caller only
    _text("key"),
    sa.Column("call_id", sa.BigInteger, nullable=False, unique=True),  # another one after each take-over
    _text("method"),
    sa.Column("request_hash", sa.LargeBinary, nullable=False),  # SHA-256
    _text("state"),  # RUNNING, DONE or FAILED
    _text("server_id"),  # the process that makes the call
    _number("epoch"),  # counts the take-overs
    _text("request_id"),  # of the call that was made
    sa.Column("headers", sa.Text),  # JSON object of texts
    sa.Column("body", sa.LargeBinary),  # of an answer in one message, as it went out
    sa.Column("completion_id", sa.Text),  # of the row of completions that has the body in its place
    sa.Column("error", sa.Text),  # JSON; of a call that failed, and did not say so in its messages
    sa.Column("last_seq", sa.BigInteger),  # number of messages of a stream
    sa.Column("followed_until", Utc),  # somebody reads its blocks
    sa.Column("blocks_until", Utc),  # of a stream that has ended: its blocks go then
    sa.Column("created_at", Utc, nullable=False),
    sa.Column("expires_at", Utc, nullable=False),
    sa.PrimaryKeyConstraint("tenant_id", "principal", "key"),
    sa.Index("ix_idempotent_calls_expires_at", "expires_at"),
    _partial("ix_idempotent_calls_blocks_until", "blocks_until IS NOT NULL", "blocks_until"),
    _partial(
        *("ix_idempotent_calls_bodies", KEY_IS_OURS),
        *("tenant_id", "principal", "request_hash", "created_at"),
    ),
)

# Messages of streams with a key, some in a row, in the order in which they were sent.
stream_blocks = sa.Table(
    "stream_blocks",
    metadata,
    sa.Column("call_id", sa.BigInteger, nullable=False),
    sa.Column("first_seq", sa.BigInteger, nullable=False),  # from 1
    _number("last_seq"),
    sa.Column("body", sa.LargeBinary, nullable=False),  # zlib of MessagePack: headers or null, list of bytes
    sa.PrimaryKeyConstraint("call_id", "first_seq"),
    sqlite_with_rowid=False,
)
