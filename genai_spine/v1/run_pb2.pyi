import datetime

from genai_spine.v1 import batch_pb2 as _batch_pb2
from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from genai_spine.v1 import usage_pb2 as _usage_pb2
from genai_spine.v1 import work_pb2 as _work_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunOptions(_message.Message):
    __slots__ = ("lane", "priority", "idempotency_key", "correlation_id", "parent_run_id", "trigger_source", "metadata", "cost_labels", "not_before", "deadline", "timeout", "max_retries", "retry_delay_seconds", "backoff", "budget_limit_usd", "webhook", "hold", "user", "estimate_usd")
    class MetadataEntry(_message.Message):
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
    LANE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_SOURCE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    RETRY_DELAY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BACKOFF_FIELD_NUMBER: _ClassVar[int]
    BUDGET_LIMIT_USD_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_FIELD_NUMBER: _ClassVar[int]
    HOLD_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    ESTIMATE_USD_FIELD_NUMBER: _ClassVar[int]
    lane: str
    priority: str
    idempotency_key: str
    correlation_id: str
    parent_run_id: str
    trigger_source: str
    metadata: _containers.ScalarMap[str, str]
    cost_labels: _containers.ScalarMap[str, str]
    not_before: _timestamp_pb2.Timestamp
    deadline: _timestamp_pb2.Timestamp
    timeout: _duration_pb2.Duration
    max_retries: int
    retry_delay_seconds: float
    backoff: str
    budget_limit_usd: float
    webhook: RunWebhook
    hold: bool
    user: str
    estimate_usd: float
    def __init__(self, lane: _Optional[str] = ..., priority: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., correlation_id: _Optional[str] = ..., parent_run_id: _Optional[str] = ..., trigger_source: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., not_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deadline: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_retries: _Optional[int] = ..., retry_delay_seconds: _Optional[float] = ..., backoff: _Optional[str] = ..., budget_limit_usd: _Optional[float] = ..., webhook: _Optional[_Union[RunWebhook, _Mapping]] = ..., hold: _Optional[bool] = ..., user: _Optional[str] = ..., estimate_usd: _Optional[float] = ...) -> None: ...

class RunWebhook(_message.Message):
    __slots__ = ("url", "event_types")
    URL_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPES_FIELD_NUMBER: _ClassVar[int]
    url: str
    event_types: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, url: _Optional[str] = ..., event_types: _Optional[_Iterable[str]] = ...) -> None: ...

