"""The OpenAPI document: every path and field of the protos, true to what the server takes and sends."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import jsonschema
import openapi_spec_validator
import pytest
from google.api import annotations_pb2
from google.protobuf import json_format
from openai.types import (
    batch_create_params,
    completion_create_params,
    embedding_create_params,
    file_create_params,
    image_generate_params,
)
from openai.types.audio import speech_create_params, transcription_create_params, translation_create_params
from openai.types.chat import completion_create_params as chat_create_params

from genai_spine.call import Call
from genai_spine.errors import InvalidFields, ModelNotFound, ProviderRateLimited
from genai_spine.http_answer import error_body
from genai_spine.json_schema.from_proto import WELL_KNOWN
from genai_spine.openai_api import responses, schemas, sse
from genai_spine.services.openapi import document
from genai_spine.v1 import (
    audit_service_pb2,
    budget_service_pb2,
    capability_service_pb2,
    dead_letter_service_pb2,
    document_service_pb2,
    error_reason_pb2,
    execution_service_pb2,
    field_rules_pb2,
    health_service_pb2,
    key_service_pb2,
    media_service_pb2,
    message_pb2,
    model_service_pb2,
    openai_service_pb2,
    pipeline_service_pb2,
    pricing_service_pb2,
    prompt_service_pb2,
    provider_batch_service_pb2,
    provider_file_service_pb2,
    provider_service_pb2,
    request_log_service_pb2,
    run_service_pb2,
    schedule_service_pb2,
    session_service_pb2,
    stored_completion_service_pb2,
    symbol_service_pb2,
    tenant_service_pb2,
    usage_pb2,
    usage_service_pb2,
)
from genai_spine.v1 import completion_service_pb2 as pb

DOCUMENT = document("1.2.3")
SCHEMAS = DOCUMENT["components"]["schemas"]
SERVICES = [
    service
    for file in (
        *(pb, document_service_pb2, health_service_pb2, model_service_pb2, openai_service_pb2),
        *(media_service_pb2, provider_batch_service_pb2, provider_file_service_pb2),
        *(prompt_service_pb2, provider_service_pb2, pricing_service_pb2, symbol_service_pb2),
        *(session_service_pb2, execution_service_pb2, capability_service_pb2),
        *(stored_completion_service_pb2, key_service_pb2, tenant_service_pb2, audit_service_pb2),
        *(usage_service_pb2, request_log_service_pb2, budget_service_pb2),
        *(run_service_pb2, dead_letter_service_pb2, schedule_service_pb2, pipeline_service_pb2),
    )
    for service in file.DESCRIPTOR.services_by_name.values()
]
OPERATIONS = {
    operation["operationId"]: operation for item in DOCUMENT["paths"].values() for operation in item.values()
}
CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}


def good_answer(operation: dict[str, Any]) -> dict[str, Any]:
    """The answer of an operation that succeeds; without a body it has no content."""
    [answer] = [answer for status, answer in operation["responses"].items() if status[0] == "2"]
    return {"content": {}} | answer


def check(instance: object, schema: dict[str, Any]) -> None:
    """Raises ValidationError when the instance does not fit; $refs lead into the document."""
    whole = {**schema, "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(whole).validate(instance)


def request_schema(operation_id: str) -> dict[str, Any]:
    schema: dict[str, Any] = OPERATIONS[operation_id]["requestBody"]["content"]["application/json"]["schema"]
    return schema


def bindings(method: Any) -> list[tuple[str, str]]:
    """(verb, path) of every route to a method; none when it is reachable by gRPC only."""
    rule = method.GetOptions().Extensions[annotations_pb2.http]
    rules = [(each, each.WhichOneof("pattern")) for each in (rule, *rule.additional_bindings)]
    return [(verb, getattr(each, verb)) for each, verb in rules if verb]


def request_messages() -> list[Any]:
    """Descriptors of every message that a typed route takes, nested ones included."""
    methods = [method for service in SERVICES for method in service.methods]
    waiting = [method.input_type for method in methods if any(bindings(method))]
    found: dict[str, Any] = {}
    ready = {"google.api.HttpBody", *WELL_KNOWN}
    while waiting:
        descriptor = waiting.pop()
        if descriptor.full_name not in found and descriptor.full_name not in ready:
            found[descriptor.full_name] = descriptor
            waiting += [field.message_type for field in descriptor.fields if field.message_type]
    return [found[name] for name in sorted(found) if not found[name].GetOptions().map_entry]


def described(field: Any) -> list[dict[str, Any]]:
    """Where the document describes the field: in its message's schema, or in those of its methods."""
    schema = SCHEMAS.get(field.containing_type.name)
    if schema:
        return [schema["properties"][field.name]]
    takers = [m for s in SERVICES for m in s.methods if m.input_type is field.containing_type]
    operations = [OPERATIONS[f"{m.containing_service.name}_{m.name}"] for m in takers]
    found = [e for one in operations for e in one.get("parameters", ()) if e.get("name") == field.name]
    bodies = [one["requestBody"] for one in operations if "requestBody" in one]
    schemas = [(body, body["content"]["application/json"]["schema"]) for body in bodies]
    found += [  # less what stands in the path
        schema["properties"][field.name]
        for _, schema in schemas
        if field.name in schema.get("properties", ())
    ]
    return found + [  # the body is this field
        {**schema, "required": body["required"]}
        for body, schema in schemas
        if field.message_type and schema.get("$ref", "").endswith(f"/{field.message_type.name}")
    ]


