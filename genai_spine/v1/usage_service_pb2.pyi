from genai_spine.v1 import access_rules_pb2 as _access_rules_pb2
from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import httpbody_pb2 as _httpbody_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UsageExportFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    USAGE_EXPORT_FORMAT_UNSPECIFIED: _ClassVar[UsageExportFormat]
    USAGE_EXPORT_FORMAT_CSV: _ClassVar[UsageExportFormat]
    USAGE_EXPORT_FORMAT_FOCUS: _ClassVar[UsageExportFormat]
USAGE_EXPORT_FORMAT_UNSPECIFIED: UsageExportFormat
USAGE_EXPORT_FORMAT_CSV: UsageExportFormat
USAGE_EXPORT_FORMAT_FOCUS: UsageExportFormat

class GetUsageRequest(_message.Message):
    __slots__ = ("start_date", "end_date", "group_by", "max_groups", "provider", "model", "capability", "prompt_id", "end_user", "project_id", "api_key_id", "operation", "run_id", "correlation_id", "session_id", "labels")
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    END_DATE_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    MAX_GROUPS_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    END_USER_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    API_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    start_date: str
    end_date: str
    group_by: str
    max_groups: int
    provider: str
    model: str
    capability: str
    prompt_id: str
    end_user: str
    project_id: str
    api_key_id: str
    operation: str
    run_id: str
    correlation_id: str
    session_id: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, start_date: _Optional[str] = ..., end_date: _Optional[str] = ..., group_by: _Optional[str] = ..., max_groups: _Optional[int] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., capability: _Optional[str] = ..., prompt_id: _Optional[str] = ..., end_user: _Optional[str] = ..., project_id: _Optional[str] = ..., api_key_id: _Optional[str] = ..., operation: _Optional[str] = ..., run_id: _Optional[str] = ..., correlation_id: _Optional[str] = ..., session_id: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ...) -> None: ...

class UsageTotals(_message.Message):
    __slots__ = ("request_count", "succeeded_count", "failed_count", "unpriced_count", "input_token_count", "output_token_count", "total_token_count", "uncached_input_token_count", "cache_read_token_count", "cache_write_5m_token_count", "cache_write_1h_token_count", "reasoning_token_count", "cost_ticks", "cost_estimated_ticks", "cost_discarded_ticks", "cost_usd", "avg_latency_ms", "requests", "input_tokens", "output_tokens", "tokens", "cost")
    REQUEST_COUNT_FIELD_NUMBER: _ClassVar[int]
    SUCCEEDED_COUNT_FIELD_NUMBER: _ClassVar[int]
    FAILED_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNPRICED_COUNT_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    UNCACHED_INPUT_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    CACHE_READ_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_5M_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    CACHE_WRITE_1H_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    REASONING_TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    COST_TICKS_FIELD_NUMBER: _ClassVar[int]
    COST_ESTIMATED_TICKS_FIELD_NUMBER: _ClassVar[int]
    COST_DISCARDED_TICKS_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    AVG_LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    request_count: int
    succeeded_count: int
    failed_count: int
    unpriced_count: int
    input_token_count: int
    output_token_count: int
    total_token_count: int
    uncached_input_token_count: int
    cache_read_token_count: int
    cache_write_5m_token_count: int
    cache_write_1h_token_count: int
    reasoning_token_count: int
    cost_ticks: int
    cost_estimated_ticks: int
    cost_discarded_ticks: int
    cost_usd: float
    avg_latency_ms: float
    requests: float
    input_tokens: float
    output_tokens: float
    tokens: float
    cost: float
    def __init__(self, request_count: _Optional[int] = ..., succeeded_count: _Optional[int] = ..., failed_count: _Optional[int] = ..., unpriced_count: _Optional[int] = ..., input_token_count: _Optional[int] = ..., output_token_count: _Optional[int] = ..., total_token_count: _Optional[int] = ..., uncached_input_token_count: _Optional[int] = ..., cache_read_token_count: _Optional[int] = ..., cache_write_5m_token_count: _Optional[int] = ..., cache_write_1h_token_count: _Optional[int] = ..., reasoning_token_count: _Optional[int] = ..., cost_ticks: _Optional[int] = ..., cost_estimated_ticks: _Optional[int] = ..., cost_discarded_ticks: _Optional[int] = ..., cost_usd: _Optional[float] = ..., avg_latency_ms: _Optional[float] = ..., requests: _Optional[float] = ..., input_tokens: _Optional[float] = ..., output_tokens: _Optional[float] = ..., tokens: _Optional[float] = ..., cost: _Optional[float] = ...) -> None: ...

