"""HealthService: liveness and readiness over REST; gRPC clients ask grpc.health.v1."""

from genai_spine.call import STRANGER, Call
from genai_spine.catalog.models import Catalog
from genai_spine.store.database import Database
from genai_spine.v1 import health_service_pb2 as pb
from genai_spine.version import VERSION


class HealthService:
    """RPCs of health."""

    def __init__(self, catalog: Catalog, database: Database) -> None:
        self.catalog = catalog
        self.database = database

    async def GetHealth(self, request: pb.GetHealthRequest, call: Call) -> pb.GetHealthResponse:
        """Liveness: the process answers."""
        return pb.GetHealthResponse(status="healthy", version=VERSION)

    async def GetReadiness(self, request: pb.GetReadinessRequest, call: Call) -> pb.GetReadinessResponse:
        """Readiness: database and providers answer."""
        providers = await self.catalog.health()
        database = await self._database()
        works = all(state in ("healthy", "not_configured") for state in (*providers.values(), database))
        status = "ready" if works else "degraded"
        if call.principal is STRANGER:  # how which provider is, is not the world's business
            return pb.GetReadinessResponse(status=status, version=VERSION)
        return pb.GetReadinessResponse(
            status=status,
            version=VERSION,
            providers=providers,
            database=database,
            lane=call.lane,
        )

    async def _database(self) -> str:
        try:
            await self.database.ping()
        except Exception as error:  # every driver has errors of its own
            return f"error: {type(error).__name__}"
        return "healthy"
