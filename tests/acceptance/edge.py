"""An Envoy with envoy.yaml in front of a scripted server, and what its clients need."""

import asyncio
import base64
import json
import random
import resource
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc

from genai_spine.supervisor.envoy import Addresses, Envoy
from tests.acceptance.edge_server import EdgeServer
from tests.acceptance.http import session

MIB = 1 << 20
CREATE = "/v1/completions:create"
STREAM = "/v1/completions:stream"
CHAT = "/v1/chat/completions"
EMBEDDINGS = "/v1/embeddings"
POSTS = (CREATE, STREAM, CHAT, EMBEDDINGS)
LEAKS = {"grpc-status", "grpc-message", "grpc-status-details-bin", "grpc-accept-encoding"}
PAGE = {"origin": "http://localhost:3000"}  # of this machine; it may call
UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


@dataclass
class Edge:
    envoy: Envoy
    server: EdgeServer
    http: aiohttp.ClientSession
    channel: grpc.aio.Channel

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.envoy.port}"

    async def call(self, method: str, path: str, script: str = "", **more: Any) -> "Answer":
        headers = {"x-edge-script": script} if script else {}
        headers |= more.pop("headers", {})
        async with self.http.request(method, path, headers=headers, **more) as response:
            return Answer(response.status, response.headers.copy(), await response.read())

    async def check_lua(self) -> None:
        """The Lua filter met no error of its own."""
        stats = await self.envoy.admin("GET", "/stats?filter=lua.errors")
        assert stats.strip() == "http.edge.lua.errors: 0"

    async def raw(self, request: bytes) -> str:
        """Bytes as they are, up to the end of the answer's body; the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.envoy.port)
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(int(x[15:]) for x in head.decode().splitlines() if x.startswith("content-length:"))
        body = await reader.readexactly(size)
        writer.close()
        await writer.wait_closed()
        return head.decode() + body.decode()


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@asynccontextmanager
async def edge_with(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    origins: Sequence[str] = (),
    admin_port: int = 0,
    **lanes: list[Any],
) -> AsyncIterator[Edge]:
    """An Envoy for these servers (or what has a port), which run already. `edge.server`: the first of cpu."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # for 1,000 connections; Envoy inherits it
    ports = {lane: [("127.0.0.1", server.port) for server in servers] for lane, servers in lanes.items()}
    envoy = Envoy(folder)
    await envoy.start(Addresses(host=host, port=0, lanes=ports, origins=origins, admin_port=admin_port))
    try:
        async with clients(envoy) as (http, channel):
            yield Edge(envoy, lanes["cpu"][0], http, channel)
    finally:
        await envoy.stop()


@asynccontextmanager
async def clients(envoy: Envoy) -> AsyncIterator[tuple[aiohttp.ClientSession, grpc.aio.Channel]]:
    address = f"127.0.0.1:{envoy.port}"
    async with (
        session(f"http://{address}", read_bufsize=MIB) as http,
        grpc.aio.insecure_channel(address, options=UNLIMITED) as channel,
    ):
        yield http, channel


def free_port() -> int:
    """Port below those that systems give to who asks for any and to who connects: it stays free."""
    while True:
        port = random.SystemRandom().randrange(10_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except ConnectionRefusedError:
        return False
    return True


async def grpc_web(edge: Edge, text: bool = False, **headers: str) -> Answer:
    """GetHealth by gRPC-Web, as base64 text or binary; headers with _ for -."""
    kind = "application/grpc-web-text" if text else "application/grpc-web+proto"
    frame = b"\0\0\0\0\0"
    data = base64.b64encode(frame) if text else frame
    sent = {"content-type": kind, "accept": kind, **PAGE}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await edge.call("POST", "/genai_spine.v1.HealthService/GetHealth", data=data, headers=sent)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/grpc-web")
    return answer


def check_both_shapes(answer: Answer, status: int, code: str) -> str:
    """The error body of rest-v1.md section 2 and openai.md point 27; its message."""
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert not LEAKS & {name.lower() for name in answer.headers}
    error = answer.json["error"]
    assert error["code"] == code
    assert error["message"] == answer.json["detail"]
    assert error["type"] == {429: "rate_limit_error"}.get(
        status, "api_error" if status >= 500 else "invalid_request_error"
    )
    assert (error["param"], error["details"]) == (None, {})
    assert error["request_id"] == answer.headers["x-request-id"]
    return str(error["message"])
