"""What Bedrock must be asked because of an option: as options.SAMPLES, in Converse's own form."""

import base64
import json
from typing import Any

from genai_spine.v1 import completion_service_pb2 as pb
from tests.contract.options import FUNCTION_JSON, PNG, WAV
from tests.upstreams.bill import Entry

PARAMETERS = FUNCTION_JSON["function"]["parameters"]  # type: ignore[index]
SPEC = {"toolSpec": {"name": "weather", "description": "says it", "inputSchema": {"json": PARAMETERS}}}


def _source(data: bytes) -> dict[str, str]:
    return {"bytes": base64.b64encode(data).decode()}


SENT: dict[str, Any] = {
    "temperature": 0.25,
    "top_p": 0.5,
    "top_k": 40,
    "max_tokens": 16,
    "stop_sequences": ["stop", "é"],
    "tools": [SPEC],
    "tool_choice": {"any": {}},
    "response_format": ("json_schema", "person", PARAMETERS | {"additionalProperties": False}),
    "reasoning_effort": {"type": "enabled", "budget_tokens": 16384},
    "reasoning_max_tokens": {"type": "enabled", "budget_tokens": 2048},
    "messages.image": {"format": "png", "source": _source(PNG)},
    "messages.file": {"format": "pdf", "name": "a", "source": _source(b"%PDF")},
    "messages.audio": {"format": "wav", "source": _source(WAV)},
}


def adapted(request: pb.CreateCompletionRequest) -> None:
    """Files are sent themselves here, and not by the id that an upload got."""
    for part in (part for message in request.messages for part in message.content):
        if part.HasField("file"):
            part.file.file_data = f"data:application/pdf;base64,{_source(b'%PDF')['bytes']}"


def asked(entry: Entry, name: str, upstream_name: str) -> Any:
    body = entry.body
    more = body.get("additionalModelRequestFields", {})
    if name == "response_format":
        form = body["outputConfig"]["textFormat"]
        schema = form["structure"]["jsonSchema"]
        return form["type"], schema["name"], json.loads(schema["schema"])
    if name.startswith("messages."):
        return body["messages"][0]["content"][0][upstream_name]
    if name == "top_k":
        return more["top_k"]
    if name.startswith("reasoning"):
        return more["thinking"]
    for step in upstream_name.split("."):
        body = body[step]
    return body
