"""OpenAPI 3.1 document of the REST surface, generated from the protos and their comments.

Paths come from google.api.http, fields and limits from the messages. Bodies that travel as
google.api.HttpBody, the error body and the examples are kept by hand, in openai_schemas.yaml.
"""

import re
from collections.abc import Iterator
from importlib.resources import files as package_files
from typing import Any

import yaml
from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from genai_spine.access import scopes
from genai_spine.json_schema.from_proto import WELL_KNOWN, ProtoSchemas, Schema, is_needed
from genai_spine.method_options import is_paid

DESCRIPTION = """\
One typed AI service for completions, embeddings and models over gRPC, REST and OpenAI's JSON.

**Addresses.** Every path is also reachable under `/api`: `/api/v1/models` is `/v1/models`.

**OpenAI clients.** Point an OpenAI SDK at `/v1`. The paths of the group OpenAI take and return OpenAI's
JSON; the other paths take this service's own messages, the same that gRPC clients send.

**Older paths** are `deprecated` here; they are the same calls as the paths of today, and go on working.

**JSON.** Names are snake_case. Unknown fields are ignored on the typed paths and handed to the provider
on OpenAI's. 64-bit integers are strings in answers, and strings or numbers in requests. Bytes are
base64. Enums are names. An answer leaves out only what it does not list as required.

**Files and batches.** On OpenAI's paths the request header `x-genai-provider` names the provider that keeps
them; default `openai`.

**Request ids.** `x-request-id` is accepted, otherwise made; it is on every response and in every error.

**Tenants.** What is stored belongs to a tenant and is seen by it alone: that of the key, and without
authentication the one that the request header `x-tenant-id` names; default `default-tenant`.

**Deadlines.** The request header `x-request-timeout` says how many seconds the caller waits; then the call
ends as PROVIDER_TIMEOUT.

**Keys.** Where the server asks for one, it comes as `Authorization: Bearer gs_live_...` or as `x-api-key`,
and each operation says which scope it needs; without a valid one the answer is 401, without the scope 403.

**Lanes.** The request header `x-genai-lane` (`cpu`, `gpu` or `batch`) chooses the servers; default `cpu`.

**Streams.** `text/event-stream`: each event is `data: ` and one line of JSON. On OpenAI's paths the last
event is `data: [DONE]`; an error after the first event is one event with the key `error`, and no
`[DONE]` follows it.
"""
HTTP_BODY = "google.api.HttpBody"
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key, or a JWT of the server's issuer."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "A key."},
}
SECURITY: list[dict[str, list[str]]] = [{"bearer": []}, {"apiKey": []}, {}]  # {}: where nobody is asked
PATH_VARIABLE = re.compile(r"\{(\w+)(?:=\*{1,2})?\}")  # {model}, {model=*}, {model=**}
ERRORS = {status: {"$ref": "#/components/responses/Error"} for status in ("4XX", "5XX", "default")}
SUMMARY_END = re.compile(r"\.$|[.:;] ")  # a first sentence, and of it what comes before the details
NO_CONTENT = 204
HEADERS = ("Lane", "RequestId", "Timeout", "Tenant", "CorrelationId", "RequestLog", "Pii")  # of all requests
REQUEST_ID = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}


