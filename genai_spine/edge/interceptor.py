"""Service interceptor: every RPC of ours passes here once, in and out.

In: a grpc context becomes a Call with its principal, and the request is checked against its field rules. Out:
SpineErrors become google.rpc.Status with details (in a stream over REST that has begun, its last message),
anything else becomes INTERNAL without its cause, and one line is logged. Services never see a grpc type.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, NoReturn, TypeAlias

import grpc
import structlog
from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from genai_spine import http_answer, validation
from genai_spine.access import rate_limits, scopes
from genai_spine.access.authentication import Authenticator
from genai_spine.call import ANONYMOUS, STRANGER, Call, Principal, RateAdmission, uuid7
from genai_spine.edge import call_headers, preconditions, stream_end
from genai_spine.edge.admission import AdmissionLimits, AdmissionQueue
from genai_spine.edge.async_dispatch import AsyncDispatch
from genai_spine.edge.keyed_calls import KeyedCalls, described
from genai_spine.edge.running_calls import RunningCalls
from genai_spine.errors import (
    DOMAIN,
    InternalError,
    InvalidRequest,
    PermissionDenied,
    ServerFull,
    ServiceUnavailable,
    SpineError,
)
from genai_spine.method_options import is_paid
from genai_spine.request_log.request_log import RequestLog
from genai_spine.services import rest_aliases

REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
CODES = {code.value[0]: code for code in grpc.StatusCode}
# A grpc client takes 8 KiB of metadata without question, http_answer.MAX_BODY_BYTES among them.
MAX_MESSAGE_BYTES = 900  # bytes of grpc-message, where a byte that is not ASCII takes 3
MAX_VALUE_BYTES = 200  # bytes of one entry of ErrorInfo.metadata
MAX_VIOLATIONS = 8
MAX_VIOLATION_BYTES = 80  # bytes of its field, and of its description
# They make nothing, and begin again anywhere behind the number of their last message.
WATCHES = frozenset(f"/genai_spine.v1.RunService/{name}" for name in ("WatchRun", "ReadRunEvents"))

log = structlog.get_logger()
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Unary = Callable[[Message, Call], Awaitable[Message]]
Streaming = Callable[[Message, Call], AsyncGenerator[Message]]
Metadata = tuple[tuple[str, str | bytes], ...]


class Handlers(dict[str, Any], grpc.GenericRpcHandler):
    """Handlers of all our methods by full name: grpc looks through the services one by one, for each call."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self.get(handler_call_details.method)


