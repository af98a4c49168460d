"""The capability registry: who offers what, how good, at what price, and who is asked before whom."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from genai_spine.billing.price_book import PriceBook
from genai_spine.errors import SpineError
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Provider, Route
from genai_spine.routing.candidates import check_candidate
from genai_spine.routing.quality_tiers import Tiers
from genai_spine.v1 import completion_service_pb2 as completion
from genai_spine.v1 import provider_service_pb2 as pb
from genai_spine.v1 import routing_pb2

DEFAULT_PRIORITY = 100
MAX_FALLBACKS = 3
LLM = (pb.CAPABILITY_LLM_GENERATION, pb.CAPABILITY_LLM_STREAMING)
# What a language model does when it is told to.
TOLD = (
    pb.CAPABILITY_SUMMARIZATION,
    pb.CAPABILITY_SENTIMENT_ANALYSIS,
    pb.CAPABILITY_COACHING_ANALYSIS,
)
BY_OPTION = {
    "messages.image": pb.CAPABILITY_LLM_VISION,
    "tools": pb.CAPABILITY_LLM_FUNCTION_CALLING,
}
# Priorities as shipped (pipelines.md, section 1); lower goes first. None: whatever is not named.
PRIORITIES: Mapping[str, Mapping[int | None, int]] = {
    "openai": {None: 50, pb.CAPABILITY_TRANSCRIPTION_DUAL_CHANNEL: 60},
    "anthropic": {pb.CAPABILITY_SUMMARIZATION: 5},
    "builtin": {None: 1000, pb.CAPABILITY_PII_DETECTION: 1, pb.CAPABILITY_PII_REDACTION: 1},
    "deepgram": {
        pb.CAPABILITY_TRANSCRIPTION: 10,
        pb.CAPABILITY_TRANSCRIPTION_DIARIZATION: 5,
        pb.CAPABILITY_TRANSCRIPTION_DUAL_CHANNEL: 5,
    },
}
# Offers of models that are no provider's default: the best that there is for their work.
FURTHER: Mapping[str, Mapping["pb.Capability", str]] = {
    "builtin": {
        pb.CAPABILITY_PII_DETECTION: "pii-patterns",
        pb.CAPABILITY_PII_REDACTION: "pii-patterns",
    },
}
STANDARD = routing_pb2.QUALITY_TIER_STANDARD
SOUND_TIERS = {"deepgram": routing_pb2.QUALITY_TIER_PREMIUM}  # of transcriptions; others: standard
# Options of a transcription without which an adapter cannot do what is offered.
HEARD_BY: Mapping["pb.Capability", str] = {
    pb.CAPABILITY_TRANSCRIPTION_DIARIZATION: "diarize",
    pb.CAPABILITY_TRANSCRIPTION_DUAL_CHANNEL: "multichannel",
}
# Offers that are not paid by the token: US dollars a minute.
PER_MINUTE: Mapping[str, Mapping[pb.Capability, float]] = {
    "openai": {
        pb.CAPABILITY_TRANSCRIPTION: 0.006,
        pb.CAPABILITY_TRANSCRIPTION_DUAL_CHANNEL: 0.012,
    },
    "deepgram": {
        pb.CAPABILITY_TRANSCRIPTION: 0.0043,
        pb.CAPABILITY_TRANSCRIPTION_DIARIZATION: 0.0043,
        pb.CAPABILITY_TRANSCRIPTION_DUAL_CHANNEL: 0.0086,
    },
}


@dataclass(frozen=True, slots=True)
class Amount:
    """Amounts that were consumed, or would be."""

    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0
    characters: int = 0
    requests: int = 1


class CapabilityRegistry:
    def __init__(self, providers: Iterable[pb.ProviderInfo] = ()) -> None:
        self._providers = {info.provider_name: info for info in providers}

    def register(self, info: pb.ProviderInfo) -> None:
        """Adds a provider, or takes the place of the one of that name."""
        self._providers[info.provider_name] = info

    def unregister(self, name: str) -> bool:
        """False when there is none of that name."""
        return self._providers.pop(name, None) is not None

    def mark(self, name: str, *, available: bool) -> bool:
        """False when there is none of that name."""
        info = self._providers.get(name)
        if info is not None:
            info.is_available = available
        return info is not None

    def all(self) -> list[pb.ProviderInfo]:
        return [self._providers[name] for name in sorted(self._providers)]

    def offers(
        self,
        capability: int,
        tier: int = routing_pb2.QUALITY_TIER_UNSPECIFIED,
        exclude: Collection[str] = (),
        *,
        available_only: bool = True,
    ) -> list[pb.ProviderCapability]:
        """By priority. tier: exactly this one; unspecified: any."""
        found = [
            offer
            for info in self.all()
            if info.is_available or not available_only
            for offer in info.capabilities
            if offer.capability == capability and info.provider_name not in exclude
        ]
        if tier:
            found = [offer for offer in found if offer.quality_tier == tier]
        return sorted(found, key=lambda offer: offer.priority)

    def offer(self, capability: int, name: str) -> pb.ProviderCapability | None:
        info = self._providers.get(name)
        offers = info.capabilities if info else ()
        return next((offer for offer in offers if offer.capability == capability), None)

    def cheapest(
        self, capability: int, min_tier: int = 0, exclude: Collection[str] = ()
    ) -> pb.ProviderCapability | None:
        """The lowest price of input at or above a tier."""
        offers = [o for o in self.offers(capability, exclude=exclude) if o.quality_tier >= min_tier]
        return min(offers, key=lambda offer: offer.cost_per_unit, default=None)

    def estimate(self, capability: int, name: str, amount: Amount) -> Decimal | None:
        """US dollars. None: there is no such offer."""
        offer = self.offer(capability, name)
        return None if offer is None else cost(offer, amount)

    def fallback_chain(
        self,
        capability: int,
        primary: str | None = None,
        max_fallbacks: int = MAX_FALLBACKS,
        exclude: Collection[str] = (),
        *,
        prefer_same_quality: bool = True,
    ) -> list[str]:
        """The primary, if it may be asked, then the others by priority; at most max_fallbacks + 1 names."""
        offers = self.offers(capability, exclude=exclude)
        first = next((offer for offer in offers if offer.provider_name == primary), None)
        others = [offer for offer in offers if offer is not first]
        if first is not None and prefer_same_quality:
            others.sort(key=lambda offer: offer.quality_tier != first.quality_tier)
        chain = [first, *others] if first is not None else others
        return [offer.provider_name for offer in chain][: max_fallbacks + 1]


def cost(offer: pb.ProviderCapability, amount: Amount) -> Decimal:
    """US dollars of what was really consumed."""
    rate = Decimal(str(offer.cost_per_unit))
    output_rate = Decimal(str(offer.output_cost_per_unit)) if offer.HasField("output_cost_per_unit") else rate
    tokens = rate * amount.input_tokens + output_rate * amount.output_tokens
    seconds = rate * Decimal(str(amount.seconds))
    costs = {
        pb.COST_UNIT_PER_1K_TOKENS: tokens / 1000,
        pb.COST_UNIT_PER_1M_TOKENS: tokens / 1_000_000,
        pb.COST_UNIT_PER_MINUTE: seconds / 60,
        pb.COST_UNIT_PER_SECOND: seconds,
        pb.COST_UNIT_PER_CHARACTER: rate * amount.characters,
        pb.COST_UNIT_PER_REQUEST: rate * amount.requests,
    }
    return costs.get(offer.cost_unit, Decimal(0))


def described(provider: Provider, prices: PriceBook, tiers: Tiers) -> pb.ProviderInfo:
    """A configured provider as the registry shows it; its prices are those of its default models."""
    row = PROVIDERS[provider.endpoint.registry_name]
    info = pb.ProviderInfo(
        provider_name=provider.name,
        provider_type=pb.PROVIDER_TYPE_INTERNAL if provider.local else pb.PROVIDER_TYPE_EXTERNAL,
        is_available=True,
        requires_api_key=row.key,
        title=row.title,
    )
    endpoint = provider.endpoint
    if endpoint.residency is not None:
        info.residency = endpoint.residency
    if endpoint.retention_days is not None:
        info.retention_days = endpoint.retention_days
    chat, embedding = provider.endpoint.default_model, provider.endpoint.default_embedding_model
    told = () if provider.endpoint.registry_name == "builtin" else TOLD
    by_option = [found for option, found in BY_OPTION.items() if option in provider.options]
    if _takes_schemas(provider):
        by_option.append(pb.CAPABILITY_LLM_STRUCTURED)
    for capability in (*LLM, *by_option, *told) if provider.completes else ():
        info.capabilities.append(_offer(provider, capability, chat, prices, tiers))
    if embedding:
        info.capabilities.append(_offer(provider, pb.CAPABILITY_EMBEDDING, embedding, prices, tiers))
    for capability, best in FURTHER.get(provider.endpoint.registry_name, {}).items():
        offer = _offer(provider, capability, best, prices, tiers)
        offer.quality_tier = routing_pb2.QUALITY_TIER_PREMIUM
        info.capabilities.append(offer)
    for capability, usd in PER_MINUTE.get(provider.endpoint.registry_name, {}).items():
        if HEARD_BY.get(capability, "model") not in {"model", *provider.transcription_options}:
            continue  # its adapter would refuse it
        offer = info.capabilities.add(capability=capability, provider_name=provider.name)
        offer.cost_per_unit, offer.cost_unit = usd, pb.COST_UNIT_PER_MINUTE
        offer.quality_tier = SOUND_TIERS.get(provider.endpoint.registry_name, STANDARD)
        offer.priority = _priority(provider, capability)
        if heard_by := endpoint.default_media_models.get("transcription"):
            offer.model_name = heard_by
    return info


def _takes_schemas(provider: Provider) -> bool:
    schema = completion.JsonSchema(name="any", schema_json="{}")
    form = completion.ResponseFormat(json_schema=schema)
    request = completion.CreateCompletionRequest(response_format=form)
    try:
        check_candidate(request, Route(provider, ""))
    except SpineError:
        return False
    return True


def _offer(
    provider: Provider, capability: "pb.Capability", model: str | None, prices: PriceBook, tiers: Tiers
) -> pb.ProviderCapability:
    offer = pb.ProviderCapability(
        capability=capability,
        provider_name=provider.name,
        quality_tier=tiers.of(provider.name, model or ""),
        priority=_priority(provider, capability),
        supports_streaming=capability != pb.CAPABILITY_EMBEDDING,
        model_name=model,
    )
    price = None if provider.local or not model else prices.find(provider.name, model)
    if provider.local:
        offer.cost_unit = pb.COST_UNIT_FREE
    elif price is not None and price.input_usd_per_1m is not None:
        offer.cost_unit, offer.cost_per_unit = pb.COST_UNIT_PER_1M_TOKENS, float(price.input_usd_per_1m)
        if price.output_usd_per_1m is not None:
            offer.output_cost_per_unit = float(price.output_usd_per_1m)
    return offer


def _priority(provider: Provider, capability: int) -> int:
    shipped = PRIORITIES.get(provider.endpoint.registry_name, {})
    return shipped.get(capability, shipped.get(None, DEFAULT_PRIORITY))
