"""PricingService: prices of models and estimates of calls."""

from google.api import httpbody_pb2

from genai_spine.call import Call
from genai_spine.catalog.prices import PriceList
from genai_spine.v1 import pricing_service_pb2 as pb


class PricingService:
    """RPCs of prices."""

    def __init__(self, prices: PriceList) -> None:
        self.prices = prices

    async def ListPrices(self, request: pb.ListPricesRequest, call: Call) -> pb.ListPricesResponse:
        """Prices of the book, in pages."""
        return self.prices.page(request)

    async def ListPricesArray(self, request: pb.ListPricesArrayRequest, call: Call) -> httpbody_pb2.HttpBody:
        data = await self.prices.array(request.provider)
        return httpbody_pb2.HttpBody(content_type="application/json", data=data)

    async def GetPrice(self, request: pb.GetPriceRequest, call: Call) -> pb.ModelPrice:
        """Price of one model. Errors: PriceNotFound."""
        return await self.prices.price(request.model)

    async def EstimateCost(self, request: pb.EstimateCostRequest, call: Call) -> pb.EstimateCostResponse:
        """Cost of a call before it is made, in ticks and USD."""
        return await self.prices.estimate(request)
