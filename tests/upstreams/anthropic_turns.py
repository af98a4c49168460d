"""What Anthropic refuses in the system prompt and the turns of a conversation.

Source: https://platform.claude.com/docs/en/api/messages and .../agents-and-tools/tool-use/handle-tool-calls
(2026-11-28); the words as reported publicly.
"""

import base64
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tests.upstreams.anthropic_errors import invalid
from tests.upstreams.server import Refused

BLOCKS = {
    "text": ({"text"}, {"cache_control", "citations"}),
    "image": ({"source"}, {"cache_control", "transformations"}),
    "document": ({"source"}, {"cache_control", "citations", "context", "title"}),
    "tool_use": ({"id", "name", "input"}, {"cache_control", "caller", "toolset_name"}),
    "tool_result": ({"tool_use_id"}, {"cache_control", "content", "is_error", "toolset_name"}),
    "thinking": ({"thinking", "signature"}, set()),
    "redacted_thinking": ({"data"}, set()),
}
SOURCES = {
    "base64": {"media_type", "data"},
    "url": {"url"},
    "text": {"media_type", "data"},
    "file": {"file_id"},
}
OF_USER = ("text", "image", "document", "tool_result")
OF_ASSISTANT = ("text", "tool_use", "thinking", "redacted_thinking")
IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
TOOL_ID = re.compile(r"[a-zA-Z0-9_-]+")
MOST_MARKS = 4


def refuse(problem: str) -> Refused:
    return Refused(invalid(problem))


def check_turns(body: dict[str, Any]) -> None:
    messages = body["messages"]
    if not messages:
        raise refuse("messages: at least one message is required")
    for index, message in enumerate(messages):
        _check_turn(f"messages.{index}", message)
    if messages[0]["role"] != "user":
        raise refuse('messages: first message must use the "user" role')
    for before, message in pairwise(messages):
        if before["role"] == message["role"]:  # merged by the API of today, refused by those before
            raise refuse('messages: roles must alternate between "user" and "assistant"')
    _check_results(messages)
    _check_calls(body)
    system = body.get("system")
    for index, block in enumerate(system if isinstance(system, list) else []):
        if block.get("type") != "text":
            raise refuse(f"system.{index}.type: Input should be 'text'")
        _check_block(f"system.{index}", block)
    _check_marks(body)


def _check_turn(path: str, message: Any) -> None:
    if not isinstance(message, dict) or set(message) - {"role", "content"}:
        raise refuse(f"{path}: Extra inputs are not permitted")
    if message.get("role") not in ("user", "assistant"):
        raise refuse(f"{path}.role: Input should be 'user' or 'assistant'")
    if not message.get("content"):
        raise refuse(f"{path}: all messages must have non-empty content")
    if isinstance(message["content"], str):
        return
    allowed = OF_USER if message["role"] == "user" else OF_ASSISTANT
    for index, block in enumerate(message["content"]):
        if block.get("type") not in allowed:
            raise refuse(
                f"{path}.content.{index}: Input tag '{block.get('type')}' found using 'type' does not match "
                f"any of the expected tags: {', '.join(allowed)}"
            )
        _check_block(f"{path}.content.{index}", block)


