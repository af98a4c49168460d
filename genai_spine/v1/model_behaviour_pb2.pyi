from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OptionAction(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPTION_ACTION_UNSPECIFIED: _ClassVar[OptionAction]
    OPTION_ACTION_ACCEPTED: _ClassVar[OptionAction]
    OPTION_ACTION_DROPPED: _ClassVar[OptionAction]
    OPTION_ACTION_MAPPED: _ClassVar[OptionAction]
    OPTION_ACTION_REFUSED: _ClassVar[OptionAction]
OPTION_ACTION_UNSPECIFIED: OptionAction
OPTION_ACTION_ACCEPTED: OptionAction
OPTION_ACTION_DROPPED: OptionAction
OPTION_ACTION_MAPPED: OptionAction
OPTION_ACTION_REFUSED: OptionAction

class BehaviourOption(_message.Message):
    __slots__ = ("option", "action", "mapped_to", "when", "row")
    OPTION_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    MAPPED_TO_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    option: str
    action: OptionAction
    mapped_to: str
    when: str
    row: str
    def __init__(self, option: _Optional[str] = ..., action: _Optional[_Union[OptionAction, str]] = ..., mapped_to: _Optional[str] = ..., when: _Optional[str] = ..., row: _Optional[str] = ...) -> None: ...

class BehaviourRow(_message.Message):
    __slots__ = ("name", "provider", "model", "except_model", "valid_from", "valid_to", "source", "evidence", "checked_on", "age_days", "options", "effort_levels", "has_effort", "api_version", "authentication", "facts", "probe_models")
    class FactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_MODEL_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    VALID_TO_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    CHECKED_ON_FIELD_NUMBER: _ClassVar[int]
    AGE_DAYS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    EFFORT_LEVELS_FIELD_NUMBER: _ClassVar[int]
    HAS_EFFORT_FIELD_NUMBER: _ClassVar[int]
    API_VERSION_FIELD_NUMBER: _ClassVar[int]
    AUTHENTICATION_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    PROBE_MODELS_FIELD_NUMBER: _ClassVar[int]
    name: str
    provider: str
    model: str
    except_model: str
    valid_from: str
    valid_to: str
    source: str
    evidence: str
    checked_on: str
    age_days: int
    options: _containers.RepeatedCompositeFieldContainer[BehaviourOption]
    effort_levels: _containers.RepeatedScalarFieldContainer[str]
    has_effort: bool
    api_version: str
    authentication: str
    facts: _containers.ScalarMap[str, str]
    probe_models: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., provider: _Optional[str] = ..., model: _Optional[str] = ..., except_model: _Optional[str] = ..., valid_from: _Optional[str] = ..., valid_to: _Optional[str] = ..., source: _Optional[str] = ..., evidence: _Optional[str] = ..., checked_on: _Optional[str] = ..., age_days: _Optional[int] = ..., options: _Optional[_Iterable[_Union[BehaviourOption, _Mapping]]] = ..., effort_levels: _Optional[_Iterable[str]] = ..., has_effort: _Optional[bool] = ..., api_version: _Optional[str] = ..., authentication: _Optional[str] = ..., facts: _Optional[_Mapping[str, str]] = ..., probe_models: _Optional[_Iterable[str]] = ...) -> None: ...

class ModelBehaviour(_message.Message):
    __slots__ = ("provider", "model", "book_version", "options", "effort_levels", "has_effort", "api_version", "authentication", "facts", "rows")
    class FactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    BOOK_VERSION_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    EFFORT_LEVELS_FIELD_NUMBER: _ClassVar[int]
    HAS_EFFORT_FIELD_NUMBER: _ClassVar[int]
    API_VERSION_FIELD_NUMBER: _ClassVar[int]
    AUTHENTICATION_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    provider: str
    model: str
    book_version: str
    options: _containers.RepeatedCompositeFieldContainer[BehaviourOption]
    effort_levels: _containers.RepeatedScalarFieldContainer[str]
    has_effort: bool
    api_version: str
    authentication: str
    facts: _containers.ScalarMap[str, str]
    rows: _containers.RepeatedCompositeFieldContainer[BehaviourRow]
    def __init__(self, provider: _Optional[str] = ..., model: _Optional[str] = ..., book_version: _Optional[str] = ..., options: _Optional[_Iterable[_Union[BehaviourOption, _Mapping]]] = ..., effort_levels: _Optional[_Iterable[str]] = ..., has_effort: _Optional[bool] = ..., api_version: _Optional[str] = ..., authentication: _Optional[str] = ..., facts: _Optional[_Mapping[str, str]] = ..., rows: _Optional[_Iterable[_Union[BehaviourRow, _Mapping]]] = ...) -> None: ...

class BehaviourDrift(_message.Message):
    __slots__ = ("model", "option", "expected", "observed", "row")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    OPTION_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    ROW_FIELD_NUMBER: _ClassVar[int]
    model: str
    option: str
    expected: OptionAction
    observed: str
    row: str
    def __init__(self, model: _Optional[str] = ..., option: _Optional[str] = ..., expected: _Optional[_Union[OptionAction, str]] = ..., observed: _Optional[str] = ..., row: _Optional[str] = ...) -> None: ...
