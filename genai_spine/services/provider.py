"""ProviderService: what providers offer, their state (circuit, keys, load), and models pulled onto disks."""

from collections.abc import AsyncIterator, Mapping

from genai_spine import page_tokens
from genai_spine.call import Call
from genai_spine.catalog.models import Catalog
from genai_spine.catalog.providers import CapabilityRegistry
from genai_spine.routing.upstream import Upstream
from genai_spine.v1 import provider_service_pb2 as pb

DEFAULT_PAGE_SIZE = 100


class ProviderService:
    """RPCs of providers."""

    def __init__(
        self, registry: CapabilityRegistry, upstreams: Mapping[str, Upstream], catalog: Catalog
    ) -> None:
        self.registry = registry
        self.upstreams = upstreams
        self.catalog = catalog

    async def ListProviders(self, request: pb.ListProvidersRequest, call: Call) -> pb.ListProvidersResponse:
        """Page of providers that the caller's key may use, narrowed by capability or quality tier.

        Errors: NotPermittedToKey (lane).
        """
        allow = self.catalog.router.permissions.allow_provider
        found = [self._now(info) for info in self.registry.all() if allow(info.provider_name, call)]
        if request.capability or request.quality_tier:
            found = _narrowed(found, request)
        names = [info.provider_name for info in found]
        (after,) = page_tokens.place(request, str) or ("",)
        start = names.index(after) + 1 if after in names else 0
        size = page_tokens.size(request, DEFAULT_PAGE_SIZE)
        response = pb.ListProvidersResponse(providers=found[start : start + size])
        if start + size < len(found):
            response.next_page_token = page_tokens.token(request, names[start + size - 1])
        return response

    def PullModel(self, request: pb.PullModelRequest, call: Call) -> AsyncIterator[pb.PullModelResponse]:
        """Download of a model by a provider that keeps models on its disk, with progress."""
        return self.catalog.pull(request, call)

    def _now(self, info: pb.ProviderInfo) -> pb.ProviderInfo:
        shown = pb.ProviderInfo()
        shown.CopyFrom(info)
        upstream = self.upstreams[info.provider_name]
        shown.is_available = info.is_available and upstream.allows
        shown.circuit_state = upstream.state
        if not upstream.allows:
            shown.rest_ms = int(upstream.open_s * 1000)
        shown.open_models.extend(upstream.open_models)
        shown.running, shown.key_count = upstream.running, upstream.key_count
        shown.host_count = len(upstream.pool.hosts)
        shown.live_host_count = sum(not host.is_down for host in upstream.pool.hosts)
        if upstream.limits.concurrency is not None:
            shown.max_concurrency = upstream.limits.concurrency
        for offer in shown.capabilities:
            measured = upstream.speed_ms(offer.model_name)
            if measured is not None:
                offer.avg_latency_ms = round(measured)
        return shown


def _narrowed(found: list[pb.ProviderInfo], request: pb.ListProvidersRequest) -> list[pb.ProviderInfo]:
    """Only the offers that were asked for, by their priority, and providers that have one."""
    for info in found:
        kept = [
            offer
            for offer in info.capabilities
            if request.capability in (0, offer.capability) and request.quality_tier in (0, offer.quality_tier)
        ]
        del info.capabilities[:]
        info.capabilities.extend(kept)
    offering = [info for info in found if info.capabilities]
    return sorted(offering, key=lambda info: min(offer.priority for offer in info.capabilities))
