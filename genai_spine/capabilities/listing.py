"""Capability listing for tools: names, descriptions and JSON Schemas, generated from the protos."""

import base64
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from genai_spine.capabilities.base import Capability
from genai_spine.errors import InvalidRequest
from genai_spine.json_schema.from_proto import ProtoSchemas, Schema
from genai_spine.v1 import capability_service_pb2 as pb

DEFAULT_PAGE_SIZE = 100
SERVICE = pb.DESCRIPTOR.services_by_name["CapabilityService"]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
COMPONENTS = "#/components/schemas/"


class CapabilityList:
    """List of all capabilities, built once; a call only cuts out its page."""

    def __init__(self, capabilities: Mapping[str, Capability[Any, Any]]) -> None:
        protos = FileDescriptorSet.FromString(
            files("genai_spine").joinpath("v1/descriptors.binpb").read_bytes()
        )
        self._schemas = ProtoSchemas(protos)
        self._infos = [self._info(name, capabilities[name]) for name in sorted(capabilities)]

    def page(self, request: pb.ListCapabilitiesRequest) -> pb.ListCapabilitiesResponse:
        """Page in the order of names. Errors: InvalidRequest (bad page token)."""
        after = _name_of(request.page_token)
        rest = [info for info in self._infos if info.name > after]
        size = request.page_size or DEFAULT_PAGE_SIZE
        response = pb.ListCapabilitiesResponse(capabilities=rest[:size])
        if len(rest) > size:
            response.next_page_token = base64.urlsafe_b64encode(rest[size - 1].name.encode()).decode()
        return response

    def _info(self, name: str, capability: Capability[Any, Any]) -> pb.CapabilityInfo:
        """Entry of one capability: its RPC, REST path, prompts and both schemas."""
        method: Any = self._schemas.pool.FindMethodByName(f"{SERVICE.full_name}.{capability.METHOD}")
        comment = self._schemas.comments[method.full_name].removeprefix(f"{method.name} ")
        text = re.split(r"\s+Errors\b", comment)[0]
        info = pb.CapabilityInfo(
            name=name,
            description=text[0].upper() + text[1:],
            method=f"{SERVICE.full_name}/{method.name}",
            path=method.GetOptions().Extensions[annotations_pb2.http].post,
            prompt_slugs=capability.slugs(),
            streams=True,
        )
        info.input_schema.update(self._schema(method.input_type))
        info.output_schema.update(self._schema(method.output_type))
        return info

    def _schema(self, descriptor: Any) -> Schema:
        """The schema of a message with all that it refers to inside."""
        self._schemas.components.clear()
        schema = self._schemas.message(descriptor)
        inner = dict(self._schemas.components)
        whole = {"$schema": DIALECT, "title": descriptor.name, **schema}
        local: Schema = _local({**whole, "$defs": inner} if inner else whole)
        return local


def _local(value: Any) -> Any:
    """References into the OpenAPI document become references into $defs."""
    if isinstance(value, dict):
        return {
            key: f"#/$defs/{inner.removeprefix(COMPONENTS)}" if key == "$ref" else _local(inner)
            for key, inner in value.items()
        }
    return [_local(inner) for inner in value] if isinstance(value, list) else value


def _name_of(token: str) -> str:
    """Name in a page token. Errors: InvalidRequest."""
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        raise InvalidRequest(field="page_token", problem="not a token that this service gave") from None
