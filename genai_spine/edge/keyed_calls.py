"""Keyed calls: methods that cost money, with an idempotency key.

A method is wrapped when it is attached; a call without a key goes straight to the service.
"""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from hashlib import sha256
from typing import Any, Protocol, TypeVar

from google.api.httpbody_pb2 import HttpBody
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import Default as DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from genai_spine.access.rate_limits import PREFIX
from genai_spine.call import Call, ResumeHeaders
from genai_spine.delivery.idempotency import Idempotency
from genai_spine.delivery.keep_alive import KeepAlive
from genai_spine.delivery.keyed_answer import KeyedRequest, Messages, Origin
from genai_spine.delivery.message_seal import MessageSeal
from genai_spine.edge.call_headers import LAST_EVENT_ID, ON_LOST, RESUME_AFTER
from genai_spine.errors import InvalidRequest, SpineError
from genai_spine.guardrails.rules import hides_pii
from genai_spine.http_answer import carrying, error_body
from genai_spine.method_options import is_paid
from genai_spine.openai_api import admission, sse
from genai_spine.openai_api.facade import PING_INTERVAL_S
from genai_spine.openai_api.headers import EVENTS
from genai_spine.openai_api.responses import PING
from genai_spine.store.idempotency.calls import OURS, Scope
from genai_spine.v1 import completion_service_pb2

MAX_KEY_CHARS = 255
HEADER = "idempotency-key"
MAX_SEQUENCE = (1 << 32) - 1
CONTINUE = completion_service_pb2.DISCONNECT_POLICY_CONTINUE

M = TypeVar("M", bound=Message)
Unary = Callable[[Any, Call], Awaitable[Message]]
Streaming = Callable[[Any, Call], AsyncGenerator[Message]]


def described(method: str) -> MethodDescriptor | None:
    """Contract of a method, by its full name on the wire; None: it is none of ours."""
    try:
        return DescriptorPool().FindMethodByName(method.removeprefix("/").replace("/", "."))
    except KeyError:
        return None


class Form(Protocol):
    """Protocol of the two forms of a method's messages: typed ones, and bytes."""

    def key(self, request: Any) -> str | None: ...
    def resume_after(self, request: Any) -> int | None: ...
    def canonical(self, request: Any) -> bytes: ...
    def made(self, messages: AsyncGenerator[Any], inner: Call) -> Messages: ...
    def messages(self, numbered: "AsyncGenerator[tuple[int, bytes]]", call: Call, origin: Origin) -> Any: ...


class KeyedCalls:
    """Wrapper of the methods that cost money."""

    def __init__(self, idempotency: Idempotency, seal: MessageSeal) -> None:
        self._idempotency = idempotency
        self._seal = seal

    def unary(self, method: str, behaviour: Unary) -> Unary:
        """The method, or the same with keys where it costs money."""
        contract = described(method)
        if contract is None or not is_paid(contract):
            return behaviour
        form = _form(contract)

        async def keyed(request: Message, call: Call, key: str) -> Message:
            if key and (form.resume_after(request) is not None or _resumes(call)):
                raise InvalidRequest(field="resume_after", problem="this method does not stream")
            asked = _asked(form, method, request, call, key, is_stream=False)
            async with aclosing(self._answer(form, asked, _once(behaviour), request, call)) as answers:
                [message] = [message async for message in answers]  # once its outcome is written
            return message

        def answer(request: Message, call: Call) -> Awaitable[Message]:
            key = _key(form.key(request), call)
            return behaviour(request, call) if key is None else keyed(request, call, key)

        return answer

    def streaming(self, method: str, behaviour: Streaming) -> Streaming:
        """The same for a method that streams."""
        contract = described(method)
        if contract is None or not is_paid(contract):
            return behaviour
        form = _form(contract)

        def answer(request: Message, call: Call) -> AsyncGenerator[Message]:
            key = _key(form.key(request), call)
            if not key and (form.resume_after(request) is not None or _resumes(call)):
                problem = "a stream is resumed with the idempotency_key that it was begun with"
                raise InvalidRequest(field="resume_after", problem=problem)
            if key is None:
                return behaviour(request, call)
            asked = _asked(form, method, request, call, key, is_stream=True)
            return self._answer(form, asked, behaviour, request, call)

        return answer

    async def _answer(
        self, form: Form, asked: KeyedRequest, behaviour: Streaming, request: Message, call: Call
    ) -> AsyncGenerator[Message]:
        origin = Origin()
        if asked.scope.key:
            call.idempotency_key = asked.scope.key
        else:
            asked = await self._idempotency.with_key_of_body(asked, call)

        is_hidden, tenant_id = hides_pii(call.principal), call.principal.tenant_id
        if is_hidden:
            self._seal.check()
            asked = replace(asked, keeps_completion=False)  # its id is sealed with the rest

        def make(inner: Call) -> Messages:
            made = form.made(behaviour(request, inner), inner)
            return self._seal.sealed(made, tenant_id) if is_hidden else made

        try:
            kept = self._idempotency.messages(asked, call, make, origin)
            async with (
                aclosing(self._seal.opened(kept, tenant_id)) as numbered,
                aclosing(form.messages(numbered, call, origin)) as messages,
            ):
                async for message in messages:
                    yield message
        except SpineError:
            _tell(origin, call)
            raise


