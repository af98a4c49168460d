"""Order of providers for a step: those that it prefers, then the fallback chain of its capability."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from google.protobuf import json_format

from genai_spine.call import Call
from genai_spine.catalog.providers import CapabilityRegistry
from genai_spine.pipelines.definition import DEFAULT_FALLBACKS
from genai_spine.pipelines.step_requests import CAPABILITIES, Doing
from genai_spine.v1 import pipeline_pb2 as pb
from genai_spine.v1 import provider_service_pb2 as providers
from genai_spine.v1 import routing_pb2

TIERS = {
    "economy": routing_pb2.QUALITY_TIER_ECONOMY,
    "standard": routing_pb2.QUALITY_TIER_STANDARD,
    "premium": routing_pb2.QUALITY_TIER_PREMIUM,
}
ANY = routing_pb2.QUALITY_TIER_UNSPECIFIED
Action = pb.PipelineStep | pb.PipelineAction


class Candidate(NamedTuple):
    """Provider that may be asked, and the model."""

    provider: str  # empty: that of the model, or the server's
    model: str = ""  # empty: the provider's default


@dataclass(frozen=True, slots=True)
class ProviderOrder:
    """Order of providers of one configuration."""

    registry: CapabilityRegistry
    is_allowed: Callable[[str, Call], bool]  # whether a caller's key may use a provider
    provider_of: Callable[[str], str]  # of a model; empty: it is not known
    # Milliseconds that a model of a provider takes, as measured here; None: it was not.
    speed_ms: Callable[[str, str], float | None] = lambda provider, model: None

    def candidates(self, action: Action, call: Call) -> list[Candidate]:
        """Providers that are asked one after the other; empty: none can."""
        doing = CAPABILITIES[action.capability]
        if not doing.member:
            return []
        options = json_format.MessageToDict(action.options) if action.HasField("options") else {}
        model = str(options.get("model") or "")
        preferred = list(action.preferred_providers)
        if not preferred and isinstance(given := options.get("provider"), str):
            preferred = [given]
        if not preferred and model and (owner := self.provider_of(model)):
            preferred = [owner]
        names = self._names(doing, action, preferred)
        if names is None:  # nobody registers it
            return [Candidate(name, model) for name in preferred or [""] if self._allows(name, call)]
        allowed = [name for name in names if self._allows(name, call)]
        first = preferred[0] if preferred else None
        return [Candidate(name, model if name == first or not first else "") for name in allowed]

    def offer(self, capability: str, provider: str) -> providers.ProviderCapability | None:
        """Offer of a provider for a capability; None: it has none."""
        doing = CAPABILITIES[capability]
        found = self.registry.offer(doing.capability, provider)
        return found or self.registry.offer(providers.CAPABILITY_LLM_GENERATION, provider)

    def names(self, doing: Doing) -> list[str]:
        """Providers that offer a capability, by priority."""
        return [offer.provider_name for offer in self._offers(doing, ANY, ())] if doing.member else []

    def _names(self, doing: Doing, action: Action, preferred: Sequence[str]) -> list[str] | None:
        if doing.capability == providers.CAPABILITY_UNSPECIFIED:
            return None
        fallback = action.fallback if isinstance(action, pb.PipelineStep) else pb.PipelineFallback()
        quality = action.quality if isinstance(action, pb.PipelineStep) else ""
        excluded = frozenset(fallback.exclude_providers)
        offers = {
            offer.provider_name: offer for offer in self._offers(doing, TIERS.get(quality, ANY), excluded)
        }
        first = [name for name in preferred if name in offers]
        chain = _chain(offers, first[0] if first else None)
        if not fallback.enabled and fallback.HasField("enabled"):
            return (first or chain)[:1]
        most = fallback.max_fallbacks if fallback.HasField("max_fallbacks") else DEFAULT_FALLBACKS
        names = list(dict.fromkeys([*first, *chain[: most + 1]]))
        if (
            names
            and not fallback.allow_quality_degradation
            and fallback.HasField("allow_quality_degradation")
        ):
            least = offers[names[0]].quality_tier
            names = [name for name in names if offers[name].quality_tier >= least]
        return names

    def _offers(self, doing: Doing, tier: int, excluded: Iterable[str]) -> list[providers.ProviderCapability]:
        """Offers by priority; behind those of text work whoever writes text, as the built-in provider."""
        without = frozenset(excluded)
        found = self.registry.offers(doing.capability, tier, without)
        if doing.member in ("summarize", "analyze_sentiment", "analyze_coaching"):
            known = {offer.provider_name for offer in found} | without
            found += self.registry.offers(providers.CAPABILITY_LLM_GENERATION, tier, known)
        return found

    def _allows(self, name: str, call: Call) -> bool:
        return not name or self.is_allowed(name, call)


def _chain(offers: Mapping[str, Any], primary: str | None) -> list[str]:
    """The primary, those of its tier, and then the others, by priority."""
    if primary is None:
        return list(offers)
    tier = offers[primary].quality_tier
    others = sorted(
        (name for name in offers if name != primary), key=lambda n: offers[n].quality_tier != tier
    )
    return [primary, *others]
