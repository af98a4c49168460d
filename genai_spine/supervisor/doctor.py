"""`genai-spine doctor`: checks of settings, database, prices, providers and Envoy."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from genai_spine.billing.price import PriceBookError
from genai_spine.billing.price_book import PriceBook
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint
from genai_spine.security.certificates import ListenerCertificate
from genai_spine.settings import Settings
from genai_spine.store import schema
from genai_spine.store.database import Database, sqlite_path
from genai_spine.supervisor import envoy
from genai_spine.supervisor.preparation import default_model
from genai_spine.supervisor.preparation.provider_check import host_problems
from genai_spine.telemetry.urls import shown

SOON = timedelta(days=14)  # to renew a certificate


class Finding(NamedTuple):
    """Result of one check."""

    part: str
    state: str  # ok, warning or broken
    text: str


async def examine(settings: Settings) -> list[Finding]:
    findings = [Finding("settings", "ok", f"public port {settings.api_port}, lane {settings.lane}")]
    findings += _certificates(settings)
    findings += await _database(settings)
    findings.append(_prices(settings))
    findings += await asyncio.gather(*(_provider(endpoint) for endpoint in settings.endpoints.values()))
    findings.append(await _default(settings))
    findings.append(await _envoy())
    return findings


def _certificates(settings: Settings) -> list[Finding]:
    return [
        _certificate(part, certificate)
        for part, certificate in (("public TLS", settings.api_tls), ("gRPC TLS", settings.grpc_tls))
        if certificate is not None
    ]


def _certificate(part: str, certificate: ListenerCertificate) -> Finding:
    try:
        certificate.read()
        expires_at = certificate.expires_at()
    except ValueError as error:
        return Finding(part, "broken", str(error))
    text = f"{certificate.certificate} expires on {expires_at:%Y-%m-%d}"
    if warning := certificate.warning:
        return Finding(part, "warning", warning)
    return Finding(part, "warning" if expires_at - datetime.now(UTC) < SOON else "ok", text)


async def _database(settings: Settings) -> list[Finding]:
    kind = urlsplit(settings.database).scheme
    path = sqlite_path(settings.database)
    if path and not path.exists():  # to look at it would make an empty one
        return [Finding("database", "broken", f"{path} is not there; run `genai-spine migrate`")]
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
    if path and path.stat().st_mode & 0o077:
        words = f"{path} can be read by other users of this machine; run `chmod 600 {path}*`"
        return [Finding("database", "warning", words)]
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
    problems = await host_problems(endpoint)
    if endpoint.implicit and (problem := problems[shown(endpoint.base_url)]):
        return Finding(part, "ok", f"not used: {problem}")
    texts = [f"{host}: {problem}" if problem else host for host, problem in problems.items()]
    return Finding(part, "warning" if any(problems.values()) else "ok", "; ".join(texts))


async def _default(settings: Settings) -> Finding:
    found = await default_model.find(settings)
    if found.problem is None:
        return Finding("default model", "ok", f"{found.provider}:{found.model}")
    known = {*PROVIDERS, *settings.endpoints, *settings.other_lanes}
    state = "warning" if settings.default_provider in known else "broken"
    text = f"{found.problem}; `genai-spine up` uses {found.provider}:{found.model}"
    return Finding("default model", state, f"{text}. {found.remedy}" if found.remedy else text)


async def _envoy() -> Finding:
    try:
        return Finding("envoy", "ok", await asyncio.to_thread(envoy.version))
    except OSError as error:
        return Finding("envoy", "broken", str(error))
