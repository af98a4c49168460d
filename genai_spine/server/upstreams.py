"""Upstreams of the settings; a reload keeps those of which nothing has changed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint, Provider
from genai_spine.providers.replay.recorder import recorded
from genai_spine.routing.upstream import Upstream
from genai_spine.settings import Settings


def upstreams_of(settings: Settings, old: Settings, running: Mapping[str, Upstream]) -> dict[str, Upstream]:
    """Upstreams of the settings; of those that run already, the same where nothing of them has changed."""
    found: dict[str, Upstream] = {}
    for name, endpoint in settings.endpoints.items():
        limits = replace(settings.limits, concurrency=endpoint.max_concurrency)
        known = running.get(name)
        if known is None or old.endpoints[name] != endpoint or known.limits != limits:
            known = Upstream(_instances(endpoint, settings.record), limits)
        found[name] = known
    return found


def _instances(endpoint: Endpoint, record: Path | None) -> list[Provider]:
    """Adapters of a provider, one for each host and API key. record: folder for recorded exchanges."""
    make = PROVIDERS[endpoint.registry_name].make
    return [
        recorded(make(replace(endpoint, base_url=url, api_key=key)), record)
        for key in (endpoint.api_key, *endpoint.more_keys)
        for url in (endpoint.base_url, *endpoint.more_base_urls)
    ]
