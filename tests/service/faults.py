"""What each upstream answers when something goes wrong, word for word where its words are known.

OpenRouter: https://openrouter.ai/docs/api/reference/errors-and-debugging; Azure and Bedrock: as in their
simulators, all 2026-11-28.
"""

from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from tests.upstreams import anthropic_errors, aws_wire, azure, bedrock, openai_errors
from tests.upstreams.ollama_rules import refusal
from tests.upstreams.reply import Reply

RETRY_AFTER_S = 0.05


@dataclass(frozen=True, slots=True)
class Peer:
    """A provider with an upstream. fault: its answer, and the provider_code that tells of it."""

    name: str
    model: str
    faults: dict[str, tuple[Reply, str]] = field(hash=False)

    def __str__(self) -> str:
        return self.name

    @property
    def asked(self) -> str:
        return f"{self.name}:{self.model}"

    def reply(self, fault: str, *, streamed: bool = False) -> Reply:
        found = SHARED[fault] if fault in SHARED else self.faults[fault][0]
        if streamed and found.status == 200 and found.body is not None:
            return Reply("", fault="error", after=0, body=found.body)  # the error is an event
        return found


# Of what lies between, and of answers that are broken: alike for all.
SHARED = {
    "slow": Reply("late", first_delay_s=9),
    "cut stream": Reply(["one ", "two ", "three ", "four"], fault="close", after=4),
    "bad json": Reply(["one ", "two"], fault="malformed"),
    "missing usage": Reply("four words are here", omit_usage=True),
    "filtered answer": Reply("I would", finish_reason="content_filter"),
}


def soon(reply: Reply) -> Reply:
    """With a time to wait that a test can wait for."""
    named = {name: value for name, value in reply.headers.items() if not name.startswith("retry-after")}
    return replace(reply, headers=named | {"retry-after": str(RETRY_AFTER_S)})


def openrouter(status: int, message: str, **metadata: Any) -> Reply:
    body = {"code": status, "message": message, **({"metadata": metadata} if metadata else {})}
    return Reply(status=status, body={"error": body, "user_id": "user_1"})


def azure_error(status: int, code: str, message: str) -> Reply:
    return Reply(status=status, body={"error": {"code": code, "message": message}})


def aws(status: int, name: str, message: str) -> tuple[Reply, str]:
    return aws_wire.error(status, name, message), name


OPENAI = Peer(
    "openai",
    "gpt-4o",
    {
        "rate limit": (soon(openai_errors.rate_limited()), "rate_limit_exceeded"),
        "server error": (openai_errors.server_error(), "server_error"),
        "overloaded": (
            openai_errors.error(503, "The engine is currently overloaded, please try again later", type=None),
            "503",
        ),
        "content filter": (
            openai_errors.error(
                400,
                "Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
                code="invalid_prompt",
            ),
            "invalid_prompt",
        ),
        "context overflow": (openai_errors.context_length_exceeded(), "context_length_exceeded"),
    },
)
AZURE = Peer(
    "azure",
    "gpt-4o",
    {
        "rate limit": (soon(azure.rate_limited(1000)), "429"),
        "server error": (
            azure_error(500, "InternalServerError", "The server had an error."),
            "InternalServerError",
        ),
        "overloaded": (azure_error(503, "ServiceUnavailable", "Too busy."), "ServiceUnavailable"),
        "content filter": (openai_errors.content_filter(), "content_filter"),
        "context overflow": (openai_errors.context_length_exceeded(), "context_length_exceeded"),
    },
)
OLLAMA = Peer(
    "ollama",
    "llama3.2:latest",
    {
        # Of a proxy in front of it: Ollama itself limits nothing.
        "rate limit": (soon(refusal(429, "too many requests").reply), "429"),
        "server error": (refusal(500, "llama runner process has terminated: exit status 2").reply, "500"),
        "overloaded": (
            refusal(503, "server busy, please try again.  maximum pending requests exceeded").reply,
            "503",
        ),
        "context overflow": (refusal(400, "the input length exceeds the context length").reply, "400"),
    },
)
ANTHROPIC = Peer(
    "anthropic",
    "claude-sonnet-4-20250514",
    {
        "rate limit": (soon(anthropic_errors.rate_limited()), "rate_limit_error"),
        "server error": (anthropic_errors.api_error(), "api_error"),
        "overloaded": (anthropic_errors.overloaded(), "overloaded_error"),
        "content filter": (anthropic_errors.content_filter(), "invalid_request_error"),
        "context overflow": (anthropic_errors.prompt_too_long(), "invalid_request_error"),
    },
)
BEDROCK = Peer(
    "bedrock",
    bedrock.CLAUDE,
    {
        "rate limit": (soon(bedrock.throttled()), "ThrottlingException"),
        "server error": aws(500, "InternalServerException", "The system encountered an unexpected error."),
        "overloaded": aws(503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
        "content filter": aws(400, "ValidationException", "Output blocked by content filtering policy"),
        "context overflow": aws(400, "ValidationException", "Input is too long for requested model."),
    },
)
FLAGGED = {
    "reasons": ["violence"],
    "flagged_input": "How to...",
    "provider_name": "OpenAI",
    "model_slug": "openai/gpt-4o",
}
OPENROUTER = Peer(
    "openrouter",
    "openai/gpt-4o",
    {
        "rate limit": (soon(openrouter(429, "Rate limit exceeded: free-models-per-min.")), "429"),
        "server error": (openrouter(500, "Internal Server Error"), "500"),
        # With status 200, because the model had begun.
        "overloaded": (replace(openrouter(502, "Provider returned error"), status=200), "502"),
        "content filter": (openrouter(403, "Your input was flagged for violence.", **FLAGGED), "403"),
        "context overflow": (
            openrouter(400, "This endpoint's maximum context length is 8192 tokens. But you ask for 9000."),
            "400",
        ),
    },
)
PEERS = (OPENAI, AZURE, OLLAMA, ANTHROPIC, BEDROCK, OPENROUTER)
