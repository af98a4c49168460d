"""Model of a request that names none, before anything is started: is it there, and what stands in for it?"""

import asyncio
from typing import NamedTuple

from genai_spine.errors import SpineError
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint, Provider
from genai_spine.settings import Settings
from genai_spine.supervisor.provider_check import PROVIDER_TIMEOUT_S, connection_problem
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

    After that comes a provider whose key is set, and then the built-in processor.
    """
    name = settings.default_provider
    endpoint = settings.endpoints.get(name)
    if endpoint is None:
        return _substitute(settings, f"default provider {name} is not configured", "Start Ollama")
    if reason := await connection_problem(endpoint):
        return _substitute(settings, f"default provider {name} cannot be used ({reason})", "Start Ollama")
    wanted = settings.default_model or endpoint.default_model or ""
    there = await _listed(endpoint)
    if there is None or wanted in settings.model_aliases or _has(there, wanted, name):
        return DefaultModel(name, wanted)
    problem = f"{name} has no model {wanted}" if wanted else f"{name} has no default model"
    pull = f"run `genai-spine pull {wanted.removesuffix(LATEST)}`" if wanted and name == "ollama" else None
    if settings.default_model:  # a person named it: nothing else is asked in its place
        return DefaultModel(name, wanted, problem, pull)
    if chats := [model.id for model in there if _talks(model)]:
        return DefaultModel(name, chats[0], problem, pull)
    return _substitute(settings, f"{problem}, and no other that answers", pull or f"Load a model into {name}")


def _substitute(settings: Settings, problem: str, remedy: str) -> DefaultModel:
    for endpoint in settings.endpoints.values():
        if endpoint.api_key and endpoint.default_model:
            return DefaultModel(endpoint.name, endpoint.default_model, problem, remedy)
    own = settings.endpoints["builtin"]
    remedy = f"{remedy}, or set GENAI_OPENAI_API_KEY"
    return DefaultModel(own.name, own.default_model or "", problem, remedy)


async def _listed(endpoint: Endpoint) -> list[Model] | None:
    """Models on the machines of the operator; None: hosted elsewhere, or the list did not come in time."""
    provider: Provider = PROVIDERS[endpoint.registry_name].make(endpoint)
    try:
        if not provider.local or endpoint.name == "builtin":
            return None
        return await asyncio.wait_for(provider.list_models(), PROVIDER_TIMEOUT_S)
    except (TimeoutError, SpineError):
        return None
    finally:
        await provider.close()


def _has(models: list[Model], wanted: str, provider: str) -> bool:
    """Whether the model is listed; a name without a tag is that of the tag latest."""
    plain = wanted.removeprefix(f"{provider}:")
    return any(model.id in (plain, f"{plain}{LATEST}") for model in models)


def _talks(model: Model) -> bool:
    """Whether it answers in words, as far as its server tells."""
    return "chat" in model.capabilities if model.capabilities else "embed" not in model.id
