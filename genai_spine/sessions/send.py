"""Sends: one at a time in a session, and stored whole or not at all.

A send holds the session's lease from before it reads the history until both messages are stored, which
ends the lease in the same transaction. A send that waits asks the database again and again: the one that
runs may be in another process. It renews its lease; when its process dies, the lease runs out.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from random import uniform
from time import monotonic
from uuid import uuid4

import structlog

from genai_spine.call import Call
from genai_spine.chunks import ChunkBuilder
from genai_spine.errors import Conflict, SessionNotFound
from genai_spine.inference.inference import Inference
from genai_spine.sessions.history import History, check_attachments, on_behalf, text_of
from genai_spine.sessions.sessions import Conversations, check_metadata
from genai_spine.store.sessions import clean
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import session_service_pb2 as pb

WAIT_S = 60.0  # for another send of the session
LEAVE_S = 0.1  # of a caller's deadline, to tell it that it waited in vain
FIRST_PAUSE_S, LAST_PAUSE_S = 0.02, 0.25  # between two looks

log = structlog.get_logger()


@dataclass(slots=True)
class Turn:
    """A send while it holds the lease."""

    session: pb.Session
    token: str
    call: Call  # on the session's behalf
    ended: bool = False  # stored; the lease went with it


@dataclass(slots=True)
class Ask:
    """A message that is to be answered."""

    said: pb.ExportedMessage
    is_stored: bool = False
    replaced: pb.SessionMessage | None = None  # the answer that the next one takes the place of


class Sends:
    def __init__(self, conversations: Conversations, inference: Inference, lease_ttl_s: float = 15.0) -> None:
        """lease_ttl_s: for so long after its process died a send keeps others out of its session."""
        self.sessions = conversations.sessions
        self.messages = conversations.messages
        self.inference = inference
        self.history = History(conversations.messages, inference)
        self.lease_ttl_s = lease_ttl_s

    async def send(self, request: pb.SendMessageRequest, call: Call) -> pb.SendMessageResponse:
        """Errors: SessionNotFound, Conflict, InvalidFields, those of inference."""
        _check(request)
        async with self._turn(request.session_id, call) as turn:
            ask = Ask(_said(request, turn.session))
            completion = await self.inference.complete(await self._asked(turn, ask, request), turn.call)
            return await self._stored(turn, ask, completion)

    async def stream(self, request: pb.SendMessageRequest, call: Call) -> AsyncGenerator[pb.MessageEvent]:
        """As send(), with the text as it comes."""
        _check(request)
        async with self._turn(request.session_id, call) as turn:
            ask = Ask(_said(request, turn.session))
            asked = await self._asked(turn, ask, request)
            answer = ChunkBuilder()
            async with aclosing(self.inference.stream(asked, turn.call)) as chunks:
                async for chunk in chunks:
                    answer.add(chunk)
                    if text := "".join(delta.content or delta.refusal for delta in chunk.choices):
                        yield pb.MessageEvent(text=text)
            yield pb.MessageEvent(result=await self._stored(turn, ask, answer.completion()))

    async def regenerate(self, request: pb.RegenerateMessageRequest, call: Call) -> pb.SendMessageResponse:
        """Errors: as send(); Conflict also where there is nothing to answer."""
        async with self._turn(request.session_id, call) as turn:
            ask = await self._last_asked(turn.session)
            completion = await self.inference.complete(await self._asked(turn, ask, request), turn.call)
            return await self._stored(turn, ask, completion)

    async def _last_asked(self, session: pb.Session) -> Ask:
        count = session.message_count
        last = await self.messages.between(session.id, max(0, count - 2), count)
        replaced = last.pop().message if last and last[-1].message.role == "assistant" else None
        if not last or last[-1].message.role != "user":
            raise Conflict(field="session_id", problem="the session has no message to answer")
        return Ask(last[-1], is_stored=True, replaced=replaced)

    async def _asked(
        self, turn: Turn, ask: Ask, request: pb.SendMessageRequest | pb.RegenerateMessageRequest
    ) -> completions.CreateCompletionRequest:
        async def keep(summary: pb.HistorySummary) -> None:
            if not await self.sessions.keep_summary(turn.session.id, turn.token, summary):
                raise await self._lost(turn.session.id)

        asked = await self.history.request(turn.session, ask.said, turn.call, keep)
        for name in ("temperature", "max_tokens", "user"):
            if request.HasField(name):
                setattr(asked, name, getattr(request, name))
        return asked

    async def _stored(
        self, turn: Turn, ask: Ask, completion: completions.Completion
    ) -> pb.SendMessageResponse:
        answer = _answer(ask.said.message, completion)
        answered = pb.ExportedMessage(message=answer)
        said = [answered] if ask.is_stored else [ask.said, answered]
        if not await self.messages.end_send(turn.token, said, ask.replaced):
            raise await self._lost(turn.session.id)
        turn.ended = True
        response = pb.SendMessageResponse(
            message=ask.said.message,
            response=answer,
            request_id=completion.request_id,
            execution_id=completion.execution_id,
            finish_reason=completion.choices[0].finish_reason,
        )
        for field in _SHARED:
            value = getattr(answer, field)
            if field in ("metadata", "created_at"):
                getattr(response, field).CopyFrom(value)
            else:
                setattr(response, field, value)
        return response

    @asynccontextmanager
    async def _turn(self, session_id: str, call: Call) -> AsyncIterator[Turn]:
        """The session's lease, as soon as no other send has it."""
        token = str(uuid4())
        turn: Turn | None = None
        keeper: asyncio.Task[None] | None = None
        try:
            session = await self._claimed(session_id, token, call)
            turn = Turn(session, token, on_behalf(call, session))
            keeper = asyncio.create_task(self._keep(session_id, token))
            yield turn
        finally:
            if keeper is not None:
                keeper.cancel()
            if turn is None or not turn.ended:
                await self._release(session_id, token)

    async def _claimed(self, session_id: str, token: str, call: Call) -> pb.Session:
        remaining_s = call.remaining_s
        patience_s = WAIT_S if remaining_s is None else min(WAIT_S, remaining_s - LEAVE_S)
        until, pause_s = monotonic() + patience_s, FIRST_PAUSE_S
        while (session := await self.sessions.claim(session_id, token, self.lease_ttl_s)) is None:
            lost, left_s = await self._lost(session_id), until - monotonic()
            if isinstance(lost, SessionNotFound) or left_s <= 0:
                raise lost
            await asyncio.sleep(min(left_s, pause_s * uniform(0.5, 1)))
            pause_s = min(LAST_PAUSE_S, pause_s * 1.5)
        return session

    async def _keep(self, session_id: str, token: str) -> None:
        while True:
            await asyncio.sleep(self.lease_ttl_s / 3)
            try:
                await self.sessions.renew(session_id, token, self.lease_ttl_s)
            except Exception as error:  # the next try may succeed; end_send() finds out for certain
                log.warning("send_lease_not_renewed", session_id=session_id, cause=repr(error)[:500])

    async def _release(self, session_id: str, token: str) -> None:
        try:
            await self.sessions.release(session_id, token)
        except Exception as error:  # it runs out by itself
            log.warning("send_lease_not_released", session_id=session_id, cause=repr(error)[:500])

    async def _lost(self, session_id: str) -> Conflict | SessionNotFound:
        """Why the lease is not ours."""
        if await self.sessions.get(session_id) is None:
            return SessionNotFound(session=session_id)
        return Conflict(field="session_id", problem="another send is running in this session")


