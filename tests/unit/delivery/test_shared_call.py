"""Shared calls: one answer told to many, whoever is late, slow or gone."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_spine.chunks import completion
from genai_spine.delivery.shared_call import Outcome, SharedCall, SharedCalls, Subscriber, once
from genai_spine.errors import InternalError, ProviderError, ServiceUnavailable
from genai_spine.v1 import completion_service_pb2 as pb

CANCEL = pb.DISCONNECT_POLICY_CANCEL_UPSTREAM
DRAIN = pb.DISCONNECT_POLICY_DRAIN_FOR_USAGE
CONTINUE = pb.DISCONNECT_POLICY_CONTINUE
TIGHT_S = 2.0


def says(text: str) -> pb.CompletionChunk:
    return pb.CompletionChunk(id="a", choices=[pb.ChoiceDelta(content=text)])


def text_of(chunk: pb.CompletionChunk) -> str:
    return "".join(delta.content for delta in chunk.choices)


class Script:
    """A provider's stream that says a word each time it is allowed to."""

    def __init__(self, words: str, error: Exception | None = None) -> None:
        self.words = words
        self.error = error
        self.begun = 0
        self.messages = ""
        self._news = asyncio.Condition()
        self.cancelled_at: float | None = None
        self.ended = asyncio.Event()
        self._allowed = asyncio.Semaphore(0)

    def allow(self, words: int = 1000) -> None:
        for _ in range(words):
            self._allowed.release()

    async def __call__(self) -> AsyncGenerator[pb.CompletionChunk]:
        self.begun += 1
        try:
            for word in self.words:
                await self._allowed.acquire()
                self.messages += word
                async with self._news:
                    self._news.notify_all()
                yield says(word)
            await self._allowed.acquire()
            if self.error is not None:
                raise self.error
        except asyncio.CancelledError:
            self.cancelled_at = time.monotonic()
            raise
        finally:
            self.ended.set()

    async def until(self, messages: str) -> None:
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: self.messages == messages)


@pytest.fixture
async def shared_calls() -> AsyncGenerator[SharedCalls]:
    found = SharedCalls()
    yield found
    await found.drain(0)
    assert len(found) == 0


async def all_of(subscriber: Subscriber[pb.CompletionChunk]) -> str:
    async with aclosing(subscriber):
        return "".join([text_of(chunk) async for chunk in subscriber])


async def hear(subscriber: Subscriber[pb.CompletionChunk], heard: list[str]) -> None:
    async for chunk in subscriber:
        heard.append(text_of(chunk))


async def ended(shared_call: SharedCall[Any]) -> None:
    async with asyncio.timeout(2):
        await asyncio.wait({shared_call.task})
    await asyncio.sleep(0)
    assert shared_call.ended


