"""Statements of runs for the drivers themselves, past SQLAlchemy, whose share of a short run was the largest.

PostgreSQL: many runs are one statement with an array a column, which logs and tells as well. SQLite: some
statements a run.
"""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import dialect

from genai_spine.store.booking.sqlite import NOW
from genai_spine.store.runs.news import CHANNEL, TEXT_CHANNEL
from genai_spine.store.runs.tables import run_events, run_output, run_steps, runs

# Columns that a submission, an event and a step have; the others are the database's defaults and its clock.
RUN = (
    *("id", "tenant_id", "project_id", "api_key_id", "principal", "permissions", "kind", "name", "work"),
    *("options", "status", "priority", "lane", "provider", "attempt", "idempotency_key", "request_hash"),
    *("correlation_id", "parent_run_id", "root_run_id", "retry_of_run_id", "schedule_id", "trigger_source"),
    "metadata",
    *("is_held", "ready_at", "deadline_at", "progress", "progress_message", "last_sequence"),
)
EVENT = ("run_id", "sequence", "event_id", "event_type", "data", "source")
STEP = (
    *("run_id", "step_id", "name", "type", "ordinal", "status", "attempt", "started_at", "execution_ids"),
)
TEXT = ("run_id", "step_id", "begun", "place", "text")
WEBHOOK = ("id", "run_id", "sequence", "url", "body", "status", "attempt")
_dialect: Any = dialect()  # type: ignore[no-untyped-call]


def _type(table: sa.Table, name: str) -> str:
    return str(table.c[name].type.compile(dialect=_dialect))


def _arrays(table: sa.Table, names: Sequence[str], first: int, **more: str) -> str:
    """Rows of arrays, one a column, of which the first is the argument of that number. JSON comes as text.

    more: types of columns that the table does not have, by their names.
    """
    types = [*(_type(table, name).replace("JSON", "TEXT") for name in names), *more.values()]
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, first))
    return f"unnest({arrays}) AS g({', '.join((*names, *more))})"


def _values(table: sa.Table, names: Sequence[str]) -> str:
    """The columns of such rows."""
    return ", ".join(f"g.{name}::json" if _type(table, name) == "JSON" else f"g.{name}" for name in names)


def _marks(names: Sequence[str]) -> str:
    return ", ".join("?" * len(names))


_EVENT = f"INSERT INTO run_events ({', '.join(EVENT)}, at)"
_STEP = f"INSERT INTO run_steps ({', '.join(STEP)}, ended_at)"
_RUN = f"INSERT INTO runs ({', '.join(RUN)}, created_at, queued_at)"
_TEXT = f"INSERT INTO run_output ({', '.join(TEXT)}, at)"
_WEBHOOK = f"INSERT INTO run_webhooks ({', '.join(WEBHOOK)}, next_at, created_at)"
_told = f"(SELECT pg_notify('{CHANNEL}', $1::text))"
_completed = "status = 'completed', error = NULL, progress = 1.0, last_sequence = last_sequence + 1"
_taken = (
    "status = 'running', executor_id = {executor}, recoveries = 0, ended_at = NULL,"
    " started_at = coalesce(started_at, {now}), last_sequence = last_sequence + 1"
)
_queued = (
    "SELECT id FROM runs WHERE status = 'queued' AND lane = {} AND priority = {} AND tenant_id = {}"
    " AND provider = {} AND {in_time}"
    " ORDER BY queued_at, id LIMIT {}"
)
_in_time = "(deadline_at IS NULL OR deadline_at > {now})"  # one that is late begins no attempt, and expires

