"""Method options: what the contract says of an RPC beyond its messages."""

from typing import Any

from google.protobuf.descriptor import MethodDescriptor

from genai_spine.v1 import access_rules_pb2, method_rules_pb2


def is_paid(method: MethodDescriptor) -> bool:
    """Whether calls of the method may cost money."""
    options: Any = method.GetOptions()
    return bool(options.Extensions[method_rules_pb2.paid])


def scope(method: MethodDescriptor) -> str:
    """Scope that a key needs for the method; empty: the contract says nothing."""
    options: Any = method.GetOptions()
    return str(options.Extensions[access_rules_pb2.scope])
