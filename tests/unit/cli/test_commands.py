"""A command line imports what its command needs, and the table of commands says what they say themselves."""

import subprocess
import sys

import pytest

from genai_spine.cli.commands import COMMANDS, Row, loaded

HEAVY = ("dbos", "grpc", "pydantic", "rich", "sqlalchemy", "structlog", "yaml", "google.protobuf")


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_the_table_says_what_the_help_of_a_command_begins_with(row: Row) -> None:
    assert loaded(row.name).get_short_help_str(limit=1000) == row.help


def test_help_imports_none_of_the_commands() -> None:
    assert imported("--help") == []


def test_a_wrong_command_imports_only_what_typer_reads_options_with() -> None:
    assert imported("nonsense") == ["pydantic"]


def test_a_health_check_imports_no_settings_and_no_database() -> None:
    assert imported("health --address 127.0.0.1:1") == ["grpc", "pydantic", "google.protobuf"]


def imported(words: str) -> list[str]:
    """The heavy modules that a command line loads, in a process of its own."""
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\n"
            "from genai_spine.cli.main import app\n"
            f"try: app({words.split()}, prog_name='genai-spine')\n"
            f"finally: print('LOADED', *[name for name in {HEAVY} if name in sys.modules])",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    *_, last = said.stdout.splitlines()
    assert last.startswith("LOADED"), said.stderr
    return last.split()[1:]
