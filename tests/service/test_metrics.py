"""Metrics at /metrics: who sees them, what they count, and how many labels they have."""

from typing import Any

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from genai_spine.v1 import metrics_service_pb2 as pb
from genai_spine.v1 import metrics_service_pb2_grpc
from genai_spine.v1.pipeline_pb2 import PipelineWork
from genai_spine.v1.work_pb2 import Work
from tests.service.run_calls import RunCalls
from tests.service.running import Running, asked
from tests.upstreams.reply import Reply, Usage

pytestmark = pytest.mark.asyncio(loop_scope="session")

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
REQUIRED = (
    *("ai_pipeline_executions_total", "ai_pipeline_duration_seconds_bucket", "ai_pipeline_cost_usd_bucket"),
    *("ai_pipeline_cost_usd_total", "ai_step_executions_total", "ai_provider_requests_total"),
)


async def text(channel: grpc.aio.Channel, metadata: Any = ()) -> str:
    """The metrics as they are told."""
    stub: Any = metrics_service_pb2_grpc.MetricsServiceStub(channel)
    answer = await stub.GetMetrics(pb.GetMetricsRequest(), metadata=metadata)
    assert answer.content_type.startswith("text/plain; version=0.0.4")
    return str(answer.data.decode())


async def samples(channel: grpc.aio.Channel) -> Samples:
    """Values by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(await text(channel))
        for sample in family.samples
    }


def of(found: Samples, name: str, **labels: str) -> float:
    """Sum of the samples of a metric that have these labels."""
    wanted = set(labels.items())
    return sum(value for (one, has), value in found.items() if one == name and wanted <= set(has))


async def test_a_call_is_counted_once_with_its_tokens_and_cost(booked: Running) -> None:
    before = await samples(booked.channel)
    booked.openai.script(Reply("four", usage=Usage(prompt_tokens=9, completion_tokens=4)))
    await booked.completions.CreateCompletion(asked("Hello", model="gpt-4o"))
    after = await samples(booked.channel)

    def more(name: str, **labels: str) -> float:
        return of(after, name, provider="openai", **labels) - of(before, name, provider="openai", **labels)

    assert more("ai_provider_requests_total", status="success") == 1
    assert more("ai_provider_latency_seconds_count") == 1
    assert (more("ai_tokens_total", direction="input"), more("ai_tokens_total", direction="output")) == (9, 4)
    assert more("ai_provider_cost_usd_total", tenant_id="default-tenant") == pytest.approx(0.0000625)
    assert more("ai_tokens_per_request_bucket", direction="input", le="10.0") == 1


async def test_a_failure_has_its_code(booked: Running) -> None:
    before = await samples(booked.channel)
    booked.openai.script(*[Reply(status=429)] * 4)
    with pytest.raises(grpc.aio.AioRpcError):
        await booked.completions.CreateCompletion(asked("Hello", model="gpt-4o"))
    after = await samples(booked.channel)
    labels = {"provider": "openai", "error_code": "PROVIDER_RATE_LIMITED"}
    name = "ai_provider_errors_total"
    assert of(after, name, **labels) > of(before, name, **labels)
    name = "ai_provider_rate_limit_total"
    assert of(after, name, provider="openai") > of(before, name, provider="openai")
    assert 0 < of(after, "ai_provider_error_rate", provider="openai") <= 1


async def test_a_pipeline_is_counted_by_its_events(booked: Running) -> None:
    calls, before = RunCalls(booked.channel), await samples(booked.channel)
    work = PipelineWork(pipeline_name="text_summarization")
    work.input_data.update({"text": "It rained all day. The river rose. Nobody was hurt."})
    run = await calls.ended(await calls.submit(Work(pipeline=work)))
    assert run.status == "completed"
    after = await samples(booked.channel)
    labels = {"pipeline": "text_summarization"}

    def more(name: str, **more_labels: str) -> float:
        return of(after, name, **labels, **more_labels) - of(before, name, **labels, **more_labels)

    assert more("ai_pipeline_executions_total", status="completed", tenant_id="default-tenant") == 1
    assert more("ai_pipeline_duration_seconds_count", status="completed") == 1
    assert more("ai_pipeline_cost_usd_count") == 1
    assert more("ai_pipeline_steps_completed_count") == 1
    assert (
        more("ai_step_executions_total", step="summarize", capability="summarization", status="completed")
        == 1
    )
    assert more("ai_step_duration_seconds_count") == 1
    assert of(after, "ai_pipelines_active", **labels) == 0
    log = await calls.log(run)
    for kind in ("workflow.completed", "step.completed", "progress.update", "cost.incurred"):
        counted = of(after, "ai_events_emitted_total", event_type=kind) - of(
            before, "ai_events_emitted_total", event_type=kind
        )
        assert counted == log.count(kind), kind
    assert {name for name, _ in after} >= set(REQUIRED)
