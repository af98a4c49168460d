from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Guardrails(_message.Message):
    __slots__ = ("pii", "pii_types", "pii_patterns", "max_input_chars", "max_output_chars", "denied_topics", "block_injections", "fail_open", "webhook_url", "webhook_timeout_ms")
    class PiiPatternsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class DeniedTopicsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PII_FIELD_NUMBER: _ClassVar[int]
    PII_TYPES_FIELD_NUMBER: _ClassVar[int]
    PII_PATTERNS_FIELD_NUMBER: _ClassVar[int]
    MAX_INPUT_CHARS_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_CHARS_FIELD_NUMBER: _ClassVar[int]
    DENIED_TOPICS_FIELD_NUMBER: _ClassVar[int]
    BLOCK_INJECTIONS_FIELD_NUMBER: _ClassVar[int]
    FAIL_OPEN_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_URL_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    pii: str
    pii_types: _containers.RepeatedScalarFieldContainer[str]
    pii_patterns: _containers.ScalarMap[str, str]
    max_input_chars: int
    max_output_chars: int
    denied_topics: _containers.ScalarMap[str, str]
    block_injections: bool
    fail_open: bool
    webhook_url: str
    webhook_timeout_ms: int
    def __init__(self, pii: _Optional[str] = ..., pii_types: _Optional[_Iterable[str]] = ..., pii_patterns: _Optional[_Mapping[str, str]] = ..., max_input_chars: _Optional[int] = ..., max_output_chars: _Optional[int] = ..., denied_topics: _Optional[_Mapping[str, str]] = ..., block_injections: _Optional[bool] = ..., fail_open: _Optional[bool] = ..., webhook_url: _Optional[str] = ..., webhook_timeout_ms: _Optional[int] = ...) -> None: ...
