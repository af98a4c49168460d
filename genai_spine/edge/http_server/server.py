"""HTTP server: listens beside gRPC in the same process, for OpenAI's paths (edge/http_server/routes.py) and
WebSockets (edge/websocket).
"""

import asyncio
from collections.abc import Awaitable
from email.utils import formatdate

import structlog

from genai_spine.edge.http_server import response
from genai_spine.edge.http_server.connection import Connection
from genai_spine.edge.http_server.exchange import Exchange
from genai_spine.edge.http_server.request import Refused, Request
from genai_spine.edge.http_server.routes import HEALTH, ROUTES, Site
from genai_spine.edge.http_server.tls import ServedCertificate
from genai_spine.edge.lifecycle import CallLifecycle
from genai_spine.edge.websocket.exchange import SocketExchange
from genai_spine.edge.websocket.sockets import Sockets
from genai_spine.origins import LOOPBACK_HOSTS
from genai_spine.security.certificates import ListenerCertificate

SWEEP_S = 1.0  # between two looks for connections whose time is up
BACKLOG = 1024

log = structlog.get_logger()


class HttpServer:
    """HTTP server of one process."""

    def __init__(
        self, lifecycle: CallLifecycle, host: str, port: int, tls: ListenerCertificate | None = None
    ) -> None:
        """port 0: any free one, see `port` once it is started.

        tls: None: it speaks without TLS. Raises ValueError for a certificate that cannot be used.
        """
        self._certificate = None if tls is None else ServedCertificate(tls)
        self.site = Site({HEALTH: "", **ROUTES}, has_any_name=host not in LOOPBACK_HOSTS)
        self.connections: set[Connection] = set()
        self.sockets = Sockets()
        self.date = formatdate(usegmt=True)
        self.port = port
        self._host = host
        self._lifecycle = lifecycle
        self._listener: asyncio.Server | None = None
        self._sweeping: asyncio.Task[None] | None = None

    @property
    def draining(self) -> bool:
        return self._lifecycle.draining

    def now(self) -> float:
        """Time of the event loop, seconds."""
        return asyncio.get_running_loop().time()

    async def start(self) -> None:
        """Start of listening. Errors: OSError (the port is taken)."""
        loop = asyncio.get_running_loop()
        tls = None if self._certificate is None else self._certificate.context
        host = self._host.strip("[]")
        self._listener = await loop.create_server(
            lambda: Connection(self), host, self.port, backlog=BACKLOG, ssl=tls
        )
        self.port = self._listener.sockets[0].getsockname()[1]
        self._sweeping = asyncio.create_task(self._sweep())

    def handle(self, request: Request, connection: Connection) -> Awaitable[None]:
        """Answer to a request. Errors: Refused, before anything went out."""
        if request.is_upgrade:
            return SocketExchange(self._lifecycle, self.sockets, connection, request).run()
        if not request.method:
            return self._health(connection)
        return Exchange(self._lifecycle, connection, request).run()

    async def stop(self, grace_s: float) -> None:
        """End: connections without a request close, the others once it is answered, or after grace_s.

        WebSockets are sent away at once: another server goes on with them.
        """
        if self._listener is None or self._sweeping is None:
            return
        self._listener.close()
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_s
        self.sockets.cut()
        while (self.connections or self.sockets.are_open) and loop.time() < until:
            for connection in [one for one in self.connections if one.is_idle]:
                connection.expire()
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.cut()
        self.sockets.abort()
        self._sweeping.cancel()
        await asyncio.gather(self._sweeping, return_exceptions=True)

    async def _health(self, connection: Connection) -> None:
        if self.draining:
            raise Refused(503, "this server is stopping")
        headers = {**connection.headers, "content-type": "text/plain"}
        connection.write(response.head(200, headers, 3) + b"ok\n")

    async def _sweep(self) -> None:
        """Ends connections whose time is up, each second, and tells the time of answers' dates."""
        while True:
            self.date, now = formatdate(usegmt=True), self.now()
            for connection in [one for one in self.connections if one.until < now]:
                connection.expire()
            if self._certificate is not None:
                await asyncio.to_thread(self._certificate.renew)
            await asyncio.sleep(SWEEP_S)
