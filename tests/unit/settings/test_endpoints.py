"""Endpoints: which providers the variables make, with which keys, limits and ways out."""

from pathlib import Path
from typing import Any

import pytest

from genai_spine import settings
from genai_spine.providers.base import Timeouts
from genai_spine.providers.http.egress import Egress
from tests.unit.settings.conftest import loaded
from tests.upstreams.proxy import CERTIFICATE


class TestKeys:
    def test_several_keys_are_a_pool(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = loaded(monkeypatch, GENAI_OPENAI_API_KEY="a, b,c", GENAI_OPENAI_MAX_CONCURRENCY="7")
        endpoint = found.endpoints["openai"]
        assert (endpoint.api_key, endpoint.more_keys, endpoint.max_concurrency) == ("a", ("b", "c"), 7)

    def test_a_limit_that_is_none_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ValueError, match="GENAI_OPENAI_MAX_CONCURRENCY=0 is no whole number above 0"):
            loaded(monkeypatch, GENAI_OPENAI_API_KEY="a", GENAI_OPENAI_MAX_CONCURRENCY="0")


class TestEndpoints:
    def test_without_keys_only_what_needs_none_is_there(self) -> None:
        assert set(settings.load().endpoints) == {"ollama", "builtin"}

    def test_a_key_makes_a_provider(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = loaded(monkeypatch, GENAI_OPENAI_API_KEY="sk-1", GROQ_API_KEY="gsk-2").endpoints
        assert (found["openai"].api_key, found["openai"].base_url) == ("sk-1", "https://api.openai.com/v1")
        assert found["openai"].default_model == "gpt-4o-mini"
        assert (found["groq"].api_key, found["groq"].default_model) == ("gsk-2", "llama-3.3-70b-versatile")

    def test_a_url_makes_a_provider_that_needs_no_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = loaded(monkeypatch, GENAI_VLLM_BASE_URL="http://gpu:8000/v1").endpoints
        assert found["vllm"].base_url == "http://gpu:8000/v1"
        assert found["vllm"].api_key is None

    def test_azure_needs_both(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "azure" not in loaded(monkeypatch, GENAI_AZURE_API_KEY="k").endpoints
        assert "azure" in loaded(monkeypatch, GENAI_AZURE_BASE_URL="https://x/openai/v1").endpoints

    @pytest.mark.parametrize(
        ("variables", "implicit"),
        [
            ({"GENAI_BEDROCK_API_KEY": "k"}, False),
            ({"AWS_BEARER_TOKEN_BEDROCK": "k"}, False),
            ({"GENAI_BEDROCK_REGION": "eu-central-1"}, False),
            ({"GENAI_BEDROCK_BASE_URL": "https://vpce.example"}, False),
            ({"AWS_ACCESS_KEY_ID": "AKID"}, True),
            ({"AWS_PROFILE": "work"}, True),
            ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/token"}, True),
            ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2"}, True),
            ({"AWS_PROFILE": "work", "GENAI_DEFAULT_PROVIDER": "bedrock"}, False),
        ],
    )
    def test_bedrock_is_on_with_a_key_a_place_or_credentials(
        self, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], implicit: bool
    ) -> None:
        """Credentials that are there for something else make it no part of what must work."""
        found = loaded(monkeypatch, **variables).endpoints["bedrock"]
        assert found.implicit is implicit
        assert found.api_key == ("k" if "k" in variables.values() else None)
        assert found.further == ({"region": "eu-central-1"} if "GENAI_BEDROCK_REGION" in variables else {})

    def test_bedrocks_own_key_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        variables = {"GENAI_BEDROCK_API_KEY": "ours", "AWS_BEARER_TOKEN_BEDROCK": "theirs"}
        assert loaded(monkeypatch, **variables).endpoints["bedrock"].api_key == "ours"

    @pytest.mark.parametrize("name", ["AWS_REGION", "AWS_SECRET_ACCESS_KEY", "GENAI_BEDROCK_DEFAULT_MODEL"])
    def test_nothing_that_signs_makes_no_bedrock(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        assert "bedrock" not in loaded(monkeypatch, **{name: "x"}).endpoints

    def test_credentials_in_the_file_do_not_count(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """AWS's own tools do not read it, so they would find none."""
        (tmp_path / ".env").write_text("AWS_ACCESS_KEY_ID=AKID\n")
        assert "bedrock" not in loaded(monkeypatch).endpoints

    @pytest.mark.parametrize(
        "credentials",
        [
            {"GENAI_AZURE_TOKEN_COMMAND": "az account get-access-token"},
            {f"GENAI_AZURE_{name}": "x" for name in ("TENANT_ID", "CLIENT_ID", "CLIENT_SECRET")},
        ],
    )
    def test_entras_credentials_stand_in_for_azures_key(
        self, monkeypatch: pytest.MonkeyPatch, credentials: dict[str, str]
    ) -> None:
        url = "https://x.openai.azure.com"
        assert "azure" not in loaded(monkeypatch, **credentials).endpoints
        found = loaded(monkeypatch, GENAI_AZURE_BASE_URL=url, GENAI_AZURE_API_VERSION="2024-10-21").endpoints
        assert found["azure"].api_key is None
        names = {name.removeprefix("GENAI_AZURE_").lower() for name in credentials}
        assert set(found["azure"].further) == {"api_version", *names}
        monkeypatch.delenv(next(iter(credentials)))
        assert "azure" not in settings.load().endpoints

    def test_everything_of_an_endpoint_can_be_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = loaded(
            monkeypatch,
            GENAI_OLLAMA_URL="http://box:11434",
            GENAI_OLLAMA_DEFAULT_MODEL="qwen3:8b",
            GENAI_OLLAMA_DEFAULT_EMBEDDING_MODEL="bge",
            GENAI_OLLAMA_TIMEOUT="300",
            GENAI_CONNECT_TIMEOUT="2",
            GENAI_TOKEN_TIMEOUT="30",
            GENAI_TOTAL_TIMEOUT="900",
        ).endpoints["ollama"]
        assert (found.base_url, found.default_model, found.default_embedding_model) == (
            "http://box:11434",
            "qwen3:8b",
            "bge",
        )
        assert found.timeouts == Timeouts(connect_s=2, first_token_s=300, between_tokens_s=30, total_s=900)

    def test_an_answer_has_the_time_that_sdks_give_unless_the_operator_says_less(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = loaded(monkeypatch, GENAI_OPENAI_API_KEY="k", GENAI_GROQ_API_KEY="k", GENAI_GROQ_TIMEOUT="30")
        usual = {name: found.endpoints[name].timeouts for name in ("openai", "ollama", "groq")}
        assert {name: each.first_token_s for name, each in usual.items()} == {
            "openai": 600,
            "ollama": 600,
            "groq": 30,
        }
        assert [usual[name].are_callers for name in ("openai", "groq")] == [True, False]

    def test_models_of_images_and_sound_can_be_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = loaded(
            monkeypatch,
            OPENAI_API_KEY="k",
            GENAI_OPENAI_DEFAULT_SPEECH_MODEL="tts-1",
            GROQ_API_KEY="k",
            GENAI_GROQ_DEFAULT_TRANSCRIPTION_MODEL="whisper-large-v3",
        ).endpoints
        assert found["openai"].default_media_models == {
            "image": "gpt-image-1",
            "transcription": "gpt-4o-mini-transcribe",
            "speech": "tts-1",
        }
        assert found["groq"].default_media_models == {"transcription": "whisper-large-v3"}

    @pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf"])
    def test_a_timeout_that_is_none_is_refused_by_its_name(
        self, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        with pytest.raises(ValueError, match="GENAI_OLLAMA_TIMEOUT"):
            loaded(monkeypatch, GENAI_OLLAMA_TIMEOUT=value)

    def test_keys_can_stand_in_the_file(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("GENAI_OPENAI_API_KEY=sk-file\n")
        found: Any = settings.load().endpoints["openai"]
        assert found.api_key == "sk-file"

    def test_a_provider_that_nobody_asked_for_is_not_missed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not settings.load().endpoints["ollama"].implicit, "it is the default provider"
        found = loaded(monkeypatch, GENAI_DEFAULT_PROVIDER="openai", GENAI_OPENAI_API_KEY="k").endpoints
        assert found["ollama"].implicit
        assert not found["openai"].implicit
        assert not found["builtin"].implicit
        asked = loaded(monkeypatch, GENAI_OLLAMA_URL="http://box:11434").endpoints
        assert not asked["ollama"].implicit


class TestEgress:
    def test_every_provider_goes_by_the_proxies_of_the_environment(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = loaded(
            monkeypatch,
            OPENAI_API_KEY="k",
            HTTPS_PROXY="http://a:1",
            http_proxy="http://b:2",
            NO_PROXY="c.test",
            GENAI_CA_FILE=str(CERTIFICATE),
        ).endpoints
        for name in ("openai", "ollama"):
            assert found[name].egress == Egress("http://b:2", "http://a:1", "c.test", CERTIFICATE)

    def test_provider_may_have_its_own_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = loaded(
            monkeypatch,
            OPENAI_API_KEY="k",
            ANTHROPIC_API_KEY="k",
            GROQ_API_KEY="k",
            HTTPS_PROXY="http://a:1",
            GENAI_OPENAI_PROXY="http://own:3",
            GENAI_OPENAI_CA_FILE=str(CERTIFICATE),
            GENAI_OPENAI_CLIENT_CERTIFICATE=str(CERTIFICATE),
            GENAI_OPENAI_CLIENT_KEY=str(CERTIFICATE),
            GENAI_GROQ_PROXY="none",
        ).endpoints
        own = "http://own:3"
        assert found["openai"].egress == Egress(own, own, "", CERTIFICATE, CERTIFICATE, CERTIFICATE)
        assert found["anthropic"].egress == Egress(None, "http://a:1")
        assert found["groq"].egress == Egress()

    def test_proxies_can_stand_in_the_file(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("OPENAI_API_KEY=k\nHTTPS_PROXY=http://a:1\n")
        assert settings.load().endpoints["openai"].egress.https_proxy == "http://a:1"

    @pytest.mark.parametrize(
        ("name", "value", "problem"),
        [
            ("HTTPS_PROXY", "socks5://u:secret@a:1", "HTTPS_PROXY or ALL_PROXY: .*socks5:// is not"),
            ("all_proxy", "socks5h://u:secret@a", "HTTPS_PROXY or ALL_PROXY: .*socks5h:// is not"),
            ("GENAI_OPENAI_PROXY", "http://u:secret@a:port", "GENAI_OPENAI_PROXY: not the URL of a proxy"),
            ("GENAI_CA_FILE", "/nowhere/secret-less.pem", "GENAI_CA_FILE or .*: /nowhere/.*: No such file"),
            ("GENAI_OPENAI_CLIENT_KEY", __file__, "one of GENAI_OPENAI_.*: a key without its certificate"),
        ],
    )
    def test_what_cannot_work_is_refused_by_name(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
    ) -> None:
        with pytest.raises(ValueError, match=problem) as caught:
            loaded(monkeypatch, OPENAI_API_KEY="k", **{name: value})
        assert "secret@" not in str(caught.value)

    def test_proxy_that_nobody_needs_is_not_looked_at(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "ollama" in loaded(monkeypatch, ALL_PROXY="socks5://a:1").endpoints  # it is on this machine
