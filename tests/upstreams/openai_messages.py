"""What OpenAI refuses in the messages of a chat."""

from collections.abc import Sequence
from typing import Any

from tests.upstreams.openai_errors import error
from tests.upstreams.openai_values import Rule, check_value, invalid_value
from tests.upstreams.server import Refused

ROLES = ("system", "assistant", "user", "function", "tool", "developer")
PARTS = ("text", "image_url", "input_audio", "refusal", "audio", "file")


def check_messages(messages: Any) -> None:
    if messages is None:
        message = "Missing required parameter: 'messages'."
        raise Refused(error(400, message, param="messages", code="missing_required_parameter"))
    if not messages:
        message = (
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty "
            "array instead."
        )
        raise Refused(error(400, message, param="messages", code="empty_array"))
    for index, message in enumerate(messages):
        _check_message(f"messages[{index}]", message)
    _check_tool_messages(messages)


def _check_message(path: str, message: Any) -> None:
    check_value(path, message, Rule("an object", (dict,), nullable=False))
    role, content = message.get("role"), message.get("content")
    if role not in ROLES:
        raise Refused(invalid_value(f"{path}.role", role, ROLES))
    calls = message.get("tool_calls") or message.get("function_call") or message.get("refusal")
    if content is None and not (role in ("assistant", "function") and (calls or message.get("audio"))):
        message = "Invalid value for 'content': expected a string, got null."
        raise Refused(error(400, message, param=path.replace("[", ".[") + ".content"))
    check_value(f"{path}.content", content, Rule("a string or an array of objects", (str, list)))
    for index, part in enumerate(content if isinstance(content, list) else []):
        if part.get("type") not in PARTS:
            raise Refused(invalid_value(f"{path}.content[{index}].type", part.get("type"), PARTS))
        if not isinstance(part.get(part["type"]), str | dict):
            missing = f"{path}.content[{index}].{part['type']}"
            message = f"Missing required parameter: '{missing}'."
            raise Refused(error(400, message, param=missing, code="missing_required_parameter"))


def _check_tool_messages(messages: Sequence[dict[str, Any]]) -> None:
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        if message["role"] == "tool":
            if message.get("tool_call_id") not in open_calls:
                told = (
                    "Invalid parameter: messages with role 'tool' must be a response to a preceeding message "
                    "with 'tool_calls'."
                )
                raise Refused(error(400, told, param=f"messages.[{index}].role"))
            open_calls.remove(message["tool_call_id"])
        elif open_calls:
            _refuse_open_calls(index, open_calls)
        if message.get("tool_calls"):
            open_calls = [call["id"] for call in message["tool_calls"]]
    if open_calls:
        _refuse_open_calls(len(messages), open_calls)


def _refuse_open_calls(index: int, open_calls: Sequence[str]) -> None:
    message = (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
        "'tool_call_id'. The following tool_call_ids did not have response messages: " + ", ".join(open_calls)
    )
    raise Refused(error(400, message, param=f"messages.[{index}].role"))
