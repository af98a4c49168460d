"""Runs that an older version had begun when it ended, by the idempotency key that each was submitted with.

A text with STALLED was never answered there; one with BUSY was refused with a rate limit.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf import json_format

from genai_spine.v1 import message_pb2
from genai_spine.v1.completion_service_pb2 import CreateCompletionRequest
from genai_spine.v1.pipeline_pb2 import PipelineDefinition
from genai_spine.v1.run_service_pb2 import CreateRunRequest

STALLED, BUSY = "stalled", "busy"
ITEMS, ITEMS_DONE = 20, 8
STEPS = ("one", "two", "three")
ASKED = {"capability": "llm_generation", "preferred_providers": ["openai"], "fallback": {"enabled": False}}


def request(key: str, text: str) -> CreateRunRequest:
    """Completion of a text."""
    made = CreateRunRequest()
    made.options.idempotency_key = key
    made.work.completion.CopyFrom(_asked(text))
    return made


def batch(key: str, count: int = ITEMS, done: int = ITEMS_DONE, **fields: Any) -> CreateRunRequest:
    """Batch whose first items are answered, and no others."""
    made = CreateRunRequest()
    made.options.idempotency_key = key
    made.work.batch.max_concurrency = 4
    for name, value in fields.items():
        setattr(made.work.batch, name, value)
    for number in range(count):
        text = item(key, number) + ("" if number < done else f" {STALLED}")
        made.work.batch.items.add().work.completion.CopyFrom(_asked(text))
    return made


def item(key: str, number: int) -> str:
    """What an item asks, as far as it marks it."""
    return f"[{key} {number}]"


def pipeline(key: str) -> CreateRunRequest:
    """Pipeline whose first step is answered, and not the second one, which gets that answer."""
    steps = [{"name": name, **ASKED, "retry": {"max_attempts": 1}} for name in STEPS]
    for before, step in zip(STEPS, steps[1:], strict=False):
        step["input_from"] = before
    made = CreateRunRequest()
    made.options.idempotency_key = key
    made.work.pipeline.definition.CopyFrom(
        json_format.ParseDict({"name": "upgraded", "steps": steps}, PipelineDefinition())
    )
    made.work.pipeline.input_data.update({"text": f"[{key} 0]"})
    return made


def waiting(key: str) -> CreateRunRequest:
    """Run that is to start an hour after it was submitted."""
    made = request(key, item(key, 0))
    made.options.not_before.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    return made


def retried(key: str) -> CreateRunRequest:
    """Run whose first attempt met a rate limit, and whose second one is an hour later."""
    made = request(key, f"{item(key, 0)} {BUSY}")
    made.options.retry_delay_seconds = 3600
    return made


def buried(key: str) -> CreateRunRequest:
    """Run among the dead letters."""
    made = request(key, f"{item(key, 0)} {BUSY}")
    made.options.max_retries = 0
    return made


def held(key: str) -> CreateRunRequest:
    """Run that waits for its approval."""
    made = request(key, item(key, 0))
    made.options.hold = True
    return made


def _asked(text: str) -> CreateCompletionRequest:
    made = CreateCompletionRequest(model="openai:gpt-4o")
    made.messages.add(role=message_pb2.ROLE_USER).content.add(text=text)
    return made
