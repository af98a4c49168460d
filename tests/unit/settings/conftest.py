"""No variable of the machine that runs the tests, and no .env of its folder."""

import os
from pathlib import Path

import pytest

from genai_spine import settings
from genai_spine.providers import PROVIDERS
from genai_spine.settings import Settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of the machine that runs the tests, and no .env of its folder."""
    monkeypatch.chdir(tmp_path)
    names = [*(f"{name.upper()}_API_KEY" for name in PROVIDERS), *settings.WITHOUT_PREFIX]
    for name in os.environ.copy():
        if name.startswith(("GENAI_", "AWS_")) or name in names or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def loaded(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    """Settings of an environment with these variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return settings.load()
