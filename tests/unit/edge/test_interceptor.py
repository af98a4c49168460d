"""A stream that is cut while a message of it is being written: it ends with the reason all the same."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody

from genai_spine.call import Call
from genai_spine.edge.interceptor import ServiceInterceptor
from genai_spine.edge.lifecycle import CallLifecycle
from genai_spine.edge.stream_end import NO_MESSAGE
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.run_service_pb2_grpc import RunServiceServicer, add_RunServiceServicer_to_server
from tests.waiting import until

METHOD = "/genai_spine.v1.RunService/ReadRunEvents"
PIECE_BYTES = 4 << 20  # more than grpc takes while nobody reads
AS_ENVOY = (("x-envoy-original-path", "/v1/runs/r1/events"),)


class NoKeys:
    """In the place of KeyedCalls: no call has a key."""

    def unary(self, method: str, behaviour: Any) -> Any:
        return behaviour

    streaming = unary


class Pieces(RunServiceServicer):
    """Sends pieces without end."""

    def __init__(self) -> None:
        self.sent = 0

    async def ReadRunEvents(self, request: pb.ReadRunEventsRequest, call: Call) -> AsyncGenerator[HttpBody]:
        while True:
            self.sent += 1
            yield HttpBody(data=bytes(PIECE_BYTES))


@pytest.mark.parametrize("is_rest", [True, False])
async def test_stream_that_is_cut_in_a_write_ends_with_the_reason(is_rest: bool) -> None:
    lifecycle, pieces = CallLifecycle("cpu", NoKeys()), Pieces()  # type: ignore[arg-type]
    server = grpc.aio.server()
    add_RunServiceServicer_to_server(pieces, ServiceInterceptor(server, lifecycle))  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    channel = grpc.aio.insecure_channel(
        f"127.0.0.1:{port}", options=[("grpc.max_receive_message_length", -1)]
    )
    async with channel, asyncio.timeout(20):
        request = pb.ReadRunEventsRequest(run_id="r1").SerializeToString()
        call = channel.unary_stream(METHOD)(request, metadata=AS_ENVOY if is_rest else ())
        await call.read()
        before = -1
        while before != pieces.sent:  # until a write waits for the reader
            before = pieces.sent
            await asyncio.sleep(0.2)
        lifecycle.cut_streams()
        last, code = b"", grpc.StatusCode.OK
        try:
            while (message := await call.read()) is not grpc.aio.EOF:
                last = message
        except grpc.aio.AioRpcError as error:
            code = error.code()
        await until(lambda: not lifecycle.running)
    await server.stop(0)
    if is_rest:  # Envoy resets the stream at it
        assert (last, code) == (NO_MESSAGE, grpc.StatusCode.OK)
    else:
        assert code == grpc.StatusCode.UNAVAILABLE
        assert len(last) > PIECE_BYTES