class TypedForm:
    """Messages of the contract."""

    def __init__(self, contract: MethodDescriptor) -> None:
        self._kind = GetMessageClass(contract.output_type)
        names = contract.input_type.fields_by_name
        self._resumes = "resume_after" in names
        self._nests = "request" in contract.input_type.oneofs_by_name  # a request of another method

    def key(self, request: Any) -> str | None:
        if request.HasField("idempotency_key"):
            return str(request.idempotency_key)
        if self._nests and (member := request.WhichOneof("request")):
            nested = getattr(request, member)
            return str(nested.idempotency_key) if nested.HasField("idempotency_key") else None
        return None

    def resume_after(self, request: Any) -> int | None:
        return int(request.resume_after) if self._resumes and request.HasField("resume_after") else None

    def canonical(self, request: Any) -> bytes:
        plain = type(request)()
        plain.CopyFrom(request)
        plain.DiscardUnknownFields()
        plain.ClearField("idempotency_key")
        if self._resumes:
            plain.ClearField("resume_after")
        if self._nests and (member := plain.WhichOneof("request")):
            getattr(plain, member).ClearField("idempotency_key")
        return bytes(plain.SerializeToString(deterministic=True))

    async def made(self, messages: AsyncGenerator[Message], inner: Call) -> Messages:
        async with aclosing(messages):
            async for message in messages:
                yield message.SerializeToString()

    async def messages(
        self, numbered: AsyncGenerator[tuple[int, bytes]], call: Call, origin: Origin
    ) -> AsyncGenerator[Message]:
        is_first = True
        async for number, data in numbered:
            if is_first:
                _tell(origin, call)
                call.first_sequence, is_first = number, False
            yield self._kind.FromString(data)
        if is_first:  # all of it was received before
            _tell(origin, call)


class BytesForm:
    """google.api.HttpBody: JSON, server-sent events, sound."""

    def key(self, request: HttpBody) -> str | None:
        return admission.key_of(request)

    def resume_after(self, request: HttpBody) -> int | None:
        return None

    def canonical(self, request: HttpBody) -> bytes:
        return admission.canonical(request)

    async def made(self, bodies: AsyncGenerator[HttpBody], inner: Call) -> Messages:
        number, is_first = 0, True
        async with aclosing(bodies):
            async for body in bodies:
                if is_first:
                    content_type, _, carried = body.content_type.partition("|")
                    headers = (entry.partition("=") for entry in carried.split("|") if entry)
                    inner.headers = {name: value for name, _, value in headers} | {
                        "content-type": content_type
                    }
                    is_first = False
                if content_type != EVENTS:
                    yield body.data
                    continue
                for event in sse.events(body.data):
                    yield sse.numbered(event, number)
                    number += 1

    async def messages(
        self, numbered: AsyncGenerator[tuple[int, bytes]], call: Call, origin: Origin
    ) -> AsyncGenerator[HttpBody]:
        is_first = True
        try:
            async with KeepAlive(numbered, PING_INTERVAL_S) as entries:
                async for entry in entries:
                    if entry is None:
                        if origin.headers.get("content-type") == EVENTS:
                            yield HttpBody(data=PING)
                        continue
                    number, data = entry
                    if call.resume is not None and origin.headers.get("content-type") == EVENTS:
                        data = sse.with_id(data, number)
                    yield _first_body(data, call, origin) if is_first else HttpBody(data=data)
                    is_first = False
        except SpineError as error:
            if is_first or origin.headers.get("content-type") != EVENTS:
                raise
            call.failure = error  # the status is gone: the stream ends with the error and without [DONE]
            yield HttpBody(data=sse.error_event(error_body(error, call, openai=True)))
        if is_first:  # all of it was received before
            yield _first_body(b"", call, origin)


