"""Exchange: one request over HTTP through the lifecycle of calls to its method, and the answer back."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from google.api.httpbody_pb2 import HttpBody
from google.rpc import code_pb2

from genai_spine.call import Call
from genai_spine.edge import status
from genai_spine.edge.http_server import response
from genai_spine.edge.http_server.connection import Connection
from genai_spine.edge.http_server.error_answer import STATUS, error_answer
from genai_spine.edge.http_server.request import Request, decoded, remaining_s
from genai_spine.edge.http_server.routes import STREAMING
from genai_spine.edge.lifecycle import CallLifecycle
from genai_spine.errors import DeadlineExceeded

GRACE_S = 0.05  # for the call to say itself that its deadline has passed, which is booked then
THREAD_BYTES = 64 << 10  # of a coded body, above which it is decoded beside the event loop
WHOLE = "application/json"  # an answer of this type comes in one piece, whose size is said


class Exchange:
    """One request and its answer."""

    def __init__(self, lifecycle: CallLifecycle, connection: Connection, request: Request) -> None:
        self._lifecycle = lifecycle
        self._connection = connection
        self._request = request
        self._sent = 0  # messages of the answer
        self._has_begun = False  # its head has gone out

    async def run(self) -> None:
        """Answer to the request, whatever becomes of it.

        Errors: Refused, before anything went out; CancelledError, once the caller is gone.
        """
        request = self._request
        left_s, data = remaining_s(request.by_name), await self._decoded()
        call = self._lifecycle.enter(request.method, request.headers, left_s, request.target)
        body = HttpBody()
        body.data, body.content_type = data, request.by_name.get("content-type", "")
        try:
            if left_s is None:
                await self._answer(body, call)
            else:
                await self._answer_within(left_s + GRACE_S, body, call)
        except BaseException as error:
            self._fail(call, error)
            return
        more = {"messages": self._sent} if request.method in STREAMING else {}
        self._lifecycle.log_soon(call, **more)

    async def _decoded(self) -> bytes:
        """Body of the request without its coding. Errors: Refused."""
        coding = self._request.by_name.get("content-encoding")
        if coding is None:
            return self._request.body
        if len(self._request.body) < THREAD_BYTES:
            return decoded(self._request.body, coding.lower())
        return await asyncio.to_thread(decoded, self._request.body, coding.lower())

    async def _answer_within(self, limit_s: float, body: HttpBody, call: Call) -> None:
        """Errors: DeadlineExceeded, and those of the call."""
        try:
            async with asyncio.timeout(limit_s) as limit:
                await self._answer(body, call)
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineExceeded from None

    async def _answer(self, body: HttpBody, call: Call) -> None:
        behaviour: Any = self._lifecycle.behaviours[call.method]
        if call.method not in STREAMING:
            await self._lifecycle.admit(body, call, self._request.headers)
            message = await behaviour(body, call)
            self._record(call, message)
            self._send_whole(call, message)
            return
        with self._lifecycle.streams.begin():
            await self._lifecycle.admit(body, call, self._request.headers)
            async with aclosing(behaviour(body, call)) as messages:
                await self._stream(call, messages)

    async def _stream(self, call: Call, messages: AsyncGenerator[HttpBody]) -> None:
        connection, waiting = self._connection, None
        async for message in messages:
            self._record(call, message)
            self._sent += 1
            if self._has_begun:
                connection.write(response.chunk(message.data))
            elif waiting is None and message.content_type.startswith(WHOLE):
                waiting = message  # until it is known to be all
                continue
            else:
                self._begin(call, waiting or message)
                if waiting is not None:
                    connection.write(response.chunk(message.data))
            await connection.drain()
        if not self._has_begun:
            self._send_whole(call, waiting or HttpBody())
        else:
            connection.write(response.LAST_CHUNK)

    def _begin(self, call: Call, message: HttpBody) -> None:
        """Head and first piece of an answer that comes in chunks."""
        code, headers = self._headers(call, message)
        self._connection.write(response.head(code, headers, None) + response.chunk(message.data))
        self._has_begun = True

    def _send_whole(self, call: Call, message: HttpBody) -> None:
        code, headers = self._headers(call, message)
        data = message.data
        self._connection.write(response.head(code, headers, len(data)) + data)
        self._has_begun = True

    def _headers(self, call: Call, message: HttpBody) -> tuple[int, dict[str, str]]:
        """Status and headers of a good answer; those that ride in its content type among them."""
        content_type, *carried = message.content_type.split("|")
        headers = self._connection.headers
        if content_type:
            headers["content-type"] = content_type
        headers["x-request-id"] = call.request_id
        for entry in carried:
            name, _, value = entry.partition("=")
            headers[name] = value
        headers |= call.headers
        return int(headers.pop(STATUS, "200")), headers

    def _record(self, call: Call, message: HttpBody) -> None:
        if call.recording is not None:
            call.recording.add(message)

    def _fail(self, call: Call, error: BaseException) -> None:
        """Answer of an error; within a stream nothing but the end of the connection can say it any more."""
        told = self._lifecycle.known(call, error)
        if self._has_begun:
            self._lifecycle.log_cut(call, self._sent, told)
            self._connection.cut()
            return
        code = code_pb2.Code.Name(status.grpc_code(told, call))
        self._lifecycle.log(call, code, reason=told.reason_name, error=told.logged)
        self._connection.write(error_answer(self._connection.headers, self._request, told, call))
