"""Sums of the ledger by hour and day, and triggers that say which of them are out of date."""

import sqlalchemy as sa
from alembic import op

revision = "0019_rollups"
down_revision = "0018_idempotency"

TIME = sa.DateTime(timezone=True)
FEW_DIMENSIONS = ("tenant_id", "project_id", "api_key_id", "provider", "model", "operation", "capability")
DIMENSIONS = (*FEW_DIMENSIONS, "prompt_id", "user_id", "labels")
MEASURES = (
    *("request_count", "succeeded_count", "unpriced_count", "input_tokens", "output_tokens"),
    *("uncached_input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens"),
    *("audio_input_tokens", "image_input_tokens", "visible_output_tokens", "reasoning_tokens"),
    *("audio_output_tokens", "cost_ticks", "estimated_ticks", "discarded_ticks", "latency_ms"),
)
# One entry for each hour of a statement. A statement of intents alone costs no more than the check.
POSTGRESQL = (
    """
    CREATE FUNCTION usage_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO usage_changes (hour, next_hour, day)
        SELECT hour, hour + interval '1 hour', date_trunc('day', hour, 'UTC') FROM (
            SELECT DISTINCT date_trunc('hour', created_at, 'UTC') AS hour
            FROM changed WHERE state <> 'PENDING'
        ) AS hours;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION usage_added() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO usage_changes (hour, next_hour, day) VALUES (
            date_trunc('hour', NEW.created_at, 'UTC'),
            date_trunc('hour', NEW.created_at, 'UTC') + interval '1 hour',
            date_trunc('day', NEW.created_at, 'UTC')
        );
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER executions_usage_changed AFTER UPDATE ON executions
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION usage_changed()
    """,
    """
    CREATE TRIGGER executions_usage_added AFTER INSERT ON executions
    FOR EACH ROW WHEN (NEW.state <> 'PENDING') EXECUTE FUNCTION usage_added()
    """,
)
HOUR = "substr(NEW.created_at, 1, 13) || ':00:00.000000'"
ENTRY = f"""
    INSERT INTO usage_changes (hour, next_hour, day)
    SELECT {HOUR}, strftime('%Y-%m-%d %H:00:00.000000', {HOUR}, '+1 hour'),
        substr(NEW.created_at, 1, 10) || ' 00:00:00.000000'
    WHERE NOT EXISTS (SELECT 1 FROM usage_changes WHERE hour = {HOUR});
"""
SQLITE = tuple(
    f"CREATE TRIGGER executions_usage_{name} AFTER {event} ON executions"
    f" WHEN NEW.state <> 'PENDING' BEGIN {ENTRY} END"
    for name, event in (("changed", "UPDATE"), ("added", "INSERT"))
)
OLDER = {
    "postgresql": "SELECT DISTINCT date_trunc('hour', created_at, 'UTC') AS hour FROM executions"
    " WHERE state <> 'PENDING'",
    "sqlite": "SELECT DISTINCT substr(created_at, 1, 13) || ':00:00.000000' AS hour FROM executions"
    " WHERE state <> 'PENDING'",
}
NEXT_HOUR = {
    "postgresql": "hour + interval '1 hour', date_trunc('day', hour, 'UTC')",
    "sqlite": "strftime('%Y-%m-%d %H:00:00.000000', hour, '+1 hour'),"
    " substr(hour, 1, 10) || ' 00:00:00.000000'",
}


def upgrade() -> None:
    _create_rollup("usage_rollup", ("hour", "day"), DIMENSIONS)
    _create_rollup("usage_rollup_days", ("day",), DIMENSIONS)
    _create_rollup("usage_rollup_models", ("day",), FEW_DIMENSIONS)
    op.create_index("ix_usage_rollup_day", "usage_rollup", ["day", "hour"])
    for table in ("usage_rollup_days", "usage_rollup_models"):
        op.create_index(f"ix_{table}_day", table, ["day"])
    op.create_table(
        "usage_changes",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        *(sa.Column(name, TIME, nullable=False) for name in ("hour", "next_hour", "day")),
    )
    op.create_index("ix_usage_changes_hour", "usage_changes", ["hour"])
    state = op.create_table(
        "usage_rollup_state",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("rolled_at", TIME),
    )
    op.bulk_insert(state, [{"id": 1}])
    op.create_table(
        "daily_costs",
        sa.Column("date", sa.Date, primary_key=True),
        sa.Column("provider", sa.Text, primary_key=True),
        sa.Column("model", sa.Text, primary_key=True),
        sa.Column("total_input_tokens", sa.BigInteger, nullable=False),
        sa.Column("total_output_tokens", sa.BigInteger, nullable=False),
        sa.Column("total_cost_usd", sa.Double, nullable=False),
        *(
            sa.Column(name, sa.BigInteger, nullable=False)
            for name in ("request_count", "total_cost_ticks", "cost_estimated_ticks")
        ),
    )
    dialect = op.get_bind().dialect.name
    op.get_bind().exec_driver_sql(
        f"INSERT INTO usage_changes (hour, next_hour, day) SELECT hour, {NEXT_HOUR[dialect]}"
        f" FROM ({OLDER[dialect]}) AS hours"
    )
    for statement in POSTGRESQL if dialect == "postgresql" else SQLITE:
        op.get_bind().exec_driver_sql(statement)


def _create_rollup(table: str, times: tuple[str, ...], dimensions: tuple[str, ...]) -> None:
    op.create_table(
        table,
        *(sa.Column(name, TIME, nullable=False) for name in times),
        *(sa.Column(name, sa.Text, nullable=False) for name in dimensions),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in MEASURES),
    )
    op.create_index(f"ix_{table}_tenant", table, ["tenant_id", "day"])
