"""Secrets in files: every secret setting has a _FILE, and an error names the variable, never the secret."""

import hashlib
from pathlib import Path

import pytest

from genai_spine import settings
from genai_spine.settings.secret_files import secret_settings, secret_variables
from tests.unit.settings.conftest import loaded


def word(name: str) -> str:
    """A secret of its own for each variable, which has the form of a key of 32 bytes."""
    return hashlib.sha256(name.encode()).hexdigest()


@pytest.mark.parametrize(
    "name", [name for name in secret_settings() if f"{name}_file" not in settings.Settings.model_fields]
)
def test_each_secret_setting_is_read_from_its_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "secret").write_text(word(name) + "\n")
    found = loaded(monkeypatch, **{f"GENAI_{name.upper()}_FILE": "secret"})
    assert getattr(found, name).get_secret_value() == word(name)
    assert word(name) not in repr(found)


def test_keys_of_providers_are_secrets_that_stand_in_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "one").write_text("sk-one,sk-two\r\n")
    (tmp_path / "two").write_text("sk-ant")
    found = loaded(monkeypatch, GENAI_OPENAI_API_KEY_FILE="one", ANTHROPIC_API_KEY_FILE="two")
    openai, anthropic = found.endpoints["openai"], found.endpoints["anthropic"]
    assert (openai.api_key, openai.more_keys, anthropic.api_key) == ("sk-one", ("sk-two",), "sk-ant")
    assert {"GENAI_AZURE_CLIENT_SECRET", "GENAI_OPENAI_PROXY", "GENAI_DATABASE_URL"} <= secret_variables()


def test_both_set_is_an_error_that_names_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "one").write_text("sk-in-the-file")
    with pytest.raises(ValueError, match="are both set") as caught:
        loaded(monkeypatch, GENAI_OPENAI_API_KEY="sk-given", GENAI_OPENAI_API_KEY_FILE="one")
    assert "GENAI_OPENAI_API_KEY and GENAI_OPENAI_API_KEY_FILE" in str(caught.value)
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff", "UTF-8"),
        (b"x" * 70_000, "more"),
    ],
)
def test_a_file_that_is_no_secret_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ValueError, match=problem) as caught:
        loaded(monkeypatch, GENAI_DATABASE_URL_FILE="secret")
    assert str(caught.value).startswith("GENAI_DATABASE_URL_FILE: secret: ")


def test_the_databases_password_stands_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "word").write_text("p@ss/w:rd\n")
    monkeypatch.setenv("GENAI_DATABASE_PASSWORD_FILE", "word")
    found = loaded(monkeypatch, GENAI_DATABASE_URL="postgresql://genai@db/genai")
    assert found.database == "postgresql://genai:p%40ss%2Fw%3Ard@db/genai"
    for url, problem in (
        ("postgresql://a:b@db/x", "has a password, too"),
        ("sqlite:///x.db", "names no user"),
    ):
        with pytest.raises(ValueError, match=problem):
            _ = loaded(monkeypatch, GENAI_DATABASE_URL=url).database


def test_what_a_file_says_is_named_as_the_file_where_it_conflicts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text("sqlite:///x.db")
    monkeypatch.setenv("GENAI_DATABASE_URL_FILE", "url")
    assert settings.variables_of("database_url", settings.environment()) == ["GENAI_DATABASE_URL_FILE"]
