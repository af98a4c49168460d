"""What vendors that speak OpenAI's protocol refuse in a chat, beyond what their protocol says.

Words as reported publicly: Mistral (editor-code-assistant/eca#233), Gemini 3 (NVIDIA-NeMo/Gym#2374 and
https://ai.google.dev/gemini-api/docs/thought-signatures), DeepSeek
(https://api-docs.deepseek.com/guides/thinking_mode), Kimi (microsoft/vscode#306695), Groq; 2026-11-29.
"""

import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from tests.upstreams.openai_errors import error
from tests.upstreams.server import Refused

Body = dict[str, Any]
NINE = re.compile(r"[a-zA-Z0-9]{9}")
MESSAGE = {"role", "content", "name", "tool_calls", "tool_call_id", "refusal", "prefix"}
CALL = {"id", "type", "function", "custom", "index"}
SKIP = "skip_thought_signature_validator"
SIGNATURE = "sig_"  # beginning of the signatures that the simulated Gemini gave


def refuse(message: str) -> Refused:
    return Refused(error(400, message))


def check_pairs(body: Body) -> None:
    """Every call of a tool has its result behind it, ids are there and differ."""
    seen: set[str] = set()
    open_calls: list[str] = []
    for message in body["messages"]:
        if message["role"] == "tool":
            if message.get("tool_call_id") not in open_calls:
                raise refuse("messages with role 'tool' must be a response to a preceding message")
            open_calls.remove(message["tool_call_id"])
            continue
        if open_calls:
            raise refuse(f"Not the same number of function calls and responses: {open_calls}")
        for call in message.get("tool_calls") or []:
            if not call.get("id") or call["id"] in seen:
                raise refuse(f"Duplicate or empty tool call id {call.get('id')!r}")
            seen.add(call["id"])
            open_calls.append(call["id"])
    if open_calls:
        raise refuse(f"Not the same number of function calls and responses: {open_calls}")


def _check_fields(body: Body, message_fields: set[str], call_fields: set[str]) -> None:
    for message in body["messages"]:
        if unknown := set(message) - message_fields:
            raise refuse(f"Extra inputs are not permitted: {sorted(unknown)}")
        for call in message.get("tool_calls") or []:
            if unknown := set(call) - call_fields:
                raise refuse(f"Extra inputs are not permitted: {sorted(unknown)}")


def check_mistral(body: Body) -> None:
    _check_fields(body, MESSAGE, CALL)
    for message in body["messages"]:
        if message["role"] == "assistant" and not (message.get("content") or message.get("tool_calls")):
            raise refuse("Assistant message must have either content or tool_calls, but not none.")
        for call in message.get("tool_calls") or []:
            if not NINE.fullmatch(call["id"]):
                raise refuse(f"Tool call id was {call['id']} but must be a-z, A-Z, 0-9, with a length of 9.")
    check_pairs(body)


def check_gemini(body: Body) -> None:
    _check_fields(body, MESSAGE | {"extra_content"}, CALL | {"extra_content"})
    check_pairs(body)
    for index, message in enumerate(body["messages"]):
        calls = message.get("tool_calls") or []
        if calls and "gemini-3" in body["model"]:
            signed = (calls[0].get("extra_content") or {}).get("google", {}).get("thought_signature", "")
            if not signed.startswith(SIGNATURE) and signed != SKIP:
                name = calls[0]["function"]["name"]
                raise refuse(
                    f"Function call `{name}` in the {index}. content block is missing a thought_signature"
                )


def check_deepseek(body: Body) -> None:
    _check_fields(body, MESSAGE | {"reasoning_content"}, CALL)
    check_pairs(body)
    for message in body["messages"]:
        if message.get("tool_calls") and "reasoning_content" not in message:
            raise refuse("The `reasoning_content` in the thinking mode must be passed back to the API.")
    for before, message in pairwise([*body["messages"], {"role": "user"}]):
        plain = before["role"] == "assistant" and message["role"] == "user" and len(body["messages"]) == 3
        if plain and "reasoning_content" in before:
            raise refuse("reasoning_content is not allowed in messages of an answer without calls")


def check_moonshot(body: Body) -> None:
    _check_fields(body, MESSAGE | {"reasoning_content"}, CALL)
    check_pairs(body)
    for index, message in enumerate(body["messages"]):
        if message.get("tool_calls") and "reasoning_content" not in message:
            raise refuse(
                "thinking is enabled but reasoning_content is missing in assistant tool call message at "
                f"index {index}"
            )


def check_groq(body: Body) -> None:
    _check_fields(body, MESSAGE, CALL)
    check_pairs(body)


VENDORS: Mapping[str, Callable[[Body], None]] = {
    "mistral": check_mistral,
    "gemini": check_gemini,
    "deepseek": check_deepseek,
    "moonshot": check_moonshot,
    "groq": check_groq,
}
