"""HTTP client that all JSON adapters share: pooled connections, timeouts, typed failures.

Errors: ProviderUnavailable (no connection, or lost before any answer), ProviderError (cut or unreadable
answer), ProviderAuthentication (of a proxy), ProviderTimeout, DeadlineExceeded. A status other than 200 is
the adapter's to judge: it comes back in the Reply, and from a stream as StatusError. Redirects are followed
within the origin only, so that no key leaves it.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import inf, nan
from time import monotonic, time
from typing import TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit

import msgspec

from genai_spine.call import Call
from genai_spine.errors import (
    DeadlineExceeded,
    InvalidRequest,
    ProviderAuthentication,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    SpineError,
)
from genai_spine.providers.base import Endpoint
from genai_spine.providers.http import error_body, lenient_json
from genai_spine.providers.http.connection import (
    AnswerTooLarge,
    Connection,
    ConnectionLost,
    Exchange,
    ReadTimeout,
)
from genai_spine.providers.http.content_coding import UndecodableBody
from genai_spine.providers.http.dial import Dialer, ProxyRefused
from genai_spine.providers.http.egress import DEFAULT_PORTS, authority
from genai_spine.providers.http.event_stream import EventTooLarge, FrameDecoder
from genai_spine.providers.http.pool import Pool

T = TypeVar("T")
Headers = Mapping[str, str]  # names in lower case

NO_HEADERS: Headers = {}
MAX_REDIRECTS = 5
SAME_METHOD = (307, 308)  # redirects that a request follows with its body (RFC 9110, 15.4.8 and 15.4.9)
REDIRECTS = (301, 302, 303, *SAME_METHOD)
PROXY_AUTHENTICATION = 407
BROKEN = (ReadTimeout, ConnectionLost, UndecodableBody, AnswerTooLarge, EventTooLarge)  # answers
# Of a strict decoder, for a body that it cannot read.
UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
CUT = "cut_stream"  # code of an answer that ends too early
MIN_SECRET_LENGTH = 8  # a shorter key is a local server's dummy
MAX_ERROR_BYTES = 64 << 10  # bytes of an error body that are read
MAX_RETRY_AFTER_S = 31 * 86_400.0  # until a monthly quota is new; what is longer is no time to wait
NUMBER = re.compile(r"\d+(\.\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reply:
    """Complete HTTP response: status, headers, body."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class WrittenHeaders(dict[str, str]):
    """Headers that many requests have, with their lines."""

    __slots__ = ("lines",)

    def __init__(self, headers: Headers) -> None:
        super().__init__(headers)
        self.lines = _header_lines(headers)[:-2]


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
        self.first_token_s = endpoint.timeouts.first_token_s
        if endpoint.timeouts.are_callers and call.read_timeout_s is not None:
            self.first_token_s = max(self.first_token_s, call.read_timeout_s)
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
        url = _url(endpoint.base_url)
        self.endpoint = endpoint
        self.origin = _origin(url)
        self._prefix, self._query = url.path.rstrip("/"), f"?{url.query}" if url.query else ""
        self.pool = Pool(_dialer(endpoint, self.origin))
        proxy = self.pool.dialer.proxy
        host = re.sub(r"%[^]]*", "", url.netloc.rpartition("@")[2])  # the zone of an address is ours alone
        # Without accept-encoding, any coding may come (RFC 9110, 12.5.3).
        fixed = {"host": host, "accept": "*/*", "accept-encoding": "identity", "user-agent": "genai-spine"}
        self._absolute = ""  # what stands before the path in a request to a proxy
        if proxy is not None and url.scheme == "http":
            self._absolute = f"http://{host}"
            if proxy.authorization:
                fixed["proxy-authorization"] = proxy.authorization
        self._head = _header_lines({**fixed, **(headers or {}), **endpoint.headers})
        self._operators = frozenset(endpoint.headers)  # win over those of one request, too

    def written(self, headers: Headers) -> Headers:
        """Headers for many requests, which are then written once. Errors: InvalidRequest."""
        return WrittenHeaders(self._own(headers))

    def _own(self, headers: Headers) -> Headers:
        """Headers of a request without those that the operator sets."""
        if not self._operators:
            return headers
        return {name: headers[name] for name in headers if name.lower() not in self._operators}

    def post(self, path: str, body: bytes, call: Call, headers: Headers = NO_HEADERS) -> Awaitable[Reply]:
        return self.request("POST", path, body, call, headers)

    def get(self, path: str, call: Call) -> Awaitable[Reply]:
        return self.request("GET", path, b"", call)

    async def request(
        self, method: str, path: str, body: bytes, call: Call, headers: Headers = NO_HEADERS
    ) -> Reply:
        """The whole reply, within first_token_s: nothing of a unary answer comes before its end.

        headers: of this request alone, such as its signature.
        """
        timer = CallTimer(self.endpoint, call)
        if call.read_timeout_s is not None:
            timer.deadline = min(timer.deadline, call.started + call.read_timeout_s)
        target = f"{method} {self._prefix}{path}{self._query}"
        exchange = await self.open(target, _traced(headers, call), body, timer, "the answer")
        try:
            if exchange.status < 300:
                answer = exchange.whole() or await exchange.all(timer.left_s)
            else:
                answer = await exchange.beginning(MAX_ERROR_BYTES, timer.left_s)
        except BROKEN as error:
            raise self.meaning(error, exchange, timer) from error
        finally:
            self.pool.release(exchange)
        return Reply(exchange.status, exchange.headers, answer)

    async def stream(
        self, path: str, body: bytes, call: Call, decoder: FrameDecoder, headers: Headers = NO_HEADERS
    ) -> AsyncGenerator[list[bytes]]:
        """Event payloads; what one read of the socket brought is one list. Closing it hangs up."""
        timer = CallTimer(self.endpoint, call)
        target = f"POST {self._prefix}{path}{self._query}"
        exchange = await self.open(target, _traced(headers, call), body, timer, "the first token")
        timeouts = self.endpoint.timeouts
        try:
            if exchange.status != 200:
                refusal = await exchange.beginning(MAX_ERROR_BYTES, timer.left_s)
                raise StatusError(Reply(exchange.status, exchange.headers, refusal))
            grace_s = None
            while data := await exchange.some(timer.left_s):
                if payloads := decoder.feed(data):
                    yield payloads
                    exchange.merge_s = call.merge_s
                # A comment counts as well: the upstream says that it is still at work.
                if decoder.grace_s is None:
                    timer.begin("the next token", timeouts.between_tokens_s)
                elif decoder.grace_s != grace_s:  # the answer is complete, and nothing has to follow
                    grace_s = decoder.grace_s
                    timer.begin("the end", grace_s)
            if payloads := decoder.rest():
                yield payloads
        except BROKEN as error:
            if not (isinstance(error, ReadTimeout) and decoder.grace_s is not None):
                raise self.meaning(error, exchange, timer) from error
        finally:
            self.pool.release(exchange)

    def decode(self, body: bytes, decoder: "msgspec.json.Decoder[T]") -> T:
        """Decoded body, leniently where the strict decoder refuses it.

        Raises ProviderError (invalid_json) with what is wrong, and with nothing of the model's words.
        """
        try:
            return decoder.decode(body)
        except UNREADABLE as error:
            try:
                return lenient_json.read(bytes(body), decoder.type)
            except (ValueError, RecursionError):
                raise self.unusable("invalid_json", _complaint(bytes(body), error)) from error

    def public(self, text: str) -> str:
        """Upstream's text without our key: some repeat it when they refuse it."""
        return masked(text, self.endpoint.api_key)

    def unusable(self, code: str, message: str) -> ProviderError:
        """ProviderError for an answer that cannot be used, with a code of our own."""
        return ProviderError(provider=self.endpoint.name, provider_code=code, provider_message=message)

    async def close(self) -> None:
        self.pool.close()

    async def open(
        self, target: str, headers: Headers, body: bytes, timer: CallTimer, phase: str
    ) -> Exchange:
        """Exchange whose status has come; for pool.release(). target: method, and path with its query.

        phase: what is waited for from here on, within first_token_s.
        """
        for hop in range(MAX_REDIRECTS + 1):
            exchange = await self._send(target, headers, body, timer)
            if not hop:
                timer.begin(phase, timer.first_token_s)
            try:
                status = await exchange.head(timer.left_s)
                if status < 300 or not (following := self._redirect(target, exchange)):
                    return exchange
            except BROKEN as error:
                self.pool.release(exchange)
                raise self.meaning(error, exchange, timer) from error
            except BaseException:
                self.pool.release(exchange)
                raise
            self.pool.release(exchange)
            target = following
        raise self._unreachable(str(status), OSError(f"more than {MAX_REDIRECTS} redirects, to {target}"))

    async def _send(self, target: str, headers: Headers, body: bytes, timer: CallTimer) -> Exchange:
        """Exchange of a request that was sent."""
        connection = self.pool.take() or await self._connect(timer)
        if self._absolute:
            target = target.replace(" ", f" {self._absolute}", 1)
        head = f"{target} HTTP/1.1\r\n".encode("ascii")
        if body:
            head += b"content-length: %d\r\n" % len(body)
            if "content-type" not in headers:
                head += b"content-type: application/json\r\n"
        if type(headers) is WrittenHeaders:
            head += headers.lines
        elif headers:
            head += _header_lines(self._own(headers))[:-2]
        try:
            return connection.send(head + self._head + body)
        except ConnectionLost as error:
            raise self._unreachable("connection_lost", error) from error

    def _redirect(self, target: str, exchange: Exchange) -> str | None:
        """Target that a redirect names; None: the status is none.

        Errors: ProviderUnavailable for a redirect that is not followed, ProviderAuthentication of a proxy.
        """
        status, location = exchange.status, exchange.headers.get("location")
        if status == PROXY_AUTHENTICATION and self._absolute:
            raise self._proxy_refused(ProxyRefused(status, "Proxy Authentication Required"))
        method, _, path = target.partition(" ")
        if status not in REDIRECTS or location is None:
            return None
        shown = ascii(location[:300])[1:-1]
        try:
            there = _url(urljoin(f"{self.origin[0]}://{_authority(self.origin)}{path}", location))
            followed = _origin(there) == self.origin and not there.username and not there.password
        except (InvalidRequest, ValueError):
            followed = False
        if not followed or not location.isascii() or not location.isprintable() or " " in location:
            raise self._unreachable(str(status), OSError(f"HTTP {status} to another address: {shown}"))
        if status not in SAME_METHOD and method != "GET":
            raise self._unreachable(str(status), OSError(f"HTTP {status} without the request, to {shown}"))
        return f"{method} {there.path or '/'}{f'?{there.query}' if there.query else ''}"

    async def _connect(self, timer: CallTimer) -> Connection:
        try:
            async with asyncio.timeout(timer.left_s):
                return await self.pool.connect()
        except TimeoutError as error:
            if not timer.phase_ends_first:
                raise timer.expired() from None
            cause = TimeoutError(f"no connection in {timer.limit_s:g} s")
            raise self._unreachable("connect_timeout", cause) from error
        except ProxyRefused as error:
            raise self._proxy_refused(error) from error
        except OSError as error:
            raise self._unreachable("connect", error) from error

    def meaning(self, error: Exception, exchange: Exchange, timer: CallTimer) -> SpineError:
        """Error of an answer that broke: before the status nothing was answered, after it the answer was cut,
        and may be billed.
        """
        if isinstance(error, ReadTimeout):
            return timer.expired()
        if isinstance(error, AnswerTooLarge):
            return self.unusable("answer_too_large", str(error))
        if isinstance(error, UndecodableBody):
            return self.unusable("undecodable_body", str(error))
        if isinstance(error, EventTooLarge):
            return self.unusable("event_too_large", str(error.__doc__))
        if not exchange.status:
            return self._unreachable("connection_lost", error)
        return self.unusable(CUT, f"the answer was cut: {error}")

    def _proxy_refused(self, error: ProxyRefused) -> SpineError:
        """Error of a proxy: its operator must act where it asks for credentials, else it may do later."""
        if error.status != PROXY_AUTHENTICATION:
            return self._unreachable("proxy", error)
        proxy = self.pool.dialer.proxy
        problem = "refuses our credentials" if proxy and proxy.authorization else "asks for credentials"
        message = f"the {proxy} {problem}: {error}"
        return ProviderAuthentication(
            provider=self.endpoint.name, provider_code="proxy_authentication", provider_message=message
        )

    def _unreachable(self, code: str, error: Exception) -> ProviderUnavailable:
        by = f" by {proxy}" if (proxy := self.pool.dialer.proxy) else ""
        reason = f"{_authority(self.origin)}{by}: {str(error) or 'the connection was closed'}"
        return ProviderUnavailable(provider=self.endpoint.name, provider_code=code, provider_message=reason)


