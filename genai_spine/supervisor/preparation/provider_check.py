"""Check of a provider: whether it answers, asked by its own adapter at each of its hosts."""

import asyncio
from dataclasses import replace

from genai_spine.errors import ModelNotFound, SpineError, UnsupportedOperation
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint
from genai_spine.telemetry.urls import shown

PROVIDER_TIMEOUT_S = 3.0
# It answers, if only that it has no list of models.
ANSWERS = (ModelNotFound, UnsupportedOperation)


def hosts(endpoint: Endpoint) -> list[Endpoint]:
    """Each host of a provider as an endpoint of its own."""
    urls = (endpoint.base_url, *endpoint.more_base_urls)
    return [replace(endpoint, base_url=url, more_base_urls=()) for url in urls]


async def host_problems(endpoint: Endpoint) -> dict[str, SpineError | TimeoutError | None]:
    """Problem of each host, None where all is well; hosts without a password."""
    found = await asyncio.gather(*map(_problem, hosts(endpoint)))
    return {shown(host.base_url): problem for host, problem in zip(hosts(endpoint), found, strict=True)}


async def connection_problem(endpoint: Endpoint) -> str | None:
    """Reason why a provider cannot be reached; None when one of its hosts answers."""
    problems = await host_problems(endpoint)
    if any(problem is None or isinstance(problem, ANSWERS) for problem in problems.values()):
        return None
    if len(problems) == 1:
        return str(*problems.values())
    return "; ".join(f"{host}: {problem}" for host, problem in problems.items())


async def _problem(host: Endpoint) -> SpineError | TimeoutError | None:
    provider = PROVIDERS[host.registry_name].make(host)
    try:
        async with asyncio.timeout(PROVIDER_TIMEOUT_S):
            await provider.health()
    except TimeoutError:
        return TimeoutError(f"no answer within {PROVIDER_TIMEOUT_S:g} s")
    except SpineError as error:
        return error
    finally:
        await provider.close()
    return None
