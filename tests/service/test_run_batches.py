"""Batches of durable runs through the channel: order, failures, limits, reuse, stops and results."""

import asyncio
import json
import time
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct

from genai_spine.v1 import batch_pb2, item_work_pb2, run_pb2, work_pb2
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.capability_service_pb2 import SummarizeRequest
from genai_spine.v1.completion_service_pb2 import CreateEmbeddingsRequest, EmbeddingInput
from genai_spine.v1.run_service_pb2_grpc import RunServiceStub
from tests.service.running import Running, asked, failure
from tests.upstreams.reply import Reply
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")
WAIT = Duration(seconds=25)
TEXT = "The market fell on Monday. The bank raised its rate. Nobody knew why."


def stub(booked: Running) -> Any:
    return RunServiceStub(booked.channel)


def item(text: str, *, id: str | None = None, **fields: Any) -> batch_pb2.BatchItem:
    work = item_work_pb2.ItemWork(completion=asked(text, **fields))
    return batch_pb2.BatchItem(item_id=id, work=work)


def batch_of(*items: batch_pb2.BatchItem, **fields: Any) -> work_pb2.Work:
    return work_pb2.Work(batch=batch_pb2.Batch(items=items, **fields))


async def made(booked: Running, work: work_pb2.Work, **options: Any) -> run_pb2.Run:
    """The run of some work, once it has ended."""
    request = pb.CreateRunRequest(work=work, options=run_pb2.RunOptions(**options), wait=WAIT)
    run = await stub(booked).CreateRun(request)
    assert run.HasField("end_time"), run.status
    return run


async def items_of(booked: Running, run_id: str, **fields: Any) -> list[batch_pb2.RunItem]:
    """All items of a run, page after page."""
    request, found = pb.ListRunItemsRequest(run_id=run_id, **fields), []
    while True:
        page = await stub(booked).ListRunItems(request)
        found += page.items
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def events_of(booked: Running, run_id: str) -> list[run_pb2.RunEvent]:
    events = [event async for event in stub(booked).WatchRun(pb.WatchRunRequest(run_id=run_id))]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    return events


def text_of(found: batch_pb2.RunItem) -> str:
    return "".join(part.text for part in found.response.completion.choices[0].message.content)


async def test_items_keep_their_order_whatever_order_they_end_in(booked: Running) -> None:
    names = [f"text {number}" for number in range(30)]
    booked.openai.script(*[Reply(f"answer {n}", headers_delay_s=0.05 * (n % 3)) for n in range(30)])
    run = await made(booked, batch_of(*map(item, names), max_concurrency=7))
    assert (run.status, run.kind, run.name) == ("completed", "workflow", "genai.batch")
    assert (run.item_counts.total, run.item_counts.completed, run.item_counts.pending) == (30, 30, 0)
    assert run.response.batch.counts == run.item_counts
    assert run.response.batch.success_rate == 1.0
    assert not run.work.batch.items
    found = await items_of(booked, run.run_id, include_work=True, page_size=7)
    assert [(one.index, one.item_id) for one in found] == [(n, str(n)) for n in range(30)]
    assert [one.work.completion.messages[0].content[0].text for one in found] == names
    assert {text_of(one) for one in found} == {f"answer {n}" for n in range(30)}
    assert all(one.attempt == 1 and one.status == "completed" and one.HasField("end_time") for one in found)
    assert len(booked.openai.bill.entries) == 30
    assert run.cost.cost_ticks == sum(one.cost.cost_ticks for one in found) > 0
    ended = [event for event in await events_of(booked, run.run_id) if event.event_type == "item_completed"]
    assert sorted(int(event.data["index"]) for event in ended) == list(range(30))


async def test_at_most_max_concurrency_items_are_in_flight(booked: Running) -> None:
    booked.openai.default = Reply("x", headers_delay_s=0.1)
    await made(booked, batch_of(*(item(f"{n}") for n in range(12)), max_concurrency=4))
    moments = sorted(
        [(entry.started_at, 1) for entry in booked.openai.bill.entries]
        + [(entry.ended_at, -1) for entry in booked.openai.bill.entries]
    )
    running = most = 0
    for _, change in moments:
        running += change
        most = max(most, running)
    assert most == 4


async def test_sequential_items_run_one_after_the_other(booked: Running) -> None:
    await made(booked, batch_of(*(item(f"text {n}") for n in range(5)), is_sequential=True))
    asked_for = [entry.body["messages"][0]["content"] for entry in booked.openai.bill.entries]
    assert asked_for == [f"text {n}" for n in range(5)]


