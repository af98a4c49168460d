"""What Ollama refuses, in its words.

Source: github.com/ollama/ollama server/routes.go and api/types.go (read 2026-11-21), and
docs.ollama.com/openapi.yaml (2026-11-28). Unknown fields and unknown options are ignored there, so they are
here.
"""

import base64
from collections.abc import Mapping
from typing import Any

from tests.upstreams.reply import Reply
from tests.upstreams.server import Refused

Types = tuple[type, ...]
TEXT: Types = (str,)
BOOL: Types = (bool,)
INT: Types = (int,)
FLOAT: Types = (int, float)
LIST: Types = (list,)
OBJECT: Types = (dict,)
GO_TYPES = {TEXT: "string", BOOL: "bool", INT: "int", LIST: "[]", OBJECT: "map[string]interface {}"}
COMMON: dict[str, Types] = {
    "model": TEXT,
    "stream": BOOL,
    "options": OBJECT,
    "logprobs": BOOL,
    "top_logprobs": INT,
}
CHAT: Mapping[str, Types] = COMMON | {"messages": LIST, "tools": LIST, "truncate": BOOL, "shift": BOOL}
GENERATE: Mapping[str, Types] = COMMON | {
    "prompt": TEXT,
    "suffix": TEXT,
    "system": TEXT,
    "template": TEXT,
    "context": LIST,
    "raw": BOOL,
    "images": LIST,
}
EMBED: Mapping[str, Types] = {"model": TEXT, "dimensions": INT, "truncate": BOOL, "options": OBJECT}
MESSAGE: Mapping[str, Types] = {
    "role": TEXT,
    "content": TEXT,
    "thinking": TEXT,
    "images": LIST,
    "tool_calls": LIST,
    "tool_name": TEXT,
    "tool_call_id": TEXT,
}
OPTIONS: Mapping[str, Types] = {
    "num_keep": INT,
    "seed": INT,
    "num_predict": INT,
    "top_k": INT,
    "top_p": FLOAT,
    "min_p": FLOAT,
    "typical_p": FLOAT,
    "repeat_last_n": INT,
    "temperature": FLOAT,
    "repeat_penalty": FLOAT,
    "presence_penalty": FLOAT,
    "frequency_penalty": FLOAT,
    "stop": LIST,
    "num_ctx": INT,
    "num_batch": INT,
    "num_gpu": INT,
    "num_thread": INT,
}
OPTION_TYPES = {INT: "integer", FLOAT: "float32", LIST: "array", BOOL: "boolean", TEXT: "string"}
ROLES = ("system", "user", "assistant", "tool")
LEVELS = ("low", "medium", "high", "max")
SWITCHED = ("qwen3", "deepseek-r1")  # models that think or do not


def refusal(status: int, message: str) -> Refused:
    return Refused(
        Reply(status=status, body={"error": message}, content_type="application/json; charset=utf-8")
    )


def model_not_found(name: str) -> Reply:
    return refusal(404, f"model '{name}' not found").reply


def check_chat(body: dict[str, Any]) -> None:
    _check_types(body, CHAT, "ChatRequest")
    for message in body.get("messages") or []:
        if not isinstance(message, dict):
            raise _mismatch(message, "ChatRequest.messages", "api.Message")
        _check_types(message, MESSAGE, "ChatRequest.messages")
        if message.get("role") not in ROLES:
            # Harsher than Ollama, which drops a message of an unknown role without a word.
            raise refusal(400, f"invalid role: {message.get('role')}, must be one of {list(ROLES)}")
        _check_images(message.get("images") or [])
        for call in message.get("tool_calls") or []:
            if not isinstance(call["function"].get("arguments"), dict):
                field = "ChatRequest.messages.tool_calls.function.arguments"
                raise _mismatch(call["function"].get("arguments"), field, "map[string]interface {}")
    _check_rest(body)


def check_generate(body: dict[str, Any]) -> None:
    _check_types(body, GENERATE, "GenerateRequest")
    _check_images(body.get("images") or [])
    if body.get("raw") and (body.get("template") or body.get("system") or body.get("context")):
        raise refusal(400, "raw mode does not support template, system, or context")
    _check_rest(body)


def check_pull(body: dict[str, Any]) -> None:
    _check_types(body, {"model": TEXT, "stream": BOOL, "insecure": BOOL}, "PullRequest")


def check_embed(body: dict[str, Any]) -> None:
    _check_types(body, EMBED, "EmbedRequest")
    inputs = body.get("input")
    listed = inputs if isinstance(inputs, list) else [inputs or ""]
    if not all(isinstance(item, str) for item in listed):
        raise refusal(400, "invalid input type")
    _check_rest(body)


def _check_images(images: list[Any]) -> None:
    for image in images:
        try:
            base64.b64decode(image, validate=True)
        except (ValueError, TypeError):
            # A data: URL ends here too.
            raise refusal(400, "illegal base64 data at input byte 4") from None


def _check_rest(body: dict[str, Any]) -> None:
    think = body.get("think")
    if isinstance(think, str) and think not in LEVELS:
        raise refusal(
            400, f'invalid think value: "{think}" (must be "high", "medium", "low", true, or false)'
        )
    leveled = str(body.get("model")).startswith("gpt-oss")
    if think is not None and leveled and think not in ("low", "medium", "high"):
        raise refusal(400, "think must be one of low, medium, high for this model")
    if isinstance(think, str) and str(body.get("model")).startswith(SWITCHED):
        raise refusal(400, "think must be true or false for this model")  # harsher than Ollama
    if not 0 <= body.get("top_logprobs", 0) <= 20:
        raise refusal(400, "top_logprobs must be between 0 and 20")
    for name, value in (body.get("options") or {}).items():
        types = OPTIONS.get(name)
        if types and value is not None and not _fits(value, types):
            raise refusal(500, f'option "{name}" must be of type {OPTION_TYPES[types]}')
    wanted = body.get("format")
    if isinstance(wanted, str) and wanted not in ("", "json"):
        raise refusal(500, f'invalid format: "{wanted}"; expected "json" or a valid JSON Schema object')


def _check_types(body: dict[str, Any], fields: Mapping[str, Types], where: str) -> None:
    for name, types in fields.items():
        value = body.get(name)
        if value is not None and not _fits(value, types):
            raise _mismatch(value, f"{where}.{name}", GO_TYPES[types])


def _fits(value: Any, types: Types) -> bool:
    if isinstance(value, bool):
        return bool in types
    # Go reads 40.0 as an int option, because JSON numbers arrive there as float64.
    return isinstance(value, types) or (types == INT and isinstance(value, float) and value.is_integer())


def _mismatch(value: Any, field: str, wanted: str) -> Refused:
    kinds = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
    kind = kinds.get(type(value), "null")
    return refusal(400, f"json: cannot unmarshal {kind} into Go struct field {field} of type {wanted}")
