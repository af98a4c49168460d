import datetime

from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from genai_spine.v1 import usage_pb2 as _usage_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PipelineDefinition(_message.Message):
    __slots__ = ("name", "version", "description", "tags", "timeout_s", "max_concurrent", "fail_fast", "compensation", "compensation_timeout_s", "checkpoints", "estimated_duration_s", "estimated_cost_usd", "steps")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    MAX_CONCURRENT_FIELD_NUMBER: _ClassVar[int]
    FAIL_FAST_FIELD_NUMBER: _ClassVar[int]
    COMPENSATION_FIELD_NUMBER: _ClassVar[int]
    COMPENSATION_TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINTS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_DURATION_S_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_COST_USD_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    description: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    timeout_s: float
    max_concurrent: int
    fail_fast: bool
    compensation: bool
    compensation_timeout_s: float
    checkpoints: _containers.RepeatedScalarFieldContainer[str]
    estimated_duration_s: float
    estimated_cost_usd: float
    steps: _containers.RepeatedCompositeFieldContainer[PipelineStep]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., description: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., timeout_s: _Optional[float] = ..., max_concurrent: _Optional[int] = ..., fail_fast: _Optional[bool] = ..., compensation: _Optional[bool] = ..., compensation_timeout_s: _Optional[float] = ..., checkpoints: _Optional[_Iterable[str]] = ..., estimated_duration_s: _Optional[float] = ..., estimated_cost_usd: _Optional[float] = ..., steps: _Optional[_Iterable[_Union[PipelineStep, _Mapping]]] = ...) -> None: ...

class PipelineStep(_message.Message):
    __slots__ = ("name", "description", "capability", "preferred_providers", "quality", "options", "input_from", "input_transform", "output_transform", "output_as", "when", "optional", "continue_on_failure", "fallback", "retry", "timeout_s", "compensation", "progress_weight", "depends_on")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    PREFERRED_PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    INPUT_FROM_FIELD_NUMBER: _ClassVar[int]
    INPUT_TRANSFORM_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TRANSFORM_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_AS_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    OPTIONAL_FIELD_NUMBER: _ClassVar[int]
    CONTINUE_ON_FAILURE_FIELD_NUMBER: _ClassVar[int]
    FALLBACK_FIELD_NUMBER: _ClassVar[int]
    RETRY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    COMPENSATION_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    DEPENDS_ON_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    capability: str
    preferred_providers: _containers.RepeatedScalarFieldContainer[str]
    quality: str
    options: _struct_pb2.Struct
    input_from: str
    input_transform: PipelineTransform
    output_transform: PipelineTransform
    output_as: str
    when: PipelineCondition
    optional: bool
    continue_on_failure: bool
    fallback: PipelineFallback
    retry: PipelineRetry
    timeout_s: float
    compensation: PipelineCompensation
    progress_weight: float
    depends_on: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., capability: _Optional[str] = ..., preferred_providers: _Optional[_Iterable[str]] = ..., quality: _Optional[str] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., input_from: _Optional[str] = ..., input_transform: _Optional[_Union[PipelineTransform, _Mapping]] = ..., output_transform: _Optional[_Union[PipelineTransform, _Mapping]] = ..., output_as: _Optional[str] = ..., when: _Optional[_Union[PipelineCondition, _Mapping]] = ..., optional: _Optional[bool] = ..., continue_on_failure: _Optional[bool] = ..., fallback: _Optional[_Union[PipelineFallback, _Mapping]] = ..., retry: _Optional[_Union[PipelineRetry, _Mapping]] = ..., timeout_s: _Optional[float] = ..., compensation: _Optional[_Union[PipelineCompensation, _Mapping]] = ..., progress_weight: _Optional[float] = ..., depends_on: _Optional[_Iterable[str]] = ...) -> None: ...

class PipelineTransform(_message.Message):
    __slots__ = ("passthrough", "map", "extract", "merge", "cel")
    PASSTHROUGH_FIELD_NUMBER: _ClassVar[int]
    MAP_FIELD_NUMBER: _ClassVar[int]
    EXTRACT_FIELD_NUMBER: _ClassVar[int]
    MERGE_FIELD_NUMBER: _ClassVar[int]
    CEL_FIELD_NUMBER: _ClassVar[int]
    passthrough: bool
    map: PipelineFields
    extract: str
    merge: PipelineKeys
    cel: str
    def __init__(self, passthrough: _Optional[bool] = ..., map: _Optional[_Union[PipelineFields, _Mapping]] = ..., extract: _Optional[str] = ..., merge: _Optional[_Union[PipelineKeys, _Mapping]] = ..., cel: _Optional[str] = ...) -> None: ...

