from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from genai_spine.v1 import usage_pb2 as _usage_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RagChunking(_message.Message):
    __slots__ = ("strategy", "max_tokens", "overlap_tokens")
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_TOKENS_FIELD_NUMBER: _ClassVar[int]
    strategy: str
    max_tokens: int
    overlap_tokens: int
    def __init__(self, strategy: _Optional[str] = ..., max_tokens: _Optional[int] = ..., overlap_tokens: _Optional[int] = ...) -> None: ...

class RagDocumentSource(_message.Message):
    __slots__ = ("name", "text", "data", "file_id", "media_type", "title", "url", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    FILE_ID_FIELD_NUMBER: _ClassVar[int]
    MEDIA_TYPE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    name: str
    text: str
    data: bytes
    file_id: str
    media_type: str
    title: str
    url: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., text: _Optional[str] = ..., data: _Optional[bytes] = ..., file_id: _Optional[str] = ..., media_type: _Optional[str] = ..., title: _Optional[str] = ..., url: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class DocumentQuery(_message.Message):
    __slots__ = ("query", "documents", "steps", "top_k", "provider", "model", "embedding_provider", "embedding_model", "chunking")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_MODEL_FIELD_NUMBER: _ClassVar[int]
    CHUNKING_FIELD_NUMBER: _ClassVar[int]
    query: str
    documents: _containers.RepeatedCompositeFieldContainer[RagDocumentSource]
    steps: _containers.RepeatedScalarFieldContainer[str]
    top_k: int
    provider: str
    model: str
    embedding_provider: str
    embedding_model: str
    chunking: RagChunking
    def __init__(self, query: _Optional[str] = ..., documents: _Optional[_Iterable[_Union[RagDocumentSource, _Mapping]]] = ..., steps: _Optional[_Iterable[str]] = ..., top_k: _Optional[int] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., embedding_provider: _Optional[str] = ..., embedding_model: _Optional[str] = ..., chunking: _Optional[_Union[RagChunking, _Mapping]] = ...) -> None: ...

class Ingestion(_message.Message):
    __slots__ = ("collection", "documents")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    documents: _containers.RepeatedCompositeFieldContainer[RagDocumentSource]
    def __init__(self, collection: _Optional[str] = ..., documents: _Optional[_Iterable[_Union[RagDocumentSource, _Mapping]]] = ...) -> None: ...

class IngestionResult(_message.Message):
    __slots__ = ("collection_id", "documents", "ingested", "unchanged", "failed", "chunk_count", "embedded_chunks", "usage")
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    INGESTED_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    EMBEDDED_CHUNKS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    collection_id: str
    documents: _containers.RepeatedCompositeFieldContainer[IngestedDocument]
    ingested: int
    unchanged: int
    failed: int
    chunk_count: int
    embedded_chunks: int
    usage: _usage_pb2.Usage
    def __init__(self, collection_id: _Optional[str] = ..., documents: _Optional[_Iterable[_Union[IngestedDocument, _Mapping]]] = ..., ingested: _Optional[int] = ..., unchanged: _Optional[int] = ..., failed: _Optional[int] = ..., chunk_count: _Optional[int] = ..., embedded_chunks: _Optional[int] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ...) -> None: ...

class IngestedDocument(_message.Message):
    __slots__ = ("name", "document_id", "status", "error_type", "error", "chunk_count", "embedded_chunks", "page_count", "empty_pages")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    EMBEDDED_CHUNKS_FIELD_NUMBER: _ClassVar[int]
    PAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    EMPTY_PAGES_FIELD_NUMBER: _ClassVar[int]
    name: str
    document_id: str
    status: str
    error_type: str
    error: str
    chunk_count: int
    embedded_chunks: int
    page_count: int
    empty_pages: int
    def __init__(self, name: _Optional[str] = ..., document_id: _Optional[str] = ..., status: _Optional[str] = ..., error_type: _Optional[str] = ..., error: _Optional[str] = ..., chunk_count: _Optional[int] = ..., embedded_chunks: _Optional[int] = ..., page_count: _Optional[int] = ..., empty_pages: _Optional[int] = ...) -> None: ...

class IngestionBatch(_message.Message):
    __slots__ = ("chunk_count", "usage")
    CHUNK_COUNT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    chunk_count: int
    usage: _usage_pb2.Usage
    def __init__(self, chunk_count: _Optional[int] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ...) -> None: ...

class RagSource(_message.Message):
    __slots__ = ("number", "content", "metadata", "relevance_score", "vector_score", "keyword_score", "document_id", "document_name", "document_title", "first_page", "last_page", "start_offset", "end_offset", "chunk_id", "headings", "speaker")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    RELEVANCE_SCORE_FIELD_NUMBER: _ClassVar[int]
    VECTOR_SCORE_FIELD_NUMBER: _ClassVar[int]
    KEYWORD_SCORE_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_NAME_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_TITLE_FIELD_NUMBER: _ClassVar[int]
    FIRST_PAGE_FIELD_NUMBER: _ClassVar[int]
    LAST_PAGE_FIELD_NUMBER: _ClassVar[int]
    START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    CHUNK_ID_FIELD_NUMBER: _ClassVar[int]
    HEADINGS_FIELD_NUMBER: _ClassVar[int]
    SPEAKER_FIELD_NUMBER: _ClassVar[int]
    number: int
    content: str
    metadata: _containers.ScalarMap[str, str]
    relevance_score: float
    vector_score: float
    keyword_score: float
    document_id: str
    document_name: str
    document_title: str
    first_page: int
    last_page: int
    start_offset: int
    end_offset: int
    chunk_id: str
    headings: _containers.RepeatedScalarFieldContainer[str]
    speaker: str
    def __init__(self, number: _Optional[int] = ..., content: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., relevance_score: _Optional[float] = ..., vector_score: _Optional[float] = ..., keyword_score: _Optional[float] = ..., document_id: _Optional[str] = ..., document_name: _Optional[str] = ..., document_title: _Optional[str] = ..., first_page: _Optional[int] = ..., last_page: _Optional[int] = ..., start_offset: _Optional[int] = ..., end_offset: _Optional[int] = ..., chunk_id: _Optional[str] = ..., headings: _Optional[_Iterable[str]] = ..., speaker: _Optional[str] = ...) -> None: ...

class RetrieveRequest(_message.Message):
    __slots__ = ("collection", "query", "top_k", "keyword_weight", "filter", "document_ids", "min_score", "rerank", "rerank_model", "cost_labels", "idempotency_key")
    class FilterEntry(_message.Message):
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
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    KEYWORD_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    RERANK_MODEL_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    collection: str
    query: str
    top_k: int
    keyword_weight: float
    filter: _containers.ScalarMap[str, str]
    document_ids: _containers.RepeatedScalarFieldContainer[str]
    min_score: float
    rerank: bool
    rerank_model: str
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, collection: _Optional[str] = ..., query: _Optional[str] = ..., top_k: _Optional[int] = ..., keyword_weight: _Optional[float] = ..., filter: _Optional[_Mapping[str, str]] = ..., document_ids: _Optional[_Iterable[str]] = ..., min_score: _Optional[float] = ..., rerank: _Optional[bool] = ..., rerank_model: _Optional[str] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class RetrieveResponse(_message.Message):
    __slots__ = ("sources", "collection_id", "reranked", "usage", "cost", "request_id", "latency_ms")
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    RERANKED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    sources: _containers.RepeatedCompositeFieldContainer[RagSource]
    collection_id: str
    reranked: bool
    usage: _usage_pb2.Usage
    cost: _usage_pb2.Cost
    request_id: str
    latency_ms: int
    def __init__(self, sources: _Optional[_Iterable[_Union[RagSource, _Mapping]]] = ..., collection_id: _Optional[str] = ..., reranked: _Optional[bool] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., cost: _Optional[_Union[_usage_pb2.Cost, _Mapping]] = ..., request_id: _Optional[str] = ..., latency_ms: _Optional[int] = ...) -> None: ...

class AnswerQueryRequest(_message.Message):
    __slots__ = ("collection", "query", "top_k", "keyword_weight", "filter", "document_ids", "min_score", "rerank", "generate_answer", "provider", "model", "cost_labels", "idempotency_key")
    class FilterEntry(_message.Message):
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
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    KEYWORD_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_IDS_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    RERANK_FIELD_NUMBER: _ClassVar[int]
    GENERATE_ANSWER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    collection: str
    query: str
    top_k: int
    keyword_weight: float
    filter: _containers.ScalarMap[str, str]
    document_ids: _containers.RepeatedScalarFieldContainer[str]
    min_score: float
    rerank: bool
    generate_answer: bool
    provider: str
    model: str
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    def __init__(self, collection: _Optional[str] = ..., query: _Optional[str] = ..., top_k: _Optional[int] = ..., keyword_weight: _Optional[float] = ..., filter: _Optional[_Mapping[str, str]] = ..., document_ids: _Optional[_Iterable[str]] = ..., min_score: _Optional[float] = ..., rerank: _Optional[bool] = ..., generate_answer: _Optional[bool] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class AnswerQueryResponse(_message.Message):
    __slots__ = ("answer", "answerable", "citations", "unknown_citations", "sources", "collection_id", "reranked", "usage", "cost", "provider", "model", "request_id", "latency_ms")
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ANSWERABLE_FIELD_NUMBER: _ClassVar[int]
    CITATIONS_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_CITATIONS_FIELD_NUMBER: _ClassVar[int]
    SOURCES_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_ID_FIELD_NUMBER: _ClassVar[int]
    RERANKED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    answer: str
    answerable: bool
    citations: _containers.RepeatedCompositeFieldContainer[RagCitation]
    unknown_citations: _containers.RepeatedScalarFieldContainer[str]
    sources: _containers.RepeatedCompositeFieldContainer[RagSource]
    collection_id: str
    reranked: bool
    usage: _usage_pb2.Usage
    cost: _usage_pb2.Cost
    provider: str
    model: str
    request_id: str
    latency_ms: int
    def __init__(self, answer: _Optional[str] = ..., answerable: _Optional[bool] = ..., citations: _Optional[_Iterable[_Union[RagCitation, _Mapping]]] = ..., unknown_citations: _Optional[_Iterable[str]] = ..., sources: _Optional[_Iterable[_Union[RagSource, _Mapping]]] = ..., collection_id: _Optional[str] = ..., reranked: _Optional[bool] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., cost: _Optional[_Union[_usage_pb2.Cost, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., request_id: _Optional[str] = ..., latency_ms: _Optional[int] = ...) -> None: ...

class RagCitation(_message.Message):
    __slots__ = ("source_number", "quote", "document_id", "document_name", "page", "start_offset", "end_offset")
    SOURCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    QUOTE_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_ID_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_NAME_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    source_number: int
    quote: str
    document_id: str
    document_name: str
    page: int
    start_offset: int
    end_offset: int
    def __init__(self, source_number: _Optional[int] = ..., quote: _Optional[str] = ..., document_id: _Optional[str] = ..., document_name: _Optional[str] = ..., page: _Optional[int] = ..., start_offset: _Optional[int] = ..., end_offset: _Optional[int] = ...) -> None: ...
