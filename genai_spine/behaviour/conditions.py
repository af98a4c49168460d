"""Conditions of rules: what else a request asks for, so that an option of it is not taken."""

from collections.abc import Callable, Mapping, Sequence

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

Request = pb.CreateCompletionRequest


def reasons(request: Request) -> bool:
    """The model is to reason: a budget, or an effort above none."""
    return request.HasField("reasoning_max_tokens") or request.reasoning_effort > pb.REASONING_EFFORT_NONE


def forces_tool(request: Request) -> bool:
    """The model must call a tool, any or one."""
    choice = request.tool_choice
    forced = choice.mode == message_pb2.ToolChoice.MODE_REQUIRED
    return forced or choice.HasField("function_name") or choice.HasField("custom_name")


def asks_for_json(request: Request) -> bool:
    """The answer is to be JSON, with a schema or without."""
    form = request.response_format
    return form.HasField("json_schema") or form.kind == pb.ResponseFormat.KIND_JSON_OBJECT


def _asks_for_any_json(request: Request) -> bool:
    return request.response_format.kind == pb.ResponseFormat.KIND_JSON_OBJECT


CONDITIONS: Mapping[str, Callable[[Request], bool]] = {
    "reasoning": reasons,
    "forced_tool": forces_tool,
    "json": asks_for_json,
    "json_by_tool": _asks_for_any_json,
    "temperature": lambda request: request.HasField("temperature"),
    "effort_high": lambda request: request.reasoning_effort >= pb.REASONING_EFFORT_HIGH,
}


def holds(names: Sequence[str], request: Request) -> bool:
    """Whether one of the conditions holds; without any: yes."""
    return not names or any(CONDITIONS[name](request) for name in names)
