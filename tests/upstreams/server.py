"""The base of the simulators: an aiohttp server with a script, a bill and faults."""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from typing import Any, Self

import msgspec
from aiohttp import web

from tests.upstreams.bill import Bill, Entry
from tests.upstreams.delivery import RELEASED, Answer, deliver, scripted_answer
from tests.upstreams.reply import Reply

MAX_BODY_BYTES = 256 * 2**20
PARENT_CHECK_S = 1.0

Make = Callable[[dict[str, Any], Reply, Entry], Answer]
Check = Callable[[dict[str, Any]], None]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):
    """The upstream says no, as the Reply says."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        super().__init__(reply.body)


class Orders(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /_script: replies are queued, default replaces the default; both may be for one `on`."""

    replies: list[Reply] = []
    default: Reply | None = None
    on: str | None = None


class Upstream:
    """Which Reply a call gets, first found: the queue of its model, of its path, of all calls; the default
    of its model, of its path, of all calls. Lists and descriptions of models get only what is for their path.

    Left and entered again, it listens on the same port: an upstream that was down comes back.
    """

    def __init__(self, *, strict: bool = True, port: int = 0, default: Reply | None = None) -> None:
        """strict: refuse what the real upstream refuses; port 0: any free one."""
        self.strict = strict
        self.bill = Bill()
        self.default = self._first_default = default or Reply()
        self.defaults: dict[str | None, Reply] = {}  # by model name or path
        self.unknown_models: set[str] = set()
        self.refuses: dict[str, set[str]] = {}  # fields that models no longer take, of late
        self.port = port
        self._queues: dict[str | None, deque[Reply]] = defaultdict(deque)
        self._runner: web.AppRunner | None = None
        self._closing = False
        self._released = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def script(self, *replies: Reply, on: str | None = None) -> None:
        """The next answers, in turn. on: a model name or path, and only for that."""
        self._queues[on].extend(replies)

    def reset(self) -> None:
        """Forgets the bill, the queued replies and the defaults set since the start."""
        self.bill.clear()
        self._queues.clear()
        self.defaults.clear()
        self.refuses.clear()
        self.default = self._first_default
        self._released.clear()

    def release(self) -> None:
        """Sends the rest of answers that are held, and holds no further ones."""
        self._released.set()

    def routes(self) -> list[web.RouteDef]:
        raise NotImplementedError

    def check(self, entry: Entry) -> None:
        """Refuses requests that no endpoint would take: authorization, unreadable JSON, unknown models."""

    def no_longer(self, name: str) -> Reply:
        """Refusal of a field that a model took before."""
        message = f"Unsupported parameter: '{name}' is not supported with this model."
        return Reply(status=400, body={"error": {"message": message, "param": name}})

    def headers(self, entry: Entry) -> dict[str, str]:
        """Headers of every answer."""
        return {}

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app[RELEASED] = self._released
        app.add_routes([web.get("/_bill", self._get_bill), web.post("/_reset", self._post_reset)])
        app.add_routes([web.post("/_release", self._post_release)])
        app.add_routes([web.post("/_script", self._post_script), *self.routes()])
        self._closing = False
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.01, keepalive_timeout=3600
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._closing = True
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def endpoint(self, make: Make, check: Check = lambda body: None) -> Handler:
        """A handler around the endpoint's rules (check raises Refused) and its answers."""

        async def handle(request: web.Request) -> web.StreamResponse:
            headers = {name.lower(): value for name, value in request.headers.items()}
            entry = self.bill.open(request.method, request.path, headers, await request.read())
            entry.raw_path, entry.query = request.raw_path, dict(request.query)
            try:
                reply, answer = self._answer(entry, make, check)
                answer.headers = {**self.headers(entry), **answer.headers}
                return await deliver(request, entry, reply, answer)
            except asyncio.CancelledError:
                self._note_departure(entry)
                raise
            except ConnectionError:
                self._note_departure(entry)
                return web.Response()  # goes nowhere, and aiohttp logs no error
            finally:
                self.bill.changed()

        return handle

    def _answer(self, entry: Entry, make: Make, check: Check) -> tuple[Reply, Answer]:
        body = entry.body if isinstance(entry.body, dict) else {}
        try:
            self.check(entry)
            if self.strict:
                check(body)
            for name in self.refuses.get(str(entry.model), ()):
                if name in body or name in body.get("inferenceConfig", ()) or name in body.get("options", ()):
                    raise Refused(self.no_longer(name))
            # Chosen only now: a refused request must not use up a reply that is meant for a good one.
            reply = self.choose(entry)
            if reply.status == 200 and (reply.body is None or reply.fault == "error"):
                answer = make(body, reply, entry)
                if reply.fault != "error" or answer.frame is not None:
                    return reply, answer
                reply = Reply(status=500, body=reply.body)
        except Refused as refused:
            reply = refused.reply
        return reply, scripted_answer(reply)

    def choose(self, entry: Entry) -> Reply:
        """Reply of a request that is not refused."""
        names = [entry.model, entry.path] if entry.is_call else [entry.path]
        for key in (*names, None) if entry.is_call else names:
            if self._queues[key]:
                return self._queues[key].popleft()
        for name in names:
            if name in self.defaults:
                return self.defaults[name]
        return self.default if entry.is_call else Reply()

    def _note_departure(self, entry: Entry) -> None:
        if not self._closing and entry.ended_at is None:
            entry.disconnected = True
            entry.disconnected_at = time.monotonic()

    async def _get_bill(self, request: web.Request) -> web.Response:
        return web.Response(body=msgspec.json.encode(self.bill.entries), content_type="application/json")

    async def _post_reset(self, request: web.Request) -> web.Response:
        self.reset()
        return web.json_response({})

    async def _post_release(self, request: web.Request) -> web.Response:
        self.release()
        return web.json_response({})

    async def _post_script(self, request: web.Request) -> web.Response:
        try:
            orders = msgspec.json.decode(await request.read(), type=Orders)
        except msgspec.ValidationError as error:
            return web.json_response({"error": str(error)}, status=400)
        self.script(*orders.replies, on=orders.on)
        if orders.default is not None and orders.on is not None:
            self.defaults[orders.on] = orders.default
        elif orders.default is not None:
            self.default = orders.default
        return web.json_response({})


