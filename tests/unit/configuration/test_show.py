"""What is in force, printed: all of it, and no secret."""

import json
from pathlib import Path

import pytest

from genai_spine.configuration import loader, show
from tests.unit.configuration.conftest import Load

SECRETS = """
settings:
  database_url: postgresql://genai:dbword@db/genai
  budget_webhook_url: https://hooks.slack.com/services/hookword
  budget_webhook_secret: "://signword@"
providers:
  openai:
    api_keys: [sk-one, sk-two]
    headers: {x-api-token: header-word}
    proxy: http://me:proxyword@proxy:3128
    base_url: https://me:urlword@api.openai.com/v1?api-key=queryword&x=1
  azure:
    base_url: https://x.openai.azure.com
    tenant_id: tenant
    client_id: client
    client_secret: clientword
    token_command: az --password commandword
  big:
    provider: vllm
    base_urls: [http://a:1/v1, http://b:1/v1]
    lane: cpu
    models:
      m: {options: {temperature: 0.5, reasoning_effort: low}, context_length: 5, price: {input: 1}}
aliases:
  mix: {models: [{model: "a:b", weight: 3}, "c:d"], strategy: weighted}
fallbacks: {m: [openai], "*": [builtin]}
"""


def test_no_secret_is_shown(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    load(SECRETS)
    text = json.dumps(show.effective(loader.load()))
    for word in (
        "sk-",
        "dbword",
        "hookword",
        "signword",
        "header-word",
        "proxyword",
        "urlword",
        "queryword",
        "clientword",
        "commandword",
    ):
        assert word not in text, word
    assert "postgresql://genai:***@db/genai" in text
    assert "https://me:***@api.openai.com/v1?api-key=***&x=1" in text
    assert "http://me:***@proxy:3128" in text


def test_all_that_was_said_is_shown(load: Load) -> None:
    load(SECRETS)
    found = show.effective(loader.load())
    assert found["file"] == "genai.yaml"
    big = found["providers"]["big"]
    assert big["base_urls"] == ["http://a:1/v1", "http://b:1/v1"]
    assert big["models"]["m"]["options"] == {
        "temperature": 0.5,
        "reasoning_effort": "REASONING_EFFORT_LOW",
    }
    assert found["providers"]["openai"]["api_keys"] == ["***", "***"]
    assert found["aliases"]["mix"] == {
        "models": [{"model": "a:b", "weight": 3.0}, "c:d"],
        "strategy": "weighted",
    }
    assert found["fallbacks"] == {"m": ["openai"], "*": ["builtin"]}
    assert found["prices"] == [{"provider": "big", "model": "m", "input": "1"}]


def test_without_a_file_the_environment_is_shown(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_DATABASE_URL", "sqlite:////data/x.db")
    found = show.effective(loader.load())
    assert found["file"] is None
    assert found["settings"]["database_url"] == "sqlite:////data/x.db"
    assert set(found["providers"]) == {"ollama", "builtin"}
