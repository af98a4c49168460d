"""Service interceptor: every RPC of ours passes here once, in and out.

In: a grpc context becomes a Call with its principal, and the request is checked against its field rules. Out:
SpineErrors become google.rpc.Status with details (in a stream over REST that has begun, its last message),
anything else becomes INTERNAL without its cause, and one line is logged. Services never see a grpc type.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import Any, NoReturn, TypeAlias

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import code_pb2

from genai_spine.access.rate_limits import rates
from genai_spine.call import Call
from genai_spine.edge import status, stream_end
from genai_spine.edge.keyed_calls import described
from genai_spine.edge.lifecycle import CallLifecycle, Metadata, UndecodableMessage
from genai_spine.method_options import is_paid
from genai_spine.services import rest_aliases

CODES = {code.value[0]: code for code in grpc.StatusCode}

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Unary = Callable[[Message, Call], Awaitable[Message]]
Streaming = Callable[[Message, Call], AsyncGenerator[Message]]


class Handlers(dict[str, Any], grpc.GenericRpcHandler):
    """Handlers of all our methods by full name: grpc looks through the services one by one, for each call."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return self.get(handler_call_details.method)


class ServiceInterceptor:
    """Wrapper of our services' handlers, applied once when they are attached to the server.

    The same work as a chain of grpc interceptors, without the chain: in grpc.aio each interceptor costs
    every call a lookup and two coroutines, a fifth of what this service adds to a call.
    """

    def __init__(self, server: grpc.aio.Server, lifecycle: CallLifecycle) -> None:
        self._lifecycle = lifecycle
        self._handlers = Handlers()
        server.add_generic_rpc_handlers((self._handlers,))

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Called by generated code with the bare handlers; the wrapped ones go in below."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """Called by generated code, as on a grpc server.

        Of a service that is attached a second time new calls go to the new one.
        """
        self._lifecycle.attach(service, handlers)
        for name, handler in handlers.items():
            if (method := f"/{service}/{name}") not in self._handlers:
                self._handlers[method] = self._wrap(method, handler)

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
            behaviour: Unary = self._lifecycle.behaviours[method]
            metadata = tuple(context.invocation_metadata() or ())
            call = self._enter(method, context, metadata)
            try:
                await self._lifecycle.admit(request, call, metadata)
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
            self._lifecycle.log_soon(call)
            return response

        return answer

    def _stream(self, method: str) -> Callable[[Message, Context], Awaitable[None]]:
        contract = described(method)
        # Of what costs money; others that have such a field number their messages themselves.
        is_numbered = (
            contract is not None and is_paid(contract) and "sequence" in contract.output_type.fields_by_name
        )

        streams = self._lifecycle.streams_of(method)

        async def answer(request: Message, context: Context) -> None:
            behaviour: Streaming = self._lifecycle.behaviours[method]
            metadata = tuple(context.invocation_metadata() or ())
            call = self._enter(method, context, metadata)
            sent, last = 0, None
            try:
                with streams.begin() as stream:
                    await self._lifecycle.admit(request, call, metadata)
                    async with aclosing(behaviour(request, call)) as messages:
                        async for message in messages:
                            if is_numbered:
                                message.sequence = call.first_sequence + sent  # type: ignore[attr-defined]
                            if call.path:
                                rest_aliases.fill(message)
                            if call.recording is not None:
                                call.recording.add(message)
                            stream.is_writing = True
                            if not sent and ((call.headers and call.path) or call.replay_id is not None):
                                await _send_headers(context, call)
                            sent, last = sent + 1, message
                            await context.write(message)
                            stream.written()
                    if not sent and call.replay_id is not None:  # all of it was received before
                        await _send_headers(context, call)
                if call.rate_admission is not None and not call.path:
                    _set_trailers(context, call)
            except BaseException as error:
                if last is None or not call.path:
                    await self._leave(context, call, error)
                told = self._lifecycle.known(call, error)
                self._lifecycle.log(
                    call, "OK", messages=sent, reason=told.reason_name, error_in_stream=told.logged
                )
                await context.write(stream_end.last_message(last, sent, told, call))
                return
            self._lifecycle.log_soon(call, messages=sent)

        return answer

    def _enter(self, method: str, context: Context, metadata: Metadata) -> Call:
        call = self._lifecycle.enter(method, metadata, context.time_remaining())
        context.set_trailing_metadata((("x-request-id", call.request_id),))
        return call

    async def _leave(self, context: Context, call: Call, error: BaseException) -> NoReturn:
        """Abort of the call with the error's status."""
        told = self._lifecycle.known(call, error)
        code = status.grpc_code(told, call)
        self._lifecycle.log(call, code_pb2.Code.Name(code), reason=told.reason_name, error=told.logged)
        await context.abort(CODES[code], status.message(told), status.trailers(told, call))
        raise AssertionError("abort returned")


async def _send_headers(context: Context, call: Call) -> None:
    """Initial metadata of an answer. On a replay the request id is that of the call that was made."""
    if call.replay_id is None:
        await context.send_initial_metadata(tuple(call.headers.items()))
        return
    request_id = ("x-request-id", call.request_id)
    context.set_trailing_metadata((request_id,))
    if headers := tuple(call.headers.items()):
        await context.send_initial_metadata((*headers, request_id) if call.path else headers)


def _set_trailers(context: Context, call: Call) -> None:
    """Trailing metadata of an answer over gRPC whose rate is limited."""
    context.set_trailing_metadata((("x-request-id", call.request_id), *rates(call.headers)))


def _raw_or(serialize: Callable[[Message], bytes]) -> Callable[[Message | bytes], bytes]:
    """Bytes go out as they are: those that stand for no message."""
    return lambda message: message if isinstance(message, bytes) else serialize(message)


def _tolerant(deserialize: Callable[[bytes], Message]) -> "Callable[[bytes], Message | UndecodableMessage]":
    """Deserializer without grpc's own error, which is UNKNOWN with the names of Python classes."""

    def read(data: bytes) -> Message | UndecodableMessage:
        try:
            return deserialize(data)
        except DecodeError:
            return UndecodableMessage("not a message of the type that this method takes")

    return read