class RunningStreams:
    """Registry of running streams that a stopping server ends itself, with the reason.

    grpc would end them with a status only, which Envoy passes on to REST callers as a proper end of the body.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._are_cut = False

    def __enter__(self) -> None:
        """Registers a stream, around it in its task. Errors: ServiceUnavailable once the streams are cut."""
        self._tasks.add(_current_task())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tasks.discard(task := _current_task())
        if self._are_cut and isinstance(error, asyncio.CancelledError):
            task.uncancel()
            raise ServiceUnavailable(cause="it is stopping") from None

    def cut(self) -> None:
        self._are_cut = True
        for task in self._tasks:
            task.cancel()


class ServiceInterceptor:
    """Wrapper of our services' handlers, applied once when they are attached to the server.

    The same work as a chain of grpc interceptors, without the chain: in grpc.aio each interceptor costs
    every call a lookup and two coroutines, a fifth of what this service adds to a call.
    """

    def __init__(
        self,
        lane: str,
        server: grpc.aio.Server,
        keyed: KeyedCalls,
        authenticator: Authenticator | None = None,
    ) -> None:
        """Interceptor of one server. lane: the lane that calls are booked on.

        authenticator: None: nobody is asked for a key, and one that is sent is not looked at.
        """
        self.lane = lane
        self.authenticator = authenticator
        self.draining = False  # set when the server stops: what runs may finish, nothing new starts
        self.calls = RunningCalls()
        self.queue = AdmissionQueue(AdmissionLimits())  # of calls that cost money
        self.servers = 1  # that live on this lane, this one included
        self.streams = RunningStreams()
        self.watches = RunningStreams()  # streams that others can go on with, from where they are
        self.dispatch = AsyncDispatch()
        self.request_log: RequestLog | None = None  # None: off
        self._handlers = Handlers()
        server.add_generic_rpc_handlers((self._handlers,))
        self._keyed = keyed
        self._paid: set[str] = set()  # full methods whose calls may be logged
        self._behaviours: dict[str, Any] = {}  # by full method; what is attached again takes its place
        self._scopes: dict[str, str] = {}  # that a full method asks for

    @property
    def running(self) -> int:
        """Number of running calls."""
        return self.calls.count

    @property
    def paid(self) -> int:
        """Number of running calls that cost money, those that wait in line included."""
        return self.queue.running + self.queue.waiting

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Called by generated code with the bare handlers; the wrapped ones go in below."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Called by generated code, as on a grpc server.

        Of a service that is attached a second time new calls go to the new one.
        """
        known = f"/{service}/{next(iter(handlers))}" in self._behaviours
        for name, handler in handlers.items():
            method = f"/{service}/{name}"
            contract = described(method)
            self._behaviours[method] = (
                self.dispatch.streaming(contract, self._keyed.streaming(method, handler.unary_stream))
                if handler.response_streaming
                else self.dispatch.unary(contract, self._keyed.unary(method, handler.unary_unary))
            )
        if known:
            return
        for contract in descriptor_pool.Default().FindServiceByName(service).methods:
            self._scopes[f"/{service}/{contract.name}"] = scopes.scope_of(contract)
            if is_paid(contract):
                self._paid.add(f"/{service}/{contract.name}")
        for name, handler in handlers.items():
            self._handlers[f"/{service}/{name}"] = self._wrap(f"/{service}/{name}", handler)

    def _wrap(self, method: str, handler: Any) -> Any:
        streaming = handler.response_streaming
        make = grpc.unary_stream_rpc_method_handler if streaming else grpc.unary_unary_rpc_method_handler
        serialize = handler.response_serializer
        return make(
            self._stream(method) if streaming else self._unary(method),
            request_deserializer=_tolerant(handler.request_deserializer),
            response_serializer=_raw_or(serialize) if streaming else serialize,
        )

    def _unary(self, method: str) -> Callable[[Message, Context], Awaitable[Message]]:
        async def answer(request: Message, context: Context) -> Message:
            behaviour: Unary = self._behaviours[method]
            metadata = tuple(context.invocation_metadata() or ())
            call = self._enter(method, context, metadata)
            try:
                await self._admit(request, call, metadata)
                response = await behaviour(request, call)
                if call.path:
                    rest_aliases.fill(response)
                if call.recording is not None:
                    call.recording.add(response)
                if (call.headers and call.path) or call.replay_id is not None:
                    await _send_headers(context, call)
                if call.rate_admission is not None and not call.path:
                    _set_trailers(context, call)
            except BaseException as error:
                await self._leave(context, call, error)
            self._log_soon(call)
            return response

        return answer

    def _stream(self, method: str) -> Callable[[Message, Context], Awaitable[None]]:
        contract = described(method)
        # Of what costs money; others that have such a field number their messages themselves.
        is_numbered = (
            contract is not None and is_paid(contract) and "sequence" in contract.output_type.fields_by_name
        )

        streams = self.watches if method in WATCHES else self.streams

        async def answer(request: Message, context: Context) -> None:
            behaviour: Streaming = self._behaviours[method]
            metadata = tuple(context.invocation_metadata() or ())
            call = self._enter(method, context, metadata)
            sent, last = 0, None
            try:
                with streams:
                    await self._admit(request, call, metadata)
                    async with aclosing(behaviour(request, call)) as messages:
                        async for message in messages:
                            if not sent and ((call.headers and call.path) or call.replay_id is not None):
                                await _send_headers(context, call)
                            if is_numbered:
                                message.sequence = call.first_sequence + sent  # type: ignore[attr-defined]
                            if call.path:
                                rest_aliases.fill(message)
                            if call.recording is not None:
                                call.recording.add(message)
                            sent, last = sent + 1, message
                            await context.write(message)
                    if not sent and call.replay_id is not None:  # all of it was received before
                        await _send_headers(context, call)
                if call.rate_admission is not None and not call.path:
                    _set_trailers(context, call)
            except BaseException as error:
                if last is None or not call.path:
                    await self._leave(context, call, error)
                told = self._known(call, error)
                self._log(call, "OK", messages=sent, reason=told.reason_name, error_in_stream=told.logged)
                await context.write(stream_end.last_message(last, sent, told, call))
                return
            failed = {"error_in_stream": _logged(call.failure)} if call.failure else {}
            self._log_soon(call, messages=sent, **failed)

        return answer

    def _enter(self, method: str, context: Context, metadata: Metadata) -> Call:
        """Call of a grpc context: request id, deadline, headers that matter."""
        given: dict[str, Any] = dict(metadata)  # texts: bytes are only what ends with -bin
        remaining_s = context.time_remaining()
        request_id = given.get("x-request-id")
        if request_id is None or not REQUEST_ID.fullmatch(request_id):
            request_id = uuid7()
        context.set_trailing_metadata((("x-request-id", request_id),))
        call = Call(
            request_id=request_id,
            method=method,
            path=given.get("x-envoy-original-path"),
            user_agent=given.get("user-agent", "")[:256],
            lane=self.lane,
            generation=self.calls.begin(),
            accept=given.get("accept", ""),
            prefer=given.get("prefer", ""),
            deadline=None if remaining_s is None else monotonic() + remaining_s,
        )
        if not call_headers.NAMES.isdisjoint(given):  # most calls have none of them
            call_headers.read_into(call, given, metadata)
        return call

    async def _admit(self, request: "Message | UndecodableMessage", call: Call, metadata: Metadata) -> None:
        """Admission: not while draining, only with a key that may, and only with valid fields; of what costs
        money only so many calls at once.

        Errors: ServiceUnavailable, those of _principal(), InvalidRequest, InvalidFields, ServerFull.
        """
        if self.draining:
            raise ServiceUnavailable(cause="it is stopping", refused="draining")
        if self.authenticator is not None:
            call.principal = await self._principal(self.authenticator, call.method, metadata)
        elif call.tenant_header is not None:  # nobody is asked for a key
            call.principal = call_headers.chosen(call.tenant_header)
        if self.request_log is not None and call.method in self._paid:
            call.recording = self.request_log.recording(request, call)
        if isinstance(request, UndecodableMessage):
            raise InvalidRequest(field="body", problem=str(request))
        if call.path:
            validation.check(request)
            rest_aliases.read(request)  # after the check, whose problems name the fields that were sent
            if call.if_match is not None:
                preconditions.read(request, call.if_match)
        else:
            validation.check_without_aliases(request)
        if labels := getattr(request, "cost_labels", None):
            call.cost_labels = dict(labels)
        if call.method in self._paid:
            if call.principal.is_limited:
                call.rate_admission = RateAdmission()
            await self._wait_for_turn(call, metadata)
            call.is_in_queue = True

    async def _wait_for_turn(self, call: Call, metadata: Metadata) -> None:
        """Returns when a call that costs money may run.

        Errors: ServerFull; it lets Envoy ask another server as long as there is one that it has not asked.
        """
        try:
            await self.queue.enter(call.principal.tenant_id)
        except ServerFull as error:
            if call_headers.attempt(metadata) >= self.servers:
                error.metadata.pop("refused", None)
            raise

    async def _principal(self, authenticator: Authenticator, method: str, metadata: Metadata) -> Principal:
        """Principal of a call, which has the scope that its method asks for.

        Errors: those of Authenticator.principal(), PermissionDenied. Of a method that needs no key: none.
        """
        scope = self._scopes[method]
        try:
            principal = await authenticator.principal(dict(metadata))
        except SpineError:
            if scope == scopes.PUBLIC:
                return STRANGER
            raise
        if scope not in (scopes.PUBLIC, scopes.AUTHENTICATED) and scope not in (principal.scopes or ()):
            raise PermissionDenied(scope=scope)
        return principal

    async def _leave(self, context: Context, call: Call, error: BaseException) -> NoReturn:
        """Abort of the call with the error's status."""
        told = self._known(call, error)
        code = grpc_code(told, call)
        self._log(call, code_pb2.Code.Name(code), reason=told.reason_name, error=told.logged)
        message = _short(str(told), MAX_MESSAGE_BYTES, escaped=True)
        await context.abort(CODES[code], message, _trailers(told, call))
        raise AssertionError("abort returned")

    def _known(self, call: Call, error: BaseException) -> SpineError:
        """Error as a caller may see it; anything but a SpineError is logged with its traceback."""
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            self._log(call, "CANCELLED")
            raise error
        if isinstance(error, SpineError) and not isinstance(error, InternalError):
            return error
        cause = error.__cause__ or error if isinstance(error, InternalError) else error
        log.error("internal_error", request_id=call.request_id, method=call.method, exc_info=cause)
        return error if isinstance(error, InternalError) else InternalError()

    def _log_soon(self, call: Call, **more: object) -> None:
        """Log line after the answer has gone out: the caller does not wait for it."""
        asyncio.get_running_loop().call_soon(partial(self._log, call, "OK", **more))

    def _log(self, call: Call, code: str, **more: Any) -> None:
        self.calls.end(call.generation)
        if call.is_in_queue:
            self.queue.leave(call.principal.tenant_id)
        if call.recording is not None:
            call.recording.end(code, more.get("reason"), more.get("error") or more.get("error_in_stream"))
        line: dict[str, Any] = {"method": call.method}
        if call.path:
            line["path"] = call.path.partition("?")[0]  # a query may hold what is searched for
        line["code"], line["latency_ms"] = code, call.latency_ms
        line["request_id"], line["caller"] = call.replay_id or call.request_id, call.user_agent
        if call.replay_id:
            line["replay_of"] = call.request_id
        if call.principal is not ANONYMOUS:
            line["principal"] = call.principal.name
        log.info("call", **line, **more)


