import datetime

from genai_spine.v1 import access_rules_pb2 as _access_rules_pb2
from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RequestLog(_message.Message):
    __slots__ = ("id", "request_id", "method", "path", "create_time", "expire_time", "latency_ms", "code", "error_reason", "error", "principal", "project_id", "api_key_id", "model", "end_user", "correlation_id", "request_json", "answer_json", "request_bytes", "answer_bytes", "request_cut", "answer_cut", "caller")
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASON_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    API_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    END_USER_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_JSON_FIELD_NUMBER: _ClassVar[int]
    ANSWER_JSON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_BYTES_FIELD_NUMBER: _ClassVar[int]
    ANSWER_BYTES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_CUT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_CUT_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    id: str
    request_id: str
    method: str
    path: str
    create_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    latency_ms: int
    code: str
    error_reason: str
    error: str
    principal: str
    project_id: str
    api_key_id: str
    model: str
    end_user: str
    correlation_id: str
    request_json: str
    answer_json: str
    request_bytes: int
    answer_bytes: int
    request_cut: bool
    answer_cut: bool
    caller: str
    def __init__(self, id: _Optional[str] = ..., request_id: _Optional[str] = ..., method: _Optional[str] = ..., path: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., latency_ms: _Optional[int] = ..., code: _Optional[str] = ..., error_reason: _Optional[str] = ..., error: _Optional[str] = ..., principal: _Optional[str] = ..., project_id: _Optional[str] = ..., api_key_id: _Optional[str] = ..., model: _Optional[str] = ..., end_user: _Optional[str] = ..., correlation_id: _Optional[str] = ..., request_json: _Optional[str] = ..., answer_json: _Optional[str] = ..., request_bytes: _Optional[int] = ..., answer_bytes: _Optional[int] = ..., request_cut: _Optional[bool] = ..., answer_cut: _Optional[bool] = ..., caller: _Optional[str] = ...) -> None: ...

class ListRequestLogsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "request_id", "end_user", "api_key_id", "model", "correlation_id", "failed", "start_time", "end_time")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    END_USER_FIELD_NUMBER: _ClassVar[int]
    API_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    request_id: str
    end_user: str
    api_key_id: str
    model: str
    correlation_id: str
    failed: bool
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., request_id: _Optional[str] = ..., end_user: _Optional[str] = ..., api_key_id: _Optional[str] = ..., model: _Optional[str] = ..., correlation_id: _Optional[str] = ..., failed: _Optional[bool] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListRequestLogsResponse(_message.Message):
    __slots__ = ("request_logs", "next_page_token")
    REQUEST_LOGS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    request_logs: _containers.RepeatedCompositeFieldContainer[RequestLog]
    next_page_token: str
    def __init__(self, request_logs: _Optional[_Iterable[_Union[RequestLog, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetRequestLogRequest(_message.Message):
    __slots__ = ("request_log_id",)
    REQUEST_LOG_ID_FIELD_NUMBER: _ClassVar[int]
    request_log_id: str
    def __init__(self, request_log_id: _Optional[str] = ...) -> None: ...

class DeleteRequestLogsRequest(_message.Message):
    __slots__ = ("request_log_id", "request_id", "end_user", "all")
    REQUEST_LOG_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    END_USER_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    request_log_id: str
    request_id: str
    end_user: str
    all: bool
    def __init__(self, request_log_id: _Optional[str] = ..., request_id: _Optional[str] = ..., end_user: _Optional[str] = ..., all: _Optional[bool] = ...) -> None: ...

class DeleteRequestLogsResponse(_message.Message):
    __slots__ = ("deleted_count",)
    DELETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    deleted_count: int
    def __init__(self, deleted_count: _Optional[int] = ...) -> None: ...
