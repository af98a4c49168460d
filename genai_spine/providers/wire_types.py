"""Wire types of several protocols: names of roles and finish reasons, log probabilities, token counts.

Upstreams that imitate OpenAI or each other share these; what only one has stands beside its adapter.
"""

from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta, Struct

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

MAX_TOKEN_COUNT = 2**28  # of one count of an upstream; more is no count
ROLES = {
    message_pb2.ROLE_SYSTEM: "system",
    message_pb2.ROLE_DEVELOPER: "developer",
    message_pb2.ROLE_USER: "user",
    message_pb2.ROLE_ASSISTANT: "assistant",
    message_pb2.ROLE_TOOL: "tool",
    message_pb2.ROLE_FUNCTION: "function",
}
FINISH_REASONS = {
    "stop": pb.FINISH_REASON_STOP,
    "length": pb.FINISH_REASON_LENGTH,
    "tool_calls": pb.FINISH_REASON_TOOL_CALLS,
    "function_call": pb.FINISH_REASON_TOOL_CALLS,
    "content_filter": pb.FINISH_REASON_CONTENT_FILTER,
    "eos": pb.FINISH_REASON_STOP,
    "stop_sequence": pb.FINISH_REASON_STOP,
    "end_turn": pb.FINISH_REASON_STOP,
    "max_tokens": pb.FINISH_REASON_LENGTH,
    "model_length": pb.FINISH_REASON_LENGTH,
    "tool_use": pb.FINISH_REASON_TOOL_CALLS,
}
# In lower case; what compatible upstreams and their engines say instead.
OTHER_FINISH_REASONS = FINISH_REASONS | {
    "complete": pb.FINISH_REASON_STOP,
    "eos_token": pb.FINISH_REASON_STOP,
    "max_length": pb.FINISH_REASON_LENGTH,
    "max_output_tokens": pb.FINISH_REASON_LENGTH,
    "model_context_window_exceeded": pb.FINISH_REASON_LENGTH,
    "tool_call": pb.FINISH_REASON_TOOL_CALLS,
    "safety": pb.FINISH_REASON_CONTENT_FILTER,
    "recitation": pb.FINISH_REASON_CONTENT_FILTER,
    "prohibited_content": pb.FINISH_REASON_CONTENT_FILTER,
    "sensitive": pb.FINISH_REASON_CONTENT_FILTER,  # Zhipu
    "error_toxic": pb.FINISH_REASON_CONTENT_FILTER,  # Cohere
    "refusal": pb.FINISH_REASON_CONTENT_FILTER,
    "guardrail_intervened": pb.FINISH_REASON_CONTENT_FILTER,
}
# Finish reasons of answers that failed. insufficient_system_resource: DeepSeek; network_error: Zhipu; the
# malformed ones: Gemini.
FAILED = frozenset(
    {"error", "errored", "abort", "aborted", "failed", "failure", "cancelled", "canceled", "user_cancel"}
    | {
        "timeout",
        "time_limit",
        "internal_error",
        "server_error",
        "model_error",
        "network_error",
        "error_limit",
    }
    | {
        "insufficient_system_resource",
        "malformed_function_call",
        "unexpected_tool_call",
        "malformed_response",
    }
)
UNFINISHED = frozenset({"", "null", "none", "finish_reason_unspecified"})  # texts for: not finished yet


def finish_reason(said: str) -> "pb.FinishReason | None":
    """Finish reason of the contract. None: the answer failed. UNSPECIFIED: it is not finished.

    An unknown reason is STOP: the answer is there. Gemini puts words before and after a colon
    (`content_filter: RECITATION`, `function_call_filter: MALFORMED_FUNCTION_CALL`).
    """
    known = FINISH_REASONS.get(said)
    if known is not None:
        return known
    words = [word.strip().lower() for word in (said, *said.split(":"))]
    if any(word in FAILED for word in words):
        return None
    if words[0] in UNFINISHED:
        return pb.FINISH_REASON_UNSPECIFIED
    found = (OTHER_FINISH_REASONS[word] for word in words if word in OTHER_FINISH_REASONS)
    return next(found, pb.FINISH_REASON_STOP)


# Fields that hold the text of a part.
PART_TEXTS = ("text", "thinking", "reasoning", "content", "refusal", "summary")


def parted(content: Any) -> tuple[str, str, str]:
    """Text, thinking and refusal of content: a text, a part, or a list of these. Other parts are left out."""
    if isinstance(content, str):
        return content, "", ""
    if isinstance(content, list):
        parts = [parted(part) for part in content]
        text, thinking, refusal = (
            ("".join(texts) for texts in zip(*parts, strict=True)) if parts else ("",) * 3
        )
        return text, thinking, refusal
    if not isinstance(content, dict):
        number = isinstance(content, int | Decimal) and not isinstance(content, bool)
        return (str(content) if number else ""), "", ""
    kind = str(content.get("type", ""))
    said = "".join("".join(parted(content[name])) for name in PART_TEXTS if name in content)
    if kind == "refusal" or "refusal" in content:
        return "", "", said
    if "thinking" in kind or "reasoning" in kind or "thinking" in content:
        return "", said, ""
    return said, "", ""


Byte = Annotated[int, Meta(ge=0, le=255)]


class Token(Struct):
    """Log probability (natural logarithm) of one token, with its UTF-8 bytes, and of its alternatives."""

    token: str
    logprob: float
    bytes: list[Byte] | None = None
    top_logprobs: list["Token"] | None = None


def token_logprob(token: Token) -> pb.TokenLogprob:
    """Contract's message of a token; a token that is half of a character keeps its bytes."""
    result = pb.TokenLogprob(token=token.token, logprob=token.logprob)
    if token.bytes is not None:
        result.token_bytes = bytes(token.bytes)
    result.top_logprobs.extend(token_logprob(other) for other in token.top_logprobs or ())
    return result
