from genai_spine.v1 import access_rules_pb2 as _access_rules_pb2
from genai_spine.v1 import capability_result_pb2 as _capability_result_pb2
from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from genai_spine.v1 import method_rules_pb2 as _method_rules_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LongInput(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LONG_INPUT_UNSPECIFIED: _ClassVar[LongInput]
    LONG_INPUT_REFUSE: _ClassVar[LongInput]
    LONG_INPUT_TRUNCATE: _ClassVar[LongInput]
    LONG_INPUT_MAP_REDUCE: _ClassVar[LongInput]

class UnfoundEntity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNFOUND_ENTITY_UNSPECIFIED: _ClassVar[UnfoundEntity]
    UNFOUND_ENTITY_MARK: _ClassVar[UnfoundEntity]
    UNFOUND_ENTITY_DROP: _ClassVar[UnfoundEntity]
LONG_INPUT_UNSPECIFIED: LongInput
LONG_INPUT_REFUSE: LongInput
LONG_INPUT_TRUNCATE: LongInput
LONG_INPUT_MAP_REDUCE: LongInput
UNFOUND_ENTITY_UNSPECIFIED: UnfoundEntity
UNFOUND_ENTITY_MARK: UnfoundEntity
UNFOUND_ENTITY_DROP: UnfoundEntity

class SummarizeRequest(_message.Message):
    __slots__ = ("content", "text", "max_sentences", "focus", "output_format", "model", "provider", "domain", "options", "long_input", "cost_labels", "max_tokens", "max_words", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MAX_SENTENCES_FIELD_NUMBER: _ClassVar[int]
    FOCUS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FORMAT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    LONG_INPUT_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_WORDS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    content: str
    text: str
    max_sentences: int
    focus: str
    output_format: str
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    long_input: LongInput
    cost_labels: _containers.ScalarMap[str, str]
    max_tokens: int
    max_words: int
    idempotency_key: str
    def __init__(self, content: _Optional[str] = ..., text: _Optional[str] = ..., max_sentences: _Optional[int] = ..., focus: _Optional[str] = ..., output_format: _Optional[str] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., long_input: _Optional[_Union[LongInput, str]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., max_tokens: _Optional[int] = ..., max_words: _Optional[int] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class SummarizeResponse(_message.Message):
    __slots__ = ("summary", "key_points", "word_count", "compression_ratio", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    KEY_POINTS_FIELD_NUMBER: _ClassVar[int]
    WORD_COUNT_FIELD_NUMBER: _ClassVar[int]
    COMPRESSION_RATIO_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    summary: str
    key_points: _containers.RepeatedScalarFieldContainer[str]
    word_count: int
    compression_ratio: float
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, summary: _Optional[str] = ..., key_points: _Optional[_Iterable[str]] = ..., word_count: _Optional[int] = ..., compression_ratio: _Optional[float] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class ExtractRequest(_message.Message):
    __slots__ = ("content", "text", "entity_types", "types", "type", "include_context", "model", "provider", "domain", "options", "long_input", "unfound", "cost_labels", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ENTITY_TYPES_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    LONG_INPUT_FIELD_NUMBER: _ClassVar[int]
    UNFOUND_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    content: str
    text: str
    entity_types: _containers.RepeatedScalarFieldContainer[str]
    types: _containers.RepeatedScalarFieldContainer[str]
    type: str
    include_context: bool
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    long_input: LongInput
    unfound: UnfoundEntity
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, content: _Optional[str] = ..., text: _Optional[str] = ..., entity_types: _Optional[_Iterable[str]] = ..., types: _Optional[_Iterable[str]] = ..., type: _Optional[str] = ..., include_context: _Optional[bool] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., long_input: _Optional[_Union[LongInput, str]] = ..., unfound: _Optional[_Union[UnfoundEntity, str]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class Entity(_message.Message):
    __slots__ = ("text", "type", "start", "end", "confidence", "context", "verified")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    text: str
    type: str
    start: int
    end: int
    confidence: float
    context: str
    verified: bool
    def __init__(self, text: _Optional[str] = ..., type: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., confidence: _Optional[float] = ..., context: _Optional[str] = ..., verified: _Optional[bool] = ...) -> None: ...

class ExtractResponse(_message.Message):
    __slots__ = ("entities", "entity_count", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    ENTITY_COUNT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    entities: _containers.RepeatedCompositeFieldContainer[Entity]
    entity_count: int
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, entities: _Optional[_Iterable[_Union[Entity, _Mapping]]] = ..., entity_count: _Optional[int] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class ClassifyRequest(_message.Message):
    __slots__ = ("content", "text", "categories", "multi_label", "include_confidence", "model", "provider", "domain", "options", "long_input", "cost_labels", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    MULTI_LABEL_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    LONG_INPUT_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    content: str
    text: str
    categories: _containers.RepeatedScalarFieldContainer[str]
    multi_label: bool
    include_confidence: bool
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    long_input: LongInput
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, content: _Optional[str] = ..., text: _Optional[str] = ..., categories: _Optional[_Iterable[str]] = ..., multi_label: _Optional[bool] = ..., include_confidence: _Optional[bool] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., long_input: _Optional[_Union[LongInput, str]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class Classification(_message.Message):
    __slots__ = ("category", "confidence")
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    category: str
    confidence: float
    def __init__(self, category: _Optional[str] = ..., confidence: _Optional[float] = ...) -> None: ...

class ClassifyResponse(_message.Message):
    __slots__ = ("classifications", "primary_category", "category", "classification", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    CLASSIFICATIONS_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_CATEGORY_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    CLASSIFICATION_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    classifications: _containers.RepeatedCompositeFieldContainer[Classification]
    primary_category: str
    category: str
    classification: str
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, classifications: _Optional[_Iterable[_Union[Classification, _Mapping]]] = ..., primary_category: _Optional[str] = ..., category: _Optional[str] = ..., classification: _Optional[str] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class CompareRequest(_message.Message):
    __slots__ = ("document_a", "document_b", "comparison_type", "focus_areas", "output_format", "model", "provider", "domain", "options", "long_input", "cost_labels", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DOCUMENT_A_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_B_FIELD_NUMBER: _ClassVar[int]
    COMPARISON_TYPE_FIELD_NUMBER: _ClassVar[int]
    FOCUS_AREAS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FORMAT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    LONG_INPUT_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    document_a: str
    document_b: str
    comparison_type: str
    focus_areas: _containers.RepeatedScalarFieldContainer[str]
    output_format: str
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    long_input: LongInput
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, document_a: _Optional[str] = ..., document_b: _Optional[str] = ..., comparison_type: _Optional[str] = ..., focus_areas: _Optional[_Iterable[str]] = ..., output_format: _Optional[str] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., long_input: _Optional[_Union[LongInput, str]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("type", "description", "before", "after")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    type: str
    description: str
    before: str
    after: str
    def __init__(self, type: _Optional[str] = ..., description: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ...) -> None: ...

class CompareResponse(_message.Message):
    __slots__ = ("summary", "changes", "similarity_score", "key_differences", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_SCORE_FIELD_NUMBER: _ClassVar[int]
    KEY_DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    summary: str
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    similarity_score: float
    key_differences: _containers.RepeatedScalarFieldContainer[str]
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, summary: _Optional[str] = ..., changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., similarity_score: _Optional[float] = ..., key_differences: _Optional[_Iterable[str]] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class RewriteRequest(_message.Message):
    __slots__ = ("content", "text", "mode", "style", "context", "preserve_code_blocks", "temperature", "model", "provider", "domain", "options", "long_input", "cost_labels", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PRESERVE_CODE_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    LONG_INPUT_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    content: str
    text: str
    mode: str
    style: str
    context: _struct_pb2.Value
    preserve_code_blocks: bool
    temperature: float
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    long_input: LongInput
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, content: _Optional[str] = ..., text: _Optional[str] = ..., mode: _Optional[str] = ..., style: _Optional[str] = ..., context: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., preserve_code_blocks: _Optional[bool] = ..., temperature: _Optional[float] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., long_input: _Optional[_Union[LongInput, str]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class RewriteResponse(_message.Message):
    __slots__ = ("original", "rewritten", "content", "mode", "input_tokens", "output_tokens", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    ORIGINAL_FIELD_NUMBER: _ClassVar[int]
    REWRITTEN_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    original: str
    rewritten: str
    content: str
    mode: str
    input_tokens: int
    output_tokens: int
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, original: _Optional[str] = ..., rewritten: _Optional[str] = ..., content: _Optional[str] = ..., mode: _Optional[str] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class InferTitleRequest(_message.Message):
    __slots__ = ("content", "text", "max_words", "max_length", "model", "provider", "domain", "options", "cost_labels", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MAX_WORDS_FIELD_NUMBER: _ClassVar[int]
    MAX_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    content: str
    text: str
    max_words: int
    max_length: int
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, content: _Optional[str] = ..., text: _Optional[str] = ..., max_words: _Optional[int] = ..., max_length: _Optional[int] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class InferTitleResponse(_message.Message):
    __slots__ = ("title", "input_tokens", "output_tokens", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    TITLE_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    title: str
    input_tokens: int
    output_tokens: int
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, title: _Optional[str] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class ChangedFile(_message.Message):
    __slots__ = ("path", "status", "diff")
    PATH_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    DIFF_FIELD_NUMBER: _ClassVar[int]
    path: str
    status: str
    diff: str
    def __init__(self, path: _Optional[str] = ..., status: _Optional[str] = ..., diff: _Optional[str] = ...) -> None: ...

class ChatLine(_message.Message):
    __slots__ = ("role", "content")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    role: str
    content: str
    def __init__(self, role: _Optional[str] = ..., content: _Optional[str] = ...) -> None: ...

class GenerateCommitRequest(_message.Message):
    __slots__ = ("files", "files_changed", "diff", "context", "diff_summary", "chat_context", "style", "include_scope", "max_length", "model", "provider", "domain", "options", "cost_labels", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FILES_FIELD_NUMBER: _ClassVar[int]
    FILES_CHANGED_FIELD_NUMBER: _ClassVar[int]
    DIFF_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    DIFF_SUMMARY_FIELD_NUMBER: _ClassVar[int]
    CHAT_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_SCOPE_FIELD_NUMBER: _ClassVar[int]
    MAX_LENGTH_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    files: _containers.RepeatedCompositeFieldContainer[ChangedFile]
    files_changed: _containers.RepeatedCompositeFieldContainer[ChangedFile]
    diff: str
    context: str
    diff_summary: str
    chat_context: _containers.RepeatedCompositeFieldContainer[ChatLine]
    style: str
    include_scope: bool
    max_length: int
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, files: _Optional[_Iterable[_Union[ChangedFile, _Mapping]]] = ..., files_changed: _Optional[_Iterable[_Union[ChangedFile, _Mapping]]] = ..., diff: _Optional[str] = ..., context: _Optional[str] = ..., diff_summary: _Optional[str] = ..., chat_context: _Optional[_Iterable[_Union[ChatLine, _Mapping]]] = ..., style: _Optional[str] = ..., include_scope: _Optional[bool] = ..., max_length: _Optional[int] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class FeatureGroup(_message.Message):
    __slots__ = ("scope", "description", "files")
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    scope: str
    description: str
    files: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, scope: _Optional[str] = ..., description: _Optional[str] = ..., files: _Optional[_Iterable[str]] = ...) -> None: ...

class GenerateCommitResponse(_message.Message):
    __slots__ = ("commit_message", "message", "feature_groups", "suggested_tags", "files_analyzed", "input_tokens", "output_tokens", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    COMMIT_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_GROUPS_FIELD_NUMBER: _ClassVar[int]
    SUGGESTED_TAGS_FIELD_NUMBER: _ClassVar[int]
    FILES_ANALYZED_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    commit_message: str
    message: str
    feature_groups: _containers.RepeatedCompositeFieldContainer[FeatureGroup]
    suggested_tags: _containers.RepeatedScalarFieldContainer[str]
    files_analyzed: int
    input_tokens: int
    output_tokens: int
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, commit_message: _Optional[str] = ..., message: _Optional[str] = ..., feature_groups: _Optional[_Iterable[_Union[FeatureGroup, _Mapping]]] = ..., suggested_tags: _Optional[_Iterable[str]] = ..., files_analyzed: _Optional[int] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class AnalyzeSentimentRequest(_message.Message):
    __slots__ = ("content", "text", "granularity", "aspects", "model", "provider", "domain", "options", "long_input", "cost_labels", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    GRANULARITY_FIELD_NUMBER: _ClassVar[int]
    ASPECTS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    LONG_INPUT_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    content: str
    text: str
    granularity: str
    aspects: _containers.RepeatedScalarFieldContainer[str]
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    long_input: LongInput
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, content: _Optional[str] = ..., text: _Optional[str] = ..., granularity: _Optional[str] = ..., aspects: _Optional[_Iterable[str]] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., long_input: _Optional[_Union[LongInput, str]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class Sentiment(_message.Message):
    __slots__ = ("label", "score", "confidence")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    label: str
    score: float
    confidence: float
    def __init__(self, label: _Optional[str] = ..., score: _Optional[float] = ..., confidence: _Optional[float] = ...) -> None: ...

class AspectSentiment(_message.Message):
    __slots__ = ("aspect", "sentiment", "evidence")
    ASPECT_FIELD_NUMBER: _ClassVar[int]
    SENTIMENT_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    aspect: str
    sentiment: Sentiment
    evidence: str
    def __init__(self, aspect: _Optional[str] = ..., sentiment: _Optional[_Union[Sentiment, _Mapping]] = ..., evidence: _Optional[str] = ...) -> None: ...

class SentenceSentiment(_message.Message):
    __slots__ = ("text", "sentiment", "start", "end")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SENTIMENT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    text: str
    sentiment: Sentiment
    start: int
    end: int
    def __init__(self, text: _Optional[str] = ..., sentiment: _Optional[_Union[Sentiment, _Mapping]] = ..., start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class AnalyzeSentimentResponse(_message.Message):
    __slots__ = ("sentiment", "aspects", "sentences", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    SENTIMENT_FIELD_NUMBER: _ClassVar[int]
    ASPECTS_FIELD_NUMBER: _ClassVar[int]
    SENTENCES_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    sentiment: Sentiment
    aspects: _containers.RepeatedCompositeFieldContainer[AspectSentiment]
    sentences: _containers.RepeatedCompositeFieldContainer[SentenceSentiment]
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, sentiment: _Optional[_Union[Sentiment, _Mapping]] = ..., aspects: _Optional[_Iterable[_Union[AspectSentiment, _Mapping]]] = ..., sentences: _Optional[_Iterable[_Union[SentenceSentiment, _Mapping]]] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class AnalyzeCoachingRequest(_message.Message):
    __slots__ = ("content", "text", "agent", "summary", "sentiment", "focus", "model", "provider", "domain", "options", "long_input", "cost_labels", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    AGENT_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    SENTIMENT_FIELD_NUMBER: _ClassVar[int]
    FOCUS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    LONG_INPUT_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    content: str
    text: str
    agent: str
    summary: str
    sentiment: str
    focus: str
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    long_input: LongInput
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, content: _Optional[str] = ..., text: _Optional[str] = ..., agent: _Optional[str] = ..., summary: _Optional[str] = ..., sentiment: _Optional[str] = ..., focus: _Optional[str] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., long_input: _Optional[_Union[LongInput, str]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class CoachingPoint(_message.Message):
    __slots__ = ("point", "suggestion", "evidence")
    POINT_FIELD_NUMBER: _ClassVar[int]
    SUGGESTION_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    point: str
    suggestion: str
    evidence: str
    def __init__(self, point: _Optional[str] = ..., suggestion: _Optional[str] = ..., evidence: _Optional[str] = ...) -> None: ...

class AnalyzeCoachingResponse(_message.Message):
    __slots__ = ("score", "strengths", "improvements", "advice", "result")
    SCORE_FIELD_NUMBER: _ClassVar[int]
    STRENGTHS_FIELD_NUMBER: _ClassVar[int]
    IMPROVEMENTS_FIELD_NUMBER: _ClassVar[int]
    ADVICE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    score: int
    strengths: _containers.RepeatedCompositeFieldContainer[CoachingPoint]
    improvements: _containers.RepeatedCompositeFieldContainer[CoachingPoint]
    advice: str
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, score: _Optional[int] = ..., strengths: _Optional[_Iterable[_Union[CoachingPoint, _Mapping]]] = ..., improvements: _Optional[_Iterable[_Union[CoachingPoint, _Mapping]]] = ..., advice: _Optional[str] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class AnswerQuestionRequest(_message.Message):
    __slots__ = ("context", "question", "require_evidence", "model", "provider", "domain", "options", "long_input", "cost_labels", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    REQUIRE_EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    LONG_INPUT_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    context: str
    question: str
    require_evidence: bool
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    long_input: LongInput
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, context: _Optional[str] = ..., question: _Optional[str] = ..., require_evidence: _Optional[bool] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., long_input: _Optional[_Union[LongInput, str]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("text", "start", "end", "verified")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    text: str
    start: int
    end: int
    verified: bool
    def __init__(self, text: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., verified: _Optional[bool] = ...) -> None: ...

class AnswerQuestionResponse(_message.Message):
    __slots__ = ("answer", "confidence", "evidence", "answerable", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    ANSWERABLE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    answer: str
    confidence: float
    evidence: Evidence
    answerable: bool
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, answer: _Optional[str] = ..., confidence: _Optional[float] = ..., evidence: _Optional[_Union[Evidence, _Mapping]] = ..., answerable: _Optional[bool] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class TagRequest(_message.Message):
    __slots__ = ("content", "text", "max_tags", "tag_types", "existing_tags", "model", "provider", "domain", "options", "long_input", "cost_labels", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MAX_TAGS_FIELD_NUMBER: _ClassVar[int]
    TAG_TYPES_FIELD_NUMBER: _ClassVar[int]
    EXISTING_TAGS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    LONG_INPUT_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    content: str
    text: str
    max_tags: int
    tag_types: _containers.RepeatedScalarFieldContainer[str]
    existing_tags: _containers.RepeatedScalarFieldContainer[str]
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    long_input: LongInput
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, content: _Optional[str] = ..., text: _Optional[str] = ..., max_tags: _Optional[int] = ..., tag_types: _Optional[_Iterable[str]] = ..., existing_tags: _Optional[_Iterable[str]] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., long_input: _Optional[_Union[LongInput, str]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class FoundTag(_message.Message):
    __slots__ = ("tag", "type", "confidence", "existing")
    TAG_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    EXISTING_FIELD_NUMBER: _ClassVar[int]
    tag: str
    type: str
    confidence: float
    existing: bool
    def __init__(self, tag: _Optional[str] = ..., type: _Optional[str] = ..., confidence: _Optional[float] = ..., existing: _Optional[bool] = ...) -> None: ...

class TagResponse(_message.Message):
    __slots__ = ("tags", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    TAGS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    tags: _containers.RepeatedCompositeFieldContainer[FoundTag]
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, tags: _Optional[_Iterable[_Union[FoundTag, _Mapping]]] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class DetectLanguageRequest(_message.Message):
    __slots__ = ("content", "text", "model", "provider", "domain", "options", "cost_labels", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    content: str
    text: str
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, content: _Optional[str] = ..., text: _Optional[str] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class LanguageGuess(_message.Message):
    __slots__ = ("language", "language_name", "confidence")
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_NAME_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    language: str
    language_name: str
    confidence: float
    def __init__(self, language: _Optional[str] = ..., language_name: _Optional[str] = ..., confidence: _Optional[float] = ...) -> None: ...

class DetectLanguageResponse(_message.Message):
    __slots__ = ("language", "language_name", "confidence", "alternatives", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_NAME_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    language: str
    language_name: str
    confidence: float
    alternatives: _containers.RepeatedCompositeFieldContainer[LanguageGuess]
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, language: _Optional[str] = ..., language_name: _Optional[str] = ..., confidence: _Optional[float] = ..., alternatives: _Optional[_Iterable[_Union[LanguageGuess, _Mapping]]] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class TranslateRequest(_message.Message):
    __slots__ = ("content", "text", "target_language", "source_language", "preserve_formatting", "model", "provider", "domain", "options", "long_input", "cost_labels", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TARGET_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    PRESERVE_FORMATTING_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    LONG_INPUT_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    content: str
    text: str
    target_language: str
    source_language: str
    preserve_formatting: bool
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    long_input: LongInput
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, content: _Optional[str] = ..., text: _Optional[str] = ..., target_language: _Optional[str] = ..., source_language: _Optional[str] = ..., preserve_formatting: _Optional[bool] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., long_input: _Optional[_Union[LongInput, str]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class TranslateResponse(_message.Message):
    __slots__ = ("translation", "source_language", "target_language", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    TRANSLATION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TARGET_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    translation: str
    source_language: str
    target_language: str
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, translation: _Optional[str] = ..., source_language: _Optional[str] = ..., target_language: _Optional[str] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class ParaphraseRequest(_message.Message):
    __slots__ = ("content", "text", "style", "variations", "model", "provider", "domain", "options", "long_input", "cost_labels", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    VARIATIONS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    LONG_INPUT_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    content: str
    text: str
    style: str
    variations: int
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    long_input: LongInput
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, content: _Optional[str] = ..., text: _Optional[str] = ..., style: _Optional[str] = ..., variations: _Optional[int] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., long_input: _Optional[_Union[LongInput, str]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class ParaphraseResponse(_message.Message):
    __slots__ = ("paraphrase", "variations", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    PARAPHRASE_FIELD_NUMBER: _ClassVar[int]
    VARIATIONS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    paraphrase: str
    variations: _containers.RepeatedScalarFieldContainer[str]
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, paraphrase: _Optional[str] = ..., variations: _Optional[_Iterable[str]] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class CorrectRequest(_message.Message):
    __slots__ = ("content", "text", "explain_corrections", "model", "provider", "domain", "options", "long_input", "cost_labels", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_CORRECTIONS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    LONG_INPUT_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    content: str
    text: str
    explain_corrections: bool
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    long_input: LongInput
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, content: _Optional[str] = ..., text: _Optional[str] = ..., explain_corrections: _Optional[bool] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., long_input: _Optional[_Union[LongInput, str]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class Correction(_message.Message):
    __slots__ = ("original", "corrected", "explanation", "position")
    ORIGINAL_FIELD_NUMBER: _ClassVar[int]
    CORRECTED_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    original: str
    corrected: str
    explanation: str
    position: int
    def __init__(self, original: _Optional[str] = ..., corrected: _Optional[str] = ..., explanation: _Optional[str] = ..., position: _Optional[int] = ...) -> None: ...

class CorrectResponse(_message.Message):
    __slots__ = ("corrected", "corrections", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    CORRECTED_FIELD_NUMBER: _ClassVar[int]
    CORRECTIONS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    corrected: str
    corrections: _containers.RepeatedCompositeFieldContainer[Correction]
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, corrected: _Optional[str] = ..., corrections: _Optional[_Iterable[_Union[Correction, _Mapping]]] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class ExtractStructuredRequest(_message.Message):
    __slots__ = ("content", "text", "schema_json", "schema", "instructions", "model", "provider", "domain", "options", "long_input", "cost_labels", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_JSON_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    LONG_INPUT_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    content: str
    text: str
    schema_json: str
    schema: _struct_pb2.Struct
    instructions: str
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    long_input: LongInput
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, content: _Optional[str] = ..., text: _Optional[str] = ..., schema_json: _Optional[str] = ..., schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., instructions: _Optional[str] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., long_input: _Optional[_Union[LongInput, str]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class ExtractStructuredResponse(_message.Message):
    __slots__ = ("data_json", "data", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    DATA_JSON_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    data_json: str
    data: _struct_pb2.Value
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, data_json: _Optional[str] = ..., data: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class SourceDocument(_message.Message):
    __slots__ = ("id", "title", "content")
    ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    id: str
    title: str
    content: str
    def __init__(self, id: _Optional[str] = ..., title: _Optional[str] = ..., content: _Optional[str] = ...) -> None: ...

class SynthesizeRequest(_message.Message):
    __slots__ = ("documents", "query", "synthesis_type", "cite_sources", "model", "provider", "domain", "options", "long_input", "cost_labels", "idempotency_key")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    SYNTHESIS_TYPE_FIELD_NUMBER: _ClassVar[int]
    CITE_SOURCES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    LONG_INPUT_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[SourceDocument]
    query: str
    synthesis_type: str
    cite_sources: bool
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    long_input: LongInput
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, documents: _Optional[_Iterable[_Union[SourceDocument, _Mapping]]] = ..., query: _Optional[str] = ..., synthesis_type: _Optional[str] = ..., cite_sources: _Optional[bool] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., long_input: _Optional[_Union[LongInput, str]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class Citation(_message.Message):
    __slots__ = ("document_id", "title", "quote", "count")
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    QUOTE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    document_id: str
    title: str
    quote: str
    count: int
    def __init__(self, document_id: _Optional[str] = ..., title: _Optional[str] = ..., quote: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class SynthesizeResponse(_message.Message):
    __slots__ = ("synthesis", "citations", "unknown_citations", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    SYNTHESIS_FIELD_NUMBER: _ClassVar[int]
    CITATIONS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_CITATIONS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    synthesis: str
    citations: _containers.RepeatedCompositeFieldContainer[Citation]
    unknown_citations: _containers.RepeatedScalarFieldContainer[str]
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, synthesis: _Optional[str] = ..., citations: _Optional[_Iterable[_Union[Citation, _Mapping]]] = ..., unknown_citations: _Optional[_Iterable[str]] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class DetectPiiRequest(_message.Message):
    __slots__ = ("content", "text", "entity_types", "patterns", "min_confidence", "model", "provider", "domain", "options", "cost_labels", "idempotency_key")
    class PatternsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ENTITY_TYPES_FIELD_NUMBER: _ClassVar[int]
    PATTERNS_FIELD_NUMBER: _ClassVar[int]
    MIN_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    content: str
    text: str
    entity_types: _containers.RepeatedScalarFieldContainer[str]
    patterns: _containers.ScalarMap[str, str]
    min_confidence: float
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, content: _Optional[str] = ..., text: _Optional[str] = ..., entity_types: _Optional[_Iterable[str]] = ..., patterns: _Optional[_Mapping[str, str]] = ..., min_confidence: _Optional[float] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class PiiEntity(_message.Message):
    __slots__ = ("type", "start", "end", "confidence", "text")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    type: str
    start: int
    end: int
    confidence: float
    text: str
    def __init__(self, type: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., confidence: _Optional[float] = ..., text: _Optional[str] = ...) -> None: ...

class DetectPiiResponse(_message.Message):
    __slots__ = ("entities", "entity_count", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    ENTITY_COUNT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    entities: _containers.RepeatedCompositeFieldContainer[PiiEntity]
    entity_count: int
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, entities: _Optional[_Iterable[_Union[PiiEntity, _Mapping]]] = ..., entity_count: _Optional[int] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class RedactRequest(_message.Message):
    __slots__ = ("content", "text", "entity_types", "patterns", "min_confidence", "model", "provider", "domain", "options", "cost_labels", "method", "methods", "idempotency_key")
    class PatternsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class MethodsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ENTITY_TYPES_FIELD_NUMBER: _ClassVar[int]
    PATTERNS_FIELD_NUMBER: _ClassVar[int]
    MIN_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    METHODS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    content: str
    text: str
    entity_types: _containers.RepeatedScalarFieldContainer[str]
    patterns: _containers.ScalarMap[str, str]
    min_confidence: float
    model: str
    provider: str
    domain: str
    options: _struct_pb2.Struct
    cost_labels: _containers.ScalarMap[str, str]
    method: str
    methods: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, content: _Optional[str] = ..., text: _Optional[str] = ..., entity_types: _Optional[_Iterable[str]] = ..., patterns: _Optional[_Mapping[str, str]] = ..., min_confidence: _Optional[float] = ..., model: _Optional[str] = ..., provider: _Optional[str] = ..., domain: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., method: _Optional[str] = ..., methods: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class RedactedEntity(_message.Message):
    __slots__ = ("type", "start", "end", "confidence", "method", "replacement")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    REPLACEMENT_FIELD_NUMBER: _ClassVar[int]
    type: str
    start: int
    end: int
    confidence: float
    method: str
    replacement: str
    def __init__(self, type: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ..., confidence: _Optional[float] = ..., method: _Optional[str] = ..., replacement: _Optional[str] = ...) -> None: ...

class RedactResponse(_message.Message):
    __slots__ = ("redacted", "entities", "entity_count", "usage", "provider", "model", "request_id", "execution_id", "cost_usd", "latency_ms", "context", "result")
    REDACTED_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    ENTITY_COUNT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    redacted: str
    entities: _containers.RepeatedCompositeFieldContainer[RedactedEntity]
    entity_count: int
    usage: _capability_result_pb2.CapabilityUsage
    provider: str
    model: str
    request_id: str
    execution_id: str
    cost_usd: float
    latency_ms: int
    context: _capability_result_pb2.CapabilityContext
    result: _capability_result_pb2.CapabilityResult
    def __init__(self, redacted: _Optional[str] = ..., entities: _Optional[_Iterable[_Union[RedactedEntity, _Mapping]]] = ..., entity_count: _Optional[int] = ..., usage: _Optional[_Union[_capability_result_pb2.CapabilityUsage, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., cost_usd: _Optional[float] = ..., latency_ms: _Optional[int] = ..., context: _Optional[_Union[_capability_result_pb2.CapabilityContext, _Mapping]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ...) -> None: ...

class StreamCapabilityRequest(_message.Message):
    __slots__ = ("summarize", "extract", "classify", "compare", "rewrite", "infer_title", "generate_commit", "analyze_sentiment", "answer_question", "tag", "detect_language", "translate", "paraphrase", "correct", "extract_structured", "synthesize", "analyze_coaching", "detect_pii", "redact", "idempotency_key", "resume_after")
    SUMMARIZE_FIELD_NUMBER: _ClassVar[int]
    EXTRACT_FIELD_NUMBER: _ClassVar[int]
    CLASSIFY_FIELD_NUMBER: _ClassVar[int]
    COMPARE_FIELD_NUMBER: _ClassVar[int]
    REWRITE_FIELD_NUMBER: _ClassVar[int]
    INFER_TITLE_FIELD_NUMBER: _ClassVar[int]
    GENERATE_COMMIT_FIELD_NUMBER: _ClassVar[int]
    ANALYZE_SENTIMENT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_QUESTION_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    DETECT_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TRANSLATE_FIELD_NUMBER: _ClassVar[int]
    PARAPHRASE_FIELD_NUMBER: _ClassVar[int]
    CORRECT_FIELD_NUMBER: _ClassVar[int]
    EXTRACT_STRUCTURED_FIELD_NUMBER: _ClassVar[int]
    SYNTHESIZE_FIELD_NUMBER: _ClassVar[int]
    ANALYZE_COACHING_FIELD_NUMBER: _ClassVar[int]
    DETECT_PII_FIELD_NUMBER: _ClassVar[int]
    REDACT_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    RESUME_AFTER_FIELD_NUMBER: _ClassVar[int]
    summarize: SummarizeRequest
    extract: ExtractRequest
    classify: ClassifyRequest
    compare: CompareRequest
    rewrite: RewriteRequest
    infer_title: InferTitleRequest
    generate_commit: GenerateCommitRequest
    analyze_sentiment: AnalyzeSentimentRequest
    answer_question: AnswerQuestionRequest
    tag: TagRequest
    detect_language: DetectLanguageRequest
    translate: TranslateRequest
    paraphrase: ParaphraseRequest
    correct: CorrectRequest
    extract_structured: ExtractStructuredRequest
    synthesize: SynthesizeRequest
    analyze_coaching: AnalyzeCoachingRequest
    detect_pii: DetectPiiRequest
    redact: RedactRequest
    idempotency_key: str
    resume_after: int
    def __init__(self, summarize: _Optional[_Union[SummarizeRequest, _Mapping]] = ..., extract: _Optional[_Union[ExtractRequest, _Mapping]] = ..., classify: _Optional[_Union[ClassifyRequest, _Mapping]] = ..., compare: _Optional[_Union[CompareRequest, _Mapping]] = ..., rewrite: _Optional[_Union[RewriteRequest, _Mapping]] = ..., infer_title: _Optional[_Union[InferTitleRequest, _Mapping]] = ..., generate_commit: _Optional[_Union[GenerateCommitRequest, _Mapping]] = ..., analyze_sentiment: _Optional[_Union[AnalyzeSentimentRequest, _Mapping]] = ..., answer_question: _Optional[_Union[AnswerQuestionRequest, _Mapping]] = ..., tag: _Optional[_Union[TagRequest, _Mapping]] = ..., detect_language: _Optional[_Union[DetectLanguageRequest, _Mapping]] = ..., translate: _Optional[_Union[TranslateRequest, _Mapping]] = ..., paraphrase: _Optional[_Union[ParaphraseRequest, _Mapping]] = ..., correct: _Optional[_Union[CorrectRequest, _Mapping]] = ..., extract_structured: _Optional[_Union[ExtractStructuredRequest, _Mapping]] = ..., synthesize: _Optional[_Union[SynthesizeRequest, _Mapping]] = ..., analyze_coaching: _Optional[_Union[AnalyzeCoachingRequest, _Mapping]] = ..., detect_pii: _Optional[_Union[DetectPiiRequest, _Mapping]] = ..., redact: _Optional[_Union[RedactRequest, _Mapping]] = ..., idempotency_key: _Optional[str] = ..., resume_after: _Optional[int] = ...) -> None: ...

class CapabilityProgress(_message.Message):
    __slots__ = ("done", "total")
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    done: int
    total: int
    def __init__(self, done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class CapabilityError(_message.Message):
    __slots__ = ("code", "message", "details", "request_id")
    class DetailsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    details: _containers.ScalarMap[str, str]
    request_id: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., details: _Optional[_Mapping[str, str]] = ..., request_id: _Optional[str] = ...) -> None: ...

class CapabilityEvent(_message.Message):
    __slots__ = ("sequence", "text", "progress", "summarize", "extract", "classify", "compare", "rewrite", "infer_title", "generate_commit", "analyze_sentiment", "answer_question", "tag", "detect_language", "translate", "paraphrase", "correct", "extract_structured", "synthesize", "analyze_coaching", "detect_pii", "redact", "error")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    SUMMARIZE_FIELD_NUMBER: _ClassVar[int]
    EXTRACT_FIELD_NUMBER: _ClassVar[int]
    CLASSIFY_FIELD_NUMBER: _ClassVar[int]
    COMPARE_FIELD_NUMBER: _ClassVar[int]
    REWRITE_FIELD_NUMBER: _ClassVar[int]
    INFER_TITLE_FIELD_NUMBER: _ClassVar[int]
    GENERATE_COMMIT_FIELD_NUMBER: _ClassVar[int]
    ANALYZE_SENTIMENT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_QUESTION_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    DETECT_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    TRANSLATE_FIELD_NUMBER: _ClassVar[int]
    PARAPHRASE_FIELD_NUMBER: _ClassVar[int]
    CORRECT_FIELD_NUMBER: _ClassVar[int]
    EXTRACT_STRUCTURED_FIELD_NUMBER: _ClassVar[int]
    SYNTHESIZE_FIELD_NUMBER: _ClassVar[int]
    ANALYZE_COACHING_FIELD_NUMBER: _ClassVar[int]
    DETECT_PII_FIELD_NUMBER: _ClassVar[int]
    REDACT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    text: str
    progress: CapabilityProgress
    summarize: SummarizeResponse
    extract: ExtractResponse
    classify: ClassifyResponse
    compare: CompareResponse
    rewrite: RewriteResponse
    infer_title: InferTitleResponse
    generate_commit: GenerateCommitResponse
    analyze_sentiment: AnalyzeSentimentResponse
    answer_question: AnswerQuestionResponse
    tag: TagResponse
    detect_language: DetectLanguageResponse
    translate: TranslateResponse
    paraphrase: ParaphraseResponse
    correct: CorrectResponse
    extract_structured: ExtractStructuredResponse
    synthesize: SynthesizeResponse
    analyze_coaching: AnalyzeCoachingResponse
    detect_pii: DetectPiiResponse
    redact: RedactResponse
    error: CapabilityError
    def __init__(self, sequence: _Optional[int] = ..., text: _Optional[str] = ..., progress: _Optional[_Union[CapabilityProgress, _Mapping]] = ..., summarize: _Optional[_Union[SummarizeResponse, _Mapping]] = ..., extract: _Optional[_Union[ExtractResponse, _Mapping]] = ..., classify: _Optional[_Union[ClassifyResponse, _Mapping]] = ..., compare: _Optional[_Union[CompareResponse, _Mapping]] = ..., rewrite: _Optional[_Union[RewriteResponse, _Mapping]] = ..., infer_title: _Optional[_Union[InferTitleResponse, _Mapping]] = ..., generate_commit: _Optional[_Union[GenerateCommitResponse, _Mapping]] = ..., analyze_sentiment: _Optional[_Union[AnalyzeSentimentResponse, _Mapping]] = ..., answer_question: _Optional[_Union[AnswerQuestionResponse, _Mapping]] = ..., tag: _Optional[_Union[TagResponse, _Mapping]] = ..., detect_language: _Optional[_Union[DetectLanguageResponse, _Mapping]] = ..., translate: _Optional[_Union[TranslateResponse, _Mapping]] = ..., paraphrase: _Optional[_Union[ParaphraseResponse, _Mapping]] = ..., correct: _Optional[_Union[CorrectResponse, _Mapping]] = ..., extract_structured: _Optional[_Union[ExtractStructuredResponse, _Mapping]] = ..., synthesize: _Optional[_Union[SynthesizeResponse, _Mapping]] = ..., analyze_coaching: _Optional[_Union[AnalyzeCoachingResponse, _Mapping]] = ..., detect_pii: _Optional[_Union[DetectPiiResponse, _Mapping]] = ..., redact: _Optional[_Union[RedactResponse, _Mapping]] = ..., error: _Optional[_Union[CapabilityError, _Mapping]] = ...) -> None: ...

class ListCapabilitiesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class CapabilityInfo(_message.Message):
    __slots__ = ("name", "description", "method", "path", "input_schema", "output_schema", "prompt_slugs", "streams", "http_path")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    INPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    PROMPT_SLUGS_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    HTTP_PATH_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    method: str
    path: str
    input_schema: _struct_pb2.Struct
    output_schema: _struct_pb2.Struct
    prompt_slugs: _containers.RepeatedScalarFieldContainer[str]
    streams: bool
    http_path: str
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., method: _Optional[str] = ..., path: _Optional[str] = ..., input_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., output_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., prompt_slugs: _Optional[_Iterable[str]] = ..., streams: _Optional[bool] = ..., http_path: _Optional[str] = ...) -> None: ...

class ListCapabilitiesResponse(_message.Message):
    __slots__ = ("capabilities", "next_page_token")
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    capabilities: _containers.RepeatedCompositeFieldContainer[CapabilityInfo]
    next_page_token: str
    def __init__(self, capabilities: _Optional[_Iterable[_Union[CapabilityInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
