"""Resumed streams: messages of a running stream written in blocks, and read again by who follows it."""

import asyncio
from itertools import chain, repeat

import structlog

from genai_spine.call import Call
from genai_spine.delivery.keyed_answer import KeyedAnswer, KeyedRequest, Numbered, Origin, behind
from genai_spine.delivery.stored_error import revived_error
from genai_spine.errors import StreamLost
from genai_spine.store.idempotency.blocks import PAGE_BLOCKS, StreamBlocks
from genai_spine.store.idempotency.calls import FoundCall, IdempotentCalls
from genai_spine.store.idempotency.news import BlockNews

BLOCK_S = 0.1  # from one block of a stream to the next
FOLLOWED_BLOCK_S = 0.025  # of a stream that somebody follows
TELL_S = 2.0  # after which a follower says again that it is there
UNARY_PAUSES_S = (0.05, 0.1)  # before the row is read again; then LAST_PAUSE_S
LAST_PAUSE_S = 0.25

log = structlog.get_logger()


class Gone(Exception):
    """The call is not made there any more; whoever follows it must look again."""


class BlockWriter:
    """One task that writes the blocks of all running streams of this process."""

    def __init__(self, blocks: StreamBlocks) -> None:
        self._blocks = blocks
        self._answers: set[KeyedAnswer] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, answer: KeyedAnswer) -> None:
        """Writes an answer's messages from now on."""
        self._answers.add(answer)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Ends the task."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self._answers:
            is_followed = any(answer.is_followed for answer in self._answers)
            await asyncio.sleep(FOLLOWED_BLOCK_S if is_followed else BLOCK_S)
            self._answers = {answer for answer in self._answers if not answer.ended}
            latest = loop.time() - BLOCK_S * 0.9
            due = [
                answer
                for answer in self._answers
                if answer.is_stream and answer.messages and not answer.writing.locked()
                if answer.is_followed or answer.written_at <= latest
            ]
            try:
                await self._write(due)
            except Exception as error:  # they stay in memory, and are written with the next ones
                log.warning("blocks_not_written", streams=len(due), cause=str(error)[:500])

    async def _write(self, due: list[KeyedAnswer]) -> None:
        if not due:
            return
        for answer in due:
            await answer.writing.acquire()
        try:
            blocks = {answer: answer.block() for answer in due if answer.messages and not answer.ended}
            followed = await self._blocks.add({of.claim.call_id: block for of, block in blocks.items()})
            for answer, block in blocks.items():
                answer.written(block)
                answer.written_at = asyncio.get_running_loop().time()
                answer.is_followed = answer.claim.call_id in followed
        finally:
            for answer in due:
                answer.writing.release()


class Follower:
    """Reader of calls that this process does not make."""

    def __init__(self, calls: IdempotentCalls, blocks: StreamBlocks, news: BlockNews) -> None:
        self._calls = calls
        self._blocks = blocks
        self._news = news

    async def messages(
        self, found: FoundCall, asked: KeyedRequest, place: int, call: Call, origin: Origin
    ) -> Numbered:
        """Messages after a place, with their numbers.

        Errors: Gone; StreamLost where a message is missing; InvalidRequest for a place behind the end; that
        of the call.
        """
        loop = asyncio.get_running_loop()
        pauses, tell_at = chain(UNARY_PAUSES_S, repeat(LAST_PAUSE_S)), 0.0
        origin.request_id, origin.is_replay = found.request_id, True
        while True:
            mark = self._news.mark()
            origin.headers = found.headers or origin.headers
            if found.body is not None:
                yield 0, found.body
                return
            if found.state == "RUNNING" and asked.is_stream and loop.time() >= tell_at:
                tell_at = loop.time() + TELL_S
                await self._calls.follow(found.call_id)
            page = await self._blocks.read(found.call_id, place) if asked.is_stream else []
            for block in page:
                if block.first_seq > place + 1:
                    raise StreamLost(messages=place, cause="a part of it was not kept")
                if not origin.headers:
                    origin.headers = await self._headers(found.call_id)
                for message in block.messages[place + 1 - block.first_seq :]:
                    place += 1
                    yield place - 1, message
            if len(page) == PAGE_BLOCKS:
                continue
            if found.state != "RUNNING":
                _end(found, place, call)
                return
            if asked.is_stream:
                await self._news.wait(mark)
            else:
                await asyncio.sleep(next(pauses))
            found = await self._again(found, asked)

    async def _again(self, found: FoundCall, asked: KeyedRequest) -> FoundCall:
        """The call as it is now. Errors: Gone."""
        latest = await self._calls.find(asked.scope)
        if latest is None or latest.call_id != found.call_id:
            raise Gone
        if latest.state == "RUNNING" and not latest.is_alive:
            raise Gone
        return latest

    async def _headers(self, call_id: int) -> dict[str, str]:
        first = await self._blocks.first(call_id)
        return dict(first.headers or {}) if first else {}


def _end(found: FoundCall, place: int, call: Call) -> None:
    """Returns where all of an ended call was told. Errors: as Follower.messages()."""
    if found.last_seq is not None and place > found.last_seq:
        raise behind(found.last_seq)
    if place < (found.last_seq or 0) or (found.last_seq is None and found.error is None):
        raise StreamLost(messages=place, cause="its time is over")
    if found.error is not None:
        raise revived_error(found.error, call)
