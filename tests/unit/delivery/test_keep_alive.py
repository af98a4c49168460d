"""Keep-alive: markers in a stream's queue while nothing comes."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from genai_spine.delivery.keep_alive import KeepAlive
from genai_spine.errors import ProviderError

BROKEN = ProviderError(provider="openai", provider_message="broken")


class Stream:
    """Messages that come when they are sent; None ends it, an error is raised."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        self.is_closed = False

    async def __call__(self) -> AsyncGenerator[str]:
        try:
            while (message := await self.messages.get()) is not None:
                if isinstance(message, Exception):
                    raise message
                yield message
        finally:
            self.is_closed = True

    def send(self, *messages: str | Exception | None) -> None:
        for message in messages:
            self.messages.put_nowait(message)


async def test_keep_alive_hands_messages_through_in_order() -> None:
    stream = Stream()
    stream.send("a", "b", "c", None)
    async with KeepAlive(stream(), 60) as messages:
        assert [message async for message in messages] == ["a", "b", "c"]
    assert stream.is_closed


async def test_keep_alive_hands_the_first_message_on_without_a_turn_of_the_loop() -> None:
    stream = Stream()
    stream.send("a")
    async with KeepAlive(stream(), 60) as messages:
        with pytest.raises(StopIteration) as answered:
            messages.__anext__().send(None)
    assert answered.value.value == "a"


async def test_keep_alive_marks_silence_after_the_first_message_and_goes_on() -> None:
    stream = Stream()
    async with KeepAlive(stream(), 0.01) as messages:
        stream.send("a")
        assert await anext(messages) == "a"
        assert [await anext(messages), await anext(messages)] == [None, None]
        stream.send("b")
        while (message := await anext(messages)) is None:
            pass
        assert message == "b"


async def test_keep_alive_does_not_mark_the_time_before_the_first_message() -> None:
    stream = Stream()
    async with KeepAlive(stream(), 0.001) as messages:
        first = asyncio.ensure_future(anext(messages))
        await asyncio.sleep(0.02)
        assert not first.done()
        stream.send("a")
        assert await first == "a"


async def test_keep_alive_raises_the_streams_error_after_its_messages() -> None:
    stream = Stream()
    stream.send("a", BROKEN)
    async with KeepAlive(stream(), 60) as messages:
        assert await anext(messages) == "a"
        with pytest.raises(ProviderError):
            await anext(messages)


async def test_keep_alive_ends_with_a_stream_that_was_cancelled_from_within() -> None:
    async def rest(messages: KeepAlive[str]) -> list[str]:
        return [message async for message in messages if message is not None]

    async def cancelled() -> AsyncGenerator[str]:
        yield "a"
        raise asyncio.CancelledError

    async with KeepAlive(cancelled(), 0.001) as messages:
        assert await anext(messages) == "a"
        with pytest.raises(asyncio.CancelledError):
            await rest(messages)


async def test_keep_alive_of_a_caller_that_left_closes_the_stream_and_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    stream = Stream()
    stream.send("a")
    async with KeepAlive(stream(), 60) as messages:
        await anext(messages)
    assert stream.is_closed
    assert asyncio.all_tasks() == before


async def test_keep_alive_lets_a_slow_reader_hold_up_the_producer() -> None:
    stream = Stream()
    stream.send(*"abcdef")
    async with KeepAlive(stream(), 60) as messages:
        assert await anext(messages) == "a"
        for _ in range(10):
            await asyncio.sleep(0)
        assert stream.messages.qsize() >= 3
