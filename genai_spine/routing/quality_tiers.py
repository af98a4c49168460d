"""Quality tiers of models: economy, standard or premium. A ranking of the operator's wins over this one.

The ranking is ours (2026-11-28), by the makers' own families: their smallest models are economy, their
largest ones premium. A model that stands nowhere is standard.
"""

from collections.abc import Mapping

from genai_spine.v1 import routing_pb2

ECONOMY, STANDARD, PREMIUM = (
    routing_pb2.QUALITY_TIER_ECONOMY,
    routing_pb2.QUALITY_TIER_STANDARD,
    routing_pb2.QUALITY_TIER_PREMIUM,
)
NAMES: dict[str, routing_pb2.QualityTier] = {"economy": ECONOMY, "standard": STANDARD, "premium": PREMIUM}
# Parts of names; the first that stands in a name decides, so the narrower ones come first.
PARTS: tuple[tuple[str, routing_pb2.QualityTier], ...] = (
    ("nano", ECONOMY),
    ("micro", ECONOMY),
    ("haiku", ECONOMY),
    ("flash", ECONOMY),
    ("-lite", ECONOMY),
    ("gpt-3.5", ECONOMY),
    ("extractive", ECONOMY),
    ("gpt-4o-mini", STANDARD),
    ("mini", STANDARD),
    ("opus", PREMIUM),
    ("sonnet", PREMIUM),
    ("-pro", PREMIUM),
    ("gpt-5", PREMIUM),
    ("gpt-4", PREMIUM),
    ("o1", PREMIUM),
    ("o3", PREMIUM),
    ("grok-4", PREMIUM),
    ("large", PREMIUM),
    ("405b", PREMIUM),
    (":1b", ECONOMY),
    (":3b", ECONOMY),
)


class Tiers:
    """Quality tiers by model, the operator's own before ours."""

    def __init__(self, ranked: Mapping[str, str] | None = None) -> None:
        """ranked: the operator's: a model, provider:model or provider to economy, standard or premium."""
        self._ranked = {name: NAMES[tier] for name, tier in (ranked or {}).items()}
        self._known: dict[tuple[str, str], routing_pb2.QualityTier] = {}

    def of(self, provider: str, model: str) -> "routing_pb2.QualityTier":
        """Tier of a model of a provider."""
        known = self._known.get((provider, model))
        if known is None:
            known = self._found(provider, model)
            if len(self._known) < 10_000:
                self._known[(provider, model)] = known
        return known

    def _found(self, provider: str, model: str) -> "routing_pb2.QualityTier":
        for name in (f"{provider}:{model}", model, provider):
            if name in self._ranked:
                return self._ranked[name]
        lower = model.lower()
        return next((tier for part, tier in PARTS if part in lower), STANDARD)
