"""Wire types of several protocols: names of roles and finish reasons, log probabilities, token counts.

Upstreams that imitate OpenAI or each other share these; what only one has stands beside its adapter.
"""

from msgspec import Struct

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
    # What compatible upstreams say instead.
    "eos": pb.FINISH_REASON_STOP,
    "stop_sequence": pb.FINISH_REASON_STOP,
    "end_turn": pb.FINISH_REASON_STOP,
    "max_tokens": pb.FINISH_REASON_LENGTH,
    "model_length": pb.FINISH_REASON_LENGTH,
    "tool_use": pb.FINISH_REASON_TOOL_CALLS,
    "SAFETY": pb.FINISH_REASON_CONTENT_FILTER,
}


class Token(Struct):
    """Log probability (natural logarithm) of one token, with its UTF-8 bytes, and of its alternatives."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list["Token"] | None = None


def token_logprob(token: Token) -> pb.TokenLogprob:
    """Contract's message of a token; a token that is half of a character keeps its bytes."""
    result = pb.TokenLogprob(token=token.token, logprob=token.logprob)
    if token.bytes is not None:
        result.token_bytes = bytes(token.bytes)
    result.top_logprobs.extend(token_logprob(other) for other in token.top_logprobs or ())
    return result
