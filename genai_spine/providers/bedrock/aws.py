"""AWS protocol: requests signed with Signature Version 4, and event streams of binary messages.

Signature Version 4: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html; event streams:
https://smithy.io/2.0/aws/amazon-eventstream.html, both 2026-11-28. botocore is imported when it is first
needed; what signing needs of it takes 0.15 s, and is imported in a thread.
"""

import asyncio
import hmac
import struct
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from time import gmtime, strftime, time
from typing import Any
from urllib.parse import quote, urlsplit
from zlib import crc32

import msgspec

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.providers.base import Endpoint

JSON_TYPE = "application/json"
PRELUDE = struct.Struct("!III")  # of a message: its length, that of its headers, a checksum of the two
MAX_MESSAGE_BYTES = 24 << 20  # bytes; botocore takes none that is larger
# Characters that a path segment keeps; the service signs what it gets, so all others go as %XX.
UNRESERVED = "-_.~"


@lru_cache(256)
def segment(name: str) -> str:
    """A name as one segment of a path: `amazon.nova-lite-v1:0` is `amazon.nova-lite-v1%3A0`."""
    return quote(name, safe=UNRESERVED)


class _BrokenFrame(Exception):
    """The bytes are no event: a checksum, a length or a header is wrong."""


class EventStream:
    """Frame decoder of AWS event streams. Events become JSON, {"<event type>": payload}, as boto3 shows them.

    A body that begins as JSON or as a page is no stream of events: it is one payload.

    An exception within the stream is {"exception": {"name", "message"}}, and bytes that are no event are
    {"broken": why}; both come in their place after the events before them. botocore's own buffer does the
    same, tells less, and takes ten times as long.
    """

    def __init__(self) -> None:
        self.grace_s: float | None = None
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Payloads that are complete now; the rest waits for more."""
        data = self._buffer + data if self._buffer else data
        if data[:1] in (b"{", b"<"):  # no event has a length that begins so
            self._buffer = data
            return []
        payloads, at = [], 0
        try:
            while end := _end(data, at):
                payloads.append(_payload(data[at:end]))
                at = end
        except _BrokenFrame as broken:
            payloads.append(msgspec.json.encode({"broken": str(broken)}))
            at = len(data)  # where the next event begins, nobody can say
        self._buffer = data[at:]
        return payloads

    def rest(self) -> list[bytes]:
        """A body that is no stream. Half an event says nothing: the reader knows whether one is missing."""
        return [self._buffer] if self._buffer[:1] in (b"{", b"<") else []


def events_of(body: bytes) -> list[bytes]:
    """Payloads of a body that is a stream of events, although one answer was asked for; else none."""
    begins = len(body) >= PRELUDE.size and crc32(body[:8]) == int.from_bytes(body[8:12], "big")
    return EventStream().feed(body) if begins else []


def _end(data: bytes, at: int) -> int:
    """End of the message that begins at the position; 0: not all of it is here. Raises _BrokenFrame."""
    if len(data) - at < PRELUDE.size:
        return 0
    length, headers, checksum = PRELUDE.unpack_from(data, at)
    if crc32(data[at : at + 8]) != checksum:
        raise _BrokenFrame("the checksum of an event's lengths is wrong")
    if not PRELUDE.size + headers + 4 <= length <= MAX_MESSAGE_BYTES:
        raise _BrokenFrame(f"an event cannot have {length} bytes with {headers} of headers")
    return at + length if at + length <= len(data) else 0


def _payload(message: bytes) -> bytes:
    """Payload of one message as JSON. Raises _BrokenFrame."""
    if crc32(message[:-4]) != int.from_bytes(message[-4:], "big"):
        raise _BrokenFrame("the checksum of an event is wrong")
    split = PRELUDE.size + int.from_bytes(message[4:8], "big")
    headers, payload = _headers(message[PRELUDE.size : split]), message[split:-4]
    kind = headers.get(":message-type")
    if kind == "event":
        return b'{"%b":%b}' % (str(headers.get(":event-type")).encode(), payload or b"{}")
    # An exception is one that the API describes, an error one that it does not.
    name = headers.get(":exception-type") or headers.get(":error-code") or str(kind)
    message_text = headers.get(":error-message") or _fault(payload)[1] or payload.decode("utf-8", "replace")
    return msgspec.json.encode({"exception": {"name": name, "message": message_text}})


@lru_cache(64)  # all events of a kind have the same
def _headers(head: bytes) -> dict[str, Any]:
    """Headers of a message, parsed by botocore. Raises _BrokenFrame."""
    from botocore.eventstream import EventStreamHeaderParser, ParserError

    try:
        headers: dict[str, Any] = EventStreamHeaderParser().parse(head)
    except (ParserError, KeyError, IndexError, struct.error, UnicodeDecodeError) as error:
        raise _BrokenFrame(f"the headers of an event are wrong: {type(error).__name__}: {error}") from error
    return headers


class _Fault(msgspec.Struct):
    """Body of an error answer; the service and what stands before it write it differently."""

    message: str | None = None
    Message: str | None = None  # of the gateway in front of the service
    type: str | None = msgspec.field(default=None, name="__type")


_FAULT = msgspec.json.Decoder(_Fault)


def fault(headers: dict[str, str], body: bytes) -> tuple[str, str]:
    """Name and message of an error answer, either of which may be ""."""
    name, message = _fault(body)
    # "ThrottlingException:http://internal.amazon.com/..." or "com.amazon.coral.service#AccessDenied..."
    name = headers.get("x-amzn-errortype", "").partition(":")[0] or name
    return name.rpartition("#")[2], message


def _fault(body: bytes) -> tuple[str, str]:
    try:
        fault_body = _FAULT.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return "", ""
    return fault_body.type or "", fault_body.message or fault_body.Message or ""


@lru_cache(256)  # there are as many as models
def _canonical(url: str) -> tuple[str, str, str]:
    """Host, path and query of a URL as they are signed."""
    address = urlsplit(url)
    path = quote(address.path or "/", safe="/" + UNRESERVED)  # what came encoded is encoded once more
    pairs = sorted(pair.partition("=") for pair in address.query.split("&") if pair)
    query = "&".join(f"{name}={value}" for name, _, value in pairs)
    return address.netloc.rpartition("@")[2], path, query


@lru_cache(2)
def _stamp(second: int) -> str:
    """Time as the signature has it, in UTC to the second."""
    return strftime("%Y%m%dT%H%M%SZ", gmtime(second))


def _keyed(secret: str, scope: str) -> hmac.HMAC:
    """Signing key of a day, region and service; a copy of it costs half of what a new one does."""
    key = f"AWS4{secret}".encode()
    for step in scope.split("/"):
        key = hmac.digest(key, step.encode(), "sha256")
    return hmac.new(key, digestmod="sha256")


class Signer:
    """Signs requests with the credentials that botocore finds: environment, profile, container, instance.

    The signature is our own: botocore's takes ten times as long.

    Errors: ProviderAuthentication (none found, or not to be had), ProviderUnavailable (who gives them
    does not answer), ProviderTimeout, DeadlineExceeded.
    """

    def __init__(self, endpoint: Endpoint, service: str, region: str) -> None:
        self._endpoint, self._service, self._region = endpoint, service, region
        self._credentials: Any = None
        self._frozen: Any = None
        self._loading: asyncio.Task[None] | None = None
        self._authorities: Any = None  # file of those whom botocore trusts, as long as it may read it
        self._keyed = lru_cache(2)(_keyed)  # one holds for a day

    async def headers(self, request: tuple[str, str], body: bytes, call: Call) -> dict[str, str]:
        """Headers that sign the request, names in lower case. request: method and URL, as they are sent."""
        if self._frozen is None or self._stale():
            await self._load(call)
        (method, url), keys = request, self._frozen
        host, path, query = _canonical(url)
        stamp = _stamp(int(time()))
        signed = {"content-type": JSON_TYPE, "host": host, "x-amz-date": stamp}  # in the order of names
        if keys.token:
            signed["x-amz-security-token"] = keys.token
        names = ";".join(signed)
        lines = "".join([f"{name}:{value}\n" for name, value in signed.items()])
        canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{sha256(body).hexdigest()}"
        scope = f"{stamp[:8]}/{self._region}/{self._service}/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
        mac = self._keyed(keys.secret_key, scope).copy()
        mac.update(to_sign.encode())
        del signed["host"]
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={keys.access_key}/{scope}, "
            f"SignedHeaders={names}, Signature={mac.hexdigest()}"
        )
        return signed

    def forget(self) -> None:
        """The service says that they have expired; the next call looks for others."""
        self._credentials = self._frozen = None

    def close(self) -> None:
        """Removes the file that botocore was given."""
        if self._authorities is not None:
            self._authorities.close()

    def _stale(self) -> bool:
        needed = getattr(self._credentials, "refresh_needed", None)  # keys that never expire have none
        return needed is not None and bool(needed())

    async def _load(self, call: Call) -> None:
        """Waits for one load of credentials that all callers share, and that goes on when this one leaves."""
        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(self._find))
            self._loading.add_done_callback(self._loaded)
        loading, limit_s = self._loading, self._endpoint.timeouts.connect_s
        left_s = call.remaining_s
        try:
            async with asyncio.timeout(limit_s if left_s is None else min(limit_s, left_s)):
                await asyncio.shield(loading)
        except TimeoutError:
            if left_s is not None and left_s <= limit_s:
                raise errors.DeadlineExceeded() from None
            phase, timeout_s = "finding credentials", f"{limit_s:g}"
            raise errors.ProviderTimeout(
                provider=self._endpoint.name, phase=phase, timeout_s=timeout_s
            ) from None

    def _loaded(self, task: asyncio.Task[None]) -> None:
        self._loading = None
        if not task.cancelled():
            task.exception()  # told to those who wait; nobody may be left

    def _find(self) -> None:
        """Blocks: files, processes, and the network."""
        from botocore import exceptions as aws

        try:
            credentials = self._credentials or self._session().get_credentials()
            frozen = credentials.get_frozen_credentials() if credentials else None
        except (aws.ConnectionError, aws.HTTPClientError, aws.MetadataRetrievalError) as error:
            raise self._failure(errors.ProviderUnavailable, str(error)) from error
        except (aws.BotoCoreError, aws.ClientError, OSError) as error:  # OSError: of its files
            raise self._failure(errors.ProviderAuthentication, str(error)) from error
        if frozen is None:
            nothing = "no AWS credentials in the environment, in a profile, or from container or instance"
            raise self._failure(errors.ProviderAuthentication, nothing)
        self._credentials, self._frozen = credentials, frozen

    def _session(self) -> Any:
        """Session of botocore that reaches AWS's token services by the endpoint's egress.

        The metadata of an instance or container are on a link of the machine, and asked as botocore does.
        """
        from botocore.config import Config
        from botocore.httpsession import get_cert_path
        from botocore.session import Session  # which imports all that signing needs as well

        session, egress, host = Session(), self._endpoint.egress, f"sts.{self._region}.amazonaws.com"
        urls = {"http": egress.http_proxy, "https": egress.https_proxy}
        proxies = {scheme: url for scheme, url in urls.items() if url and egress.proxy(scheme, host, 443)}
        session.set_default_client_config(Config(proxies=proxies))  # and not those of the environment
        if egress.ca_file:
            self.close()
            known = Path(get_cert_path(True)).read_bytes()
            # botocore takes one file, by its name; it is there for as long as the signer.
            self._authorities = NamedTemporaryFile(suffix=".pem")  # noqa: SIM115
            self._authorities.write(known + b"\n" + egress.ca_file.read_bytes())
            self._authorities.flush()
            session.set_config_variable("ca_bundle", self._authorities.name)
        return session

    def _failure(self, kind: type[errors.ProviderFailure], message: str) -> errors.ProviderFailure:
        return kind(provider=self._endpoint.name, provider_code="credentials", provider_message=message)
