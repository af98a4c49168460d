"""The price book as callers see it: by the names that they use for models, as messages."""

import asyncio
from dataclasses import dataclass
from decimal import Decimal

import msgspec
from google.protobuf.json_format import MessageToDict

from genai_spine import page_tokens
from genai_spine.billing.price import Price
from genai_spine.call import Call
from genai_spine.catalog.models import Catalog
from genai_spine.errors import InvalidFields, InvalidRequest, ModelNotFound, PriceNotFound, SpineError
from genai_spine.providers import PROVIDERS
from genai_spine.v1 import pricing_service_pb2 as usage_pb
from genai_spine.v1 import usage_pb2

PAGE = 1000
AT_ONCE = 100  # prices that are turned into JSON before other calls get their turn


@dataclass(frozen=True, slots=True)
class Found:
    """Price row that a caller's name for a model leads to."""

    provider: str
    model: str
    price: Price | None
    is_free: bool = False  # it runs on the operator's machines, and the operator's file has no price


class PriceList:
    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.router = catalog.router
        self.book = catalog.prices
        self._json: dict[int, bytes] = {}  # by id of a Price, which lives as long as the book

    async def price(self, name: str) -> usage_pb.ModelPrice:
        """Errors: PriceNotFound."""
        found = await self._find(name)
        if found.is_free and not (found.price and found.price.is_free):
            return usage_pb.ModelPrice(
                model=found.model, name=found.model, provider=found.provider, is_free=True, source="local"
            )
        if found.price is None:
            raise PriceNotFound(model=name)
        return entry(found.price)

    def page(self, request: usage_pb.ListPricesRequest) -> usage_pb.ListPricesResponse:
        """Errors: InvalidFields (page token)."""
        prices, token = self._page(request, PAGE)
        return usage_pb.ListPricesResponse(
            prices=map(entry, prices), next_page_token=token, price_book=self.book.version
        )

    async def array(self, request: usage_pb.ListPricesRequest) -> tuple[bytes, str]:
        """A JSON array of ModelPrice with all fields, of all prices unless page_size is set, and the token
        of the next page.

        Errors: InvalidFields (page token).
        """
        prices, token = self._page(request, len(self.book.prices()))
        parts = []
        for number, price in enumerate(prices):
            if id(price) not in self._json:
                fields = MessageToDict(
                    entry(price), preserving_proto_field_name=True, always_print_fields_with_no_presence=True
                )
                self._json[id(price)] = msgspec.json.encode(fields)
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)
            parts.append(self._json[id(price)])
        return b"[" + b",".join(parts) + b"]", token

    async def estimate(self, request: usage_pb.EstimateCostRequest) -> usage_pb.EstimateCostResponse:
        """Errors: InvalidFields."""
        given, made = _count(request, "input_tokens"), _count(request, "output_tokens")
        cached = request.cached_input_tokens
        if cached > given:
            raise InvalidFields([("cached_input_tokens", f"must be at most the input tokens, {given}")])
        found = await self._find(request.model)
        usage = usage_pb2.Usage(
            input_tokens=given,
            uncached_input_tokens=given - cached,
            cache_read_tokens=cached,
            output_tokens=made,
            visible_output_tokens=made,
        )
        cost = self.book.cost(found.provider, found.model, usage, local=found.is_free)
        price = None if found.is_free else found.price
        per_1m = (price.input_usd_per_1m, price.output_usd_per_1m) if price else (None, None)
        return usage_pb.EstimateCostResponse(
            model=request.model,
            estimated_input_tokens=given,
            estimated_output_tokens=made,
            cost=cost,
            input_cost_per_1m=float(per_1m[0] or 0),
            output_cost_per_1m=float(per_1m[1] or 0),
        )

    async def _find(self, name: str) -> Found:
        """By the router's rules, whether or not the provider is configured.

        A plain name that no rule knows goes to the default provider. Where that has no such model, it is
        looked up with all providers, so that every listed model is found by the name it is listed under.
        """
        name = self._behind_alias(name)
        provider, model = self.router.owner(name)
        price = self.book.find(provider, model)
        is_own = price is not None and price.is_operators
        if self._is_local(provider) and not is_own:
            return await self._find_local(Found(provider, model, price, is_free=True), name)
        if price is None and ":" not in name:
            price = self._listed(name)
        return self._sold(price, name) or Found(provider, model, price)

    def _behind_alias(self, name: str) -> str:
        """Of an alias for several models: the first that can be called, or else the first."""
        alias = self.router.aliases.get(name)
        if alias is None:
            return name
        try:
            route = self.router.resolve("", name)
        except (InvalidRequest, ModelNotFound):
            return alias.members[0].model
        return f"{route.provider.name}:{route.model}"

    async def _find_local(self, found: Found, name: str) -> Found:
        """A model of the operator's machines, unless another provider's fits the plain name better."""
        exact = found.price is not None and found.price.model == name
        if ":" in name or exact or await self._is_listed(name):
            return found
        elsewhere = self._sold(self._listed(name), name)
        return elsewhere or (found if found.price else Found(found.provider, found.model, None))

    @staticmethod
    def _sold(price: Price | None, name: str) -> Found | None:
        return Found(price.provider, price.model, price) if price and price.model == name else None

    def _is_local(self, provider: str) -> bool:
        configured = self.router.providers.get(provider)
        return configured is not None and configured.local

    async def _is_listed(self, name: str) -> bool:
        """The provider that the name leads to has this model."""
        try:
            await self.catalog.model(name, Call())
        except SpineError:  # it has no such model, or cannot be asked
            return False
        return True

    def _listed(self, name: str) -> Price | None:
        same = [price for price in self.book.prices() if price.model == name]
        return min(same, key=lambda price: price.provider not in PROVIDERS, default=None)

    def _page(self, request: usage_pb.ListPricesRequest, default_size: int) -> tuple[list[Price], str]:
        """Prices of a page, and the token of the next one; empty on the last."""
        after = page_tokens.place(request, str, str) or ("", "")
        prices = [
            price
            for price in self.book.prices()
            if request.provider in ("", price.provider) and (price.model, price.provider) > after
        ]
        size = page_tokens.size(request, default_size)
        if len(prices) <= size:
            return prices, ""
        last = prices[size - 1]
        return prices[:size], page_tokens.token(request, last.model, last.provider)


def entry(price: Price) -> usage_pb.ModelPrice:
    given, made = price.input_usd_per_1m or Decimal(0), price.output_usd_per_1m or Decimal(0)
    return usage_pb.ModelPrice(
        model=price.model,
        name=price.name or price.model,
        provider=price.provider,
        input_cost_per_1m_tokens=float(given),
        output_cost_per_1m_tokens=float(made),
        input_cost_per_1k=float(given / 1000),
        output_cost_per_1k=float(made / 1000),
        input_price=float(given / 1000),
        output_price=float(made / 1000),
        is_free=price.is_free,
        source=price.source,
        units=price.units(),
        valid_from=price.valid_from.isoformat() if price.valid_from else None,
    )


def _count(request: usage_pb.EstimateCostRequest, name: str) -> int:
    """A count by either of its names."""
    other = f"estimated_{name}"
    given = {getattr(request, field) for field in (name, other) if request.HasField(field)}
    if not given:
        raise InvalidFields([(other, "is required")])
    if len(given) > 1:
        raise InvalidFields([(other, f"differs from {name}, which is another name for it")])
    return int(given.pop())
