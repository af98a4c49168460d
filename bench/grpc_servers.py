"""gRPC servers of Python beside each other, with one handler: CPU time of a call, and calls a second.

`python -m bench.grpc_servers [CALLS]`. The handler is a coroutine on uvloop that yields once, as one that
waits for an upstream does. `aio` is what the service uses. `threads` polls in threads of the synchronous
server, and each call waits in its thread for the coroutine; `threads, no loop` answers in the thread, which
no handler of the service could, and is the floor of that server. `HTTP/1.1` is the HTTP server's parser and
transport with the same handler and message.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from statistics import median
from typing import Any

import grpc
import uvloop
from httptools import HttpRequestParser

from bench import load
from bench.processes import Running, address, cpu_s, process
from genai_spine.call import Call
from genai_spine.providers.base import Endpoint
from genai_spine.providers.http.client import HttpClient
from genai_spine.v1 import completion_service_pb2 as pb

KINDS = ("aio", "threads", "threads, no loop", "HTTP/1.1")
METHOD = "/genai_spine.v1.CompletionService/CreateCompletion"
THREADS, WORKERS, ROUNDS = 32, 16, 5
_kept: list[Any] = []  # servers, each of which ends with the last reference to it
ANSWER = pb.Completion(id="comp_1", model="gpt-4o-mini", provider="openai")
ANSWER.choices.add().message.content.add().text = " tok" * 200


async def answer(request: pb.CreateCompletionRequest) -> pb.Completion:
    """Completion that is the same for all requests."""
    await asyncio.sleep(0)
    made = pb.Completion()
    made.CopyFrom(ANSWER)
    made.request_id = request.model
    return made


def _handlers(behaviour: Callable[..., Any]) -> grpc.GenericRpcHandler:
    method = grpc.unary_unary_rpc_method_handler(
        behaviour, pb.CreateCompletionRequest.FromString, pb.Completion.SerializeToString
    )
    service, _, name = METHOD[1:].partition("/")
    return grpc.method_handlers_generic_handler(service, {name: method})


async def _aio() -> int:
    async def call(request: pb.CreateCompletionRequest, context: object) -> pb.Completion:
        return await answer(request)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_handlers(call),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    _kept.append(server)
    return port


def _threads(*, on_loop: bool) -> int:
    loop = asyncio.get_running_loop()
    made = pb.Completion()
    made.CopyFrom(ANSWER)

    def call(request: pb.CreateCompletionRequest, context: object) -> pb.Completion:
        return asyncio.run_coroutine_threadsafe(answer(request), loop).result() if on_loop else made

    server = grpc.server(ThreadPoolExecutor(THREADS))
    server.add_generic_rpc_handlers((_handlers(call),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    _kept.append(server)
    return port


class _Http(asyncio.Protocol):
    """Connection that answers each request with a message."""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.parser = transport, HttpRequestParser(self)
        self.body = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body = body

    def on_message_complete(self) -> None:
        self.task = asyncio.get_running_loop().create_task(self.respond(self.body))

    async def respond(self, body: bytes) -> None:
        data = (await answer(pb.CreateCompletionRequest.FromString(body))).SerializeToString()
        self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(data), data))


async def _serve(kind: str) -> None:
    if kind == "aio":
        port = await _aio()
    elif kind == "HTTP/1.1":
        server = await asyncio.get_running_loop().create_server(_Http, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
    else:
        port = _threads(on_loop=kind == "threads")
    print(json.dumps({"port": port}), flush=True)
    await asyncio.Event().wait()


async def _measured(kind: str, running: Running, count: int) -> tuple[float, float]:
    """CPU time of a call in microseconds, and calls a second."""
    request = pb.CreateCompletionRequest(model="gpt-4o-mini")
    call: Callable[[], Awaitable[object]]
    if kind == "HTTP/1.1":
        http, body = HttpClient(Endpoint("bench", f"http://{address(running)}")), request.SerializeToString()
        call, close = lambda: http.post("/", body, Call()), http.close
    else:
        channel = grpc.aio.insecure_channel(address(running))
        stub: Any = channel.unary_unary(
            METHOD, pb.CreateCompletionRequest.SerializeToString, pb.Completion.FromString
        )
        call, close = lambda: stub(request), channel.close
    await load.rate(call, count // 10, WORKERS)
    before = cpu_s(running.process.pid)
    per_s = await load.rate(call, count, WORKERS)
    used = cpu_s(running.process.pid) - before
    await close()
    return used / count * 1e6, per_s


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(_serve(sys.argv[2]))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    with ExitStack() as opened:
        servers = {kind: opened.enter_context(process("bench.grpc_servers", "serve", kind)) for kind in KINDS}
        seen: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
        for _ in range(ROUNDS):
            for kind, running in servers.items():
                seen[kind].append(uvloop.run(_measured(kind, running, count)))
    base = median([us for us, _ in seen["aio"]])
    for kind, values in seen.items():
        us, per_s = (median([value[at] for value in values]) for at in (0, 1))
        print(f"{kind:<20}{us:>8.0f} us CPU a call{us / base:>8.2f} of aio{per_s:>10,.0f} calls/s")


if __name__ == "__main__":
    main()
