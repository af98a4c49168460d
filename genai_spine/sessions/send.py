"""Sending messages: one send at a time in a session, stored whole or not at all.

A send holds the session's lease from before it reads the history until both messages are stored, which
ends the lease in the same transaction. A waiting send polls the database, because the running one may be
in another process. The lease is renewed while the send runs; when its process dies, the lease expires.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from random import uniform
from time import monotonic
from uuid import UUID, uuid4, uuid5

import structlog
from google.protobuf.message import Message

from genai_spine.call import Call
from genai_spine.chunks import ChunkBuilder, first_choice
from genai_spine.errors import Conflict, SessionNotFound
from genai_spine.inference.inference import Inference
from genai_spine.sessions.history import History, check_attachments, on_behalf, text_of
from genai_spine.sessions.sessions import SessionLibrary, check_metadata
from genai_spine.store.sessions import clean
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import session_service_pb2 as pb

LEASE_WAIT_S = 60.0  # for another send of the session
DEADLINE_MARGIN_S = 0.1  # of a caller's deadline, to tell it that it waited in vain
MIN_POLL_S, MAX_POLL_S = 0.02, 0.25  # between two looks

log = structlog.get_logger()


@dataclass(slots=True)
class SessionLease:
    """Lease of a session while one send works in it."""

    session: pb.Session
    token: str
    call: Call  # on the session's behalf
    ended: bool = False  # stored; the lease went with it


@dataclass(slots=True)
class PendingMessage:
    """User message that waits for its answer; is_stored: regenerated, so it is in the session already."""

    entry: pb.ExportedMessage
    is_stored: bool = False
    replaced: pb.SessionMessage | None = None  # the answer that the next one takes the place of


class MessageSender:
    """Sends of messages: unary, streamed, and once more for the last message (regenerate)."""

    def __init__(self, library: SessionLibrary, inference: Inference, lease_ttl_s: float = 15.0) -> None:
        """Sender over one library.

        lease_ttl_s: seconds that a dead process keeps others out of its session.
        """
        self.sessions = library.sessions
        self.messages = library.messages
        self.inference = inference
        self.history = History(library.messages, inference)
        self.lease_ttl_s = lease_ttl_s

    async def send(self, request: pb.SendMessageRequest, call: Call) -> pb.SendMessageResponse:
        """Answer of the model to one message; both are stored.

        Waits up to LEASE_WAIT_S, or the caller's deadline, for another send of the session.
        Errors: SessionNotFound, Conflict (still busy, or lease lost), InvalidFields, those of inference.
        """
        _check(request)
        async with self._lease(request.session_id, call) as lease:
            if (sent := await self._sent(lease.session.id, call.run_id)) is not None:
                return sent
            pending = PendingMessage(_user_message(request, lease.session, call.run_id))
            completion = await self.inference.complete(
                await self._request(lease, pending, request), lease.call
            )
            return await self._store(lease, pending, completion)

    async def _sent(self, session_id: str, run_id: str | None) -> pb.SendMessageResponse | None:
        """Answer to the message of a run that another worker has sent before it died; None: nobody has."""
        if run_id is None:
            return None
        number = await self.messages.number_of(session_id, _id_in_run(run_id))
        if number is None:
            return None
        message, answer = await self.messages.between(session_id, number, number + 2)
        return _response(message.message, answer.message)

    async def stream(self, request: pb.SendMessageRequest, call: Call) -> AsyncGenerator[pb.MessageEvent]:
        """Streamed answer: text deltas, then one result event once both messages are stored.

        Errors: as send().
        """
        _check(request)
        async with self._lease(request.session_id, call) as lease:
            pending = PendingMessage(_user_message(request, lease.session))
            completion_request = await self._request(lease, pending, request)
            answer = ChunkBuilder()
            async with aclosing(self.inference.stream(completion_request, lease.call)) as chunks:
                async for chunk in chunks:
                    answer.add(chunk)
                    if text := "".join(delta.content or delta.refusal for delta in chunk.choices):
                        yield pb.MessageEvent(text=text)
            yield pb.MessageEvent(result=await self._store(lease, pending, answer.completion()))

    async def regenerate(self, request: pb.RegenerateMessageRequest, call: Call) -> pb.SendMessageResponse:
        """New answer to the last user message, in the place of the old one.

        Errors: as send(); Conflict also where the session has no message to answer.
        """
        async with self._lease(request.session_id, call) as lease:
            pending = await self._last_message(lease.session)
            completion = await self.inference.complete(
                await self._request(lease, pending, request), lease.call
            )
            return await self._store(lease, pending, completion)

    async def _last_message(self, session: pb.Session) -> PendingMessage:
        """Last user message, with the answer that follows it and will be replaced. Errors: Conflict."""
        count = session.message_count
        last = await self.messages.between(session.id, max(0, count - 2), count)
        replaced = last.pop().message if last and last[-1].message.role == "assistant" else None
        if not last or last[-1].message.role != "user":
            raise Conflict(field="session_id", problem="the session has no message to answer")
        return PendingMessage(last[-1], is_stored=True, replaced=replaced)

    async def _request(
        self,
        lease: SessionLease,
        pending: PendingMessage,
        request: pb.SendMessageRequest | pb.RegenerateMessageRequest,
    ) -> completions.CreateCompletionRequest:
        """Completion request of a send: history by policy, the new message, the caller's options."""

        async def store_summary(summary: pb.HistorySummary) -> None:
            if not await self.sessions.keep_summary(lease.session.id, lease.token, summary):
                raise await self._lease_error(lease.session.id, lease.call)

        completion_request = await self.history.request(
            lease.session, pending.entry, lease.call, store_summary
        )
        for name in ("temperature", "max_tokens", "user"):
            if request.HasField(name):
                setattr(completion_request, name, getattr(request, name))
        return completion_request

    async def _store(
        self, lease: SessionLease, pending: PendingMessage, completion: completions.Completion
    ) -> pb.SendMessageResponse:
        """Messages and sums stored in one transaction that ends the lease.

        Errors: Conflict, SessionNotFound.
        """
        answer = _answer(pending.entry.message, completion)
        answered = pb.ExportedMessage(message=answer)
        entries = [answered] if pending.is_stored else [pending.entry, answered]
        if not await self.messages.end_send(lease.token, entries, pending.replaced):
            raise await self._lease_error(lease.session.id, lease.call)
        lease.ended = True
        response = _response(pending.entry.message, answer)
        response.request_id = completion.request_id
        response.finish_reason = completion.choices[0].finish_reason
        return response

    @asynccontextmanager
    async def _lease(self, session_id: str, call: Call) -> AsyncIterator[SessionLease]:
        """Lease of the session as soon as no other send holds it; released at the end unless stored."""
        token = str(uuid4())
        lease: SessionLease | None = None
        keeper: asyncio.Task[None] | None = None
        try:
            session = await self._claimed(session_id, token, call)
            lease = SessionLease(session, token, on_behalf(call, session))
            keeper = asyncio.create_task(self._renew(session_id, token))
            yield lease
        finally:
            if keeper is not None:
                keeper.cancel()
            if lease is None or not lease.ended:
                await self._release(session_id, token)

    async def _claimed(self, session_id: str, token: str, call: Call) -> pb.Session:
        """Polling for the lease with exponential backoff and jitter, MIN_POLL_S to MAX_POLL_S."""
        remaining_s = call.remaining_s
        patience_s = (
            LEASE_WAIT_S if remaining_s is None else min(LEASE_WAIT_S, remaining_s - DEADLINE_MARGIN_S)
        )
        until, pause_s = monotonic() + patience_s, MIN_POLL_S
        while (
            session := await self.sessions.claim(
                session_id, call.principal.tenant_id, token, self.lease_ttl_s
            )
        ) is None:
            lost, left_s = await self._lease_error(session_id, call), until - monotonic()
            if isinstance(lost, SessionNotFound) or left_s <= 0:
                raise lost
            await asyncio.sleep(min(left_s, pause_s * uniform(0.5, 1)))
            pause_s = min(MAX_POLL_S, pause_s * 1.5)
        return session

    async def _renew(self, session_id: str, token: str) -> None:
        """Renewal of the lease three times per lease_ttl_s, until cancelled."""
        while True:
            await asyncio.sleep(self.lease_ttl_s / 3)
            try:
                await self.sessions.renew(session_id, token, self.lease_ttl_s)
            except Exception as error:  # the next try may succeed; end_send() finds out for certain
                log.warning("send_lease_not_renewed", session_id=session_id, cause=repr(error)[:500])

    async def _release(self, session_id: str, token: str) -> None:
        """Early release of a lease whose send failed; a failure here is logged, since leases expire."""
        try:
            await self.sessions.release(session_id, token)
        except Exception as error:  # it runs out by itself
            log.warning("send_lease_not_released", session_id=session_id, cause=repr(error)[:500])

    async def _lease_error(self, session_id: str, call: Call) -> Conflict | SessionNotFound:
        """Reason why the lease is not ours: the session is gone, or another send holds it."""
        if await self.sessions.get(session_id, call.principal.tenant_id) is None:
            return SessionNotFound(session=session_id)
        return Conflict(field="session_id", problem="another send is running in this session")


