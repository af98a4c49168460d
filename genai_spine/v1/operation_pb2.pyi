from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class Operation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OPERATION_UNSPECIFIED: _ClassVar[Operation]
    OPERATION_COMPLETION: _ClassVar[Operation]
    OPERATION_EMBEDDINGS: _ClassVar[Operation]
    OPERATION_IMAGE: _ClassVar[Operation]
    OPERATION_TRANSCRIPTION: _ClassVar[Operation]
    OPERATION_SPEECH: _ClassVar[Operation]
    OPERATION_BATCH: _ClassVar[Operation]
OPERATION_UNSPECIFIED: Operation
OPERATION_COMPLETION: Operation
OPERATION_EMBEDDINGS: Operation
OPERATION_IMAGE: Operation
OPERATION_TRANSCRIPTION: Operation
OPERATION_SPEECH: Operation
OPERATION_BATCH: Operation
