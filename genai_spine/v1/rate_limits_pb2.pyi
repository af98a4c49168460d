from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class RateLimits(_message.Message):
    __slots__ = ("tier", "requests_per_minute", "tokens_per_minute", "concurrent_calls")
    TIER_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    CONCURRENT_CALLS_FIELD_NUMBER: _ClassVar[int]
    tier: str
    requests_per_minute: int
    tokens_per_minute: int
    concurrent_calls: int
    def __init__(self, tier: _Optional[str] = ..., requests_per_minute: _Optional[int] = ..., tokens_per_minute: _Optional[int] = ..., concurrent_calls: _Optional[int] = ...) -> None: ...
