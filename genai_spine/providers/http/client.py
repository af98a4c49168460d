"""HTTP client that all JSON adapters share: pooled connections, timeouts, typed failures.

Errors: ProviderUnavailable (no connection, or lost before any answer), ProviderError (cut or unreadable
answer), ProviderTimeout, DeadlineExceeded. A status other than 200 is the adapter's to judge: it comes back
in the Reply, and from a stream as StatusError. Redirects are not followed, and HTTP proxies of the
environment are not used.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import inf
from time import monotonic, time
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from genai_spine.call import Call
from genai_spine.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    SpineError,
)
from genai_spine.providers.base import Endpoint
from genai_spine.providers.http.connection import Connection, ConnectionLost, Exchange, ReadTimeout
from genai_spine.providers.http.event_stream import EventTooLarge, FrameDecoder

T = TypeVar("T")
Headers = Mapping[str, str]  # names in lower case

NO_HEADERS: Headers = {}
MAX_IDLE_S = 30.0  # a connection that rested longer is not used again: the peer may be about to close it
MAX_ERROR_BYTES = 64 << 10  # bytes of an error body that are read
MAX_RETRY_AFTER_S = 10.0**10  # a longer one in Retry-After is no time


@dataclass(frozen=True, slots=True)
class Reply:
    """Complete HTTP response: status, headers, body."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class StatusError(Exception):
    """The upstream answered a stream request with a status other than 200."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply


class CallTimer:
    """Timer of one call: the limit of the phase that it is in, and of the whole of it.

    Phases are connecting, the first token, the next token; each begins its own limit. The caller's deadline
    and `total_s` run from the start. All in seconds.
    """

    def __init__(self, endpoint: Endpoint, call: Call) -> None:
        self.endpoint = endpoint
        self.deadline = inf if call.deadline is None else call.deadline
        total_s = endpoint.timeouts.total_s
        self.end = inf if total_s is None else monotonic() + total_s
        self.begin("connecting", endpoint.timeouts.connect_s)

    def begin(self, phase: str, limit_s: float) -> None:
        """Begins a phase; its name appears in the error when its limit passes."""
        self.phase, self.limit_s = phase, limit_s
        self.phase_end = monotonic() + limit_s

    @property
    def left_s(self) -> float:
        """Seconds until the first of all limits, at least 0."""
        return max(0.0, min(self.phase_end, self.end, self.deadline) - monotonic())

    @property
    def phase_ends_first(self) -> bool:
        """Whether the phase's limit comes before the deadline and `total_s`."""
        return self.phase_end < min(self.end, self.deadline)

    def expired(self) -> SpineError:
        """The error of the limit that comes first; not read off the clock, because timers fire early."""
        if self.deadline <= min(self.phase_end, self.end):
            return DeadlineExceeded()
        phase, limit_s = self.phase, self.limit_s
        if self.end < self.phase_end:
            phase, limit_s = "the whole call", self.endpoint.timeouts.total_s or 0
        return ProviderTimeout(provider=self.endpoint.name, phase=phase, timeout_s=f"{limit_s:g}")


