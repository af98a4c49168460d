import datetime

from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from genai_spine.v1 import method_rules_pb2 as _method_rules_pb2
from genai_spine.v1 import stream_error_pb2 as _stream_error_pb2
from genai_spine.v1 import usage_pb2 as _usage_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DocumentSymbolsRequest(_message.Message):
    __slots__ = ("job_id", "symbols", "event_context", "parent_event_id", "tags", "report_progress", "cost_labels")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    EVENT_CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PARENT_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    REPORT_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    job_id: str
    symbols: _containers.RepeatedCompositeFieldContainer[Symbol]
    event_context: SymbolEventContext
    parent_event_id: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    report_progress: bool
    cost_labels: _containers.ScalarMap[str, str]
    def __init__(self, job_id: _Optional[str] = ..., symbols: _Optional[_Iterable[_Union[Symbol, _Mapping]]] = ..., event_context: _Optional[_Union[SymbolEventContext, _Mapping]] = ..., parent_event_id: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., report_progress: _Optional[bool] = ..., cost_labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Symbol(_message.Message):
    __slots__ = ("symbol_id", "context")
    SYMBOL_ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    symbol_id: str
    context: SymbolContext
    def __init__(self, symbol_id: _Optional[str] = ..., context: _Optional[_Union[SymbolContext, _Mapping]] = ...) -> None: ...

class SymbolContext(_message.Message):
    __slots__ = ("symbol_id", "name", "kind", "language", "file_path", "signature", "calls", "called_by", "imports", "related_symbols", "cluster_label", "centrality")
    SYMBOL_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    FILE_PATH_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    CALLED_BY_FIELD_NUMBER: _ClassVar[int]
    IMPORTS_FIELD_NUMBER: _ClassVar[int]
    RELATED_SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_LABEL_FIELD_NUMBER: _ClassVar[int]
    CENTRALITY_FIELD_NUMBER: _ClassVar[int]
    symbol_id: str
    name: str
    kind: str
    language: str
    file_path: str
    signature: str
    calls: _containers.RepeatedScalarFieldContainer[str]
    called_by: _containers.RepeatedScalarFieldContainer[str]
    imports: _containers.RepeatedScalarFieldContainer[str]
    related_symbols: _containers.RepeatedScalarFieldContainer[str]
    cluster_label: str
    centrality: float
    def __init__(self, symbol_id: _Optional[str] = ..., name: _Optional[str] = ..., kind: _Optional[str] = ..., language: _Optional[str] = ..., file_path: _Optional[str] = ..., signature: _Optional[str] = ..., calls: _Optional[_Iterable[str]] = ..., called_by: _Optional[_Iterable[str]] = ..., imports: _Optional[_Iterable[str]] = ..., related_symbols: _Optional[_Iterable[str]] = ..., cluster_label: _Optional[str] = ..., centrality: _Optional[float] = ...) -> None: ...

class SymbolError(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class DocumentedSymbol(_message.Message):
    __slots__ = ("symbol_id", "summary", "tokens_used", "error", "execution_id")
    SYMBOL_ID_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    TOKENS_USED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    symbol_id: str
    summary: str
    tokens_used: int
    error: SymbolError
    execution_id: str
    def __init__(self, symbol_id: _Optional[str] = ..., summary: _Optional[str] = ..., tokens_used: _Optional[int] = ..., error: _Optional[_Union[SymbolError, _Mapping]] = ..., execution_id: _Optional[str] = ...) -> None: ...

class DocumentSymbolsResponse(_message.Message):
    __slots__ = ("documented_symbols", "total_tokens", "total_cost", "warnings", "total_cost_ticks", "price_known", "job_id", "request_id", "cost")
    DOCUMENTED_SYMBOLS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COST_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COST_TICKS_FIELD_NUMBER: _ClassVar[int]
    PRICE_KNOWN_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    documented_symbols: _containers.RepeatedCompositeFieldContainer[DocumentedSymbol]
    total_tokens: int
    total_cost: float
    warnings: _containers.RepeatedScalarFieldContainer[str]
    total_cost_ticks: int
    price_known: bool
    job_id: str
    request_id: str
    cost: _usage_pb2.Cost
    def __init__(self, documented_symbols: _Optional[_Iterable[_Union[DocumentedSymbol, _Mapping]]] = ..., total_tokens: _Optional[int] = ..., total_cost: _Optional[float] = ..., warnings: _Optional[_Iterable[str]] = ..., total_cost_ticks: _Optional[int] = ..., price_known: _Optional[bool] = ..., job_id: _Optional[str] = ..., request_id: _Optional[str] = ..., cost: _Optional[_Union[_usage_pb2.Cost, _Mapping]] = ...) -> None: ...

class EstimateDocumentSymbolsResponse(_message.Message):
    __slots__ = ("symbol_count", "estimated_tokens", "input_tokens", "max_output_tokens", "max_cost", "max_cost_ticks", "price_known", "shortened_count", "provider", "model", "job_id", "cost")
    SYMBOL_COUNT_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_COST_FIELD_NUMBER: _ClassVar[int]
    MAX_COST_TICKS_FIELD_NUMBER: _ClassVar[int]
    PRICE_KNOWN_FIELD_NUMBER: _ClassVar[int]
    SHORTENED_COUNT_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    symbol_count: int
    estimated_tokens: int
    input_tokens: int
    max_output_tokens: int
    max_cost: float
    max_cost_ticks: int
    price_known: bool
    shortened_count: int
    provider: str
    model: str
    job_id: str
    cost: _usage_pb2.Cost
    def __init__(self, symbol_count: _Optional[int] = ..., estimated_tokens: _Optional[int] = ..., input_tokens: _Optional[int] = ..., max_output_tokens: _Optional[int] = ..., max_cost: _Optional[float] = ..., max_cost_ticks: _Optional[int] = ..., price_known: _Optional[bool] = ..., shortened_count: _Optional[int] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., job_id: _Optional[str] = ..., cost: _Optional[_Union[_usage_pb2.Cost, _Mapping]] = ...) -> None: ...

class SymbolEvent(_message.Message):
    __slots__ = ("envelope_version", "timestamp", "job_id", "event_id", "parent_event_id", "source", "type", "status", "sequence", "payload", "context", "meta", "result", "error")
    ENVELOPE_VERSION_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    META_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    envelope_version: str
    timestamp: _timestamp_pb2.Timestamp
    job_id: str
    event_id: str
    parent_event_id: str
    source: str
    type: str
    status: str
    sequence: int
    payload: SymbolEventPayload
    context: SymbolEventContext
    meta: SymbolEventMeta
    result: DocumentSymbolsResponse
    error: _stream_error_pb2.StreamError
    def __init__(self, envelope_version: _Optional[str] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., job_id: _Optional[str] = ..., event_id: _Optional[str] = ..., parent_event_id: _Optional[str] = ..., source: _Optional[str] = ..., type: _Optional[str] = ..., status: _Optional[str] = ..., sequence: _Optional[int] = ..., payload: _Optional[_Union[SymbolEventPayload, _Mapping]] = ..., context: _Optional[_Union[SymbolEventContext, _Mapping]] = ..., meta: _Optional[_Union[SymbolEventMeta, _Mapping]] = ..., result: _Optional[_Union[DocumentSymbolsResponse, _Mapping]] = ..., error: _Optional[_Union[_stream_error_pb2.StreamError, _Mapping]] = ...) -> None: ...

class SymbolEventPayload(_message.Message):
    __slots__ = ("symbol_count", "estimated_tokens", "symbol_id", "token_count", "total_tokens", "total_cost", "duration_ms", "warnings", "done", "total")
    SYMBOL_COUNT_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SYMBOL_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COST_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    symbol_count: int
    estimated_tokens: int
    symbol_id: str
    token_count: int
    total_tokens: int
    total_cost: float
    duration_ms: int
    warnings: _containers.RepeatedScalarFieldContainer[str]
    done: int
    total: int
    def __init__(self, symbol_count: _Optional[int] = ..., estimated_tokens: _Optional[int] = ..., symbol_id: _Optional[str] = ..., token_count: _Optional[int] = ..., total_tokens: _Optional[int] = ..., total_cost: _Optional[float] = ..., duration_ms: _Optional[int] = ..., warnings: _Optional[_Iterable[str]] = ..., done: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class SymbolEventContext(_message.Message):
    __slots__ = ("repo_url", "git_ref", "user_id", "plan_tier")
    REPO_URL_FIELD_NUMBER: _ClassVar[int]
    GIT_REF_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_TIER_FIELD_NUMBER: _ClassVar[int]
    repo_url: str
    git_ref: str
    user_id: str
    plan_tier: str
    def __init__(self, repo_url: _Optional[str] = ..., git_ref: _Optional[str] = ..., user_id: _Optional[str] = ..., plan_tier: _Optional[str] = ...) -> None: ...

class SymbolEventMeta(_message.Message):
    __slots__ = ("producer_version", "trace_id", "idempotency_key", "tags")
    PRODUCER_VERSION_FIELD_NUMBER: _ClassVar[int]
    TRACE_ID_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    producer_version: str
    trace_id: str
    idempotency_key: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, producer_version: _Optional[str] = ..., trace_id: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ...) -> None: ...

class GetSymbolHealthRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetSymbolHealthResponse(_message.Message):
    __slots__ = ("status", "model", "ready")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    status: str
    model: str
    ready: bool
    def __init__(self, status: _Optional[str] = ..., model: _Optional[str] = ..., ready: _Optional[bool] = ...) -> None: ...
