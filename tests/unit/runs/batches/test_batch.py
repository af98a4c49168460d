"""Work of a batch: what is repeated, what stops it, and what its items' calls carry."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from google.protobuf.message import Message

from genai_spine.call import Call
from genai_spine.errors import BudgetExceeded, ModelNotFound, ProviderRateLimited, ServiceUnavailable
from genai_spine.runs.batches import batch, item_ends
from genai_spine.runs.batches.batch import BatchWork
from genai_spine.runs.execution.context import Left, RunContext, RunFailed, Stopped
from genai_spine.store.runs.events import Owner
from genai_spine.store.runs.items import BatchProgress, ItemEnd, PendingItem
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1.batch_pb2 import Batch, BatchCounts
from genai_spine.v1.capability_service_pb2 import SummarizeRequest, SummarizeResponse
from genai_spine.v1.item_work_pb2 import ItemWork
from genai_spine.v1.work_pb2 import Work, WorkResponse

OWNER = Owner("run", 1, "process")


class Rows:
    """Items in memory."""

    def __init__(self, count: int, ended: Mapping[int, str] | None = None) -> None:
        self.status = {place: (ended or {}).get(place, "pending") for place in range(count)}
        self.ends: dict[int, ItemEnd] = {}
        self.earlier: dict[str, list[str]] = {}

    async def counts(self, run_id: str) -> BatchCounts:
        counts = BatchCounts(total=len(self.status))
        for status in self.status.values():
            setattr(counts, status, getattr(counts, status) + 1)
        return counts

    async def pending(self, run_id: str, after: int, limit: int) -> list[PendingItem]:
        left = [
            place
            for place, status in self.status.items()
            if status in ("pending", "running") and place > after
        ]
        return [PendingItem(place, str(place), work(place), 0) for place in left[:limit]]

    async def calls(self, run_id: str) -> dict[str, list[str]]:
        return self.earlier

    async def write(
        self,
        owner: Owner,
        ends: Sequence[ItemEnd],
        begun: Mapping[int, int],
        progress: BatchProgress,
        *,
        is_repeat: bool = False,
    ) -> bool:
        for end in ends:
            assert self.status[end.place] in ("pending", "running"), "an item ended twice"
            self.status[end.place] = end.status
            self.ends[end.place] = end
        return True


class Summaries:
    """Handler that answers or fails as it is told, by the text of the item."""

    def __init__(self, **errors: list[Exception]) -> None:
        self.errors = errors
        self.calls: list[tuple[str, Call]] = []

    async def __call__(self, request: Any, call: Call, write: Callable[[str], None]) -> Message:
        self.calls.append((request.content, call))
        if waiting := self.errors.get(request.content):
            raise waiting.pop(0)
        return SummarizeResponse(summary=f"short {request.content}")


def work(place: int) -> bytes:
    request = SummarizeRequest(content=f"text{place}", cost_labels={"team": "own", "item": str(place)})
    return ItemWork(summarize=request).SerializeToString()


async def made(
    rows: Rows,
    handler: Summaries,
    *,
    is_stopping: Callable[[], bool] = lambda: False,
    is_leaving: Callable[[], bool] = lambda: False,
    retries: int = 3,
    **fields: Any,
) -> WorkResponse:
    run = pb.Run(run_id="run", work=Work(batch=Batch(**fields)), options=pb.RunOptions(max_retries=retries))
    call = Call(run_id="run", cost_labels={"team": "all", "app": "a"})
    context = RunContext(run, OWNER, call, None, None, is_stopping, is_leaving)  # type: ignore[arg-type]
    handlers = {"summarize": handler}
    return await BatchWork(rows, handlers.get).run(context)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(batch, "LOOK_S", 0.001)
    monkeypatch.setattr(item_ends, "WRITE_S", 0.001)


def limited(retry_after_s: float | None = None) -> ProviderRateLimited:
    return ProviderRateLimited(provider="p", provider_message="slow", retry_after_s=retry_after_s)


def spent(node: str) -> BudgetExceeded:
    amounts = {"estimate_usd": "1", "used_usd": "1", "limit_usd": "1"}
    return BudgetExceeded(period="total", node=node, key="run", **amounts)


async def test_each_item_is_made_once_and_its_call_is_a_request_of_its_own():
    rows, handler = Rows(250), Summaries()
    response = await made(rows, handler, max_concurrency=20)
    assert (response.batch.counts.completed, response.batch.success_rate) == (250, 1.0)
    assert sorted(text for text, _ in handler.calls) == sorted(f"text{place}" for place in range(250))
    by_text = dict(handler.calls)
    call = by_text["text7"]
    assert (call.run_id, call.step_id) == ("run", "item.7")
    assert call.cost_labels == {"team": "own", "app": "a", "item": "7"}
    assert len({call.request_id for call in by_text.values()}) == 250


async def test_items_that_have_ended_are_not_made_again():
    rows, handler = Rows(5, {0: "completed", 2: "failed", 3: "running"}), Summaries()
    rows.earlier = {"item.3": ["lost"], "item.0": ["paid"]}
    response = await made(rows, handler, is_sequential=True)
    assert [text for text, _ in handler.calls] == ["text1", "text3", "text4"]
    assert (response.batch.counts.completed, response.batch.counts.failed) == (4, 1)
    assert rows.ends[3].execution_ids == ["lost"], "the call of a worker that died is one of the item's"


async def test_rate_limit_is_repeated_a_few_times_and_then_is_data():
    rows = Rows(2)
    handler = Summaries(text0=[limited(), limited()], text1=[limited() for _ in range(9)])
    response = await made(rows, handler)
    assert (rows.ends[0].status, rows.ends[0].attempt) == ("completed", 3)
    assert (rows.ends[1].status, rows.ends[1].attempt) == ("failed", 1 + batch.MAX_RETRIES)
    assert (response.batch.counts.completed, response.batch.counts.failed) == (1, 1)


@pytest.mark.parametrize(
    ("error", "retries"),
    [
        (ModelNotFound(model="m", hint=""), 3),
        (limited(), 0),
        (limited(retry_after_s=batch.MAX_DELAY_S + 1), 3),
        (spent("tenant"), 3),
        (RuntimeError("a bug"), 3),
    ],
)
async def test_error_that_no_repeat_mends_is_not_repeated(error: Exception, retries: int):
    rows, handler = Rows(2), Summaries(text0=[error])
    await made(rows, handler, retries=retries, is_sequential=True)
    assert [text for text, _ in handler.calls] == ["text0", "text1"]
    assert [rows.ends[place].status for place in range(2)] == ["failed", "completed"]


async def test_failure_of_the_service_is_repeated_and_counts_as_one_item():
    rows, handler = Rows(1), Summaries(text0=[ServiceUnavailable(cause="full")])
    assert (await made(rows, handler)).batch.counts.completed == 1


async def test_budget_of_the_run_stops_the_batch():
    rows, handler = Rows(6), Summaries(text1=[spent("run")])
    with pytest.raises(RunFailed) as failed:
        await made(rows, handler, is_sequential=True)
    assert failed.value.failure.error.type == "budget"
    counts = WorkResponse.FromString(failed.value.failure.response or b"").batch.counts
    assert (counts.completed, counts.failed, counts.skipped) == (1, 1, 4)


async def test_failures_of_an_earlier_attempt_count_for_the_limit():
    rows, handler = Rows(6, {0: "failed"}), Summaries(text2=[ModelNotFound(model="m", hint="")])
    with pytest.raises(RunFailed) as failed:
        await made(rows, handler, is_sequential=True, max_failures=2)
    assert failed.value.failure.error.type == "too_many_failures"
    assert failed.value.failure.error.message == "2 of 6 items failed; max_failures is 2"
    assert [text for text, _ in handler.calls] == ["text1", "text2"]


async def test_stop_at_a_boundary_leaves_the_rest():
    rows, handler = Rows(6), Summaries()
    with pytest.raises(Stopped) as stopped:
        await made(rows, handler, is_sequential=True, is_stopping=lambda: len(handler.calls) >= 2)
    assert stopped.value.response is not None
    assert (stopped.value.response.batch.counts.completed, stopped.value.response.batch.counts.skipped) == (
        2,
        4,
    )


async def test_a_worker_that_retires_leaves_the_rest_at_a_boundary_and_another_one_makes_it():
    rows, handler = Rows(6), Summaries()
    with pytest.raises(Left):
        await made(rows, handler, is_sequential=True, is_leaving=lambda: len(handler.calls) >= 2)
    response = await made(rows, handler)
    assert response.batch.counts.completed == 6
    assert sorted(text for text, _ in handler.calls) == [f"text{place}" for place in range(6)]


async def test_a_worker_that_retires_ends_what_has_no_items_left():
    rows, handler = Rows(2), Summaries()
    response = await made(rows, handler, is_sequential=True, is_leaving=lambda: len(handler.calls) >= 2)
    assert response.batch.counts.completed == 2


async def test_work_that_nothing_here_does_fails_its_item():
    rows = Rows(1)
    run = pb.Run(run_id="run", work=Work(batch=Batch()), options=pb.RunOptions(max_retries=3))
    context = RunContext(run, OWNER, Call(), None, None)  # type: ignore[arg-type]
    response = await BatchWork(rows, lambda member: None).run(context)  # type: ignore[arg-type]
    assert response.batch.counts.failed == 1
    assert pb.RunError.FromString(rows.ends[0].error or b"").type == "missing_handler"
