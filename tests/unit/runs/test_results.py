"""Results of runs: fields by the name of the work, always with the cost."""

from typing import Any

import pytest
from google.protobuf import json_format

from genai_spine.runs.results import MAX_BYTES, Results
from genai_spine.services import rest_aliases
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1.batch_pb2 import BatchCounts, RunItem
from genai_spine.v1.capability_result_pb2 import CapabilityResult
from genai_spine.v1.capability_service_pb2 import (
    Classification,
    ClassifyResponse,
    Entity,
    ExtractResponse,
    RewriteResponse,
    SummarizeRequest,
    SummarizeResponse,
)
from genai_spine.v1.completion_service_pb2 import Choice, Completion, CreateEmbeddingsResponse, Embedding
from genai_spine.v1.item_work_pb2 import ItemResponse, ItemWork
from genai_spine.v1.media_service_pb2 import SpeechChunk, Transcription
from genai_spine.v1.message_pb2 import ContentPart, Message
from genai_spine.v1.prompt_service_pb2 import ExecutePromptResponse
from genai_spine.v1.run_service_pb2 import ListRunItemsRequest
from genai_spine.v1.usage_pb2 import Cost, Usage
from genai_spine.v1.work_pb2 import AggregateCostsResponse, AggregatedCost, Work, WorkResponse

COST = Cost(cost_usd=0.25, cost_ticks=2_500_000_000, price_known=True)
RESULT = CapabilityResult(usage=Usage(total_tokens=7), cost=COST, provider="p", model="m")


class Items:
    """Items of a batch."""

    def __init__(self, *items: RunItem, has_more: bool = False) -> None:
        self.items, self.has_more = items, has_more

    async def page(
        self, request: ListRunItemsRequest, after: int, size: int, max_bytes: int
    ) -> tuple[list[RunItem], bool]:
        assert (request.include_work, after, max_bytes) == (True, -1, MAX_BYTES)
        return list(self.items), self.has_more


async def result_of(run: pb.Run, items: Items | None = None) -> dict[str, Any]:
    run.cost.CopyFrom(COST)
    run.usage.total_tokens = 9
    run.end_time.GetCurrentTime()
    await Results(items or Items(), rest_aliases.fill).fill(run)  # type: ignore[arg-type]
    return json_format.MessageToDict(run.result)


def completed(name: str, **response: Any) -> pb.Run:
    return pb.Run(run_id="run", name=f"genai.{name}", response=WorkResponse(**response))


def said(text: str) -> Completion:
    message = Message(content=[ContentPart(text=text), ContentPart(text="!")])
    return Completion(choices=[Choice(message=message)], usage=Usage(total_tokens=5))


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (completed("completion", completion=said("Hi")), {"text": "Hi!", "tokens": 5}),
        (
            completed("summarize", summarize=SummarizeResponse(summary="Short.", result=RESULT)),
            {"summary": "Short.", "tokens": 7},
        ),
        (
            completed("extract", extract=ExtractResponse(entities=[Entity(text="Ann")], result=RESULT)),
            {
                "entities": [{"text": "Ann", "type": "", "confidence": 0.0, "verified": False}],
                "tokens": 7,
            },
        ),
        (
            completed(
                "embed",
                embeddings=CreateEmbeddingsResponse(
                    model="m",
                    embeddings=[Embedding(index=1, values=[2.0]), Embedding(index=0, values=[1.0])],
                    usage=Usage(total_tokens=3),
                ),
            ),
            {"embeddings": [[1.0], [2.0]], "model": "m", "tokens": 3},
        ),
        (
            completed("speech", speech=SpeechChunk(data=b"abc", media_type="audio/mpeg", model="m")),
            {"media_type": "audio/mpeg", "size_bytes": 3, "model": "m", "tokens": 9},
        ),
        (
            completed(
                "aggregate_costs",
                aggregate_costs=AggregateCostsResponse(
                    date="2026-01-15",
                    costs=[AggregatedCost(provider="p", model="m", request_count=2, total_cost_ticks=10**10)],
                ),
            ),
            {
                "date": "2026-01-15",
                "costs": [
                    {
                        "provider": "p",
                        "model": "m",
                        "request_count": 2,
                        "total_input_tokens": 0,
                        "total_output_tokens": 0,
                        "total_cost": 1.0,
                    }
                ],
                "tokens": 9,
            },
        ),
    ],
    ids=lambda value: value.name if isinstance(value, pb.Run) else "",
)
async def test_fields_of_a_name(run: pb.Run, expected: dict[str, Any]):
    assert await result_of(run) == {**expected, "cost": 0.25}