class UsageDay(_message.Message):
    __slots__ = ("date", "total", "requests", "input_tokens", "output_tokens", "tokens", "cost", "cost_usd")
    DATE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    date: str
    total: UsageTotals
    requests: float
    input_tokens: float
    output_tokens: float
    tokens: float
    cost: float
    cost_usd: float
    def __init__(self, date: _Optional[str] = ..., total: _Optional[_Union[UsageTotals, _Mapping]] = ..., requests: _Optional[float] = ..., input_tokens: _Optional[float] = ..., output_tokens: _Optional[float] = ..., tokens: _Optional[float] = ..., cost: _Optional[float] = ..., cost_usd: _Optional[float] = ...) -> None: ...

class UsageGroup(_message.Message):
    __slots__ = ("key", "total")
    KEY_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    key: str
    total: UsageTotals
    def __init__(self, key: _Optional[str] = ..., total: _Optional[_Union[UsageTotals, _Mapping]] = ...) -> None: ...

class GetUsageResponse(_message.Message):
    __slots__ = ("period_start", "period_end", "total", "by_provider", "by_model", "daily_breakdown", "groups", "other_groups", "total_requests", "successful_requests", "failed_requests", "total_input_tokens", "total_output_tokens", "total_tokens", "total_cost_usd", "total_cost", "cost_estimated_ticks", "avg_latency_ms")
    class ByProviderEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: UsageTotals
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[UsageTotals, _Mapping]] = ...) -> None: ...
    class ByModelEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: UsageTotals
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[UsageTotals, _Mapping]] = ...) -> None: ...
    PERIOD_START_FIELD_NUMBER: _ClassVar[int]
    PERIOD_END_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    BY_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    BY_MODEL_FIELD_NUMBER: _ClassVar[int]
    DAILY_BREAKDOWN_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    OTHER_GROUPS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    SUCCESSFUL_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    FAILED_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COST_USD_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COST_FIELD_NUMBER: _ClassVar[int]
    COST_ESTIMATED_TICKS_FIELD_NUMBER: _ClassVar[int]
    AVG_LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    period_start: str
    period_end: str
    total: UsageTotals
    by_provider: _containers.MessageMap[str, UsageTotals]
    by_model: _containers.MessageMap[str, UsageTotals]
    daily_breakdown: _containers.RepeatedCompositeFieldContainer[UsageDay]
    groups: _containers.RepeatedCompositeFieldContainer[UsageGroup]
    other_groups: UsageTotals
    total_requests: float
    successful_requests: float
    failed_requests: float
    total_input_tokens: float
    total_output_tokens: float
    total_tokens: float
    total_cost_usd: float
    total_cost: float
    cost_estimated_ticks: int
    avg_latency_ms: float
    def __init__(self, period_start: _Optional[str] = ..., period_end: _Optional[str] = ..., total: _Optional[_Union[UsageTotals, _Mapping]] = ..., by_provider: _Optional[_Mapping[str, UsageTotals]] = ..., by_model: _Optional[_Mapping[str, UsageTotals]] = ..., daily_breakdown: _Optional[_Iterable[_Union[UsageDay, _Mapping]]] = ..., groups: _Optional[_Iterable[_Union[UsageGroup, _Mapping]]] = ..., other_groups: _Optional[_Union[UsageTotals, _Mapping]] = ..., total_requests: _Optional[float] = ..., successful_requests: _Optional[float] = ..., failed_requests: _Optional[float] = ..., total_input_tokens: _Optional[float] = ..., total_output_tokens: _Optional[float] = ..., total_tokens: _Optional[float] = ..., total_cost_usd: _Optional[float] = ..., total_cost: _Optional[float] = ..., cost_estimated_ticks: _Optional[int] = ..., avg_latency_ms: _Optional[float] = ...) -> None: ...