def _current_task() -> "asyncio.Task[Any]":
    task = asyncio.current_task()
    assert task is not None
    return task


async def _send_headers(context: Context, call: Call) -> None:
    """Initial metadata of an answer. On a replay the request id is that of the call that was made."""
    if call.replay_id is None:
        await context.send_initial_metadata(tuple(call.headers.items()))
        return
    request_id = ("x-request-id", call.request_id)
    context.set_trailing_metadata((request_id,))
    if headers := tuple(call.headers.items()):
        await context.send_initial_metadata((*headers, request_id) if call.path else headers)


def _rates(call: Call) -> list[tuple[str, str]]:
    """Headers about its rate limits."""
    return [(name, value) for name, value in call.headers.items() if name.startswith(rate_limits.PREFIX)]


def _set_trailers(context: Context, call: Call) -> None:
    """Trailing metadata of an answer over gRPC whose rate is limited."""
    context.set_trailing_metadata((("x-request-id", call.request_id), *_rates(call)))


def _logged(failure: Exception) -> str:
    return failure.logged if isinstance(failure, SpineError) else type(failure).__name__


def _trailers(error: SpineError, call: Call) -> tuple[tuple[str, str | bytes], ...]:
    """Trailing metadata of an error: request id, status details, headers for REST."""
    details = ("grpc-status-details-bin", status(error, call).SerializeToString())
    headers = http_answer.error_headers(error, call) if call.path else []
    headers += _rates(call)
    if call.replay_id is not None:
        headers += [("x-genai-replay", "true"), ("x-genai-replay-id", call.replay_id)]
    if refused := error.metadata.get("refused"):
        headers.append(("x-genai-refused", refused))  # nothing was done: Envoy asks another server
    return (("x-request-id", call.request_id), details, *headers)


