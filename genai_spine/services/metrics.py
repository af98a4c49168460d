"""MetricsService: RPC of the metrics."""

from google.api.httpbody_pb2 import HttpBody

from genai_spine.call import Call
from genai_spine.errors import PermissionDenied
from genai_spine.telemetry.exposition import CONTENT_TYPE, Exposition
from genai_spine.v1 import metrics_service_pb2 as pb

SCOPE = "metrics:read"


class MetricsService:
    """RPC of the metrics. is_shown: whoever can call may see them; else nobody may, whatever the key."""

    def __init__(self, exposition: Exposition, *, is_shown: bool) -> None:
        self._exposition, self._is_shown = exposition, is_shown

    async def GetMetrics(self, request: pb.GetMetricsRequest, call: Call) -> HttpBody:
        """Metrics of all processes as text. Errors: PermissionDenied."""
        if not self._is_shown:
            raise PermissionDenied(scope=SCOPE)
        return HttpBody(content_type=CONTENT_TYPE, data=await self._exposition.text())
