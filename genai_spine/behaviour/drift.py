"""Probes of a model: small requests, each with one option that the book has a rule for, sent as it is.

Where the book says that the upstream does not take the option, it must refuse; where the book says nothing,
or that it takes it, it must not. Rows that are silent are not asked: there the upstream ignores what it does
not take.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from genai_spine.behaviour import conditions
from genai_spine.behaviour.book import BehaviourBook, ModelRules, OptionRule
from genai_spine.behaviour.effort import LEVELS, number_of
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

Request = pb.CreateCompletionRequest
Fill = Callable[[Request], object]
QUESTION = "Say ok."
CLOSED_JSON = '{"type":"object","properties":{},"required":[],"additionalProperties":false}'
MAX_TOKENS = 64  # of an answer without reasoning
TOOL = message_pb2.FunctionTool(
    name="note", description="Notes a word.", parameters_json='{"type":"object","properties":{}}'
)


def _scalar(name: str, value: Any) -> Fill:
    return lambda request: setattr(request, name, value)


def _tool(request: Request) -> message_pb2.Tool:
    return request.tools[0] if request.tools else request.tools.add(function=TOOL)


def _parallel(request: Request) -> None:
    _tool(request)
    request.parallel_tool_calls = False


def _forced(request: Request) -> None:
    _tool(request)
    request.tool_choice.mode = message_pb2.ToolChoice.MODE_REQUIRED


def _strict(request: Request) -> None:
    tool = _tool(request)
    tool.function.strict = True
    tool.function.parameters_json = CLOSED_JSON


def _logprobs(request: Request) -> None:
    request.logprobs, request.top_logprobs = True, 1


# How an option of the contract is asked for.
FIELDS: Mapping[str, Fill] = {
    "temperature": _scalar("temperature", 0.5),
    "top_p": _scalar("top_p", 0.96),
    "top_k": _scalar("top_k", 40),
    "presence_penalty": _scalar("presence_penalty", 0.1),
    "frequency_penalty": _scalar("frequency_penalty", 0.1),
    "seed": _scalar("seed", 7),
    "stop_sequences": lambda request: request.stop_sequences.append("###"),
    "logit_bias": lambda request: request.logit_bias.update({100: 1.0}),
    "logprobs": _logprobs,
    "top_logprobs": _logprobs,
    "parallel_tool_calls": _parallel,
    "reasoning_max_tokens": _scalar("reasoning_max_tokens", 2048),
    "user": _scalar("user", "drift"),
    "tool_choice.forced": _forced,
    "tools.strict": _strict,
    "messages.name": lambda request: setattr(request.messages[-1], "name", "drift"),
}
# And OpenAI's own parameters. What would store something, or be answered in sound, is not asked for.
PARAMETERS: Mapping[str, Any] = {
    "metadata": {"purpose": "drift"},
    "prediction": {"type": "content", "content": "ok"},
    "prompt_cache_key": "drift",
    "prompt_cache_retention": "24h",
    "safety_identifier": "drift",
    "verbosity": "low",
}
# Asked for all together, as the book would have them sent.
WHOLE = (
    *("temperature", "top_p", "top_k", "presence_penalty", "frequency_penalty", "seed", "user"),
    *("stop_sequences", "logit_bias", "parallel_tool_calls"),
)
WHOLE_PARAMETERS = ("prompt_cache_key", "safety_identifier", "verbosity")


@dataclass(frozen=True, slots=True)
class Probe:
    """One request to a model. option "": the whole request, adapted as any other."""

    option: str
    request: Request
    refused: bool  # the book says that the upstream refuses it
    found: OptionRule | None = None


def whole(options: Mapping[str, Any], without: frozenset[str] = frozenset()) -> Request:
    """Request with every option that asks for little and that the protocol has a word for.

    without: options that are left out.
    """
    request = _question()
    for option in WHOLE:
        if option not in without and (option in options or option == "user"):
            FIELDS[option](request)
    fields = {name: PARAMETERS[name] for name in WHOLE_PARAMETERS if name not in without}
    if fields:
        request.provider_options_json = msgspec.json.encode(fields).decode()
    return request


def probes(rules: ModelRules, book: BehaviourBook, options: Mapping[str, Any]) -> Iterator[Probe]:
    """Probes of a model's rules. options: those that its protocol has a word for."""
    for option, found in rules.options.items():
        own = option in book.parameters
        if found.row.silent or (not own and option.partition(".")[0] not in {*options, "messages"}):
            continue
        if own and option in PARAMETERS and found.rule.action in ("dropped", "refused"):
            fields = msgspec.json.encode({option: PARAMETERS[option]}).decode()
            yield Probe(option, _question(provider_options_json=fields), refused=True, found=found)
        elif option in FIELDS and _is_refusal(found):
            request = _question()
            _fulfil(found, request)
            FIELDS[option](request)
            yield Probe(option, request, refused=True, found=found)
    if rules.effort is not None and "reasoning_effort" in options:
        yield from _effort_probes(rules)


def _is_refusal(found: OptionRule) -> bool:
    rule = found.rule
    bounded = rule.min is not None or rule.max is not None
    return rule.action != "accepted" and not bounded and rule.to not in ("calls",)


def _effort_probes(rules: ModelRules) -> Iterator[Probe]:
    """Each level of the scale: those of the model are taken, the others refused."""
    if rules.effort_form in ("switch", "budget") or (rules.effort_row and rules.effort_row.silent):
        return
    for level in LEVELS:
        request = _question()
        request.ClearField("max_tokens")
        request.reasoning_effort = number_of(level)
        has = level in (rules.effort or ())
        if has or level not in ("none", "minimal"):  # those two are often taken as something else
            yield Probe(f"reasoning_effort {level}", request, refused=not has)


def _fulfil(found: OptionRule, request: Request) -> None:
    """Makes the rule's first condition hold."""
    for name in found.rule.conditions[:1]:
        if name in ("reasoning", "effort_high"):
            request.ClearField("max_tokens")
            request.reasoning_effort = pb.REASONING_EFFORT_HIGH
        elif name == "forced_tool":
            _forced(request)
        elif name == "temperature":
            request.temperature = 0.5
        elif not conditions.asks_for_json(request):
            request.response_format.kind = pb.ResponseFormat.KIND_JSON_OBJECT


def _question(**fields: Any) -> Request:
    text = message_pb2.ContentPart(text=QUESTION)
    message = message_pb2.Message(role=message_pb2.ROLE_USER, content=[text])
    return Request(messages=[message], max_tokens=MAX_TOKENS, **fields)
