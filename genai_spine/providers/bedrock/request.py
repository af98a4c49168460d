"""Converse request: the contract's request written as Bedrock's JSON.

Shapes: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html, 2026-11-28, and
botocore's model of the service `bedrock-runtime`.

A model without schemas of its own gives an answer of a given form by calling ANSWER_TOOL, whose arguments are
the answer; `response` turns the call back into text.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Raw

from genai_spine.errors import InvalidFields, UnsupportedOption
from genai_spine.json_schema.rewrite import SchemaRules, portable
from genai_spine.providers import prompt_cache
from genai_spine.providers.base import Route, further_fields
from genai_spine.providers.bedrock import model_options
from genai_spine.providers.bedrock.conversation import (
    ConversationWriter,
    cache_point,
    drop_thinking,
    lacks_thinking,
)
from genai_spine.providers.conversation import called_names
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

INFERENCE = {
    "max_tokens": "maxTokens",
    "temperature": "temperature",
    "top_p": "topP",
    "stop_sequences": "stopSequences",
}
# The tool by which a model without schemas of its own gives an answer of a given form.
ANSWER_TOOL = "give_answer"
ANY_OBJECT = b'{"type":"object"}'
WITHDRAWN = "Was called earlier in this conversation and cannot be called any more."

# For models that take a schema (model_options.NATIVE_SCHEMA has the source); the others get the same one as
# a tool's.
SCHEMA = SchemaRules(
    refused=frozenset(
        {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
        | {"minLength", "maxLength", "pattern", "maxItems", "uniqueItems"}
        | {"minProperties", "maxProperties", "patternProperties", "propertyNames", "not", "default"}
    ),
    closed=True,
    object_only=True,
    recursion=False,
    max_min_items=1,
)


def write_request(request: pb.CreateCompletionRequest, route: Route) -> dict[str, Any]:
    """The body of Converse and ConverseStream, which are the same."""
    body = further_fields(request)
    marks = prompt_cache.marks(request) if model_options.takes_cache_points(route.model) else {}
    body |= ConversationWriter(request, route, marks).conversation()
    inference = own(body, "inferenceConfig")
    for field, value in request.ListFields():
        if field.name in INFERENCE:
            inference[INFERENCE[field.name]] = list(value) if field.is_repeated else value
    more, output = model_options.fields(request, route)
    output = own(body, "outputConfig") | output
    if request.HasField("response_format") and model_options.takes_schema(route.model):
        output |= _text_format(request.response_format)
    tool_config = tools(request, route, marks)
    if "toolConfig" in body and not (request.tools or answers_by_tool(request, route.model)):
        tool_config = {}  # the caller's own
    if more.get("thinking", {}).get("type") == "enabled" and lacks_thinking(body["messages"]):
        del more["thinking"]  # its calls were made without, which Claude refuses then
        drop_thinking(body["messages"])
    fields = {"inferenceConfig": inference, "outputConfig": output, "toolConfig": tool_config}
    fields["additionalModelRequestFields"] = own(body, "additionalModelRequestFields") | more
    return body | {name: value for name, value in fields.items() if value}


def own(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Object among the caller's own fields; ours go beside what it holds. Errors: InvalidFields."""
    if name not in body:
        return {}
    try:
        own_fields: dict[str, Any] = msgspec.json.decode(body[name], type=dict[str, Raw])
    except msgspec.DecodeError as error:
        raise InvalidFields([("provider_options_json", f"{name}: {error}")]) from error
    return own_fields


def answers_by_tool(request: pb.CreateCompletionRequest, model: str) -> bool:
    """The answer's form is made known as a tool that the model must call."""
    if not request.HasField("response_format"):
        return False
    form = request.response_format
    if form.HasField("json_schema"):
        needs_tool = not model_options.takes_schema(model)
    else:
        needs_tool = form.kind == pb.ResponseFormat.KIND_JSON_OBJECT
    choice = request.tool_choice
    named = choice.HasField("function_name") or choice.mode == message_pb2.ToolChoice.MODE_REQUIRED
    return needs_tool and not named  # who must call another tool gives no answer


def tools(request: pb.CreateCompletionRequest, route: Route, marks: prompt_cache.Marks) -> dict[str, Any]:
    """toolConfig; empty where there are no tools, and none in the conversation."""
    if not request.tools and not request.HasField("response_format"):  # as most are
        called = [_called_tool(name) for name in called_names(request.messages[:])]
        return {"tools": called} if called else {}
    choice, form = request.tool_choice, request.response_format
    none = choice.mode == message_pb2.ToolChoice.MODE_NONE
    offered: list[dict[str, Any]] = []
    for number, tool in enumerate(request.tools):
        if not none and (not choice.allowed_tools or tool.function.name in choice.allowed_tools):
            offered.append(_tool(tool.function))
            if ttl := marks.get((prompt_cache.TOOLS, number)):
                offered.append(cache_point(ttl, route.model))
    how = _tool_choice(choice) if offered else {}
    if answers_by_tool(request, route.model):
        has_schema = form.HasField("json_schema")
        schema = portable(form.json_schema.schema_json, SCHEMA).encode() if has_schema else ANY_OBJECT
        described = form.json_schema.description or "Gives the whole answer."
        spec = {"name": ANSWER_TOOL, "description": described, "inputSchema": {"json": Raw(schema)}}
        alone = not offered and model_options.takes_named_tool(route.model)
        how = {"toolChoice": {"tool": {"name": ANSWER_TOOL}} if alone else {"any": {}}}
        offered.append({"toolSpec": spec})
    elif none and request.tools and called_names(request.messages):
        # Converse takes no messages with tool calls without the tools, and knows no choice "none".
        option = "tool_choice none in a conversation with tool calls"
        raise UnsupportedOption(field="tool_choice", provider=route.provider.name, option=option)
    elif not offered:
        offered = [_called_tool(name) for name in called_names(request.messages[:])]
    return {"tools": offered} | how if offered else {}


def _tool(function: message_pb2.FunctionTool) -> dict[str, Any]:
    """Tool declaration; a function without parameters takes any object."""
    spec: dict[str, Any] = {"name": function.name}
    if function.description:
        spec["description"] = function.description
    spec["inputSchema"] = {"json": Raw((function.parameters_json or '{"type":"object"}').encode())}
    if function.strict:
        spec["strict"] = True
    return {"toolSpec": spec}


def _called_tool(name: str) -> dict[str, Any]:
    """Tool that was called earlier and is not offered now: Converse demands it beside its calls."""
    spec = {"name": name, "description": WITHDRAWN, "inputSchema": {"json": Raw(ANY_OBJECT)}}
    return {"toolSpec": spec}


def _tool_choice(choice: message_pb2.ToolChoice) -> dict[str, Any]:
    """toolChoice of the caller's choice; empty leaves it to the model."""
    if choice.HasField("function_name"):
        return {"toolChoice": {"tool": {"name": choice.function_name}}}
    if choice.mode == message_pb2.ToolChoice.MODE_REQUIRED:
        return {"toolChoice": {"any": {}}}
    return {"toolChoice": {"auto": {}}} if choice.mode == message_pb2.ToolChoice.MODE_AUTO else {}


def _text_format(form: pb.ResponseFormat) -> dict[str, Any]:
    """textFormat with the schema, which stands there as text."""
    if not form.HasField("json_schema"):
        return {}
    # The schema stands there as text.
    schema = portable(form.json_schema.schema_json, SCHEMA)
    definition = {"name": form.json_schema.name, "schema": schema}
    if form.json_schema.description:
        definition["description"] = form.json_schema.description
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": definition}}}
