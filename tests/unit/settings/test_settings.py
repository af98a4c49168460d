"""Settings: what the environment says, and what it may not say."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from genai_spine import settings
from tests.unit.settings.conftest import loaded


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
        found = loaded(monkeypatch, GENAI_DATABASE_URL="postgresql://u:sesame@h/d")
        assert "sesame" not in repr(found)


class TestStoredCompletions:
    def test_are_kept_for_thirty_days(self) -> None:
        assert settings.load().stored_completions_days == 30

    @pytest.mark.parametrize("days", ["0", "3651", "ten"])
    def test_days_have_limits(self, monkeypatch: pytest.MonkeyPatch, days: str) -> None:
        with pytest.raises(ValidationError, match="stored_completions_days"):
            loaded(monkeypatch, GENAI_STORED_COMPLETIONS_DAYS=days)


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


class TestLaneLimits:
    @pytest.mark.parametrize("given", ["gpu=2, batch=16", '{"gpu": 2, "batch": 16}'])
    def test_are_pairs_or_json(self, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
        monkeypatch.setenv("GENAI_RUN_LANE_LIMITS", given)
        assert settings.load().run_lane_limits == {"gpu": 2, "batch": 16}

    def test_of_providers_are_written_alike(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GENAI_RUN_PROVIDER_LIMITS", "openai=20, my_own=2")
        assert settings.load().run_provider_limits == {"openai": 20, "my_own": 2}
        for given in ("openai", "openai=0", "=1"):
            monkeypatch.setenv("GENAI_RUN_PROVIDER_LIMITS", given)
            with pytest.raises(ValidationError, match=r"provider=number|the least is 1"):
                settings.load()

    @pytest.mark.parametrize(
        ("given", "problem"), [("gpu", "lane=number"), ("gpu=0", "the least is 1"), ("G P=1", "is no lane")]
    )
    def test_that_cannot_be_are_refused(
        self, monkeypatch: pytest.MonkeyPatch, given: str, problem: str
    ) -> None:
        monkeypatch.setenv("GENAI_RUN_LANE_LIMITS", given)
        with pytest.raises(ValidationError, match=problem):
            settings.load()
