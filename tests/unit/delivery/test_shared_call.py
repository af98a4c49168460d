"""Relays: one answer told to many, whoever is late, slow or gone."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_spine.chunks import completion
from genai_spine.delivery.shared_call import Listener, Outcome, Relay, Relays, once
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
        self.said = ""
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
                self.said += word
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

    async def until(self, said: str) -> None:
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: self.said == said)


@pytest.fixture
async def relays() -> AsyncGenerator[Relays]:
    found = Relays()
    yield found
    await found.drain(0)
    assert len(found) == 0


async def all_of(listener: Listener[pb.CompletionChunk]) -> str:
    async with aclosing(listener):
        return "".join([text_of(chunk) async for chunk in listener])


async def hear(listener: Listener[pb.CompletionChunk], heard: list[str]) -> None:
    async for chunk in listener:
        heard.append(text_of(chunk))


async def ended(relay: Relay[Any]) -> None:
    async with asyncio.timeout(2):
        await asyncio.wait({relay.task})
    await asyncio.sleep(0)
    assert relay.ended


class TestListening:
    async def test_each_chunk_comes_as_it_is_said(self, relays: Relays) -> None:
        script = Script("abc")
        listener = relays.start(script).listen()
        for word in "abc":
            script.allow(1)
            assert text_of(await anext(listener)) == word
        script.allow(1)
        with pytest.raises(StopAsyncIteration):
            await anext(listener)

    async def test_late_listener_gets_what_came_before_in_one_chunk(self, relays: Relays) -> None:
        script = Script("abcde")
        relay = relays.start(script)
        early = relay.listen()
        script.allow(3)
        await script.until("abc")
        late = relay.listen()
        assert text_of(await anext(late)) == "abc"
        script.allow()
        assert await all_of(late) == "de"
        assert await all_of(early) == "abcde"

    async def test_listener_after_the_end_gets_everything(self, relays: Relays) -> None:
        script = Script("abc")
        script.allow()
        relay = relays.start(script)
        await ended(relay)
        assert await all_of(relay.listen()) == "abc"

    async def test_what_one_listener_does_to_its_chunks_is_not_seen_by_others(self, relays: Relays) -> None:
        script = Script("ab")
        relay = relays.start(script)
        first, second = relay.listen(), relay.listen()
        script.allow(1)
        (await anext(first)).choices[0].content = "changed"
        assert text_of(await anext(second)) == "a"
        script.allow()
        assert await all_of(relay.listen()) == "ab"

    async def test_thousand_listeners_hear_all_of_one_call(self, relays: Relays) -> None:
        script = Script("abcdefghij")
        relay = relays.start(script)
        hearing = [asyncio.create_task(all_of(relay.listen())) for _ in range(1000)]
        script.allow()
        assert set(await asyncio.gather(*hearing)) == {script.words}
        assert script.begun == 1

    async def test_slow_listener_holds_nobody_back_and_its_backlog_comes_as_one_chunk(
        self, relays: Relays
    ) -> None:
        script = Script("abcdef")
        relay = relays.start(script)
        slow, fast = relay.listen(), relay.listen()
        script.allow(1)
        assert text_of(await anext(slow)) == "a"
        script.allow()
        assert await all_of(fast) == "abcdef"
        assert [text_of(chunk) async for chunk in slow] == ["bcdef"]

    async def test_chunks_that_are_there_already_do_not_wait_for_the_end(self, relays: Relays) -> None:
        async def at_once() -> AsyncGenerator[pb.CompletionChunk]:
            for number in range(100):
                yield says(str(number % 10))

        listener = relays.start(at_once).listen()
        assert len([chunk async for chunk in listener]) > 10

    async def test_whole_answer_is_one_message(self, relays: Relays) -> None:
        answer = pb.Completion(id="x")
        listener = relays.start(lambda: once(asyncio.sleep(0, answer))).listen()
        assert await listener.whole() == answer

    async def test_whole_stream_is_one_chunk(self, relays: Relays) -> None:
        script = Script("abc")
        script.allow()
        assert text_of(await relays.start(script).listen().whole()) == "abc"

    async def test_closed_listener_says_nothing_more(self, relays: Relays) -> None:
        script = Script("abc")
        relay = relays.start(script)
        stays, leaves = relay.listen(), relay.listen()
        script.allow(2)
        await script.until("ab")
        await leaves.aclose()
        await leaves.aclose()
        assert [chunk async for chunk in leaves] == []
        assert relay.listeners == 1
        script.allow()
        assert await all_of(stays) == "abc"


class TestErrors:
    @pytest.mark.parametrize("words", ["", "ab"])
    async def test_error_reaches_every_listener_after_what_was_said(self, relays: Relays, words: str) -> None:
        error = ProviderError(provider="p", provider_message="broken")
        script = Script(words, error)
        relay = relays.start(script)
        early = [relay.listen() for _ in range(3)]
        script.allow()
        await ended(relay)
        for listener in [*early, relay.listen()]:
            heard: list[str] = []
            with pytest.raises(ProviderError) as raised:
                await hear(listener, heard)
            assert "".join(heard) == words
            assert raised.value is error

    async def test_answer_without_a_single_chunk_is_an_error(self, relays: Relays) -> None:
        script = Script("")
        script.allow()
        with pytest.raises(InternalError):
            await relays.start(script).listen().whole()

    async def test_error_that_nobody_hears_is_no_warning(self, relays: Relays) -> None:
        script = Script("a", ValueError("broken"))
        script.allow()
        relay = relays.start(script)
        await ended(relay)
        assert isinstance(relay.error, ValueError)


class TestLeaving:
    @pytest.mark.parametrize("after", range(5))
    async def test_last_one_who_leaves_cancels_the_provider_at_once(self, relays: Relays, after: int) -> None:
        script = Script("abcd")
        relay = relays.start(script)
        first, second = relay.listen(), relay.listen(CANCEL)
        script.allow(after)
        await script.until("abcd"[:after])
        await first.aclose()
        await asyncio.sleep(0)
        assert relay.running
        left = time.monotonic()
        await second.aclose()
        await ended(relay)
        assert relay.task.cancelled()
        if script.begun and script.cancelled_at is not None:  # else it had not begun yet
            assert script.cancelled_at - left < TIGHT_S
        assert len(relays) == 0

    async def test_cancelled_caller_cancels_the_provider(self, relays: Relays) -> None:
        script = Script("ab")
        caller = asyncio.create_task(all_of(relays.start(script).listen()))
        script.allow(1)
        await script.until("a")
        left = time.monotonic()
        caller.cancel()
        async with asyncio.timeout(20):
            await script.ended.wait()
        assert script.cancelled_at is not None
        assert script.cancelled_at - left < TIGHT_S

    @pytest.mark.parametrize("policy", [DRAIN, CONTINUE])
    @pytest.mark.parametrize("after", range(4))
    async def test_drained_call_goes_on_to_its_end(self, relays: Relays, policy: int, after: int) -> None:
        outcomes: list[Outcome] = []
        script = Script("abc")
        relay = relays.start(script)
        relay.afterwards(kept_in(outcomes))
        listener = relay.listen(policy)
        script.allow(after)
        await script.until("abc"[:after])
        await listener.aclose()
        await asyncio.sleep(0)
        assert relay.running
        script.allow()
        await ended(relay)
        assert script.said == "abc"
        assert outcomes == [completion(says("abc"))]

    async def test_policy_that_keeps_most_wins(self, relays: Relays) -> None:
        script = Script("abc")
        relay = relays.start(script)
        for policy in (DRAIN, CANCEL, 0):
            await relay.listen(policy).aclose()
        script.allow()
        await ended(relay)
        assert script.said == "abc"

    async def test_leaving_after_the_last_word_does_not_undo_the_answer(self, relays: Relays) -> None:
        outcomes: list[Outcome] = []
        entered, gate = asyncio.Event(), asyncio.Event()

        async def keep(outcome: Outcome) -> None:
            entered.set()
            await gate.wait()
            outcomes.append(outcome)

        script = Script("a")
        script.allow()
        relay = relays.start(script)
        relay.afterwards(keep)
        listener = relay.listen()
        await anext(listener)
        await entered.wait()
        await listener.aclose()
        gate.set()
        await ended(relay)
        assert outcomes == [completion(says("a"))]

    @settings(deadline=None, max_examples=30)
    @given(st.lists(st.integers(0, 8), min_size=1, max_size=6))
    async def test_who_stays_hears_all_whoever_leaves_when(self, leaving_after: list[int]) -> None:
        relays, script = Relays(), Script("abcdefgh")
        relay = relays.start(script)
        stays = relay.listen()

        async def leave_after(chunks: int) -> None:
            async with aclosing(relay.listen()) as listener:
                for _ in range(chunks):
                    await anext(listener, None)

        hearing = [asyncio.create_task(leave_after(chunks)) for chunks in leaving_after]
        script.allow()
        assert await all_of(stays) == "abcdefgh"
        await asyncio.gather(*hearing)
        assert relay.listeners == 0


def kept_in(outcomes: list[Outcome]) -> Callable[[Outcome], Any]:
    async def keep(outcome: Outcome) -> None:
        outcomes.append(outcome)

    return keep


class TestAfterwards:
    async def test_listener_sees_the_end_only_when_the_answer_was_handed_on(self, relays: Relays) -> None:
        gate = asyncio.Event()

        async def keep(outcome: Outcome) -> None:
            await gate.wait()

        relay = relays.start(lambda: once(asyncio.sleep(0, pb.Completion(id="x"))))
        relay.afterwards(keep)
        asking = asyncio.create_task(relay.listen().whole())
        for _ in range(20):
            await asyncio.sleep(0)
        assert not asking.done()
        gate.set()
        assert (await asking).id == "x"

    async def test_error_is_handed_on_as_well(self, relays: Relays) -> None:
        outcomes: list[Outcome] = []
        error = ProviderError(provider="p", provider_message="broken")
        script = Script("a", error)
        script.allow()
        relay = relays.start(script)
        relay.afterwards(kept_in(outcomes))
        await ended(relay)
        assert outcomes == [error]

    async def test_cancelled_answer_is_not(self, relays: Relays) -> None:
        outcomes: list[Outcome] = []
        script = Script("ab")
        relay = relays.start(script)
        relay.afterwards(kept_in(outcomes))
        listener = relay.listen()
        script.allow(1)
        await anext(listener)
        await listener.aclose()
        await ended(relay)
        assert outcomes == []

    async def test_what_goes_wrong_there_is_not_the_callers_business(self, relays: Relays) -> None:
        outcomes: list[Outcome] = []

        async def fail(outcome: Outcome) -> None:
            raise OSError("disk full")

        script = Script("a")
        script.allow()
        relay = relays.start(script)
        relay.afterwards(fail)
        relay.afterwards(kept_in(outcomes))
        assert await all_of(relay.listen()) == "a"
        assert len(outcomes) == 1


class TestSharing:
    async def test_second_identical_call_listens_to_the_first(self, relays: Relays) -> None:
        script, other = Script("ab"), Script("cd")
        first, joined_first = relays.share("key", script)
        second, joined_second = relays.share("key", other)
        assert (joined_first, joined_second) == (False, True)
        assert first is second
        listeners = [first.listen(), second.listen()]
        script.allow()
        assert [await all_of(listener) for listener in listeners] == ["ab", "ab"]
        assert other.begun == 0

    async def test_other_keys_have_other_calls(self, relays: Relays) -> None:
        first, _ = relays.share("one", Script("a"))
        second, was_joined = relays.share("two", Script("b"))
        assert first is not second
        assert not was_joined

    async def test_call_that_has_ended_is_not_joined(self, relays: Relays) -> None:
        script = Script("a")
        script.allow()
        relay, _ = relays.share("key", script)
        await ended(relay)
        assert not relays.share("key", Script("b"))[1]

    async def test_call_whose_answer_is_just_being_kept_is_not_joined(self, relays: Relays) -> None:
        entered, gate = asyncio.Event(), asyncio.Event()

        async def keep(outcome: Outcome) -> None:
            entered.set()
            await gate.wait()

        script = Script("a")
        script.allow()
        relay, _ = relays.share("key", script)
        relay.afterwards(keep)
        await entered.wait()
        again, was_joined = relays.share("key", Script("b"))
        assert not was_joined
        gate.set()
        await ended(relay)
        assert relays.share("key", Script("c")) == (again, True)

    async def test_call_that_is_being_cancelled_is_not_joined(self, relays: Relays) -> None:
        relay, _ = relays.share("key", Script("a"))
        await relay.listen().aclose()
        again, was_joined = relays.share("key", Script("b"))
        assert not was_joined
        await ended(relay)
        assert relays.share("key", Script("c")) == (again, True)

    async def test_call_that_nobody_listens_to_any_more_can_be_joined_while_it_is_drained(
        self, relays: Relays
    ) -> None:
        script = Script("ab")
        relay, _ = relays.share("key", script)
        script.allow(1)
        await relay.listen(DRAIN).aclose()
        again, was_joined = relays.share("key", Script("x"))
        assert was_joined
        script.allow()
        assert await all_of(again.listen()) == "ab"


class TestDrain:
    async def test_waits_for_what_runs_and_counts_it(self) -> None:
        relays, script = Relays(), Script("ab")
        relay = relays.start(script)
        await relay.listen(DRAIN).aclose()
        assert len(relays) == 1
        draining = asyncio.create_task(relays.drain(5))
        await asyncio.sleep(0)
        script.allow()
        await draining
        assert script.said == "ab"
        assert len(relays) == 0

    async def test_cancels_what_takes_too_long_and_tells_the_listeners(self) -> None:
        relays, script = Relays(), Script("ab")
        listener = relays.start(script).listen(CONTINUE)
        script.allow(1)
        assert text_of(await anext(listener)) == "a"
        await relays.drain(0.02)
        assert script.cancelled_at is not None
        with pytest.raises(ServiceUnavailable):
            await anext(listener)

    async def test_call_that_had_not_begun_is_cancelled_too(self) -> None:
        relays = Relays()
        listener = relays.start(Script("ab")).listen()
        await relays.drain(0)
        with pytest.raises(ServiceUnavailable):
            await anext(listener)
