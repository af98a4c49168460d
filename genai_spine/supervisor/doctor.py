"""`genai-spine doctor`: checks of settings, database, prices, providers and Envoy."""

import asyncio
from typing import NamedTuple
from urllib.parse import urlsplit

from genai_spine.billing.price import PriceBookError
from genai_spine.billing.price_book import PriceBook
from genai_spine.errors import SpineError
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint
from genai_spine.settings import Settings
from genai_spine.store import schema
from genai_spine.store.database import Database
from genai_spine.supervisor import envoy

PROVIDER_TIMEOUT_S = 3.0


class Finding(NamedTuple):
    """Result of one check."""

    part: str
    state: str  # ok, warning or broken
    text: str


async def examine(settings: Settings) -> list[Finding]:
    findings = [Finding("settings", "ok", f"public port {settings.api_port}, lane {settings.lane}")]
    findings += await _database(settings)
    findings.append(_prices(settings))
    findings += await asyncio.gather(*(_provider(endpoint) for endpoint in settings.endpoints.values()))
    findings.append(_default(settings))
    findings.append(await _envoy())
    return findings


async def _database(settings: Settings) -> list[Finding]:
    kind = urlsplit(settings.database).scheme
    database = Database(settings.database)
    try:
        await database.ping()
        revision = await schema.current(settings.database)
    except Exception as error:  # every driver has errors of its own
        return [Finding("database", "broken", f"{kind}: {type(error).__name__}: {str(error)[:200]}")]
    finally:
        await database.close()
    if revision != schema.head():
        return [Finding("database", "broken", f"{kind} at {revision}; run `genai-spine migrate`")]
    return [Finding("database", "ok", f"{kind} at revision {revision}")]


def _prices(settings: Settings) -> Finding:
    try:
        return Finding("prices", "ok", _book(settings).version)
    except (PriceBookError, OSError) as error:
        return Finding("prices", "broken", str(error))


def _book(settings: Settings) -> PriceBook:
    return PriceBook.load(settings.price_overrides, settings.own_price, settings.operator_models)


async def _provider(endpoint: Endpoint) -> Finding:
    part = f"provider {endpoint.name}"
    reached = await connection_problem(endpoint)
    if reached is None:
        return Finding(part, "ok", endpoint.base_url)
    if endpoint.implicit:
        return Finding(part, "ok", f"not used: {reached}")
    return Finding(part, "warning", f"{endpoint.base_url}: {reached}")


async def connection_problem(endpoint: Endpoint) -> str | None:
    """Reason why a provider cannot be reached; None when it answers."""
    provider = PROVIDERS[endpoint.registry_name].make(endpoint)
    try:
        await asyncio.wait_for(provider.health(), PROVIDER_TIMEOUT_S)
    except TimeoutError:
        return f"no answer within {PROVIDER_TIMEOUT_S:g} s"
    except SpineError as error:
        return str(error)
    finally:
        await provider.close()
    return None


def _default(settings: Settings) -> Finding:
    name = settings.default_provider
    if name in settings.endpoints:
        model = settings.default_model or settings.endpoints[name].default_model
        return Finding("default provider", "ok", f"{name}, model {model}")
    state = "warning" if name in PROVIDERS else "broken"
    return Finding("default provider", state, f"{name} is not configured")


async def _envoy() -> Finding:
    try:
        return Finding("envoy", "ok", await asyncio.to_thread(envoy.version))
    except OSError as error:
        return Finding("envoy", "broken", str(error))
