"""What OpenAI's models refuse one by one: sampling, effort, stop sequences, verbosity.

Messages as reported publicly: "Unsupported parameter: 'presence_penalty' is not supported with this model.",
"Unsupported value: 'verbosity' does not support 'low' with this model. Supported values are: 'medium'."
Levels: https://learn.microsoft.com/en-us/javascript/api/@azure/ai-projects/reasoningeffort, 2026-11-29.
"""

import re
from typing import Any

from tests.upstreams.openai_errors import error
from tests.upstreams.server import Refused

REASONING = re.compile(r"(o\d|gpt-[5-9]|codex)(?!.*chat)")
O_SERIES = re.compile(r"o\d")
SAMPLED_WITHOUT_REASONING = re.compile(r"gpt-5\.[1-5]")
# The first that matches.
LEVELS = (
    (re.compile(r"o\d"), ("low", "medium", "high")),
    (re.compile(r"gpt-5-pro"), ("high",)),
    (re.compile(r"gpt-5(-(mini|nano))?(-\d|$)"), ("minimal", "low", "medium", "high")),
    (re.compile(r"gpt-5\.1(-20|$)"), ("none", "low", "medium", "high")),
    (re.compile(r"gpt-5\.[2-5]"), ("none", "low", "medium", "high", "xhigh")),
    (re.compile(r"gpt-(5\.6|[6-9])"), ("none", "low", "medium", "high", "xhigh", "max")),
)


def unsupported(name: str) -> Refused:
    message = f"Unsupported parameter: '{name}' is not supported with this model."
    return Refused(error(400, message, param=name, code="unsupported_parameter"))


def _unsupported_value(name: str, value: Any, supported: tuple[str, ...]) -> Refused:
    listed = ", ".join(f"'{one}'" for one in supported)
    message = (
        f"Unsupported value: '{name}' does not support '{value}' with this model. "
        f"Supported values are: {listed}."
    )
    return Refused(error(400, message, param=name, code="unsupported_value"))


def check_model(body: dict[str, Any], effort: Any, verbosity: Any) -> None:
    """effort, verbosity: from where the API has them; None: not asked for."""
    model = body["model"]
    if not REASONING.match(model):
        if effort is not None:
            message = "Unrecognized request argument supplied: reasoning_effort"
            raise Refused(error(400, message))
        if verbosity not in (None, "medium"):
            raise _unsupported_value("verbosity", verbosity, ("medium",))
        return
    levels = next((levels for pattern, levels in LEVELS if pattern.match(model)), None)
    if effort is not None and levels and effort not in levels:
        raise _unsupported_value("reasoning_effort", effort, levels)
    _check_sampling(body, model, effort)
    if O_SERIES.match(model):
        if verbosity not in (None, "medium"):
            raise _unsupported_value("verbosity", verbosity, ("medium",))
        if "parallel_tool_calls" in body:
            raise unsupported("parallel_tool_calls")


def _check_sampling(body: dict[str, Any], model: str, effort: Any) -> None:
    free = SAMPLED_WITHOUT_REASONING.match(model) and effort in (None, "none")
    for name in ("temperature", "top_p"):
        if body.get(name) not in (None, 1) and not free:
            message = (
                f"Unsupported value: '{name}' does not support {body[name]} with this model. "
                "Only the default (1) value is supported."
            )
            raise Refused(error(400, message, param=name, code="unsupported_value"))
    for name in ("presence_penalty", "frequency_penalty"):
        if body.get(name):
            raise unsupported(name)
    for name in ("logprobs", "top_logprobs"):
        if body.get(name) and not free:
            raise unsupported(name)
    for name in ("logit_bias", "stop"):
        if body.get(name):
            raise unsupported(name)