def document(version: str) -> dict[str, Any]:
    """The document of the committed protos. KeyError: an HttpBody that nobody described."""
    protos = FileDescriptorSet.FromString(_resource("v1/descriptors.binpb"))
    kept = yaml.load(_resource("services/openai_schemas.yaml"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    schemas = ProtoSchemas(protos)
    paths = Paths(schemas, kept)
    services = {
        service.name: service
        for file in protos.file
        for service in schemas.pool.FindFileByName(file.name).services_by_name.values()
    }
    for name in kept["groups"]:
        paths.add(services[name])
    kept["schemas"]["Error"]["description"] += _reasons(schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "GenAI Spine API",
            "version": version,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "contact": {"name": "Whoever runs this service"},
        },
        "servers": [{"url": "/"}, {"url": "/api"}],
        "security": SECURITY,
        "tags": paths.tags,
        "paths": paths.items,
        "components": {
            "headers": kept["headers"],
            "parameters": kept["parameters"],
            "responses": kept["responses"],
            "schemas": {**schemas.components, **kept["schemas"]},
            "securitySchemes": SECURITY_SCHEMES,
        },
    }


class Paths:
    """Path items of services. kept: the YAML file, most of it by operation id."""

    def __init__(self, schemas: ProtoSchemas, kept: dict[str, Any]) -> None:
        self.items: dict[str, Schema] = {}
        self.tags: list[Schema] = []
        self._schemas, self._kept = schemas, kept
        self._bodies, self._examples = kept["bodies"], kept["examples"]

    def add(self, service: ServiceDescriptor) -> None:
        """Adds every binding of every method, and the service as a tag."""
        for method in service.methods:
            for number, rule in enumerate(_rules(method), 1):
                verb = rule.WhichOneof("pattern")
                path = getattr(rule, verb)
                operation = self._operation(method, number)
                operation.update(self._request(method, path, rule.body))
                operation["responses"] = {**self._answer(method), **ERRORS}
                if number > 1:  # an older path
                    operation["deprecated"] = True
                self.items.setdefault(PATH_VARIABLE.sub(r"{\1}", path), {})[verb] = operation
        if any(_rules(method) for method in service.methods):
            text = self._schemas.comments[service.full_name]
            self.tags.append({"name": self._kept["groups"][service.name], "description": text})

    def _operation(self, method: MethodDescriptor, number: int) -> Schema:
        """Operation of a binding. number: 1 for the method's own path, more for additional bindings."""
        comment = self._schemas.comments[method.full_name]
        first = SUMMARY_END.split(comment.removeprefix(f"{method.name} "), maxsplit=1)[0]
        text = re.sub(r"\s+(?=Errors: )", "\n\n", comment)
        service = method.containing_service
        scope = scopes.scope_of(method)
        open_to_all: Schema = {"security": []} if scope == scopes.PUBLIC else {}
        needed = "no key" if open_to_all else f"`{scope}`"
        return {
            **open_to_all,
            "operationId": _operation_id(method) + (f"_{number}" if number > 1 else ""),
            "tags": [self._kept["groups"][service.name]],
            "summary": first[0].upper() + first[1:],
            "description": f"{text}\n\ngRPC: `{service.full_name}/{method.name}`. Scope: {needed}.",
        }

    def _request(self, method: MethodDescriptor, path: str, body: str) -> Schema:
        """Parameters and request body. body: what the rule says: "*", a field, or nothing."""
        message = method.input_type
        in_path = PATH_VARIABLE.findall(path)
        parameters = [self._parameter(name, message.fields_by_name[name], "path") for name in in_path]
        if body != "*":
            queried = [leaf for leaf in _leaves(message) if leaf[0].split(".")[0] not in (*in_path, body)]
            parameters += [self._parameter(name, field, "query") for name, field in queried]
        request: Schema = {"parameters": parameters + self._headers(path, method)}
        if body:
            request["requestBody"] = self._body(method, body, in_path)
        return request

    def _body(self, method: MethodDescriptor, body: str, in_path: list[str]) -> Schema:
        name, message = _operation_id(method), method.input_type
        media = "application/json"
        of_field = body != "*" and message.fields_by_name[body].message_type
        if HTTP_BODY in (message.full_name, of_field and of_field.full_name):
            content = {"schema": self._bodies[name]["request"]}
            media = self._bodies[name].get("media", media)
        elif body != "*":
            content = {"schema": self._schemas.field(message.fields_by_name[body])}
        elif in_path:
            content = {"schema": self._schemas.message(message, in_path)}
        else:
            content = {"schema": self._schemas.reference(message)}
        if name in self._examples:
            content["examples"] = self._examples[name]
        return {"required": True, "content": {media: content}}

    def _parameter(self, name: str, field: FieldDescriptor, place: str) -> Schema:
        schema = self._schemas.field(field)
        text = schema.pop("description")
        required = place == "path" or is_needed(field)
        return {"name": name, "in": place, "required": required, "description": text, "schema": schema}

    def _headers(self, path: str, method: MethodDescriptor) -> list[Schema]:
        """Request headers of an operation, by its path and its options."""
        has_provider = path.startswith(tuple(self._kept["provider_paths"]))
        names = [*HEADERS, *(["Provider"] if has_provider else [])]
        if is_paid(method):
            names += [
                "Prefer",
                "IdempotencyKey",
                "OnLost",
                *(["ResumeAfter"] if method.server_streaming else []),
            ]
        return [{"$ref": f"#/components/parameters/{name}"} for name in names]

    def _answer(self, method: MethodDescriptor) -> Schema:
        """Good answer by its HTTP status."""
        name, message = _operation_id(method), method.output_type
        status = self._kept["statuses"].get(name, 200)
        if status == NO_CONTENT:
            return {str(status): {"description": "Done; there is no body.", "headers": REQUEST_ID}}
        if message.full_name == HTTP_BODY:
            text, kinds = self._bodies[name]["description"], self._bodies[name]["answer"]
            content = {media: {"schema": self._of_message(schema)} for media, schema in kinds.items()}
        else:
            text = self._schemas.comments[message.full_name]
            if method.server_streaming:
                text = f"Server-sent events; the data of each is one {message.name}. {text}"
            media = "text/event-stream" if method.server_streaming else "application/json"
            content = {media: {"schema": self._schemas.reference(message)}}
        return {str(status): {"description": text, "headers": REQUEST_ID, "content": content}}

    def _of_message(self, schema: Schema) -> Schema:
        """Schema of an answer that is bytes; where a message is named, that of the message."""
        if "message" not in schema:
            return schema
        descriptor = self._schemas.pool.FindMessageTypeByName(f"genai_spine.v1.{schema['message']}")
        return self._schemas.reference(descriptor)


def _rules(method: MethodDescriptor) -> list[http_pb2.HttpRule]:
    """The method's own binding and the additional ones; none when it is not reachable over REST."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    return [rule, *rule.additional_bindings] if rule.WhichOneof("pattern") else []


def _leaves(message: Descriptor, prefix: str = "") -> Iterator[tuple[str, FieldDescriptor]]:
    """Query parameters: scalars and lists of scalars by dotted path, as the transcoder reads them."""
    for field in message.fields:
        name = prefix + field.name
        if field.message_type is None or field.message_type.full_name in WELL_KNOWN:
            yield name, field
        elif not field.is_repeated:
            yield from _leaves(field.message_type, f"{name}.")


def _operation_id(method: MethodDescriptor) -> str:
    return f"{method.containing_service.name}_{method.name}"


def _reasons(schemas: ProtoSchemas) -> str:
    """Schema of ErrorReason with its comments; the example in a comment starts at its brace."""
    enum = schemas.pool.FindEnumTypeByName("genai_spine.v1.ErrorReason")
    lines = []
    for value in enum.values[1:]:
        text, _, example = schemas.comments[f"{enum.full_name}.{value.name}"].partition(' {"')
        lines.append(f'* **{value.name.removeprefix("ERROR_REASON_")}** {text}  \n  `{{"{example}`')
    return "\n".join(lines)


def _resource(name: str) -> bytes:
    return package_files("genai_spine").joinpath(name).read_bytes()
