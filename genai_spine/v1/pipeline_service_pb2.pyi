import datetime

from genai_spine.v1 import access_rules_pb2 as _access_rules_pb2
from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from genai_spine.v1 import pipeline_pb2 as _pipeline_pb2
from genai_spine.v1 import run_pb2 as _run_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Pipeline(_message.Message):
    __slots__ = ("id", "definition", "yaml", "version", "is_system", "is_active", "create_time", "update_time", "created_by", "etag", "change_notes", "name", "description", "tags", "step_count", "required_capabilities", "estimated_duration_seconds", "estimated_cost_usd")
    ID_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    YAML_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IS_SYSTEM_FIELD_NUMBER: _ClassVar[int]
    IS_ACTIVE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CHANGE_NOTES_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    STEP_COUNT_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_DURATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_COST_USD_FIELD_NUMBER: _ClassVar[int]
    id: str
    definition: _pipeline_pb2.PipelineDefinition
    yaml: str
    version: int
    is_system: bool
    is_active: bool
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    created_by: str
    etag: str
    change_notes: str
    name: str
    description: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    step_count: int
    required_capabilities: _containers.RepeatedScalarFieldContainer[str]
    estimated_duration_seconds: float
    estimated_cost_usd: float
    def __init__(self, id: _Optional[str] = ..., definition: _Optional[_Union[_pipeline_pb2.PipelineDefinition, _Mapping]] = ..., yaml: _Optional[str] = ..., version: _Optional[int] = ..., is_system: _Optional[bool] = ..., is_active: _Optional[bool] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_by: _Optional[str] = ..., etag: _Optional[str] = ..., change_notes: _Optional[str] = ..., name: _Optional[str] = ..., description: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., step_count: _Optional[int] = ..., required_capabilities: _Optional[_Iterable[str]] = ..., estimated_duration_seconds: _Optional[float] = ..., estimated_cost_usd: _Optional[float] = ...) -> None: ...

class PipelineVersion(_message.Message):
    __slots__ = ("pipeline_id", "version", "definition", "change_notes", "create_time", "created_by")
    PIPELINE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    CHANGE_NOTES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    pipeline_id: str
    version: int
    definition: _pipeline_pb2.PipelineDefinition
    change_notes: str
    create_time: _timestamp_pb2.Timestamp
    created_by: str
    def __init__(self, pipeline_id: _Optional[str] = ..., version: _Optional[int] = ..., definition: _Optional[_Union[_pipeline_pb2.PipelineDefinition, _Mapping]] = ..., change_notes: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_by: _Optional[str] = ...) -> None: ...

class ExecutePipelineRequest(_message.Message):
    __slots__ = ("pipeline_name", "pipeline_version", "definition", "input_data", "options", "wait", "dry_run", "budget_limit_usd", "arguments", "async_processing", "input", "async_mode")
    PIPELINE_NAME_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    INPUT_DATA_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    BUDGET_LIMIT_USD_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    ASYNC_PROCESSING_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    ASYNC_MODE_FIELD_NUMBER: _ClassVar[int]
    pipeline_name: str
    pipeline_version: int
    definition: _pipeline_pb2.PipelineDefinition
    input_data: _struct_pb2.Struct
    options: _run_pb2.RunOptions
    wait: _duration_pb2.Duration
    dry_run: bool
    budget_limit_usd: float
    arguments: _struct_pb2.Struct
    async_processing: bool
    input: _struct_pb2.Struct
    async_mode: bool
    def __init__(self, pipeline_name: _Optional[str] = ..., pipeline_version: _Optional[int] = ..., definition: _Optional[_Union[_pipeline_pb2.PipelineDefinition, _Mapping]] = ..., input_data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., options: _Optional[_Union[_run_pb2.RunOptions, _Mapping]] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., dry_run: _Optional[bool] = ..., budget_limit_usd: _Optional[float] = ..., arguments: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., async_processing: _Optional[bool] = ..., input: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., async_mode: _Optional[bool] = ...) -> None: ...

class CreatePipelineRequest(_message.Message):
    __slots__ = ("pipeline",)
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    pipeline: Pipeline
    def __init__(self, pipeline: _Optional[_Union[Pipeline, _Mapping]] = ...) -> None: ...

