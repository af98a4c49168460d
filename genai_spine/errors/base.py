"""Base of all errors of the service: an ErrorReason with its gRPC code, HTTP status and words."""

import re
from typing import Any, ClassVar

from google.rpc import code_pb2

from genai_spine.v1 import error_reason_pb2 as reasons
from genai_spine.v1 import usage_pb2

PLAIN_FIELD = re.compile(r"[A-Za-z0-9_.$\[\]-]{1,120}")


class SpineError(Exception):
    """internal error; the server log has the cause under this request id"""

    code: ClassVar[int] = code_pb2.INTERNAL
    reason: ClassVar[int] = reasons.ERROR_REASON_INTERNAL_ERROR
    http_status: ClassVar[int] = 500
    rest_code: ClassVar[str] = "INTERNAL_ERROR"
    openai_status: ClassVar[int | None] = None  # None: as http_status
    openai_code: ClassVar[str | None] = None  # None: as rest_code
    retryable: ClassVar[bool] = False  # another attempt can help
    shows_reason: ClassVar[bool] = False  # in its metadata: others have the same rest_code
    may_quote: ClassVar[bool] = False  # the message may repeat what a caller or a model said
    usage: usage_pb2.Usage | None = None  # that the upstream told of an answer that cannot be used

    def __init__(self, *, retry_after_s: float | None = None, **metadata: Any) -> None:
        self.are_attempts_spent = False  # this service has made its attempts: a client's would multiply them
        self.metadata = {key: str(value) for key, value in metadata.items() if value is not None}
        if self.shows_reason:
            self.metadata["reason"] = self.reason_name
        self.retry_after_s = retry_after_s
        super().__init__(" ".join((self.__doc__ or "").split()).format_map(metadata))

    @classmethod
    def reason_of(cls) -> str:
        """Reason of the class without the enum's prefix, as callers see it."""
        return reasons.ErrorReason.Name(cls.reason).removeprefix("ERROR_REASON_")

    @property
    def reason_name(self) -> str:
        return self.reason_of()

    @property
    def connection_lost(self) -> bool:
        """Whether the connection broke after the request was sent: the provider may have billed it."""
        return self.metadata.get("provider_code") == "connection_lost"

    @property
    def logged(self) -> str:
        """Message for logs and ledger, which hold no content: where its words may repeat what a caller or a
        model said, only the fields that they are about.
        """
        if not self.may_quote:
            return str(self)
        fields = [field if PLAIN_FIELD.fullmatch(field) else "a field" for field, _ in self.violations]
        return "; ".join(fields[:8]) or self.reason_name

    def blames(self, field: str) -> bool:
        """Whether the error names the field, by itself or in the provider's words."""
        return field in self.metadata.get("field", "") + self.metadata.get("provider_message", "")

    @property
    def violations(self) -> list[tuple[str, str]]:
        """Pairs of field and problem; empty when no field is to blame."""
        field = self.metadata.get("field")
        return [(field, self.metadata.get("problem", str(self)))] if field else []
