from genai_spine.v1 import access_rules_pb2 as _access_rules_pb2
from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from genai_spine.v1 import usage_pb2 as _usage_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import httpbody_pb2 as _httpbody_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PriceUnit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRICE_UNIT_UNSPECIFIED: _ClassVar[PriceUnit]
    PRICE_UNIT_INPUT_TOKENS: _ClassVar[PriceUnit]
    PRICE_UNIT_CACHE_READ_TOKENS: _ClassVar[PriceUnit]
    PRICE_UNIT_CACHE_WRITE_5M_TOKENS: _ClassVar[PriceUnit]
    PRICE_UNIT_CACHE_WRITE_1H_TOKENS: _ClassVar[PriceUnit]
    PRICE_UNIT_AUDIO_INPUT_TOKENS: _ClassVar[PriceUnit]
    PRICE_UNIT_IMAGE_INPUT_TOKENS: _ClassVar[PriceUnit]
    PRICE_UNIT_OUTPUT_TOKENS: _ClassVar[PriceUnit]
    PRICE_UNIT_REASONING_TOKENS: _ClassVar[PriceUnit]
    PRICE_UNIT_AUDIO_OUTPUT_TOKENS: _ClassVar[PriceUnit]
    PRICE_UNIT_AUDIO_SECOND: _ClassVar[PriceUnit]
    PRICE_UNIT_CHARACTERS: _ClassVar[PriceUnit]
    PRICE_UNIT_IMAGE: _ClassVar[PriceUnit]
    PRICE_UNIT_REQUEST: _ClassVar[PriceUnit]
    PRICE_UNIT_SERVER_TOOL: _ClassVar[PriceUnit]
PRICE_UNIT_UNSPECIFIED: PriceUnit
PRICE_UNIT_INPUT_TOKENS: PriceUnit
PRICE_UNIT_CACHE_READ_TOKENS: PriceUnit
PRICE_UNIT_CACHE_WRITE_5M_TOKENS: PriceUnit
PRICE_UNIT_CACHE_WRITE_1H_TOKENS: PriceUnit
PRICE_UNIT_AUDIO_INPUT_TOKENS: PriceUnit
PRICE_UNIT_IMAGE_INPUT_TOKENS: PriceUnit
PRICE_UNIT_OUTPUT_TOKENS: PriceUnit
PRICE_UNIT_REASONING_TOKENS: PriceUnit
PRICE_UNIT_AUDIO_OUTPUT_TOKENS: PriceUnit
PRICE_UNIT_AUDIO_SECOND: PriceUnit
PRICE_UNIT_CHARACTERS: PriceUnit
PRICE_UNIT_IMAGE: PriceUnit
PRICE_UNIT_REQUEST: PriceUnit
PRICE_UNIT_SERVER_TOOL: PriceUnit

