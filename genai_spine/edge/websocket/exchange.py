"""Exchange of a WebSocket: a request through the lifecycle of calls, as at every other door, and then events.

What is refused is refused before the upgrade, with the status and the body of any other REST answer. The
connection ends with 1000 behind the last event of a run, and with 1011 after an error. 1012 says that this
server stops: who opens it again, from the last sequence, is served by another one.
"""

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from google.rpc import code_pb2
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from genai_spine.call import Call
from genai_spine.edge import status
from genai_spine.edge.http_server.error_answer import error_answer
from genai_spine.edge.http_server.request import Request
from genai_spine.edge.lifecycle import CallLifecycle
from genai_spine.edge.websocket import upgrade
from genai_spine.edge.websocket.connection import RunSocket, handshake
from genai_spine.edge.websocket.sockets import Sockets
from genai_spine.edge.websocket.upgrade import Upgrade
from genai_spine.errors import RunNotFound, ServiceUnavailable, SpineError
from genai_spine.v1.run_service_pb2 import GetRunRequest

if TYPE_CHECKING:
    from genai_spine.edge.http_server.connection import Connection

SERVICE = "/genai_spine.v1.RunService"
WATCH, GET = f"{SERVICE}/WatchRun", f"{SERVICE}/GetRun"


class SocketExchange:
    """One request for a WebSocket, and the events that it is sent."""

    def __init__(
        self, lifecycle: CallLifecycle, sockets: Sockets, connection: "Connection", request: Request
    ) -> None:
        self._lifecycle, self._sockets = lifecycle, sockets
        self._connection, self._request = connection, request
        self._sent = 0

    async def run(self) -> None:
        """Answer to the request, and all that follows. Errors: CancelledError, while it is not opened yet."""
        request = self._request
        call = self._lifecycle.enter(WATCH, request.headers, None, request.target)
        try:
            asked = await self._admitted(call)
            self._sockets.check()
            socket = RunSocket(handshake(request.target, request.by_name))
            self._connection.become(socket, socket.opening)
        except BaseException as error:
            self._refuse(call, self._lifecycle.known(call, error))
            return
        with self._sockets.holding(socket):
            await self._serve(socket, asked, call)

    async def _admitted(self, call: Call) -> Upgrade:
        """What is asked for, by one who may see it. Errors: InvalidRequest, those of admit(), RunNotFound."""
        asked = upgrade.read(self._request.target)
        headers = upgrade.with_key(self._request.headers, self._request.by_name)
        await self._lifecycle.admit(asked.watch, call, headers)
        find: Any = self._lifecycle.behaviours[GET]
        run = await find(GetRunRequest(run_id=asked.watch.run_id), call)
        if asked.is_execution and not run.work.HasField("pipeline"):
            raise RunNotFound(run=asked.watch.run_id)
        return asked

    async def _serve(self, socket: RunSocket, asked: Upgrade, call: Call) -> None:
        try:
            with self._sockets.streams.begin():
                if self._sockets.streams.are_cut:  # it came in just before that
                    raise ServiceUnavailable(cause="it is stopping")
                await self._send(socket, asked, call)
        except (asyncio.CancelledError, ConnectionClosed):  # the caller left, which a server hears as either
            if (task := asyncio.current_task()) is not None:
                task.uncancel()
            self._lifecycle.log(call, "CANCELLED", messages=self._sent)
            await socket.end(CloseCode.NORMAL_CLOSURE)
        except Exception as error:
            told = self._lifecycle.known(call, error)
            self._lifecycle.log_cut(call, self._sent, told)
            is_stop = isinstance(told, ServiceUnavailable)
            code = CloseCode.SERVICE_RESTART if is_stop else CloseCode.INTERNAL_ERROR
            await socket.end(code, told.reason_name)
        else:
            self._lifecycle.log_soon(call, messages=self._sent)
            await socket.end(CloseCode.NORMAL_CLOSURE)

    async def _send(self, socket: RunSocket, asked: Upgrade, call: Call) -> None:
        watch: Any = self._lifecycle.behaviours[WATCH]
        async with aclosing(watch(asked.watch, call)) as events:
            async for event in events:
                if asked.shows(event):
                    self._sent += 1
                    await socket.send(asked.frame(event))

    def _refuse(self, call: Call, error: SpineError) -> None:
        code = code_pb2.Code.Name(status.grpc_code(error, call))
        self._lifecycle.log(call, code, reason=error.reason_name, error=error.logged)
        self._connection.write(error_answer(self._connection.headers, self._request, error, call))