async def test_failed_item_is_data_and_the_batch_completes(booked: Running) -> None:
    refusal = Reply(status=400, body={"error": {"message": "no", "type": "invalid_request_error"}})
    booked.openai.script(Reply("a"), refusal, Reply("c"))
    work = batch_of(*(item(n, id=f"id-{n}") for n in "abc"), is_sequential=True)
    run = await made(booked, work)
    assert run.status == "completed"
    assert (run.item_counts.completed, run.item_counts.failed) == (2, 1)
    assert run.response.batch.success_rate == pytest.approx(2 / 3)
    [failed] = await items_of(booked, run.run_id, status="failed")
    assert (failed.index, failed.item_id, failed.error_type) == (1, "id-b", "PROVIDER_REJECTED")
    assert failed.error
    assert not failed.HasField("response")
    assert len(booked.openai.bill.entries) == 3, "a permanent error is not repeated"
    result = json_format.MessageToDict(run.result)
    assert [one["status"] for one in result["items"]] == ["completed", "failed", "completed"]
    assert result["items"][0]["result"]["text"] == "a"
    assert result["items"][1]["error_type"] == "PROVIDER_REJECTED"
    assert result["items"][2]["name"] == "genai.completion"
    assert result["items"][2]["params"]["model"] == "gpt-4o"
    assert (result["batch_id"], result["successful"], result["failed"]) == (run.run_id, 2, 1)
    assert result["cost"] == run.cost.cost_usd > 0


async def test_rate_limited_item_is_repeated_and_others_go_on(booked: Running) -> None:
    limited = Reply(status=429, body={"error": {"message": "slow"}}, headers={"retry-after": "1"})
    booked.openai.script(limited)
    started = time.monotonic()
    run = await made(booked, batch_of(*(item(f"{n}") for n in range(3)), is_sequential=True))
    assert (run.status, run.item_counts.completed) == ("completed", 3)
    assert time.monotonic() - started >= 1
    found = await items_of(booked, run.run_id)
    assert [one.attempt for one in found] == [2, 1, 1]


async def test_item_is_not_repeated_where_the_run_has_no_retries(booked: Running) -> None:
    booked.openai.script(Reply(status=429, body={"error": {"message": "slow"}}))
    run = await made(booked, batch_of(item("a"), item("b"), is_sequential=True), max_retries=0)
    found = await items_of(booked, run.run_id)
    assert [(one.status, one.attempt) for one in found] == [("failed", 1), ("completed", 1)]


async def test_too_many_failures_stop_the_batch(booked: Running) -> None:
    refusal = Reply(status=400, body={"error": {"message": "no"}})
    booked.openai.script(Reply("a"), refusal, Reply("c"), refusal)
    work = batch_of(*(item(f"{n}") for n in range(8)), is_sequential=True, max_failures=2)
    run = await made(booked, work)
    assert (run.status, run.error.type) == ("failed", "too_many_failures")
    assert not run.HasField("next_attempt_time")
    counts = run.response.batch.counts
    assert (counts.completed, counts.failed, counts.skipped, counts.pending) == (2, 2, 4, 0)
    assert run.item_counts == counts
    assert [one.status for one in await items_of(booked, run.run_id)][4:] == ["skipped"] * 4
    assert len(booked.openai.bill.entries) == 4
    assert run.result["skipped"] == 4


async def test_retry_of_a_failed_batch_pays_only_for_what_is_missing(booked: Running) -> None:
    refusal = Reply(status=400, body={"error": {"message": "no"}})
    booked.openai.script(Reply("a"), refusal)
    failed = await made(booked, batch_of(*map(item, "abcd"), is_sequential=True, max_failures=1))
    assert (failed.status, len(booked.openai.bill.entries)) == ("failed", 2)
    again = await stub(booked).RetryRun(pb.RetryRunRequest(run_id=failed.run_id))
    ended = await stub(booked).WaitRun(pb.WaitRunRequest(run_id=again.run_id))
    assert (ended.status, ended.item_counts.completed, ended.item_counts.reused) == ("completed", 4, 1)
    assert len(booked.openai.bill.entries) == 5
    assert text_of((await items_of(booked, again.run_id))[0]) == "a"


