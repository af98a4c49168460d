"""HTTP request as its handler gets it, and what its head says of deadlines and codings."""

import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from genai_spine.edge.http_server.limits import MAX_BODY_BYTES

TIMEOUT = "x-request-timeout: must be a number of seconds above 0, at most 86400"
CODING = "content-encoding: must be gzip, deflate or identity"
TOO_LARGE = f"the request body is larger than {MAX_BODY_BYTES} bytes"
MAX_TIMEOUT_S = 86_400.0
GRPC_UNITS_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
# That of Envoy's filters, which take it away; without Envoy the caller's own.
GRPC_TIMEOUTS = ("x-genai-grpc-timeout", "grpc-timeout")
CLIENT_REQUEST_ID = "x-genai-client-request-id"  # the caller's, beside the one that Envoy made
ATTEMPT = "x-envoy-attempt-count"


class Refused(Exception):
    """Request that is not handled: HTTP status and words for the caller."""

    def __init__(self, status: int, words: str, *, is_last: bool = False, **headers: str) -> None:
        """is_last: what follows on the connection cannot be read."""
        super().__init__(words)
        self.status, self.words, self.is_last = status, words, is_last
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(slots=True)
class Request:
    """One request. target: path with query, without the prefix that is cut off."""

    verb: str
    target: str
    headers: list[tuple[str, str]]  # names in lower case, in their order
    by_name: dict[str, str]
    body: bytes
    method: str  # full gRPC method; "": none
    is_upgrade: bool = False  # to a WebSocket

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def is_of_envoy(self) -> bool:
        return ATTEMPT in self.by_name


def remaining_s(by_name: Mapping[str, str]) -> float | None:
    """Seconds until the caller's deadline: the smallest that its headers say; None: none.

    Errors: Refused. A grpc-timeout that is none counts as not sent.
    """
    least = math.inf
    for name in GRPC_TIMEOUTS:
        if (found := re.fullmatch(r"(\d{1,8})([HMSmun])", by_name.get(name, ""), re.ASCII)) and int(found[1]):
            least = min(least, int(found[1]) * GRPC_UNITS_S[found[2]])
    if (asked := by_name.get("x-request-timeout")) is not None:
        if len(asked) > 20 or not re.fullmatch(r"\d+(\.\d+)?", asked, re.ASCII):
            raise Refused(400, TIMEOUT)
        if not 0 < (seconds := float(asked)) <= MAX_TIMEOUT_S:
            raise Refused(400, TIMEOUT)
        least = min(least, seconds)
    return None if least == math.inf else least


def decoded(body: bytes, coding: str) -> bytes:
    """Body without its coding, whose size is limited as it is written. Errors: Refused."""
    if coding in ("", "identity"):
        return body
    if coding in ("gzip", "x-gzip"):
        window = 16 + zlib.MAX_WBITS
    elif (
        coding == "deflate"
    ):  # zlib's form or the raw one: 8 in the lower half of the first byte is the former
        window = zlib.MAX_WBITS if body[:1] and body[0] % 16 == 8 and body[0] < 128 else -zlib.MAX_WBITS
    else:
        raise Refused(415, CODING, accept_encoding="gzip, deflate, identity")
    decompressor = zlib.decompressobj(window)
    try:
        whole = decompressor.decompress(body, MAX_BODY_BYTES + 1)
    except zlib.error:
        raise Refused(400, f"content-encoding: the body is no {coding}") from None
    if len(whole) > MAX_BODY_BYTES:
        raise Refused(413, TOO_LARGE)
    if not decompressor.eof or decompressor.unused_data:
        raise Refused(400, f"content-encoding: the body is no whole {coding}")
    return whole
