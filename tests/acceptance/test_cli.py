"""The command line, as a person and a script use it."""

import json
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from genai_spine.store import schema
from tests.acceptance.stack import Stack, environment, finished, genai_spine
from tests.acceptance.test_deaths import running

COMMANDS = (
    "up",
    "serve",
    "migrate",
    "chat",
    "models",
    "drift",
    "prices",
    "prompts",
    "doctor",
    "health",
    "config",
    "sessions",
    "executions",
)


def at(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A command in a folder without settings."""
    return finished(sys.executable, "-m", "genai_spine", *arguments, cwd=folder, **variables)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    said = genai_spine(command, "--help")
    assert said.returncode == 0
    assert command in genai_spine("--help").stdout
    assert "--help" in said.stdout


def test_migrate_makes_the_tables_once(tmp_path: Path) -> None:
    first, second = at(tmp_path, "migrate", "--json"), at(tmp_path, "migrate", "--json")
    assert json.loads(first.stdout)["revision"] == schema.head()
    assert json.loads(first.stdout)["applied"][-1] == schema.head()
    assert json.loads(second.stdout) == {"applied": [], "revision": schema.head()}
    assert (tmp_path / "data" / "genai_spine.db").exists()


def test_server_refuses_a_database_without_tables(tmp_path: Path) -> None:
    said = at(tmp_path, "serve", "--port", "0")
    assert said.returncode == 1
    assert "run `genai-spine migrate`" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"GENAI_API_PORT": "many"}, "GENAI_API_PORT: "),
        ({"GENAI_GRPC_HOST": "0.0.0.0"}, "listens beyond this machine without authentication"),
        ({"GENAI_MODEL_ALIASES": "fast"}, "GENAI_MODEL_ALIASES: "),
        ({"GENAI_DATABASE_URL": "mysql://x/y"}, "a database URL starts with sqlite:// or postgresql://"),
    ],
)
def test_wrong_setting_is_named_in_one_line(tmp_path: Path, variables: dict[str, str], words: str) -> None:
    said = at(tmp_path, "serve", "--port", "0", **variables)
    assert said.returncode == 1
    assert words in said.stderr
    assert len(said.stderr.splitlines()) == 1


def test_doctor_tells_what_is_broken_and_how_to_mend_it(tmp_path: Path) -> None:
    said = at(tmp_path, "doctor", "--json", GENAI_OLLAMA_URL="http://127.0.0.1:1")
    found = {entry["part"]: entry for entry in json.loads(said.stdout)}
    assert said.returncode == 1
    assert found["database"]["state"] == "broken"
    assert "genai-spine migrate" in found["database"]["text"]
    assert found["provider ollama"]["state"] == "warning"
    assert found["provider builtin"]["state"] == found["envoy"]["state"] == "ok"
    at(tmp_path, "migrate")
    assert at(tmp_path, "doctor").returncode == 0


def test_chat_streams_an_answer_and_prints_its_cost(stack: Stack) -> None:
    said = genai_spine("chat", "--address", stack.address, "--model", "gpt-4o", "Say hello.")
    assert said.stdout == "You said: Say hello.\n"
    assert "[openai:gpt-4o, " in said.stderr
    assert "$0.0" in said.stderr


def test_chat_as_json_has_tokens_cost_and_ids(stack: Stack) -> None:
    said = genai_spine("chat", "--address", stack.address, "--model", "gpt-4o", "--json", "hi")
    answer = json.loads(said.stdout)
    assert answer["content"] == "You said: hi"
    assert answer["output_tokens"] > 0
    assert answer["cost_usd"] > 0
    assert answer["execution_id"]


def test_chat_with_an_unknown_model_says_so_in_one_line(stack: Stack) -> None:
    said = genai_spine("chat", "--address", stack.address, "--model", "claude-x", "hi")
    assert said.returncode == 1
    assert said.stderr.startswith("genai-spine: NOT_FOUND: model 'claude-x' not found")
    assert len(said.stderr.splitlines()) == 1


def test_models_as_json_lists_every_provider(stack: Stack) -> None:
    listed = json.loads(genai_spine("models", "--address", stack.address, "--json").stdout)
    assert {model["provider"] for model in listed["data"]} >= {"openai", "ollama", "builtin"}


def test_without_a_server_the_address_and_the_way_out_are_named() -> None:
    said = genai_spine("models", "--address", "127.0.0.1:1")
    assert said.returncode == 1
    assert said.stderr == "genai-spine: no server answers at 127.0.0.1:1; `genai-spine up` starts one\n"


async def test_up_starts_a_pool_for_each_lane_and_a_port_for_each_process(tmp_path: Path) -> None:
    command = ("up", "--json", "--port", "0", "--processes", "2", "--lane", "cpu", "--lane", "gpu")
    with running(*command, folder=tmp_path, GENAI_DRAIN_TIMEOUT="2") as (process, said):
        assert len(set(said["servers"])) == 3
        assert said["default_model"] == "builtin:extractive"  # no Ollama here, and no key
        assert "no language model" in said["notice"]
        async with aiohttp.ClientSession() as session:
            for lane, status in {"cpu": 200, "gpu": 200, "batch": 503}.items():
                async with session.get(f"{said['url']}/ready", headers={"x-genai-lane": lane}) as answer:
                    assert answer.status == status
                    assert status != 200 or (await answer.json())["lane"] == lane
        process.terminate()
        assert process.wait(20) == 0


def test_configuration_for_envoy_is_written_out(tmp_path: Path) -> None:
    said = at(tmp_path, "config", str(tmp_path / "edge"), GENAI_API_PORT="8123", GENAI_PROCESSES="2")
    text = Path(said.stdout.strip()).read_text()
    assert "port_value: 8123" in text
    assert "port_value: 50052" in text


def test_environment_of_the_tests_holds_no_settings() -> None:
    assert not [name for name in environment() if name.startswith("GENAI_")]
