"""PROVIDERS: every upstream that can be configured, one row each.

A gateway or server that speaks OpenAI's protocol is one row and no file. A row becomes a provider when
it is configured: its key is set, or, where no key is needed, its base URL is set or has a default.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from genai_spine.providers.anthropic import Anthropic
from genai_spine.providers.base import Endpoint, Option, Provider
from genai_spine.providers.bedrock import Bedrock
from genai_spine.providers.builtin import Builtin
from genai_spine.providers.ollama import Ollama
from genai_spine.providers.openai import Dialect, OpenAI


@dataclass(frozen=True, slots=True)
class Row:
    make: Callable[[Endpoint], Provider]
    title: str
    base_url: str | None = None  # None: configured by its URL
    key: bool = True  # it needs a key
    model: str | None = None  # default model
    embedding_model: str | None = None
    timeout_s: float = 60.0
    # Settings of its own: ("api_version",) is read from GENAI_<NAME>_API_VERSION into Endpoint.further.
    further: tuple[str, ...] = ()
    # Other variables that hold its key, and variables of the environment that are as good as a key: what
    # they say is for its own client to read.
    key_variables: tuple[str, ...] = ()
    credential_variables: tuple[str, ...] = ()


def _gateway(**dialect: object) -> Callable[[Endpoint], Provider]:
    return partial(OpenAI, dialect=Dialect(**dialect))  # type: ignore[arg-type]  # keywords of Dialect


TOP_K = {"top_k": Option("top_k")}
OFFICIAL = {"max_tokens": "max_completion_tokens", "base64_embeddings": True}


AWS_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)


def _instruct(model: str) -> bool:
    return model.startswith(("gpt-3.5-turbo-instruct", "davinci-", "babbage-"))


def _every(model: str) -> bool:
    return True


PROVIDERS: dict[str, Row] = {
    "openai": Row(
        _gateway(text_models=_instruct, **OFFICIAL),
        "OpenAI",
        "https://api.openai.com/v1",
        model="gpt-4o-mini",
        embedding_model="text-embedding-3-small",
    ),
    "anthropic": Row(Anthropic, "Anthropic", "https://api.anthropic.com", model="claude-sonnet-4-20250514"),
    # The v1 API of 2025-08, which needs no api-version; base URL https://NAME.openai.azure.com/openai/v1
    "azure": Row(_gateway(key_header="api-key", text_models=_instruct, **OFFICIAL), "Azure OpenAI"),
    "groq": Row(_gateway(), "Groq", "https://api.groq.com/openai/v1", model="llama-3.3-70b-versatile"),
    "together": Row(_gateway(options=TOP_K), "Together", "https://api.together.xyz/v1"),
    "deepinfra": Row(_gateway(options=TOP_K), "DeepInfra", "https://api.deepinfra.com/v1/openai"),
    "openrouter": Row(_gateway(options=TOP_K), "OpenRouter", "https://openrouter.ai/api/v1"),
    "mistral": Row(
        _gateway(),
        "Mistral",
        "https://api.mistral.ai/v1",
        model="mistral-small-latest",
        embedding_model="mistral-embed",
    ),
    "xai": Row(_gateway(), "xAI", "https://api.x.ai/v1"),
    "gemini": Row(
        _gateway(),
        "Gemini, by its OpenAI-compatible endpoint",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        embedding_model="gemini-embedding-001",
    ),
    "vllm": Row(_gateway(options=TOP_K, text_models=_every, local=True), "vLLM", key=False),
    "llamacpp": Row(_gateway(options=TOP_K, text_models=_every, local=True), "llama.cpp server", key=False),
    "lmstudio": Row(_gateway(options=TOP_K, text_models=_every, local=True), "LM Studio", key=False),
    "ollama": Row(
        Ollama,
        "Ollama",
        "http://localhost:11434",
        key=False,
        model="llama3.2:latest",
        embedding_model="nomic-embed-text:latest",
        timeout_s=120.0,
    ),
    "bedrock": Row(
        Bedrock,
        "Amazon Bedrock",
        "https://bedrock-runtime.{region}.amazonaws.com",
        model="amazon.nova-lite-v1:0",
        embedding_model="amazon.titan-embed-text-v2:0",
        further=("region", "control_url"),
        key_variables=("AWS_BEARER_TOKEN_BEDROCK",),
        credential_variables=AWS_CREDENTIALS,
    ),
    "builtin": Row(
        Builtin,
        "Built-in extractive processor: no model, no key, no network",
        "builtin:",
        key=False,
        model="extractive",
        embedding_model="hashing",
    ),
}
