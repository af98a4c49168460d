"""Head of a request while it arrives: what it says of the body, and which method handles it, if one does."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from genai_spine.edge.http_server import limits
from genai_spine.edge.http_server.request import CLIENT_REQUEST_ID, TOO_LARGE, Refused, Request
from genai_spine.edge.http_server.routes import PREFIX, Site
from genai_spine.edge.lifecycle import REQUEST_ID
from genai_spine.edge.websocket.upgrade import is_upgrade

ABSOLUTE = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
CODED = "transfer-encoding: must be chunked"
HOST = "host: not a name of this machine; call it as localhost or 127.0.0.1"
ORIGIN = "origin: pages call by way of Envoy's port"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
NO_PORT = re.compile(r":\d+$", re.ASCII)
TOO_MANY = f"the request headers are larger than {limits.MAX_HEAD_BYTES} bytes"
# Others mean something else when they stand there twice than each of them does.
SEVERAL = frozenset(("accept", "accept-encoding", "cache-control", "cookie", "prefer", "tracestate", "via"))


@dataclass(slots=True)
class Head:
    """Head of a request while it arrives."""

    is_begun: bool = False
    is_complete: bool = False
    target: list[bytes] = field(default_factory=list)  # as it arrives
    headers: list[tuple[str, str]] = field(default_factory=list)
    by_name: dict[str, str] = field(default_factory=dict)
    verb: str = ""
    path: str = ""  # with the query
    method: str = ""  # full gRPC method
    expects: bool = False  # the caller waits for our word before it sends the body
    is_upgrade: bool = False  # to a WebSocket; what follows are its frames
    refused: Refused | None = None  # why it is not handled
    size: int = 0  # bytes of target and headers
    read: int = 0  # bytes that came without the head's end among them
    body_size: int = 0

    @property
    def request_id(self) -> str | None:
        """Id that the caller gave it, where it is one."""
        found = dict(self.headers).get("x-request-id", "")
        return found if REQUEST_ID.fullmatch(found) else None

    def add_target(self, part: bytes) -> None:
        """Part of the target."""
        self._grow(len(part))
        if self.refused is None:
            self.target.append(part)

    def add(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._grow(len(name) + len(value) + 4)
        if len(self.headers) >= limits.MAX_HEADERS:
            self.refused = Refused(431, "the request has too many headers", is_last=True)
        if self.refused is None:
            self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def wait(self, read: int) -> None:
        """Counts bytes that came, and did not bring the end: the parser keeps those of a header to itself."""
        self.read += read
        if self.read > 2 * limits.MAX_HEAD_BYTES:
            self.refused = Refused(431, TOO_MANY, is_last=True)

    def _grow(self, size: int) -> None:
        self.size += size
        if self.size > limits.MAX_HEAD_BYTES + limits.TOLERANCE_BYTES:
            self.refused = Refused(431, TOO_MANY, is_last=True)

    def complete(self, verb: str, version: str, site: Site) -> None:
        """End of the head; says by `refused` why the request is not handled."""
        self.is_complete, self.verb = True, verb
        if self.refused is not None:
            return
        try:
            self.path = _path(b"".join(self.target).decode("latin-1"))
            self.by_name = _by_name(self.headers)
            self._check_framing(version)
            self._check_page(site)
            self.is_upgrade = is_upgrade(verb, self.path, self.by_name)
            self.method = "" if self.is_upgrade else self._found(site.routes)
        except Refused as refused:
            self.refused = refused
            # One who waits for our word may send the body or not after a refusal.
            refused.is_last = refused.is_last or self.expects

    def takes(self, size: int) -> bool:
        """Whether a further part of the body is kept."""
        self.body_size += size
        if self.body_size > limits.MAX_BODY_BYTES:
            self.refused = Refused(413, TOO_LARGE, is_last=True)
        return self.refused is None

    def request(self, body: bytes) -> Request:
        """Request, now that all of it is there.

        Envoy makes an id of its own; that of the caller, which stands apart then, is the better one.
        """
        own = self.by_name.get(CLIENT_REQUEST_ID)
        if own is not None and REQUEST_ID.fullmatch(own):
            self.by_name["x-request-id"] = own
            self.headers.append(("x-request-id", own))
        return Request(self.verb, self.path, self.headers, self.by_name, body, self.method, self.is_upgrade)

    def _check_framing(self, version: str) -> None:
        given = self.by_name
        if version != "1.1":
            raise Refused(505, "HTTP/1.1 is spoken here", is_last=True)
        if "host" not in given:
            raise Refused(400, "host: must be one name", is_last=True)
        if given.get("transfer-encoding", "chunked").lower() != "chunked":
            raise Refused(501, CODED, is_last=True)
        if int(given.get("content-length", "0")) > limits.MAX_BODY_BYTES:
            raise Refused(413, TOO_LARGE, is_last=True)
        if "expect" in given:
            self.expects = given["expect"].lower() == "100-continue"
            if not self.expects:
                raise Refused(417, "expect: must be 100-continue", is_last=True)

    def _check_page(self, site: Site) -> None:
        """Web pages call by way of Envoy, which knows the rules of browsers."""
        if "origin" in self.by_name:
            raise Refused(403, ORIGIN)
        host = NO_PORT.sub("", self.by_name["host"]).lower()
        if not (site.has_any_name or host in LOOPBACK or host.endswith(".localhost")):
            raise Refused(403, HOST)

    def _found(self, routes: Mapping[str, str]) -> str:
        path = self.path.partition("?")[0]
        method = routes.get(path)
        if method is None:
            raise Refused(404, f"nothing answers at {path[:200]} on this port; Envoy's has all paths")
        allowed = "POST" if method else "GET"
        if self.verb != allowed:
            raise Refused(405, f"{path} takes {allowed} on this port; Envoy's has all methods", allow=allowed)
        return method


def _path(target: str) -> str:
    if found := ABSOLUTE.fullmatch(target):
        target = found[2] or "/"
    if target.startswith(f"{PREFIX}/"):
        target = target.removeprefix(PREFIX)
    if not target.startswith("/"):
        raise Refused(400, "the path must begin with /")
    return target


def _by_name(headers: list[tuple[str, str]]) -> dict[str, str]:
    """Headers by name. Errors: Refused (one that may stand there once stands there twice).

    Which of two a proxy and we would each take to be the one is a way to smuggle.
    """
    by_name = dict(headers)
    if len(by_name) < len(headers):
        counts: dict[str, int] = {}
        for name, _ in headers:
            counts[name] = counts.get(name, 0) + 1
        twice = [name for name, count in counts.items() if count > 1 and name not in SEVERAL]
        if twice:
            words = "must be one name" if twice[0] == "host" else "stands there twice"
            raise Refused(400, f"{twice[0][:100]}: {words}", is_last=True)
    return by_name
