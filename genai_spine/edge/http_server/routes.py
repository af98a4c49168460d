"""Routes of the HTTP server: OpenAI's paths that take a body, found by the contract's own annotations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from google.api import annotations_pb2
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.descriptor import MethodDescriptor

from genai_spine.v1 import openai_service_pb2

HEALTH = "/healthz"
PREFIX = "/api"  # that older callers put before a path


def _path(method: MethodDescriptor) -> str | None:
    """Path of a method that takes the bytes of a POST as they are; None: it takes something else."""
    rule: Any = method.GetOptions().Extensions[annotations_pb2.http]
    takes_bytes = method.input_type.full_name == HttpBody.DESCRIPTOR.full_name
    return rule.post if takes_bytes and rule.post and "{" not in rule.post else None


def _full_name(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"


@dataclass(frozen=True, slots=True)
class Site:
    """Site that an HTTP server is: its paths, and the names that it is called by."""

    routes: Mapping[str, str]  # path -> full method on the wire; "": the health of the server
    has_any_name: bool  # else those of this machine only: any other is a page's that points here


_SERVICE = openai_service_pb2.DESCRIPTOR.services_by_name["OpenAIService"]
# Path -> full method on the wire.
ROUTES = {path: _full_name(method) for method in _SERVICE.methods if (path := _path(method))}
STREAMING = frozenset(_full_name(method) for method in _SERVICE.methods if method.server_streaming)
