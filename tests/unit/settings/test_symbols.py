"""Settings of the documentation of symbols, with the prefix and without."""

from decimal import Decimal
from pathlib import Path

import pytest

from genai_spine import settings
from genai_spine.symbols.question import JobRules
from tests.unit.settings.conftest import loaded


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