class Run(_message.Message):
    __slots__ = ("run_id", "kind", "name", "work", "options", "status", "waiting_reason", "attempt", "create_time", "start_time", "end_time", "next_attempt_time", "response", "result", "error", "progress", "progress_message", "eta", "item_counts", "cost", "usage", "discarded_cost", "worker_id", "retry_of_run_id", "root_run_id", "last_sequence", "is_cancelling", "tenant_id", "principal", "project_id", "duration_seconds", "tags", "schedule_id", "priority", "lane", "idempotency_key", "correlation_id", "parent_run_id", "is_existing", "dead_letter_id", "provider", "created_at", "started_at", "completed_at", "params", "metadata", "trigger_source", "max_retries", "retry_delay_seconds", "error_type", "cost_usd", "executor_name", "batch_id", "total", "completed", "data", "elapsed_ms", "warnings", "estimated_end_time", "estimated_completion")
    class TagsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    WORK_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WAITING_REASON_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    NEXT_ATTEMPT_TIME_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ETA_FIELD_NUMBER: _ClassVar[int]
    ITEM_COUNTS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    DISCARDED_COST_FIELD_NUMBER: _ClassVar[int]
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    RETRY_OF_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ROOT_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    IS_CANCELLING_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    DURATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_RUN_ID_FIELD_NUMBER: _ClassVar[int]
    IS_EXISTING_FIELD_NUMBER: _ClassVar[int]
    DEAD_LETTER_ID_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_SOURCE_FIELD_NUMBER: _ClassVar[int]
    MAX_RETRIES_FIELD_NUMBER: _ClassVar[int]
    RETRY_DELAY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ERROR_TYPE_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_NAME_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_MS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_END_TIME_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_COMPLETION_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    kind: str
    name: str
    work: _work_pb2.Work
    options: RunOptions
    status: str
    waiting_reason: str
    attempt: int
    create_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    next_attempt_time: _timestamp_pb2.Timestamp
    response: _work_pb2.WorkResponse
    result: _struct_pb2.Struct
    error: RunError
    progress: float
    progress_message: str
    eta: _duration_pb2.Duration
    item_counts: _batch_pb2.BatchCounts
    cost: _usage_pb2.Cost
    usage: _usage_pb2.Usage
    discarded_cost: _usage_pb2.Cost
    worker_id: str
    retry_of_run_id: str
    root_run_id: str
    last_sequence: int
    is_cancelling: bool
    tenant_id: str
    principal: str
    project_id: str
    duration_seconds: float
    tags: _containers.ScalarMap[str, str]
    schedule_id: str
    priority: str
    lane: str
    idempotency_key: str
    correlation_id: str
    parent_run_id: str
    is_existing: bool
    dead_letter_id: str
    provider: str
    created_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    completed_at: _timestamp_pb2.Timestamp
    params: _struct_pb2.Struct
    metadata: _containers.ScalarMap[str, str]
    trigger_source: str
    max_retries: int
    retry_delay_seconds: float
    error_type: str
    cost_usd: float
    executor_name: str
    batch_id: str
    total: int
    completed: int
    data: SubmittedRun
    elapsed_ms: int
    warnings: _containers.RepeatedScalarFieldContainer[str]
    estimated_end_time: _timestamp_pb2.Timestamp
    estimated_completion: _timestamp_pb2.Timestamp
    def __init__(self, run_id: _Optional[str] = ..., kind: _Optional[str] = ..., name: _Optional[str] = ..., work: _Optional[_Union[_work_pb2.Work, _Mapping]] = ..., options: _Optional[_Union[RunOptions, _Mapping]] = ..., status: _Optional[str] = ..., waiting_reason: _Optional[str] = ..., attempt: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., next_attempt_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., response: _Optional[_Union[_work_pb2.WorkResponse, _Mapping]] = ..., result: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., error: _Optional[_Union[RunError, _Mapping]] = ..., progress: _Optional[float] = ..., progress_message: _Optional[str] = ..., eta: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., item_counts: _Optional[_Union[_batch_pb2.BatchCounts, _Mapping]] = ..., cost: _Optional[_Union[_usage_pb2.Cost, _Mapping]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., discarded_cost: _Optional[_Union[_usage_pb2.Cost, _Mapping]] = ..., worker_id: _Optional[str] = ..., retry_of_run_id: _Optional[str] = ..., root_run_id: _Optional[str] = ..., last_sequence: _Optional[int] = ..., is_cancelling: _Optional[bool] = ..., tenant_id: _Optional[str] = ..., principal: _Optional[str] = ..., project_id: _Optional[str] = ..., duration_seconds: _Optional[float] = ..., tags: _Optional[_Mapping[str, str]] = ..., schedule_id: _Optional[str] = ..., priority: _Optional[str] = ..., lane: _Optional[str] = ..., idempotency_key: _Optional[str] = ..., correlation_id: _Optional[str] = ..., parent_run_id: _Optional[str] = ..., is_existing: _Optional[bool] = ..., dead_letter_id: _Optional[str] = ..., provider: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., completed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., params: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., trigger_source: _Optional[str] = ..., max_retries: _Optional[int] = ..., retry_delay_seconds: _Optional[float] = ..., error_type: _Optional[str] = ..., cost_usd: _Optional[float] = ..., executor_name: _Optional[str] = ..., batch_id: _Optional[str] = ..., total: _Optional[int] = ..., completed: _Optional[int] = ..., data: _Optional[_Union[SubmittedRun, _Mapping]] = ..., elapsed_ms: _Optional[int] = ..., warnings: _Optional[_Iterable[str]] = ..., estimated_end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., estimated_completion: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SubmittedRun(_message.Message):
    __slots__ = ("run_id", "dry_run", "would_execute")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    WOULD_EXECUTE_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    dry_run: bool
    would_execute: bool
    def __init__(self, run_id: _Optional[str] = ..., dry_run: _Optional[bool] = ..., would_execute: _Optional[bool] = ...) -> None: ...

class RunError(_message.Message):
    __slots__ = ("type", "message", "category", "is_retryable", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    IS_RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    type: str
    message: str
    category: str
    is_retryable: bool
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, type: _Optional[str] = ..., message: _Optional[str] = ..., category: _Optional[str] = ..., is_retryable: _Optional[bool] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class RunEvent(_message.Message):
    __slots__ = ("event_id", "run_id", "sequence", "event_type", "timestamp", "data", "source", "output")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    run_id: str
    sequence: int
    event_type: str
    timestamp: _timestamp_pb2.Timestamp
    data: _struct_pb2.Struct
    source: str
    output: RunOutput
    def __init__(self, event_id: _Optional[str] = ..., run_id: _Optional[str] = ..., sequence: _Optional[int] = ..., event_type: _Optional[str] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., source: _Optional[str] = ..., output: _Optional[_Union[RunOutput, _Mapping]] = ...) -> None: ...

class RunOutput(_message.Message):
    __slots__ = ("step_id", "text", "offset", "is_reset")
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    IS_RESET_FIELD_NUMBER: _ClassVar[int]
    step_id: str
    text: str
    offset: int
    is_reset: bool
    def __init__(self, step_id: _Optional[str] = ..., text: _Optional[str] = ..., offset: _Optional[int] = ..., is_reset: _Optional[bool] = ...) -> None: ...

class RunStep(_message.Message):
    __slots__ = ("step_id", "step_name", "step_type", "step_order", "status", "start_time", "end_time", "duration_ms", "attempt", "error", "execution_ids", "cost")
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_NAME_FIELD_NUMBER: _ClassVar[int]
    STEP_TYPE_FIELD_NUMBER: _ClassVar[int]
    STEP_ORDER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_IDS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    step_id: str
    step_name: str
    step_type: str
    step_order: int
    status: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    duration_ms: int
    attempt: int
    error: RunError
    execution_ids: _containers.RepeatedScalarFieldContainer[str]
    cost: _usage_pb2.Cost
    def __init__(self, step_id: _Optional[str] = ..., step_name: _Optional[str] = ..., step_type: _Optional[str] = ..., step_order: _Optional[int] = ..., status: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., duration_ms: _Optional[int] = ..., attempt: _Optional[int] = ..., error: _Optional[_Union[RunError, _Mapping]] = ..., execution_ids: _Optional[_Iterable[str]] = ..., cost: _Optional[_Union[_usage_pb2.Cost, _Mapping]] = ...) -> None: ...
