"""ModelService: models of every configured provider."""

from genai_spine.call import Call
from genai_spine.catalog import behaviour
from genai_spine.catalog.models import Catalog
from genai_spine.inference.drift_check import DriftCheck
from genai_spine.v1 import model_behaviour_pb2
from genai_spine.v1 import model_service_pb2 as pb


class ModelService:
    """RPCs of models."""

    def __init__(self, catalog: Catalog, drift: DriftCheck) -> None:
        self.catalog = catalog
        self.drift = drift
        self.router = catalog.router

    async def ListModels(self, request: pb.ListModelsRequest, call: Call) -> pb.ListModelsResponse:
        """Models of all configured providers that the caller's key may use, in pages."""
        return await self.catalog.page(request, call)

    async def GetModel(self, request: pb.GetModelRequest, call: Call) -> pb.Model:
        """Model by id. Errors: ModelNotFound, NotPermittedToKey."""
        found = pb.Model()
        found.CopyFrom(await self.catalog.model(request.model, call))  # the list keeps its own
        return found

    async def ExplainModel(
        self, request: pb.ExplainModelRequest, call: Call
    ) -> model_behaviour_pb2.ModelBehaviour:
        """Behaviour of a model by the book. Errors: InvalidRequest, ModelNotFound."""
        route = self.router.resolve(request.provider, request.model)
        return behaviour.explained(route, self.router.book)

    async def ListBehaviour(self, request: pb.ListBehaviourRequest, call: Call) -> pb.ListBehaviourResponse:
        """Rows of the behaviour book, in pages. Errors: InvalidFields (page token)."""
        return behaviour.listed(request, self.router.book)

    async def DetectDrift(self, request: pb.DetectDriftRequest, call: Call) -> pb.DetectDriftResponse:
        """Rules of the book that a provider no longer keeps to. Errors: InvalidRequest."""
        return await self.drift.check(request, call)
