"""fields.check: what each rule refuses, where it says the fault is, and that nothing else escapes it."""

import math
from typing import Any

import pytest
from google.api import httpbody_pb2
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from genai_spine.errors import InvalidFields
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import field_rules_pb2, message_pb2, model_service_pb2
from genai_spine.v1 import symbol_service_pb2 as symbols_pb
from genai_spine.validation import MAX_PROBLEMS, check

NAMELESS = symbols_pb.SymbolContext(
    symbol_id="", name="", kind="", language="", file_path="", signature="", centrality=0
)


def user(text: str = "Hello", **fields: Any) -> message_pb2.Message:
    return message_pb2.Message(
        role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text=text)], **fields
    )


def asking(**fields: Any) -> pb.CreateCompletionRequest:
    return pb.CreateCompletionRequest(messages=[user()], **fields)


def saying(*parts: message_pb2.ContentPart) -> pb.CreateCompletionRequest:
    return pb.CreateCompletionRequest(
        messages=[message_pb2.Message(role=message_pb2.ROLE_USER, content=parts)]
    )


def function(name: str = "weather", **fields: Any) -> message_pb2.Tool:
    return message_pb2.Tool(function=message_pb2.FunctionTool(name=name, **fields))


def problems(message: Message) -> list[tuple[str, str]]:
    try:
        check(message)
    except InvalidFields as error:
        return error.violations
    return []


IMAGE = message_pb2.ContentPart(image=message_pb2.ImagePart(data=b"x", media_type="image/png"))
CALL = message_pb2.ToolCall(
    id="1", function=message_pb2.FunctionCall(name="weather", arguments_json="not json")
)

GOOD: dict[str, Message] = {
    "one message": asking(),
    "every number at its limit": asking(
        temperature=2, top_p=0, top_k=100000, max_tokens=1, choice_count=10, presence_penalty=-2, seed=-1
    ),
    "stop at its limits": asking(stop_sequences=["x" * 1024] * 16),
    "length counts characters": asking(user="é" * 256),
    "image": saying(message_pb2.ContentPart(text="What is it?"), IMAGE),
    "image by URL": saying(
        message_pb2.ContentPart(image=message_pb2.ImagePart(url="HTTPS://example.org/a.png"))
    ),
    "image by data URL": saying(
        message_pb2.ContentPart(image=message_pb2.ImagePart(url="data:image/png;base64,AA=="))
    ),
    "empty text part": saying(message_pb2.ContentPart(text="")),
    "assistant with calls only": pb.CreateCompletionRequest(
        messages=[
            user(),
            message_pb2.Message(role=message_pb2.ROLE_ASSISTANT, tool_calls=[CALL]),
            message_pb2.Message(role=message_pb2.ROLE_TOOL, tool_call_id="1"),
            message_pb2.Message(role=message_pb2.ROLE_FUNCTION, name="weather"),
        ]
    ),
    "tools": asking(
        tools=[
            function(
                parameters_json='{"type": "object", "maximum": 1e999, "minimum": 12345678901234567890123}'
            ),
            message_pb2.Tool(custom=message_pb2.CustomTool(name="shell", format_json="{}")),
        ],
        tool_choice=message_pb2.ToolChoice(
            mode=message_pb2.ToolChoice.MODE_REQUIRED, allowed_tools=["shell", "weather"]
        ),
    ),
    "tool choice by function": asking(
        tools=[function()], tool_choice=message_pb2.ToolChoice(function_name="weather")
    ),
    "tool choice by custom tool": asking(
        tools=[message_pb2.Tool(custom=message_pb2.CustomTool(name="shell"))],
        tool_choice=message_pb2.ToolChoice(custom_name="shell"),
    ),
    "tool choice none without tools": asking(
        tool_choice=message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_NONE)
    ),
    "log probabilities": asking(logprobs=True, top_logprobs=20, logit_bias={50256: -100, 1: 100}),
    "zero alternatives without log probabilities": asking(top_logprobs=0),
    "schema": asking(
        response_format=pb.ResponseFormat(json_schema=pb.JsonSchema(name="answer", schema_json="{}"))
    ),
    "prompt": pb.CreateCompletionRequest(prompt=pb.TextPrompt(text="", best_of=20)),
    "prompt of tokens": pb.CreateCompletionRequest(prompt=pb.TextPrompt(tokens=pb.TokenList(tokens=[0]))),
    "embeddings": pb.CreateEmbeddingsRequest(inputs=[pb.EmbeddingInput(text="")]),
    "list models": model_service_pb2.ListModelsRequest(),
    "empty texts that may be": symbols_pb.DocumentSymbolsRequest(
        job_id="j", symbols=[symbols_pb.Symbol(symbol_id="", context=NAMELESS)]
    ),
    "raw body": httpbody_pb2.HttpBody(content_type="application/json", data=b"\xff"),
}


