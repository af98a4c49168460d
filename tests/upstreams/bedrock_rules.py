"""What Bedrock refuses, in its words: by the service's own description, and beyond it.

Types, bounds, names and unions come from the model of `bedrock-runtime` that botocore ships. The rest is
from the user guide, "Using the Converse API", and from public reports of its errors (read 2026-11-28).
"""

import base64
import binascii
import hashlib
import json
import re
from functools import cache
from typing import Any

from botocore.loaders import Loader

from tests.upstreams.aws_wire import error
from tests.upstreams.server import Refused

Shapes = dict[str, Any]
MOST_POINTS = 4
NUMBERS = {"integer": int, "long": int, "float": (int, float), "double": (int, float)}


@cache
def shapes() -> Shapes:
    model: Any = Loader().load_service_model("bedrock-runtime", "service-2")
    found: Shapes = model["shapes"]
    return found


def refusal(message: str) -> Refused:
    return Refused(error(400, "ValidationException", message))


def check_shape(value: Any, shape_name: str, place: str = "") -> None:
    """Unknown members are ignored, as the service does."""
    shape = shapes()[shape_name]
    kind = shape["type"]
    if kind == "structure" and not shape.get("document"):
        _check_structure(value, shape, place)
    elif kind == "list":
        if not isinstance(value, list) or len(value) < shape.get("min", 0):
            raise _broken(place, "Member must have length greater than or equal to 1")
        for index, item in enumerate(value, 1):
            check_shape(item, shape["member"]["shape"], f"{place}.{index}.member")
    elif kind == "map" or kind == "structure":
        if not isinstance(value, dict):
            raise refusal(f"The format of the value at {place} is invalid. Provide a json object")
    else:
        _check_scalar(value, shape, place)


def _check_structure(value: Any, shape: Any, place: str) -> None:
    if not isinstance(value, dict):
        raise refusal(f"Unexpected type at {place}")
    given = [name for name in shape["members"] if value.get(name) is not None]
    for name in shape.get("required", ()):
        if name not in given and "location" not in shape["members"][name]:
            raise _broken(f"{place}.{name}".strip("."), "Member must not be null", "null")
    if shape.get("union") and len(given) != 1:
        raise refusal(f"Exactly one member must be set at '{place}', found {given}")
    for name in given:
        if "location" not in shape["members"][name]:
            check_shape(value[name], shape["members"][name]["shape"], f"{place}.{name}".strip("."))


def _check_scalar(value: Any, shape: Any, place: str) -> None:
    kind = shape["type"]
    if kind == "string":
        if not isinstance(value, str):
            raise refusal(f"Unexpected type at {place}")
        if "enum" in shape and value not in shape["enum"]:
            raise _broken(place, f"Member must satisfy enum value set: {shape['enum']}", value)
        if "pattern" in shape and not re.fullmatch(shape["pattern"], value):
            raise _broken(place, f"Member must satisfy regular expression pattern: {shape['pattern']}", value)
        _check_bounds(len(value), shape, place, "have length")
    elif kind == "blob":
        try:
            raw = base64.b64decode(value, validate=True)
        except (TypeError, binascii.Error):
            raise refusal(f"Illegal base64 at {place}") from None
        _check_bounds(len(raw), shape, place, "have length")
    elif kind == "boolean":
        if not isinstance(value, bool):
            raise refusal(f"Unexpected type at {place}")
    elif kind in NUMBERS:
        if isinstance(value, bool) or not isinstance(value, NUMBERS[kind]):  # type: ignore[arg-type]
            raise refusal(f"Unexpected type at {place}")
        _check_bounds(value, shape, place, "have value")


def _check_bounds(number: float, shape: Any, place: str, have: str) -> None:
    if "min" in shape and number < shape["min"]:
        raise _broken(place, f"Member must {have} greater than or equal to {shape['min']}", number)
    if "max" in shape and number > shape["max"]:
        raise _broken(place, f"Member must {have} less than or equal to {shape['max']}", number)


def _broken(place: str, rule: str, value: Any = "") -> Refused:
    return refusal(
        f"1 validation error detected: Value '{value}' at '{place}' failed to satisfy constraint: {rule}"
    )


