"""Pipelines of a server: who does their steps, in which order providers are asked, and webhooks that undo."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from genai_spine.call import Call
from genai_spine.catalog.providers import CapabilityRegistry
from genai_spine.errors import SpineError
from genai_spine.pipelines.provider_order import ProviderOrder
from genai_spine.routing.router import Router
from genai_spine.routing.upstream import Upstream
from genai_spine.runs.pipeline import Post
from genai_spine.runs.webhooks import RunWebhooks
from genai_spine.webhooks.posting import Posting

FIELD = "compensation.webhook_url"  # that errors name


def webhook_post(webhooks: RunWebhooks) -> Post:
    """Posting of undo actions, signed for their tenant."""

    async def post(tenant_id: str, url: str, id: str, body: Mapping[str, Any], timeout_s: float) -> None:
        posting = Posting(id, url, json.dumps(body).encode(), FIELD)
        async with asyncio.timeout(timeout_s):
            await webhooks.post(tenant_id, posting)

    return post


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
