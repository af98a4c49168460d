"""What Amazon's HTTP APIs have of their own: signed requests, and streams of binary events.

Signature Version 4: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html; event streams:
https://smithy.io/2.0/aws/amazon-eventstream.html, both 2026-11-28. botocore is imported when it is first
needed; what signing needs of it takes 0.15 s, and is imported in a thread.
"""

import asyncio
import struct
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from genai_spine import errors
from genai_spine.call import Call
from genai_spine.providers.base import Endpoint

JSON_TYPE = "application/json"
KEPT = "-_.~"  # characters that a path segment keeps; the service signs what it gets, so all others go as %XX


def segment(name: str) -> str:
    """A name as one segment of a path: `amazon.nova-lite-v1:0` is `amazon.nova-lite-v1%3A0`."""
    return quote(name, safe=KEPT)


class EventStream:
    """Events as JSON: {"<event type>": payload}, as boto3 shows them.

    An exception within the stream is {"exception": {"name", "message"}}, and bytes that are no event are
    {"broken": why}; both come in their place after the events before them.
    """

    def __init__(self) -> None:
        from botocore.eventstream import EventStreamBuffer

        self._buffer = EventStreamBuffer()

    def feed(self, data: bytes) -> list[bytes]:
        from botocore.eventstream import ParserError

        self._buffer.add_data(data)
        payloads = []
        try:
            for message in self._buffer:
                payloads.append(_payload(message.headers, message.payload))
        # botocore checks both checksums; the others are headers that are wrong all the same.
        except (ParserError, KeyError, IndexError, struct.error, UnicodeDecodeError) as error:
            payloads.append(msgspec.json.encode({"broken": f"{type(error).__name__}: {error}"}))
        return payloads

    def rest(self) -> list[bytes]:
        return []  # half an event says nothing; the reader knows from the events whether one is missing


def _payload(headers: dict[str, Any], payload: bytes) -> bytes:
    kind = headers.get(":message-type")
    if kind == "event":
        return b'{"%b":%b}' % (str(headers.get(":event-type")).encode(), payload or b"{}")
    # An exception is one that the API describes, an error one that it does not.
    name = headers.get(":exception-type") or headers.get(":error-code") or str(kind)
    message = headers.get(":error-message") or payload.decode("utf-8", "replace")
    if kind == "exception":
        message = fault_message(payload) or message
    return msgspec.json.encode({"exception": {"name": name, "message": message}})


class _Fault(msgspec.Struct):
    message: str | None = None
    Message: str | None = None  # of the door in front of the service
    type: str | None = msgspec.field(default=None, name="__type")


_FAULT = msgspec.json.Decoder(_Fault)


def fault_message(body: bytes) -> str:
    """What an error body says; "" when it is none."""
    return _fault(body)[1]


def fault(headers: dict[str, str], body: bytes) -> tuple[str, str]:
    """Name and message of an error answer, either of which may be ""."""
    name, message = _fault(body)
    # "ThrottlingException:http://internal.amazon.com/..." or "com.amazon.coral.service#AccessDenied..."
    name = headers.get("x-amzn-errortype", "").partition(":")[0] or name
    return name.rpartition("#")[2], message


def _fault(body: bytes) -> tuple[str, str]:
    try:
        found = _FAULT.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return "", ""
    return found.type or "", found.message or found.Message or ""


class Signer:
    """Signs requests with the credentials that botocore finds: environment, profile, container, instance.

    Errors: ProviderAuthentication (none found, or not to be had), ProviderUnavailable (who gives them
    does not answer), ProviderTimeout, DeadlineExceeded.
    """

    def __init__(self, endpoint: Endpoint, service: str, region: str) -> None:
        self._endpoint, self._service, self._region = endpoint, service, region
        self._credentials: Any = None
        self._frozen: Any = None
        self._loading: asyncio.Task[None] | None = None

    async def headers(self, request: tuple[str, str], body: bytes, call: Call) -> dict[str, str]:
        """Headers that sign the request, names in lower case. request: method and URL, as they are sent."""
        if self._frozen is None or self._stale():
            await self._load(call)
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        method, url = request
        signed = {"host": urlsplit(url).netloc.rpartition("@")[2], "content-type": JSON_TYPE}
        asked = AWSRequest(method, url, headers=signed, data=body)
        SigV4Auth(self._frozen, self._service, self._region).add_auth(asked)
        return {name.lower(): value for name, value in asked.headers.items() if name != "host"}

    def forget(self) -> None:
        """The service says that they have expired; the next call looks for others."""
        self._credentials = self._frozen = None

    def _stale(self) -> bool:
        needed = getattr(self._credentials, "refresh_needed", None)  # keys that never expire have none
        return needed is not None and bool(needed())

    async def _load(self, call: Call) -> None:
        """Waits for one load that all callers share, and that goes on when this one leaves."""
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
        from botocore.session import Session  # which imports all that signing needs as well

        try:
            credentials = self._credentials or Session().get_credentials()
            frozen = credentials.get_frozen_credentials() if credentials else None
        except (aws.ConnectionError, aws.HTTPClientError, aws.MetadataRetrievalError) as error:
            raise self._failure(errors.ProviderUnavailable, str(error)) from error
        except (aws.BotoCoreError, aws.ClientError) as error:
            raise self._failure(errors.ProviderAuthentication, str(error)) from error
        if frozen is None:
            nothing = "no AWS credentials in the environment, in a profile, or from container or instance"
            raise self._failure(errors.ProviderAuthentication, nothing)
        self._credentials, self._frozen = credentials, frozen

    def _failure(self, kind: type[errors.ProviderFailure], message: str) -> errors.ProviderFailure:
        return kind(provider=self._endpoint.name, provider_code="credentials", provider_message=message)
