"""What answers a request that names no model is found before the first one fails."""

from typing import Any

import pytest

from genai_spine.errors import ProviderUnavailable
from genai_spine.providers.base import Endpoint
from genai_spine.providers.ollama.adapter import Ollama
from genai_spine.settings import Settings, load
from genai_spine.supervisor import default_model, doctor, up
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
    assert await up._defaults(settings) == ({}, None)


@pytest.mark.parametrize("there", [PHI, SILENT])
async def test_another_model_that_talks_stands_in(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, there: Model
) -> None:
    with_models(monkeypatch, NOMIC, there)
    variables, notice = await up._defaults(settings)
    assert variables == {"GENAI_DEFAULT_PROVIDER": "ollama", "GENAI_DEFAULT_MODEL": there.id}
    assert notice == (
        f"ollama has no model llama3.2:latest; using ollama:{there.id}. Run `genai-spine pull llama3.2`"
    )


@pytest.mark.parametrize("models", [(), (NOMIC,)])
async def test_without_a_model_that_talks_the_way_out_is_named(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, models: tuple[Model, ...]
) -> None:
    with_models(monkeypatch, *models)
    variables, notice = await up._defaults(settings)
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
    variables, notice = await up._defaults(load(default_model="qwen3"))
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
