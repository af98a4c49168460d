"""Model of a request that names none, before anything is started: is it there, and what stands in for it?"""

import asyncio
from typing import NamedTuple

from genai_spine.errors import SpineError
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint, Provider
from genai_spine.settings import Settings
from genai_spine.supervisor.preparation.provider_check import PROVIDER_TIMEOUT_S, connection_problem, hosts
from genai_spine.v1.model_service_pb2 import Model

LATEST = ":latest"


class DefaultModel(NamedTuple):
    """Provider and model of a request that names neither. problem: why they are not those of the settings."""

    provider: str
    model: str
    problem: str | None = None
    remedy: str | None = None  # what a person can do about it


async def find(settings: Settings) -> DefaultModel:
    """Model that can be called. Where that of the settings cannot, another one of the same provider.

    After that come a configured provider that needs no key and answers, one whose key is set, and then the
    built-in processor.
    """
    name = provider_of(settings)
    endpoint = settings.endpoints.get(name)
    if endpoint is None:
        remedy = "Start Ollama" if name == "ollama" else f"Configure {name}"
        return await _substitute(settings, name, f"default provider {name} is not configured", remedy)
    ollama = endpoint.registry_name == "ollama"
    if reason := await connection_problem(endpoint):
        remedy = "Start Ollama" if ollama else f"See to {name}"
        return await _substitute(settings, name, f"default provider {name} cannot be used ({reason})", remedy)
    chosen = model_of(settings)
    wanted = chosen or endpoint.default_model or ""
    there = await _listed(endpoint)
    if there is None or wanted in settings.model_aliases or _has(there, wanted):
        return DefaultModel(name, wanted)
    problem = f"{name} has no model {wanted}" if wanted else f"{name} has no default model"
    at = "" if name == "ollama" else f" --provider {name}"
    pull = f"run `genai-spine pull{at} {wanted.removesuffix(LATEST)}`" if wanted and ollama else None
    if chosen:  # a person named it: nothing else is asked in its place
        return DefaultModel(name, wanted, problem, pull)
    if chats := [model.id for model in there if _talks(model)]:
        return DefaultModel(name, chats[0], problem, pull)
    remedy = pull or f"Load a model into {name}"
    return await _substitute(settings, name, f"{problem}, and no other that answers", remedy)


def provider_of(settings: Settings) -> str:
    """Provider of a request that names none: that of the default model, where its name says one."""
    model = settings.default_model or ""
    if model in settings.model_aliases:
        return settings.default_provider
    prefix = model.partition(":")[0]
    return prefix if prefix in settings.endpoints else settings.default_provider


def model_of(settings: Settings) -> str | None:
    """Model of a request that names none, by its name upstream or an alias; None: the provider's own."""
    name = provider_of(settings)
    model = settings.default_model
    return None if model in (None, "", name) else str(model).removeprefix(f"{name}:")


async def _substitute(settings: Settings, name: str, problem: str, remedy: str) -> DefaultModel:
    """Another provider than `name`."""
    others = [
        endpoint
        for endpoint in settings.endpoints.values()
        if endpoint.default_model and endpoint.name not in (name, "builtin")
    ]
    keyless = [
        endpoint
        for endpoint in others
        if not (PROVIDERS[endpoint.registry_name].key or endpoint.api_key or endpoint.implicit)
    ]
    problems = await asyncio.gather(*map(connection_problem, keyless))
    answering = [one for one, wrong in zip(keyless, problems, strict=True) if wrong is None]
    for endpoint in (*answering, *(one for one in others if one.api_key)):
        return DefaultModel(endpoint.name, endpoint.default_model or "", problem, remedy)
    own = settings.endpoints["builtin"]
    remedy = f"{remedy}, or set GENAI_OPENAI_API_KEY"
    return DefaultModel(own.name, own.default_model or "", problem, remedy)


async def _listed(endpoint: Endpoint) -> list[Model] | None:
    """Models on the machines of the operator; None: hosted elsewhere, or the list did not come in time.

    Of a pool it is the list of the first host that has one.
    """
    if endpoint.registry_name == "builtin":
        return None
    for host in hosts(endpoint):
        provider: Provider = PROVIDERS[host.registry_name].make(host)
        try:
            if not provider.local:
                return None
            async with asyncio.timeout(PROVIDER_TIMEOUT_S):
                return await provider.list_models()
        except (TimeoutError, SpineError):
            continue
        finally:
            await provider.close()
    return None


def _has(models: list[Model], wanted: str) -> bool:
    """Whether the model is listed; a name without a tag is that of the tag latest."""
    return any(model.id in (wanted, f"{wanted}{LATEST}") for model in models)


def _talks(model: Model) -> bool:
    """Whether it answers in words, as far as its server tells."""
    return "chat" in model.capabilities if model.capabilities else "embed" not in model.id
