from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OptionWarning(_message.Message):
    __slots__ = ("option", "action", "value_used", "reason")
    class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ACTION_UNSPECIFIED: _ClassVar[OptionWarning.Action]
        ACTION_DROPPED: _ClassVar[OptionWarning.Action]
        ACTION_MAPPED: _ClassVar[OptionWarning.Action]
    ACTION_UNSPECIFIED: OptionWarning.Action
    ACTION_DROPPED: OptionWarning.Action
    ACTION_MAPPED: OptionWarning.Action
    OPTION_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    VALUE_USED_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    option: str
    action: OptionWarning.Action
    value_used: str
    reason: str
    def __init__(self, option: _Optional[str] = ..., action: _Optional[_Union[OptionWarning.Action, str]] = ..., value_used: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...
