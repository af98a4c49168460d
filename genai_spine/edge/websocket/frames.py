"""Frames of a WebSocket: an event of a run as JSON, in the form of the path that it is read at."""

import json
from typing import Any

from google.protobuf import json_format

from genai_spine.v1.run_pb2 import RunEvent

CATEGORIES = frozenset(("workflow", "step", "progress", "cost", "compensation"))
# Beginnings of event types; what begins with none of them is about the run, and so about the workflow.
BEGINNINGS = {
    **dict.fromkeys(("step", "provider.", "output"), "step"),
    **dict.fromkeys(("progress", "checkpoint."), "progress"),
    **dict.fromkeys(("cost", "budget."), "cost"),
    "compensation.": "compensation",
}
HEARTBEAT = "heartbeat"  # pings say the same


def category(event: RunEvent) -> str:
    """Category of an event, one of CATEGORIES."""
    found = (name for begin, name in BEGINNINGS.items() if event.event_type.startswith(begin))
    return next(found, "workflow")


def of_run(event: RunEvent) -> str:
    """Event as it is, like the data of server-sent events."""
    return json.dumps(_shown(event))


def of_execution(event: RunEvent) -> str:
    """Event of an execution of a pipeline; its sequence is the place to go on from."""
    shown = _shown(event)
    frame: dict[str, Any] = {name: shown[name] for name in ("event_id", "event_type")}
    frame["execution_id"] = f"exec-{event.run_id}"
    frame |= {"timestamp": shown.get("timestamp"), "category": category(event), "sequence": event.sequence}
    frame["data"] = shown.get("output") if event.HasField("output") else shown.get("data", {})
    return json.dumps(frame)


def _shown(event: RunEvent) -> dict[str, Any]:
    return json_format.MessageToDict(
        event, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
