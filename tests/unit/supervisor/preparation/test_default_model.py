"""What answers a request that names no model is found before the first one fails."""

from dataclasses import replace
from typing import Any

import pytest

from genai_spine.errors import ModelNotFound, ProviderUnavailable, SpineError
from genai_spine.providers.base import Endpoint
from genai_spine.providers.ollama.adapter import Ollama
from genai_spine.providers.openai.adapter import OpenAI
from genai_spine.routing.router import Alias, Member
from genai_spine.settings import Settings, load
from genai_spine.supervisor import doctor
from genai_spine.supervisor.preparation import default_model, preparation
from genai_spine.v1.model_service_pb2 import Model

LLAMA = Model(id="llama3.2:latest", capabilities=["chat", "tools"])
PHI = Model(id="phi4:14b", capabilities=["chat"])
NOMIC = Model(id="nomic-embed-text:latest", capabilities=["embeddings"])
SILENT = Model(id="mystery:1b")  # whose server tells nothing of what it can


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load()


def with_models(monkeypatch: pytest.MonkeyPatch, *models: Model) -> None:
    async def health(self: Ollama) -> None:
        pass

    async def list_models(self: Ollama) -> list[Model]:
        return list(models)

    monkeypatch.setattr(Ollama, "health", health)
    monkeypatch.setattr(Ollama, "list_models", list_models)


def with_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def health(self: Ollama) -> None:
        raise ProviderUnavailable(provider="ollama", provider_message="refused")

    monkeypatch.setattr(Ollama, "health", health)


async def test_default_that_is_there_is_taken(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with_models(monkeypatch, PHI, LLAMA)
    assert await default_model.find(settings) == ("ollama", "llama3.2:latest", None, None)
    assert await preparation.defaults_of(settings) == ({}, None)


@pytest.mark.parametrize("there", [PHI, SILENT])
async def test_another_model_that_talks_stands_in(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, there: Model
) -> None:
    with_models(monkeypatch, NOMIC, there)
    variables, notice = await preparation.defaults_of(settings)
    assert variables == {"GENAI_DEFAULT_PROVIDER": "ollama", "GENAI_DEFAULT_MODEL": there.id}
    assert notice == (
        f"ollama has no model llama3.2:latest; using ollama:{there.id}. Run `genai-spine pull llama3.2`"
    )


@pytest.mark.parametrize("models", [(), (NOMIC,)])
async def test_without_a_model_that_talks_the_way_out_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, models: tuple[Model, ...]
) -> None:
    with_models(monkeypatch, *models)
    variables, notice = await preparation.defaults_of(settings)
    assert variables["GENAI_DEFAULT_PROVIDER"] == "builtin"
    assert notice
    assert "no language model" in notice
    assert "Run `genai-spine pull llama3.2`" in notice
    keyed = settings.model_copy(
        update={"endpoints": settings.endpoints | {"openai": Endpoint("openai", "u", "k", default_model="m")}}
    )
    assert (await default_model.find(keyed))[:2] == ("openai", "m")


async def test_model_that_a_person_named_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with_models(monkeypatch, PHI)
    variables, notice = await preparation.defaults_of(load(default_model="qwen3"))
    assert variables["GENAI_DEFAULT_MODEL"] == "qwen3"
    assert notice == "ollama has no model qwen3. Run `genai-spine pull qwen3`"
    for named in ("phi4:14b", "ollama:phi4:14b"):
        assert (await default_model.find(load(default_model=named))).problem is None


async def test_doctor_says_the_same_of_a_default_that_is_missing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_models(monkeypatch, PHI)
    found = await doctor._default(settings)
    assert (found.state, found.text) == (
        "warning",
        "ollama has no model llama3.2:latest; `genai-spine up` uses ollama:phi4:14b. "
        "run `genai-spine pull llama3.2`",
    )
    with_nobody(monkeypatch)
    found = await doctor._default(settings)
    assert found.state == "warning"
    assert "cannot be used" in found.text


VLLM = {
    "red": Endpoint("red", "http://red/v1", row="vllm", default_model="qwen"),
    "blue": Endpoint("blue", "http://blue-1/v1", row="vllm", default_model="phi"),
}


