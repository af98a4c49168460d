"""Idempotent calls: a repeat with the same key joins the call that runs, or is told what it came to.

One row in the database says who makes the call. Within a process listeners share its messages; other
processes read them from blocks, or the row once it is finished.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import replace
from random import getrandbits
from typing import Any

import structlog

from genai_spine.billing.ledger.ledger import Ledger
from genai_spine.call import Call, uuid7
from genai_spine.delivery.keyed_answer import (
    Abandoned,
    KeyedAnswer,
    KeyedRequest,
    Messages,
    Numbered,
    Origin,
    behind,
)
from genai_spine.delivery.resume import BlockWriter, Follower, Gone
from genai_spine.delivery.stored_error import stored_error
from genai_spine.errors import (
    CallLost,
    IdempotencyKeyReused,
    InternalError,
    ServiceUnavailable,
    SpineError,
    StreamLost,
)
from genai_spine.http_answer import is_final
from genai_spine.store.idempotency.blocks import StreamBlocks
from genai_spine.store.idempotency.calls import OURS, Claim, FoundCall, IdempotentCalls, Outcome
from genai_spine.store.idempotency.news import BlockNews
from genai_spine.v1 import completion_service_pb2 as pb

WRITE_S = 3.0  # that a listener waits for the outcome to be written; it is paid, so it is told all the same
PAUSES_S = (0.05, 0.2, 1.0)  # before the next attempt to write an outcome; the last one again and again
STOP_S = 5.0  # in which a stopping server writes outcomes

log = structlog.get_logger()


class Idempotency:
    """Claims, joins, replays and take-overs. Times are seconds."""

    def __init__(
        self,
        calls: IdempotentCalls,
        blocks: StreamBlocks,
        news: BlockNews,
        ledger: Ledger,
        *,
        grace_s: float,
    ) -> None:
        """ledger: whose lease says that this process lives. grace_s: for so long a call goes on without a
        listener.
        """
        self._calls = calls
        self._blocks = blocks
        self._news = news
        self._ledger = ledger
        self._grace_s = grace_s
        self._follower = Follower(calls, blocks, news)
        self._writer = BlockWriter(blocks)
        self._running: dict[Any, KeyedAnswer] = {}  # by scope
        self._tasks: set[asyncio.Task[Any]] = set()

    async def messages(
        self, asked: KeyedRequest, call: Call, make: Callable[[Call], Messages], origin: Origin
    ) -> Numbered:
        """Messages of the answer after asked.place, with their numbers. make: makes the call.

        Errors: IdempotencyKeyReused; StreamLost, CallLost; InvalidRequest for a place behind the end; that of
        the call; ServiceUnavailable.
        """
        place = asked.place
        call_id: int | None = None  # of the call whose messages were sent
        while True:
            begun = await asyncio.shield(self._task(self._begin(asked, place, call, make)))
            if begun is None:
                continue
            found_id = begun.claim.call_id if isinstance(begun, KeyedAnswer) else begun.call_id
            if call_id not in (None, found_id):
                raise StreamLost(messages=place, cause="it was made again")
            try:
                async with aclosing(self._answered(begun, asked, place, call, origin)) as messages:
                    async for number, message in messages:
                        call_id, place = found_id, number + 1
                        yield number, message
                return
            except Gone:
                continue

    async def with_key_of_body(self, asked: KeyedRequest, call: Call) -> KeyedRequest:
        """Request of a caller without a key, with that of the call of the same body where an SDK repeats it.

        A first try, or a repeat of what is not known here, gets a new one.
        """
        key = await self._calls.key_of_body(asked.scope, asked.request_hash) if call.client_retries else None
        return replace(asked, scope=replace(asked.scope, key=key or f"{OURS}{uuid7()}"))

    async def keep_claims(self) -> None:
        """Moves the claims of running calls to the id that this process has now.

        It has another one after its lease was lost; calls of the old one count as those of a dead process.
        """
        server_id = self._ledger.server_id
        moved = [answer for answer in self._running.values() if answer.claim.server_id != server_id]
        if moved:
            await self._calls.move([answer.claim.call_id for answer in moved], server_id)
            for answer in moved:
                answer.claim = replace(answer.claim, server_id=server_id)

    @property
    def running(self) -> int:
        """Number of calls that are made now, those without a caller included."""
        return sum(answer.task is not None for answer in self._running.values())

    async def drain(self, timeout_s: float) -> None:
        """Lets calls come to their end for so long; cancels the others, and writes what they came to."""
        running = [answer.task for answer in self._running.values() if answer.task is not None]
        if running:
            _, late = await asyncio.wait(running, timeout=timeout_s)
            for task in late:
                task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOP_S)
        for task in self._tasks:
            task.cancel()
        await self._writer.stop()
        await self._news.close()

    def _answered(
        self, begun: KeyedAnswer | FoundCall, asked: KeyedRequest, place: int, call: Call, origin: Origin
    ) -> Numbered:
        """Messages of a call that runs here, or of one that its row is about."""
        if isinstance(begun, KeyedAnswer):
            return self._heard(begun, place, call, origin)
        return self._follower.messages(begun, asked, place, call, origin)

    async def _heard(self, answer: KeyedAnswer, place: int, call: Call, origin: Origin) -> Numbered:
        origin.request_id = answer.claim.request_id
        origin.is_replay = answer.asker is not call
        try:
            async with aclosing(answer.listen(place, self._blocks)) as messages:
                async for number, message in messages:
                    origin.headers = answer.headers
                    yield number, message
        except Abandoned:
            raise ServiceUnavailable(cause="it is stopping") from None
        finally:
            call.failure = answer.call.failure
            call.billed.update(answer.call.billed)
        origin.headers = answer.headers
        if place > answer.end:
            raise behind(answer.end)

    async def _begin(
        self, asked: KeyedRequest, place: int, call: Call, make: Callable[[Call], Messages]
    ) -> KeyedAnswer | FoundCall | None:
        """The call, begun now where nobody has made it; None: look again."""
        running = self._running.get(asked.scope)
        if running is None and not place:
            claim = self._claim(asked, call)
            if await self._taken(claim, self._calls.claim(claim)):
                return self._start(asked, claim, call, make)
            running = self._running.get(asked.scope)
        if running is not None:
            _compare(asked, running.claim.method, running.claim.request_hash)
            return running
        found = await self._calls.find(asked.scope)
        if found is None:
            if place:
                raise StreamLost(messages=0, cause="no call with this key is known")
            return None
        if found.has_expired:
            await self._calls.forget(found)
            return None
        _compare(asked, found.method, found.request_hash)
        if found.state != "RUNNING" or found.is_alive:
            return found
        return await self._inherit(found, asked, place, call, make)

    async def _inherit(
        self, found: FoundCall, asked: KeyedRequest, place: int, call: Call, make: Callable[[Call], Messages]
    ) -> KeyedAnswer | None:
        """The call of a dead process, made again where that is right; None: look again."""
        if last := await self._blocks.last_seq(found.call_id):
            lost = StreamLost(messages=last, cause="its server ended")
            await self._calls.lose(
                found, Outcome("FAILED", {}, error=stored_error(lost, call), last_seq=last)
            )
            return None
        if place:
            raise StreamLost(messages=0, cause="its server ended")
        if asked.fails_when_lost and await self._calls.was_tried(found):
            await self._calls.lose(found, Outcome("FAILED", {}, error=stored_error(CallLost(), call)))
            return None
        claim = self._claim(asked, call)
        if await self._taken(claim, self._calls.take_over(claim, found)):
            log.info("call_taken_over", request_id=call.request_id, of=found.request_id)
            return self._start(asked, claim, call, make)
        return None

    def _claim(self, asked: KeyedRequest, call: Call) -> Claim:
        return Claim(
            scope=asked.scope,
            call_id=(time.time_ns() // 1_000_000) << 20
            | getrandbits(20),  # below 2 ** 63 until the year 2248
            method=asked.method,
            request_hash=asked.request_hash,
            server_id=self._ledger.server_id,
            request_id=call.request_id,
        )

    async def _taken(self, claim: Claim, taking: Coroutine[Any, Any, bool]) -> bool:
        try:
            return await taking
        except Exception:
            self._task(self._written(claim.call_id, None))  # whether it was taken is not known
            raise

    def _start(
        self, asked: KeyedRequest, claim: Claim, call: Call, make: Callable[[Call], Messages]
    ) -> KeyedAnswer:
        answer = self._running[asked.scope] = KeyedAnswer(asked, claim, call, self._grace_s)
        answer.start(make, self._end)
        if asked.is_stream:
            self._writer.add(answer)
        return answer

    async def _end(self, answer: KeyedAnswer) -> None:
        """Writes what a call came to."""
        writing = self._task(self._finish(answer))
        await asyncio.wait({writing}, timeout=WRITE_S)

    async def _finish(self, answer: KeyedAnswer) -> None:
        async with answer.writing:
            await self._ledger.booked(answer.executions)
            await self._written(answer.claim.call_id, _outcome(answer))
        if self._running.get(answer.asked.scope) is answer:
            del self._running[answer.asked.scope]

    async def _written(self, call_id: int, outcome: Outcome | None) -> None:
        """Writes an outcome, as often as it takes; None: the claim is given up.

        The only place that does. A transaction of its own: what the call cost is on the books before.
        """
        attempt = 0
        while True:
            try:
                if outcome is None:
                    await self._calls.release(call_id)
                else:
                    await self._calls.finish(call_id, outcome)
                return
            except Exception as error:
                pause_s = PAUSES_S[min(attempt, len(PAUSES_S) - 1)]
                log.warning("outcome_not_written", cause=str(error)[:500], retry_s=pause_s)
            attempt += 1
            await asyncio.sleep(pause_s)

    def _task(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Held here, because the loop does not hold it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _outcome(answer: KeyedAnswer) -> Outcome | None:
    """What the row says of an answer that has ended; None: nothing, so that a repeat makes the call again."""
    error, call = answer.error, answer.call
    if isinstance(error, Abandoned) and answer.is_stream and answer.end:
        error = answer.error = StreamLost(messages=answer.end, cause="nobody listened any more")
    elif isinstance(error, Abandoned):
        if not (answer.asked.fails_when_lost and answer.was_tried):
            return None
        error = CallLost()
    if error is not None and not isinstance(error, SpineError):
        error = InternalError()
    if error is not None and not answer.end and not (answer.was_tried and is_final(error, call)):
        return None
    stored = None if error is None else stored_error(error, call)
    state = "DONE" if error is None and call.failure is None else "FAILED"
    if answer.is_stream:
        blocks = [answer.block()] if answer.messages else []
        return Outcome(state, answer.headers, error=stored, blocks=blocks, last_seq=answer.end)
    body = answer.messages[0] if answer.messages else None
    of = pb.Completion.FromString(body).id if body and answer.asked.keeps_completion else None
    return Outcome(state, answer.headers, body=body, completion_id=of, error=stored)


def _compare(asked: KeyedRequest, method: str, request_hash: bytes) -> None:
    """Errors: IdempotencyKeyReused."""
    if (asked.method, asked.request_hash) != (method, request_hash):
        raise IdempotencyKeyReused(method=method)
