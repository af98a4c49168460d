"""PROVIDERS: every upstream that can be configured, one row each.

A gateway or server that speaks OpenAI's protocol is one row and no file. A row becomes a provider when
it is configured: its key is set, or what stands in for one, or, where no key is needed, its base URL is set
or has a default.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from importlib import import_module
from urllib.parse import urlsplit

from genai_spine.json_schema.rewrite import SchemaRules
from genai_spine.providers.base import Endpoint, Option, Provider
from genai_spine.providers.conversation import CallRules
from genai_spine.providers.openai import azure
from genai_spine.providers.openai.adapter import Dialect, OpenAI
from genai_spine.providers.openai.messages import MessageDialect, no_reasoning, reasoning_always


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """Registry row of one provider: its adapter, title, defaults and settings.

    A row is data. What differs in behaviour is a Dialect or an adapter, and `make` builds it from the
    endpoint that the settings filled in.
    """

    make: Callable[[Endpoint], Provider]
    title: str
    base_url: str | None = None  # None: configured by its URL
    hosts: tuple[str, ...] = ()  # further ones of the same service, beside that of base_url
    key: bool = True  # it needs a key
    model: str | None = None  # default model
    embedding_model: str | None = None
    media_models: Mapping[str, str] = field(default_factory=dict)  # as Endpoint.default_media_models
    timeout_s: float = 600.0  # as official SDKs wait for an answer
    # Settings of its own: ("api_version",) is read from GENAI_<NAME>_API_VERSION into Endpoint.further.
    further: tuple[str, ...] = ()
    # Groups of those; a group that is set as a whole stands in for the key.
    credential_settings: tuple[tuple[str, ...], ...] = ()
    # Other variables that hold its key, and variables of the environment that are as good as a key: what
    # they say is for its own client to read.
    key_variables: tuple[str, ...] = ()
    credential_variables: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AdapterName:
    """Adapter of a protocol by its name: its module is imported when the first provider of it is made.

    All of them take a tenth of a second, and a server has two or three.
    """

    protocol: str  # folder of the adapter
    class_name: str

    def __call__(self, endpoint: Endpoint) -> Provider:
        module = import_module(f"genai_spine.providers.{self.protocol}.adapter")
        made: Provider = getattr(module, self.class_name)(endpoint)
        return made


def _gateway(**dialect: object) -> Callable[[Endpoint], Provider]:
    """Factory of an OpenAI-compatible provider; dialect: keywords of Dialect."""
    return partial(OpenAI, dialect=Dialect(**dialect))  # type: ignore[arg-type]  # keywords of Dialect


TOP_K = {"top_k": Option("top_k")}
# Of a strict schema: https://platform.openai.com/docs/guides/structured-outputs, 2026-11-28.
STRICT = SchemaRules(
    refused=frozenset(
        {"allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "default"}
        | {"minLength", "maxLength", "patternProperties", "propertyNames", "unevaluatedProperties"}
        | {"minProperties", "maxProperties", "prefixItems", "unevaluatedItems", "contains"}
        | {"minContains", "maxContains", "uniqueItems"}
    ),
    closed=True,
    all_required=True,
    bare_references=True,
    object_only=True,
    typed=True,
)
# Beginnings of the names of models that answer at /v1/responses only: `ResponsesModel` of the official SDK
# (openai 3.52.0) without its chat models, and https://platform.openai.com/docs/models, 2026-11-28. Those
# with "codex" or "-pro" in another place follow the same rule.
RESPONSES_ONLY = (
    "codex-",
    "computer-use-preview",
    "gpt-5.6-cyber",
    "gpt-6-cyber",
    "gpt-6-rosalind",
    "gpt-daybreak-",
    "gpt-rosalind-",
    "o1-pro",
    "o3-deep-research",
    "o3-pro",
    "o4-mini-deep-research",
)
RESPONSES_ONLY_GPT = re.compile(r"gpt-\d+(\.\d+)?-(pro|codex)\b")


@lru_cache(1024)  # asked several times for each call
def _responses_only(model: str) -> bool:
    """Whether OpenAI serves the model by its Responses API alone."""
    return model.startswith(RESPONSES_ONLY) or RESPONSES_ONLY_GPT.match(model) is not None


AWS_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
)


def _instruct(model: str) -> bool:
    """Whether OpenAI serves the model by /v1/completions, with the text as it is."""
    return model.startswith(("gpt-3.5-turbo-instruct", "davinci-", "babbage-"))


def _every(model: str) -> bool:
    return True


# Ids of calls: "string too long. Expected a string with maximum length 40".
OFFICIAL_MESSAGES = MessageDialect(
    CallRules(max_chars=40, bare_functions=True), cache="prompt_cache_breakpoint"
)
LOCAL_MESSAGES = MessageDialect(reasoning=reasoning_always)
DEMANDING = MessageDialect(reasoning=reasoning_always, demanding=True)
REFUSING = MessageDialect(reasoning=no_reasoning)  # fields of messages that they do not know
# "must be a-z, A-Z, 0-9, with a length of 9"
MISTRAL_MESSAGES = MessageDialect(
    CallRules(max_chars=9, one_length=True), reasoning=no_reasoning, empty_answers=False
)
OFFICIAL = {
    "max_tokens": "max_completion_tokens",
    "messages": OFFICIAL_MESSAGES,
    "base64_embeddings": True,
    "text_models": _instruct,
    "responses": _responses_only,
    "schema": STRICT,
    "stores": True,
}

LOCAL = {"options": TOP_K, "text_models": _every, "local": True, "messages": LOCAL_MESSAGES}

PROVIDERS: dict[str, ProviderRow] = {
    "openai": ProviderRow(
        _gateway(**OFFICIAL, batches=True),
        "OpenAI",
        "https://api.openai.com/v1",
        model="gpt-4o-mini",
        embedding_model="text-embedding-3-small",
        media_models={
            "image": "gpt-image-1",
            "transcription": "gpt-4o-mini-transcribe",
            "speech": "gpt-4o-mini-tts",
        },
    ),
    "anthropic": ProviderRow(
        AdapterName("anthropic", "Anthropic"),
        "Anthropic",
        "https://api.anthropic.com",
        model="claude-sonnet-4-20250514",
    ),
    # Base URL https://NAME.openai.azure.com. The v1 API of 2025-08 needs no api-version; with one, a model is
    # the name of a deployment.
    "azure": ProviderRow(
        _gateway(key_header="api-key", azure=True, **OFFICIAL),
        "Azure OpenAI",
        further=("api_version", *azure.SETTINGS),
        credential_settings=azure.CREDENTIALS,
    ),
    # Strict schemas: https://console.groq.com/docs/structured-outputs, 2026-11-28.
    "groq": ProviderRow(
        _gateway(schema=SchemaRules(closed=True, all_required=True), messages=REFUSING),
        "Groq",
        "https://api.groq.com/openai/v1",
        model="llama-3.3-70b-versatile",
    ),
    "together": ProviderRow(_gateway(options=TOP_K), "Together", "https://api.together.xyz/v1"),
    "deepinfra": ProviderRow(_gateway(options=TOP_K), "DeepInfra", "https://api.deepinfra.com/v1/openai"),
    # Earlier thinking: https://openrouter.ai/docs/guides/best-practices/reasoning-tokens, 2026-11-28.
    "openrouter": ProviderRow(
        _gateway(
            options=TOP_K,
            messages=MessageDialect(reasoning=lambda model: "reasoning", details=True, cache="cache_control"),
        ),
        "OpenRouter",
        "https://openrouter.ai/api/v1",
    ),
    "mistral": ProviderRow(
        _gateway(messages=MISTRAL_MESSAGES),
        "Mistral",
        "https://api.mistral.ai/v1",
        model="mistral-small-latest",
        embedding_model="mistral-embed",
    ),
    "xai": ProviderRow(_gateway(), "xAI", "https://api.x.ai/v1"),
    "deepseek": ProviderRow(
        _gateway(messages=DEMANDING), "DeepSeek", "https://api.deepseek.com", model="deepseek-chat"
    ),
    "moonshot": ProviderRow(
        _gateway(messages=DEMANDING),
        "Moonshot (Kimi)",
        "https://api.moonshot.ai/v1",
        hosts=("api.moonshot.cn",),
    ),
    # Signatures of thoughts: https://ai.google.dev/gemini-api/docs/openai, 2026-11-29.
    "gemini": ProviderRow(
        _gateway(messages=MessageDialect(reasoning=no_reasoning, signatures=True)),
        "Gemini, by its OpenAI-compatible endpoint",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        embedding_model="gemini-embedding-001",
    ),
    "vllm": ProviderRow(_gateway(**LOCAL), "vLLM", key=False),
    "llamacpp": ProviderRow(_gateway(**LOCAL), "llama.cpp server", key=False),
    "lmstudio": ProviderRow(_gateway(**LOCAL), "LM Studio", key=False),
    "compatible": ProviderRow(
        _gateway(options=TOP_K), "Any other server that speaks OpenAI's protocol", key=False
    ),
    "ollama": ProviderRow(
        AdapterName("ollama", "Ollama"),
        "Ollama",
        "http://localhost:11434",
        key=False,
        model="llama3.2:latest",
        embedding_model="nomic-embed-text:latest",
        further=("num_ctx",),
    ),
    "bedrock": ProviderRow(
        AdapterName("bedrock", "Bedrock"),
        "Amazon Bedrock",
        "https://bedrock-runtime.{region}.amazonaws.com",
        model="amazon.nova-lite-v1:0",
        embedding_model="amazon.titan-embed-text-v2:0",
        further=("region", "control_url"),
        key_variables=("AWS_BEARER_TOKEN_BEDROCK",),
        credential_variables=AWS_CREDENTIALS,
    ),
    # nova-3 hears better, and has no price here that its vendor's page was seen with.
    "deepgram": ProviderRow(
        AdapterName("deepgram", "Deepgram"),
        "Deepgram: speech to text",
        "https://api.deepgram.com/v1",
        media_models={"transcription": "nova-2"},
    ),
    "replay": ProviderRow(
        AdapterName("replay", "Replay"), "Recorded exchanges, played back", key=False, further=("speed",)
    ),
    "builtin": ProviderRow(
        AdapterName("builtin", "Builtin"),
        "Built-in extractive processor: no model, no key, no network",
        "builtin:",
        key=False,
        model="extractive",
        embedding_model="hashing",
    ),
}

# Rows of any server that speaks OpenAI's protocol: at the address of a service that has a row of its own,
# they are that one.
ANY_SERVER = ("openai", "compatible")
_SERVICES = {
    host: name
    for name, row in PROVIDERS.items()
    if isinstance(row.make, partial) and row.make.func is OpenAI and row.base_url
    for host in (urlsplit(row.base_url).hostname, *row.hosts)
}


def row_at(name: str, url: str) -> str:
    """Row of a provider that is reached at an address: that of `name`, or of the service at the address."""
    if name not in ANY_SERVER:
        return name
    try:
        return _SERVICES.get(urlsplit(url).hostname, name)
    except ValueError:  # no address at all, which is said where it is used
        return name
