"""ModelService: models of every configured provider."""

from genai_spine.call import Call
from genai_spine.catalog.models import Catalog
from genai_spine.v1 import model_service_pb2 as pb


class ModelService:
    """RPCs of models."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog

    async def ListModels(self, request: pb.ListModelsRequest, call: Call) -> pb.ListModelsResponse:
        """Models of all configured providers, in pages."""
        return await self.catalog.page(request)

    async def GetModel(self, request: pb.GetModelRequest, call: Call) -> pb.Model:
        """Model by id. Errors: ModelNotFound."""
        return await self.catalog.model(request.model)