@pytest.fixture
def named(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Two named servers, the first of them the default; who is in `down` does not answer."""
    monkeypatch.setattr(OpenAI, "list_models", listed)
    down.clear()
    return settings.model_copy(
        update={"default_provider": "red", "endpoints": {**settings.endpoints, **VLLM}, "default_model": None}
    )


down: dict[str, SpineError] = {}
REFUSED = ProviderUnavailable(provider="red", provider_code="connect", provider_message="refused")


async def listed(self: OpenAI) -> list[Model]:
    """Models of a host, by its URL."""
    if failure := down.get(self.endpoint.base_url):
        raise failure
    return [Model(id=VLLM[self.endpoint.name].default_model)]


async def test_named_provider_is_a_default_like_any_other(named: Settings) -> None:
    assert await default_model.find(named) == ("red", "qwen", None, None)
    assert preparation.default_route(named, {}) == "red:qwen"
    found = await doctor._default(named)
    assert (found.state, found.text) == ("ok", "red:qwen")


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("blue", ("blue", "phi")),
        ("blue:phi", ("blue", "phi")),
        ("qwen", ("red", "qwen")),
        ("fast", ("red", "fast")),
    ],
)
async def test_default_model_may_name_its_provider(
    named: Settings, model: str, expected: tuple[str, str]
) -> None:
    alias = Alias((Member("blue:phi"),))
    chosen = named.model_copy(update={"default_model": model, "model_aliases": {"fast": alias}})
    assert await default_model.find(chosen) == (*expected, None, None)
    assert preparation.default_route(chosen, {}) == ("fast" if model == "fast" else ":".join(expected))


async def test_another_named_server_stands_in_for_one_that_is_down(named: Settings) -> None:
    down["http://red/v1"] = REFUSED
    variables, notice = await preparation.defaults_of(named)
    assert variables == {"GENAI_DEFAULT_PROVIDER": "blue", "GENAI_DEFAULT_MODEL": "phi"}
    assert "default provider red cannot be used" in str(notice)
    assert "using blue:phi" in str(notice)
    assert "See to red" in str(notice)
    assert "Ollama" not in str(notice)
    found = await doctor._default(named)
    assert found.state == "warning"


async def test_pool_is_there_while_one_of_its_hosts_answers(named: Settings) -> None:
    pool = replace(VLLM["red"], more_base_urls=("http://red-2/v1",))
    settings = named.model_copy(update={"endpoints": {**named.endpoints, "red": pool}})
    down["http://red/v1"] = REFUSED
    assert await default_model.find(settings) == ("red", "qwen", None, None)
    found = await doctor._provider(pool)
    assert found.state == "warning"
    assert found.text.startswith("http://red/v1: ")
    assert found.text.endswith("; http://red-2/v1")
    down["http://red-2/v1"] = REFUSED
    assert (await default_model.find(settings))[:2] == ("blue", "phi")


async def test_server_without_a_list_of_models_answers(named: Settings) -> None:
    down["http://red/v1"] = ModelNotFound(model="", hint="red says: 404")
    assert await default_model.find(named) == ("red", "qwen", None, None)
    found = await doctor._provider(VLLM["red"])  # an address without /v1 looks the same
    assert (found.state, "404" in found.text) == ("warning", True)


async def test_model_of_a_named_ollama_is_pulled_there(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_models(monkeypatch, PHI)
    gpu = Endpoint("gpu", "http://gpu", row="ollama", default_model="qwen3:latest")
    chosen = settings.model_copy(
        update={"default_provider": "gpu", "endpoints": {**settings.endpoints, "gpu": gpu}}
    )
    found = await default_model.find(chosen)
    assert found == (
        "gpu",
        PHI.id,
        "gpu has no model qwen3:latest",
        "run `genai-spine pull --provider gpu qwen3`",
    )


def test_a_provider_without_a_default_model_stands_alone_as_the_route(settings: Settings) -> None:
    house = settings.model_copy(
        update={"endpoints": {"house": Endpoint("house", "u", "k")}, "default_provider": "house"}
    )
    assert preparation.default_route(house, {}) == "house"
    assert (
        preparation.default_route(house, {"GENAI_DEFAULT_PROVIDER": "house", "GENAI_DEFAULT_MODEL": "m"})
        == "house:m"
    )
