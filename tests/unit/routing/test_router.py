"""From a name to a provider: the rules in their order, and a way back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.errors import InvalidRequest, ModelNotFound
from genai_spine.providers.base import Endpoint, Provider, Route
from genai_spine.routing.router import Alias, Member, Router

MODELS = {"openai": "gpt-4o-mini", "ollama": "llama3.2:latest", "vllm": None, "builtin": "extractive"}
EMBEDDINGS = {"openai": "text-embedding-3-small", "builtin": "hashing"}
ALIASES = {
    "fast": Alias((Member("openai:gpt-4o-mini"),)),
    "home": Alias((Member("ollama:llama3.2"),)),
    "gpt-4": Alias((Member("vllm:mine"),)),
}


def router(default: str = "ollama", default_model: str | None = None) -> Router:
    providers = {
        name: Provider(Endpoint(name, default_model=model, default_embedding_model=EMBEDDINGS.get(name)))
        for name, model in MODELS.items()
    }
    return Router(providers, default, default_model, ALIASES)


def way(provider: str = "", model: str = "", **options: bool) -> tuple[str, str]:
    route = router().resolve(provider, model, **options)
    return route.provider.name, route.model


@pytest.mark.parametrize(
    ("provider", "model", "found"),
    [
        # The provider that is named wins over everything that the model's name says.
        ("vllm", "gpt-4o", ("vllm", "gpt-4o")),
        ("openai", "openai:gpt-4o", ("openai", "gpt-4o")),
        ("openai", "", ("openai", "gpt-4o-mini")),
        ("ollama", "org/model:7b", ("ollama", "org/model:7b")),
        # provider:model
        ("", "vllm:gpt-4o", ("vllm", "gpt-4o")),
        ("", "ollama:llama3.2:1b", ("ollama", "llama3.2:1b")),
        ("", "builtin:extractive", ("builtin", "extractive")),
        # What the name begins with.
        ("", "gpt-4o", ("openai", "gpt-4o")),
        ("", "o1-mini", ("openai", "o1-mini")),
        ("", "o3", ("openai", "o3")),
        ("", "text-embedding-3-large", ("openai", "text-embedding-3-large")),
        ("", "dall-e-3", ("openai", "dall-e-3")),
        ("", "whisper-1", ("openai", "whisper-1")),
        ("", "tts-1-hd", ("openai", "tts-1-hd")),
        # A colon is Ollama's tag, unless a provider's name stands before it.
        ("", "llama3.2:latest", ("ollama", "llama3.2:latest")),
        ("", "ollama:", ("ollama", "ollama:")),
        # Local models with famous names stay at home.
        ("", "gpt-oss:20b", ("ollama", "gpt-oss:20b")),
        ("", "gpt-oss:120b-cloud", ("ollama", "gpt-oss:120b-cloud")),
        ("", "gpt-oss", ("ollama", "gpt-oss")),
        ("", "gpt-oss-safeguard:20b", ("ollama", "gpt-oss-safeguard:20b")),
        ("", "gpt-4o:latest", ("ollama", "gpt-4o:latest")),
        ("", "o1-open:7b", ("ollama", "o1-open:7b")),
        ("", "claude-distill:8b", ("ollama", "claude-distill:8b")),
        ("", "mistral:latest", ("ollama", "mistral:latest")),
        ("", "mistral:7b-instruct-v0.3-q4_K_M", ("ollama", "mistral:7b-instruct-v0.3-q4_K_M")),
        ("", "mistral", ("ollama", "mistral")),
        ("", "whisper-large-v3", ("ollama", "whisper-large-v3")),
        ("", "text-embedding-nomic-embed-text-v1.5", ("ollama", "text-embedding-nomic-embed-text-v1.5")),
        ("", "gpt-j-6b", ("ollama", "gpt-j-6b")),
        # Fine-tunes are OpenAI's, with all their colons.
        ("", "ft:gpt-4o-mini-2024-07-18:org::id", ("openai", "ft:gpt-4o-mini-2024-07-18:org::id")),
        ("", "ft:davinci-002:org:name:id", ("openai", "ft:davinci-002:org:name:id")),
        # Everything else, and nothing at all, is the default provider's.
        ("", "mistral-small", ("ollama", "mistral-small")),
        ("", "", ("ollama", "llama3.2:latest")),
        # Aliases come first, but a provider that is named stays.
        ("", "fast", ("openai", "gpt-4o-mini")),
        ("", "gpt-4", ("vllm", "mine")),
        ("ollama", "home", ("ollama", "llama3.2")),
    ],
)
def test_the_first_rule_that_fits_decides(provider: str, model: str, found: tuple[str, str]) -> None:
    assert way(provider, model) == found


def test_embeddings_have_their_own_default_model() -> None:
    assert way("openai", embedding=True) == ("openai", "text-embedding-3-small")
    with pytest.raises(InvalidRequest, match="no default model"):
        way("ollama", embedding=True)


def test_the_default_model_is_the_default_providers_only() -> None:
    found = router(default_model="qwen3:8b")
    assert found.resolve("", "").model == "qwen3:8b"
    assert found.resolve("ollama", "").model == "qwen3:8b"
    assert found.resolve("openai", "").model == "gpt-4o-mini"


def test_a_provider_without_a_default_model_needs_one() -> None:
    with pytest.raises(InvalidRequest, match="model: provider vllm has no default model"):
        way("vllm")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("opnai", "unknown provider 'opnai'; configured: builtin, ollama, openai, vllm"),
        ("groq", "provider 'groq' is not configured; set GENAI_GROQ_API_KEY; configured"),
        ("azure", "set GENAI_AZURE_API_KEY and its _BASE_URL"),
        ("lmstudio", "set GENAI_LMSTUDIO_BASE_URL"),
    ],
)
def test_a_provider_that_is_not_there_is_a_bad_request_that_says_what_to_do(name: str, said: str) -> None:
    with pytest.raises(InvalidRequest) as failure:
        way(name, "any")
    assert said in str(failure.value)
    assert failure.value.metadata["field"] == "provider"


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("claude-sonnet-4", "set GENAI_ANTHROPIC_API_KEY"),
        ("anthropic.claude-v2", "set GENAI_BEDROCK_API_KEY"),
        ("groq:llama", "set GENAI_GROQ_API_KEY"),
    ],
)
def test_a_model_whose_provider_is_not_there_is_not_found(model: str, said: str) -> None:
    with pytest.raises(ModelNotFound) as failure:
        way("", model)
    assert said in str(failure.value)
    assert failure.value.metadata["model"] == model


def test_a_default_provider_that_is_not_configured_says_so() -> None:
    with pytest.raises(InvalidRequest, match="provider 'groq' is not configured"):
        router("groq").resolve("", "")


@pytest.mark.parametrize("default", ["openai", "mistral", "vllm", "ollama"])
@pytest.mark.parametrize(
    "model",
    ["gpt-oss:20b", "gpt-oss", "mistral:latest", "mistral:7b", "mistral:v0.3", "gpt-4o:latest", "tts-1:2b"],
)
def test_a_local_model_with_a_famous_name_is_never_asked_for_outside(default: str, model: str) -> None:
    class Local(Provider):
        LOCAL = True

    kinds = {"ollama": Local, "vllm": Local}
    names = ("openai", "mistral", "vllm", "ollama")
    made = {name: kinds.get(name, Provider)(Endpoint(name, default_model="m")) for name in names}
    found = Router(made, default).resolve("", model)
    assert (found.provider.local, found.model) == (True, model)


def test_a_vendors_own_models_are_its_own_where_a_local_one_has_its_name_too() -> None:
    made = {name: Provider(Endpoint(name, default_model="m")) for name in ("mistral", "ollama")}
    found = Router(made, "ollama").resolve("", "mistral:mistral-small-latest")
    assert (found.provider.name, found.model) == ("mistral", "mistral-small-latest")


@pytest.mark.parametrize("name", ["groq:llama", "gpt-4o", "claude-sonnet-4", "anthropic"])
def test_what_is_not_configured_says_how_a_local_model_of_that_name_is_called(name: str) -> None:
    with pytest.raises(ModelNotFound, match=f"a model of Ollama's is ollama:{name}"):
        Router({"ollama": Provider(Endpoint("ollama", default_model="m"))}, "ollama").resolve("", name)


@pytest.mark.parametrize("name", ["anthropic", "groq", "mistral", "bedrock"])
def test_a_provider_that_is_not_configured_is_no_fallback_and_never_a_models_name(name: str) -> None:
    with pytest.raises(ModelNotFound, match=f"provider {name} is not configured"):
        router().fallback(name)


NAMES = st.sampled_from(
    ["gpt-4o", "llama3.2:latest", "llama", "openai:x", "a/b:c", "claude-3", "fast", "vllm", "o1"]
)


@given(st.sampled_from(list(MODELS)), NAMES | st.text("abo13:-/.", min_size=1, max_size=12))
def test_the_id_of_a_model_leads_back_to_it(provider: str, model: str) -> None:
    found = router()
    route = Route(found.providers[provider], model)
    assert found.resolve("", found.id_of(route)) == route


def test_the_id_of_a_model_is_as_short_as_can_be() -> None:
    found = router()
    assert found.id_of(Route(found.providers["openai"], "gpt-4o")) == "gpt-4o"
    assert found.id_of(Route(found.providers["openai"], "gpt-4")) == "openai:gpt-4", "gpt-4 is an alias"
    assert found.id_of(Route(found.providers["vllm"], "gpt-4o")) == "vllm:gpt-4o"
    assert found.id_of(Route(found.providers["ollama"], "llama3.2:latest")) == "llama3.2:latest"
    assert found.id_of(Route(found.providers["builtin"], "extractive")) == "builtin:extractive"
    assert found.id_of(Route(found.providers["ollama"], "groq")) == "ollama:groq", "groq is a provider"
    assert found.id_of(Route(found.providers["ollama"], "mistral")) == "mistral"
