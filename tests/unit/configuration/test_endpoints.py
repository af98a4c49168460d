"""Sections of genai.yaml as endpoints."""

import shutil
from pathlib import Path

import pytest

from genai_spine.configuration.endpoints import COMPATIBLE, OPTIONS, PROTOCOLS
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint
from genai_spine.providers.openai.adapter import Dialect, OpenAI
from genai_spine.v1 import completion_service_pb2 as pb
from tests.style.source import ROOT
from tests.unit.configuration.conftest import Load


def test_every_row_has_its_protocol() -> None:
    assert set(PROTOCOLS) == set(PROVIDERS)
    assert {PROTOCOLS[name] for name in ("groq", "vllm", COMPATIBLE)} == {"openai"}
    assert PROTOCOLS["azure"] == "azure"
    assert PROTOCOLS["bedrock"] == "bedrock"


def test_default_options_are_fields_of_a_request() -> None:
    known = {field.name for field in pb.CreateCompletionRequest.DESCRIPTOR.fields}
    assert {option for option in OPTIONS if option != "provider_options"} <= known


def test_openai_itself_is_no_compatible_server(load: Load) -> None:
    rows = {
        name: endpoint.registry_name
        for name, endpoint in load(
            """
            providers:
              a: {protocol: openai, api_key: k}
              b: {protocol: openai, api_key: k, base_url: "https://us.api.openai.com/v1"}
              c: {protocol: openai, base_url: "https://api.openai.com.example/v1"}
              d: {protocol: openai, base_urls: ["http://one/v1", "http://two/v1"]}
            """
        ).endpoints.items()
    }
    assert [rows[name] for name in "abcd"] == ["openai", "openai", COMPATIBLE, COMPATIBLE]


SERVICES = {
    "mistral": "https://api.mistral.ai/v1",
    "deepseek": "https://api.deepseek.com",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/openai",
    "openrouter": "https://openrouter.ai/api/v1",
    "moonshot": "https://api.moonshot.ai/v1",
    "groq": "https://api.groq.com/openai/v1",
}


def dialect_of(endpoint: Endpoint) -> Dialect:
    made = PROVIDERS[endpoint.registry_name].make(endpoint)
    assert isinstance(made, OpenAI)
    return made.dialect


@pytest.mark.parametrize("said", ["provider: {name}", "protocol: openai", "provider: compatible"])
@pytest.mark.parametrize(
    ("row", "url"),
    [
        *SERVICES.items(),
        ("moonshot", "https://API.moonshot.cn/v1"),
        ("deepseek", "https://api.deepseek.com/v1/"),
    ],
)
def test_a_service_is_spoken_to_in_its_own_dialect_whatever_its_instance_is_called(
    load: Load, said: str, row: str, url: str
) -> None:
    text = f"providers: {{team: {{{said.format(name=row)}, api_key: k, base_url: '{url}'}}}}"
    team = load(text).endpoints["team"]
    assert (team.name, team.registry_name, team.base_url) == ("team", row, url)
    assert dialect_of(team) is dialect_of(Endpoint(row, url))
    assert team.default_model == PROVIDERS[row].model


@pytest.mark.parametrize("name", ["openai", "compatible"])
def test_a_variable_that_points_to_a_service_is_that_service(
    load: Load, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"GENAI_{name.upper()}_API_KEY", "k")
    monkeypatch.setenv(f"GENAI_{name.upper()}_BASE_URL", SERVICES["mistral"])
    settings = load("{}")
    found = settings.endpoints[name]
    assert (found.name, found.registry_name) == (name, "mistral")
    assert dialect_of(found) is dialect_of(Endpoint("mistral", "http://x"))
    assert settings.operator_models.sellers == {name: "mistral"}


def test_an_address_of_nobody_known_stays_what_it_was_called(load: Load) -> None:
    found = load(
        """
        providers:
          a: {protocol: openai, base_url: "https://api.mistral.ai.example/v1"}
          b: {provider: vllm, base_url: "https://api.mistral.ai/v1"}
          c: {provider: groq, api_key: k, base_url: "https://api.mistral.ai/v1"}
          d: {protocol: openai, base_urls: ["https://api.mistral.ai/v1", "https://eu.example/v1"]}
          e: {protocol: openai, base_url: "https://api.mistral.ai/v1", headers: {authorization: "Bearer k"}}
        """
    ).endpoints
    rows = [found[name].registry_name for name in "abcde"]
    assert rows == ["compatible", "vllm", "groq", "mistral", "mistral"]


def test_proxies_of_the_environment_hold_for_every_provider(
    load: Load, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(ROOT / "tests/unit/providers/http/localhost.pem", bare / "ca.pem")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    text = "providers: {openai: {api_key: k}, eu: {provider: openai, api_key: k, ca_file: ca.pem}}"
    found = load(text).endpoints
    for name in ("openai", "eu"):
        assert (found[name].egress.https_proxy, found[name].egress.no_proxy) == (
            *("http://proxy:3128", "inside.example"),
        )
    assert found["eu"].egress.ca_file == bare / "ca.pem"


def test_a_proxy_of_none_is_no_proxy(load: Load) -> None:
    found = load("providers: {x: {provider: vllm, base_url: 'http://x', proxy: none}}").endpoints["x"]
    assert (found.egress.http_proxy, found.egress.https_proxy) == (None, None)
