"""Check of a provider: whether it answers, asked by its own adapter."""

import asyncio

from genai_spine.errors import SpineError
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint

PROVIDER_TIMEOUT_S = 3.0


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