# Fields of the answer that a response has as its own.
_SHARED = [
    field.name
    for field in pb.SendMessageResponse.DESCRIPTOR.fields
    if field.name in pb.SessionMessage.DESCRIPTOR.fields_by_name and field.name != "execution_id"
]


def _check(request: pb.SendMessageRequest) -> None:
    check_metadata(request.metadata)
    check_attachments(request.attachments)


def _said(request: pb.SendMessageRequest, session: pb.Session) -> pb.ExportedMessage:
    said = pb.ExportedMessage(attachments=request.attachments)
    message = said.message
    message.id, message.session_id, message.role = str(uuid4()), session.id, "user"
    message.content, message.model = clean(request.content), session.model
    message.sequence = session.message_count
    message.metadata.CopyFrom(request.metadata)
    message.created_at.FromDatetime(datetime.now(UTC))
    for file in request.attachments:
        message.attachments.add(filename=file.filename, media_type=file.media_type, size_bytes=len(file.data))
    return said


def _answer(asked: pb.SessionMessage, completion: completions.Completion) -> pb.SessionMessage:
    usage, cost = completion.usage, completion.cost
    answer = pb.SessionMessage(
        id=str(uuid4()),
        session_id=asked.session_id,
        sequence=asked.sequence + 1,
        role="assistant",
        content=clean(text_of(completion)),
        model=completion.model,
        provider=completion.provider,
        execution_id=completion.execution_id,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        tokens=usage.input_tokens + usage.output_tokens,
        cost_usd=cost.cost_usd,
        cost=cost.cost_usd,
        cost_ticks=cost.cost_ticks,
        latency_ms=completion.latency_ms,
    )
    answer.metadata.SetInParent()
    answer.created_at.FromDatetime(datetime.now(UTC))
    return answer