def grpc_code(error: SpineError, call: Call) -> int:
    """gRPC code of an error; INTERNAL in place of UNAVAILABLE once a provider may have billed the request.

    Clients repeat UNAVAILABLE by themselves (AIP-194), and nobody is to pay twice without knowing it.
    """
    billed = call.billed or error.connection_lost
    return code_pb2.INTERNAL if billed and error.code == code_pb2.UNAVAILABLE else error.code


def status(error: SpineError, call: Call) -> status_pb2.Status:
    """google.rpc.Status with ErrorInfo and RequestInfo, and BadRequest and RetryInfo where they say more."""
    message = _short(str(error), MAX_MESSAGE_BYTES, escaped=True)
    result = status_pb2.Status(code=grpc_code(error, call), message=message)
    metadata = {key: _short(value, MAX_VALUE_BYTES) for key, value in error.metadata.items()}
    info = error_details_pb2.ErrorInfo(reason=error.reason_name, domain=DOMAIN, metadata=metadata)
    result.details.add().Pack(info)
    result.details.add().Pack(error_details_pb2.RequestInfo(request_id=call.request_id))
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for field, problem in error.violations[:MAX_VIOLATIONS]:
            field, problem = (_short(text, MAX_VIOLATION_BYTES) for text in (field, problem))
            bad.field_violations.add(field=field, description=problem)
        result.details.add().Pack(bad)
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(int(error.retry_after_s * 1000))
        result.details.add().Pack(retry)
    return result


def _short(text: str, longest: int, *, escaped: bool = False) -> str:
    """Prefix of a text that fits into so many bytes. escaped: as grpc-message is, with %XX."""
    size = 0
    for at, char in enumerate(text):
        plain = " " <= char <= "~" and char != "%"
        size += 1 if plain else len(char.encode()) * (3 if escaped else 1)
        if size > longest:
            return text[:at] + "..."
    return text


def _raw_or(serialize: Callable[[Message], bytes]) -> Callable[[Message | bytes], bytes]:
    """Bytes go out as they are: those that stand for no message."""
    return lambda message: message if isinstance(message, bytes) else serialize(message)


class UndecodableMessage(str):
    """Stand-in for a request that is no message of its type: the reason."""


def _tolerant(deserialize: Callable[[bytes], Message]) -> "Callable[[bytes], Message | UndecodableMessage]":
    """Deserializer without grpc's own error, which is UNKNOWN with the names of Python classes."""

    def read(data: bytes) -> Message | UndecodableMessage:
        try:
            return deserialize(data)
        except DecodeError:
            return UndecodableMessage("not a message of the type that this method takes")

    return read
