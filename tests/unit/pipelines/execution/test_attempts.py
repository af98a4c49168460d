"""Delays between attempts."""

from genai_spine.pipelines.execution.attempts import delay_of
from genai_spine.v1.pipeline_pb2 import PipelineRetry


def test_delays_double_up_to_thirty_seconds():
    assert [delay_of(PipelineRetry(), attempt) for attempt in (1, 2, 3, 5, 6, 19)] == [
        *(1000, 2000, 4000, 16_000, 30_000, 30_000)
    ]


def test_delays_are_alike_without_backoff():
    retry = PipelineRetry(initial_delay_ms=20, exponential_backoff=False)
    assert [delay_of(retry, attempt) for attempt in (1, 2, 9)] == [20, 20, 20]
