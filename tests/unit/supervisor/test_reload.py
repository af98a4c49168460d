"""Reload of a supervisor: checked first, handed to every server, taken back when one of them refuses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from genai_spine.configuration import loader
from genai_spine.settings import Settings
from genai_spine.supervisor.reload import Reloader


@dataclass
class Server:
    """Server process that notes what it is told, and refuses what the test says."""

    snapshot: Path
    refuses: str = ""
    aliases: list[str] = field(default_factory=list)

    async def reload(self) -> str | None:
        text = json.loads(self.snapshot.read_bytes())["text"]
        if self.refuses and self.refuses in text:
            return f"no {self.refuses}"
        self.aliases.append(text)
        return None


async def overrides(settings: Settings) -> Mapping[str, Any]:
    return {"default_model": f"model of {settings.default_provider}"}


def write(text: str) -> None:
    Path("genai.yaml").write_text(text)


@pytest.fixture
async def reloader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reloader:
    monkeypatch.chdir(tmp_path)
    write("aliases: {a: first}")
    found = Reloader(loader.load(), tmp_path / "snapshot", overrides)
    found.start({})
    found.servers = [Server(found.snapshot), Server(found.snapshot)]  # type: ignore[list-item]  # as far as used
    return found


def told(reloader: Reloader) -> list[list[str]]:
    return [server.aliases for server in reloader.servers]  # type: ignore[attr-defined]


async def test_every_server_gets_the_same_copy(reloader: Reloader) -> None:
    write("aliases: {a: second}\nsettings: {default_provider: builtin}")
    outcome = await reloader.reload()
    assert (outcome.refused, outcome.processes, outcome.needs_restart) == (None, 2, [])
    assert told(reloader) == [["aliases: {a: second}\nsettings: {default_provider: builtin}"]] * 2
    assert json.loads(reloader.snapshot.read_bytes())["overrides"] == {"default_model": "model of builtin"}


async def test_one_bad_line_reaches_no_server(reloader: Reloader) -> None:
    before = reloader.snapshot.read_bytes()
    write("aliases: {a: []}")
    outcome = await reloader.reload()
    assert outcome.refused == "genai.yaml:1: aliases.a: needs at least one model"
    assert told(reloader) == [[], []]
    assert reloader.snapshot.read_bytes() == before


async def test_what_one_server_refuses_is_taken_back_from_the_others(reloader: Reloader) -> None:
    before = reloader.snapshot.read_bytes()
    reloader.servers[1].refuses = "second"  # type: ignore[attr-defined]
    write("aliases: {a: second}")
    outcome = await reloader.reload()
    assert outcome.refused == "no second"
    assert told(reloader) == [["aliases: {a: second}", "aliases: {a: first}"], ["aliases: {a: first}"]]
    assert reloader.snapshot.read_bytes() == before
    assert "a" in reloader.configuration.settings.model_aliases


async def test_what_needs_a_restart_is_named_until_it_comes(reloader: Reloader) -> None:
    write("settings: {api_port: 1, lane: gpu, database_url: 'sqlite:///x'}")
    for _ in range(2):
        outcome = await reloader.reload()
        assert outcome.needs_restart == ["api_port", "lane", "database_url"]
    assert reloader.configuration.settings.api_port == 8100