@pytest.mark.parametrize("message", GOOD.values(), ids=GOOD.keys())
def test_a_good_request_passes(message: Message) -> None:
    assert problems(message) == []


AT_MOST_16 = "must have at most 16 items, got 17"
FAULTS: dict[str, tuple[Message, str, str]] = {
    "number over": (asking(temperature=3), "temperature", "must be at most 2, got 3"),
    "number under": (asking(presence_penalty=-2.5), "presence_penalty", "must be at least -2, got -2.5"),
    "absent text that may be empty": (
        symbols_pb.DocumentSymbolsRequest(job_id="j", symbols=[symbols_pb.Symbol(context=NAMELESS)]),
        "symbols[0].symbol_id",
        "is required",
    ),
    "big whole number": (
        asking(max_tokens=10**7 + 1),
        "max_tokens",
        "must be at most 10000000, got 10000001",
    ),
    "zero below one": (asking(choice_count=0), "choice_count", "must be at least 1, got 0"),
    "not a number": (asking(top_p=math.nan), "top_p", "must be a finite number"),
    "infinite": (asking(temperature=-math.inf), "temperature", "must be a finite number"),
    "infinite in a map": (asking(logit_bias={7: math.inf}), "logit_bias[7]", "must be a finite number"),
    "bias too strong": (
        asking(logit_bias={50256: 101}),
        "logit_bias[50256]",
        "must be at most 100, got 101",
    ),
    "map too long": (
        asking(logit_bias=dict.fromkeys(range(1025), 0)),
        "logit_bias",
        "must have at most 1024 items, got 1025",
    ),
    "list too long": (asking(stop_sequences=["x"] * 17), "stop_sequences", AT_MOST_16),
    "empty item": (
        asking(stop_sequences=["a", ""]),
        "stop_sequences[1]",
        "must have at least 1 characters, got 0",
    ),
    "long text": (asking(user="u" * 257), "user", "must have at most 256 characters, got 257"),
    "unknown enum value": (
        pb.CreateCompletionRequest(
            messages=[message_pb2.Message(role=99, content=[message_pb2.ContentPart(text="x")])]
        ),
        "messages[0].role",
        "unknown value 99 (known: ROLE_SYSTEM, ROLE_DEVELOPER, ROLE_USER, ROLE_ASSISTANT, ROLE_TOOL, "
        "ROLE_FUNCTION)",
    ),
    "no role": (
        pb.CreateCompletionRequest(
            messages=[user(), message_pb2.Message(content=[message_pb2.ContentPart(text="x")])]
        ),
        "messages[1].role",
        "is required",
    ),
    "deep field": (
        saying(IMAGE, message_pb2.ContentPart(audio=message_pb2.AudioPart(data=b"x", format="f" * 17))),
        "messages[0].content[1].audio.format",
        "must have at most 16 characters, got 17",
    ),
    "deep required field": (
        saying(message_pb2.ContentPart(audio=message_pb2.AudioPart(format="wav"))),
        "messages[0].content[0].audio.data",
        "is required",
    ),
    "JSON that is none": (
        asking(tools=[function(parameters_json="{")]),
        "tools[0].function.parameters_json",
        "must be a JSON object: Input data was truncated",
    ),
    "JSON that is no object": (
        asking(provider_options_json="[1]"),
        "provider_options_json",
        "must be a JSON object: Expected `object`, got `array`",
    ),
    "JSON that is broken inside": (
        asking(provider_options_json='{"a": {"b": [1, NaN]}}'),
        "provider_options_json",
        "must be a JSON object: JSON is malformed: invalid character (byte 16)",
    ),
    "JSON too deep": (
        asking(provider_options_json='{"a":' * 100_000),
        "provider_options_json",
        "must be a JSON object: nested too deeply",
    ),
    "empty JSON": (
        asking(provider_options_json=""),
        "provider_options_json",
        "must be a JSON object: Input data was truncated",
    ),
    "schema without text": (
        asking(response_format=pb.ResponseFormat(json_schema=pb.JsonSchema(name="answer"))),
        "response_format.json_schema.schema_json",
        "is required",
    ),
    "two forms": (
        asking(
            response_format=pb.ResponseFormat(
                kind=pb.ResponseFormat.KIND_TEXT, json_schema=pb.JsonSchema(name="a", schema_json="{}")
            )
        ),
        "response_format.kind",
        "excludes json_schema",
    ),
    "nothing asked": (pb.CreateCompletionRequest(), "messages", "is required unless prompt is set"),
    "asked twice": (asking(prompt=pb.TextPrompt(text="x")), "prompt", "excludes messages"),
    "empty prompt": (
        pb.CreateCompletionRequest(prompt=pb.TextPrompt()),
        "prompt",
        "must have one of text, tokens",
    ),
    "prompt of no tokens": (
        pb.CreateCompletionRequest(prompt=pb.TextPrompt(tokens=pb.TokenList())),
        "prompt.tokens.tokens",
        "must have at least 1 item, got 0",
    ),
    "too many candidates": (
        pb.CreateCompletionRequest(prompt=pb.TextPrompt(text="x", best_of=21)),
        "prompt.best_of",
        "must be at most 20, got 21",
    ),
    "empty part": (
        saying(message_pb2.ContentPart()),
        "messages[0].content[0]",
        "must have one of text, image, audio, file, refusal",
    ),
    "empty image": (
        saying(message_pb2.ContentPart(image=message_pb2.ImagePart())),
        "messages[0].content[0].image",
        "must have one of url, data",
    ),
    "image data without type": (
        saying(message_pb2.ContentPart(image=message_pb2.ImagePart(data=b"x"))),
        "messages[0].content[0].image.media_type",
        "is required with data",
    ),
    "image from elsewhere": (
        saying(message_pb2.ContentPart(image=message_pb2.ImagePart(url="file:///etc/passwd"))),
        "messages[0].content[0].image.url",
        "must be an http(s) or data: URL",
    ),
    "empty file": (
        saying(message_pb2.ContentPart(file=message_pb2.FilePart(filename="a.pdf"))),
        "messages[0].content[0].file",
        "must have one of file_id, file_data",
    ),
    "empty tool": (asking(tools=[message_pb2.Tool()]), "tools[0]", "must have one of function, custom"),
    "empty call": (
        pb.CreateCompletionRequest(
            messages=[
                message_pb2.Message(role=message_pb2.ROLE_ASSISTANT, tool_calls=[message_pb2.ToolCall()])
            ]
        ),
        "messages[0].tool_calls[0]",
        "must have one of function, custom",
    ),
    "silent user": (
        pb.CreateCompletionRequest(messages=[message_pb2.Message(role=message_pb2.ROLE_USER)]),
        "messages[0].content",
        "is required",
    ),
    "silent system": (
        pb.CreateCompletionRequest(messages=[message_pb2.Message(role=message_pb2.ROLE_SYSTEM), user()]),
        "messages[0].content",
        "is required",
    ),
    "silent assistant": (
        pb.CreateCompletionRequest(messages=[user(), message_pb2.Message(role=message_pb2.ROLE_ASSISTANT)]),
        "messages[1].content",
        "is required unless tool_calls is set",
    ),
    "result of no call": (
        pb.CreateCompletionRequest(
            messages=[
                message_pb2.Message(role=message_pb2.ROLE_TOOL, content=[message_pb2.ContentPart(text="x")])
            ]
        ),
        "messages[0].tool_call_id",
        "is required for ROLE_TOOL",
    ),
    "result of no function": (
        pb.CreateCompletionRequest(messages=[message_pb2.Message(role=message_pb2.ROLE_FUNCTION)]),
        "messages[0].name",
        "is required for ROLE_FUNCTION",
    ),
    "two tools of one name": (
        asking(tools=[function("a"), message_pb2.Tool(custom=message_pb2.CustomTool(name="a"))]),
        "tools[1].custom.name",
        "is the name of an earlier tool: 'a'",
    ),
    "tool without name": (asking(tools=[function(""), function()]), "tools[0].function.name", "is required"),
    "required without tools": (
        asking(tool_choice=message_pb2.ToolChoice(mode=message_pb2.ToolChoice.MODE_REQUIRED)),
        "tools",
        "is required for MODE_REQUIRED",
    ),
    "unknown mode": (
        asking(tool_choice=message_pb2.ToolChoice(mode=9)),
        "tool_choice.mode",
        "unknown value 9 (known: MODE_NONE, MODE_AUTO, MODE_REQUIRED)",
    ),
    "two choices": (
        asking(
            tools=[function("a"), message_pb2.Tool(custom=message_pb2.CustomTool(name="b"))],
            tool_choice=message_pb2.ToolChoice(function_name="a", custom_name="b"),
        ),
        "tool_choice.custom_name",
        "excludes function_name",
    ),
    "choice of an unknown function": (
        asking(tools=[function()], tool_choice=message_pb2.ToolChoice(function_name="b")),
        "tool_choice.function_name",
        "names no function of tools: 'b'",
    ),
    "choice of a tool of the other kind": (
        asking(tools=[function()], tool_choice=message_pb2.ToolChoice(custom_name="weather")),
        "tool_choice.custom_name",
        "names no custom tool of tools: 'weather'",
    ),
    "unknown tool allowed": (
        asking(tools=[function()], tool_choice=message_pb2.ToolChoice(allowed_tools=["weather", "b"])),
        "tool_choice.allowed_tools[1]",
        "names no tool of tools: 'b'",
    ),
    "alternatives without log probabilities": (asking(top_logprobs=1), "top_logprobs", "needs logprobs"),
    "nothing to embed": (pb.CreateEmbeddingsRequest(), "inputs", "is required"),
    "empty input": (
        pb.CreateEmbeddingsRequest(inputs=[pb.EmbeddingInput(text="a"), pb.EmbeddingInput()]),
        "inputs[1]",
        "must have one of text, tokens",
    ),
    "no tokens to embed": (
        pb.CreateEmbeddingsRequest(inputs=[pb.EmbeddingInput(tokens=pb.TokenList())]),
        "inputs[0].tokens.tokens",
        "must have at least 1 item, got 0",
    ),
    "no model named": (model_service_pb2.GetModelRequest(), "model", "is required"),
}


