"""A gRPC server that does what a test's headers say, to prove the edge by itself.

`x-edge-script` names what happens instead of an answer (SCRIPTS). Without it, every method answers with
what arrived: its metadata as JSON and the size of the request. Runs in the test's process, or alone:
`python -m tests.acceptance.edge_server` prints its port, then the method of each call that it took.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody
from grpc_health.v1 import health, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection

from genai_spine.v1 import completion_service_pb2 as completion
from genai_spine.v1 import completion_service_pb2_grpc as completion_grpc
from genai_spine.v1 import health_service_pb2 as health_service
from genai_spine.v1 import health_service_pb2_grpc as health_service_grpc
from genai_spine.v1 import model_service_pb2, model_service_pb2_grpc
from genai_spine.v1 import openai_service_pb2_grpc as openai_grpc

HOLD_S = 20.0  # a held call ends by itself after this
OPTIONS = [
    ("grpc.max_receive_message_length", 40 << 20),
    ("grpc.max_send_message_length", -1),
    ("grpc.http2.max_ping_strikes", 0),
]
ERROR = {
    "error": {"code": "UNPROCESSABLE_ENTITY", "message": 'temperature: "é" is no number', "details": {}},
    "detail": [{"loc": ["body", "temperature"], "msg": "no number", "type": "value_error"}],
}


class EdgeServer:
    """One server; `async with EdgeServer(...) as server` starts it and kills it at the end."""

    def __init__(self, options: list[tuple[str, int]] = OPTIONS) -> None:
        self.calls: list[str] = []  # full method of every call that reached a method of ours
        self.cancelled = 0  # held calls whose caller went away
        self.held = 0  # held calls right now
        self.draining = False  # refuse every call, as a server that stops does
        self.release = asyncio.Event()  # lets held calls go on
        self.health = health.aio.HealthServicer()
        self.server = grpc.aio.server(options=options)
        completion_grpc.add_CompletionServiceServicer_to_server(CompletionService(self), self.server)
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(self), self.server)
        openai_grpc.add_OpenAIServiceServicer_to_server(OpenAIService(self), self.server)
        health_service_grpc.add_HealthServiceServicer_to_server(HealthService(self), self.server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        reflection.enable_server_reflection([reflection.SERVICE_NAME], self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    async def __aenter__(self) -> "EdgeServer":
        await self.server.start()
        await self.serving(True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.stop(None)

    def reset(self) -> None:
        self.calls.clear()
        self.cancelled = 0
        self.release.clear()

    async def serving(self, yes: bool) -> None:
        await self.health.set("", HealthCheckResponse.SERVING if yes else HealthCheckResponse.NOT_SERVING)

    async def follow(self, context: Any, method: str) -> dict[str, str]:
        """Does what the script says; returns the call's metadata when the method shall answer."""
        if self.draining:
            why = (("x-genai-refused", "draining"),)
            await context.abort(grpc.StatusCode.UNAVAILABLE, "it is stopping", why)
        self.calls.append(method)
        given = {key: str(value) for key, value in context.invocation_metadata()}
        name, _, argument = given.get("x-edge-script", "").partition(":")
        if name:
            await SCRIPTS[name](self, context, argument)
        if name != "bare":
            await context.send_initial_metadata((("x-genai-cost-usd", "0.1"),))
        return given

    async def hold(self) -> None:
        self.held += 1
        try:
            await asyncio.wait_for(self.release.wait(), HOLD_S)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.held -= 1


async def refuse(_: EdgeServer, context: Any, argument: str) -> None:
    """Aborts as the real server does: HTTP status and body ride in the trailing metadata."""
    trailers = [("x-genai-http-status", argument or "422"), ("x-genai-error", json.dumps(ERROR))]
    trailers += [("retry-after", "7"), ("x-should-retry", "false"), ("grpc-status-details-bin", b"\x08\x03")]
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "refused\nin two lines", tuple(trailers))


async def abort(_: EdgeServer, context: Any, argument: str) -> None:
    await context.abort(grpc.StatusCode[argument], 'a "plain"\nabort é')