class TestListening:
    async def test_each_chunk_comes_as_it_is_said(self, shared_calls: SharedCalls) -> None:
        script = Script("abc")
        subscriber = shared_calls.start(script).subscribe()
        for word in "abc":
            script.allow(1)
            assert text_of(await anext(subscriber)) == word
        script.allow(1)
        with pytest.raises(StopAsyncIteration):
            await anext(subscriber)

    async def test_late_listener_gets_what_came_before_in_one_chunk(self, shared_calls: SharedCalls) -> None:
        script = Script("abcde")
        shared_call = shared_calls.start(script)
        early = shared_call.subscribe()
        script.allow(3)
        await script.until("abc")
        late = shared_call.subscribe()
        assert text_of(await anext(late)) == "abc"
        script.allow()
        assert await all_of(late) == "de"
        assert await all_of(early) == "abcde"

    async def test_listener_after_the_end_gets_everything(self, shared_calls: SharedCalls) -> None:
        script = Script("abc")
        script.allow()
        shared_call = shared_calls.start(script)
        await ended(shared_call)
        assert await all_of(shared_call.subscribe()) == "abc"

    async def test_what_one_listener_does_to_its_chunks_is_not_seen_by_others(
        self, shared_calls: SharedCalls
    ) -> None:
        script = Script("ab")
        shared_call = shared_calls.start(script)
        first, second = shared_call.subscribe(), shared_call.subscribe()
        script.allow(1)
        (await anext(first)).choices[0].content = "changed"
        assert text_of(await anext(second)) == "a"
        script.allow()
        assert await all_of(shared_call.subscribe()) == "ab"

    async def test_thousand_listeners_hear_all_of_one_call(self, shared_calls: SharedCalls) -> None:
        script = Script("abcdefghij")
        shared_call = shared_calls.start(script)
        hearing = [asyncio.create_task(all_of(shared_call.subscribe())) for _ in range(1000)]
        script.allow()
        assert set(await asyncio.gather(*hearing)) == {script.words}
        assert script.begun == 1

    async def test_slow_listener_holds_nobody_back_and_its_backlog_comes_as_one_chunk(
        self, shared_calls: SharedCalls
    ) -> None:
        script = Script("abcdef")
        shared_call = shared_calls.start(script)
        slow, fast = shared_call.subscribe(), shared_call.subscribe()
        script.allow(1)
        assert text_of(await anext(slow)) == "a"
        script.allow()
        assert await all_of(fast) == "abcdef"
        assert [text_of(chunk) async for chunk in slow] == ["bcdef"]

    async def test_chunks_that_are_there_already_do_not_wait_for_the_end(
        self, shared_calls: SharedCalls
    ) -> None:
        async def at_once() -> AsyncGenerator[pb.CompletionChunk]:
            for number in range(100):
                yield says(str(number % 10))

        subscriber = shared_calls.start(at_once).subscribe()
        assert len([chunk async for chunk in subscriber]) > 10

    async def test_whole_answer_is_one_message(self, shared_calls: SharedCalls) -> None:
        answer = pb.Completion(id="x")
        subscriber = shared_calls.start(lambda: once(asyncio.sleep(0, answer))).subscribe()
        assert await subscriber.unary() == answer

    async def test_whole_stream_is_one_chunk(self, shared_calls: SharedCalls) -> None:
        script = Script("abc")
        script.allow()
        assert text_of(await shared_calls.start(script).subscribe().unary()) == "abc"

    async def test_closed_listener_says_nothing_more(self, shared_calls: SharedCalls) -> None:
        script = Script("abc")
        shared_call = shared_calls.start(script)
        stays, leaves = shared_call.subscribe(), shared_call.subscribe()
        script.allow(2)
        await script.until("ab")
        await leaves.aclose()
        await leaves.aclose()
        assert [chunk async for chunk in leaves] == []
        assert shared_call.subscribers == 1
        script.allow()
        assert await all_of(stays) == "abc"


class TestErrors:
    @pytest.mark.parametrize("words", ["", "ab"])
    async def test_error_reaches_every_listener_after_what_was_said(
        self, shared_calls: SharedCalls, words: str
    ) -> None:
        error = ProviderError(provider="p", provider_message="broken")
        script = Script(words, error)
        shared_call = shared_calls.start(script)
        early = [shared_call.subscribe() for _ in range(3)]
        script.allow()
        await ended(shared_call)
        for subscriber in [*early, shared_call.subscribe()]:
            heard: list[str] = []
            with pytest.raises(ProviderError) as raised:
                await hear(subscriber, heard)
            assert "".join(heard) == words
            assert raised.value is error

    async def test_answer_without_a_single_chunk_is_an_error(self, shared_calls: SharedCalls) -> None:
        script = Script("")
        script.allow()
        with pytest.raises(InternalError):
            await shared_calls.start(script).subscribe().unary()

    async def test_error_that_nobody_hears_is_no_warning(self, shared_calls: SharedCalls) -> None:
        script = Script("a", ValueError("broken"))
        script.allow()
        shared_call = shared_calls.start(script)
        await ended(shared_call)
        assert isinstance(shared_call.error, ValueError)


