from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Provenance(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROVENANCE_UNSPECIFIED: _ClassVar[Provenance]
    PROVENANCE_PROVIDER_REPORTED: _ClassVar[Provenance]
    PROVENANCE_PARTIAL_STREAM: _ClassVar[Provenance]
    PROVENANCE_ESTIMATED: _ClassVar[Provenance]
    PROVENANCE_UNKNOWN: _ClassVar[Provenance]
PROVENANCE_UNSPECIFIED: Provenance
PROVENANCE_PROVIDER_REPORTED: Provenance
PROVENANCE_PARTIAL_STREAM: Provenance
PROVENANCE_ESTIMATED: Provenance
PROVENANCE_UNKNOWN: Provenance

class Usage(_message.Message):
    __slots__ = ("input_tokens", "output_tokens", "total_tokens", "uncached_input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "audio_input_tokens", "image_input_tokens", "visible_output_tokens", "reasoning_tokens", "audio_output_tokens", "input_provenance", "output_provenance", "accepted_prediction_tokens", "rejected_prediction_tokens", "reported_json")
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    UNCACHED_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_READ_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_5M_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_1H_TOKENS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    IMAGE_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    VISIBLE_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASONING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    INPUT_PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_PREDICTION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REJECTED_PREDICTION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    REPORTED_JSON_FIELD_NUMBER: _ClassVar[int]
    input_tokens: int
    output_tokens: int
    total_tokens: int
    uncached_input_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    audio_input_tokens: int
    image_input_tokens: int
    visible_output_tokens: int
    reasoning_tokens: int
    audio_output_tokens: int
    input_provenance: Provenance
    output_provenance: Provenance
    accepted_prediction_tokens: int
    rejected_prediction_tokens: int
    reported_json: str
    def __init__(self, input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., total_tokens: _Optional[int] = ..., uncached_input_tokens: _Optional[int] = ..., cache_read_tokens: _Optional[int] = ..., cache_write_5m_tokens: _Optional[int] = ..., cache_write_1h_tokens: _Optional[int] = ..., audio_input_tokens: _Optional[int] = ..., image_input_tokens: _Optional[int] = ..., visible_output_tokens: _Optional[int] = ..., reasoning_tokens: _Optional[int] = ..., audio_output_tokens: _Optional[int] = ..., input_provenance: _Optional[_Union[Provenance, str]] = ..., output_provenance: _Optional[_Union[Provenance, str]] = ..., accepted_prediction_tokens: _Optional[int] = ..., rejected_prediction_tokens: _Optional[int] = ..., reported_json: _Optional[str] = ...) -> None: ...

class Cost(_message.Message):
    __slots__ = ("cost_usd", "cost_ticks", "price_known", "is_free", "price_book")
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    COST_TICKS_FIELD_NUMBER: _ClassVar[int]
    PRICE_KNOWN_FIELD_NUMBER: _ClassVar[int]
    IS_FREE_FIELD_NUMBER: _ClassVar[int]
    PRICE_BOOK_FIELD_NUMBER: _ClassVar[int]
    cost_usd: float
    cost_ticks: int
    price_known: bool
    is_free: bool
    price_book: str
    def __init__(self, cost_usd: _Optional[float] = ..., cost_ticks: _Optional[int] = ..., price_known: _Optional[bool] = ..., is_free: _Optional[bool] = ..., price_book: _Optional[str] = ...) -> None: ...

class UnitUsage(_message.Message):
    __slots__ = ("audio_ms", "characters", "images", "server_tools")
    class ServerToolsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    AUDIO_MS_FIELD_NUMBER: _ClassVar[int]
    CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    SERVER_TOOLS_FIELD_NUMBER: _ClassVar[int]
    audio_ms: int
    characters: int
    images: int
    server_tools: _containers.ScalarMap[str, int]
    def __init__(self, audio_ms: _Optional[int] = ..., characters: _Optional[int] = ..., images: _Optional[int] = ..., server_tools: _Optional[_Mapping[str, int]] = ...) -> None: ...