# Fields of the answer that a response has as its own.
_SHARED_FIELDS = [
    field.name
    for field in pb.SendMessageResponse.DESCRIPTOR.fields
    if field.name in pb.SessionMessage.DESCRIPTOR.fields_by_name
    and field.name != "execution_id"
    and not field.GetOptions().deprecated  # an alias of REST, which is filled there
]


def _check(request: pb.SendMessageRequest) -> None:
    """Limits of a request's metadata and attachments. Errors: InvalidFields."""
    check_metadata(request.metadata)
    check_attachments(request.attachments)


def _response(message: pb.SessionMessage, answer: pb.SessionMessage) -> pb.SendMessageResponse:
    """Response of a send, by what is stored of it."""
    response = pb.SendMessageResponse(message=message, response=answer, execution_id=answer.execution_id)
    for field in _SHARED_FIELDS:
        value = getattr(answer, field)
        if isinstance(value, Message):
            getattr(response, field).CopyFrom(value)
        else:
            setattr(response, field, value)
    return response


def _id_in_run(run_id: str) -> str:
    """Id of the message that a run sends: the same in each attempt, so that it is stored once."""
    return str(uuid5(UUID(run_id), "message"))


def _user_message(
    request: pb.SendMessageRequest, session: pb.Session, run_id: str | None = None
) -> pb.ExportedMessage:
    """User message as it will be stored, with the next sequence number of the session."""
    entry = pb.ExportedMessage(attachments=request.attachments)
    message = entry.message
    message.id = str(uuid4()) if run_id is None else _id_in_run(run_id)
    message.session_id, message.role = session.id, "user"
    message.content, message.model = clean(request.content), session.model
    message.sequence = session.message_count
    message.message_cost.price_known = True
    message.metadata.CopyFrom(request.metadata)
    message.create_time.FromDatetime(datetime.now(UTC))
    for file in request.attachments:
        message.attachments.add(filename=file.filename, media_type=file.media_type, size_bytes=len(file.data))
    return entry


def _answer(question: pb.SessionMessage, completion: completions.Completion) -> pb.SessionMessage:
    """Assistant message that answers a question, with usage (tokens), cost (ticks, USD) and latency (ms)."""
    usage, cost = completion.usage, completion.cost
    answer = pb.SessionMessage(
        id=str(uuid4()),
        session_id=question.session_id,
        sequence=question.sequence + 1,
        role="assistant",
        content=clean(text_of(completion)),
        model=completion.model,
        provider=completion.provider,
        execution_id=completion.execution_id,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        tokens=usage.input_tokens + usage.output_tokens,
        message_cost=cost,
        latency_ms=completion.latency_ms,
    )
    if state_json := first_choice(completion).message.reasoning_state_json:
        answer.reasoning_state_json = clean(state_json)
    answer.metadata.SetInParent()
    answer.create_time.FromDatetime(datetime.now(UTC))
    return answer
