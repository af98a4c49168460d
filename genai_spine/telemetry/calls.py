"""Metrics of calls of providers, counted where each is booked, once."""

from typing import Any

from genai_spine.telemetry.tallies import COST_USD, LATENCY_S, TOKENS, Sample, counter, gauge, histogram
from genai_spine.v1 import execution_pb2
from genai_spine.v1.execution_pb2 import Execution

TICKS_PER_USD = 1e10
STATUS = {
    execution_pb2.EXECUTION_STATE_SUCCEEDED: "success",
    execution_pb2.EXECUTION_STATE_FAILED: "error",
    execution_pb2.EXECUTION_STATE_CANCELLED: "cancelled",
    execution_pb2.EXECUTION_STATE_LOST: "lost",
}
_OPERATION: Any = Execution.DESCRIPTOR.fields_by_name["operation"].enum_type
OPERATIONS = {one.number: one.name.removeprefix("OPERATION_").lower() for one in _OPERATION.values}
WAITED, LIMITED = "PROVIDER_TIMEOUT", "PROVIDER_RATE_LIMITED"

_OF = ("provider", "capability")
REQUESTS = counter("ai_provider_requests_total", "Calls of providers.", *_OF, "status")
LATENCY = histogram("ai_provider_latency_seconds", "Seconds until an answer was complete.", LATENCY_S, *_OF)
ERRORS = counter("ai_provider_errors_total", "Calls that failed.", *_OF, "error_code")
COST = counter("ai_provider_cost_usd_total", "What calls cost.", *_OF, "tenant_id")
COST_PER_CALL = histogram("ai_provider_cost_per_call_usd", "What one call costs.", COST_USD, *_OF)
TIMEOUTS = counter("ai_provider_timeout_total", "Calls that took too long.", "provider")
RATE_LIMITS = counter("ai_provider_rate_limit_total", "Calls that a provider's limit refused.", "provider")
SUM_OF_TOKENS = counter("ai_tokens_total", "Tokens.", *_OF, "direction")
PER_REQUEST = histogram("ai_tokens_per_request", "Tokens of one call.", TOKENS, *_OF, "direction")
AUDIO = counter("ai_audio_seconds_total", "Seconds of sound that were heard or spoken.", *_OF)
CHARACTERS = counter("ai_characters_total", "Characters that were spoken.", *_OF)
BUDGETS = counter("ai_budget_exceeded_total", "Budgets that were exceeded.", "tenant_id", "action")
SUBSCRIBERS = gauge("ai_event_subscribers_active", "Watchers of runs.")


class _Samples:
    """Tallies of one provider and capability, found once."""

    __slots__ = (
        "cost_per_call",
        "costs",
        "inputs",
        "latency",
        "outputs",
        "per_input",
        "per_output",
        "statuses",
    )

    def __init__(self, provider: str, capability: str) -> None:
        self.statuses: dict[int, Sample] = {
            state: REQUESTS.of(provider, capability, status) for state, status in STATUS.items()
        }
        self.costs: dict[str, Sample] = {}  # by tenant
        self.latency = LATENCY.of(provider, capability)
        self.cost_per_call = COST_PER_CALL.of(provider, capability)
        self.inputs = SUM_OF_TOKENS.of(provider, capability, "input")
        self.outputs = SUM_OF_TOKENS.of(provider, capability, "output")
        self.per_input = PER_REQUEST.of(provider, capability, "input")
        self.per_output = PER_REQUEST.of(provider, capability, "output")


MAX_KNOWN = 1000
_known: dict[tuple[str, int, str], _Samples] = {}


def settled(row: Execution) -> None:
    """Counts a call that is booked. It runs for every call: some additions, and no search."""
    provider, capability = row.provider, row.capability
    key = (provider, row.operation, capability)
    found = _known.get(key)
    if found is None:
        found = _Samples(provider, capability or OPERATIONS.get(row.operation, ""))
        if len(_known) < MAX_KNOWN:
            _known[key] = found
    state = row.state
    if (status := found.statuses.get(state)) is None:
        return  # none that a settlement has
    status.add()
    if state != execution_pb2.EXECUTION_STATE_SUCCEEDED:
        if state == execution_pb2.EXECUTION_STATE_FAILED:
            _failed(row, capability or OPERATIONS.get(row.operation, ""))
    else:
        found.latency.observe(row.latency_ms / 1000)
    usage, ticks = row.usage, row.cost.cost_ticks
    if tokens := usage.input_tokens:
        found.inputs.add(tokens)
        found.per_input.observe(tokens)
    if tokens := usage.output_tokens:
        found.outputs.add(tokens)
        found.per_output.observe(tokens)
    if ticks:
        _paid(row, found, ticks / TICKS_PER_USD)
    if row.HasField("units"):
        _count_units(row, capability or OPERATIONS.get(row.operation, ""))


def refused_by_budget(tenant_id: str) -> None:
    """Counts a call that a budget refused."""
    BUDGETS.of(tenant_id, "blocked").add()


def _paid(row: Execution, found: _Samples, usd: float) -> None:
    found.cost_per_call.observe(usd)
    tally = found.costs.get(row.tenant_id)
    if tally is None:
        tally = COST.of(row.provider, row.capability or OPERATIONS.get(row.operation, ""), row.tenant_id)
        if len(found.costs) < MAX_KNOWN:
            found.costs[row.tenant_id] = tally
    tally.add(usd)


def _failed(row: Execution, capability: str) -> None:
    reason = row.error_reason
    ERRORS.of(row.provider, capability, reason).add()
    if reason == WAITED:
        TIMEOUTS.of(row.provider).add()
    elif reason == LIMITED:
        RATE_LIMITS.of(row.provider).add()


def _count_units(row: Execution, capability: str) -> None:
    units = row.units
    if ms := units.audio_ms:
        AUDIO.of(row.provider, capability).add(ms / 1000)
    if characters := units.characters:
        CHARACTERS.of(row.provider, capability).add(characters)
