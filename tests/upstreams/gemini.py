"""A simulated Gemini, by its OpenAI-compatible endpoint, which refuses fields that it does not know.

As reported publicly: `Invalid JSON payload received. Unknown name "frequency_penalty": Cannot find field.`
(github.com/Vali-98/ChatterUI/issues/227, 2025-02-14). Fields: https://ai.google.dev/gemini-api/docs/openai.
"""

import re
from typing import Any

from tests.upstreams.bill import Entry
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.reply import Reply
from tests.upstreams.server import Refused

FIELDS = {
    *("model", "messages", "stream", "stream_options", "temperature", "top_p", "n", "stop", "tools"),
    *("max_tokens", "max_completion_tokens", "tool_choice", "response_format", "reasoning_effort"),
    *("modalities", "extra_body"),
}
LEVELS = (
    (re.compile(r"gemini-(1|2\.0)"), ()),
    (re.compile(r"gemini-2\.5-flash"), ("none", "low", "medium", "high")),
    (re.compile(r"gemini-2\.5-pro"), ("low", "medium", "high")),
    (re.compile(r"gemini-3.*-pro"), ("low", "high")),
    (re.compile(r"gemini-3"), ("minimal", "low", "medium", "high")),
)


def refusal(message: str) -> Refused:
    body = [{"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}}]
    return Refused(Reply(status=400, body=body))


class GeminiUpstream(OpenAIUpstream):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.strict, self.is_gemini = False, self.strict  # OpenAI's own rules are not Gemini's
        self.models = ["gemini-2.5-flash", "gemini-3-pro-preview", "gemini-3.5-flash"]

    def check(self, entry: Entry) -> None:
        super().check(entry)
        if not self.is_gemini or not entry.path.endswith("/chat/completions"):
            return
        if unknown := sorted(entry.body.keys() - FIELDS):
            words = (
                f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.'
                for name in unknown
            )
            raise refusal("\n".join(words))
        for tool in entry.body.get("tools") or ():
            if "strict" in tool["function"]:
                raise refusal('Invalid JSON payload received. Unknown name "strict": Cannot find field.')
        effort = entry.body.get("reasoning_effort")
        levels = next((levels for pattern, levels in LEVELS if pattern.match(str(entry.model))), None)
        if effort is not None and levels is not None and effort not in levels:
            raise refusal(f"reasoning_effort: Invalid value {effort!r} for this model.")