class GetPipelineRequest(_message.Message):
    __slots__ = ("pipeline_id",)
    PIPELINE_ID_FIELD_NUMBER: _ClassVar[int]
    pipeline_id: str
    def __init__(self, pipeline_id: _Optional[str] = ...) -> None: ...

class ListPipelinesRequest(_message.Message):
    __slots__ = ("tags", "page_size", "page_token")
    TAGS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tags: _containers.RepeatedScalarFieldContainer[str]
    page_size: int
    page_token: str
    def __init__(self, tags: _Optional[_Iterable[str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPipelinesResponse(_message.Message):
    __slots__ = ("pipelines", "next_page_token", "total")
    PIPELINES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    pipelines: _containers.RepeatedCompositeFieldContainer[Pipeline]
    next_page_token: str
    total: int
    def __init__(self, pipelines: _Optional[_Iterable[_Union[Pipeline, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total: _Optional[int] = ...) -> None: ...

class UpdatePipelineRequest(_message.Message):
    __slots__ = ("pipeline_id", "pipeline", "update_mask")
    PIPELINE_ID_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    pipeline_id: str
    pipeline: Pipeline
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, pipeline_id: _Optional[str] = ..., pipeline: _Optional[_Union[Pipeline, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class DeletePipelineRequest(_message.Message):
    __slots__ = ("pipeline_id", "etag")
    PIPELINE_ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    pipeline_id: str
    etag: str
    def __init__(self, pipeline_id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeletePipelineResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPipelineVersionsRequest(_message.Message):
    __slots__ = ("pipeline_id", "page_size", "page_token")
    PIPELINE_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    pipeline_id: str
    page_size: int
    page_token: str
    def __init__(self, pipeline_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPipelineVersionsResponse(_message.Message):
    __slots__ = ("versions", "next_page_token")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[PipelineVersion]
    next_page_token: str
    def __init__(self, versions: _Optional[_Iterable[_Union[PipelineVersion, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetPipelineVersionRequest(_message.Message):
    __slots__ = ("pipeline_id", "version")
    PIPELINE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    pipeline_id: str
    version: int
    def __init__(self, pipeline_id: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ValidatePipelineRequest(_message.Message):
    __slots__ = ("definition", "yaml")
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    YAML_FIELD_NUMBER: _ClassVar[int]
    definition: _pipeline_pb2.PipelineDefinition
    yaml: str
    def __init__(self, definition: _Optional[_Union[_pipeline_pb2.PipelineDefinition, _Mapping]] = ..., yaml: _Optional[str] = ...) -> None: ...

class ValidatePipelineResponse(_message.Message):
    __slots__ = ("valid", "faults", "definition", "yaml")
    VALID_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    YAML_FIELD_NUMBER: _ClassVar[int]
    valid: bool
    faults: _containers.RepeatedCompositeFieldContainer[PipelineFault]
    definition: _pipeline_pb2.PipelineDefinition
    yaml: str
    def __init__(self, valid: _Optional[bool] = ..., faults: _Optional[_Iterable[_Union[PipelineFault, _Mapping]]] = ..., definition: _Optional[_Union[_pipeline_pb2.PipelineDefinition, _Mapping]] = ..., yaml: _Optional[str] = ...) -> None: ...

class PipelineFault(_message.Message):
    __slots__ = ("path", "message")
    PATH_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    path: str
    message: str
    def __init__(self, path: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class EstimatePipelineRequest(_message.Message):
    __slots__ = ("pipeline_name", "pipeline_version", "definition", "input_data", "arguments", "input")
    PIPELINE_NAME_FIELD_NUMBER: _ClassVar[int]
    PIPELINE_VERSION_FIELD_NUMBER: _ClassVar[int]
    DEFINITION_FIELD_NUMBER: _ClassVar[int]
    INPUT_DATA_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    pipeline_name: str
    pipeline_version: int
    definition: _pipeline_pb2.PipelineDefinition
    input_data: _struct_pb2.Struct
    arguments: _struct_pb2.Struct
    input: _struct_pb2.Struct
    def __init__(self, pipeline_name: _Optional[str] = ..., pipeline_version: _Optional[int] = ..., definition: _Optional[_Union[_pipeline_pb2.PipelineDefinition, _Mapping]] = ..., input_data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., arguments: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., input: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class EstimatePipelineResponse(_message.Message):
    __slots__ = ("estimated_cost_usd", "estimated_duration_seconds", "step_estimates", "budget_status", "can_execute", "warning")
    class StepEstimatesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: PipelineStepEstimate
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[PipelineStepEstimate, _Mapping]] = ...) -> None: ...
    ESTIMATED_COST_USD_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_DURATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    STEP_ESTIMATES_FIELD_NUMBER: _ClassVar[int]
    BUDGET_STATUS_FIELD_NUMBER: _ClassVar[int]
    CAN_EXECUTE_FIELD_NUMBER: _ClassVar[int]
    WARNING_FIELD_NUMBER: _ClassVar[int]
    estimated_cost_usd: float
    estimated_duration_seconds: float
    step_estimates: _containers.MessageMap[str, PipelineStepEstimate]
    budget_status: str
    can_execute: bool
    warning: str
    def __init__(self, estimated_cost_usd: _Optional[float] = ..., estimated_duration_seconds: _Optional[float] = ..., step_estimates: _Optional[_Mapping[str, PipelineStepEstimate]] = ..., budget_status: _Optional[str] = ..., can_execute: _Optional[bool] = ..., warning: _Optional[str] = ...) -> None: ...

class PipelineStepEstimate(_message.Message):
    __slots__ = ("providers", "estimated_cost_usd", "estimated_duration_seconds", "input_tokens", "output_tokens")
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_COST_USD_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_DURATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    providers: _containers.RepeatedScalarFieldContainer[str]
    estimated_cost_usd: float
    estimated_duration_seconds: float
    input_tokens: int
    output_tokens: int
    def __init__(self, providers: _Optional[_Iterable[str]] = ..., estimated_cost_usd: _Optional[float] = ..., estimated_duration_seconds: _Optional[float] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ...) -> None: ...

class GetPipelineProgressRequest(_message.Message):
    __slots__ = ("execution_id",)
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    def __init__(self, execution_id: _Optional[str] = ...) -> None: ...

class PipelineProgress(_message.Message):
    __slots__ = ("execution_id", "status", "progress_percent", "message", "current_step", "steps_completed", "total_steps", "estimated_remaining_seconds", "current_cost_usd")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_PERCENT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    CURRENT_STEP_FIELD_NUMBER: _ClassVar[int]
    STEPS_COMPLETED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_REMAINING_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_COST_USD_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    status: str
    progress_percent: float
    message: str
    current_step: str
    steps_completed: int
    total_steps: int
    estimated_remaining_seconds: float
    current_cost_usd: float
    def __init__(self, execution_id: _Optional[str] = ..., status: _Optional[str] = ..., progress_percent: _Optional[float] = ..., message: _Optional[str] = ..., current_step: _Optional[str] = ..., steps_completed: _Optional[int] = ..., total_steps: _Optional[int] = ..., estimated_remaining_seconds: _Optional[float] = ..., current_cost_usd: _Optional[float] = ...) -> None: ...

class GetPipelineResultRequest(_message.Message):
    __slots__ = ("execution_id",)
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    def __init__(self, execution_id: _Optional[str] = ...) -> None: ...

class ListPipelineCapabilitiesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPipelineCapabilitiesResponse(_message.Message):
    __slots__ = ("capabilities", "next_page_token")
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    capabilities: _containers.RepeatedCompositeFieldContainer[PipelineCapability]
    next_page_token: str
    def __init__(self, capabilities: _Optional[_Iterable[_Union[PipelineCapability, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class PipelineCapability(_message.Message):
    __slots__ = ("capability", "providers", "default_provider", "work")
    CAPABILITY_FIELD_NUMBER: _ClassVar[int]
    PROVIDERS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    WORK_FIELD_NUMBER: _ClassVar[int]
    capability: str
    providers: _containers.RepeatedScalarFieldContainer[str]
    default_provider: str
    work: str
    def __init__(self, capability: _Optional[str] = ..., providers: _Optional[_Iterable[str]] = ..., default_provider: _Optional[str] = ..., work: _Optional[str] = ...) -> None: ...