def _check_block(path: str, block: dict[str, Any]) -> None:
    needed, allowed = BLOCKS[block["type"]]
    path = f"{path}.{block['type']}"
    for name in sorted(needed - set(block)):
        raise refuse(f"{path}.{name}: Field required")
    for name in sorted(set(block) - needed - allowed - {"type"}):
        raise refuse(f"{path}.{name}: Extra inputs are not permitted")
    if block["type"] == "text" and not block["text"].strip():
        raise refuse("messages: text content blocks must contain non-whitespace text")
    if block["type"] == "tool_use":
        if not TOOL_ID.fullmatch(block["id"]):
            raise refuse(f"{path}.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
        if not isinstance(block["input"], dict):
            raise refuse(f"{path}.input: Input should be a valid dictionary")
    if "source" in block:
        _check_source(f"{path}.source", block["type"], block["source"])
    for index, inner in enumerate(block.get("content", []) if block["type"] == "tool_result" else []):
        if isinstance(inner, dict):
            _check_block(f"{path}.content.{index}", inner)


def _check_source(path: str, of: str, source: dict[str, Any]) -> None:
    kind = source.get("type")
    if kind not in SOURCES or (of == "image" and kind == "text"):
        raise refuse(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags")
    if set(source) - {"type"} != SOURCES[kind]:
        raise refuse(f"{path}.{kind}: Field required or not permitted")
    if kind != "base64":
        return
    types = IMAGE_TYPES if of == "image" else ("application/pdf",)
    if source["media_type"] not in types:
        raise refuse(f"{path}.base64.media_type: Input should be {' or '.join(types)}")
    try:
        base64.b64decode(source["data"], validate=True)
    except ValueError:
        raise refuse(f"{path}.base64: invalid base64 data") from None


def _blocks(message: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    content = message["content"]
    return [block for block in content if isinstance(content, list) and block["type"] == kind]


def _check_results(messages: list[dict[str, Any]]) -> None:
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        results = [block["tool_use_id"] for block in _blocks(message, "tool_result")]
        for id in results:
            if id not in open_calls:
                raise refuse(
                    f"messages.{index}.content.0: unexpected `tool_use_id` found in `tool_result` blocks: "
                    f"{id}. Each `tool_result` block must have a corresponding `tool_use` block in the "
                    "previous message."
                )
        missing = [id for id in open_calls if id not in results]
        kinds = [block["type"] for block in message["content"]] if results else []
        if missing or kinds[: len(results)] != ["tool_result"] * len(results):
            raise refuse(
                f"messages.{index - 1}: `tool_use` ids were found without `tool_result` blocks immediately "
                f"after: {', '.join(missing or open_calls)}. Each `tool_use` block must have a corresponding "
                "`tool_result` block in the next message."
            )
        open_calls = [block["id"] for block in _blocks(message, "tool_use")]
    if open_calls:
        raise refuse(
            f"messages.{len(messages) - 1}: `tool_use` ids were found without `tool_result` blocks "
            f"immediately after: {', '.join(open_calls)}."
        )


def _check_calls(body: dict[str, Any]) -> None:
    """Ids differ in the whole conversation, tools are declared, and a budget of thinking begins its turn."""
    messages = body["messages"]
    ids = [block["id"] for message in messages for block in _blocks(message, "tool_use")]
    if len(set(ids)) < len(ids):
        raise refuse("messages: `tool_use` ids must be unique")
    if ids and not body.get("tools"):
        raise refuse("Requests which include `tool_use` or `tool_result` blocks must define tools")
    if (body.get("thinking") or {}).get("type") != "enabled":
        return
    first = None
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if message["role"] == "assistant":
            first = index
        elif not _blocks(message, "tool_result"):
            break
    content = messages[first]["content"] if first is not None else []
    if content and isinstance(content, list) and content[0]["type"] not in ("thinking", "redacted_thinking"):
        raise refuse(
            f"messages.{first}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
            f"`{content[0]['type']}`. When `thinking` is enabled, a final `assistant` message must start "
            "with a thinking block (preceding the lastmost set of `tool_use` and `tool_result` blocks)."
        )


def _marked(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "cache_control" in value:
            yield value
        for name, inner in value.items():
            if name not in ("input", "input_schema", "schema"):
                yield from _marked(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _marked(inner)


def _check_marks(body: dict[str, Any]) -> None:
    marked = [*_marked(body.get("tools")), *_marked(body.get("system")), *_marked(body["messages"])]
    if len(marked) > MOST_MARKS:
        raise refuse(
            f"A maximum of {MOST_MARKS} blocks with cache_control may be provided. Found {len(marked)}."
        )
    short = False
    for block in marked:
        control = block["cache_control"]
        if control.get("type") != "ephemeral" or control.get("ttl", "5m") not in ("5m", "1h"):
            raise refuse("cache_control: Input should be 'ephemeral' with ttl '5m' or '1h'")
        if control.get("ttl") == "1h" and short:
            raise refuse("a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block")
        short = short or control.get("ttl", "5m") == "5m"