Origin = tuple[str, str, int]  # scheme, host, port


def _url(text: str) -> SplitResult:
    """Parts of an http or https URL. Raises InvalidRequest."""
    try:
        url = urlsplit(text)
        if url.scheme in DEFAULT_PORTS and url.hostname and (url.port is None or url.port):
            return url
    except ValueError:  # of the port, or of an IPv6 address
        pass
    raise InvalidRequest(field="base_url", problem=f"not an http(s) URL: {text!r}")


def _origin(url: SplitResult) -> Origin:
    host = (url.hostname or "").replace("%25", "%")  # a zone of IPv6, as RFC 6874 writes it
    return url.scheme, host, url.port or DEFAULT_PORTS[url.scheme]


def _authority(origin: Origin) -> str:
    return authority(origin[1], origin[2])


def _dialer(endpoint: Endpoint, origin: Origin) -> Dialer:
    """Way to the endpoint by its egress. Raises InvalidRequest."""
    scheme, host, port = origin
    try:
        proxy = endpoint.egress.proxy(scheme, host, port)
        tls = endpoint.egress.tls() if scheme == "https" else None
        return Dialer(host, port, tls, proxy, endpoint.egress.tls() if proxy and proxy.tls else None)
    except ValueError as error:
        raise InvalidRequest(field="egress", problem=f"provider {endpoint.name}: {error}") from error