class PipelineFields(_message.Message):
    __slots__ = ("fields",)
    class FieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    fields: _containers.ScalarMap[str, str]
    def __init__(self, fields: _Optional[_Mapping[str, str]] = ...) -> None: ...

class PipelineKeys(_message.Message):
    __slots__ = ("keys",)
    KEYS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, keys: _Optional[_Iterable[str]] = ...) -> None: ...

class PipelineCondition(_message.Message):
    __slots__ = ("comparison", "cel")
    COMPARISON_FIELD_NUMBER: _ClassVar[int]
    CEL_FIELD_NUMBER: _ClassVar[int]
    comparison: PipelineComparison
    cel: str
    def __init__(self, comparison: _Optional[_Union[PipelineComparison, _Mapping]] = ..., cel: _Optional[str] = ...) -> None: ...

class PipelineComparison(_message.Message):
    __slots__ = ("path", "operator", "value")
    PATH_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    path: str
    operator: str
    value: _struct_pb2.Value
    def __init__(self, path: _Optional[str] = ..., operator: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ...) -> None: ...

class PipelineFallback(_message.Message):
    __slots__ = ("enabled", "max_fallbacks", "allow_quality_degradation", "exclude_providers")
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    MAX_FALLBACKS_FIELD_NUMBER: _ClassVar[int]
    ALLOW_QUALITY_DEGRADATION_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    enabled: bool
    max_fallbacks: int
    allow_quality_degradation: bool
    exclude_providers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, enabled: _Optional[bool] = ..., max_fallbacks: _Optional[int] = ..., allow_quality_degradation: _Optional[bool] = ..., exclude_providers: _Optional[_Iterable[str]] = ...) -> None: ...

class PipelineRetry(_message.Message):
    __slots__ = ("max_attempts", "initial_delay_ms", "exponential_backoff", "retryable_codes")
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    INITIAL_DELAY_MS_FIELD_NUMBER: _ClassVar[int]
    EXPONENTIAL_BACKOFF_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_CODES_FIELD_NUMBER: _ClassVar[int]
    max_attempts: int
    initial_delay_ms: int
    exponential_backoff: bool
    retryable_codes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, max_attempts: _Optional[int] = ..., initial_delay_ms: _Optional[int] = ..., exponential_backoff: _Optional[bool] = ..., retryable_codes: _Optional[_Iterable[str]] = ...) -> None: ...

class PipelineCompensation(_message.Message):
    __slots__ = ("work", "webhook_url", "description", "timeout_s", "required")
    WORK_FIELD_NUMBER: _ClassVar[int]
    WEBHOOK_URL_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    work: PipelineAction
    webhook_url: str
    description: str
    timeout_s: float
    required: bool
    def __init__(self, work: _Optional[_Union[PipelineAction, _Mapping]] = ..., webhook_url: _Optional[str] = ..., description: _Optional[str] = ..., timeout_s: _Optional[float] = ..., required: _Optional[bool] = ...) -> None: ...

class PipelineAction(_message.Message):
    __slots__ = ("capability", "preferred_providers", "options", "input_from", "input_transform")
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    PREFERRED_PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    INPUT_FROM_FIELD_NUMBER: _ClassVar[int]
    INPUT_TRANSFORM_FIELD_NUMBER: _ClassVar[int]
    capability: str
    preferred_providers: _containers.RepeatedScalarFieldContainer[str]
    options: _struct_pb2.Struct
    input_from: str
    input_transform: PipelineTransform
    def __init__(self, capability: _Optional[str] = ..., preferred_providers: _Optional[_Iterable[str]] = ..., options: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., input_from: _Optional[str] = ..., input_transform: _Optional[_Union[PipelineTransform, _Mapping]] = ...) -> None: ...

