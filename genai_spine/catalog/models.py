"""Models that can be called: those of every configured provider, and whether each provider answers."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from time import monotonic

import structlog

from genai_spine import page_tokens
from genai_spine.billing.price_book import PriceBook
from genai_spine.call import Call
from genai_spine.errors import ModelNotFound, ProviderTimeout, SpineError, UnsupportedOperation
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Provider, Route
from genai_spine.routing.router import Router
from genai_spine.routing.upstream import Upstream
from genai_spine.v1 import model_service_pb2, provider_service_pb2

ASK_S = 5.0  # a provider that does not list its models within this is left out
FRESH_S = 30.0  # a list is asked for again after this
PAGE = 1000
MAX_LISTED = 10_000  # models of one provider's list that are shown; any can be called
AT_ONCE = 50  # models that are described, at about 0.1 ms each, before other calls have their turn

Listed = dict[str, model_service_pb2.Model]  # by the upstream's name

log = structlog.get_logger()


class Catalog:
    def __init__(
        self, router: Router, prices: PriceBook, upstreams: Mapping[str, Upstream] | None = None
    ) -> None:
        """upstreams: by the names of the router's providers; None: each provider is its only host."""
        self.router = router
        self.prices = prices
        self._upstreams = upstreams or {}
        self._lists: dict[str, tuple[float, Listed]] = {}

    async def page(
        self, request: model_service_pb2.ListModelsRequest, call: Call
    ) -> model_service_pb2.ListModelsResponse:
        """Page of the models that the caller's key may use.

        Errors: InvalidRequest (unknown provider), InvalidFields (page token), NotPermittedToKey (lane).
        """
        providers, permissions = self.router.providers, self.router.permissions
        if request.provider:
            providers = {request.provider: self.router.resolve(request.provider, "any").provider}
        providers = {name: one for name, one in providers.items() if permissions.allow_provider(name, call)}
        (after,) = page_tokens.place(request, str) or ("",)
        lists = await asyncio.gather(*map(self._listed, providers.values()))
        missing = [
            name
            for name, models in zip(providers, lists, strict=True)
            if models is None and not providers[name].endpoint.implicit
        ]
        models = [
            model
            for provider, listed in zip(providers.values(), lists, strict=True)
            for model in (listed or {}).values()
            if model.id > after and permissions.allow(Route(provider, model.name), call)
        ]
        rest = sorted(models, key=lambda model: model.id)
        size = page_tokens.size(request, PAGE)
        response = model_service_pb2.ListModelsResponse(
            object="list", data=rest[:size], unreachable_providers=missing
        )
        if len(rest) > size:
            response.next_page_token = page_tokens.token(request, rest[size - 1].id)
        return response

    async def model(self, name: str, call: Call) -> model_service_pb2.Model:
        """The model that `name` leads to for the caller.

        Errors: ModelNotFound, NotPermittedToKey, and those of its provider.
        """
        route = self.router.permitted(self.router.routes("", name), name, call)[0]
        if found := _found(await self._models(route.provider), route.model):
            return found
        raise ModelNotFound(model=name, hint=f"provider {route.provider.name} does not list it")

    def context_length(self, provider: str, model: str) -> int | None:
        """Most tokens of input and output together, as the provider's last list says, else the price book.

        model: the upstream's name. None: nobody says. Asks nobody, so it is good for every request.
        """
        configured = self.router.providers.get(provider)
        terms = configured.endpoint.models.get(model) if configured else None
        if terms and terms.context_length:
            return terms.context_length
        _, listed = self._lists.get(provider, (0.0, {}))
        if (found := _found(listed, model)) and found.HasField("context_length"):
            return found.context_length
        return self.prices.context_length(provider, model)

    async def health(self) -> dict[str, str]:
        """Provider to healthy, unhealthy, error: ..., or not_configured, for every row of the registry."""
        names = list(self.router.providers)
        states = await asyncio.gather(*(_state(self.live(self.router.providers[name])) for name in names))
        return dict.fromkeys(PROVIDERS, "not_configured") | dict(zip(names, states, strict=True))

    def pull(
        self, request: provider_service_pb2.PullModelRequest, call: Call
    ) -> AsyncIterator[provider_service_pb2.PullModelResponse]:
        """Errors: InvalidRequest (unknown provider), UnsupportedOperation, those of the provider."""
        provider = self.router.resolve(request.provider, request.model).provider
        self._lists.pop(provider.name, None)  # it will have one model more
        return self.live(provider).pull(request.model, call)

    async def _listed(self, provider: Provider) -> Listed | None:
        try:
            return await self._models(provider)
        except SpineError as error:
            if not provider.endpoint.implicit:
                log.warning("models_not_listed", provider=provider.name, cause=str(error))
            return None

    async def _models(self, provider: Provider) -> Listed:
        """Models of a provider, each once; an entry without an id is none."""
        since, models = self._lists.get(provider.name, (-FRESH_S, {}))
        if monotonic() - since >= FRESH_S:
            models = {model.id: model for model in await self._with_declared(provider) if model.id}
            for number, model in enumerate(models.values(), 1):
                self._describe(provider, model)
                if not number % AT_ONCE:
                    await asyncio.sleep(0)
            self._lists[provider.name] = (monotonic(), models)
        return models

    def live(self, provider: Provider) -> Provider:
        """Adapter of a host that answers."""
        upstream = self._upstreams.get(provider.name)
        return upstream.live_provider if upstream else provider

    async def _with_declared(self, provider: Provider) -> list[model_service_pb2.Model]:
        """Models that the upstream lists, and those that the operator names.

        Where it lists none (it has no such list), the operator's alone count.
        """
        declared = provider.endpoint.models
        try:
            listed = await _in_time(self.live(provider))
        except (ModelNotFound, UnsupportedOperation):
            if not declared:
                raise
            listed = []
        if len(listed) > MAX_LISTED:
            log.warning("model_list_cut", provider=provider.name, models=len(listed), shown=MAX_LISTED)
            del listed[MAX_LISTED:]
        known = {model.id for model in listed}
        return listed + [
            model_service_pb2.Model(id=name, owned_by=provider.name) for name in declared if name not in known
        ]

    def _describe(self, provider: Provider, model: model_service_pb2.Model) -> None:
        """Completes the upstream's entry with our id, and what the price book knows."""
        model.name, model.object, model.provider = model.id, "model", provider.name
        model.id = self.router.id_of(Route(provider, model.name))
        if not model.HasField("supports_streaming"):
            model.supports_streaming = "embeddings" not in model.capabilities
        terms = provider.endpoint.models.get(model.name)
        if terms and terms.context_length:
            model.context_length = terms.context_length
        if not model.HasField("context_length") and (
            known := self.prices.context_length(provider.name, model.name)
        ):
            model.context_length = known
        if model.HasField("context_length"):
            model.context_window = model.context_length
        if provider.local:
            _price(model, Decimal(0), Decimal(0))
        elif (price := self.prices.find(provider.name, model.name)) and price.per_token:
            _price(model, price.input_usd_per_1m or Decimal(0), price.output_usd_per_1m or Decimal(0))


def _found(listed: Listed, name: str) -> model_service_pb2.Model | None:
    return listed.get(name) or listed.get(f"{name}:latest")


def _price(model: model_service_pb2.Model, given_per_1m: Decimal, made_per_1m: Decimal) -> None:
    model.input_cost_per_1k, model.output_cost_per_1k = float(given_per_1m / 1000), float(made_per_1m / 1000)
    model.pricing.input_per_1m, model.pricing.output_per_1m = float(given_per_1m), float(made_per_1m)


async def _in_time(provider: Provider) -> list[model_service_pb2.Model]:
    try:
        async with asyncio.timeout(ASK_S):
            return await provider.list_models()
    except TimeoutError:
        raise ProviderTimeout(
            provider=provider.name, phase="the list of models", timeout_s=f"{ASK_S:g}"
        ) from None


async def _state(provider: Provider) -> str:
    state = await _asked(provider)
    return "not_configured" if provider.endpoint.implicit and state != "healthy" else state


async def _asked(provider: Provider) -> str:
    try:
        async with asyncio.timeout(ASK_S):
            await provider.health()
    except TimeoutError:
        return "unhealthy"
    except SpineError as error:
        return f"error: {error}"
    return "healthy"
