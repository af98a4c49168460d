"""Submissions of a schedule: what it asks for at a due time, or when it is triggered."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from google.protobuf import json_format

from genai_spine.errors import InvalidFields
from genai_spine.schedules import due_times
from genai_spine.v1.run_service_pb2 import CreateRunRequest
from genai_spine.v1.schedule_service_pb2 import Schedule

PLACES = ("{due}", "{date}", "{day_before}")
SCHEDULED, TRIGGERED = "schedule", "event"  # trigger sources


def of_due_time(schedule: Schedule, due: datetime) -> CreateRunRequest:
    """Submission of a due time."""
    request = _request(schedule, due, {}, SCHEDULED)
    if not request.options.HasField("idempotency_key"):
        request.options.idempotency_key = (
            f"schedule/{schedule.schedule_id}/{due_times.days(schedule, due)['{due}']}"
        )
    return request


def of_trigger(
    schedule: Schedule, now: datetime, params: Mapping[str, Any], key: str | None
) -> CreateRunRequest:
    """Submission beside the due times. params: in the place of the schedule's. key: idempotency key.

    Errors: InvalidFields.
    """
    if params and not schedule.HasField("target_name"):
        raise InvalidFields([("params", "needs a schedule with a target_name")])
    request = _request(schedule, now, params, TRIGGERED)
    if key is not None:
        request.options.idempotency_key = key
    return request


def check_key(schedule: Schedule) -> None:
    """Errors: InvalidFields, for an idempotency key that would let the schedule make one run in all."""
    options = schedule.options
    if not options.HasField("idempotency_key") or schedule.HasField("run_time"):
        return
    if not any(place in options.idempotency_key for place in PLACES):
        problem = "must hold {due}, {date} or {day_before}: one key is one run"
        raise InvalidFields([("schedule.options.idempotency_key", problem)])


def _request(schedule: Schedule, due: datetime, params: Mapping[str, Any], source: str) -> CreateRunRequest:
    request, texts = CreateRunRequest(), due_times.days(schedule, due)
    if schedule.HasField("work"):
        request.work.CopyFrom(schedule.work)
    else:
        request.kind, request.name = schedule.target_type, schedule.target_name
        fields = json_format.MessageToDict(schedule.params) | dict(params)
        json_format.ParseDict(_filled(fields, texts), request.params)
    request.options.CopyFrom(schedule.options)
    if not schedule.options.HasField("trigger_source"):
        request.options.trigger_source = source
    if schedule.options.HasField("idempotency_key"):
        key = schedule.options.idempotency_key
        for place, text in texts.items():
            key = key.replace(place, text)
        request.options.idempotency_key = key
    return request


def _filled(value: Any, texts: Mapping[str, str]) -> Any:
    """Value whose texts that stand for a due time are replaced."""
    if isinstance(value, str):
        return texts.get(value, value)
    if isinstance(value, Mapping):
        return {name: _filled(inner, texts) for name, inner in value.items()}
    return [_filled(inner, texts) for inner in value] if isinstance(value, list) else value
