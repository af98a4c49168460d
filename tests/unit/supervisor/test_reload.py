"""Reload of a supervisor: checked first, handed to every server, taken back when one of them refuses."""

import asyncio
import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from genai_spine.configuration import loader
from genai_spine.configuration.source import SNAPSHOT, Source
from genai_spine.settings import Settings
from genai_spine.supervisor import plan as plans
from genai_spine.supervisor import server_process
from genai_spine.supervisor.plan import PlanReader
from genai_spine.supervisor.preparation import preparation
from genai_spine.supervisor.reload import Reloader
from tests.waiting import until


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


async def read_here(module: str, job: Mapping[str, Any]) -> tuple[int, bytes]:
    """The same as in a process of its own, which would take a second."""
    assert module == plans.PREPARATION
    return 0, json.dumps(await preparation.reread_of(job)).encode()


async def defaults_of(settings: Settings) -> tuple[dict[str, str], None]:
    return {"GENAI_DEFAULT_MODEL": f"model of {settings.default_provider}"}, None


def write(text: str | None) -> None:
    if text is None:
        Path("genai.yaml").unlink()
    else:
        Path("genai.yaml").write_text(text)


@pytest.fixture
async def reloader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reloader:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plans, "ran", read_here)
    monkeypatch.setattr(preparation, "defaults_of", defaults_of)
    write("aliases: {a: first}")
    configuration, snapshot = loader.load(), tmp_path / "snapshot"
    configuration.source.write_snapshot(snapshot, {})
    plan = preparation.plan_of(configuration.settings, {"GENAI_DEFAULT_MODEL": "another"}, None)
    found = Reloader(plan, snapshot, PlanReader({}, is_edge=True))
    found.servers = [Server(found.snapshot), Server(found.snapshot)]  # type: ignore[list-item]  # as far as used
    return found


def told(reloader: Reloader) -> list[list[str]]:
    return [server.aliases for server in reloader.servers]  # type: ignore[attr-defined]


async def test_every_server_gets_the_same_copy(reloader: Reloader) -> None:
    write("aliases: {a: second}\nsettings: {default_provider: builtin}")
    outcome = await reloader.reload()
    assert (outcome.refused, outcome.processes, outcome.needs_restart) == (None, 2, [])
    assert told(reloader) == [["aliases: {a: second}\nsettings: {default_provider: builtin}"]] * 2
    overrides = json.loads(reloader.snapshot.read_bytes())["overrides"]
    assert overrides == preparation.OF_EDGE  # a default provider that is named now is not replaced
    write("aliases: {a: third}")
    assert (await reloader.reload()).refused is None
    overrides = json.loads(reloader.snapshot.read_bytes())["overrides"]
    provider = reloader.plan.default_provider
    assert overrides == {"default_model": f"model of {provider}"} | preparation.OF_EDGE


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


async def test_what_needs_a_restart_is_named_until_it_comes(reloader: Reloader) -> None:
    write("settings: {api_port: 1, lane: gpu, database_url: 'sqlite:///x'}")
    for _ in range(2):
        outcome = await reloader.reload()
        assert outcome.needs_restart == ["api_port", "lane", "database_url"]
    assert reloader.plan.api_port == 8100


@pytest.mark.parametrize(("text", "problem"), [(None, "is gone"), ("", "is empty"), (" \n", "is empty")])
async def test_a_file_that_is_gone_for_a_moment_takes_no_provider_away(
    text: str | None, problem: str, reloader: Reloader
) -> None:
    before = reloader.snapshot.read_bytes()
    write(text)
    outcome = await reloader.reload()
    assert outcome.refused == f"genai.yaml: {problem}; `providers: {{}}` says that there are none"
    assert told(reloader) == [[], []]
    assert reloader.snapshot.read_bytes() == before
    write("providers: {}")
    assert (await reloader.reload()).refused is None


async def test_servers_go_back_to_having_no_file(reloader: Reloader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SNAPSHOT, str(reloader.snapshot))
    server = loader.load()
    Source().write_snapshot(reloader.snapshot, {})
    assert server.reread().source.raw is None


async def test_signals_that_come_while_one_waits_are_one_reload(reloader: Reloader) -> None:
    reloader.listen(lambda: None)
    async with reloader.lock:  # a reload is at work
        for text in ("second", "third"):
            write(f"aliases: {{a: {text}}}")
            for _ in range(20):
                os.kill(os.getpid(), signal.SIGHUP)
                await asyncio.sleep(0)
        await until(lambda: len(reloader._tasks) == 1)
    await until(lambda: not reloader._tasks)
    assert told(reloader) == [["aliases: {a: third}"]] * 2
    os.kill(os.getpid(), signal.SIGHUP)
    await until(lambda: len(told(reloader)[0]) == 2)
    asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)


def test_servers_look_where_the_supervisor_says() -> None:
    assert server_process.SNAPSHOT == SNAPSHOT
