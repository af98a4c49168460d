from genai_spine.v1 import access_rules_pb2 as _access_rules_pb2
from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from genai_spine.v1 import routing_pb2 as _routing_pb2
from genai_spine.v1 import stream_error_pb2 as _stream_error_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Capability(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CAPABILITY_UNSPECIFIED: _ClassVar[Capability]
    CAPABILITY_TRANSCRIPTION: _ClassVar[Capability]
    CAPABILITY_TRANSCRIPTION_DIARIZATION: _ClassVar[Capability]
    CAPABILITY_TRANSCRIPTION_DUAL_CHANNEL: _ClassVar[Capability]
    CAPABILITY_TRANSCRIPTION_REALTIME: _ClassVar[Capability]
    CAPABILITY_LLM_GENERATION: _ClassVar[Capability]
    CAPABILITY_LLM_STRUCTURED: _ClassVar[Capability]
    CAPABILITY_LLM_STREAMING: _ClassVar[Capability]
    CAPABILITY_LLM_VISION: _ClassVar[Capability]
    CAPABILITY_LLM_FUNCTION_CALLING: _ClassVar[Capability]
    CAPABILITY_SUMMARIZATION: _ClassVar[Capability]
    CAPABILITY_SENTIMENT_ANALYSIS: _ClassVar[Capability]
    CAPABILITY_COACHING_ANALYSIS: _ClassVar[Capability]
    CAPABILITY_PII_DETECTION: _ClassVar[Capability]
    CAPABILITY_PII_REDACTION: _ClassVar[Capability]
    CAPABILITY_EMBEDDING: _ClassVar[Capability]
    CAPABILITY_EMBEDDING_MULTIMODAL: _ClassVar[Capability]

class ProviderType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROVIDER_TYPE_UNSPECIFIED: _ClassVar[ProviderType]
    PROVIDER_TYPE_EXTERNAL: _ClassVar[ProviderType]
    PROVIDER_TYPE_INTERNAL: _ClassVar[ProviderType]
    PROVIDER_TYPE_HYBRID: _ClassVar[ProviderType]

class CostUnit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COST_UNIT_UNSPECIFIED: _ClassVar[CostUnit]
    COST_UNIT_PER_1K_TOKENS: _ClassVar[CostUnit]
    COST_UNIT_PER_1M_TOKENS: _ClassVar[CostUnit]
    COST_UNIT_PER_MINUTE: _ClassVar[CostUnit]
    COST_UNIT_PER_SECOND: _ClassVar[CostUnit]
    COST_UNIT_PER_CHARACTER: _ClassVar[CostUnit]
    COST_UNIT_PER_REQUEST: _ClassVar[CostUnit]
    COST_UNIT_FREE: _ClassVar[CostUnit]

class CircuitState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CIRCUIT_STATE_UNSPECIFIED: _ClassVar[CircuitState]
    CIRCUIT_STATE_CLOSED: _ClassVar[CircuitState]
    CIRCUIT_STATE_OPEN: _ClassVar[CircuitState]
    CIRCUIT_STATE_HALF_OPEN: _ClassVar[CircuitState]
CAPABILITY_UNSPECIFIED: Capability
CAPABILITY_TRANSCRIPTION: Capability
CAPABILITY_TRANSCRIPTION_DIARIZATION: Capability
CAPABILITY_TRANSCRIPTION_DUAL_CHANNEL: Capability
CAPABILITY_TRANSCRIPTION_REALTIME: Capability
CAPABILITY_LLM_GENERATION: Capability
CAPABILITY_LLM_STRUCTURED: Capability
CAPABILITY_LLM_STREAMING: Capability
CAPABILITY_LLM_VISION: Capability
CAPABILITY_LLM_FUNCTION_CALLING: Capability
CAPABILITY_SUMMARIZATION: Capability
CAPABILITY_SENTIMENT_ANALYSIS: Capability
CAPABILITY_COACHING_ANALYSIS: Capability
CAPABILITY_PII_DETECTION: Capability
CAPABILITY_PII_REDACTION: Capability
CAPABILITY_EMBEDDING: Capability
CAPABILITY_EMBEDDING_MULTIMODAL: Capability
PROVIDER_TYPE_UNSPECIFIED: ProviderType
PROVIDER_TYPE_EXTERNAL: ProviderType
PROVIDER_TYPE_INTERNAL: ProviderType
PROVIDER_TYPE_HYBRID: ProviderType
COST_UNIT_UNSPECIFIED: CostUnit
COST_UNIT_PER_1K_TOKENS: CostUnit
COST_UNIT_PER_1M_TOKENS: CostUnit
COST_UNIT_PER_MINUTE: CostUnit
COST_UNIT_PER_SECOND: CostUnit
COST_UNIT_PER_CHARACTER: CostUnit
COST_UNIT_PER_REQUEST: CostUnit
COST_UNIT_FREE: CostUnit
CIRCUIT_STATE_UNSPECIFIED: CircuitState
CIRCUIT_STATE_CLOSED: CircuitState
CIRCUIT_STATE_OPEN: CircuitState
CIRCUIT_STATE_HALF_OPEN: CircuitState

class ProviderCapability(_message.Message):
    __slots__ = ("capability", "provider_name", "cost_per_unit", "cost_unit", "output_cost_per_unit", "quality_tier", "priority", "supported_languages", "supported_formats", "max_input_size", "supports_streaming", "supports_batch", "avg_latency_ms", "rate_limit_rpm", "model_name", "version")
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_NAME_FIELD_NUMBER: _ClassVar[int]
    COST_PER_UNIT_FIELD_NUMBER: _ClassVar[int]
    COST_UNIT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_COST_PER_UNIT_FIELD_NUMBER: _ClassVar[int]
    QUALITY_TIER_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    SUPPORTED_LANGUAGES_FIELD_NUMBER: _ClassVar[int]
    SUPPORTED_FORMATS_FIELD_NUMBER: _ClassVar[int]
    MAX_INPUT_SIZE_FIELD_NUMBER: _ClassVar[int]
    SUPPORTS_STREAMING_FIELD_NUMBER: _ClassVar[int]
    SUPPORTS_BATCH_FIELD_NUMBER: _ClassVar[int]
    AVG_LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    RATE_LIMIT_RPM_FIELD_NUMBER: _ClassVar[int]
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    capability: Capability
    provider_name: str
    cost_per_unit: float
    cost_unit: CostUnit
    output_cost_per_unit: float
    quality_tier: _routing_pb2.QualityTier
    priority: int
    supported_languages: _containers.RepeatedScalarFieldContainer[str]
    supported_formats: _containers.RepeatedScalarFieldContainer[str]
    max_input_size: int
    supports_streaming: bool
    supports_batch: bool
    avg_latency_ms: int
    rate_limit_rpm: int
    model_name: str
    version: str
    def __init__(self, capability: _Optional[_Union[Capability, str]] = ..., provider_name: _Optional[str] = ..., cost_per_unit: _Optional[float] = ..., cost_unit: _Optional[_Union[CostUnit, str]] = ..., output_cost_per_unit: _Optional[float] = ..., quality_tier: _Optional[_Union[_routing_pb2.QualityTier, str]] = ..., priority: _Optional[int] = ..., supported_languages: _Optional[_Iterable[str]] = ..., supported_formats: _Optional[_Iterable[str]] = ..., max_input_size: _Optional[int] = ..., supports_streaming: _Optional[bool] = ..., supports_batch: _Optional[bool] = ..., avg_latency_ms: _Optional[int] = ..., rate_limit_rpm: _Optional[int] = ..., model_name: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class ProviderInfo(_message.Message):
    __slots__ = ("provider_name", "provider_type", "capabilities", "is_available", "requires_api_key", "documentation_url", "title", "circuit_state", "rest_ms", "running", "max_concurrency", "key_count", "residency", "retention_days", "host_count", "live_host_count", "open_models")
    PROVIDER_NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_TYPE_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    IS_AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    REQUIRES_API_KEY_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTATION_URL_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CIRCUIT_STATE_FIELD_NUMBER: _ClassVar[int]
    REST_MS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    KEY_COUNT_FIELD_NUMBER: _ClassVar[int]
    RESIDENCY_FIELD_NUMBER: _ClassVar[int]
    RETENTION_DAYS_FIELD_NUMBER: _ClassVar[int]
    HOST_COUNT_FIELD_NUMBER: _ClassVar[int]
    LIVE_HOST_COUNT_FIELD_NUMBER: _ClassVar[int]
    OPEN_MODELS_FIELD_NUMBER: _ClassVar[int]
    provider_name: str
    provider_type: ProviderType
    capabilities: _containers.RepeatedCompositeFieldContainer[ProviderCapability]
    is_available: bool
    requires_api_key: bool
    documentation_url: str
    title: str
    circuit_state: CircuitState
    rest_ms: int
    running: int
    max_concurrency: int
    key_count: int
    residency: str
    retention_days: int
    host_count: int
    live_host_count: int
    open_models: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, provider_name: _Optional[str] = ..., provider_type: _Optional[_Union[ProviderType, str]] = ..., capabilities: _Optional[_Iterable[_Union[ProviderCapability, _Mapping]]] = ..., is_available: _Optional[bool] = ..., requires_api_key: _Optional[bool] = ..., documentation_url: _Optional[str] = ..., title: _Optional[str] = ..., circuit_state: _Optional[_Union[CircuitState, str]] = ..., rest_ms: _Optional[int] = ..., running: _Optional[int] = ..., max_concurrency: _Optional[int] = ..., key_count: _Optional[int] = ..., residency: _Optional[str] = ..., retention_days: _Optional[int] = ..., host_count: _Optional[int] = ..., live_host_count: _Optional[int] = ..., open_models: _Optional[_Iterable[str]] = ...) -> None: ...

class ListProvidersRequest(_message.Message):
    __slots__ = ("capability", "quality_tier", "page_size", "page_token")
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    QUALITY_TIER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    capability: Capability
    quality_tier: _routing_pb2.QualityTier
    page_size: int
    page_token: str
    def __init__(self, capability: _Optional[_Union[Capability, str]] = ..., quality_tier: _Optional[_Union[_routing_pb2.QualityTier, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListProvidersResponse(_message.Message):
    __slots__ = ("providers", "next_page_token")
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    providers: _containers.RepeatedCompositeFieldContainer[ProviderInfo]
    next_page_token: str
    def __init__(self, providers: _Optional[_Iterable[_Union[ProviderInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PullModelRequest(_message.Message):
    __slots__ = ("provider", "model")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    provider: str
    model: str
    def __init__(self, provider: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class PullModelResponse(_message.Message):
    __slots__ = ("status", "digest", "total_bytes", "completed_bytes", "error")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_BYTES_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    status: str
    digest: str
    total_bytes: int
    completed_bytes: int
    error: _stream_error_pb2.StreamError
    def __init__(self, status: _Optional[str] = ..., digest: _Optional[str] = ..., total_bytes: _Optional[int] = ..., completed_bytes: _Optional[int] = ..., error: _Optional[_Union[_stream_error_pb2.StreamError, _Mapping]] = ...) -> None: ...
