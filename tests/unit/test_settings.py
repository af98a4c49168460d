"""Settings: what the environment says, what it may not say, and which providers that makes."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from genai_spine import settings
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Timeouts
from genai_spine.providers.http.egress import Egress
from genai_spine.routing.router import Alias, Member
from genai_spine.settings import Settings
from genai_spine.symbols.question import JobRules
from genai_spine.v1 import routing_pb2
from tests.upstreams.proxy import CERTIFICATE


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of the machine that runs the tests, and no .env of its folder."""
    monkeypatch.chdir(tmp_path)
    names = [*(f"{name.upper()}_API_KEY" for name in PROVIDERS), *settings.WITHOUT_PREFIX]
    for name in settings.os.environ.copy():
        if name.startswith(("GENAI_", "AWS_")) or name in names or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def loaded(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return settings.load()


class TestValues:
    def test_defaults_listen_on_loopback_only(self) -> None:
        found = settings.load()
        assert (found.api_host, found.api_port, found.grpc_host) == ("127.0.0.1", 8100, "127.0.0.1")
        assert (found.lane, found.provider_retries, found.default_provider) == ("cpu", 3, "ollama")
        assert found.database == "sqlite:///data/genai_spine.db"

    def test_variables_win_over_the_file_and_options_over_both(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / ".env").write_text(
            "GENAI_LANE=gpu\nGENAI_API_PORT=1\nGENAI_GRPC_PORT=1\nGENAI_X=ignored\n"
        )
        monkeypatch.setenv("GENAI_API_PORT", "2")
        monkeypatch.setenv("GENAI_GRPC_PORT", "2")
        found = settings.load(grpc_port=3, lane=None)
        assert (found.lane, found.api_port, found.grpc_port) == ("gpu", 2, 3)

    def test_an_empty_variable_is_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = loaded(monkeypatch, GENAI_TOTAL_TIMEOUT="", GENAI_API_PORT="", GENAI_OPENAI_API_KEY="")
        assert (found.total_timeout, found.api_port) == (None, 8100)
        assert "openai" not in found.endpoints

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("API_PORT", "70000"),
            ("API_PORT", "http"),
            ("LANE", "tpu"),
            ("PROVIDER_RETRIES", "-1"),
            ("CONNECT_TIMEOUT", "0"),
            ("TOKEN_TIMEOUT", "nan"),
            ("PROCESSES", "0"),
            ("HEALTH_TIMEOUT", "0.5"),
            ("HEALTH_TIMEOUT", "inf"),
            ("AUTH", "on"),
            ("API_HOST", "0.0.0.0"),
            ("GRPC_HOST", "::"),
            ("MODEL_ALIASES", "fast"),
            ("MODEL_ALIASES", "=openai:x"),
            ("MODEL_ALIASES", "{broken"),
            ("STORAGE_BACKEND", "mongo"),
            ("CORS_ORIGINS", "app.example.com"),
            ("CORS_ORIGINS", "https://a.example,null"),
        ],
    )
    def test_what_cannot_be_is_refused_by_its_name(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        with pytest.raises((ValidationError, ValueError), match=rf"(?i){name}"):
            loaded(monkeypatch, **{f"GENAI_{name}": value})

    def test_listening_beyond_the_machine_is_allowed_on_purpose(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = loaded(monkeypatch, GENAI_API_HOST="0.0.0.0", GENAI_AUTH="off")
        assert found.api_host == "0.0.0.0"

    def test_origins_are_a_list_and_none_by_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert settings.load().cors_origins == ()
        found = loaded(monkeypatch, GENAI_CORS_ORIGINS=" https://A.example, http://b.example:3000,,* ")
        assert found.cors_origins == ("https://a.example", "http://b.example:3000", "*")

    @pytest.mark.parametrize(
        "text",
        [
            "fast=openai:gpt-4o-mini, local = ollama:llama3.2,",
            '{"fast":"openai:gpt-4o-mini","local":"ollama:llama3.2"}',
        ],
    )
    def test_aliases_are_pairs_or_json(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        found = loaded(monkeypatch, GENAI_MODEL_ALIASES=text)
        assert found.model_aliases == {
            "fast": Alias((Member("openai:gpt-4o-mini"),)),
            "local": Alias((Member("ollama:llama3.2"),)),
        }

    def test_an_alias_can_be_several_models_with_weights_and_a_strategy(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = """{"a": "x|y", "b": ["x", {"model": "y", "weight": 3}],
                   "c": {"models": ["x"], "strategy": "round_robin"}}"""
        found = loaded(monkeypatch, GENAI_MODEL_ALIASES=text).model_aliases
        assert found["a"] == Alias((Member("x"), Member("y")))
        assert found["b"] == Alias((Member("x"), Member("y", 3.0)))
        assert found["c"] == Alias((Member("x"),), routing_pb2.ROUTING_STRATEGY_ROUND_ROBIN)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ('{"a": []}', "a: needs at least one model"),
            ('{"a": {"models": ["x"], "strategy": "best"}}', "strategy 'best' is not one of order, weighted"),
            ('{"a": [{"model": "x", "weight": 0}]}', "the weight of x must be a number above 0"),
            ('{"a": [{"weight": 1}]}', "a: a model is a name"),
        ],
    )
    def test_an_alias_that_makes_no_sense_is_refused(
        self, monkeypatch: pytest.MonkeyPatch, text: str, said: str
    ) -> None:
        with pytest.raises(ValueError, match=re.escape(said)):
            loaded(monkeypatch, GENAI_MODEL_ALIASES=text)


class TestSymbols:
    def test_defaults_are_those_of_the_contract(self) -> None:
        found = settings.load()
        assert found.symbols == JobRules("gpt-5-nano", 10, 3, 1.0, 60.0, 2000)
        assert found.symbols_address is None
        assert found.own_price is None

    @pytest.mark.parametrize("prefix", ["GENAI_", ""])
    def test_both_names_of_a_variable_are_read(self, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
        given = {"MODEL_NAME": "gpt-4o-mini", "MAX_CONCURRENT_REQUESTS": "4", "MAX_RETRIES": "5"}
        given |= {"RETRY_MIN_WAIT": "0.5", "RETRY_MAX_WAIT": "7", "MAX_PROMPT_TOKENS": "500"}
        given |= {"HOST": "::1", "PORT": "8003", "INPUT_TOKEN_PRICE": "0.15"}
        given |= {"OUTPUT_TOKEN_PRICE": "0.60"}
        assert given.keys() == set(settings.WITHOUT_PREFIX)
        found = loaded(monkeypatch, **{f"{prefix}{name}": value for name, value in given.items()})
        assert found.symbols == JobRules("gpt-4o-mini", 4, 5, 0.5, 7.0, 500)
        assert found.symbols_address == ("::1", 8003)
        assert found.own_price == ("openai", "gpt-4o-mini", Decimal("0.15"), Decimal("0.60"))

    def test_the_name_with_the_prefix_wins_and_options_win_over_both(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = loaded(monkeypatch, MAX_RETRIES="5", GENAI_MAX_RETRIES="6", MODEL_NAME="a")
        assert (found.max_retries, found.model_name) == (6, "a")
        assert settings.load(max_retries=7, model_name="b").symbols == JobRules("b", attempts=7)

    def test_names_without_prefix_are_read_from_the_file_too(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("PORT=8003\nMODEL_NAME=\n")
        found = settings.load()
        assert found.symbols_address == ("127.0.0.1", 8003)
        assert found.model_name == "gpt-5-nano"

    def test_host_alone_means_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert loaded(monkeypatch, HOST="workstation").symbols_address is None

    def test_listening_beyond_the_machine_is_refused_there_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ValueError, match=r"GENAI_HOST=0\.0\.0\.0 listens beyond this machine"):
            loaded(monkeypatch, HOST="0.0.0.0", PORT="8003")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *(("MAX_CONCURRENT_REQUESTS", "0"), ("MAX_RETRIES", "0"), ("RETRY_MIN_WAIT", "-1")),
            *(("RETRY_MAX_WAIT", "inf"), ("MAX_PROMPT_TOKENS", "99"), ("INPUT_TOKEN_PRICE", "-0.1")),
            *(("OUTPUT_TOKEN_PRICE", "nan"), ("PORT", "65536")),
        ],
    )
    def test_values_that_make_no_sense_are_refused(
        self, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        with pytest.raises(ValueError, match=name.lower()):
            loaded(monkeypatch, **{name: value})

    def test_price_of_an_alias_is_that_of_its_model(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = loaded(
            monkeypatch,
            MODEL_NAME="fast",
            GENAI_MODEL_ALIASES="fast=groq:llama-3.1-8b-instant",
            INPUT_TOKEN_PRICE="1",
        )
        assert found.own_price == ("groq", "llama-3.1-8b-instant", Decimal(1), None)


class TestKeys:
    def test_several_keys_are_a_pool(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = loaded(monkeypatch, GENAI_OPENAI_API_KEY="a, b,c", GENAI_OPENAI_MAX_CONCURRENCY="7")
        endpoint = found.endpoints["openai"]
        assert (endpoint.api_key, endpoint.more_keys, endpoint.max_concurrency) == ("a", ("b", "c"), 7)

    def test_a_limit_that_is_none_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ValueError, match="GENAI_OPENAI_MAX_CONCURRENCY=0 is no whole number above 0"):
            loaded(monkeypatch, GENAI_OPENAI_API_KEY="a", GENAI_OPENAI_MAX_CONCURRENCY="0")


class TestDatabase:
    @pytest.mark.parametrize(
        ("variables", "url"),
        [
            ({"GENAI_DATABASE_URL": "postgresql://u:p@h/d"}, "postgresql://u:p@h/d"),
            ({"GENAI_STORAGE_BACKEND": "memory"}, "sqlite://"),
            ({"GENAI_SQLITE_PATH": "/tmp/x.db"}, "sqlite:////tmp/x.db"),
        ],
    )
    def test_the_url_comes_from_what_is_set(
        self, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str
    ) -> None:
        assert loaded(monkeypatch, **variables).database == url

    def test_postgres_needs_its_url(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ValueError, match="GENAI_DATABASE_URL"):
            _ = loaded(monkeypatch, GENAI_STORAGE_BACKEND="postgres").database

    def test_its_password_is_not_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = loaded(monkeypatch, GENAI_DATABASE_URL="postgresql://u:secret@h/d")
        assert "secret" not in repr(found)


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


class TestStoredCompletions:
    def test_are_kept_for_thirty_days(self) -> None:
        assert settings.load().stored_completions_days == 30

    @pytest.mark.parametrize("days", ["0", "3651", "ten"])
    def test_days_have_limits(self, monkeypatch: pytest.MonkeyPatch, days: str) -> None:
        with pytest.raises(ValidationError, match="stored_completions_days"):
            loaded(monkeypatch, GENAI_STORED_COMPLETIONS_DAYS=days)


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


class TestCache:
    def test_is_off_and_in_memory_by_default(self) -> None:
        found = settings.load()
        assert (found.cache_enabled, found.cache_ttl, found.cache_backend) == (False, 3600, "memory")
        assert (found.cache_memory_mb, found.stored_completion_ttl) == (64, 86400)

    def test_variables_turn_it_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        found = loaded(
            monkeypatch, GENAI_CACHE_ENABLED="true", GENAI_CACHE_TTL="60", GENAI_CACHE_BACKEND="database"
        )
        assert (found.cache_enabled, found.cache_ttl, found.cache_backend) == (True, 60, "database")

    def test_redis_is_refused_with_what_to_use_instead(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(ValidationError, match="no Redis; `database`"):
            loaded(monkeypatch, GENAI_CACHE_BACKEND="redis")
