"""Modules that a server has imported when it takes calls: each of them costs its start, and memory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# What few calls need is imported by the first that does.
FORBIDDEN = (
    *("alembic", "mako", "numpy", "openai", "anthropic", "boto3", "botocore", "aiohttp", "httpx", "requests"),
    *("cryptography", "jsonschema", "referencing", "psycopg", "dbos", "uvicorn", "fastapi", "cProfile"),
    *("genai_spine.supervisor", "genai_spine.json_schema.validator", "genai_spine.store.migrations"),
    *(f"genai_spine.providers.{name}" for name in ("anthropic", "bedrock", "deepgram", "replay.adapter")),
)
MOST_MODULES = 1650  # 1,608 at 2026-12-01; a module costs 0.6 ms of the start

SERVE = """
import json, os, runpy, sys
import typer
from genai_spine.cli.service import start

def told(line):
    sys.__stdout__.write(json.dumps(sorted(sys.modules)))
    sys.__stdout__.flush()
    os._exit(0)

start.typer.echo = told
sys.argv = ["genai-spine", "serve", "--port", "0", "--http-port", "0"]
runpy.run_module("genai_spine", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GENAI_")}
    folder = tmp_path_factory.mktemp("served")
    settings = {
        "GENAI_DATABASE_URL": f"sqlite:///{folder}/served.db",
        "GENAI_OPENAI_API_KEY": "x",
        "GENAI_DEFAULT_PROVIDER": "openai",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }
    for arguments in (("-m", "genai_spine", "migrate", "--no-key"), ("-c", SERVE)):
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=kept | settings,
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
    found: list[str] = json.loads(done.stdout)
    return found


def test_a_server_that_takes_calls_has_not_imported_what_few_calls_need(modules: list[str]) -> None:
    assert "genai_spine.openai_api.facade" in modules
    roots = {".".join(name.split(".")[:count]) for name in modules for count in range(1, 6)}
    assert [name for name in FORBIDDEN if name in roots] == []


def test_a_server_has_imported_few_modules(modules: list[str]) -> None:
    assert len(modules) < MOST_MODULES
