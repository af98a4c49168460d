"""What a simulated model makes up: token counts, pieces of text, JSON for a schema, vectors.

Everything is a pure function of its arguments, so that a test can predict every number.
"""

import hashlib
import math
import struct
from collections.abc import Sequence
from typing import Any

PIECE = 4  # characters per piece of streamed text, so that a piece is about one token
IMAGE_TOKENS = 85  # any image, file or sound
MAX_DEPTH = 6  # of the JSON made up for a recursive schema


def count_tokens(text: str) -> int:
    """The simulators' only token rule: a quarter of the characters, plus one; nothing for nothing."""
    return len(text) // 4 + 1 if text else 0


def prompt_tokens(messages: Sequence[dict[str, Any]]) -> int:
    """Tokens of chat messages: the sum over messages of their texts', plus a fixed price per attachment."""
    return sum(count_tokens(message_text(message)) + _attachments(message) for message in messages)


def message_text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(part.get("text", part.get("refusal", "")) for part in content or [])


def _attachments(message: dict[str, Any]) -> int:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    attached = sum(part.get("type") not in ("text", "refusal") for part in parts)
    return IMAGE_TOKENS * (attached + len(message.get("images") or []))


def echo(messages: Sequence[dict[str, Any]]) -> str:
    """The default answer: the last user message, or the last message when there is none."""
    said = [message for message in messages if message.get("role") == "user"] or list(messages[-1:])
    return "You said: " + (message_text(said[-1]) if said else "")


def pieces(text: str | Sequence[str]) -> list[str]:
    """A text as the deltas of a stream; a list is taken as it is."""
    if not isinstance(text, str):
        return list(text)
    return [text[at : at + PIECE] for at in range(0, len(text), PIECE)]


def vector(seed: str, dimensions: int) -> list[float]:
    """A unit vector of float32 values that depends on nothing but its arguments."""
    raw = hashlib.shake_256(seed.encode()).digest(2 * dimensions)
    values = [value / 32768 for value in struct.unpack(f"<{dimensions}h", raw)]
    norm = math.sqrt(sum(value * value for value in values)) or 1.0
    return list(struct.unpack(f"<{dimensions}f", struct.pack(f"<{dimensions}f", *(v / norm for v in values))))


def sample(schema: dict[str, Any]) -> Any:
    """The simplest value that a JSON Schema allows (without patterns and formats)."""
    return _sample(schema, schema, 0)


def _sample(schema: Any, root: dict[str, Any], depth: int) -> Any:
    if not isinstance(schema, dict):
        return "text"
    if "$ref" in schema:
        return _sample(_resolve(schema["$ref"], root), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for union in ("anyOf", "oneOf", "allOf"):
        if schema.get(union):
            # Past the depth the last branch, which ends a recursion like anyOf[$ref, null].
            return _sample(schema[union][-1 if depth > MAX_DEPTH else 0], root, depth + 1)
    return _typed_sample(schema, root, depth)


def _typed_sample(schema: dict[str, Any], root: dict[str, Any], depth: int) -> Any:
    kinds = schema.get("type", "object" if "properties" in schema else "string")
    kind = next((k for k in kinds if k != "null"), "null") if isinstance(kinds, list) else kinds
    if kind == "object":
        required = schema.get("required", [])
        wanted = {
            k: v for k, v in schema.get("properties", {}).items() if k in required or depth <= MAX_DEPTH
        }
        return {key: _sample(value, root, depth + 1) for key, value in wanted.items()}
    if kind == "array":
        count = schema.get("minItems", 0 if depth > MAX_DEPTH else 1)
        return [_sample(schema.get("items", {}), root, depth + 1) for _ in range(count)]
    if kind in ("integer", "number"):
        return min(max(1, schema.get("minimum", 1)), schema.get("maximum", math.inf))
    if kind == "string":
        return "text".ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]
    return {"boolean": True, "null": None}.get(kind, "text")


def _resolve(reference: str, root: dict[str, Any]) -> Any:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found[step] if step else found
    return found
