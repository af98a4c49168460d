"""Schemas of messages: protobuf's own JSON printer is the oracle, and a made-up proto the rest."""

import base64
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message
from grpc_tools import protoc

import genai_spine
from genai_spine.json_schema.from_proto import ProtoSchemas, Schema
from genai_spine.services.openapi import Paths
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, health_service_pb2, message_pb2, model_service_pb2

ROOT = Path(genai_spine.__file__).parent.parent
PROTOS = FileDescriptorSet.FromString((ROOT / "genai_spine/v1/descriptors.binpb").read_bytes())


def components(*names: str) -> dict[str, Schema]:
    """The schemas of these messages and of all that they hold."""
    schemas = ProtoSchemas(PROTOS)
    for name in names:
        schemas.reference(schemas.pool.FindMessageTypeByName(f"genai_spine.v1.{name}"))
    return schemas.components


SCHEMAS = components(
    "CreateCompletionRequest",
    "Completion",
    "CompletionChunk",
    "CreateEmbeddingsResponse",
    "ListModelsResponse",
    "GetHealthResponse",
    "GetReadinessResponse",
    "Execution",
)


def test_scalars_have_the_types_of_proto3_json() -> None:
    cost, token = SCHEMAS["Cost"]["properties"], SCHEMAS["TokenLogprob"]["properties"]
    assert (cost["cost_ticks"]["type"], cost["cost_usd"]["type"]) == ("string", "number")
    assert (token["token_bytes"]["type"], token["token_bytes"]["contentEncoding"]) == ("string", "base64")
    assert SCHEMAS["Usage"]["properties"]["input_tokens"]["type"] == "integer"
    assert SCHEMAS["Role"]["enum"] == message_pb2.Role.keys()
    assert "`ROLE_TOOL`: The result of a tool call" in SCHEMAS["Role"]["description"]
    assert SCHEMAS["TokenLogprob"]["properties"]["top_logprobs"]["items"]["$ref"].endswith("/TokenLogprob")


def test_members_of_a_oneof_name_the_others() -> None:
    part = SCHEMAS["ContentPart"]
    assert "One of `text`, `image`, `audio`, `file`, `refusal`. The piece." in part["description"]
    assert part["properties"]["audio"]["description"].endswith("Excludes `text`, `image`, `file`, `refusal`.")
    assert "Excludes" not in SCHEMAS["CreateCompletionRequest"]["properties"]["provider"]["description"]


SAMPLES = {
    FieldDescriptor.CPPTYPE_STRING: "x",
    FieldDescriptor.CPPTYPE_BOOL: True,
    FieldDescriptor.CPPTYPE_DOUBLE: 0.5,
    FieldDescriptor.CPPTYPE_FLOAT: 0.5,
    FieldDescriptor.CPPTYPE_INT64: 2**60,
    FieldDescriptor.CPPTYPE_UINT64: 2**60,
    FieldDescriptor.CPPTYPE_INT32: 1,
    FieldDescriptor.CPPTYPE_UINT32: 2**32 - 1,
}


def filled(message: Message, depth: int = 0) -> Message:
    """The message with every field set; of a oneof the last member; nested to a depth of 4."""
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if field.message_type is None:
            sample = b"\xff\x00" if field.type == field.TYPE_BYTES else SAMPLES.get(field.cpp_type)
            one = 1 if field.enum_type else sample
            value.append(one) if field.is_repeated else setattr(message, field.name, one)
        elif field.message_type.GetOptions().map_entry:
            key, entry = field.message_type.fields
            value[1 if key.type == field.TYPE_UINT32 else "x"] = (
                "healthy" if entry.type == field.TYPE_STRING else SAMPLES[entry.cpp_type]
            )
        elif depth < 4:
            if not field.is_repeated:
                value.SetInParent()
            if field.message_type.file.package == "genai_spine.v1":
                filled(value.add() if field.is_repeated else value, depth + 1)
    return message


ANSWERS = [
    pb.Completion,
    pb.CompletionChunk,
    pb.CreateEmbeddingsResponse,
    model_service_pb2.ListModelsResponse,
    model_service_pb2.Model,
    health_service_pb2.GetHealthResponse,
    health_service_pb2.GetReadinessResponse,
    execution_pb2.Execution,
]