def _form(contract: MethodDescriptor) -> Form:
    return (
        BytesForm()
        if contract.output_type.full_name == HttpBody.DESCRIPTOR.full_name
        else TypedForm(contract)
    )


def _first_body(data: bytes, call: Call, origin: Origin) -> HttpBody:
    _tell(origin, call)
    headers, call.headers = call.headers, {}
    content_type = headers.pop("content-type", "")
    if call.path and call.replay_id is not None:
        headers["x-request-id"] = call.request_id
    return HttpBody(data=data, content_type=carrying(content_type, headers if call.path else {}))


def _tell(origin: Origin, call: Call) -> None:
    """Headers of the answer, which on a replay say so and name the call that was made.

    Rate limits are those of now: a replay takes nothing of them, and says nothing of them.
    """
    is_kept = not origin.is_replay
    call.headers.update(
        {name: text for name, text in origin.headers.items() if is_kept or not name.startswith(PREFIX)}
    )
    if origin.is_replay and call.replay_id is None:
        call.replay_id, call.request_id = call.request_id, origin.request_id
        call.headers.update({"x-genai-replay": "true", "x-genai-replay-id": call.replay_id})


def _asked(form: Form, method: str, request: Any, call: Call, key: str, *, is_stream: bool) -> KeyedRequest:
    """Errors: InvalidRequest naming the header."""
    principal, after = call.principal, form.resume_after(request)
    fails_when_lost = False
    if call.resume is not None:
        after = _after(call.resume) if after is None else after
        fails_when_lost = _fails_when_lost(call.resume)
    parts = (method.encode(), call.provider.encode(), form.canonical(request))
    return KeyedRequest(
        scope=Scope(principal.tenant_id, principal.name, key),
        method=method,
        request_hash=sha256(b"\0".join(parts)).digest(),
        is_stream=is_stream,
        place=0 if after is None else after + 1,
        fails_when_lost=fails_when_lost,
        keeps_completion=getattr(request, "disconnect_policy", 0) == CONTINUE,
    )


def _key(given: str | None, call: Call) -> str | None:
    """Key of a call; None: it has none; empty: it is found by the body. given: by its request.

    Errors: InvalidRequest.
    """
    header = call.idempotency_key
    if given is None and header is None:
        return "" if _is_tried_again(call) else None
    if given is not None and header is not None and given != header:
        raise InvalidRequest(field="idempotency_key", problem=f"the header {HEADER} says another one")
    key = given if header is None else header
    assert key is not None
    if not 1 <= len(key) <= MAX_KEY_CHARS or "\0" in key or key.startswith(OURS):
        problem = f"must be 1 to {MAX_KEY_CHARS} characters without NUL, and not begin with {OURS}"
        raise InvalidRequest(field="idempotency_key", problem=problem)
    return key


def _is_tried_again(call: Call) -> bool:
    """Whether the caller's SDK counts its tries, and its key wants the next one to join this one."""
    return call.client_retries is not None and call.principal.deduplicate_retries


def _resumes(call: Call) -> bool:
    """Whether a header asks for a part of a stream; a browser's own Last-Event-ID does not."""
    return call.resume is not None and call.resume.resume_after is not None


def _after(headers: ResumeHeaders) -> int | None:
    """Number of the message that was received last. Errors: InvalidRequest."""
    name, text = RESUME_AFTER, headers.resume_after
    if text is None:
        name, text = LAST_EVENT_ID, headers.last_event_id
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > MAX_SEQUENCE:
        raise InvalidRequest(field=name, problem=f"must be the number of a message, 0 to {MAX_SEQUENCE}")
    return int(text)


def _fails_when_lost(headers: ResumeHeaders) -> bool:
    """Errors: InvalidRequest."""
    if headers.on_lost not in (None, "repeat", "fail"):
        raise InvalidRequest(field=ON_LOST, problem="must be repeat or fail")
    return headers.on_lost == "fail"


def _once(behaviour: Unary) -> Streaming:
    async def messages(request: Message, call: Call) -> AsyncGenerator[Message]:
        yield await behaviour(request, call)

    return messages
