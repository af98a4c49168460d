"""Pipelines of a server: who does their steps, in which order providers are asked, and webhooks that undo."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genai_spine.billing.budgets import Budgets
from genai_spine.call import Call
from genai_spine.catalog.providers import CapabilityRegistry
from genai_spine.errors import SpineError
from genai_spine.pipelines.library import PipelineLibrary
from genai_spine.pipelines.provider_order import ProviderOrder
from genai_spine.routing.router import Router
from genai_spine.routing.upstream import Upstream
from genai_spine.runs.pipeline import Post
from genai_spine.runs.pipeline_views import PipelineViews
from genai_spine.runs.webhooks import RunWebhooks
from genai_spine.services.pipeline import PipelineService
from genai_spine.v1 import pipeline_service_pb2
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.pipeline_service_pb2_grpc import add_PipelineServiceServicer_to_server
from genai_spine.webhooks.posting import Posting

FILES = (pipeline_service_pb2,)
FIELD = "compensation.webhook_url"  # that errors name


def webhook_post(webhooks: RunWebhooks) -> Post:
    """Posting of undo actions, signed for their tenant."""

    async def post(tenant_id: str, url: str, id: str, body: Mapping[str, Any], timeout_s: float) -> None:
        posting = Posting(id, url, json.dumps(body).encode(), FIELD)
        async with asyncio.timeout(timeout_s):
            await webhooks.post(tenant_id, posting)

    return post


@dataclass(frozen=True, slots=True)
class PipelineBudgetCheck:
    """Budgets that would count a pipeline."""

    budgets: Budgets

    async def check(self, call: Call, ticks: int) -> None:
        """Errors: BudgetExceeded, which names a budget that blocks and has no room for so many ticks."""
        if not self.budgets.any:
            return
        execution = Execution(cost_labels=call.cost_labels)
        call.charge(execution)
        await self.budgets.admit(execution, ticks=ticks)


def service_of(
    pipelines: PipelineLibrary, views: PipelineViews, order: ProviderOrder, budgets: Budgets
) -> tuple[Any, Any]:
    """How gRPC adds the service, and the service."""
    service = PipelineService(pipelines, views, order, PipelineBudgetCheck(budgets))
    return add_PipelineServiceServicer_to_server, service


def order_of(
    registry: CapabilityRegistry, router: Router, upstreams: Mapping[str, Upstream]
) -> ProviderOrder:
    """Order of providers of one configuration."""

    def is_allowed(provider: str, call: Call) -> bool:
        return router.permissions.allow_provider(provider, call)

    def provider_of(model: str) -> str:
        try:
            return router.resolve("", model).provider.name
        except SpineError:
            return ""

    def speed_ms(provider: str, model: str) -> float | None:
        upstream = upstreams.get(provider)
        return None if upstream is None else upstream.speed_ms(model)

    return ProviderOrder(registry, is_allowed, provider_of, speed_ms)
