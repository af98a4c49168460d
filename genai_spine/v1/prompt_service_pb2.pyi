import datetime

from genai_spine.v1 import access_rules_pb2 as _access_rules_pb2
from genai_spine.v1 import capability_result_pb2 as _capability_result_pb2
from genai_spine.v1 import completion_service_pb2 as _completion_service_pb2
from genai_spine.v1 import field_rules_pb2 as _field_rules_pb2
from genai_spine.v1 import method_rules_pb2 as _method_rules_pb2
from genai_spine.v1 import stream_error_pb2 as _stream_error_pb2
from google.api import annotations_pb2 as _annotations_pb2
from google.api import httpbody_pb2 as _httpbody_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PromptVariable(_message.Message):
    __slots__ = ("name", "description", "type", "required", "default", "options")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    type: str
    required: bool
    default: _struct_pb2.Value
    options: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., type: _Optional[str] = ..., required: _Optional[bool] = ..., default: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., options: _Optional[_Iterable[str]] = ...) -> None: ...

class Prompt(_message.Message):
    __slots__ = ("id", "name", "slug", "description", "category", "tags", "system_prompt", "user_prompt_template", "template", "variables", "preferred_provider", "preferred_model", "default_model", "temperature", "default_temperature", "max_tokens", "output_schema", "is_public", "is_system", "is_active", "version", "create_time", "update_time", "etag", "created_by", "labels", "change_notes", "versions", "created_at", "updated_at")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SLUG_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_PROMPT_FIELD_NUMBER: _ClassVar[int]
    USER_PROMPT_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    PREFERRED_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PREFERRED_MODEL_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MODEL_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    IS_PUBLIC_FIELD_NUMBER: _ClassVar[int]
    IS_SYSTEM_FIELD_NUMBER: _ClassVar[int]
    IS_ACTIVE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CHANGE_NOTES_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    slug: str
    description: str
    category: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    system_prompt: str
    user_prompt_template: str
    template: str
    variables: _containers.RepeatedCompositeFieldContainer[PromptVariable]
    preferred_provider: str
    preferred_model: str
    default_model: str
    temperature: float
    default_temperature: float
    max_tokens: int
    output_schema: _struct_pb2.Struct
    is_public: bool
    is_system: bool
    is_active: bool
    version: int
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    etag: str
    created_by: str
    labels: _containers.ScalarMap[str, int]
    change_notes: str
    versions: _containers.RepeatedCompositeFieldContainer[PromptVersion]
    created_at: _timestamp_pb2.Timestamp
    updated_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., slug: _Optional[str] = ..., description: _Optional[str] = ..., category: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., system_prompt: _Optional[str] = ..., user_prompt_template: _Optional[str] = ..., template: _Optional[str] = ..., variables: _Optional[_Iterable[_Union[PromptVariable, _Mapping]]] = ..., preferred_provider: _Optional[str] = ..., preferred_model: _Optional[str] = ..., default_model: _Optional[str] = ..., temperature: _Optional[float] = ..., default_temperature: _Optional[float] = ..., max_tokens: _Optional[int] = ..., output_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., is_public: _Optional[bool] = ..., is_system: _Optional[bool] = ..., is_active: _Optional[bool] = ..., version: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., etag: _Optional[str] = ..., created_by: _Optional[str] = ..., labels: _Optional[_Mapping[str, int]] = ..., change_notes: _Optional[str] = ..., versions: _Optional[_Iterable[_Union[PromptVersion, _Mapping]]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., updated_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class PromptVersion(_message.Message):
    __slots__ = ("id", "prompt_id", "version", "system_prompt", "user_prompt_template", "variables", "preferred_provider", "preferred_model", "temperature", "max_tokens", "output_schema", "change_notes", "create_time", "created_at")
    ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_PROMPT_FIELD_NUMBER: _ClassVar[int]
    USER_PROMPT_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    PREFERRED_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PREFERRED_MODEL_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    CHANGE_NOTES_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    prompt_id: str
    version: int
    system_prompt: str
    user_prompt_template: str
    variables: _containers.RepeatedCompositeFieldContainer[PromptVariable]
    preferred_provider: str
    preferred_model: str
    temperature: float
    max_tokens: int
    output_schema: _struct_pb2.Struct
    change_notes: str
    create_time: _timestamp_pb2.Timestamp
    created_at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., prompt_id: _Optional[str] = ..., version: _Optional[int] = ..., system_prompt: _Optional[str] = ..., user_prompt_template: _Optional[str] = ..., variables: _Optional[_Iterable[_Union[PromptVariable, _Mapping]]] = ..., preferred_provider: _Optional[str] = ..., preferred_model: _Optional[str] = ..., temperature: _Optional[float] = ..., max_tokens: _Optional[int] = ..., output_schema: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., change_notes: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListPromptsRequest(_message.Message):
    __slots__ = ("category", "tags", "tag", "search", "is_system", "is_public", "include_inactive", "limit", "offset", "page_size", "page_token")
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    TAG_FIELD_NUMBER: _ClassVar[int]
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    IS_SYSTEM_FIELD_NUMBER: _ClassVar[int]
    IS_PUBLIC_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_INACTIVE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    category: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    tag: _containers.RepeatedScalarFieldContainer[str]
    search: str
    is_system: bool
    is_public: bool
    include_inactive: bool
    limit: int
    offset: int
    page_size: int
    page_token: str
    def __init__(self, category: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., tag: _Optional[_Iterable[str]] = ..., search: _Optional[str] = ..., is_system: _Optional[bool] = ..., is_public: _Optional[bool] = ..., include_inactive: _Optional[bool] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPromptsResponse(_message.Message):
    __slots__ = ("prompts", "total", "limit", "offset", "next_page_token")
    PROMPTS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    prompts: _containers.RepeatedCompositeFieldContainer[Prompt]
    total: int
    limit: int
    offset: int
    next_page_token: str
    def __init__(self, prompts: _Optional[_Iterable[_Union[Prompt, _Mapping]]] = ..., total: _Optional[int] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CreatePromptRequest(_message.Message):
    __slots__ = ("prompt",)
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    prompt: Prompt
    def __init__(self, prompt: _Optional[_Union[Prompt, _Mapping]] = ...) -> None: ...

class GetPromptRequest(_message.Message):
    __slots__ = ("prompt_id", "slug", "include_versions")
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    SLUG_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_VERSIONS_FIELD_NUMBER: _ClassVar[int]
    prompt_id: str
    slug: str
    include_versions: bool
    def __init__(self, prompt_id: _Optional[str] = ..., slug: _Optional[str] = ..., include_versions: _Optional[bool] = ...) -> None: ...

class UpdatePromptRequest(_message.Message):
    __slots__ = ("prompt_id", "prompt", "update_mask")
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    prompt_id: str
    prompt: Prompt
    update_mask: _field_mask_pb2.FieldMask
    def __init__(self, prompt_id: _Optional[str] = ..., prompt: _Optional[_Union[Prompt, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class DeletePromptRequest(_message.Message):
    __slots__ = ("prompt_id", "hard", "etag")
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    HARD_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    prompt_id: str
    hard: bool
    etag: str
    def __init__(self, prompt_id: _Optional[str] = ..., hard: _Optional[bool] = ..., etag: _Optional[str] = ...) -> None: ...

class DeletePromptResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPromptVersionsRequest(_message.Message):
    __slots__ = ("prompt_id", "limit", "offset", "page_size", "page_token")
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    prompt_id: str
    limit: int
    offset: int
    page_size: int
    page_token: str
    def __init__(self, prompt_id: _Optional[str] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPromptVersionsArrayRequest(_message.Message):
    __slots__ = ("prompt_id", "limit", "offset", "page_size", "page_token")
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    prompt_id: str
    limit: int
    offset: int
    page_size: int
    page_token: str
    def __init__(self, prompt_id: _Optional[str] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPromptVersionsResponse(_message.Message):
    __slots__ = ("versions", "total", "next_page_token")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedCompositeFieldContainer[PromptVersion]
    total: int
    next_page_token: str
    def __init__(self, versions: _Optional[_Iterable[_Union[PromptVersion, _Mapping]]] = ..., total: _Optional[int] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetPromptVersionRequest(_message.Message):
    __slots__ = ("prompt_id", "version")
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    prompt_id: str
    version: str
    def __init__(self, prompt_id: _Optional[str] = ..., version: _Optional[str] = ...) -> None: ...

class RollbackPromptRequest(_message.Message):
    __slots__ = ("prompt_id", "version", "etag")
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    prompt_id: str
    version: int
    etag: str
    def __init__(self, prompt_id: _Optional[str] = ..., version: _Optional[int] = ..., etag: _Optional[str] = ...) -> None: ...

class DiffPromptVersionsRequest(_message.Message):
    __slots__ = ("prompt_id", "to")
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    prompt_id: str
    to: str
    def __init__(self, prompt_id: _Optional[str] = ..., to: _Optional[str] = ..., **kwargs) -> None: ...

class FieldDiff(_message.Message):
    __slots__ = ("field", "before", "after", "unified")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    UNIFIED_FIELD_NUMBER: _ClassVar[int]
    field: str
    before: str
    after: str
    unified: str
    def __init__(self, field: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ..., unified: _Optional[str] = ...) -> None: ...

class DiffPromptVersionsResponse(_message.Message):
    __slots__ = ("from_version", "to_version", "fields")
    FROM_VERSION_FIELD_NUMBER: _ClassVar[int]
    TO_VERSION_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    from_version: int
    to_version: int
    fields: _containers.RepeatedCompositeFieldContainer[FieldDiff]
    def __init__(self, from_version: _Optional[int] = ..., to_version: _Optional[int] = ..., fields: _Optional[_Iterable[_Union[FieldDiff, _Mapping]]] = ...) -> None: ...

class SetPromptLabelRequest(_message.Message):
    __slots__ = ("prompt_id", "label", "version", "etag")
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    prompt_id: str
    label: str
    version: int
    etag: str
    def __init__(self, prompt_id: _Optional[str] = ..., label: _Optional[str] = ..., version: _Optional[int] = ..., etag: _Optional[str] = ...) -> None: ...

class DeletePromptLabelRequest(_message.Message):
    __slots__ = ("prompt_id", "label", "etag")
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    prompt_id: str
    label: str
    etag: str
    def __init__(self, prompt_id: _Optional[str] = ..., label: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeletePromptLabelResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RenderPromptRequest(_message.Message):
    __slots__ = ("prompt_id", "variables", "version")
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    prompt_id: str
    variables: _struct_pb2.Struct
    version: str
    def __init__(self, prompt_id: _Optional[str] = ..., variables: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., version: _Optional[str] = ...) -> None: ...

class RenderedPrompt(_message.Message):
    __slots__ = ("system_prompt", "user_prompt", "variables_used", "variables_defaulted", "version")
    SYSTEM_PROMPT_FIELD_NUMBER: _ClassVar[int]
    USER_PROMPT_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_USED_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_DEFAULTED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    system_prompt: str
    user_prompt: str
    variables_used: _struct_pb2.Struct
    variables_defaulted: _containers.RepeatedScalarFieldContainer[str]
    version: int
    def __init__(self, system_prompt: _Optional[str] = ..., user_prompt: _Optional[str] = ..., variables_used: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., variables_defaulted: _Optional[_Iterable[str]] = ..., version: _Optional[int] = ...) -> None: ...

class PromptOptions(_message.Message):
    __slots__ = ("provider", "model", "temperature", "max_tokens")
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    provider: str
    model: str
    temperature: float
    max_tokens: int
    def __init__(self, provider: _Optional[str] = ..., model: _Optional[str] = ..., temperature: _Optional[float] = ..., max_tokens: _Optional[int] = ...) -> None: ...

class ExecutePromptRequest(_message.Message):
    __slots__ = ("prompt_id", "prompt_slug", "variables", "options", "model", "temperature", "version", "metadata", "response_format", "wait", "user", "cost_labels", "idempotency_key", "resume_after")
    class CostLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_SLUG_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FORMAT_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    COST_LABELS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    RESUME_AFTER_FIELD_NUMBER: _ClassVar[int]
    prompt_id: str
    prompt_slug: str
    variables: _struct_pb2.Struct
    options: PromptOptions
    model: str
    temperature: float
    version: str
    metadata: _struct_pb2.Struct
    response_format: str
    wait: bool
    user: str
    cost_labels: _containers.ScalarMap[str, str]
    idempotency_key: str
    resume_after: int
    def __init__(self, prompt_id: _Optional[str] = ..., prompt_slug: _Optional[str] = ..., variables: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., options: _Optional[_Union[PromptOptions, _Mapping]] = ..., model: _Optional[str] = ..., temperature: _Optional[float] = ..., version: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., response_format: _Optional[str] = ..., wait: _Optional[bool] = ..., user: _Optional[str] = ..., cost_labels: _Optional[_Mapping[str, str]] = ..., idempotency_key: _Optional[str] = ..., resume_after: _Optional[int] = ...) -> None: ...

class ExecutePromptUsage(_message.Message):
    __slots__ = ("total_tokens", "cost")
    TOTAL_TOKENS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    total_tokens: int
    cost: float
    def __init__(self, total_tokens: _Optional[int] = ..., cost: _Optional[float] = ...) -> None: ...

class ExecutePromptResponse(_message.Message):
    __slots__ = ("output", "content", "id", "request_id", "execution_id", "prompt_id", "prompt_slug", "prompt_name", "prompt_version", "variables_used", "provider", "model", "input_tokens", "output_tokens", "latency_ms", "cost_usd", "cost_ticks", "price_known", "usage", "parsed", "finish_reason", "result", "run_id", "status")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_SLUG_FIELD_NUMBER: _ClassVar[int]
    PROMPT_NAME_FIELD_NUMBER: _ClassVar[int]
    PROMPT_VERSION_FIELD_NUMBER: _ClassVar[int]
    VARIABLES_USED_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    COST_USD_FIELD_NUMBER: _ClassVar[int]
    COST_TICKS_FIELD_NUMBER: _ClassVar[int]
    PRICE_KNOWN_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    PARSED_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    output: str
    content: str
    id: str
    request_id: str
    execution_id: str
    prompt_id: str
    prompt_slug: str
    prompt_name: str
    prompt_version: int
    variables_used: _struct_pb2.Struct
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    latency_ms: int
    cost_usd: float
    cost_ticks: int
    price_known: bool
    usage: ExecutePromptUsage
    parsed: _struct_pb2.Value
    finish_reason: _completion_service_pb2.FinishReason
    result: _capability_result_pb2.CapabilityResult
    run_id: str
    status: str
    def __init__(self, output: _Optional[str] = ..., content: _Optional[str] = ..., id: _Optional[str] = ..., request_id: _Optional[str] = ..., execution_id: _Optional[str] = ..., prompt_id: _Optional[str] = ..., prompt_slug: _Optional[str] = ..., prompt_name: _Optional[str] = ..., prompt_version: _Optional[int] = ..., variables_used: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., input_tokens: _Optional[int] = ..., output_tokens: _Optional[int] = ..., latency_ms: _Optional[int] = ..., cost_usd: _Optional[float] = ..., cost_ticks: _Optional[int] = ..., price_known: _Optional[bool] = ..., usage: _Optional[_Union[ExecutePromptUsage, _Mapping]] = ..., parsed: _Optional[_Union[_struct_pb2.Value, _Mapping]] = ..., finish_reason: _Optional[_Union[_completion_service_pb2.FinishReason, str]] = ..., result: _Optional[_Union[_capability_result_pb2.CapabilityResult, _Mapping]] = ..., run_id: _Optional[str] = ..., status: _Optional[str] = ...) -> None: ...

class PromptEvent(_message.Message):
    __slots__ = ("text", "result", "error", "sequence")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    text: str
    result: ExecutePromptResponse
    error: _stream_error_pb2.StreamError
    sequence: int
    def __init__(self, text: _Optional[str] = ..., result: _Optional[_Union[ExecutePromptResponse, _Mapping]] = ..., error: _Optional[_Union[_stream_error_pb2.StreamError, _Mapping]] = ..., sequence: _Optional[int] = ...) -> None: ...

class ExportPromptsRequest(_message.Message):
    __slots__ = ("prompt_ids", "include_system")
    PROMPT_IDS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_SYSTEM_FIELD_NUMBER: _ClassVar[int]
    prompt_ids: _containers.RepeatedScalarFieldContainer[str]
    include_system: bool
    def __init__(self, prompt_ids: _Optional[_Iterable[str]] = ..., include_system: _Optional[bool] = ...) -> None: ...

class ExportPromptsResponse(_message.Message):
    __slots__ = ("yaml", "prompt_count")
    YAML_FIELD_NUMBER: _ClassVar[int]
    PROMPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    yaml: str
    prompt_count: int
    def __init__(self, yaml: _Optional[str] = ..., prompt_count: _Optional[int] = ...) -> None: ...

class ImportPromptsRequest(_message.Message):
    __slots__ = ("yaml", "dry_run")
    YAML_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    yaml: str
    dry_run: bool
    def __init__(self, yaml: _Optional[str] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class ImportPromptsResponse(_message.Message):
    __slots__ = ("created", "updated", "unchanged")
    CREATED_FIELD_NUMBER: _ClassVar[int]
    UPDATED_FIELD_NUMBER: _ClassVar[int]
    UNCHANGED_FIELD_NUMBER: _ClassVar[int]
    created: _containers.RepeatedScalarFieldContainer[str]
    updated: _containers.RepeatedScalarFieldContainer[str]
    unchanged: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, created: _Optional[_Iterable[str]] = ..., updated: _Optional[_Iterable[str]] = ..., unchanged: _Optional[_Iterable[str]] = ...) -> None: ...
