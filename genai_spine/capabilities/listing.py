"""Capability listing for tools: names, descriptions and JSON Schemas, generated from the protos."""

import re
from collections.abc import Mapping
from functools import cached_property
from importlib.resources import files
from typing import Any

from google.api import annotations_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from genai_spine import page_tokens
from genai_spine.capabilities.base import Capability
from genai_spine.json_schema.from_proto import ProtoSchemas, Schema
from genai_spine.v1 import capability_service_pb2 as pb

DEFAULT_PAGE_SIZE = 100
SERVICE = pb.DESCRIPTOR.services_by_name["CapabilityService"]
DIALECT = "https://json-schema.org/draft/2020-12/schema"
COMPONENTS = "#/components/schemas/"


class CapabilityList:
    """List of all capabilities, built by the first call and not at the start; others cut out a page."""

    def __init__(self, capabilities: Mapping[str, Capability[Any, Any]]) -> None:
        self._capabilities = capabilities

    @cached_property
    def _infos(self) -> list[pb.CapabilityInfo]:
        protos = files("genai_spine").joinpath("v1/descriptors.binpb").read_bytes()
        schemas = ProtoSchemas(FileDescriptorSet.FromString(protos))
        return [_info(schemas, name, self._capabilities[name]) for name in sorted(self._capabilities)]

    def page(self, request: pb.ListCapabilitiesRequest) -> pb.ListCapabilitiesResponse:
        """Page in the order of names. Errors: InvalidFields (page token)."""
        (after,) = page_tokens.place(request, str) or ("",)
        rest = [info for info in self._infos if info.name > after]
        size = page_tokens.size(request, DEFAULT_PAGE_SIZE)
        response = pb.ListCapabilitiesResponse(capabilities=rest[:size])
        if len(rest) > size:
            response.next_page_token = page_tokens.token(request, rest[size - 1].name)
        return response


def _info(schemas: ProtoSchemas, name: str, capability: Capability[Any, Any]) -> pb.CapabilityInfo:
    """Entry of one capability: its RPC, REST path, prompts and both schemas."""
    method: Any = schemas.pool.FindMethodByName(f"{SERVICE.full_name}.{capability.METHOD}")
    comment = schemas.comments[method.full_name].removeprefix(f"{method.name} ")
    text = re.split(r"\s+Errors\b", comment)[0]
    own = method.GetOptions().Extensions[annotations_pb2.http]
    older = [binding.post for binding in own.additional_bindings]
    info = pb.CapabilityInfo(
        name=name,
        description=text[0].upper() + text[1:],
        method=f"{SERVICE.full_name}/{method.name}",
        path=[own.post, *older][-1],
        http_path=own.post,
        prompt_slugs=capability.slugs(),
        streams=True,
    )
    info.input_schema.update(_schema(schemas, method.input_type))
    info.output_schema.update(_schema(schemas, method.output_type))
    return info


def _schema(schemas: ProtoSchemas, descriptor: Any) -> Schema:
    """The schema of a message with all that it refers to inside."""
    schemas.components.clear()
    schema = schemas.message(descriptor)
    inner = dict(schemas.components)
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