def arguments(name: str) -> argparse.ArgumentParser:
    """The command line that all simulators share."""
    parser = argparse.ArgumentParser(prog=f"python -m tests.upstreams.{name}")
    parser.add_argument("--port", type=int, default=0, help="0: any free one; printed as JSON")
    parser.add_argument("--chunks", type=int, help="the default answer: so many pieces of 4 characters")
    parser.add_argument("--interval-ms", type=float, default=0.0, help="between two chunks")
    parser.add_argument("--first-ms", type=float, default=0.0, help="before the first byte of the body")
    parser.add_argument("--headers-ms", type=float, default=0.0, help="before the status line")
    parser.add_argument("--burst", type=int, default=1, help="events per write; 0: all at once")
    parser.add_argument("--lenient", action="store_true", help="refuse nothing")
    return parser


def default_reply(options: argparse.Namespace) -> Reply:
    return Reply(
        text=None if options.chunks is None else [" tok"] * options.chunks,
        interval_s=options.interval_ms / 1000,
        first_delay_s=options.first_ms / 1000,
        headers_delay_s=options.headers_ms / 1000,
        events_per_write=options.burst,
    )


async def serve(upstream: Upstream) -> None:
    """Announces the address on stdout as one line of JSON; returns as terminated() does."""
    async with upstream:
        announce(upstream.url)
        await terminated()


def announce(url: str) -> None:
    print(json.dumps({"url": url, "pid": os.getpid()}), flush=True)


async def terminated() -> None:
    """Returns on SIGTERM or SIGINT, or when the parent is gone: a killed test run leaves nothing behind."""
    stop, parent = asyncio.Event(), os.getppid()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while not stop.is_set() and os.getppid() == parent:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PARENT_CHECK_S)
