"""Content type and response headers of OpenAI's paths: provider, execution id, cost, timing."""

from typing import Protocol

from google.api.httpbody_pb2 import HttpBody

from genai_spine.call import Call
from genai_spine.costs import TICKS_PER_USD
from genai_spine.http_answer import carrying
from genai_spine.v1 import usage_pb2

JSON = "application/json"
EVENTS = "text/event-stream; charset=utf-8"


class BilledAnswer(Protocol):
    """Protocol of answers with provider, execution id and cost."""

    @property
    def execution_id(self) -> str: ...
    @property
    def provider(self) -> str: ...
    @property
    def cost(self) -> usage_pb2.Cost: ...


def set_headers(call: Call, content_type: str, answer: BilledAnswer, *, whole: bool = True) -> None:
    """Response headers set on the call.

    whole: the answer is complete, so its cost is known before the body.
    """
    call.content_type = content_type
    headers, latency_ms = call.headers, call.latency_ms
    headers["x-genai-execution-id"] = answer.execution_id
    headers["x-genai-provider"] = answer.provider
    headers["openai-version"] = "2020-10-01"
    headers["openai-processing-ms"] = str(latency_ms)
    headers["server-timing"] = f"total;dur={latency_ms}"
    if content_type == EVENTS:
        headers["cache-control"] = "no-cache"
    elif whole:
        headers["x-genai-cost-usd"] = f"{answer.cost.cost_ticks / TICKS_PER_USD:.10f}"


def first_message(data: bytes, call: Call) -> HttpBody:
    """First HttpBody of an answer, which carries its headers."""
    headers, call.headers = call.headers, {}
    message = HttpBody()
    message.data, message.content_type = data, carrying(call.content_type, headers if call.path else {})
    return message
