"""Executions of pipelines on the older paths: runs by another id, `exec-` and that of the run."""

from typing import Any

import msgspec
from google.protobuf import json_format
from google.protobuf.message import Message

from genai_spine import http_answer
from genai_spine.call import Call
from genai_spine.costs import usd_of
from genai_spine.pipelines.estimate import Estimate
from genai_spine.v1 import run_pb2

BASE = "/v1/ai/pipelines"
PREFIX = "exec-"


def is_older(call: Call) -> bool:
    """Whether a call came on one of the older paths."""
    return call.path is not None and call.path.startswith(BASE)


def run_id(execution_id: str) -> str:
    """Id of the run that is meant."""
    return execution_id.removeprefix(PREFIX)


def name(answer: Any, call: Call) -> None:
    """Gives the answer of an older path the id of its execution."""
    if call.path:
        answer.execution_id = f"{PREFIX}{answer.execution_id}"


def accepted(run: run_pb2.Run, estimate: Estimate, call: Call) -> None:
    """Answer to a submission on the older path, in the place of the run."""
    definition = run.work.pipeline.definition
    ticks, execution_id = estimate.ticks, f"{PREFIX}{run.run_id}"
    body = {
        "execution_id": execution_id,
        "run_id": run.run_id,
        "pipeline_name": definition.name,
        "pipeline_version": definition.version,
        "status": run.status,
        "created_at": run.create_time.ToJsonString(),
        "estimated_duration_seconds": estimate.seconds,
        "estimated_cost_usd": None if ticks is None else usd_of(ticks),
        "stream_url": f"{BASE}/{execution_id}/events",
    }
    http_answer.replaced(call, msgspec.json.encode(body))


def cancels(call: Call) -> None:
    """Status of a cancellation on the older path: it takes effect at the next boundary."""
    if is_older(call):
        http_answer.answered(call, 202)


def shown(message: Message, call: Call) -> None:
    """A message in the place of the method's own answer."""
    text = json_format.MessageToJson(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        ensure_ascii=True,
        indent=None,
    )
    http_answer.answered(call, 200)
    http_answer.replaced(call, text.encode())
