"""What the configuration is read from: a file, or the snapshot of one that the supervisor wrote."""

import os
from pathlib import Path

import pytest

from genai_spine.configuration import loader
from genai_spine.configuration.document import ConfigurationError
from genai_spine.configuration.source import SNAPSHOT, Source
from tests.unit.configuration.conftest import Load


def test_a_snapshot_is_read_in_place_of_the_file(
    load: Load, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare / "key").write_text("sk-1")
    load("providers: {openai: {api_key: 'file:key'}}")
    snapshot = bare / "elsewhere" / "snapshot.json"
    snapshot.parent.mkdir()
    Source.current().write_snapshot(snapshot, {"default_model": "gpt-4o", "drain_delay": 0.0})
    (bare / "genai.yaml").write_text("{broken")
    monkeypatch.setenv(SNAPSHOT, str(snapshot))
    monkeypatch.chdir(snapshot.parent)
    found = loader.load(api_port=5).settings
    assert (found.api_port, found.default_model, found.drain_delay) == (5, "gpt-4o", 0.0)
    assert found.endpoints["openai"].api_key == "sk-1"  # beside the file, wherever the process runs


def test_a_snapshot_of_no_file_has_its_overrides(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Source.current().write_snapshot(bare / "s.json", {"default_provider": "builtin"})
    (bare / "genai.yaml").write_text("settings: {api_port: 5}")
    monkeypatch.setenv(SNAPSHOT, str(bare / "s.json"))
    found = loader.load().settings
    assert (found.api_port, found.default_provider) == (8100, "builtin")


def test_overrides_of_a_snapshot_are_no_conflict_with_the_file(
    load: Load, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load("settings: {default_provider: ollama}")
    Source.current().write_snapshot(bare / "s.json", {"default_provider": "builtin"})
    monkeypatch.setenv(SNAPSHOT, str(bare / "s.json"))
    assert loader.load().settings.default_provider == "builtin"


def test_only_this_user_may_read_a_snapshot_and_each_is_a_file_of_its_own(bare: Path) -> None:
    path = bare / "s.json"
    Source.current().write_snapshot(path, {})
    first = path.stat()
    Source.current().write_snapshot(path, {})
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_ino != first.st_ino or path.stat().st_mtime_ns != first.st_mtime_ns
    assert os.listdir(bare) == ["s.json"]


def test_a_snapshot_that_is_gone_is_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SNAPSHOT, str(bare / "none.json"))
    with pytest.raises(ConfigurationError, match=r"none\.json: cannot be read"):
        loader.load()


def test_a_file_is_named_as_the_reader_would_write_it(bare: Path) -> None:
    (bare / "genai.yaml").write_text("")
    assert Source.current().name == "genai.yaml"
    assert Source.of(Path("/") / "etc" / "hostname").name == "/etc/hostname"
