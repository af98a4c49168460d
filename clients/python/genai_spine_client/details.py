"""What the service says of an error beside its code and message: google.rpc.Status, read with betterproto2.

Google's error details are not part of the service's own protos, so the fields needed are declared here.
https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto (2026-11-21)
"""
# ruff: noqa: RUF009  # betterproto2.field() is how its messages are declared

from dataclasses import dataclass, field
from typing import Any, NoReturn

import betterproto2
from grpclib.const import Status
from grpclib.encoding.base import StatusDetailsCodecBase


@dataclass(frozen=True, slots=True)
class Details:
    reason: str = ""  # name of an ErrorReason
    metadata: dict[str, str] = field(default_factory=dict)
    request_id: str = ""
    retry_after_s: float | None = None


class DetailsCodec(StatusDetailsCodecBase):
    """Puts Details into GRPCError.details."""

    def encode(self, status: Status, message: str | None, details: Any) -> NoReturn:
        raise NotImplementedError("a client sends no status")

    def decode(self, status: Status, message: str | None, data: bytes) -> Details:
        found = {packed.type_url.rpartition("/")[2]: packed.value for packed in _Status.parse(data).details}
        info = _ErrorInfo.parse(found.get("google.rpc.ErrorInfo", b""))
        request = _RequestInfo.parse(found.get("google.rpc.RequestInfo", b""))
        retry = found.get("google.rpc.RetryInfo")
        retry_after_s = None if retry is None else _RetryInfo.parse(retry).seconds
        return Details(info.reason, dict(info.metadata), request.request_id, retry_after_s)


@dataclass(eq=False, repr=False)
class _Packed(betterproto2.Message):
    """google.protobuf.Any"""

    type_url: "str" = betterproto2.field(1, betterproto2.TYPE_STRING)
    value: "bytes" = betterproto2.field(2, betterproto2.TYPE_BYTES)


@dataclass(eq=False, repr=False)
class _Status(betterproto2.Message):
    details: "list[_Packed]" = betterproto2.field(3, betterproto2.TYPE_MESSAGE, repeated=True)


@dataclass(eq=False, repr=False)
class _ErrorInfo(betterproto2.Message):
    reason: "str" = betterproto2.field(1, betterproto2.TYPE_STRING)
    metadata: "dict[str, str]" = betterproto2.field(
        3,
        betterproto2.TYPE_MAP,
        map_meta=betterproto2.map_meta(betterproto2.TYPE_STRING, betterproto2.TYPE_STRING),
    )


@dataclass(eq=False, repr=False)
class _RequestInfo(betterproto2.Message):
    request_id: "str" = betterproto2.field(1, betterproto2.TYPE_STRING)


@dataclass(eq=False, repr=False)
class _Duration(betterproto2.Message):
    whole: "int" = betterproto2.field(1, betterproto2.TYPE_INT64)  # seconds
    nanos: "int" = betterproto2.field(2, betterproto2.TYPE_INT32)


@dataclass(eq=False, repr=False)
class _RetryInfo(betterproto2.Message):
    delay: "_Duration | None" = betterproto2.field(1, betterproto2.TYPE_MESSAGE, optional=True)

    @property
    def seconds(self) -> float:
        return self.delay.whole + self.delay.nanos / 1e9 if self.delay else 0.0