async def test_reused_answers_cost_nothing(booked: Running) -> None:
    first = await made(booked, batch_of(*map(item, "abcd")))
    paid = len(booked.openai.bill.entries)
    work = batch_of(*map(item, "abXd"), reuse_results_of=first.run_id)
    second = await made(booked, work)
    assert len(booked.openai.bill.entries) == paid + 1
    assert (second.item_counts.completed, second.item_counts.reused) == (4, 3)
    before, after = await items_of(booked, first.run_id), await items_of(booked, second.run_id)
    assert [one.is_reused for one in after] == [True, True, False, True]
    assert [one.cost.cost_ticks > 0 for one in after] == [False, False, True, False]
    assert [one.response for one in after if one.is_reused] == [before[n].response for n in (0, 1, 3)]
    assert second.cost.cost_ticks == after[2].cost.cost_ticks
    third = await made(booked, batch_of(*map(item, "dbaX"), reuse_results_of=second.run_id))
    assert (third.item_counts.reused, len(booked.openai.bill.entries)) == (4, paid + 1)
    told = [event for event in await events_of(booked, third.run_id) if event.event_type == "item_completed"]
    assert [int(event.data["index"]) for event in told] == [0, 1, 2, 3]
    moved = await items_of(booked, third.run_id)
    assert [one.response for one in moved] == [after[n].response for n in (3, 1, 0, 2)]


