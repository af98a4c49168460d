"""Attempts: one provider call in the ledger, settled exactly once whatever becomes of it."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import pytest

from genai_spine import errors
from genai_spine.call import Principal, RateAdmission
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, usage_pb2
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1.operation_pb2 import OPERATION_COMPLETION
from genai_spine.v1.rate_limits_pb2 import RateLimits
from tests.unit.inference.scripted import MODEL, Scripted, World, asked, usage

FAILED, CANCELLED = execution_pb2.EXECUTION_STATE_FAILED, execution_pb2.EXECUTION_STATE_CANCELLED
SUCCEEDED = execution_pb2.EXECUTION_STATE_SUCCEEDED
GARBAGE = errors.ProviderError(provider="openai", provider_message="garbage")
REFUSED = errors.ProviderRejected(provider="openai", provider_message="bad")
ROUGHLY = Tokenizer(None)


async def stream_of(messages: Iterable[Any]) -> AsyncGenerator[Any]:
    for message in messages:
        yield message


def world() -> World:
    return World(Scripted("openai"))


def chunk(text: str = "", **fields: Any) -> pb.CompletionChunk:
    return pb.CompletionChunk(choices=[pb.ChoiceDelta(content=text)], **fields)


async def test_attempt_writes_its_intent_before_the_call() -> None:
    one = world()
    attempt = await one.attempt(one.operation())
    [row] = one.rows.begun
    assert (row.operation, row.provider, row.model) == (OPERATION_COMPLETION, "openai", MODEL)
    assert (row.requested_model, row.attempt) == (f"openai:{MODEL}", 1)
    assert attempt.execution is row


@pytest.mark.parametrize(
    ("limits", "least", "most"),
    [(RateLimits(requests_per_minute=1), 0, 0), (RateLimits(tokens_per_minute=9), 41, 60)],
)
async def test_attempt_open_books_what_a_limited_call_may_use(
    limits: RateLimits, least: int, most: int
) -> None:
    one = world()
    operation = one.operation(asked("Hello", max_tokens=40))
    operation.call.principal = Principal("key:k", key_id="k", key_limits=limits)
    operation.call.rate_admission = RateAdmission()
    await one.attempt(operation)
    [reserved] = one.rows.reservations
    assert least <= reserved <= most
    assert len(one.rows.begun) == 1


async def test_attempt_answer_id_is_made_of_the_rows() -> None:
    one = world()
    attempt = await one.attempt(one.operation())
    assert attempt.answer_id("comp_") == "comp_" + attempt.execution.id.replace("-", "")[-24:]


async def test_attempt_stream_chunks_bear_our_ids_and_no_usage() -> None:
    one = world()
    attempt = await one.attempt(one.operation(streamed=True))
    arriving = [chunk("a", id="theirs", model="m-1"), chunk("b"), pb.CompletionChunk(usage=usage())]
    chunks = [one async for one in attempt.stream_chunks(stream_of(arriving))]
    assert [one.choices[0].content for one in chunks] == ["a", "b"]
    assert {one.id for one in chunks} == {attempt.answer_id("comp_")}
    assert not any(one.HasField("usage") for one in chunks)
    assert attempt.slot.delivered
    assert attempt.execution.provider_response_id == "theirs"


async def test_attempt_stream_chunks_replace_what_the_upstream_says_later_of_itself() -> None:
    one = world()
    attempt = await one.attempt(one.operation(streamed=True))
    arriving = [chunk("a", model="m-1"), chunk("b", id="theirs", model="m-2", provider="they")]
    arriving[1].create_time.seconds = 7
    first, second = [one async for one in attempt.stream_chunks(stream_of(arriving))]
    del first.choices[:], second.choices[:]
    assert first == second
    assert (second.model, second.provider) == ("m-1", "openai")


async def test_attempt_stream_chunks_count_what_every_choice_says() -> None:
    one = world()
    both = [pb.ChoiceDelta(content="several words"), pb.ChoiceDelta(index=1, content="and others")]
    called = pb.ChoiceDelta(tool_calls=[pb.ToolCallDelta(name="look", arguments='{"up": "this"}')])
    usages = []
    for deltas in (both[:1], both, [*both, called]):
        attempt = await one.attempt(one.operation(streamed=True))
        async for _ in attempt.stream_chunks(stream_of([pb.CompletionChunk(choices=deltas)])):
            pass
        usages.append((await attempt.finish_stream()).usage.output_tokens)
    assert 0 < usages[0] < usages[1] < usages[2]


async def test_attempt_finish_stream_settles_with_the_reported_usage() -> None:
    one = world()
    operation = one.operation(streamed=True)
    attempt = await one.attempt(operation)
    async for _ in attempt.stream_chunks(stream_of([chunk("a", usage=usage(7, 3))])):
        pass
    last = await attempt.finish_stream()
    [row] = one.rows.settled
    assert (last.usage.input_tokens, last.usage.output_tokens) == (7, 3)
    assert (row.state, row.cost.cost_ticks) == (SUCCEEDED, last.cost.cost_ticks)
    assert row.cost.cost_ticks > 0
    assert operation.successful_routes == [attempt.route]


async def test_attempt_finish_stream_estimates_what_nobody_reported() -> None:
    one = world()
    attempt = await one.attempt(one.operation(streamed=True))
    async for _ in attempt.stream_chunks(stream_of([chunk("several words of text")])):
        pass
    last = await attempt.finish_stream()
    assert last.usage.output_provenance == usage_pb2.PROVENANCE_ESTIMATED
    assert last.usage.output_tokens > 0


async def test_attempt_stream_speech_and_finish_speech_bear_ids_and_units() -> None:
    one = world()
    request = media.CreateSpeechRequest(model="tts-1", input="Hello")
    attempt = await one.attempt(one.operation(request, "speech", streamed=True))
    arriving = [media.SpeechChunk(data=b"x"), media.SpeechChunk(units=usage_pb2.UnitUsage(characters=5))]
    chunks = [one async for one in attempt.stream_speech(stream_of(arriving))]
    last = await attempt.finish_speech()
    assert [(one.data, one.execution_id) for one in chunks] == [(b"x", attempt.execution.id)]
    assert (last.units.characters, one.rows.settled[0].units.characters) == (5, 5)
    assert one.rows.settled[0].state == SUCCEEDED


async def test_attempt_settle_completes_the_answer_and_books_it() -> None:
    one = world()
    attempt = await one.attempt(one.operation())
    answer = await attempt.settle(pb.Completion(usage=usage(), service_tier="flex"))
    [row] = one.rows.settled
    assert (answer.provider, answer.model, answer.execution_id) == ("openai", MODEL, row.id)
    assert answer.create_time.seconds > 0
    assert (row.state, row.usage, row.service_tier) == (SUCCEEDED, usage(), "flex")


async def test_attempt_record_undelivered_keeps_usage_for_the_failure() -> None:
    one = world()
    attempt = await one.attempt(one.operation())
    attempt.record_undelivered(pb.Completion(model="m-2", usage=usage(4, 2)))
    await attempt.fail(errors.SchemaMismatch(model="m", provider="p", path="$", problem="no"))
    [row] = one.rows.settled
    assert (row.usage.total_tokens, row.answered_model, row.state) == (6, "m-2", FAILED)


@pytest.mark.parametrize(("error", "billed"), [(GARBAGE, True), (REFUSED, False)])
async def test_attempt_fail_books_usage_only_where_the_upstream_may_have_worked(
    error: errors.SpineError, billed: bool
) -> None:
    one = world()
    attempt = await one.attempt(one.operation())
    await attempt.fail(error)
    [row] = one.rows.settled
    assert (row.state, row.error_reason) == (FAILED, error.reason_name)
    assert bool(row.usage.input_tokens) is billed


async def test_attempt_that_has_waited_for_the_ledger_in_vain_does_not_wait_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = world()
    attempt = await one.attempt(one.operation())
    never = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(attempt.accounting.ledger, "settle", lambda row: never)
    await attempt.fail(errors.ServiceUnavailable(cause="its ledger cannot be written"))
    assert not never.done()


@pytest.mark.parametrize("superseded", [False, True])
async def test_attempt_cancel_settles_and_says_who_ended_it(superseded: bool) -> None:
    one = world()
    operation = one.operation()
    attempt = await one.attempt(operation)
    operation.superseded = superseded
    attempt.cancel()
    [row] = one.rows.settled
    assert row.state == CANCELLED
    assert row.error == ("another call was faster" if superseded else "the caller went away")


async def test_attempt_stamp_puts_the_same_ids_on_every_chunk() -> None:
    one = world()
    attempt = await one.attempt(one.operation())
    stamped = attempt.stamp(pb.CompletionChunk())
    assert (stamped.id, stamped.provider) == (attempt.answer_id("comp_"), "openai")
    assert (stamped.request_id, stamped.execution_id) == (attempt.call.request_id, attempt.execution.id)


async def test_attempt_that_ends_well_gives_its_key_back() -> None:
    one = world()
    async with await one.attempt(one.operation()) as attempt:
        assert one.upstreams["openai"].running == 1
        await attempt.settle(pb.Completion(usage=usage()))
    assert one.upstreams["openai"].running == 0


async def test_attempt_that_may_be_followed_swallows_its_error() -> None:
    one = World(Scripted("openai"), Scripted("ollama"))
    async with await one.attempt(one.operation()):
        raise GARBAGE
    assert one.rows.settled[0].error_reason == "PROVIDER_ERROR"


async def test_attempt_raises_what_no_other_attempt_mends() -> None:
    one = World(Scripted("openai"), Scripted("ollama"))
    with pytest.raises(errors.ProviderRejected):
        async with await one.attempt(one.operation()):
            raise REFUSED
    assert one.upstreams["openai"].running == 0


async def test_attempt_turns_a_fault_of_ours_into_an_internal_error() -> None:
    one = world()
    with pytest.raises(errors.InternalError) as caught:
        async with await one.attempt(one.operation()):
            raise KeyError("x")
    assert isinstance(caught.value.__cause__, KeyError)
    assert one.rows.settled[0].state == FAILED


async def test_attempt_of_a_caller_that_went_away_is_cancelled() -> None:
    one = world()
    with pytest.raises(asyncio.CancelledError):
        async with await one.attempt(one.operation()):
            raise asyncio.CancelledError
    assert one.rows.settled[0].state == CANCELLED
    assert one.upstreams["openai"].running == 0