# A body that travels as bytes is described by hand.
REQUEST_FIELDS = [
    field
    for message in request_messages()
    for field in message.fields
    if not (field.message_type and field.message_type.full_name == "google.api.HttpBody")
]


def test_document_is_valid_openapi_3_1() -> None:
    openapi_spec_validator.validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1")
    assert DOCUMENT["info"]["title"] == "GenAI Spine API"
    assert DOCUMENT["info"]["version"] == "1.2.3"


def test_every_http_rule_is_a_path_and_every_path_has_a_rule() -> None:
    rules = set()
    for service in SERVICES:
        for method in service.methods:
            rules |= {(verb, re.sub(r"=\**}", "}", path)) for verb, path in bindings(method)}
    assert {(verb, path) for path, item in DOCUMENT["paths"].items() for verb in item} == rules
    assert len(OPERATIONS) == len(rules), "operation ids are unique"


def test_every_request_field_has_a_description() -> None:
    entries = {field.full_name: described(field) for field in REQUEST_FIELDS}
    assert len(entries) > 400
    assert [name for name, found in entries.items() if not found] == []
    assert [name for name, found in entries.items() if not all(e["description"].strip() for e in found)] == []


def properties(schema: dict[str, Any], seen: set[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, property) of everything under a schema."""
    reference = schema.get("$ref", "").rpartition("/")[2]
    if reference:
        if reference not in seen:
            seen.add(reference)
            yield from properties(SCHEMAS[reference], seen)
        return
    for name, entry in schema.get("properties", {}).items():
        yield f"{schema.get('description', '')[:30]}: {name}", entry
        yield from properties(entry, seen)
    for part in [*schema.get("anyOf", ()), *filter(None, [schema.get("items")])]:
        yield from properties(part, seen)


def test_every_field_of_openai_bodies_has_a_description() -> None:
    found = [
        (path, entry)
        for name, operation in OPERATIONS.items()
        if name.startswith("OpenAIService")
        for content in (operation.get("requestBody", {"content": {}}), good_answer(operation))
        for media in content["content"].values()
        for path, entry in properties(media["schema"], set())
    ]
    bare = [path for path, entry in found if not (entry.get("description") or resolved(entry)["description"])]
    assert len(found) > 150
    assert bare == []


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    target: dict[str, Any] = SCHEMAS[schema["$ref"].rpartition("/")[2]]
    return target


@pytest.mark.parametrize(
    ("params", "schema"),
    [
        (chat_create_params.CompletionCreateParamsBase, "ChatCompletionRequest"),
        (completion_create_params.CompletionCreateParamsBase, "TextCompletionRequest"),
        (embedding_create_params.EmbeddingCreateParams, "EmbeddingRequest"),
        (image_generate_params.ImageGenerateParamsBase, "ImageRequest"),
        (transcription_create_params.TranscriptionCreateParamsBase, "TranscriptionForm"),
        (translation_create_params.TranslationCreateParams, "TranscriptionForm"),
        (speech_create_params.SpeechCreateParams, "SpeechRequest"),
        (file_create_params.FileCreateParams, "FileForm"),
        (batch_create_params.BatchCreateParams, "BatchRequest"),
    ],
)
def test_openai_requests_list_every_field_that_the_official_sdk_sends(params: Any, schema: str) -> None:
    assert set(params.__annotations__) - set(SCHEMAS[schema]["properties"]) == set()
    assert "stream" in SCHEMAS["ChatCompletionRequest"]["properties"]


KEYWORDS = {
    "min": ("minimum",),
    "max": ("maximum",),
    "min_length": ("minLength",),
    "max_length": ("maxLength",),
    "min_items": ("minItems", "minProperties"),
    "max_items": ("maxItems", "maxProperties"),
}


def required_in_body(operation: dict[str, Any]) -> list[str]:
    content = operation.get("requestBody", {"content": {}})["content"]
    names: list[str] = content.get("application/json", {"schema": {}})["schema"].get("required", [])
    return names


REQUIRED_IN_BODIES = {name for operation in OPERATIONS.values() for name in required_in_body(operation)}


def missing_rules(field: Any) -> list[str]:
    """Rules of a field that its schema does not state."""
    rules = field.GetOptions().Extensions[field_rules_pb2.rules]
    missing = []
    for entry in described(field):
        schema = entry.get("schema", entry)
        element = schema.get("items") or schema.get("additionalProperties") or schema
        for rule, names in KEYWORDS.items():
            if rules.HasField(rule):
                found = [place[name] for place in (schema, element) for name in names if name in place]
                limit = getattr(rules, rule)
                if field.type == field.TYPE_BYTES:  # its length as base64
                    limit = -(-limit // 3) * 4
                if found[:1] != [limit]:
                    missing.append(f"{rule} {limit}, found {found[:1]}")
        if rules.required:
            message = SCHEMAS.get(field.containing_type.name, {"required": []})
            if field.name not in {*message["required"], *REQUIRED_IN_BODIES} and not entry["required"]:
                missing.append("required")
    return missing


def test_rules_of_every_field_stand_in_its_schema() -> None:
    missing = {field.full_name: missing_rules(field) for field in REQUEST_FIELDS}
    assert {name: rules for name, rules in missing.items() if rules} == {}


def test_a_rule_is_a_limit_that_a_validator_enforces() -> None:
    request = {"$ref": "#/components/schemas/CreateCompletionRequest"}
    check({"temperature": 2, "stop_sequences": ["a"] * 16, "choice_count": 1}, request)
    assert SCHEMAS["CreateCompletionRequest"]["properties"]["choice_count"]["default"] == 1
    for wrong in (
        {"temperature": 2.1},
        {"stop_sequences": ["a"] * 17},
        {"stop_sequences": [""]},
        {"top_k": 0},
    ):
        with pytest.raises(jsonschema.ValidationError):
            check(wrong, request)
    with pytest.raises(jsonschema.ValidationError):
        check({"inputs": []}, request_schema("CompletionService_CreateEmbeddings"))


CONTENTS = {
    name: operation.get("requestBody", {"content": {}})["content"] for name, operation in OPERATIONS.items()
}
BODIES = {name: next(iter(content.values()), {}) for name, content in CONTENTS.items()}


def test_every_body_has_one_media_type_and_an_example_to_try() -> None:
    assert [name for name, content in CONTENTS.items() if len(content) > 1] == []
    bare = [
        name
        for name in OPERATIONS
        if bool(BODIES[name].get("examples")) != ("requestBody" in OPERATIONS[name])
    ]
    assert bare == []


def test_every_example_fits_its_schema() -> None:
    unfit = []
    for name, body in BODIES.items():
        for title, example in body.get("examples", {}).items():
            try:
                check(example["value"], body["schema"])
            except jsonschema.ValidationError as error:
                unfit.append(f"{name}, {title}: {error.message}")
    assert unfit == []


@pytest.mark.parametrize("name", ["CreateCompletion", "CreateEmbeddings"])
def test_protobuf_reads_the_examples_of_typed_routes(name: str) -> None:
    content = OPERATIONS[f"CompletionService_{name}"]["requestBody"]["content"]["application/json"]
    for example in content["examples"].values():
        request = json_format.ParseDict(example["value"], getattr(pb, f"{name}Request")())
        assert request.ByteSize() > 0


@pytest.mark.parametrize(
    "body",
    [
        CHAT,
        {**CHAT, "temperature": None, "stop": None, "max_tokens": None},
        {**CHAT, "stop": ["a", "b"], "stream": True, "n": 2},
        {**CHAT, "some_field_of_tomorrow": {"a": [1]}},
        {**CHAT, "messages": [{"role": "assistant", "content": None, "tool_calls": []}]},
        {**CHAT, "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
        {**CHAT, "tool_choice": {"type": "function", "function": {"name": "f"}}},
    ],
)
def test_chat_schema_takes_what_openai_clients_send(body: object) -> None:
    check(body, request_schema("OpenAIService_CreateChatCompletion"))


@pytest.mark.parametrize(
    "body",
    [
        {"messages": CHAT["messages"]},
        {"model": "gpt-4o-mini"},
        {**CHAT, "messages": []},
        {**CHAT, "messages": "Hello"},
        {**CHAT, "messages": [{"role": "robot", "content": "Hello"}]},
        {**CHAT, "messages": [{"role": "user", "content": [{"text": "no type"}]}]},
        {**CHAT, "temperature": 3},
        {**CHAT, "n": 0},
        {**CHAT, "stop": ["x"] * 17},
        {**CHAT, "tools": [{"type": "function", "function": {}}]},
        {**CHAT, "response_format": {"type": "yaml"}},
    ],
)
def test_chat_schema_refuses_a_bad_body(body: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        check(body, request_schema("OpenAIService_CreateChatCompletion"))


@pytest.mark.parametrize("text", ["a", ["a", "b"], [1, 2], [[1], [2, 3]]])
def test_prompt_and_input_take_all_four_forms(text: object) -> None:
    check({"model": "m", "prompt": text}, request_schema("OpenAIService_CreateTextCompletion"))
    check({"model": "m", "input": text}, request_schema("OpenAIService_CreateEmbedding"))


def test_streams_are_events_whose_data_is_a_chunk() -> None:
    typed = OPERATIONS["CompletionService_StreamCompletion"]["responses"]["200"]["content"]
    assert typed == {"text/event-stream": {"schema": {"$ref": "#/components/schemas/CompletionChunk"}}}
    chat = OPERATIONS["OpenAIService_CreateChatCompletion"]["responses"]["200"]["content"]
    assert set(chat) == {"application/json", "text/event-stream"}
    assert resolved(chat["text/event-stream"]["schema"])["properties"]["choices"]


@pytest.mark.parametrize(
    ("shape", "schema"),
    [
        (schemas.Chat, "ChatCompletionRequest"),
        (schemas.Text, "TextCompletionRequest"),
        (schemas.Native, "NativeCompletionRequest"),
        (schemas.Embedding, "EmbeddingRequest"),
        (schemas.ChatMessage, "ChatMessage"),
    ],
)
def test_every_field_that_the_facade_reads_is_documented(shape: Any, schema: str) -> None:
    undocumented = set(shape.__struct_fields__) - set(SCHEMAS[schema]["properties"])
    # The native body streams nowhere, so its stream is read only to refuse it.
    assert undocumented == ({"stream"} if shape is schemas.Native else set())


SAID = message_pb2.Message(
    role=message_pb2.ROLE_ASSISTANT, content=[message_pb2.ContentPart(text="Hi")], reasoning="Hm"
)
CALLED = message_pb2.Message(
    tool_calls=[
        message_pb2.ToolCall(id="1", function=message_pb2.FunctionCall(name="f", arguments_json="{}"))
    ]
)
TOKENS = pb.Logprobs(content=[pb.TokenLogprob(token="Hi", token_bytes=b"Hi")])
COMPLETION = pb.Completion(
    id="comp_1",
    choices=[
        pb.Choice(message=SAID, finish_reason=pb.FINISH_REASON_STOP, logprobs=TOKENS),
        pb.Choice(index=1, message=CALLED, finish_reason=pb.FINISH_REASON_TOOL_CALLS),
    ],
)
VECTORS = pb.CreateEmbeddingsResponse(embeddings=[pb.Embedding(values=[0.5, 1])])


@pytest.mark.parametrize(
    ("answer", "schema"),
    [
        (responses.chat(COMPLETION, before_tools=False), "ChatCompletion"),
        (responses.chat(COMPLETION, before_tools=True), "ChatCompletion"),
        (responses.text([COMPLETION], [""]), "TextCompletion"),
        (responses.native(COMPLETION), "NativeCompletion"),
        (responses.embeddings(VECTORS, as_base64=False), "EmbeddingList"),
        (responses.embeddings(VECTORS, as_base64=True), "EmbeddingList"),
    ],
)
def test_what_the_facade_answers_fits_its_schema_and_is_documented(answer: bytes, schema: str) -> None:
    check(json.loads(answer), SCHEMAS[schema])
    assert set(json.loads(answer)) <= set(SCHEMAS[schema]["properties"])


@pytest.mark.parametrize(
    ("frames", "schema"),
    [
        (sse.ChatFrames(True, before_tools=False), "ChatCompletionChunk"),
        (sse.TextFrames(True, ["Once "], 1), "TextCompletion"),
    ],
)
def test_every_event_of_the_facade_fits_its_schema(frames: sse.Frames, schema: str) -> None:
    calls = [pb.ToolCallDelta(id="1", name="f", arguments="{}")]
    delta = pb.ChoiceDelta(content="Hi", tool_calls=calls, logprobs=TOKENS)
    chunk = pb.CompletionChunk(id="comp_1", choices=[delta], usage=usage_pb2.Usage(input_tokens=1))
    chunk.choices.add(finish_reason=pb.FINISH_REASON_STOP)
    events = frames.write(chunk).decode().split("\n\n")[:-1]
    assert len(events) >= 3
    for event in events:
        check(json.loads(event.removeprefix("data: ")), SCHEMAS[schema])


def test_every_operation_can_answer_with_the_shared_error() -> None:
    shared = {"$ref": "#/components/responses/Error"}
    statuses = ("4XX", "5XX", "default")
    other = [
        f"{name} {status}"
        for name, operation in OPERATIONS.items()
        for status in statuses
        if operation["responses"].get(status) != shared
    ]
    assert other == []


def test_error_schema_lists_every_reason_and_fits_what_the_edge_sends() -> None:
    text = SCHEMAS["Error"]["description"]
    names = [name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys()[1:]]
    assert [name for name in names if f"**{name}** " not in text] == []
    assert '`{"code": "MODEL_NOT_FOUND", "message": ' in text
    media = DOCUMENT["components"]["responses"]["Error"]["content"]["application/json"]
    check(media["example"], media["schema"])
    errors = [
        ModelNotFound(model="m", hint="h"),
        InvalidFields([("messages", "is required")]),
        ProviderRateLimited(provider="openai", provider_message="slow down"),
    ]
    for error in errors:
        for openai in (True, False):
            check(error_body(error, Call(), openai=openai), media["schema"])
    with pytest.raises(jsonschema.ValidationError):
        check({"error": "text"}, media["schema"])


def test_servers_are_the_root_and_the_api_prefix() -> None:
    assert DOCUMENT["servers"] == [{"url": "/"}, {"url": "/api"}]
    assert "`/api`" in DOCUMENT["info"]["description"]


def test_document_is_the_same_each_time_and_made_within_a_second() -> None:
    begun = time.process_time()
    again = document("1.2.3")
    assert time.process_time() - begun < 1
    assert json.dumps(again) == json.dumps(DOCUMENT)


def test_older_paths_are_deprecated_and_those_of_today_are_not() -> None:
    paths = DOCUMENT["paths"]
    assert paths["/v1/summarize"]["post"]["deprecated"] is True
    assert paths["/v1/prompts/{prompt_id}"]["put"]["deprecated"] is True
    assert "deprecated" not in paths["/v1/prompts/{prompt_id}"]["patch"]
    first = {
        next(iter(bindings(method))) for service in SERVICES for method in service.methods if bindings(method)
    }
    for path, item in paths.items():
        for verb, operation in item.items():
            own = (verb, path) in {(verb, re.sub(r"=\**}", "}", path)) for verb, path in first}
            assert operation.get("deprecated", False) is not own, (verb, path)