@pytest.mark.parametrize(("message", "path", "problem"), FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_named_with_its_path(message: Message, path: str, problem: str) -> None:
    assert problems(message) == [(path, problem)]


def test_all_faults_are_named_at_once() -> None:
    found = problems(pb.CreateCompletionRequest(temperature=3, choice_count=11, tools=[message_pb2.Tool()]))
    assert [path for path, _ in found] == ["temperature", "choice_count", "tools[0]", "messages"]


def test_no_more_than_twenty_faults_are_named() -> None:
    found = problems(pb.CreateCompletionRequest(messages=[message_pb2.Message()] * 10_000, temperature=3))
    assert len(found) == MAX_PROBLEMS == 20


def test_a_long_name_is_not_echoed_whole() -> None:
    [(_, problem)] = problems(asking(tool_choice=message_pb2.ToolChoice(function_name="x" * 1_000_000)))
    assert len(problem) < 200


def test_json_values_must_be_finite_at_any_depth() -> None:
    value = struct_pb2.Struct()
    value["list"] = [1.0, {"deep": math.nan}]
    [(path, problem)] = problems(value)
    assert path == "fields[list].list_value.values[1].struct_value.fields[deep].number_value"
    assert problem == "must be a finite number"


def typed(name: str, label: str, kind: str, **rules: Any) -> type[Message]:
    """A message type with the one field `x`."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{name}.proto", package="test_fields", syntax="proto3")
    file.dependency.append("genai_spine/v1/field_rules.proto")
    message = file.message_type.add(name=name)
    field = message.field.add(name="x", number=1)
    field.type = getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{kind}")
    field.label = field.LABEL_REPEATED if label == "repeated" else field.LABEL_OPTIONAL
    if label == "optional":
        message.oneof_decl.add(name="_x")
        field.proto3_optional, field.oneof_index = True, 0
    field.options.Extensions[field_rules_pb2.rules].CopyFrom(field_rules_pb2.FieldRules(**rules))
    pool = descriptor_pool.Default()
    pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"test_fields.{name}"))


def test_rules_without_a_field_in_the_contract_yet() -> None:
    """Each with a value that passes and one that does not."""
    cases = [
        (typed("Pattern", "plain", "STRING", pattern="[a-z0-9-]+"), "a-1", "a_1", "must match [a-z0-9-]+"),
        (
            typed("Bytes", "plain", "BYTES", max_length=1),
            b"x",
            "é".encode(),
            "must have at most 1 bytes, got 2",
        ),
        (typed("Zero", "plain", "INT64", required=True), 1, 0, "is required"),
        (typed("Set", "optional", "INT64", required=True), 0, None, "is required"),
        (typed("Text", "optional", "STRING", required=True), "x", "", "is required"),
        (typed("Blob", "optional", "BYTES", required=True), b"x", None, "is required"),
        (typed("Real", "plain", "FLOAT"), 1e38, math.nan, "must be a finite number"),
        (typed("Two", "repeated", "BOOL", min_items=2), [1, 0], [1], "must have at least 2 items, got 1"),
        (typed("One", "repeated", "BOOL", min_items=1), [False], [], "must have at least 1 item, got 0"),
    ]
    for message, good, bad, problem in cases:
        assert problems(message(x=good)) == []
        assert problems(message(x=bad)) == [("x", problem)]


def test_keys_and_values_of_cost_labels_are_checked() -> None:
    assert problems(asking(cost_labels={"team": "search", "a.b_c-9": ""})) == []
    assert problems(asking(cost_labels={"Team": "x"})) == [
        ("cost_labels[Team]", "must have a key that matches [a-z0-9_.-]{1,64}")
    ]
    assert problems(asking(cost_labels={"team": "x" * 257})) == [
        ("cost_labels[team]", "must have at most 256 characters, got 257")
    ]
    assert problems(asking(cost_labels={str(number): "" for number in range(17)})) == [
        ("cost_labels", "must have at most 16 items, got 17")
    ]


def test_numbers_in_a_list_are_checked_one_by_one() -> None:
    numbers = typed("Numbers", "repeated", "UINT32", max=5, max_items=3)
    assert problems(numbers(x=[5, 6, 7])) == [
        ("x[1]", "must be at most 5, got 6"),
        ("x[2]", "must be at most 5, got 7"),
    ]


# Any message at all, from its descriptor.

TEXTS = st.sampled_from(["", "a", "{}", "[", "https://example.org", "x" * 300]) | st.text(max_size=8)
REALS = st.floats() | st.sampled_from([0.0, 1.0, 2.0, 101.0])


def values(field: Any, depth: int) -> st.SearchStrategy[Any]:
    if field.message_type:
        return messages(field.message_type, depth - 1)
    if field.enum_type:
        return st.integers(-1, 9)
    by_cpp_type = {
        field.CPPTYPE_BOOL: st.booleans(),
        field.CPPTYPE_DOUBLE: REALS,
        field.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
        field.CPPTYPE_INT32: st.sampled_from([-(2**31), 0, 1, 20, 2**31 - 1]),
        field.CPPTYPE_UINT64: st.integers(0, 2**64 - 1),
        field.CPPTYPE_UINT32: st.sampled_from([0, 1, 20, 2**32 - 1]),
        field.CPPTYPE_STRING: st.binary(max_size=3) if field.type == field.TYPE_BYTES else TEXTS,
    }
    return by_cpp_type[field.cpp_type]


@st.composite
def messages(draw: st.DrawFn, descriptor: Any, depth: int = 5) -> Message:
    message = message_factory.GetMessageClass(descriptor)()
    for field in descriptor.fields:
        if not draw(st.booleans()) or (depth <= 0 and field.message_type):
            continue
        target = getattr(message, field.name)
        if field.message_type and field.message_type.GetOptions().map_entry:
            key, value = field.message_type.fields
            target[draw(values(key, depth))] = draw(values(value, depth))
        elif field.is_repeated:
            target.extend(draw(st.lists(values(field, depth), max_size=2)))
        elif field.message_type:
            target.CopyFrom(draw(values(field, depth)))
        else:
            setattr(message, field.name, draw(values(field, depth)))
    return message


ANY_REQUEST = st.sampled_from(
    [pb.CreateCompletionRequest, pb.CreateEmbeddingsRequest, model_service_pb2.ListModelsRequest]
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(request=ANY_REQUEST.flatmap(lambda kind: messages(kind.DESCRIPTOR)))
def test_any_message_passes_or_is_refused_with_named_faults(request: Message) -> None:
    before = request.SerializeToString(deterministic=True)
    found = problems(request)
    assert len(found) <= MAX_PROBLEMS
    assert all(path and problem for path, problem in found)
    assert request.SerializeToString(deterministic=True) == before