class PipelineWork(_message.Message):
    __slots__ = ("pipeline_name", "pipeline_version", "definition", "input_data", "arguments")
    PIPELINE_NAME_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    INPUT_DATA_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    pipeline_name: str
    pipeline_version: int
    definition: PipelineDefinition
    input_data: _struct_pb2.Struct
    arguments: _struct_pb2.Struct
    def __init__(self, pipeline_name: _Optional[str] = ..., pipeline_version: _Optional[int] = ..., definition: _Optional[_Union[PipelineDefinition, _Mapping]] = ..., input_data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., arguments: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class PipelineResult(_message.Message):
    __slots__ = ("execution_id", "pipeline_name", "pipeline_version", "success", "completed_steps", "failed_step", "error", "error_code", "output", "step_results", "total_duration_ms", "total_cost", "total_cost_usd", "start_time", "end_time", "compensation_performed", "compensated_steps", "failed_compensations")
    class StepResultsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: PipelineStepResult
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[PipelineStepResult, _Mapping]] = ...) -> None: ...
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_NAME_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_STEPS_FIELD_NUMBER: _ClassVar[int]
    FAILED_STEP_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    STEP_RESULTS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COST_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COST_USD_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    COMPENSATION_PERFORMED_FIELD_NUMBER: _ClassVar[int]
    COMPENSATED_STEPS_FIELD_NUMBER: _ClassVar[int]
    FAILED_COMPENSATIONS_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    pipeline_name: str
    pipeline_version: str
    success: bool
    completed_steps: _containers.RepeatedScalarFieldContainer[str]
    failed_step: str
    error: str
    error_code: str
    output: _struct_pb2.Struct
    step_results: _containers.MessageMap[str, PipelineStepResult]
    total_duration_ms: int
    total_cost: _usage_pb2.Cost
    total_cost_usd: float
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    compensation_performed: bool
    compensated_steps: _containers.RepeatedScalarFieldContainer[str]
    failed_compensations: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, execution_id: _Optional[str] = ..., pipeline_name: _Optional[str] = ..., pipeline_version: _Optional[str] = ..., success: _Optional[bool] = ..., completed_steps: _Optional[_Iterable[str]] = ..., failed_step: _Optional[str] = ..., error: _Optional[str] = ..., error_code: _Optional[str] = ..., output: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., step_results: _Optional[_Mapping[str, PipelineStepResult]] = ..., total_duration_ms: _Optional[int] = ..., total_cost: _Optional[_Union[_usage_pb2.Cost, _Mapping]] = ..., total_cost_usd: _Optional[float] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., compensation_performed: _Optional[bool] = ..., compensated_steps: _Optional[_Iterable[str]] = ..., failed_compensations: _Optional[_Iterable[str]] = ...) -> None: ...

class PipelineStepResult(_message.Message):
    __slots__ = ("step_name", "status", "provider_used", "fallbacks_attempted", "retries", "duration_ms", "cost", "cost_usd", "error", "error_code", "skipped_reason", "output_key", "output", "usage", "execution_ids", "start_time", "end_time")
    STEP_NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_USED_FIELD_NUMBER: _ClassVar[int]
    FALLBACKS_ATTEMPTED_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ERROR_CODE_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_REASON_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_KEY_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_IDS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    step_name: str
    status: str
    provider_used: str
    fallbacks_attempted: _containers.RepeatedScalarFieldContainer[str]
    retries: int
    duration_ms: int
    cost: _usage_pb2.Cost
    cost_usd: float
    error: str
    error_code: str
    skipped_reason: str
    output_key: str
    output: _struct_pb2.Value
    usage: _usage_pb2.Usage
    execution_ids: _containers.RepeatedScalarFieldContainer[str]
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    def __init__(self, step_name: _Optional[str] = ..., status: _Optional[str] = ..., provider_used: _Optional[str] = ..., fallbacks_attempted: _Optional[_Iterable[str]] = ..., retries: _Optional[int] = ..., duration_ms: _Optional[int] = ..., cost: _Optional[_Union[_usage_pb2.Cost, _Mapping]] = ..., cost_usd: _Optional[float] = ..., error: _Optional[str] = ..., error_code: _Optional[str] = ..., skipped_reason: _Optional[str] = ..., output_key: _Optional[str] = ..., output: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., usage: _Optional[_Union[_usage_pb2.Usage, _Mapping]] = ..., execution_ids: _Optional[_Iterable[str]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