class GetCostsRequest(_message.Message):
    __slots__ = ("start_date", "end_date")
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    END_DATE_FIELD_NUMBER: _ClassVar[int]
    start_date: str
    end_date: str
    def __init__(self, start_date: _Optional[str] = ..., end_date: _Optional[str] = ...) -> None: ...

class GetCostsResponse(_message.Message):
    __slots__ = ("daily", "total_cost_ticks", "cost_estimated_ticks")
    DAILY_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COST_TICKS_FIELD_NUMBER: _ClassVar[int]
    COST_ESTIMATED_TICKS_FIELD_NUMBER: _ClassVar[int]
    daily: _containers.RepeatedCompositeFieldContainer[DailyCost]
    total_cost_ticks: int
    cost_estimated_ticks: int
    def __init__(self, daily: _Optional[_Iterable[_Union[DailyCost, _Mapping]]] = ..., total_cost_ticks: _Optional[int] = ..., cost_estimated_ticks: _Optional[int] = ...) -> None: ...

class DailyCost(_message.Message):
    __slots__ = ("date", "cost_usd", "requests", "cost_ticks", "cost_estimated_ticks")
    DATE_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    COST_TICKS_FIELD_NUMBER: _ClassVar[int]
    COST_ESTIMATED_TICKS_FIELD_NUMBER: _ClassVar[int]
    date: str
    cost_usd: float
    requests: int
    cost_ticks: int
    cost_estimated_ticks: int
    def __init__(self, date: _Optional[str] = ..., cost_usd: _Optional[float] = ..., requests: _Optional[int] = ..., cost_ticks: _Optional[int] = ..., cost_estimated_ticks: _Optional[int] = ...) -> None: ...

class GetSpendSummaryRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetSpendSummaryResponse(_message.Message):
    __slots__ = ("today", "month", "last_30_days")
    TODAY_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    LAST_30_DAYS_FIELD_NUMBER: _ClassVar[int]
    today: UsageTotals
    month: UsageTotals
    last_30_days: UsageTotals
    def __init__(self, today: _Optional[_Union[UsageTotals, _Mapping]] = ..., month: _Optional[_Union[UsageTotals, _Mapping]] = ..., last_30_days: _Optional[_Union[UsageTotals, _Mapping]] = ...) -> None: ...

class ExportUsageRequest(_message.Message):
    __slots__ = ("start_date", "end_date", "format", "provider", "model", "capability", "prompt_id", "end_user", "project_id", "api_key_id", "operation", "labels")
    START_DATE_FIELD_NUMBER: _ClassVar[int]
    END_DATE_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    END_USER_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    API_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    start_date: str
    end_date: str
    format: UsageExportFormat
    provider: str
    model: str
    capability: str
    prompt_id: str
    end_user: str
    project_id: str
    api_key_id: str
    operation: str
    labels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, start_date: _Optional[str] = ..., end_date: _Optional[str] = ..., format: _Optional[_Union[UsageExportFormat, str]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., capability: _Optional[str] = ..., prompt_id: _Optional[str] = ..., end_user: _Optional[str] = ..., project_id: _Optional[str] = ..., api_key_id: _Optional[str] = ..., operation: _Optional[str] = ..., labels: _Optional[_Iterable[str]] = ...) -> None: ...