# $1: whom it wakes; then the columns of runs and of their events. Answers the ids that are new.
SUBMIT = (
    f"WITH new AS ({_RUN} SELECT {_values(runs, RUN)}, now(), CASE g.status WHEN 'queued' THEN now() END"
    f" FROM {_arrays(runs, RUN, 2)} ON CONFLICT DO NOTHING RETURNING id),"
    f" logged AS ({_EVENT} SELECT {_values(run_events, EVENT)}, now()"
    f" FROM {_arrays(run_events, EVENT, 2 + len(RUN))} JOIN new ON new.id = g.run_id)"
    f" SELECT id, {_told} FROM new"
)
# $1: whom it wakes; $2 to $7: ids, attempts, executors, answers, ids of the events and their source; then the
# steps' columns. Answers the ids that have ended.
COMPLETE = (
    f"WITH ended AS (UPDATE runs SET {_completed}, response = m.answer, ended_at = now()"
    " FROM unnest($2::text[], $3::bigint[], $4::text[], $5::bytea[], $6::text[])"
    " AS m(run, made, maker, answer, event) WHERE id = m.run AND attempt = m.made AND executor_id = m.maker"
    " AND status = 'running' RETURNING id, last_sequence, started_at, m.event),"
    f" logged AS ({_EVENT} SELECT id, last_sequence, event, 'completed',"
    " json_build_object('duration_seconds', round(greatest(0,"
    " extract(epoch FROM clock_timestamp() - started_at))::numeric, 3)), $7::text, now() FROM ended),"
    f" stepped AS ({_STEP} SELECT {_values(run_steps, STEP)}, now()"
    f" FROM {_arrays(run_steps, STEP, 8)} JOIN ended ON ended.id = g.run_id),"
    " answered AS (DELETE FROM run_answers a USING ended WHERE a.run_id = ended.id)"
    f" SELECT id, {_told} FROM ended"
)
# $1: executor; $2: ids of the events; $3: their source; then what is picked. Answers the rows.
_claim = (
    "WITH picked AS MATERIALIZED ({picked} FOR UPDATE SKIP LOCKED),"
    f" taken AS (UPDATE runs SET {_taken.format(executor='$1::text', now='now()')}"
    " WHERE id IN (SELECT id FROM picked) AND status = 'queued' RETURNING *),"
    " numbered AS MATERIALIZED (SELECT *, ($2::text[])[row_number() OVER ()] AS event_id FROM taken),"
    f" logged AS ({_EVENT} SELECT id, last_sequence, event_id, 'started',"
    " json_build_object('worker', $1::text, 'attempt', attempt), $3::text, now() FROM numbered)"
    " SELECT n.*, EXISTS (SELECT 1 FROM budgets b WHERE b.node = 'RUN' AND b.node_key = n.id) AS has_budget,"
    f" (SELECT pg_notify('{CHANNEL}', string_agg(id, ',')) FROM numbered) FROM numbered n"
)
_FIRST = ("$4::text", "$5::bigint", "$6::text", "$7::text", "$8::bigint")
_IN_TIME = _in_time.format(now="now()")
CLAIM_FIRST = _claim.format(picked=_queued.format(*_FIRST, in_time=_IN_TIME))
CLAIM_THESE = _claim.format(
    picked=f"SELECT id FROM runs WHERE id = ANY($4::text[]) AND status = 'queued' AND {_IN_TIME}"
)
# Of both databases: what runs, by what is limited. $1 of the lock: names, each held until the commit.
COUNT_RUNNING = " UNION ALL ".join(
    f"SELECT '{column}', {column}, count(*) FROM runs WHERE status = 'running' GROUP BY {column}"
    for column in ("lane", "provider")
)
LOCK_LIMITS = "SELECT pg_advisory_xact_lock(hashtextextended(name, 0)) FROM unnest($1::text[]) AS name"
# $1: what is told; then the columns of pieces of text, and the attempts and processes that they are of.
WRITE_TEXT = (
    f"WITH written AS ({_TEXT} SELECT {_values(run_output, TEXT)}, now()"
    f" FROM {_arrays(run_output, TEXT, 2, made='bigint', maker='text')}"
    " JOIN runs r ON r.id = g.run_id AND r.attempt = g.made AND r.executor_id = g.maker"
    " AND r.status = 'running' ON CONFLICT DO NOTHING)"
    f" SELECT pg_notify('{TEXT_CHANNEL}', payload) FROM unnest($1::text[]) AS payload"
)
NOTIFY = f"SELECT pg_notify('{CHANNEL}', $1::text)"
TELL = f"{_WEBHOOK} VALUES ({', '.join(f'${number}' for number in range(1, len(WEBHOOK) + 1))}, now(), now())"

# The same for SQLite, where a run, an event or a step is a statement.
SUBMIT_ONE = (
    f"{_RUN} SELECT {_marks(RUN)}, {NOW}, CASE ? WHEN 'queued' THEN {NOW} END WHERE true"
    " ON CONFLICT DO NOTHING"
)
COMPLETE_ONE = (
    f"UPDATE runs SET {_completed}, response = ?, ended_at = {NOW}"
    " WHERE id = ? AND attempt = ? AND executor_id = ? AND status = 'running'"
    f" RETURNING last_sequence, (julianday({NOW}) - julianday(started_at)) * 86400"
)
PICK = _queued.format(*"?????", in_time=_in_time.format(now=NOW))
CLAIM_ONE = (
    f"UPDATE runs SET {_taken.format(executor='?', now=NOW)} WHERE id = ? AND status = 'queued'"
    f" AND {_in_time.format(now=NOW)} RETURNING *"
)
HAS_BUDGET_ONE = "SELECT EXISTS (SELECT 1 FROM budgets WHERE node = 'RUN' AND node_key = ?)"
FORGET_ANSWERS_ONE = "DELETE FROM run_answers WHERE run_id = ?"
LOG_ONE = f"{_EVENT} VALUES ({_marks(EVENT)}, {NOW})"
STEP_ONE = f"{_STEP} VALUES ({_marks(STEP)}, {NOW})"
WRITE_TEXT_ONE = (  # ?1: the run
    f"{_TEXT} SELECT {', '.join(f'?{number}' for number in range(1, len(TEXT) + 1))}, {NOW} FROM runs"
    f" WHERE id = ?1 AND attempt = ?{len(TEXT) + 1} AND executor_id = ?{len(TEXT) + 2} AND status = 'running'"
    " ON CONFLICT DO NOTHING"
)
TELL_ONE = f"{_WEBHOOK} VALUES ({_marks(WEBHOOK)}, {NOW}, {NOW})"
