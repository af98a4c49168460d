"""Many calls at once: each gets its own answer, and each is one row that agrees with the upstream's bill."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from genai_spine.v1 import execution_pb2, model_service_pb2, usage_pb2
from tests.service.running import Running, asked, text_of
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")

CALLS = 120
MODELS = ("gpt-4o", "llama3.2:latest")


async def whole(service: Running, number: int) -> str:
    completion = await service.completions.CreateCompletion(
        asked(f"number {number} of many", model=MODELS[number % 2]), metadata=ids(number)
    )
    return str(completion.choices[0].message.content[0].text)


async def streamed(service: Running, number: int) -> str:
    call = service.completions.StreamCompletion(
        asked(f"number {number} of many", model=MODELS[number % 2]), metadata=ids(number)
    )
    return text_of([chunk async for chunk in call])


async def left(service: Running, number: int) -> str:
    """A stream that its caller leaves in the middle."""
    call = service.completions.StreamCompletion(
        asked(f"number {number} of many", model="vllm:slow"), metadata=ids(number)
    )
    await call.read()
    call.cancel()
    return f"You said: number {number} of many"


def ids(number: int) -> tuple[tuple[str, str], ...]:
    return (("x-request-id", f"many-{number}"),)


async def test_answers_and_rows_are_never_mixed_up(booked: Running) -> None:
    booked.openai.defaults["slow"] = Reply(["abcd"] * 1000, interval_s=0.002)
    ways: Any = (whole, streamed, left)
    said = await asyncio.gather(*(ways[number % 3](booked, number) for number in range(CALLS)))
    assert said == [f"You said: number {number} of many" for number in range(CALLS)]
    rows = [row for number in range(CALLS) for row in await booked.rows(f"many-{number}")]
    assert len(rows) == CALLS
    assert Counter(row.state for row in rows) == {
        execution_pb2.EXECUTION_STATE_SUCCEEDED: CALLS * 2 // 3,
        execution_pb2.EXECUTION_STATE_CANCELLED: CALLS // 3,
    }
    await booked.openai.bill.until(lambda bill: sum(entry.disconnected for entry in bill) == CALLS // 3)
    billed = booked.openai.bill.calls + booked.ollama.bill.calls
    assert len(billed) == CALLS
    reported = [row for row in rows if row.usage.output_provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED]
    finished = [entry for entry in billed if entry.finished]
    assert sum(row.usage.output_tokens for row in reported) == sum(
        entry.completion_tokens for entry in finished
    )
    assert sum(row.usage.input_tokens for row in reported) == sum(entry.prompt_tokens for entry in finished)
    await booked.idle()


async def test_models_are_listed_and_found_through_the_door(service: Running) -> None:
    service.openai.models.append("org/model:free")
    response = await service.models.ListModels(model_service_pb2.ListModelsRequest())
    ids = [model.id for model in response.data]
    assert {"gpt-4o", "llama3.2:latest", "builtin:extractive"} < set(ids)
    assert "groq" in response.unreachable_providers
    first = await service.models.ListModels(model_service_pb2.ListModelsRequest(page_size=3))
    second = await service.models.ListModels(
        model_service_pb2.ListModelsRequest(page_size=3, page_token=first.next_page_token)
    )
    assert [model.id for model in (*first.data, *second.data)] == ids[:6]
    for name in ("gpt-4o", "llama3.2:latest", "vllm:org/model:free"):
        assert (await service.models.GetModel(model_service_pb2.GetModelRequest(model=name))).id == name
    service.openai.models.remove("org/model:free")