async def test_results_of_an_unknown_run_cannot_be_reused(booked: Running) -> None:
    work = batch_of(item("a"), reuse_results_of="0197b1f2-7d6c-7000-8000-000000000000")
    refused = await failure(stub(booked).CreateRun(pb.CreateRunRequest(work=work)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")


async def test_cancelled_batch_keeps_what_has_ended(booked: Running) -> None:
    booked.openai.script(Reply("a"), Reply("b"))
    booked.openai.default = Reply("never", fault="stall")
    request = pb.CreateRunRequest(work=batch_of(*(item(f"{n}") for n in range(9)), max_concurrency=2))
    run = await stub(booked).CreateRun(request)
    await until(lambda: len(booked.openai.bill.entries) == 4)
    await stub(booked).CancelRun(pb.CancelRunRequest(run_id=run.run_id))
    ended = await stub(booked).WaitRun(pb.WaitRunRequest(run_id=run.run_id))
    assert ended.status == "cancelled"
    assert (ended.item_counts.completed, ended.item_counts.skipped) == (2, 7)
    assert ended.item_counts.total == 9
    assert len(booked.openai.bill.entries) == 4
    await until(lambda: sum(entry.disconnected for entry in booked.openai.bill.entries) == 2)


async def test_batch_that_stops_at_a_boundary_lets_its_items_end(booked: Running) -> None:
    booked.openai.default = Reply("x", headers_delay_s=0.4)
    request = pb.CreateRunRequest(work=batch_of(*(item(f"{n}") for n in range(9)), max_concurrency=2))
    run = await stub(booked).CreateRun(request)
    await until(lambda: len(booked.openai.bill.entries) == 2)
    await stub(booked).CancelRun(pb.CancelRunRequest(run_id=run.run_id, mode="boundary"))
    ended = await stub(booked).WaitRun(pb.WaitRunRequest(run_id=run.run_id))
    assert (ended.status, ended.item_counts.completed, ended.item_counts.skipped) == ("cancelled", 2, 7)
    assert not any(entry.disconnected for entry in booked.openai.bill.entries)
    assert [one["status"] for one in json_format.MessageToDict(ended.result)["items"]].count("skipped") == 7


async def test_deadline_ends_a_batch_and_keeps_what_has_ended(booked: Running) -> None:
    booked.openai.script(Reply("a"), Reply("b"))
    booked.openai.default = Reply("never", fault="stall")
    work = batch_of(*(item(f"{n}") for n in range(6)), max_concurrency=2)
    run = await made(booked, work, timeout=Duration(seconds=1))
    assert (run.status, run.error.type) == ("failed", "timeout")
    assert (run.item_counts.completed, run.item_counts.skipped) == (2, 4)


async def test_progress_is_told_while_the_batch_runs(booked: Running) -> None:
    booked.openai.default = Reply("x", headers_delay_s=0.3)
    work = batch_of(*(item(f"{n}") for n in range(12)), max_concurrency=3)
    run = await stub(booked).CreateRun(pb.CreateRunRequest(work=work))

    async def under_way() -> bool:
        nonlocal run
        run = await stub(booked).GetRun(pb.GetRunRequest(run_id=run.run_id))
        return run.item_counts.completed >= 3 and run.progress > 0  # which is written in its own time

    await until(under_way)
    assert run.status == "running"
    assert run.progress < 1
    assert run.progress_message == f"{round(run.progress * 12)} of 12"
    assert run.HasField("eta")
    assert run.cost.cost_ticks > 0
    assert not run.HasField("result")
    events = await events_of(booked, run.run_id)
    told = [event.data["progress"] for event in events if event.event_type == "progress"]
    assert told == sorted(told) != []


async def test_cost_of_a_batch_is_told_before_its_end(booked: Running) -> None:
    run = await made(booked, batch_of(item("a"), item("b"), item("c")))
    events = await events_of(booked, run.run_id)
    assert [event.event_type for event in events[-2:]] == ["cost_recorded", "completed"]
    told = dict(events[-2].data)
    assert told["cost_ticks"] == run.cost.cost_ticks > 0
    assert (told["cost_usd"], told["discarded_cost_usd"]) == (run.cost.cost_usd, 0)


async def test_template_makes_an_item_of_each_input(booked: Running) -> None:
    template = item_work_pb2.ItemWork(
        completion=asked("Say {{what}} to {{ who }}", cost_labels={"for": "{{who}}"})
    )
    inputs = [Struct(), Struct()]
    inputs[0].update({"what": "hello", "who": "Ann"})
    inputs[1].update({"what": 3, "who": "{{what}}"})
    work = work_pb2.Work(batch=batch_pb2.Batch(template=template, inputs=inputs))
    run = await made(booked, work)
    found = await items_of(booked, run.run_id, include_work=True)
    said = [one.work.completion.messages[0].content[0].text for one in found]
    assert said == ["Say hello to Ann", "Say 3 to {{what}}"]
    assert found[0].work.completion.cost_labels == {"for": "Ann"}
    assert run.work.batch.template == template
    assert not run.work.batch.inputs


async def test_submission_names_the_item_or_input_that_is_wrong(booked: Running) -> None:
    async def refused(batch: batch_pb2.Batch) -> list[str]:
        request = pb.CreateRunRequest(work=work_pb2.Work(batch=batch), dry_run=True)
        found = await failure(stub(booked).CreateRun(request))
        assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
        return [field.removeprefix("work.batch.") for field in found.fields]

    good = batch_pb2.BatchItem(work=item_work_pb2.ItemWork(summarize=SummarizeRequest(content=TEXT)))
    empty = batch_pb2.BatchItem(work=item_work_pb2.ItemWork(summarize=SummarizeRequest()))
    assert await refused(batch_pb2.Batch(items=[good] * 7 + [empty])) == ["items[7].work.summarize.content"]
    nothing = batch_pb2.BatchItem(work=item_work_pb2.ItemWork())
    assert await refused(batch_pb2.Batch(items=[good, nothing])) == ["items[1].work"]
    assert await refused(batch_pb2.Batch(items=[item("a", id="x"), item("b", id="x")])) == [
        "items[1].item_id"
    ]
    assert await refused(batch_pb2.Batch(items=[item("a"), item("b", id="0")])) == ["items[1].item_id"]
    assert await refused(batch_pb2.Batch()) == ["items"]
    template = item_work_pb2.ItemWork(summarize=SummarizeRequest(content="{{name}}"))
    inputs = [Struct() for _ in range(4)]
    for one in inputs:
        one.update({"name": TEXT})
    inputs[2].update({"other": 1})
    inputs[3].Clear()
    assert await refused(batch_pb2.Batch(template=template, inputs=inputs)) == [
        "inputs[2].other",
        "inputs[3].name",
    ]
    assert await refused(batch_pb2.Batch(template=template)) == ["inputs"]
    blank = Struct()
    blank.update({"name": " "})
    assert await refused(batch_pb2.Batch(template=template, inputs=[blank])) == ["inputs[0]"]


def params(**fields: Any) -> Struct:
    found = Struct()
    found.update(fields)
    return found


async def test_batch_summarize_answers_with_summaries_tokens_and_cost(booked: Running) -> None:
    given = params(texts=[TEXT, TEXT + " Again."], model="openai:gpt-4o", max_tokens=200)
    request = pb.CreateRunRequest(name="genai.batch_summarize", params=given, wait=WAIT)
    run = await stub(booked).CreateRun(request)
    assert (run.status, run.kind, run.name) == ("completed", "workflow", "genai.batch_summarize")
    result = json_format.MessageToDict(run.result)
    assert [bool(text) for text in result["summaries"]] == [True, True]
    assert result["count"] == 2
    assert result["total_tokens"] == run.usage.total_tokens > 0
    assert result["cost"] == run.cost.cost_usd > 0
    assert {
        entry.body.get("max_tokens", entry.body.get("max_completion_tokens"))
        for entry in booked.openai.bill.entries
    } == {200}


async def test_batch_embed_and_batch_extract_answer_per_item(booked: Running) -> None:
    given = params(texts=["one", "two", "three"], provider="openai")
    request = pb.CreateRunRequest(kind="workflow", name="batch_embed", params=given, wait=WAIT)
    run = await stub(booked).CreateRun(request)
    result = json_format.MessageToDict(run.result)
    assert [len(vector) > 10 for vector in result["embeddings"]] == [True] * 3
    found = Reply(json.dumps({"entities": [{"text": "bank", "type": "ORG", "confidence": 0.9}]}))
    booked.openai.default = found
    given = params(texts=[TEXT], model="openai:gpt-4o")
    request = pb.CreateRunRequest(name="workflow:genai.batch_extract", params=given, wait=WAIT)
    run = await stub(booked).CreateRun(request)
    result = json_format.MessageToDict(run.result)
    assert [[one["text"] for one in found] for found in result["entities"]] == [["bank"]]


async def test_every_single_answer_has_a_result_with_its_cost(booked: Running) -> None:
    async def result(name: str, **fields: Any) -> dict[str, Any]:
        request = pb.CreateRunRequest(name=name, params=params(**fields), wait=WAIT)
        run = await stub(booked).CreateRun(request)
        assert run.status == "completed", run.error
        found = json_format.MessageToDict(run.result)
        assert found["cost"] == run.cost.cost_usd > 0
        assert found["tokens"] > 0
        return found

    model = "openai:gpt-4o"
    assert (await result("genai.completion", prompt="Hello", model=model, max_tokens=20))["text"]
    assert (await result("summarize", text=TEXT, model=model))["summary"]
    vectors = await result("genai.embed", texts=["one", "two"], provider="openai")
    assert len(vectors["embeddings"]) == 2
    booked.openai.default = Reply(json.dumps({"categories": [{"category": "news", "confidence": 0.9}]}))
    classes = await result("genai.classify", content=TEXT, categories=["news", "sport"], model=model)
    assert (classes["category"], classes["model"]) == ("news", "gpt-4o")
    assert classes["usage"]["cost_usd"] == classes["cost"]


async def test_export_has_every_item_as_a_line_in_order(booked: Running) -> None:
    booked.openai.default = Reply(["x" * 20_000])  # in one piece
    run = await made(booked, batch_of(*(item(f"{n}", id=f"id-{n}") for n in range(250)), max_concurrency=50))
    assert run.status == "completed"
    bodies = [body async for body in stub(booked).ExportRunItems(pb.ExportRunItemsRequest(run_id=run.run_id))]
    assert len(bodies) > 1
    assert {body.content_type.split("|")[0] for body in bodies} == {"application/jsonl"}
    lines = [json.loads(line) for line in b"".join(body.data for body in bodies).splitlines()]
    assert [line["item_id"] for line in lines] == [f"id-{n}" for n in range(250)]
    assert sum(int(line["cost"]["cost_ticks"]) for line in lines) == run.cost.cost_ticks
    page = await stub(booked).ListRunItems(pb.ListRunItemsRequest(run_id=run.run_id, page_size=1000))
    assert 0 < len(page.items) < 250
    assert page.next_page_token, "a page of large items is shorter"
    assert run.result["items_truncated"]
    assert len(await items_of(booked, run.run_id, page_size=1000)) == 250


async def test_two_thousand_items_complete(booked: Running) -> None:
    request = item_work_pb2.ItemWork(
        embeddings=CreateEmbeddingsRequest(provider="builtin", inputs=[EmbeddingInput(text="{{text}}")])
    )
    inputs = [params(text=f"text {number}") for number in range(2000)]
    batch = batch_pb2.Batch(template=request, inputs=inputs, max_concurrency=50)
    started = time.monotonic()
    run = await made(booked, work_pb2.Work(batch=batch))
    took = time.monotonic() - started
    print(f"2000 items in {took:.1f} s: {2000 / took:.0f} a second")
    assert (run.status, run.item_counts.completed) == ("completed", 2000)
    found = await items_of(booked, run.run_id)
    assert [one.index for one in found] == list(range(2000))
    assert len({one.item_id for one in found}) == 2000


async def test_batches_of_two_tenants_do_not_see_each_other(booked: Running) -> None:
    run = await made(booked, batch_of(item("a")))
    unknown = pb.ListRunItemsRequest(run_id="0197b1f2-7d6c-7000-8000-000000000000")
    refused = await failure(stub(booked).ListRunItems(unknown))
    assert refused.reason == "RUN_NOT_FOUND"
    await asyncio.gather(*(items_of(booked, run.run_id) for _ in range(3)))