@pytest.mark.parametrize("kind", ANSWERS, ids=lambda kind: kind.DESCRIPTOR.name)
@pytest.mark.parametrize("fill", [lambda message: message, filled], ids=["empty", "filled"])
def test_proto_json_fits_the_schema_and_nothing_is_undocumented(kind: Any, fill: Any) -> None:
    printed = json_format.MessageToDict(
        fill(kind()), preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    schema = SCHEMAS[kind.DESCRIPTOR.name]
    check = jsonschema.Draft202012Validator({**schema, "components": {"schemas": SCHEMAS}})
    check.validate(printed)
    assert set(schema.get("required", ())) <= set(printed) <= set(schema["properties"])


def test_answers_require_what_is_always_printed_and_requests_only_what_the_rules_say() -> None:
    assert "provider" in SCHEMAS["Completion"]["required"]
    assert not {"system_fingerprint", "usage"} & set(SCHEMAS["Completion"]["required"])
    assert "required" not in SCHEMAS["CreateCompletionRequest"]
    assert SCHEMAS["FunctionTool"]["required"] == ["name"]


# What the generator understands beyond what today's protos use.
SHOP = """
syntax = "proto3";
package genai_spine.v1;
import "genai_spine/v1/field_rules.proto";
import "google/api/annotations.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
// ShopService sells.
service ShopService {
  // Sell sells a thing. Twice. Errors: NONE.
  rpc Sell(Sale) returns (Sale) {
    option (google.api.http) = {
      put: "/v1/shops/{shop}/sales/{id=*}" body: "*"
      additional_bindings { patch: "/v1/sales/{id}" body: "thing" }
    };
  }
  // Find finds sales.
  rpc Find(Sale) returns (Sale) { option (google.api.http) = {get: "/v1/sales"}; }
  // Whisper is not reachable over REST.
  rpc Whisper(Sale) returns (Sale) {}
}
// Thing is a thing.
message Thing {
  // Its mark.
  bytes mark = 1 [(rules) = {required: true max_length: 4}];
  // Its weight in grams.
  uint64 weight = 2 [(rules) = {default_value: "7"}];
}
// Sale is a sale.
message Sale {
  // Shop.
  string shop = 1 [(rules) = {pattern: "[a-z]+|[0-9]+"}];
  // Id.
  int64 id = 2;
  // What is sold.
  Thing thing = 3;
  // When.
  google.protobuf.Timestamp time = 4;
  // Free form.
  google.protobuf.Struct extra = 5;
  // Labels.
  map<string, string> labels = 6
    [(rules) = {required: true max_items: 3 max_length: 9 key_pattern: "[a-z]+"}];
  // Days.
  repeated int32 days = 7 [(rules) = {min: 1 max: 31}];
  // Earlier.
  //
  // Still earlier.
  repeated Sale earlier = 8;
  // Fast.
  bool fast = 9 [(rules) = {default_value: "true"}];
}
"""


KEPT = {
    "bodies": {},
    "examples": {},
    "statuses": {},
    "provider_paths": ["/v1/none"],
    "groups": {"ShopService": "Shop"},
}


def own_parameters(operation: dict[str, Any]) -> list[dict[str, Any]]:
    """Parameters of an operation, less the headers that all have."""
    return [one for one in operation["parameters"] if "$ref" not in one]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Paths:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.proto").write_text(SHOP)
    out = folder / "shop.binpb"
    roots = [folder, ROOT / "proto", ROOT / "third_party", Path(protoc.__file__).parent / "_proto"]
    flags = [f"-I{root}" for root in roots] + ["--include_imports", "--include_source_info"]
    assert protoc.main(["protoc", *flags, f"--descriptor_set_out={out}", "shop.proto"]) == 0
    schemas = ProtoSchemas(FileDescriptorSet.FromString(out.read_bytes()))
    paths = Paths(schemas, KEPT)
    paths.add(schemas.pool.FindServiceByName("genai_spine.v1.ShopService"))
    return paths


def test_fields_in_the_path_are_parameters_and_leave_the_body(shop: Paths) -> None:
    put = shop.items["/v1/shops/{shop}/sales/{id}"]["put"]
    assert [(p["name"], p["in"], p["required"]) for p in own_parameters(put)] == [
        ("shop", "path", True),
        ("id", "path", True),
    ]
    body = put["requestBody"]["content"]["application/json"]["schema"]
    assert list(body["properties"]) == ["thing", "time", "extra", "labels", "days", "earlier", "fast"]
    assert (put["summary"], put["operationId"]) == ("Sells a thing", "ShopService_Sell")
    assert put["description"].startswith("Sell sells a thing. Twice.\n\nErrors: NONE.")


def test_body_field_is_the_body_and_the_rest_is_the_query(shop: Paths) -> None:
    patch = shop.items["/v1/sales/{id}"]["patch"]
    body = patch["requestBody"]["content"]["application/json"]["schema"]
    assert body["$ref"].endswith("/Thing")
    assert patch["operationId"] == "ShopService_Sell_2"
    assert [p["name"] for p in own_parameters(patch)] == ["id", "shop", "time", "extra", "days", "fast"]


def test_query_parameters_are_flattened_by_dots(shop: Paths) -> None:
    query = {p["name"]: p["schema"] for p in own_parameters(shop.items["/v1/sales"]["get"])}
    assert list(query) == ["shop", "id", "thing.mark", "thing.weight", "time", "extra", "days", "fast"]
    assert query["id"]["type"] == "string"
    assert query["thing.mark"]["maxLength"] == len(base64.b64encode(b"4444"))
    assert query["thing.weight"] == {**query["thing.weight"], "type": "string", "default": "7"}
    assert query["time"] == {"type": "string", "format": "date-time"}
    assert query["days"]["items"] == {"type": "integer", "format": "int32", "minimum": 1, "maximum": 31}
    assert query["shop"]["pattern"] == "^(?:[a-z]+|[0-9]+)$"
    assert query["fast"]["default"] is True


def test_maps_and_well_known_messages_have_their_json_form(shop: Paths) -> None:
    put = shop.items["/v1/shops/{shop}/sales/{id}"]["put"]
    body = put["requestBody"]["content"]["application/json"]["schema"]
    labels = body["properties"]["labels"]
    assert labels["additionalProperties"] == {"type": "string", "maxLength": 9}
    assert labels["propertyNames"] == {"pattern": "^(?:[a-z]+)$"}
    assert (labels["minProperties"], labels["maxProperties"], body["required"]) == (1, 3, ["labels"])
    assert body["properties"]["extra"]["type"] == "object"
    assert body["properties"]["earlier"]["description"] == "Earlier.\n\nStill earlier."


def test_method_without_an_http_rule_has_no_path(shop: Paths) -> None:
    assert sorted(shop.items) == ["/v1/sales", "/v1/sales/{id}", "/v1/shops/{shop}/sales/{id}"]
    assert shop.tags == [{"name": "Shop", "description": "ShopService sells."}]
