"""Rows of executions: the only mapping of a row of the ledger to a message, and back."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import RowMapping

from genai_spine.costs import TICKS_PER_USD, usd_of
from genai_spine.v1 import usage_pb2
from genai_spine.v1.execution_pb2 import (
    EXECUTION_STATE_LOST,
    EXECUTION_STATE_PENDING,
    LOSS_RESOLUTION_RESERVE,
    Execution,
    ExecutionState,
    LossResolution,
)
from genai_spine.v1.lane_pb2 import Lane
from genai_spine.v1.operation_pb2 import Operation

MAX_NAME_CHARS = 500  # characters; PostgreSQL refuses an index entry of more than about 2,700 bytes
MAX_TEXT_CHARS = 20_000
LOST_ERROR = "the server process ended during the call; what was used is not known"

# Column -> field of Execution.
_TEXTS = {
    "id": "id",
    "request_id": "request_id",
    "provider": "provider",
    "model": "model",
    "requested_model": "requested_model",
    "caller": "user_agent",
    "server_id": "server_id",
    "tenant_id": "tenant_id",
}
_OPTIONAL_TEXTS = {  # unset or empty: NULL
    "capability": "capability",
    "error_reason": "error_reason",
    "error": "error",
    "user_id": "end_user",
    "provider_response_id": "provider_response_id",
    "answered_model": "answered_model",
    "service_tier": "service_tier",
    "speed": "speed",
    "inference_geo": "inference_geo",
    "prompt_id": "prompt_id",
    "variables_hash": "variables_hash",
    "session_id": "session_id",
    "metadata_json": "metadata_json",
    "principal": "principal",
    "project_id": "project_id",
    "api_key_id": "api_key_id",
    "run_id": "run_id",
    "step_id": "step_id",
    "correlation_id": "correlation_id",
    "usage_json": "usage_json",
}
_NUMBERS = {"attempt": "attempt", "streamed": "streamed", "latency_ms": "latency_ms", "wasted": "discarded"}
COST = ("cost_ticks", "price_known", "is_free", "price_book")
USAGE = tuple(  # every count of Usage has a column of its name
    field.name
    for field in usage_pb2.Usage.DESCRIPTOR.fields
    if field.cpp_type == field.CPPTYPE_UINT32 and field.name != "total_tokens"
)
_UNITS = tuple(
    field.name for field in usage_pb2.UnitUsage.DESCRIPTOR.fields if field.cpp_type == field.CPPTYPE_UINT32
)
_DERIVED = (
    "operation",
    "lane",
    "prompt_version",
    "cost_labels",
    "warnings",
    "server_tools",
    "est_ticks",
    "held_ticks",
    "counters",
    "resolution",
    "first_token_ms",
    "state",
    "success",
    "input_provenance",
    "output_provenance",
    "cost_usd",
    "created_at",
    "settled_at",
)
COLUMNS = (*_TEXTS, *_OPTIONAL_TEXTS, *_NUMBERS, *COST, *USAGE, *_UNITS, *_DERIVED)

_texts = attrgetter(*_TEXTS.values())
_optional_texts = attrgetter(*_OPTIONAL_TEXTS.values())
_numbers = attrgetter(*_NUMBERS.values())
_cost = attrgetter(*COST)
_usage = attrgetter(*USAGE)
_units = attrgetter(*_UNITS)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OPERATIONS = {number: name.removeprefix("OPERATION_").lower() for name, number in Operation.items()}
_LANES = {number: name.removeprefix("LANE_").lower() for name, number in Lane.items()}
_STATES = {number: name.removeprefix("EXECUTION_STATE_") for name, number in ExecutionState.items()}
# Text of a column -> number; a text that this version does not know is left unset.
_OPERATION_NUMBERS: dict[str, Any] = {name: number for number, name in _OPERATIONS.items()}
_LANE_NUMBERS: dict[str, Any] = {name: number for number, name in _LANES.items()}
_PROVENANCES = {
    number: name.removeprefix("PROVENANCE_") for name, number in usage_pb2.Provenance.items() if number
}
_RESOLUTIONS = {
    number: name.removeprefix("LOSS_RESOLUTION_") for name, number in LossResolution.items() if number
}
_RESOLUTION_NUMBERS: dict[str, Any] = {name: number for number, name in _RESOLUTIONS.items()}
_SUCCESS = {"PENDING": None, "SUCCEEDED": True}  # every other state: False


def values_of(
    execution: Execution, time: Callable[[datetime], Any], counters: Callable[[Sequence[int]], Any]
) -> tuple[Any, ...]:
    """Values in the order of COLUMNS. time, counters: as the database takes them."""
    has, usage, cost = execution.HasField, execution.usage, execution.cost
    state = _STATES[execution.state]
    return (
        *_storable(_texts(execution), MAX_NAME_CHARS),
        *_storable([text or None for text in _optional_texts(execution)], MAX_TEXT_CHARS),
        *_numbers(execution),
        *(_NO_AMOUNTS if state == "PENDING" else _amounts(execution)),
        _OPERATIONS[execution.operation],
        _LANES[execution.lane],
        execution.prompt_version or None,
        _labels(execution) if execution.cost_labels else None,
        _warnings(execution) if execution.warnings else None,
        _server_tools(execution) if execution.units.server_tools else None,
        execution.reserved_ticks if has("reserved_ticks") else None,
        held(execution),
        counters(execution.budget_counters) if execution.budget_counters else None,
        _RESOLUTIONS.get(execution.resolution),
        execution.first_token_ms if has("first_token_ms") else None,
        state,
        _SUCCESS.get(state, False),
        _PROVENANCES.get(usage.input_provenance),
        _PROVENANCES.get(usage.output_provenance),
        cost.cost_ticks / TICKS_PER_USD,
        time(datetime_of(execution.create_time)),
        time(datetime_of(execution.settle_time)) if has("settle_time") else None,
    )


def _amounts(execution: Execution) -> tuple[Any, ...]:
    """Values of the columns COST, USAGE and _UNITS."""
    return *_cost(execution.cost), *_usage(execution.usage), *_units(execution.units)


_NO_AMOUNTS = _amounts(Execution())  # of an intent


def execution_of(row: RowMapping) -> Execution:
    execution = Execution(
        state=f"EXECUTION_STATE_{row['state']}",
        operation=_OPERATION_NUMBERS.get(row["operation"]),
        lane=_LANE_NUMBERS.get(row["lane"]),
    )
    for column, field in (_TEXTS | _OPTIONAL_TEXTS | _NUMBERS).items():
        if row[column]:
            setattr(execution, field, row[column])
    for name in COST:
        if row[name]:
            setattr(execution.cost, name, row[name])
    for name in USAGE:
        if row[name]:
            setattr(execution.usage, name, row[name])
    for name in _UNITS:
        if row[name]:
            setattr(execution.units, name, row[name])
    for name, count in (row["server_tools"] or {}).items():
        execution.units.server_tools[name] = count
    if row["est_ticks"] is not None:
        execution.reserved_ticks = row["est_ticks"]
    execution.budget_counters.extend(row["counters"] or ())
    if row["resolution"]:
        execution.resolution = _RESOLUTION_NUMBERS[row["resolution"]]
    for name in ("input_provenance", "output_provenance"):
        if row[name]:
            setattr(execution.usage, name, usage_pb2.Provenance.Value(f"PROVENANCE_{row[name]}"))
    if row["prompt_version"]:
        execution.prompt_version = row["prompt_version"]
    execution.cost_labels.update(row["cost_labels"] or {})
    for warning in row["warnings"] or ():
        json_format.ParseDict(warning, execution.warnings.add(), ignore_unknown_fields=True)
    if row["first_token_ms"] is not None:
        execution.first_token_ms = row["first_token_ms"]
    if execution.HasField("usage"):
        execution.usage.total_tokens = execution.usage.input_tokens + execution.usage.output_tokens
    if execution.HasField("cost"):
        execution.cost.cost_usd = usd_of(execution.cost.cost_ticks)
    execution.create_time.FromDatetime(row["created_at"])
    if row["settled_at"] is not None:
        execution.settle_time.FromDatetime(row["settled_at"])
    return execution


def lost(row: RowMapping) -> Execution:
    """The call of a dead process, with what was reserved for it as its cost."""
    execution, is_estimated = execution_of(row), row["est_ticks"] is not None
    execution.state = EXECUTION_STATE_LOST
    execution.error, execution.error_reason = LOST_ERROR, "INTERNAL_ERROR"
    unknown = usage_pb2.PROVENANCE_UNKNOWN
    execution.usage.input_provenance = usage_pb2.PROVENANCE_ESTIMATED if is_estimated else unknown
    execution.usage.output_provenance = unknown
    execution.cost.cost_ticks, execution.cost.price_known = row["held_ticks"], is_estimated
    if is_estimated:
        execution.resolution = LOSS_RESOLUTION_RESERVE
    execution.settle_time.GetCurrentTime()
    return execution


def held(execution: Execution) -> int:
    """Ticks that are reserved for it."""
    return execution.reserved_ticks if execution.state == EXECUTION_STATE_PENDING else 0


def _labels(execution: Execution) -> str:
    labels = {key: value.replace("\0", "\ufffd") for key, value in execution.cost_labels.items()}
    return json.dumps(labels, sort_keys=True, ensure_ascii=False)


def _server_tools(execution: Execution) -> str:
    called = {name.replace("\0", "\ufffd"): count for name, count in execution.units.server_tools.items()}
    return json.dumps(called, sort_keys=True, ensure_ascii=False)


def _warnings(execution: Execution) -> str:
    listed = [
        json_format.MessageToDict(warning, preserving_proto_field_name=True) for warning in execution.warnings
    ]
    return json.dumps(listed, sort_keys=True, ensure_ascii=False).replace("\\u0000", "\ufffd")


def datetime_of(time: Timestamp) -> datetime:
    """Datetime of a Timestamp, to the microsecond, which is what both databases keep."""
    return _EPOCH + timedelta(0, time.seconds, time.nanos // 1000)


def _storable(texts: Sequence[Any], longest: int) -> Sequence[Any]:
    """Texts (None: none) as PostgreSQL can hold and index them: without NUL, and not endless."""
    whole = "".join(filter(None, texts))
    if len(whole) <= longest and "\0" not in whole:
        return texts
    return [text and text[:longest].replace("\0", "\ufffd") for text in texts]