class HttpClient:
    """HTTP/1.1 client of one endpoint, with a pool of idle connections.

    One per adapter, for its whole life; `close()` aborts what is open. Nothing is retried: a request that may
    have reached the upstream is sent once.
    """

    def __init__(self, endpoint: Endpoint, headers: Mapping[str, str] | None = None) -> None:
        """headers: sent with every request, authentication among them."""
        try:
            url = urlsplit(endpoint.base_url)
            port = url.port
        except ValueError:  # of the port, or of an IPv6 address
            url, port = urlsplit(""), None
        if url.scheme not in ("http", "https") or not url.hostname:
            raise InvalidRequest(field="base_url", problem=f"not an http(s) URL: {endpoint.base_url!r}")
        self.endpoint = endpoint
        self._host, self._tls = url.hostname, url.scheme == "https"
        self._port = port or (443 if self._tls else 80)
        self._prefix, self._query = url.path.rstrip("/"), f"?{url.query}" if url.query else ""
        self._ssl = ssl.create_default_context() if self._tls else None
        fixed = {"host": url.netloc.rpartition("@")[2], "accept": "*/*", "user-agent": "genai-spine"}
        self._head = _header_lines({**fixed, **(headers or {}), **endpoint.headers})
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()

    async def post(self, path: str, body: bytes, call: Call, headers: Headers = NO_HEADERS) -> Reply:
        return await self.request("POST", path, body, call, headers)

    async def get(self, path: str, call: Call) -> Reply:
        return await self.request("GET", path, b"", call)

    async def request(
        self, method: str, path: str, body: bytes, call: Call, headers: Headers = NO_HEADERS
    ) -> Reply:
        """The whole reply, within first_token_s: nothing of a unary answer comes before its end.

        headers: of this request alone, such as its signature.
        """
        timer = CallTimer(self.endpoint, call)
        exchange = await self._send(f"{method} {self._prefix}{path}", headers, body, timer)
        timer.begin("the answer", self.endpoint.timeouts.first_token_s)
        try:
            status = await exchange.head(timer.left_s)
            answer = await exchange.all(timer.left_s)
        except ReadTimeout:
            raise timer.expired() from None
        except ConnectionLost as error:
            raise self._lost(exchange, error) from error
        finally:
            self._release(exchange)
        return Reply(status, exchange.headers, answer)

    async def stream(
        self, path: str, body: bytes, call: Call, decoder: FrameDecoder, headers: Headers = NO_HEADERS
    ) -> AsyncGenerator[list[bytes]]:
        """Event payloads; what one read of the socket brought is one list. Closing it hangs up."""
        timer = CallTimer(self.endpoint, call)
        exchange = await self._send(f"POST {self._prefix}{path}", headers, body, timer)
        timeouts = self.endpoint.timeouts
        timer.begin("the first token", timeouts.first_token_s)
        try:
            if await exchange.head(timer.left_s) != 200:
                refusal = (await exchange.all(timer.left_s))[:MAX_ERROR_BYTES]
                raise StatusError(Reply(exchange.status, exchange.headers, refusal))
            while data := await exchange.some(timer.left_s):
                if payloads := decoder.feed(data):
                    yield payloads
                # A comment counts as well: the upstream says that it is still at work.
                timer.begin("the next token", timeouts.between_tokens_s)
            if payloads := decoder.rest():
                yield payloads
        except ReadTimeout:
            raise timer.expired() from None
        except ConnectionLost as error:
            raise self._lost(exchange, error) from error
        except EventTooLarge as error:
            raise self.unusable("event_too_large", str(error.__doc__)) from error
        finally:
            self._release(exchange)

    def decode(self, body: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
        """Decoded body. Raises ProviderError (invalid_json) with the beginning of what came."""
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            excerpt = self.public(body[:200].decode("utf-8", "replace"))
            raise self.unusable("invalid_json", f"{error}; it began: {excerpt}") from error

    def public(self, text: str) -> str:
        """Upstream's text without our key: some repeat it when they refuse it."""
        return text.replace(self.endpoint.api_key, "***") if self.endpoint.api_key else text

    def unusable(self, code: str, message: str) -> ProviderError:
        """ProviderError for an answer that cannot be used, with a code of our own."""
        return ProviderError(provider=self.endpoint.name, provider_code=code, provider_message=message)

    async def close(self) -> None:
        for connection in list(self._open):
            connection.abort()
        self._open.clear()
        self._idle.clear()

    async def _send(self, target: str, headers: Headers, body: bytes, timer: CallTimer) -> Exchange:
        """Exchange of a request that was sent. target: method and path."""
        connection = self._idle_connection() or await self._connect(timer)
        head = f"{target}{self._query} HTTP/1.1\r\n".encode("ascii")
        if body:
            head += b"content-length: %d\r\n" % len(body)
            if "content-type" not in headers:
                head += b"content-type: application/json\r\n"
        if headers:
            head += _header_lines(headers)[:-2]
        try:
            return connection.send(head + self._head + body)
        except ConnectionLost as error:
            raise self._unreachable("connection_lost", error) from error

    def _idle_connection(self) -> Connection | None:
        """Connection of the pool that is still usable, the latest first; None to open one."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and monotonic() - connection.idle_since < MAX_IDLE_S:
                return connection
            connection.abort()
            self._open.discard(connection)
        return None

    async def _connect(self, timer: CallTimer) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timer.left_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(loop), self._host, self._port, ssl=self._ssl
                )
        except TimeoutError as error:
            if not timer.phase_ends_first:
                raise timer.expired() from None
            cause = TimeoutError(f"no connection in {timer.limit_s:g} s")
            raise self._unreachable("connect_timeout", cause) from error
        except OSError as error:
            raise self._unreachable("connect", error) from error
        self._open.add(connection)
        return connection

    def _release(self, exchange: Exchange) -> None:
        connection = exchange.connection
        if exchange.done and connection.reusable and not connection.closed:
            connection.resume()  # it may have been paused for a consumer that left
            connection.idle_since = monotonic()
            self._idle.append(connection)
        else:
            connection.abort()
            self._open.discard(connection)

    def _lost(self, exchange: Exchange, error: Exception) -> SpineError:
        """Error of a lost connection: before the status nothing was answered, after it the answer was cut,
        and may be billed.
        """
        if not exchange.status:
            return self._unreachable("connection_lost", error)
        return self.unusable("cut_stream", f"the answer was cut: {error}")

    def _unreachable(self, code: str, error: Exception) -> ProviderUnavailable:
        reason = f"{self._host}:{self._port}: {error}"
        return ProviderUnavailable(provider=self.endpoint.name, provider_code=code, provider_message=reason)


def _header_lines(headers: Mapping[str, str]) -> bytes:
    """Header lines and the empty line. Raises InvalidRequest for what could end a line early."""
    text = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if not text.isascii() or "\0" in text or text.count("\r") + text.count("\n") != 2 * len(headers):
        for name, value in headers.items():
            if not (name + value).isascii() or any(char in name + value for char in "\r\n\0"):
                raise InvalidRequest(field=name, problem="a header takes printable ASCII only")
    return text.encode("ascii") + b"\r\n"


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that the upstream asks to wait: retry-after-ms, or retry-after as seconds or a date.

    None where it asks for nothing, or for something that is no time (RFC 9110, section 10.2.3; the header in
    milliseconds is OpenAI's).
    """
    try:
        seconds = _retry_after_s(headers)
    except (ValueError, OverflowError):
        return None
    return max(0.0, seconds) if seconds is not None and abs(seconds) < MAX_RETRY_AFTER_S else None


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    if "retry-after-ms" in headers:
        return float(headers["retry-after-ms"]) / 1000
    value = headers.get("retry-after", "")
    if value.replace(".", "", 1).isdigit():
        return float(value)
    return parsedate_to_datetime(value).timestamp() - time() if value else None