class TestLeaving:
    @pytest.mark.parametrize("after", range(5))
    async def test_last_one_who_leaves_cancels_the_provider_at_once(
        self, shared_calls: SharedCalls, after: int
    ) -> None:
        script = Script("abcd")
        shared_call = shared_calls.start(script)
        first, second = shared_call.subscribe(), shared_call.subscribe(CANCEL)
        script.allow(after)
        await script.until("abcd"[:after])
        await first.aclose()
        await asyncio.sleep(0)
        assert shared_call.running
        unsubscribed = time.monotonic()
        await second.aclose()
        await ended(shared_call)
        assert shared_call.task.cancelled()
        if script.begun and script.cancelled_at is not None:  # else it had not begun yet
            assert script.cancelled_at - unsubscribed < TIGHT_S
        assert len(shared_calls) == 0

    async def test_cancelled_caller_cancels_the_provider(self, shared_calls: SharedCalls) -> None:
        script = Script("ab")
        caller = asyncio.create_task(all_of(shared_calls.start(script).subscribe()))
        script.allow(1)
        await script.until("a")
        unsubscribed = time.monotonic()
        caller.cancel()
        async with asyncio.timeout(20):
            await script.ended.wait()
        assert script.cancelled_at is not None
        assert script.cancelled_at - unsubscribed < TIGHT_S

    @pytest.mark.parametrize("policy", [DRAIN, CONTINUE])
    @pytest.mark.parametrize("after", range(4))
    async def test_drained_call_goes_on_to_its_end(
        self, shared_calls: SharedCalls, policy: int, after: int
    ) -> None:
        outcomes: list[Outcome] = []
        script = Script("abc")
        shared_call = shared_calls.start(script)
        shared_call.on_complete(kept_in(outcomes))
        subscriber = shared_call.subscribe(policy)
        script.allow(after)
        await script.until("abc"[:after])
        await subscriber.aclose()
        await asyncio.sleep(0)
        assert shared_call.running
        script.allow()
        await ended(shared_call)
        assert script.messages == "abc"
        assert outcomes == [completion(says("abc"))]

    async def test_policy_that_keeps_most_wins(self, shared_calls: SharedCalls) -> None:
        script = Script("abc")
        shared_call = shared_calls.start(script)
        for policy in (DRAIN, CANCEL, 0):
            await shared_call.subscribe(policy).aclose()
        script.allow()
        await ended(shared_call)
        assert script.messages == "abc"

    async def test_leaving_after_the_last_word_does_not_undo_the_answer(
        self, shared_calls: SharedCalls
    ) -> None:
        outcomes: list[Outcome] = []
        entered, gate = asyncio.Event(), asyncio.Event()

        async def keep(outcome: Outcome) -> None:
            entered.set()
            await gate.wait()
            outcomes.append(outcome)

        script = Script("a")
        script.allow()
        shared_call = shared_calls.start(script)
        shared_call.on_complete(keep)
        subscriber = shared_call.subscribe()
        await anext(subscriber)
        await entered.wait()
        await subscriber.aclose()
        gate.set()
        await ended(shared_call)
        assert outcomes == [completion(says("a"))]

    @settings(deadline=None, max_examples=30)
    @given(st.lists(st.integers(0, 8), min_size=1, max_size=6))
    async def test_who_stays_hears_all_whoever_leaves_when(self, leaving_after: list[int]) -> None:
        shared_calls, script = SharedCalls(), Script("abcdefgh")
        shared_call = shared_calls.start(script)
        stays = shared_call.subscribe()

        async def leave_after(chunks: int) -> None:
            async with aclosing(shared_call.subscribe()) as subscriber:
                for _ in range(chunks):
                    await anext(subscriber, None)

        hearing = [asyncio.create_task(leave_after(chunks)) for chunks in leaving_after]
        script.allow()
        assert await all_of(stays) == "abcdefgh"
        await asyncio.gather(*hearing)
        assert shared_call.subscribers == 0


def kept_in(outcomes: list[Outcome]) -> Callable[[Outcome], Any]:
    async def keep(outcome: Outcome) -> None:
        outcomes.append(outcome)

    return keep


class TestAfterwards:
    async def test_listener_sees_the_end_only_when_the_answer_was_handed_on(
        self, shared_calls: SharedCalls
    ) -> None:
        gate = asyncio.Event()

        async def keep(outcome: Outcome) -> None:
            await gate.wait()

        shared_call = shared_calls.start(lambda: once(asyncio.sleep(0, pb.Completion(id="x"))))
        shared_call.on_complete(keep)
        asking = asyncio.create_task(shared_call.subscribe().unary())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not asking.done()
        gate.set()
        assert (await asking).id == "x"

    async def test_error_is_handed_on_as_well(self, shared_calls: SharedCalls) -> None:
        outcomes: list[Outcome] = []
        error = ProviderError(provider="p", provider_message="broken")
        script = Script("a", error)
        script.allow()
        shared_call = shared_calls.start(script)
        shared_call.on_complete(kept_in(outcomes))
        await ended(shared_call)
        assert outcomes == [error]

    async def test_cancelled_answer_is_not(self, shared_calls: SharedCalls) -> None:
        outcomes: list[Outcome] = []
        script = Script("ab")
        shared_call = shared_calls.start(script)
        shared_call.on_complete(kept_in(outcomes))
        subscriber = shared_call.subscribe()
        script.allow(1)
        await anext(subscriber)
        await subscriber.aclose()
        await ended(shared_call)
        assert outcomes == []

    async def test_what_goes_wrong_there_is_not_the_callers_business(self, shared_calls: SharedCalls) -> None:
        outcomes: list[Outcome] = []

        async def fail(outcome: Outcome) -> None:
            raise OSError("disk full")

        script = Script("a")
        script.allow()
        shared_call = shared_calls.start(script)
        shared_call.on_complete(fail)
        shared_call.on_complete(kept_in(outcomes))
        assert await all_of(shared_call.subscribe()) == "a"
        assert len(outcomes) == 1


