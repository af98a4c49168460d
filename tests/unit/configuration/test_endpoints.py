"""Sections of genai.yaml as endpoints."""

import shutil
from pathlib import Path

import pytest

from genai_spine.configuration.endpoints import COMPATIBLE, OPTIONS, PROTOCOLS
from genai_spine.providers import PROVIDERS
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
