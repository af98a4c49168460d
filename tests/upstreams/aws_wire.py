"""Amazon's side of the wire: signatures checked by computing them again, event streams written.

Made from the specifications and not from botocore, which is what the tests compare it with:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html and
https://smithy.io/2.0/aws/amazon-eventstream.html (read 2026-11-28).
"""

import hashlib
import hmac
import json
import re
import struct
from binascii import crc32
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from tests.upstreams.bill import Entry
from tests.upstreams.reply import Reply
from tests.upstreams.server import Refused

ACCESS_KEY, SECRET_KEY, SESSION_TOKEN = "AKIDSIMULATED", "secret/of+the=simulator", "session-token"
BEARER = "bedrock-api-key-simulated"
MOST_SKEW_S = 300
AUTHORIZATION = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)


def error(status: int, name: str, message: str, **headers: str) -> Reply:
    """As the service says it: the name in a header, the words in the body."""
    where = f"{name}:http://internal.amazon.com/coral/com.amazon.bedrock/"
    return Reply(status=status, body={"message": message}, headers={"x-amzn-errortype": where, **headers})


def check_caller(entry: Entry, region: str, session_token: str | None) -> None:
    """Raises Refused unless the request carries the bearer key or a signature of this very request."""
    given = entry.headers.get("authorization", "")
    if given.startswith("Bearer "):
        if given.removeprefix("Bearer ") != BEARER:
            said = "Authentication failed: Please make sure your API Key is valid."
            raise Refused(error(403, "AccessDeniedException", said))
        return
    match = AUTHORIZATION.fullmatch(given)
    if match is None:
        raise Refused(error(403, "MissingAuthenticationTokenException", "Missing Authentication Token"))
    access_key, day, signed_region, service, signed_headers, signature = match.groups()
    if access_key != ACCESS_KEY or entry.headers.get("x-amz-security-token") != session_token:
        said = "The security token included in the request is invalid."
        raise Refused(error(403, "UnrecognizedClientException", said))
    if (signed_region, service) != (region, "bedrock"):
        said = f"Credential should be scoped to a valid region and service, not {signed_region}/{service}."
        raise Refused(error(403, "InvalidSignatureException", said))
    names = signed_headers.split(";")
    _check_date(entry, day)
    tokens = {"x-amz-security-token"} if session_token else set()
    if names != sorted(names) or not {"host", "x-amz-date", *tokens} <= set(names):
        raise Refused(error(403, "InvalidSignatureException", "Headers that must be signed are not."))
    expected = _signature(entry, names, f"{day}/{signed_region}/{service}/aws4_request")
    if not hmac.compare_digest(expected, signature):
        said = (
            "The request signature we calculated does not match the signature you provided. Check your AWS "
            "Secret Access Key and signing method. Consult the service documentation for details."
        )
        raise Refused(error(403, "InvalidSignatureException", said))


def _check_date(entry: Entry, day: str) -> None:
    stamp = entry.headers.get("x-amz-date", "")
    try:
        signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        signed_at = datetime.min.replace(tzinfo=UTC)
    if stamp[:8] != day or abs((datetime.now(UTC) - signed_at).total_seconds()) > MOST_SKEW_S:
        raise Refused(error(403, "InvalidSignatureException", f"Signature expired: {stamp}"))


def _signature(entry: Entry, names: list[str], scope: str) -> str:
    path, _, query = entry.raw_path.partition("?")
    headers = "".join(f"{name}:{' '.join(entry.headers[name].split())}\n" for name in names)
    canonical = "\n".join(
        (
            entry.method,
            quote(path, safe="/-_.~"),  # what came encoded is encoded once more
            "&".join(sorted(query.split("&"))) if query else "",
            headers,
            ";".join(names),
            hashlib.sha256(entry.raw.encode()).hexdigest(),
        )
    )
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"AWS4-HMAC-SHA256\n{entry.headers['x-amz-date']}\n{scope}\n{hashed}"
    key = f"AWS4{SECRET_KEY}".encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.new(key, to_sign.encode(), "sha256").hexdigest()


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One message of an event stream: lengths, their checksum, headers (strings), payload, checksum."""
    head = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack("!I", crc32(prelude)) + head + payload
    return message + struct.pack("!I", crc32(message))


def _header(name: str, value: str) -> bytes:
    raw = value.encode()
    return struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(raw)) + raw


def event(kind: str, payload: Any) -> bytes:
    """payload: a JSON value, or bytes that are sent as they are."""
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, payload if isinstance(payload, bytes) else _dump(payload))


def exception(kind: str, payload: Any) -> bytes:
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, _dump(payload))


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
