"""A folder with nothing in it, and no variable of the machine that runs the tests."""

import os
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from genai_spine.configuration import loader
from genai_spine.configuration.document import ConfigurationError
from genai_spine.providers import PROVIDERS
from genai_spine.settings import WITHOUT_PREFIX, Settings

Load = Callable[[str], Settings]
Faults = Callable[[str], list[str]]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The working directory of the test."""
    monkeypatch.chdir(tmp_path)
    keys = {f"{name.upper()}_API_KEY" for name in PROVIDERS}
    for name in list(os.environ):
        if name.startswith(("GENAI_", "AWS_")) or name in keys or name in WITHOUT_PREFIX:
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def load(bare: Path) -> Load:
    """Settings of a genai.yaml with this text."""

    def loaded(text: str) -> Settings:
        (bare / "genai.yaml").write_text(dedent(text))
        return loader.load().settings

    return loaded


@pytest.fixture
def faults(load: Load) -> Faults:
    """Messages of what is wrong with a text."""

    def found(text: str) -> list[str]:
        with pytest.raises(ConfigurationError) as caught:
            load(text)
        return str(caught.value).splitlines()

    return found
