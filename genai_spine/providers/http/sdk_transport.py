"""SDK transport: official clients on our own HTTP client, so that all that leaves goes the same way.

httpx2 calls it in place of its own transport. Proxies, certificates, redirects, limits and codings are
http/client.py's, and its errors leave as they are, below the SDK's own. Imported with the SDK.
"""

from collections.abc import AsyncIterator

import httpx2

from genai_spine.call import Call
from genai_spine.providers.http.client import BROKEN, MAX_ERROR_BYTES, CallTimer, HttpClient
from genai_spine.providers.http.connection import ConnectionLost, Exchange

# Headers of the connection, which are the client's own.
OWN = frozenset({"host", "accept", "accept-encoding", "connection", "user-agent", "content-length"})
STREAMED = "x-stainless-raw-response"  # "stream": the SDK gives the body out as it comes


class SdkTransport(httpx2.AsyncBaseTransport):
    """Transport of one endpoint; closed with the SDK's client."""

    def __init__(self, http: HttpClient) -> None:
        self.http = http

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Response with its body still to come. Errors: those of HttpClient."""
        body = await request.aread()
        timer = CallTimer(self.http.endpoint, Call())
        headers = {name: value for name, value in request.headers.items() if name not in OWN}
        target = f"{request.method} {request.url.raw_path.decode('ascii')}"
        exchange = await self.http.open(target, headers, body, timer, "the answer")
        given = {name: value for name, value in exchange.headers.items() if name != "content-encoding"}
        stream = Body(self.http, exchange, timer, whole=request.headers.get(STREAMED) != "stream")
        return httpx2.Response(exchange.status, headers=given, stream=stream)

    async def aclose(self) -> None:
        await self.http.close()


class Body(httpx2.AsyncByteStream):
    """Body of a response, decoded."""

    def __init__(self, http: HttpClient, exchange: Exchange, timer: CallTimer, *, whole: bool) -> None:
        """whole: it is read into memory, so it has an end."""
        self._http, self._exchange, self._timer, self._whole = http, exchange, timer, whole

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            if self._exchange.status >= 300:
                yield await self._exchange.beginning(MAX_ERROR_BYTES, self._timer.left_s)
                return
            if self._whole:
                yield await self._exchange.all(self._timer.left_s)
                return
            while data := await self._exchange.some(None):  # its reader has the time limit
                yield data
            if not self._exchange.complete:
                raise ConnectionLost("the compressed body ended early")
        except BROKEN as error:
            raise self._http.meaning(error, self._exchange, self._timer) from error

    async def aclose(self) -> None:
        self._http.pool.release(self._exchange)
