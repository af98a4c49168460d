"""Preparation of a supervisor, in a process of its own: the configuration is read and checked, secret, tables
and default model are seen to, and a snapshot is written for the servers.

Jobs are those of plan.PlanReader.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from genai_spine.access import secrets
from genai_spine.configuration.loader import RELOADED, Configuration, reread
from genai_spine.configuration.source import Source
from genai_spine.providers.base import Endpoint
from genai_spine.security.certificates import ListenerCertificate
from genai_spine.settings import Settings
from genai_spine.store import schema
from genai_spine.store.database import sqlite_path
from genai_spine.supervisor.plan import Plan
from genai_spine.supervisor.preparation import default_model

Job = Mapping[str, Any]
# Of servers behind an Envoy of ours. They stop together, so there is none that a refused call could go to.
OF_EDGE = {"drain_delay": 0.0, "is_behind_own_envoy": True, "http_host": "127.0.0.1"}


async def start(configuration: Configuration, job: Job) -> dict[str, Any]:
    """{"plan"} of a start. Errors: ValueError, OSError, SpineError."""
    settings = configuration.settings
    variables: dict[str, str] = {}
    notice = None
    if job["is_edge"]:
        await schema.upgrade(settings.database)
        check_secret(settings)
        variables, notice = await defaults_of(settings)
    configuration.source.write_snapshot(Path(job["snapshot"]), _overrides(job, variables))
    return {"plan": asdict(plan_of(settings, variables, notice))}


async def reread_of(job: Job) -> dict[str, Any]:
    """{"plan", "changed"} of the configuration as it is now, or {"refused": why}; changed: what of it only
    a restart would change.
    """
    try:
        latest = await asyncio.to_thread(reread, Source.of_snapshot(Path(job["current"])), job["options"])
    except (ValueError, OSError) as error:
        return {"refused": str(error)}
    settings, variables = latest.settings, job["defaults"]
    # A default provider that could not be used at the start is asked again. One that worked is not replaced
    # because it does not answer just now.
    if variables and settings.default_provider == job["default_provider"]:
        variables, _ = await defaults_of(settings)
    else:
        variables = {}
    latest.source.write_snapshot(Path(job["snapshot"]), _overrides(job, variables))
    plan = plan_of(settings, job["defaults"], None)
    changed = [
        name
        for name, value in plan.digests.items()
        if name not in RELOADED and value != job["digests"].get(name)
    ]
    return {"plan": asdict(plan), "changed": changed}


def plan_of(settings: Settings, variables: Mapping[str, str], notice: str | None) -> Plan:
    """Plan of settings. variables: what stands in for their default model."""
    tls, url = settings.api_tls, settings.database
    return Plan(
        api_tls=None if tls is None else _files(tls),
        has_grpc_tls=settings.grpc_tls is not None,
        cors_origins=tuple(settings.cors_origins),
        log_level="DEBUG" if settings.debug else settings.log_level,
        database=url,
        is_scratch=url.startswith("sqlite") and sqlite_path(url) is None,
        providers=tuple(sorted(settings.endpoints)),
        defaults=variables,
        default_model=default_route(settings, variables),
        notice=notice,
        digests={name: _digest(getattr(settings, name)) for name in Settings.model_fields},
        **{name: getattr(settings, name) for name in SAME},
    )


SAME = (
    *("lane", "processes", "grpc_host", "grpc_port", "http_port", "api_host", "api_port", "symbols_address"),
    *("envoy_admin_port", "health_timeout", "drain_delay", "drain_timeout", "restart_drain_timeout"),
    "default_provider",
)


def _files(tls: ListenerCertificate) -> tuple[str, str, str | None]:
    return str(tls.certificate), str(tls.key), None if tls.client_ca is None else str(tls.client_ca)


def _digest(value: object) -> str:
    """Digest of a value, by which it is seen that it has changed."""
    shown = value.get_secret_value() if isinstance(value, SecretStr) else repr(value)
    return sha256(shown.encode()).hexdigest()[:32]


def _overrides(job: Job, variables: Mapping[str, str]) -> dict[str, Any]:
    """Settings that win over genai.yaml in the servers, those among them that variables say."""
    if not job["is_edge"]:
        return {}
    return {name.removeprefix("GENAI_").lower(): value for name, value in variables.items()} | OF_EDGE


def check_secret(settings: Settings) -> None:
    """Root secret where callers are asked for keys; one is made beside an SQLite database.

    Raises ValueError, OSError. A server would say the same, but only in its log.
    """
    if settings.has_no_secret:
        secrets.create_beside(settings.database)
    value = settings.secret_key.get_secret_value() if settings.secret_key is not None else None
    found = secrets.found(value, settings.secret_key_file, settings.database)
    if settings.auth == "on" and found is None:
        raise ValueError(secrets.MISSING)


async def defaults_of(settings: Settings) -> tuple[dict[str, str], str | None]:
    """Variables for the servers, and what a person should know about them.

    A default that cannot be called would make the first call fail; what stands in for it is said.
    """
    found = await default_model.find(settings)
    if found.problem is None:
        return {}, None
    notice = found.problem
    name = default_model.provider_of(settings)
    if (found.provider, found.model) != (name, _own_model(settings, settings.endpoints.get(name))):
        notice += f"; using {found.provider}:{found.model}"
    if found.provider == "builtin":
        notice += ", the built-in extractive processor, which is no language model"
    if found.remedy:
        notice += f". {found.remedy[0].upper()}{found.remedy[1:]}"
    return {"GENAI_DEFAULT_PROVIDER": found.provider, "GENAI_DEFAULT_MODEL": found.model}, notice


def _own_model(settings: Settings, endpoint: Endpoint | None) -> str | None:
    """Default model as the settings have it."""
    return default_model.model_of(settings) or (endpoint.default_model if endpoint else None)


def default_route(settings: Settings, variables: Mapping[str, str]) -> str:
    """Default route, as provider:model or an alias, of a request that names neither; the provider alone where
    it has no default model.
    """
    name = variables.get("GENAI_DEFAULT_PROVIDER") or default_model.provider_of(settings)
    model = variables.get("GENAI_DEFAULT_MODEL") or _own_model(settings, settings.endpoints.get(name))
    if not model:
        return name
    return str(model) if model in settings.model_aliases else f"{name}:{model}"
