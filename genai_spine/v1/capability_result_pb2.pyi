from genai_spine.v1 import option_warning_pb2 as _option_warning_pb2
from genai_spine.v1 import usage_pb2 as _usage_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CapabilityResult(_message.Message):
    __slots__ = ("usage", "cost", "provider", "model", "request_id", "execution_id", "latency_ms", "context", "warnings")
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    usage: _usage_pb2.Usage
    cost: _usage_pb2.Cost
    provider: str
    model: str
    request_id: str
    execution_id: str
    latency_ms: int
    context: CapabilityContext
    warnings: _containers.RepeatedCompositeFieldContainer[_option_warning_pb2.OptionWarning]
    def __init__(self, usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., cost: _Optional[_Union[_usage_pb2.Cost, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[CapabilityContext, _Mapping]] = ..., warnings: _Optional[_Iterable[_Union[_option_warning_pb2.OptionWarning, _Mapping]]] = ...) -> None: ...

class CapabilityUsage(_message.Message):
    __slots__ = ("input_tokens", "output_tokens", "total_tokens", "cost_usd", "cost_ticks", "price_known", "latency_ms")
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    COST_TICKS_FIELD_NUMBER: _ClassVar[int]
    PRICE_KNOWN_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    input_tokens: int
    output_tokens: int
    total_tokens: int
    cost_usd: float
    cost_ticks: int
    price_known: bool
    latency_ms: int
    def __init__(self, input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., total_tokens: _Optional[int] = ..., cost_usd: _Optional[float] = ..., cost_ticks: _Optional[int] = ..., price_known: _Optional[bool] = ..., latency_ms: _Optional[int] = ...) -> None: ...

class CapabilityContext(_message.Message):
    __slots__ = ("omitted_characters", "pieces", "prompt_slug", "prompt_version", "answer_was_cut")
    OMITTED_CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    PIECES_FIELD_NUMBER: _ClassVar[int]
    PROMPT_SLUG_FIELD_NUMBER: _ClassVar[int]
    PROMPT_VERSION_FIELD_NUMBER: _ClassVar[int]
    ANSWER_WAS_CUT_FIELD_NUMBER: _ClassVar[int]
    omitted_characters: int
    pieces: int
    prompt_slug: str
    prompt_version: int
    answer_was_cut: bool
    def __init__(self, omitted_characters: _Optional[int] = ..., pieces: _Optional[int] = ..., prompt_slug: _Optional[str] = ..., prompt_version: _Optional[int] = ..., answer_was_cut: _Optional[bool] = ...) -> None: ...
