"""Terms of a call: what decides, beside model and time, which prices hold: tier, speed, place, batch.

Words are the providers' own. Those below name the ordinary price:
https://developers.openai.com/api/docs/guides/flex-processing and the types of the official packages (openai
3.52, anthropic 2.11), https://docs.aws.amazon.com/bedrock/latest/userguide/service-tiers-inference.html,
https://platform.claude.com/docs/en/manage-claude/data-residency, 2026-11-29.
"""

from collections.abc import Mapping
from typing import NamedTuple

from genai_spine.v1 import execution_pb2
from genai_spine.v1.operation_pb2 import OPERATION_BATCH

# "auto" is what was asked for, not what was served; servers that decide nothing repeat it.
ORDINARY_TIERS = frozenset({"", "default", "standard", "standard_only", "auto", "on_demand"})
ORDINARY_SPEEDS = frozenset({"", "standard"})
# "not_available" is Anthropic's word for models that it does not tie to a place.
EVERYWHERE = frozenset({"", "global", "not_available"})
BATCH_TIER = "batch"  # Anthropic's word for a call of a batch


class Terms(NamedTuple):
    """Terms that are not the ordinary ones; None and false: ordinary."""

    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None
    batch: bool = False

    @property
    def variant(self) -> Mapping[str, str]:
        """Conditions that a price must state, by genai-prices' keys; the place only multiplies it."""
        when = {"service_tier": self.service_tier, "speed": self.speed}
        when["processing"] = BATCH_TIER if self.batch else None
        return {key: value for key, value in when.items() if value is not None}


ORDINARY = Terms()


def terms(service_tier: str = "", speed: str = "", inference_geo: str = "", *, batch: bool = False) -> Terms:
    """Terms by the words of a provider, or of a request; "": it says nothing."""
    return Terms(
        None if service_tier in ORDINARY_TIERS or service_tier == BATCH_TIER else service_tier,
        None if speed in ORDINARY_SPEEDS else speed,
        None if inference_geo in EVERYWHERE else inference_geo,
        batch or service_tier == BATCH_TIER,
    )


def terms_of(execution: execution_pb2.Execution) -> Terms:
    """Terms that a call was served at, by the provider's word."""
    tier, speed, place = execution.service_tier, execution.speed, execution.inference_geo
    batch = execution.operation == OPERATION_BATCH
    if not (tier or speed or place or batch):
        return ORDINARY
    return terms(tier, speed, place, batch=batch)
