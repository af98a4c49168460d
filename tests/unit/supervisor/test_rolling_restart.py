"""Rolling restart: what is refused, what is taken back, and what the old processes are left to do."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from genai_spine.configuration import loader
from genai_spine.supervisor import plan as plans
from genai_spine.supervisor import rolling_restart
from genai_spine.supervisor.plan import PlanReader
from genai_spine.supervisor.preparation import preparation
from genai_spine.supervisor.reload import Reloader
from genai_spine.supervisor.rolling_restart import Fleet, RollingRestart
from genai_spine.supervisor.watchdog import StartFailed, Watch
from tests.waiting import until

Line = dict[str, Any]


@dataclass
class Server:
    """Server process that does as the test says."""

    port: int
    lane: str = "cpu"
    host: str = "127.0.0.1"
    http_port: int | None = None
    fails: bool = False
    ends: asyncio.Event = field(default_factory=asyncio.Event)
    left: dict[str, int] = field(default_factory=dict)
    process: Any = field(default_factory=lambda: SimpleNamespace(returncode=None))
    done: list[str] = field(default_factory=list)

    @property
    def labels(self) -> Mapping[str, object]:
        return {"port": self.port}

    async def start(self) -> None:
        if self.fails:
            raise StartFailed("a server on lane cpu did not start")

    async def stop(self, grace_s: float) -> None:
        self.done.append("stopped")

    async def retire(self, limit_s: float, grace_s: float) -> bool:
        self.left = {"calls": 2, "runs": 1}
        await self.ends.wait()
        self.done.append("retired")
        return True

    async def wait(self) -> int:
        await asyncio.Event().wait()
        return 0

    async def check(self, limit_s: float) -> Any:
        await asyncio.sleep(limit_s)


@dataclass
class Edge:
    """Envoy that calls whom its files name, if the test lets it."""

    run_dir: Path
    is_blind: bool = False

    def named(self) -> list[int]:
        resource = json.loads((self.run_dir / "endpoints-spine_cpu.json").read_text())["resources"][0]
        groups = [endpoint for group in resource["endpoints"] for endpoint in group["lb_endpoints"]]
        return [one["endpoint"]["address"]["socket_address"]["port_value"] for one in groups]

    async def servers(self) -> dict[tuple[str, int], bool]:
        return {("127.0.0.1", port): not self.is_blind for port in self.named()}


@dataclass
class Setting:
    """A restart with its surroundings."""

    restarts: RollingRestart
    reloader: Reloader
    edge: Edge
    old: Server
    new: Server

    async def lines(self) -> list[Line]:
        return [line async for line in self.restarts.answer()]


def write(text: str) -> None:
    Path("genai.yaml").write_text(text)


async def read_here(module: str, job: Mapping[str, Any]) -> tuple[int, bytes]:
    """The same as in a process of its own, which would take a second."""
    return 0, json.dumps(await preparation.reread_of(job)).encode()


@pytest.fixture
async def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Setting:
    async def migrate(snapshot: Path) -> None:
        pass

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rolling_restart, "_migrate", migrate)
    monkeypatch.setattr(rolling_restart, "TAKE_UP_TIMEOUT_S", 0.2)
    monkeypatch.setattr(rolling_restart, "TOLD_S", 0.01)
    write("aliases: {a: first}")
    monkeypatch.setattr(plans, "ran", read_here)
    configuration, snapshot = loader.load(), tmp_path / "configuration.json"
    configuration.source.write_snapshot(snapshot, {})
    plan = preparation.plan_of(configuration.settings, {}, None)
    reloader = Reloader(plan, snapshot, PlanReader({}, is_edge=True))
    old, new, edge = Server(1), Server(2), Edge(tmp_path)
    fleet = Fleet(edge, [old])  # type: ignore[arg-type, list-item]  # as far as used
    fleet.direct(fleet.servers)
    restarts = RollingRestart(fleet, Watch(60, 60), reloader, lambda plan, snapshot: [new])  # type: ignore[list-item]
    return Setting(restarts, reloader, edge, old, new)


async def test_new_one_takes_the_calls_before_the_old_one_retires(setting: Setting) -> None:
    write("aliases: {a: second}\nsettings: {cors_origins: 'https://a.example'}")
    lines = asyncio.create_task(setting.lines())
    await until(lambda: bool(setting.old.left) and setting.restarts._phase.startswith("left"))
    assert setting.edge.named() == [2]
    assert setting.old.done == []
    again = await setting.lines()
    assert again[0]["refused"].startswith(
        "a restart is under way: left in 1 old process: 2 calls, 1 run, for"
    )
    setting.old.ends.set()
    *phases, outcome = await lines
    assert [line["phase"] for line in phases] == ["migrating", "starting", "moving", "draining"]
    assert (outcome["refused"], outcome["replaced"], outcome["cut"]) == (None, 1, 0)
    assert outcome["needs_restart"] == ["cors_origins"]
    assert (setting.old.done, setting.new.done) == (["retired"], [])
    assert setting.reloader.servers == [setting.new]
    assert "second" in setting.reloader.snapshot.read_text()
    assert setting.reloader.plan.cors_origins == ()  # it stays named until it is in force


@pytest.mark.parametrize("problem", ["fails", "is not called"])
async def test_old_one_stays_where_the_new_one_does_not_come_up(setting: Setting, problem: str) -> None:
    setting.new.fails = problem == "fails"
    setting.edge.is_blind = problem != "fails"
    snapshot = setting.reloader.snapshot
    [*_, outcome] = await setting.lines()
    assert outcome["refused"] in (
        "a server on lane cpu did not start",
        "Envoy calls no new process within 0.2 s",
    )
    assert setting.edge.named() == [1]
    assert (setting.old.done, setting.new.done) == ([], ["stopped"])
    assert (setting.reloader.snapshot, list(setting.restarts.fleet.all)) == (snapshot, [setting.old])
    assert sorted(path.name for path in snapshot.parent.glob("configuration*")) == ["configuration.json"]


async def test_new_one_that_dies_before_it_is_called_is_not_waited_for(setting: Setting) -> None:
    setting.edge.is_blind = True
    setting.new.process.returncode = 3
    [*_, outcome] = await setting.lines()
    assert outcome["refused"] == "a new process has ended; its log above says more"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("alises: {}", "genai.yaml:1: alises: unknown key; did you mean aliases?"),
        ("settings: {database_url: 'sqlite:///other.db'}", "GENAI_DATABASE_URL has changed"),
    ],
)
async def test_configuration_that_cannot_be_starts_nothing(setting: Setting, text: str, problem: str) -> None:
    write(text)
    [outcome] = await setting.lines()
    assert outcome["refused"].startswith(problem)
    assert setting.new.done == []


async def test_database_in_memory_would_be_lost(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENAI_DATABASE_URL", "sqlite://")
    setting.reloader.plan = preparation.plan_of(loader.load().settings, {}, None)
    [outcome] = await setting.lines()
    assert outcome["refused"] == "the database is in memory, and ends with its process"


async def test_service_that_stops_leaves_its_processes_to_who_stops_them(
    setting: Setting,
) -> None:
    lines = asyncio.create_task(setting.lines())
    await until(lambda: bool(setting.old.left) and setting.restarts._phase.startswith("left"))
    await setting.restarts.close()
    assert (await lines)[-1] == {"refused": "the service is stopping"}
    assert list(setting.restarts.fleet.all) == [setting.new, setting.old]
