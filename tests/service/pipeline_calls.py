"""Pipelines through the channel, as the tests of this folder define, submit and read them."""

from typing import Any

from google.protobuf import json_format

from genai_spine.v1 import run_pb2
from genai_spine.v1.pipeline_pb2 import PipelineDefinition, PipelineResult, PipelineWork
from genai_spine.v1.work_pb2 import Work
from tests.service.run_calls import RunCalls

OPENAI = {"capability": "llm_generation", "preferred_providers": ["openai"]}


def step(name: str, **fields: Any) -> dict[str, Any]:
    """Step that asks the simulated OpenAI, once unless it says otherwise."""
    return {"name": name, **OPENAI, "fallback": {"enabled": False}, "retry": {"max_attempts": 1}, **fields}


def definition(*steps: dict[str, Any], name: str = "two_steps", **fields: Any) -> PipelineDefinition:
    """Definition of its fields as JSON."""
    return json_format.ParseDict({"name": name, "steps": list(steps), **fields}, PipelineDefinition())


def work(*steps: dict[str, Any], input_data: dict[str, Any] | None = None, **fields: Any) -> Work:
    """Work of a pipeline that is nowhere else."""
    made = PipelineWork(definition=definition(*steps, **fields))
    json_format.ParseDict({"text": "Hello"} if input_data is None else input_data, made.input_data)
    return Work(pipeline=made)


async def made(calls: RunCalls, submitted: Work, **options: Any) -> tuple[run_pb2.Run, PipelineResult]:
    """Run of a pipeline that has ended, and its result."""
    run = await calls.ended(await calls.submit(submitted, **options))
    return run, run.response.pipeline


def said(events: list[run_pb2.RunEvent], event_type: str) -> list[dict[str, Any]]:
    """What the events of a type say."""
    found = [event for event in events if event.event_type == event_type]
    return [json_format.MessageToDict(event.data) for event in found]