async def test_classify_is_as_over_rest_with_its_older_names():
    answer = ClassifyResponse(
        classifications=[Classification(category="news", confidence=0.5)],
        primary_category="news",
        category="news",
        classification="news",
        result=RESULT,
    )
    found = await result_of(completed("classify", classify=answer))
    assert (found["category"], found["model"], found["usage"]["total_tokens"]) == ("news", "m", 7)
    assert (found["cost"], found["cost_usd"], found["tokens"]) == (0.25, 0.25, 9)
    assert not answer.model, "the answer itself has no older name"


@pytest.mark.parametrize(
    "run",
    [
        completed("rewrite", rewrite=RewriteResponse(result=RESULT)),
        completed("execute_prompt", execute_prompt=ExecutePromptResponse(output="x", result=RESULT)),
        completed("transcription", transcription=Transcription(text="x")),
    ],
    ids=lambda run: run.name,
)
async def test_every_other_name_is_as_over_rest_with_tokens_and_cost(run: pb.Run):
    found = await result_of(run)
    assert (found["cost"], found["tokens"]) == (0.25, 9)
    member = run.response.WhichOneof("response") or ""
    assert {field.name for field, _ in getattr(run.response, member).ListFields()} <= set(found)


async def test_large_answer_is_said_to_be_left_out():
    vectors = [Embedding(index=0, values=[0.5] * (MAX_BYTES // 4 + 1))]
    found = await result_of(completed("embed", embeddings=CreateEmbeddingsResponse(embeddings=vectors)))
    assert found == {"is_truncated": True, "cost": 0.25, "tokens": 9}


async def test_run_that_has_not_ended_has_no_result():
    run = completed("completion", completion=said("Hi"))
    await Results(Items(), rest_aliases.fill).fill(run)  # type: ignore[arg-type]
    assert not run.HasField("result")


def item(index: int, summary: str) -> RunItem:
    """Item of a batch; without a summary it has failed."""
    work = ItemWork(summarize=SummarizeRequest(content=f"text {index}"))
    found = RunItem(
        index=index, item_id=f"id-{index}", status="completed" if summary else "failed", work=work
    )
    if summary:
        found.response.CopyFrom(ItemResponse(summarize=SummarizeResponse(summary=summary, result=RESULT)))
        found.cost.CopyFrom(COST)
    else:
        found.error_type, found.error = "PROVIDER_REJECTED", "no"
    return found


def batch(name: str) -> pb.Run:
    work = Work()
    work.batch.SetInParent()
    counts = BatchCounts(total=3, completed=1, failed=1, skipped=1)
    return pb.Run(run_id="run", name=name, work=work, item_counts=counts, duration_seconds=1.5)


async def test_batch_has_its_counts_and_items_in_input_order():
    found = await result_of(batch("genai.batch"), Items(item(0, "Short."), item(1, "")))
    assert {name: value for name, value in found.items() if name != "items"} == {
        "batch_id": "run",
        "total": 3,
        "successful": 1,
        "failed": 1,
        "pending": 0,
        "skipped": 1,
        "success_rate": 1 / 3,
        "duration_seconds": 1.5,
        "total_tokens": 9,
        "cost": 0.25,
    }
    first, second = found["items"]
    assert first == {
        "item_id": "id-0",
        "name": "genai.summarize",
        "params": {"content": "text 0"},
        "status": "completed",
        "result": {"summary": "Short.", "tokens": 7, "cost": 0.25},
        "error": None,
        "error_type": None,
    }
    assert (second["status"], second["result"], second["error_type"]) == ("failed", None, "PROVIDER_REJECTED")


async def test_batch_summarize_keeps_the_place_of_a_failed_text():
    found = await result_of(batch("genai.batch_summarize"), Items(item(0, "Short."), item(1, "")))
    assert found == {
        "summaries": ["Short.", None],
        "count": 3,
        "errors": [{"index": 1, "error_type": "PROVIDER_REJECTED", "error": "no"}],
        "total_tokens": 9,
        "cost": 0.25,
    }


async def test_result_of_a_long_batch_says_that_it_is_cut():
    found = await result_of(batch("genai.batch"), Items(item(0, "Short."), has_more=True))
    assert found["items_truncated"] is True
    assert len(found["items"]) == 1
