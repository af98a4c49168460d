"""Configuration in force as data that can be printed: settings and providers, without a secret."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from google.protobuf.json_format import MessageToDict
from pydantic import SecretStr

from genai_spine.configuration.loader import Configuration
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint, ModelTerms
from genai_spine.routing.router import Alias
from genai_spine.settings import Settings
from genai_spine.settings.secret_files import SECRET_NAME
from genai_spine.v1 import routing_pb2

MASK = "***"
SECRET_VALUE = re.compile(r"([^&=]*(?:key|token|secret|password|sig)[^&=]*=)[^&]*", re.IGNORECASE)
DATABASE = "database_url"  # the one secret of which more than its mask is shown
OWN_SECTIONS = ("model_aliases", "fallback_chain")


def effective(configuration: Configuration) -> dict[str, Any]:
    """Configuration as plain data; keys, headers, passwords in URLs and commands are masked."""
    settings = configuration.settings
    shown = {
        name: _database(settings) if name == DATABASE else _plain(getattr(settings, name))
        for name, field in Settings.model_fields.items()
        if not field.exclude and name not in OWN_SECTIONS
    }
    return {
        "file": configuration.source.name or None,
        "settings": {name: value for name, value in shown.items() if value not in (None, [], {})},
        "providers": {name: _provider(endpoint) for name, endpoint in settings.endpoints.items()},
        "on_other_lanes": dict(settings.other_lanes),
        "aliases": {name: _alias(alias) for name, alias in settings.model_aliases.items()},
        "fallbacks": {
            **{name: list(names) for name, names in settings.fallbacks.items()},
            **({"*": list(settings.fallback_chain)} if settings.fallback_chain else {}),
        },
        "prices": [
            {"provider": price.provider, "model": price.model, **price.fields}
            for price in settings.stated_prices
        ],
    }


def _provider(endpoint: Endpoint) -> dict[str, Any]:
    keys = [MASK for key in (endpoint.api_key, *endpoint.more_keys) if key]
    further = {
        name: MASK if SECRET_NAME.search(name) else _without_password(value)
        for name, value in endpoint.further.items()
    }
    egress = endpoint.egress
    found = {
        "provider": endpoint.registry_name,
        "title": PROVIDERS[endpoint.registry_name].title,
        "base_urls": [_without_password(url) for url in (endpoint.base_url, *endpoint.more_base_urls)],
        "api_keys": keys,
        "headers": dict.fromkeys(endpoint.headers, MASK),
        "timeouts": asdict(endpoint.timeouts),
        "max_concurrency": endpoint.max_concurrency,
        "default_model": endpoint.default_model,
        "default_embedding_model": endpoint.default_embedding_model,
        "default_media_models": dict(endpoint.default_media_models),
        "models": {name: _terms(terms) for name, terms in endpoint.models.items()},
        "local": endpoint.local,
        "residency": endpoint.residency,
        "retention_days": endpoint.retention_days,
        "http_proxy": egress.http_proxy and _without_password(egress.http_proxy),
        "https_proxy": egress.https_proxy and _without_password(egress.https_proxy),
        "no_proxy": egress.no_proxy,
        "ca_file": egress.ca_file and str(egress.ca_file),
        "client_certificate": egress.client_certificate and str(egress.client_certificate),
        "used_when_it_answers": endpoint.implicit or None,
        **further,
    }
    return {name: value for name, value in found.items() if value not in (None, "", [], {})}


def _terms(terms: ModelTerms) -> dict[str, Any]:
    found = {
        "context_length": terms.context_length,
        "capabilities": None if terms.capabilities is None else sorted(terms.capabilities),
        "options": terms.options and MessageToDict(terms.options, preserving_proto_field_name=True),
    }
    return {name: value for name, value in found.items() if value is not None}


def _alias(alias: Alias) -> Any:
    models = [
        member.model if member.weight == 1 else {"model": member.model, "weight": member.weight}
        for member in alias.members
    ]
    if alias.strategy is None:
        return models[0] if len(models) == 1 else models
    strategy = routing_pb2.RoutingStrategy.Name(alias.strategy).removeprefix("ROUTING_STRATEGY_").lower()
    return {"models": models, "strategy": strategy}


def _database(settings: Settings) -> str | None:
    """URL of the database without its password."""
    if settings.database_url is None:
        return None
    url = settings.database_url.get_secret_value()
    return _without_password(url) if "://" in url else MASK


def _plain(value: Any) -> Any:
    """Value of a setting as JSON has it."""
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _without_password(url: str) -> str:
    """URL with its password masked, and values of its query that have the name of a secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    if "@" in parts.netloc:
        user, _, host = parts.netloc.rpartition("@")
        masked = f"{user.partition(':')[0]}:{MASK}@{host}" if ":" in user else f"{MASK}@{host}"
        url = url.replace(parts.netloc, masked, 1)
    if not parts.query:
        return url
    query = SECRET_VALUE.sub(rf"\1{MASK}", parts.query)
    return url.replace(parts.query, query)
