"""Azure OpenAI addresses: the v1 API, or paths by deployment where an api-version is set.

Wire facts: https://learn.microsoft.com/azure/ai-foundry/openai/reference, 2026-11-28, and `AsyncAzureOpenAI`
of the official SDK (openai 3.52.0), which knows the paths that are below a deployment.
"""

from urllib.parse import quote, urlsplit

from genai_spine.providers.base import Endpoint

BY_DEPLOYMENT = ("/chat/completions", "/completions", "/embeddings", "/audio/", "/images/")


def by_deployment(endpoint: Endpoint) -> bool:
    """Whether models are addressed as deployments, which an api-version asks for."""
    return "api_version" in endpoint.further


def address(endpoint: Endpoint) -> str:
    """Base URL of the API, from the resource's: with or without /openai or /openai/v1 at its end."""
    url = urlsplit(endpoint.base_url)
    path = url.path.rstrip("/")
    if by_deployment(endpoint):
        root = path.removesuffix("/v1").removesuffix("/openai")
        version = quote(endpoint.further["api_version"])
        return url._replace(path=f"{root}/openai", query=f"api-version={version}").geturl()
    if path in ("", "/openai"):
        path = "/openai/v1"
    return url._replace(path=path).geturl()


def path_of(path: str, deployment: str) -> str:
    """Path of OpenAI's API below the deployment; those of the resource stay as they are."""
    return f"/deployments/{quote(deployment, safe='')}{path}" if path.startswith(BY_DEPLOYMENT) else path
