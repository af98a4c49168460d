"""Estimates of pipelines: what each step would cost with the provider that is asked first, and its time.

Nobody is called. Tokens are reckoned from the size of the input; what a step gets from one before it counts
as that step's output.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from genai_spine.call import Call
from genai_spine.catalog.providers import Amount, cost
from genai_spine.costs import TICKS_PER_USD, ticks_of
from genai_spine.pipelines import graph, paths
from genai_spine.pipelines.provider_order import ProviderOrder
from genai_spine.pipelines.step_requests import CAPABILITIES
from genai_spine.v1 import pipeline_pb2 as pb

CHARACTERS_PER_TOKEN = 4
PROMPT_TOKENS = 250  # of a capability's own instructions
OUTPUT_TOKENS = {
    "embeddings": 0,
    "transcription": 0,
    "classify": 60,
    "detect_language": 40,
    "infer_title": 30,
}
DEFAULT_OUTPUT_TOKENS = 300
DEFAULT_STEP_S = 5.0  # of a step whose provider nobody has measured


class StepEstimate(NamedTuple):
    """Estimate of a step: who is asked, what it costs, and how long it takes."""

    providers: list[str]
    ticks: int | None  # None: its price is not known
    seconds: float
    input_tokens: int
    output_tokens: int


class Estimate(NamedTuple):
    """Estimate of a pipeline, with those of its steps."""

    steps: Mapping[str, StepEstimate]
    ticks: int | None
    seconds: float


def estimated(
    definition: pb.PipelineDefinition, input_data: Mapping[str, Any], order: ProviderOrder, call: Call
) -> Estimate:
    """Estimate of a pipeline; what its definition says of the whole counts more than what is reckoned."""
    made: dict[str, int] = {}  # tokens by key of the context
    steps: dict[str, StepEstimate] = {}
    for step in definition.steps:
        found = _of_step(step, _read(step, input_data, made), order, call)
        steps[step.name] = found
        made[graph.output_key(step)] = found.output_tokens
    ticks = [one.ticks for one in steps.values()]
    total = None if any(one is None for one in ticks) else sum(one or 0 for one in ticks)
    if definition.HasField("estimated_cost_usd"):
        total = ticks_of(definition.estimated_cost_usd)
    durations = {name: one.seconds for name, one in steps.items()}
    seconds = graph.longest_s(graph.needs(definition), durations, definition.max_concurrent or 1)
    if definition.HasField("estimated_duration_s"):
        seconds = definition.estimated_duration_s
    return Estimate(steps, total, seconds)


def _of_step(step: pb.PipelineStep, tokens: int, order: ProviderOrder, call: Call) -> StepEstimate:
    candidates = order.candidates(step, call)
    member = CAPABILITIES[step.capability].member
    output = OUTPUT_TOKENS.get(member, DEFAULT_OUTPUT_TOKENS)
    if step.options.fields["max_tokens"].number_value:
        output = min(output, int(step.options.fields["max_tokens"].number_value))
    tokens += PROMPT_TOKENS
    names = [candidate.provider for candidate in candidates]
    if not candidates:
        return StepEstimate(names, None, 0.0, tokens, output)
    offer = order.offer(step.capability, names[0])
    amount = Amount(input_tokens=tokens, output_tokens=output)
    has_price = offer is not None and offer.cost_unit
    usd = cost(offer, amount) if offer is not None and has_price else None
    ticks = None if usd is None else int(usd * Decimal(TICKS_PER_USD))
    speed_ms = order.speed_ms(names[0], candidates[0].model or (offer.model_name if offer else ""))
    seconds = DEFAULT_STEP_S if speed_ms is None else speed_ms / 1000
    return StepEstimate(names, ticks, seconds, tokens, output)


def _read(step: pb.PipelineStep, input_data: Mapping[str, Any], made: Mapping[str, int]) -> int:
    """Tokens of what a step reads."""
    if not step.HasField("input_from"):
        return _tokens(input_data) + sum(made.values())
    key = paths.root(step.input_from)
    return made[key] if key in made else _tokens(paths.found(input_data, step.input_from))


def _tokens(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(_tokens(inner) for inner in value.values())
    if isinstance(value, list):
        return sum(_tokens(inner) for inner in value)
    return (len(value) + CHARACTERS_PER_TOKEN - 1) // CHARACTERS_PER_TOKEN if isinstance(value, str) else 1