def check_converse(body: dict[str, Any]) -> None:
    check_shape(body, "ConverseRequest")
    check_conversation(body)
    thinking = (body.get("additionalModelRequestFields") or {}).get("thinking") or {}
    budget, most = thinking.get("budget_tokens"), (body.get("inferenceConfig") or {}).get("maxTokens")
    if thinking.get("type") == "enabled" and (budget or 0) < 1024:
        raise refusal("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
    if budget and most and budget >= most:
        raise refusal("`max_tokens` must be greater than `thinking.budget_tokens`.")
    if thinking.get("type") == "enabled":
        check_thinking_turn(body["messages"])
    points = json.dumps(body).count('"cachePoint"')
    if points > MOST_POINTS:
        raise refusal(f"You invoked an unsupported model or your request has {points} cache points.")
    choice = (body.get("toolConfig") or {}).get("toolChoice") or {}
    if thinking.get("type") in ("enabled", "adaptive") and not choice.keys() <= {"auto"}:
        raise refusal("Thinking may not be enabled when tool_choice forces tool use.")
    check_text_format(body)


def check_thinking_turn(messages: list[dict[str, Any]]) -> None:
    first = None
    for index in range(len(messages) - 1, -1, -1):
        if messages[index]["role"] == "assistant":
            first = index
        elif not any("toolResult" in block for block in messages[index]["content"]):
            break
    if first is not None and "reasoningContent" not in messages[first]["content"][0]:
        raise refusal(
            f"messages.{first}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
            "`tool_use`."
        )


def check_text_format(body: dict[str, Any]) -> None:
    form = (body.get("outputConfig") or {}).get("textFormat")
    if form is None:
        return
    try:
        schema = json.loads(form["structure"]["jsonSchema"]["schema"])
    except ValueError:
        schema = None
    if not isinstance(schema, dict):
        raise refusal("The schema is not a valid JSON Schema.")


def check_count(body: dict[str, Any]) -> None:
    check_shape(body, "CountTokensRequest")
    check_conversation(body["input"].get("converse") or {})


def check_conversation(body: dict[str, Any]) -> None:
    """Who speaks when, results for every call, texts that say something, documents of different names."""
    messages = body.get("messages") or []
    if not messages or messages[0]["role"] != "user":
        raise refusal(
            "A conversation must start with a user message. Try again with a conversation that does."
        )
    names: list[str] = []
    wanted: set[str] = set()
    before = "assistant"
    used: set[str] = set()
    for number, message in enumerate(messages):
        if message["role"] == before:
            raise refusal("A conversation must alternate between user and assistant roles.")
        before = message["role"]
        blocks = message["content"]
        if not blocks:
            raise refusal(f"The content field in the Message object at messages.{number} is empty.")
        results = {block["toolResult"]["toolUseId"] for block in blocks if "toolResult" in block}
        if results != wanted:
            raise refusal(f"messages.{number}: toolResult blocks {sorted(results)} for {sorted(wanted)}.")
        wanted = {block["toolUse"]["toolUseId"] for block in blocks if "toolUse" in block}
        if wanted & used or len(wanted) < sum("toolUse" in block for block in blocks):
            raise refusal(f"messages.{number}: `tool_use` ids must be unique")
        used |= wanted
        if (wanted or results) and not (body.get("toolConfig") or {}).get("tools"):
            raise refusal(
                "The toolConfig field must be defined when using toolUse and toolResult content blocks."
            )
        for place, block in enumerate(blocks):
            _check_block(block, f"messages.{number}.content.{place}")
        names += [block["document"]["name"] for block in blocks if "document" in block]
    if len(set(names)) < len(names):
        raise refusal("Messages can not contain duplicate document file names.")


def _check_block(block: dict[str, Any], place: str) -> None:
    if "text" in block and not block["text"].strip():
        raise refusal(f"The text field in the ContentBlock object at {place} is blank.")
    if "toolUse" in block and not isinstance(block["toolUse"]["input"], dict):
        raise refusal(f"The format of the value at {place}.toolUse.input is invalid. Provide a json object")
    if "document" in block and not re.fullmatch(r"(?:[0-9A-Za-z()\[\]-]+ ?)+", block["document"]["name"]):
        raise refusal(f"The file name at {place} can only contain alphanumeric characters and single spaces.")
    thought = (block.get("reasoningContent") or {}).get("reasoningText")
    if thought is not None and thought.get("signature") != signature(thought["text"]):
        raise refusal(f"{place}: Invalid `signature` in `thinking` block")


def signature(text: str) -> str:
    """By which the simulated model knows its own thinking again."""
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def check_embedding(body: dict[str, Any], model: str) -> None:
    if "cohere." in model:
        texts = body.get("texts")
        if not isinstance(texts, list) or not 0 < len(texts) <= 96:
            raise refusal("Malformed input request: #/texts: expected minimum item count: 1, maximum: 96")
        if "input_type" not in body:
            raise refusal("Malformed input request: #: required key [input_type] not found")
        return
    if not isinstance(body.get("inputText"), str) or not body["inputText"]:
        raise refusal("Malformed input request: expected minLength: 1, actual: 0, please reformat your input")
    if "titan-embed-text-v1" in model and body.keys() - {"inputText"}:
        raise refusal("Malformed input request: extraneous key is not permitted")
    if body.get("dimensions", 256) not in (256, 512, 1024):
        raise refusal("Malformed input request: #/dimensions: not a valid enum value")
