"""The command line, as a person and a script use it."""

import json
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from genai_spine.store import schema
from tests.acceptance.stack import Stack, environment, explained, finished, genai_spine
from tests.acceptance.test_deaths import running
from tests.upstreams.process import UpstreamProcess

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
    "log",
    "usage",
    "keys",
    "tenants",
    "projects",
    "audit",
    "budget",
    "completion",
    "redact",
    "transcribe",
)


def at(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A command in a folder without settings."""
    return finished(sys.executable, "-m", "genai_spine", *arguments, cwd=folder, **variables)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    assert explained(command)


def test_help_of_the_program_names_every_command() -> None:
    said = genai_spine("--help")
    assert said.returncode == 0
    assert [command for command in COMMANDS if command not in said.stdout] == []


def test_migrate_makes_the_tables_once(tmp_path: Path) -> None:
    first, second = at(tmp_path, "migrate", "--json"), at(tmp_path, "migrate", "--json")
    assert json.loads(first.stdout)["revision"] == schema.head()
    assert json.loads(first.stdout)["applied"][-1] == schema.head()
    assert json.loads(first.stdout)["secret_key_file"] == "data/secret.key"
    nothing = {"secret_key_file": None, "first_key": None}
    assert json.loads(second.stdout) == {"applied": [], "revision": schema.head(), **nothing}
    assert (tmp_path / "data" / "genai_spine.db").exists()
    assert (tmp_path / "data" / "secret.key").stat().st_mode & 0o077 == 0


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
    found = {entry["part"]: entry for entry in json.loads(said.stdout)["findings"]}
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
    said = at(tmp_path, "config", "envoy", str(tmp_path / "edge"), GENAI_API_PORT="8123", GENAI_PROCESSES="2")
    text = Path(said.stdout.strip()).read_text()
    assert "port_value: 8123" in text
    assert "port_value: 50052" in text


def test_environment_of_the_tests_holds_no_settings() -> None:
    assert not [name for name in environment() if name.startswith("GENAI_")]


def test_every_command_finds_the_server_by_its_settings(stack: Stack, tmp_path: Path) -> None:
    port = str(stack.port)
    for command in (("health",), ("models",), ("usage",), ("prompts", "list"), ("sessions", "list")):
        assert at(tmp_path, *command, GENAI_API_PORT=port).returncode == 0, command
    assert at(tmp_path, "health", GENAI_API_HOST="0.0.0.0", GENAI_API_PORT=port).stdout == "SERVING\n"
    assert at(tmp_path, "health", GENAI_API_PORT="1", GENAI_ADDRESS=stack.address).returncode == 0
    (tmp_path / ".env").write_text(f"GENAI_API_PORT={port}\n")
    assert at(tmp_path, "health").stdout == "SERVING\n"
    assert at(tmp_path, "models", GENAI_API_PORT="1").stderr.startswith(
        "genai-spine: no server answers at 127.0.0.1:1;"
    )
    assert "GENAI_API_PORT=0 names no port" in at(tmp_path, "models", GENAI_API_PORT="0").stderr


def test_input_of_a_pipe_is_one_message(stack: Stack) -> None:
    command = [sys.executable, "-m", "genai_spine", "chat", "-m", "gpt-4o", "--address", stack.address]
    said = subprocess.run(
        command, input="line one\nline two\n", env=environment(), capture_output=True, text=True, check=True
    )
    assert said.stdout == "You said: line one\nline two\n\n"
    empty = subprocess.run(
        command, stdin=subprocess.DEVNULL, env=environment(), capture_output=True, text=True, check=False
    )
    assert (empty.returncode, empty.stderr[:36]) == (1, "genai-spine: there is nothing to say")


@pytest.mark.parametrize("command", [("models",), ("models", "--json"), ("prices", "list"), ("--help",)])
def test_output_that_cannot_be_written_is_said_in_a_line(stack: Stack, command: tuple[str, ...]) -> None:
    address = () if command == ("--help",) else ("--address", stack.address)
    with Path("/dev/full").open("w") as full:
        said = subprocess.run(
            [sys.executable, "-m", "genai_spine", *command, *address],
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert said.returncode == 1
    assert said.stderr == "genai-spine: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("command", ["models", "prices list"])
def test_reader_that_leaves_is_no_error(stack: Stack, command: str) -> None:
    program = f"{sys.executable} -m genai_spine {command} --address {stack.address} | head -c 1"
    said = subprocess.run(
        ["bash", "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    assert (len(said.stdout), said.stderr) == (1, "")


def test_completion_of_bash_knows_commands_and_options() -> None:
    script = genai_spine("completion", "bash").stdout
    program = f"""
{script}
genai-spine() {{ {sys.executable} -c 'import sys; sys.argv[0] = "genai-spine"
from genai_spine.cli.main import main; main()' "$@"; }}
complete_for() {{
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _genai_spine genai-spine; echo "${{COMPREPLY[@]}}"
}}
complete_for genai-spine pro
complete_for genai-spine prompts d
complete_for genai-spine chat --mod
"""
    said = subprocess.run(
        ["bash", "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines() == ["providers prompts projects", "delete diff", "--model"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_names_the_command(shell: str) -> None:
    said = genai_spine("completion", shell)
    assert said.returncode == 0
    assert "_GENAI_SPINE_COMPLETE=complete_" + shell in said.stdout


def test_usage_of_a_session_is_what_its_calls_cost(stack: Stack) -> None:
    begun = genai_spine("sessions", "chat", "-m", "gpt-4o", "Hello", "--address", stack.address, "--json")
    id = json.loads(begun.stdout)["session_id"]
    genai_spine("sessions", "chat", "--session", id, "And?", "--address", stack.address)
    listed = ("executions", "list", "--session", id, "--address", stack.address, "--json")
    calls = json.loads(genai_spine(*listed).stdout)["executions"]
    used = json.loads(genai_spine("usage", "--session", id, "--address", stack.address, "--json").stdout)
    [line] = used["usage"]
    assert line == {"model": "gpt-4o"} | used["total"]
    assert (line["calls"], line["failed"]) == (2, 0)
    assert line["cost_ticks"] == sum(int(call["cost"]["cost_ticks"]) for call in calls) > 0
    days = json.loads(genai_spine("usage", "--by", "day", "--address", stack.address, "--json").stdout)[
        "usage"
    ]
    assert {entry["day"] for entry in days} == {call["create_time"][:10] for call in calls}


def test_listing_is_cut_with_the_token_of_what_follows(stack: Stack) -> None:
    command = ("executions", "list", "--limit", "1", "--address", stack.address, "--json")
    for _ in range(2):
        genai_spine("chat", "-m", "gpt-4o", "Hello", "--address", stack.address)
    first = json.loads(genai_spine(*command).stdout)
    second = json.loads(genai_spine(*command, "--page-token", first["next_page_token"]).stdout)
    assert len(first["executions"]) == len(second["executions"]) == 1
    assert first["executions"][0]["id"] != second["executions"][0]["id"]


def test_prices_of_a_server_are_those_of_its_book(stack: Stack) -> None:
    own = json.loads(genai_spine("prices", "show", "openai:gpt-4o", "--json").stdout)
    asked = ("prices", "show", "openai:gpt-4o", "--address", stack.address, "--json")
    assert json.loads(genai_spine(*asked).stdout) == own
    listed = ("prices", "list", "--provider", "openai", "--json")
    of_server = json.loads(genai_spine(*listed, "--address", stack.address).stdout)
    of_settings = json.loads(genai_spine(*listed).stdout)
    assert of_server["prices"] == of_settings["prices"]
    assert of_server["price_book"] == of_settings["price_book"]


def test_context_of_a_model_is_the_price_books_where_its_provider_says_none(stack: Stack) -> None:
    listed = json.loads(genai_spine("models", "--address", stack.address, "--json").stdout)["data"]
    [found] = [model for model in listed if model["name"] == "gpt-4o"]
    assert found["context_window"] == 128000
    table = genai_spine("models", "--address", stack.address).stdout
    [row] = [line.split() for line in table.splitlines() if line.startswith("gpt-4o ")]
    assert row[1:3] == ["openai", "128000"]


def test_provider_that_is_down_is_not_called_available(tmp_path: Path) -> None:
    command = ("up", "--json", "--port", "0")
    with running(*command, folder=tmp_path, GENAI_OLLAMA_URL="http://127.0.0.1:1") as (_, said):
        address = said["url"].removeprefix("http://")
        table = at(tmp_path, "providers", "--address", address).stdout
        [row] = [line for line in table.splitlines() if line.startswith("ollama")]
        assert row.split()[1:4] == ["does", "not", "answer"]
        listed = json.loads(at(tmp_path, "providers", "--address", address, "--json").stdout)
        states = {entry["provider_name"]: entry["health"] for entry in listed["providers"]}
        assert states["builtin"] == "healthy"
        assert states["ollama"] != "healthy"


@pytest.mark.parametrize("command", [("migrate",), ("up", "--port", "0")])
def test_database_that_is_away_is_named(tmp_path: Path, command: tuple[str, ...]) -> None:
    said = at(tmp_path, *command, GENAI_DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/spine")
    assert said.returncode == 1
    assert said.stderr.startswith(
        "genai-spine: the database postgresql://***@127.0.0.1:1/spine cannot be reached: "
    )
    assert len(said.stderr.splitlines()) == 1


def test_taken_port_is_said_in_plain_words(stack: Stack, tmp_path: Path) -> None:
    said = at(tmp_path, "up", "--port", str(stack.port))
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1] == (
        f"genai-spine: port {stack.port} is taken by another program; choose another one: --port, "
        "GENAI_API_PORT"
    )


def test_first_minute_works_with_an_ollama_that_has_other_models(
    tmp_path: Path, ollama_upstream: UpstreamProcess
) -> None:
    command = ("up", "--json", "--port", "0")
    with running(*command, folder=tmp_path, GENAI_OLLAMA_URL=ollama_upstream.url) as (_, said):
        address = said["url"].removeprefix("http://")
        assert said["default_model"].startswith("ollama:")
        assert at(tmp_path, "chat", "--address", address, "Hello").returncode == 0
