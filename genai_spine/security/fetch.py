"""HTTP requests to addresses that a caller gave, such as webhooks: the only place that makes them.

A name is resolved here, every address of it is judged (addresses.py), and the connection goes to the address
that was judged: a name that resolves to another one a moment later (DNS rebinding) gains nothing. Each
redirect is judged anew. Neither proxies nor credentials of ours are used, and no cookie is kept.
"""

import asyncio
import socket
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urljoin, urlsplit

import httptools

from genai_spine.errors import InvalidRequest
from genai_spine.security.addresses import is_public

PORTS = {"https": 443, "http": 80}
MAX_URL_CHARS = 2048
REDIRECTS = frozenset({301, 302, 303, 307, 308})
READ_BYTES = 64 << 10


class FetchFailed(Exception):
    """No answer came of an address: it cannot be reached, is too slow or too large, or speaks no HTTP."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one fetch, redirects included."""

    total_s: float = 10.0
    max_bytes: int = 20 << 20  # of the body
    max_redirects: int = 3
    schemes: tuple[str, ...] = ("https",)
    ports: Collection[int] = frozenset({443, 8443})
    is_public_only: bool = True  # false, for an address that the operator gave: any address is connected to


@dataclass(slots=True)
class Fetched:
    """Answer of the last address."""

    url: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = b""


@dataclass(slots=True)
class Fetcher:
    """Fetcher of addresses that callers give. trust: TLS settings; default: the system's authorities."""

    limits: Limits = field(default_factory=Limits)
    trust: ssl.SSLContext | None = None

    async def get(self, url: str, *, name: str = "url") -> Fetched:
        """Answer to a GET, redirects followed. name: field that errors name.

        Errors: InvalidRequest, FetchFailed.
        """
        return await self._limited(_Request("GET", name), url)

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str] | None = None, *, name: str = "url"
    ) -> Fetched:
        """Answer to a POST. A redirect is an answer, too: a body goes nowhere but where it was sent.

        Errors: InvalidRequest, FetchFailed, ValueError for a header that is none.
        """
        return await self._limited(_Request("POST", name, body, dict(headers or {})), url)

    def check(self, url: str, *, name: str = "url") -> None:
        """Check of what can be judged without asking the DNS, for what is stored. Errors: InvalidRequest."""
        self._parts(url, name)

    async def _limited(self, request: "_Request", url: str) -> Fetched:
        try:
            async with asyncio.timeout(self.limits.total_s):
                return await self._followed(request, url)
        except TimeoutError:
            raise FetchFailed(request.name, f"no answer in {self.limits.total_s:g} s") from None

    async def _followed(self, request: "_Request", url: str) -> Fetched:
        for _ in range(self.limits.max_redirects + 1):
            found = await self._once(request, url)
            location = found.headers.get("location")
            if request.method != "GET" or found.status not in REDIRECTS or not location:
                return found
            url = urljoin(url, location)
        problem = f"redirects more than {self.limits.max_redirects} times"
        raise FetchFailed(request.name, problem)

    async def _once(self, request: "_Request", url: str) -> Fetched:
        parts = self._parts(url, request.name)
        host, port = str(parts.hostname), parts.port or PORTS[parts.scheme]
        address = await self._resolved(host, port, request.name)
        context = (self.trust or ssl.create_default_context()) if parts.scheme == "https" else None
        try:
            reader, writer = await asyncio.open_connection(
                address, port, ssl=context, server_hostname=host if context else None
            )
        except ssl.SSLError as error:
            raise FetchFailed(request.name, f"TLS fails: {error.reason}") from None
        except OSError as error:
            problem = f"cannot be connected to: {error.strerror or type(error).__name__}"
            raise FetchFailed(request.name, problem) from None
        try:
            writer.write(request.head(parts) + request.body)
            await writer.drain()
            return await self._answer(reader, Fetched(url), request.name)
        except (OSError, httptools.HttpParserError) as error:
            problem = f"gives no HTTP answer: {type(error).__name__}"
            raise FetchFailed(request.name, problem) from None
        finally:
            writer.close()

    async def _resolved(self, host: str, port: int, name: str) -> str:
        """Address to connect to: of a name all of whose addresses are public.

        Errors: InvalidRequest, FetchFailed.
        """
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise FetchFailed(name, "names a host that cannot be resolved") from None
        addresses = [str(entry[4][0]) for entry in found]
        if not addresses:
            raise FetchFailed(name, "names a host without an address")
        if self.limits.is_public_only and not all(is_public(address) for address in addresses):
            problem = "leads to an address that is not of the public internet"
            raise InvalidRequest(field=name, problem=problem)
        return addresses[0]

    def _parts(self, url: str, name: str) -> SplitResult:
        """Parts of a URL that may be fetched. Errors: InvalidRequest."""
        problem = None
        try:
            parts = urlsplit(url)
            port = parts.port or PORTS.get(parts.scheme)
        except ValueError:
            raise InvalidRequest(field=name, problem="is no URL") from None
        if len(url) > MAX_URL_CHARS:
            problem = f"must have at most {MAX_URL_CHARS} characters"
        elif not url.isascii() or any(char <= " " or char in "\\\x7f" for char in url):
            problem = "must be written in ASCII, without spaces and backslashes"
        elif parts.scheme not in self.limits.schemes:
            problem = f"must begin with {' or '.join(f'{scheme}://' for scheme in self.limits.schemes)}"
        elif not parts.hostname:
            problem = "names no host"
        elif "@" in parts.netloc:
            problem = "must not hold credentials"
        elif port not in self.limits.ports:
            problem = f"must use one of the ports {', '.join(map(str, sorted(self.limits.ports)))}"
        if problem:
            raise InvalidRequest(field=name, problem=problem)
        return parts

    async def _answer(self, reader: asyncio.StreamReader, found: Fetched, name: str) -> Fetched:
        reading = _Reading(found)
        parser = httptools.HttpResponseParser(reading)
        while not reading.is_whole:
            data = await reader.read(READ_BYTES)
            if not data:
                break  # the end of a body without a length
            parser.feed_data(data)
            found.status = parser.get_status_code()
            if reading.size > self.limits.max_bytes:
                raise FetchFailed(name, f"has more than {self.limits.max_bytes} bytes")
        if not found.status:
            raise FetchFailed(name, "gives no HTTP answer: it hangs up")
        found.body = b"".join(reading.pieces)
        return found


@dataclass(slots=True)
class _Request:
    method: str
    name: str  # of the field that the address stands in
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    def head(self, parts: SplitResult) -> bytes:
        """Head of the request. Errors: ValueError for a header that would be two."""
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        given = {key.lower(): value for key, value in self.headers.items()}
        own = {"host": parts.netloc, "accept-encoding": "identity", "connection": "close"}
        if self.method == "POST":
            own["content-length"] = str(len(self.body))
        for key, value in given.items():
            if not key.replace("-", "").isalnum() or not value.isprintable() or not value.isascii():
                raise ValueError(f"{key!r} is no header")
        lines = [f"{key}: {value}" for key, value in ({"user-agent": "genai-spine"} | given | own).items()]
        return "\r\n".join((f"{self.method} {target} HTTP/1.1", *lines, "", "")).encode()


class _Reading:
    """Callbacks of httptools."""

    def __init__(self, found: Fetched) -> None:
        self.found = found
        self.pieces: list[bytes] = []
        self.size = 0
        self.is_whole = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.found.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.size += len(body)
        self.pieces.append(body)

    def on_message_complete(self) -> None:
        self.is_whole = True
