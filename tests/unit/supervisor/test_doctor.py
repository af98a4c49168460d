"""What doctor finds it says without a password, and it leaves nothing behind."""

import os
from pathlib import Path

import pytest

from genai_spine.settings import load
from genai_spine.store import schema
from genai_spine.supervisor import doctor


async def test_database_that_is_not_there_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    [found] = await doctor._database(load())
    assert (found.state, found.text) == (
        "broken",
        "data/genai_spine.db is not there; run `genai-spine migrate`",
    )
    assert os.listdir(tmp_path) == []


async def test_database_that_others_may_read_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load()
    await schema.upgrade(settings.database)
    [found] = await doctor._database(settings)
    assert found.state == "ok"
    (tmp_path / "data" / "genai_spine.db").chmod(0o644)
    [found] = await doctor._database(settings)
    assert found.state == "warning"
    assert "chmod 600 data/genai_spine.db*" in found.text


async def test_password_in_an_address_is_not_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENAI_OLLAMA_URL", "http://user:hunter2@127.0.0.1:1")
    found = await doctor.examine(load())
    text = " ".join(one.text for one in found)
    assert "http://***@127.0.0.1:1" in text
    assert "hunter2" not in text