class TestSharing:
    async def test_second_identical_call_listens_to_the_first(self, shared_calls: SharedCalls) -> None:
        script, other = Script("ab"), Script("cd")
        first, joined_first = shared_calls.share("key", script)
        second, joined_second = shared_calls.share("key", other)
        assert (joined_first, joined_second) == (False, True)
        assert first is second
        subscribers = [first.subscribe(), second.subscribe()]
        script.allow()
        assert [await all_of(subscriber) for subscriber in subscribers] == ["ab", "ab"]
        assert other.begun == 0

    async def test_other_keys_have_other_calls(self, shared_calls: SharedCalls) -> None:
        first, _ = shared_calls.share("one", Script("a"))
        second, was_joined = shared_calls.share("two", Script("b"))
        assert first is not second
        assert not was_joined

    async def test_call_that_has_ended_is_not_joined(self, shared_calls: SharedCalls) -> None:
        script = Script("a")
        script.allow()
        shared_call, _ = shared_calls.share("key", script)
        await ended(shared_call)
        assert not shared_calls.share("key", Script("b"))[1]

    async def test_call_whose_answer_is_just_being_kept_is_not_joined(
        self, shared_calls: SharedCalls
    ) -> None:
        entered, gate = asyncio.Event(), asyncio.Event()

        async def keep(outcome: Outcome) -> None:
            entered.set()
            await gate.wait()

        script = Script("a")
        script.allow()
        shared_call, _ = shared_calls.share("key", script)
        shared_call.on_complete(keep)
        await entered.wait()
        again, was_joined = shared_calls.share("key", Script("b"))
        assert not was_joined
        gate.set()
        await ended(shared_call)
        assert shared_calls.share("key", Script("c")) == (again, True)

    async def test_call_that_is_being_cancelled_is_not_joined(self, shared_calls: SharedCalls) -> None:
        shared_call, _ = shared_calls.share("key", Script("a"))
        await shared_call.subscribe().aclose()
        again, was_joined = shared_calls.share("key", Script("b"))
        assert not was_joined
        await ended(shared_call)
        assert shared_calls.share("key", Script("c")) == (again, True)

    async def test_call_that_nobody_listens_to_any_more_can_be_joined_while_it_is_drained(
        self, shared_calls: SharedCalls
    ) -> None:
        script = Script("ab")
        shared_call, _ = shared_calls.share("key", script)
        script.allow(1)
        await shared_call.subscribe(DRAIN).aclose()
        again, was_joined = shared_calls.share("key", Script("x"))
        assert was_joined
        script.allow()
        assert await all_of(again.subscribe()) == "ab"


class TestDrain:
    async def test_waits_for_what_runs_and_counts_it(self) -> None:
        shared_calls, script = SharedCalls(), Script("ab")
        shared_call = shared_calls.start(script)
        await shared_call.subscribe(DRAIN).aclose()
        assert len(shared_calls) == 1
        draining = asyncio.create_task(shared_calls.drain(5))
        await asyncio.sleep(0)
        script.allow()
        await draining
        assert script.messages == "ab"
        assert len(shared_calls) == 0

    async def test_cancels_what_takes_too_long_and_tells_the_listeners(self) -> None:
        shared_calls, script = SharedCalls(), Script("ab")
        subscriber = shared_calls.start(script).subscribe(CONTINUE)
        script.allow(1)
        assert text_of(await anext(subscriber)) == "a"
        await shared_calls.drain(0.02)
        assert script.cancelled_at is not None
        with pytest.raises(ServiceUnavailable):
            await anext(subscriber)

    async def test_call_that_had_not_begun_is_cancelled_too(self) -> None:
        shared_calls = SharedCalls()
        subscriber = shared_calls.start(Script("ab")).subscribe()
        await shared_calls.drain(0)
        with pytest.raises(ServiceUnavailable):
            await anext(subscriber)
