"""A simulated Mistral, which refuses fields that it does not know with 422.

As reported publicly: `{"type":"extra_forbidden","loc":["body","max_completion_tokens"],"msg":"Extra inputs
are not permitted"}` (github.com/editor-code-assistant/eca/issues/231, 2025-12-12). Fields:
docs.mistral.ai/api.
"""

from typing import Any

from tests.upstreams.bill import Entry
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.reply import Reply
from tests.upstreams.server import Refused

FIELDS = {
    *("model", "messages", "stream", "stream_options", "temperature", "top_p", "n", "stop", "tools"),
    *("max_tokens", "tool_choice", "response_format", "random_seed", "presence_penalty", "safe_prompt"),
    *("frequency_penalty", "parallel_tool_calls", "prediction", "reasoning_effort", "metadata"),
    *("prompt_mode", "prompt_cache_key", "guardrails"),
}
REASONING = ("mistral-small-latest", "mistral-medium-latest")
LEVELS = ("none", "high")
MAX_TEMPERATURE = 1.5


def refusal(kind: str, name: str, message: str) -> Refused:
    detail = [{"type": kind, "loc": ["body", name], "msg": message}]
    body = {"object": "error", "message": {"detail": detail}, "type": "invalid_request_error", "code": None}
    return Refused(Reply(status=422, body=body))


class MistralUpstream(OpenAIUpstream):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.strict, self.is_mistral = False, self.strict  # OpenAI's own rules are not Mistral's
        self.models = ["mistral-large-latest", "mistral-small-latest"]

    def check(self, entry: Entry) -> None:
        super().check(entry)
        if not self.is_mistral or not entry.path.endswith("/chat/completions"):
            return
        body = entry.body
        for name in sorted(body.keys() - FIELDS):
            raise refusal("extra_forbidden", name, "Extra inputs are not permitted")
        if body.get("temperature", 0) > MAX_TEMPERATURE:
            words = f"Input should be less than or equal to {MAX_TEMPERATURE}"
            raise refusal("less_than_equal", "temperature", words)
        if any("name" in message for message in body["messages"] if message["role"] != "tool"):
            raise refusal("extra_forbidden", "messages", "Extra inputs are not permitted: name")
        if "reasoning_effort" not in body:
            return
        if entry.model not in REASONING or body["reasoning_effort"] not in LEVELS:
            raise refusal("value_error", "reasoning_effort", f"Input should be one of {LEVELS}")