def _traced(headers: Headers, call: Call) -> Headers:
    """Headers of one request, with what its caller says of the trace that it belongs to."""
    return {**dict(call.trace_headers), **headers} if call.trace_headers else headers


def masked(text: str, secret: str | None) -> str:
    """Text without a secret, which is masked as a word of its own; a short one is a word like any other."""
    if not secret or len(secret) < MIN_SECRET_LENGTH or secret not in text:
        return text
    return re.sub(rf"(?<![\w-]){re.escape(secret)}(?![\w-])", "***", text)


def _complaint(body: bytes, error: Exception) -> str:
    """What is wrong with a body: the title of a page, or where its JSON ends to be any."""
    if not body.strip():
        return "the body is empty"
    if error_body.is_page(body):
        return f"no JSON but a page: {error_body.page_text(body)}"
    return f"{error} ({len(body)} bytes)"


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

    None where it asks for nothing (0 and what is past do), or for something that is no time, such as a date
    in 2099 (RFC 9110, section 10.2.3; the header in milliseconds is OpenAI's).
    """
    told = (_seconds(headers.get("retry-after-ms", ""), 1000), _seconds(headers.get("retry-after", "")))
    return next((seconds for seconds in told if 0 < seconds <= MAX_RETRY_AFTER_S), None)


def _seconds(value: str, parts: int = 1) -> float:
    """Seconds of a header, of which one has so many parts; NaN where it is neither a number nor a date."""
    try:
        if NUMBER.fullmatch(value):
            return float(value) / parts
        return parsedate_to_datetime(value).timestamp() - time()
    except (ValueError, OverflowError):
        return nan
