import datetime

from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from genai_spine.v1 import lane_pb2 as _lane_pb2
from genai_spine.v1 import operation_pb2 as _operation_pb2
from genai_spine.v1 import option_warning_pb2 as _option_warning_pb2
from genai_spine.v1 import usage_pb2 as _usage_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecutionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXECUTION_STATE_UNSPECIFIED: _ClassVar[ExecutionState]
    EXECUTION_STATE_PENDING: _ClassVar[ExecutionState]
    EXECUTION_STATE_SUCCEEDED: _ClassVar[ExecutionState]
    EXECUTION_STATE_FAILED: _ClassVar[ExecutionState]
    EXECUTION_STATE_CANCELLED: _ClassVar[ExecutionState]
    EXECUTION_STATE_LOST: _ClassVar[ExecutionState]

class LossResolution(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LOSS_RESOLUTION_UNSPECIFIED: _ClassVar[LossResolution]
    LOSS_RESOLUTION_RESERVE: _ClassVar[LossResolution]
    LOSS_RESOLUTION_STREAM: _ClassVar[LossResolution]
    LOSS_RESOLUTION_PROVIDER: _ClassVar[LossResolution]
    LOSS_RESOLUTION_LATE: _ClassVar[LossResolution]
EXECUTION_STATE_UNSPECIFIED: ExecutionState
EXECUTION_STATE_PENDING: ExecutionState
EXECUTION_STATE_SUCCEEDED: ExecutionState
EXECUTION_STATE_FAILED: ExecutionState
EXECUTION_STATE_CANCELLED: ExecutionState
EXECUTION_STATE_LOST: ExecutionState
LOSS_RESOLUTION_UNSPECIFIED: LossResolution
LOSS_RESOLUTION_RESERVE: LossResolution
LOSS_RESOLUTION_STREAM: LossResolution
LOSS_RESOLUTION_PROVIDER: LossResolution
LOSS_RESOLUTION_LATE: LossResolution

class Execution(_message.Message):
    __slots__ = ("id", "state", "request_id", "operation", "capability", "provider", "model", "requested_model", "attempt", "streamed", "usage", "cost", "latency_ms", "first_token_ms", "error_reason", "error", "end_user", "user_agent", "lane", "server_id", "create_time", "settle_time", "provider_response_id", "discarded", "units", "answered_model", "service_tier", "prompt_id", "prompt_version", "variables_hash", "session_id", "metadata_json", "principal", "cost_labels", "input_tokens", "output_tokens", "cost_usd", "success", "user_id", "created_at", "warnings", "tenant_id", "project_id", "api_key_id", "run_id", "step_id", "correlation_id", "reserved_ticks", "budget_counters", "usage_json", "resolution", "speed", "inference_geo")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_MODEL_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STREAMED_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    FIRST_TOKEN_MS_FIELD_NUMBER: _ClassVar[int]
    ERROR_REASON_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    END_USER_FIELD_NUMBER: _ClassVar[int]
    USER_AGENT_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    SERVER_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    SETTLE_TIME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_RESPONSE_ID_FIELD_NUMBER: _ClassVar[int]
    DISCARDED_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_MODEL_FIELD_NUMBER: _ClassVar[int]
    SERVICE_TIER_FIELD_NUMBER: _ClassVar[int]
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_VERSION_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_HASH_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_JSON_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    TENANT_ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_ID_FIELD_NUMBER: _ClassVar[int]
    API_KEY_ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVED_TICKS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_COUNTERS_FIELD_NUMBER: _ClassVar[int]
    USAGE_JSON_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    INFERENCE_GEO_FIELD_NUMBER: _ClassVar[int]
    id: str
    state: ExecutionState
    request_id: str
    operation: _operation_pb2.Operation
    capability: str
    provider: str
    model: str
    requested_model: str
    attempt: int
    streamed: bool
    usage: _usage_pb2.Usage
    cost: _usage_pb2.Cost
    latency_ms: int
    first_token_ms: int
    error_reason: str
    error: str
    end_user: str
    user_agent: str
    lane: _lane_pb2.Lane
    server_id: str
    create_time: _timestamp_pb2.Timestamp
    settle_time: _timestamp_pb2.Timestamp
    provider_response_id: str
    discarded: bool
    units: _usage_pb2.UnitUsage
    answered_model: str
    service_tier: str
    prompt_id: str
    prompt_version: int
    variables_hash: str
    session_id: str
    metadata_json: str
    principal: str
    cost_labels: _containers.ScalarMap[str, str]
    input_tokens: int
    output_tokens: int
    cost_usd: float
    success: bool
    user_id: str
    created_at: _timestamp_pb2.Timestamp
    warnings: _containers.RepeatedCompositeFieldContainer[_option_warning_pb2.OptionWarning]
    tenant_id: str
    project_id: str
    api_key_id: str
    run_id: str
    step_id: str
    correlation_id: str
    reserved_ticks: int
    budget_counters: _containers.RepeatedScalarFieldContainer[int]
    usage_json: str
    resolution: LossResolution
    speed: str
    inference_geo: str
    def __init__(self, id: _Optional[str] = ..., state: _Optional[_Union[ExecutionState, str]] = ..., request_id: _Optional[str] = ..., operation: _Optional[_Union[_operation_pb2.Operation, str]] = ..., capability: _Optional[str] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., requested_model: _Optional[str] = ..., attempt: _Optional[int] = ..., streamed: _Optional[bool] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., cost: _Optional[_Union[_usage_pb2.Cost, _Mapping]] = ..., latency_ms: _Optional[int] = ..., first_token_ms: _Optional[int] = ..., error_reason: _Optional[str] = ..., error: _Optional[str] = ..., end_user: _Optional[str] = ..., user_agent: _Optional[str] = ..., lane: _Optional[_Union[_lane_pb2.Lane, str]] = ..., server_id: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., settle_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., provider_response_id: _Optional[str] = ..., discarded: _Optional[bool] = ..., units: _Optional[_Union[_usage_pb2.UnitUsage, _Mapping]] = ..., answered_model: _Optional[str] = ..., service_tier: _Optional[str] = ..., prompt_id: _Optional[str] = ..., prompt_version: _Optional[int] = ..., variables_hash: _Optional[str] = ..., session_id: _Optional[str] = ..., metadata_json: _Optional[str] = ..., principal: _Optional[str] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., cost_usd: _Optional[float] = ..., success: _Optional[bool] = ..., user_id: _Optional[str] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., warnings: _Optional[_Iterable[_Union[_option_warning_pb2.OptionWarning, _Mapping]]] = ..., tenant_id: _Optional[str] = ..., project_id: _Optional[str] = ..., api_key_id: _Optional[str] = ..., run_id: _Optional[str] = ..., step_id: _Optional[str] = ..., correlation_id: _Optional[str] = ..., reserved_ticks: _Optional[int] = ..., budget_counters: _Optional[_Iterable[int]] = ..., usage_json: _Optional[str] = ..., resolution: _Optional[_Union[LossResolution, str]] = ..., speed: _Optional[str] = ..., inference_geo: _Optional[str] = ...) -> None: ...
