import datetime

from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from genai_spine.v1 import item_work_pb2 as _item_work_pb2
from genai_spine.v1 import usage_pb2 as _usage_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Batch(_message.Message):
    __slots__ = ("items", "template", "inputs", "max_concurrency", "max_failures", "is_sequential", "reuse_results_of", "provider_batch", "provider_batch_fallback", "provider_batch_pull_back_s")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    MAX_FAILURES_FIELD_NUMBER: _ClassVar[int]
    IS_SEQUENTIAL_FIELD_NUMBER: _ClassVar[int]
    REUSE_RESULTS_OF_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_BATCH_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_BATCH_FALLBACK_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_BATCH_PULL_BACK_S_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[BatchItem]
    template: _item_work_pb2.ItemWork
    inputs: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Struct]
    max_concurrency: int
    max_failures: int
    is_sequential: bool
    reuse_results_of: str
    provider_batch: bool
    provider_batch_fallback: str
    provider_batch_pull_back_s: int
    def __init__(self, items: _Optional[_Iterable[_Union[BatchItem, _Mapping]]] = ..., template: _Optional[_Union[_item_work_pb2.ItemWork, _Mapping]] = ..., inputs: _Optional[_Iterable[_Union[_struct_pb2.Struct, _Mapping]]] = ..., max_concurrency: _Optional[int] = ..., max_failures: _Optional[int] = ..., is_sequential: _Optional[bool] = ..., reuse_results_of: _Optional[str] = ..., provider_batch: _Optional[bool] = ..., provider_batch_fallback: _Optional[str] = ..., provider_batch_pull_back_s: _Optional[int] = ...) -> None: ...

class BatchItem(_message.Message):
    __slots__ = ("item_id", "work")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    WORK_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    work: _item_work_pb2.ItemWork
    def __init__(self, item_id: _Optional[str] = ..., work: _Optional[_Union[_item_work_pb2.ItemWork, _Mapping]] = ...) -> None: ...

class BatchCounts(_message.Message):
    __slots__ = ("total", "pending", "running", "completed", "failed", "skipped", "reused")
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    REUSED_FIELD_NUMBER: _ClassVar[int]
    total: int
    pending: int
    running: int
    completed: int
    failed: int
    skipped: int
    reused: int
    def __init__(self, total: _Optional[int] = ..., pending: _Optional[int] = ..., running: _Optional[int] = ..., completed: _Optional[int] = ..., failed: _Optional[int] = ..., skipped: _Optional[int] = ..., reused: _Optional[int] = ...) -> None: ...

class BatchResult(_message.Message):
    __slots__ = ("counts", "success_rate", "duration_seconds")
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_RATE_FIELD_NUMBER: _ClassVar[int]
    DURATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    counts: BatchCounts
    success_rate: float
    duration_seconds: float
    def __init__(self, counts: _Optional[_Union[BatchCounts, _Mapping]] = ..., success_rate: _Optional[float] = ..., duration_seconds: _Optional[float] = ...) -> None: ...

class RunItem(_message.Message):
    __slots__ = ("index", "item_id", "status", "work", "response", "error_type", "error", "attempt", "end_time", "is_reused", "cost")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WORK_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    IS_REUSED_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    index: int
    item_id: str
    status: str
    work: _item_work_pb2.ItemWork
    response: _item_work_pb2.ItemResponse
    error_type: str
    error: str
    attempt: int
    end_time: _timestamp_pb2.Timestamp
    is_reused: bool
    cost: _usage_pb2.Cost
    def __init__(self, index: _Optional[int] = ..., item_id: _Optional[str] = ..., status: _Optional[str] = ..., work: _Optional[_Union[_item_work_pb2.ItemWork, _Mapping]] = ..., response: _Optional[_Union[_item_work_pb2.ItemResponse, _Mapping]] = ..., error_type: _Optional[str] = ..., error: _Optional[str] = ..., attempt: _Optional[int] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., is_reused: _Optional[bool] = ..., cost: _Optional[_Union[_usage_pb2.Cost, _Mapping]] = ...) -> None: ...
