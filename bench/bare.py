"""The yardstick: a bare grpc.aio handler that forwards the body with aiohttp, and does nothing else.

`python -m bench.bare URL` prints its port as JSON and serves until it is ended.
"""

import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import grpc
import uvloop
from google.api.httpbody_pb2 import HttpBody

from genai_spine.v1 import openai_service_pb2_grpc


class Forwarder(openai_service_pb2_grpc.OpenAIServiceServicer):
    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session = session
        self.url = url

    async def CreateEmbedding(self, request: HttpBody, context: Any) -> HttpBody:
        """Unary in, unary out; the path does not matter to the mock upstream."""
        async with self.session.post(self.url, data=request.data) as reply:
            return HttpBody(data=await reply.read(), content_type="application/json")

    async def CreateTextCompletion(self, request: HttpBody, context: Any) -> AsyncIterator[HttpBody]:
        async for body in self.CreateChatCompletion(request, context):
            yield body

    async def CreateChatCompletion(self, request: HttpBody, context: Any) -> AsyncIterator[HttpBody]:
        async with self.session.post(self.url, data=request.data) as reply:
            async for data in reply.content.iter_any():
                yield HttpBody(data=data, content_type="text/event-stream")


async def main(url: str) -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        connector=connector, headers={"content-type": "application/json"}
    ) as session:
        server = grpc.aio.server()
        forwarder = Forwarder(session, url)  # type: ignore[abstract]  # nobody calls the other methods
        openai_service_pb2_grpc.add_OpenAIServiceServicer_to_server(forwarder, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        print(json.dumps({"port": port}), flush=True)
        await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