async def large(_: EdgeServer, context: Any, argument: str) -> None:
    trailers = (("x-genai-http-status", "502"), ("x-genai-error", json.dumps("x" * int(argument))))
    await context.abort(grpc.StatusCode.UNAVAILABLE, "large", trailers)


async def hold(server: EdgeServer, context: Any, argument: str) -> None:
    await server.hold()


async def sleep(_: EdgeServer, context: Any, argument: str) -> None:
    await asyncio.sleep(float(argument))


async def nothing(_: EdgeServer, context: Any, argument: str) -> None:
    """For scripts that change how a method answers, below."""


Script = Callable[[EdgeServer, Any, str], Awaitable[None]]
SCRIPTS: dict[str, Script] = {
    "refuse": refuse,
    "abort": abort,
    "large": large,
    "hold": hold,
    "sleep": sleep,
    "bare": nothing,  # answer without metadata of ours
    "cut": nothing,  # streams: abort after the first chunk
    "hold-stream": nothing,  # streams: hold after the first chunk
}


async def pieces(server: EdgeServer, context: Any, given: dict[str, str]) -> AsyncIterator[str]:
    """The three parts of a streamed answer, 50 ms apart."""
    for number in range(3):
        if number:
            await asyncio.sleep(0.05)
            script = given.get("x-edge-script")
            if script == "cut":
                await context.abort(grpc.StatusCode.INTERNAL, "cut")
            if script == "hold-stream":
                await server.hold()
        yield f"piece {number}"


class CompletionService(completion_grpc.CompletionServiceServicer):
    def __init__(self, server: EdgeServer) -> None:
        self.server = server

    async def CreateCompletion(self, request: Any, context: Any) -> Any:
        given = await self.server.follow(context, "CreateCompletion")
        return completion.Completion(id=json.dumps(given), created=request.ByteSize())

    async def StreamCompletion(self, request: Any, context: Any) -> AsyncIterator[Any]:
        given = await self.server.follow(context, "StreamCompletion")
        async for text in pieces(self.server, context, given):
            yield completion.CompletionChunk(id="one", choices=[completion.ChoiceDelta(content=text)])


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, server: EdgeServer) -> None:
        self.server = server

    async def ListModels(self, request: Any, context: Any) -> Any:
        await self.server.follow(context, "ListModels")
        return model_service_pb2.ListModelsResponse(
            object=request.provider, next_page_token=request.page_token
        )

    async def GetModel(self, request: Any, context: Any) -> Any:
        await self.server.follow(context, "GetModel")
        return model_service_pb2.Model(id=request.model)


class OpenAIService(openai_grpc.OpenAIServiceServicer):
    def __init__(self, server: EdgeServer) -> None:
        self.server = server

    async def CreateChatCompletion(self, request: Any, context: Any) -> AsyncIterator[Any]:
        given = await self.server.follow(context, "CreateChatCompletion")
        if b'"stream"' not in request.data:
            yield HttpBody(content_type="application/json", data=self._answer(request, given))
            return
        async for text in pieces(self.server, context, given):
            yield HttpBody(content_type="text/event-stream", data=f"data: {text}\n\n".encode())

    async def CreateEmbedding(self, request: Any, context: Any) -> Any:
        given = await self.server.follow(context, "CreateEmbedding")
        if size := given.get("x-edge-answer-bytes"):
            return HttpBody(content_type="application/json", data=b"1" * int(size))
        return HttpBody(content_type="application/json", data=self._answer(request, given))

    @staticmethod
    def _answer(request: Any, given: dict[str, str]) -> bytes:
        body = request.data.decode() if len(request.data) < 1000 else len(request.data)
        return json.dumps({"metadata": given, "body": body}).encode()


class HealthService(health_service_grpc.HealthServiceServicer):
    def __init__(self, server: EdgeServer) -> None:
        self.server = server

    async def GetHealth(self, request: Any, context: Any) -> Any:
        given = await self.server.follow(context, "GetHealth")
        return health_service.GetHealthResponse(status=json.dumps(given))


class TalkingServer(EdgeServer):
    async def follow(self, context: Any, method: str) -> dict[str, str]:
        print(method, flush=True)
        return await super().follow(context, method)


async def main() -> None:
    async with TalkingServer() as server:
        print(server.port, flush=True)
        await server.server.wait_for_termination()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
