"""Plans of a supervisor: read by other processes, so that it needs little memory itself."""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from genai_spine.configuration import loader
from genai_spine.supervisor.plan import Plan, PlanReader, Refused
from genai_spine.supervisor.preparation import preparation

# Two thirds of the memory of a process that has them.
FORBIDDEN = (
    *("grpc", "pydantic", "pydantic_core", "sqlalchemy", "typer", "httptools", "tiktoken"),
    *(
        f"genai_spine.{room}"
        for room in ("settings", "configuration", "providers", "store", "billing", "cli")
    ),
)


def write(text: str) -> None:
    Path("genai.yaml").write_text(text)


def test_supervisor_imports_neither_settings_nor_database() -> None:
    code = "import genai_spine.supervisor.up, json, sys; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout)
    roots = {".".join(name.split(".")[:count]) for name in modules for count in (1, 2)}
    assert [name for name in FORBIDDEN if name in roots] == []


def test_plan_comes_back_from_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("genai.yaml").write_text("settings: {cors_origins: 'https://a.example', port: 7}")
    plan = preparation.plan_of(loader.load().settings, {"GENAI_DEFAULT_MODEL": "m"}, "a note")
    assert Plan.of_json(json.loads(json.dumps(asdict(plan)))) == plan
    assert (plan.cors_origins, plan.symbols_address) == (("https://a.example",), ("127.0.0.1", 7))


def test_secret_that_changes_is_seen_and_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plans = []
    for digit in "12":
        monkeypatch.setenv("GENAI_SECRET_KEY", digit * 64)
        plans.append(preparation.plan_of(loader.load().settings, {}, None))
    assert plans[0].digests["secret_key"] != plans[1].digests["secret_key"]
    assert "1" * 64 not in json.dumps(asdict(plans[0]))


async def test_process_of_its_own_reads_a_plan_and_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(preparation.__file__).parents[3]))
    write("aliases: {a: first}")
    reader, snapshot = PlanReader({"grpc_port": 7}, is_edge=False), tmp_path / "snapshot"
    plan = await reader.first(snapshot)
    assert (plan.grpc_port, json.loads(snapshot.read_text())["text"]) == (7, "aliases: {a: first}")
    write("aliases: {a: second}\nsettings: {lane: gpu}")
    found = await reader.reread(plan, snapshot, snapshot)
    assert (found.changed, found.plan.lane) == (["lane"], "gpu")
    assert "second" in snapshot.read_text()
    write("alises: {}")
    with pytest.raises(Refused, match="alises: unknown key"):
        await reader.reread(plan, snapshot, snapshot)
    with pytest.raises(SystemExit) as ended:
        await reader.first(snapshot)
    assert ended.value.code == 1