class ListPricesRequest(_message.Message):
    __slots__ = ("provider", "page_size", "page_token")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    provider: str
    page_size: int
    page_token: str
    def __init__(self, provider: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPricesResponse(_message.Message):
    __slots__ = ("prices", "next_page_token", "price_book")
    PRICES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    PRICE_BOOK_FIELD_NUMBER: _ClassVar[int]
    prices: _containers.RepeatedCompositeFieldContainer[ModelPrice]
    next_page_token: str
    price_book: str
    def __init__(self, prices: _Optional[_Iterable[_Union[ModelPrice, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., price_book: _Optional[str] = ...) -> None: ...

class ListPricesArrayRequest(_message.Message):
    __slots__ = ("provider", "page_size", "page_token")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    provider: str
    page_size: int
    page_token: str
    def __init__(self, provider: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class GetPriceRequest(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class UnitPrice(_message.Message):
    __slots__ = ("unit", "usd", "above_input_tokens", "server_tool")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    USD_FIELD_NUMBER: _ClassVar[int]
    ABOVE_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SERVER_TOOL_FIELD_NUMBER: _ClassVar[int]
    unit: PriceUnit
    usd: float
    above_input_tokens: int
    server_tool: str
    def __init__(self, unit: _Optional[_Union[PriceUnit, str]] = ..., usd: _Optional[float] = ..., above_input_tokens: _Optional[int] = ..., server_tool: _Optional[str] = ...) -> None: ...

class ModelPrice(_message.Message):
    __slots__ = ("model", "name", "provider", "input_cost_per_1m_tokens", "output_cost_per_1m_tokens", "input_cost_per_1k", "output_cost_per_1k", "input_price", "output_price", "is_free", "source", "units", "valid_from")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    INPUT_COST_PER_1M_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_COST_PER_1M_TOKENS_FIELD_NUMBER: _ClassVar[int]
    INPUT_COST_PER_1K_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_COST_PER_1K_FIELD_NUMBER: _ClassVar[int]
    INPUT_PRICE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_PRICE_FIELD_NUMBER: _ClassVar[int]
    IS_FREE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    model: str
    name: str
    provider: str
    input_cost_per_1m_tokens: float
    output_cost_per_1m_tokens: float
    input_cost_per_1k: float
    output_cost_per_1k: float
    input_price: float
    output_price: float
    is_free: bool
    source: str
    units: _containers.RepeatedCompositeFieldContainer[UnitPrice]
    valid_from: str
    def __init__(self, model: _Optional[str] = ..., name: _Optional[str] = ..., provider: _Optional[str] = ..., input_cost_per_1m_tokens: _Optional[float] = ..., output_cost_per_1m_tokens: _Optional[float] = ..., input_cost_per_1k: _Optional[float] = ..., output_cost_per_1k: _Optional[float] = ..., input_price: _Optional[float] = ..., output_price: _Optional[float] = ..., is_free: _Optional[bool] = ..., source: _Optional[str] = ..., units: _Optional[_Iterable[_Union[UnitPrice, _Mapping]]] = ..., valid_from: _Optional[str] = ...) -> None: ...

class EstimateCostRequest(_message.Message):
    __slots__ = ("model", "estimated_input_tokens", "estimated_output_tokens", "input_tokens", "output_tokens", "cached_input_tokens")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    model: str
    estimated_input_tokens: int
    estimated_output_tokens: int
    input_tokens: int
    output_tokens: int
    cached_input_tokens: int
    def __init__(self, model: _Optional[str] = ..., estimated_input_tokens: _Optional[int] = ..., estimated_output_tokens: _Optional[int] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., cached_input_tokens: _Optional[int] = ...) -> None: ...

class EstimateCostResponse(_message.Message):
    __slots__ = ("model", "estimated_input_tokens", "estimated_output_tokens", "estimated_cost_usd", "estimated_cost", "total_cost", "input_cost_per_1m", "output_cost_per_1m", "is_free", "price_known", "estimated_cost_ticks", "price_book", "cost")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_COST_USD_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_COST_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COST_FIELD_NUMBER: _ClassVar[int]
    INPUT_COST_PER_1M_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_COST_PER_1M_FIELD_NUMBER: _ClassVar[int]
    IS_FREE_FIELD_NUMBER: _ClassVar[int]
    PRICE_KNOWN_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_COST_TICKS_FIELD_NUMBER: _ClassVar[int]
    PRICE_BOOK_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    model: str
    estimated_input_tokens: int
    estimated_output_tokens: int
    estimated_cost_usd: float
    estimated_cost: float
    total_cost: float
    input_cost_per_1m: float
    output_cost_per_1m: float
    is_free: bool
    price_known: bool
    estimated_cost_ticks: int
    price_book: str
    cost: _usage_pb2.Cost
    def __init__(self, model: _Optional[str] = ..., estimated_input_tokens: _Optional[int] = ..., estimated_output_tokens: _Optional[int] = ..., estimated_cost_usd: _Optional[float] = ..., estimated_cost: _Optional[float] = ..., total_cost: _Optional[float] = ..., input_cost_per_1m: _Optional[float] = ..., output_cost_per_1m: _Optional[float] = ..., is_free: _Optional[bool] = ..., price_known: _Optional[bool] = ..., estimated_cost_ticks: _Optional[int] = ..., price_book: _Optional[str] = ..., cost: _Optional[_Union[_usage_pb2.Cost, _Mapping]] = ...) -> None: ...
