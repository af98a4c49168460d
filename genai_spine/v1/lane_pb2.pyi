from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class Lane(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LANE_UNSPECIFIED: _ClassVar[Lane]
    LANE_CPU: _ClassVar[Lane]
    LANE_GPU: _ClassVar[Lane]
    LANE_BATCH: _ClassVar[Lane]
LANE_UNSPECIFIED: Lane
LANE_CPU: Lane
LANE_GPU: Lane
LANE_BATCH: Lane
