"""`genai-spine prompts`, as a person and a script use it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.acceptance.stack import Stack, explained, finished

COMMANDS = (
    "list",
    "show",
    "create",
    "edit",
    "delete",
    "diff",
    "rollback",
    "label",
    "run",
    "export",
    "import",
)


class Terminal:
    def __init__(self, stack: Stack) -> None:
        self.address = stack.address
        self.slug = f"greet-{uuid4().hex[:12]}"

    def run(self, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        command, *rest = arguments
        given = (sys.executable, "-m", "genai_spine", "prompts", command, "--address", self.address, *rest)
        return finished(*given, **variables)

    def said(self, *arguments: str, **variables: str) -> str:
        ended = self.run(*arguments, **variables)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.said(*arguments, "--json"))

    def failed(self, *arguments: str, **variables: str) -> str:
        ended = self.run(*arguments, **variables)
        assert ended.returncode == 1
        assert "Traceback" not in ended.stderr
        return ended.stderr


@pytest.fixture
def terminal(stack: Stack, tmp_path: Path) -> Terminal:
    """With a prompt of its own."""
    found = Terminal(stack)
    file = tmp_path / "prompts.yaml"
    variables = "[{name: name}, {name: n, type: integer, required: false}]"
    file.write_text(
        f"- slug: {found.slug}\n  name: Greet\n  preferred_model: gpt-4o\n  variables: {variables}\n"
        "  user_prompt_template: |\n    Hello {name}\n    and more {n}\n"
    )
    assert found.said("import", str(file)) == f"created    {found.slug}\n"
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    assert "--json" in explained("prompts", command)


def test_list_shows_what_there_is(terminal: Terminal) -> None:
    assert "summarize-article" in terminal.said("list", "--search", "SUMMARIZE-article")
    listed = terminal.json("list", "--no-system", "--search", terminal.slug)
    assert [prompt["slug"] for prompt in listed["prompts"]] == [terminal.slug]


def test_edit_saves_what_the_editor_wrote_as_a_new_version(terminal: Terminal) -> None:
    said = terminal.said("edit", terminal.slug, "--notes", "shorter", EDITOR="sed -i s/Hello/Bye/", VISUAL="")
    assert said == f"{terminal.slug} is at version 2\n"
    assert "-Hello {name}\n+Bye {name}" in terminal.said("diff", terminal.slug)
    assert "change_notes: shorter" not in terminal.said("show", terminal.slug)
    assert terminal.json("show", terminal.slug, "--version", "2")["change_notes"] == "shorter"
    assert terminal.said("rollback", terminal.slug, "1") == f"{terminal.slug} is at version 3\n"
    assert "Hello {name}" in terminal.said("show", terminal.slug)


def test_edit_overwrites_nobody(terminal: Terminal, tmp_path: Path) -> None:
    other = tmp_path / "editor.py"
    other.write_text(
        "import subprocess, sys\n"
        "text = open(sys.argv[1]).read()\n"
        f"label = ['label', {terminal.slug!r}, 'staging', '1', '--address', {terminal.address!r}]\n"
        "subprocess.run([sys.executable, '-m', 'genai_spine', 'prompts', *label], check=True)\n"
        "open(sys.argv[1], 'w').write(text.replace('Hello', 'Bye'))\n"
    )
    error = terminal.failed("edit", terminal.slug, EDITOR=f"{sys.executable} {other}", VISUAL="")
    assert "was changed by somebody else" in error
    kept = Path(error.rpartition("what you wrote is in ")[2].strip())
    assert "Bye {name}" in kept.read_text()
    kept.unlink()


def test_edit_that_changes_nothing_saves_nothing(terminal: Terminal) -> None:
    assert terminal.said("edit", terminal.slug, EDITOR="true", VISUAL="") == ""
    assert terminal.json("show", terminal.slug)["version"] == 1


def test_run_streams_the_answer_and_says_what_it_cost(terminal: Terminal, tmp_path: Path) -> None:
    (tmp_path / "name").write_text("Ann")
    ended = terminal.run("run", terminal.slug, "-v", f"name=@{tmp_path}/name", "-v", "n=3")
    assert ended.stdout == "You said: Hello Ann\nand more 3\n\n"
    assert f"[{terminal.slug} version 1, openai:gpt-4o, " in ended.stderr
    assert "$0.0" in ended.stderr
    assert terminal.json("run", terminal.slug, "-v", "name=Ann")["variables_used"] == {"name": "Ann", "n": ""}


@pytest.mark.parametrize(
    ("variables", "words"),
    [((), "variables.name"), (("-v", "name=x", "-v", "n=many"), "JSON value of type integer")],
)
def test_run_says_which_variable_is_wrong(terminal: Terminal, variables: Any, words: str) -> None:
    assert words in terminal.failed("run", terminal.slug, *variables)


def test_export_gives_what_import_takes(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "out.yaml"
    terminal.said("export", terminal.slug, "--output", str(file))
    assert terminal.json("import", "--dry-run", str(file)) == {
        "created": [],
        "updated": [],
        "unchanged": [terminal.slug],
    }
    file.write_text(file.read_text().replace("{name}", "{{ nobody }}"))
    assert "nobody" in terminal.failed("import", str(file))


def test_unknown_prompt_is_said_in_one_line(terminal: Terminal) -> None:
    assert terminal.failed("show", "no-such-prompt") == "genai-spine: NOT_FOUND: no prompt 'no-such-prompt'\n"


def test_prompt_is_made_compared_and_deleted(terminal: Terminal, tmp_path: Path) -> None:
    slug = f"{terminal.slug}-new"
    (tmp_path / "template").write_text("Write about {{ subject }}.")
    given = ("--file", str(tmp_path / "template"), "--name", "New one", "--tag", "a", "-m", "gpt-4o")
    assert terminal.said("create", slug, *given) == f"{slug} is at version 1\n"
    made = terminal.json("show", slug)
    assert (made["name"], made["user_prompt_template"], made["tags"], made["preferred_model"]) == (
        *("New one", "Write about {{ subject }}.", ["a"]),
        "gpt-4o",
    )
    assert "ALREADY_EXISTS" in terminal.failed("create", slug, *given)
    terminal.said("edit", slug, EDITOR="sed -i s/about/of/")
    assert terminal.said("diff", slug, "1", "2") == terminal.said("diff", slug, "--from", "1", "--to", "2")
    assert "Write about {{ subject }}. -> Write of" in terminal.said("diff", slug, "1", "2")
    assert terminal.said("delete", slug) == f"deleted {slug}\n"
    assert "NOT_FOUND" in terminal.failed("show", slug)


def test_new_prompt_is_written_in_the_editor(terminal: Terminal) -> None:
    slug = f"{terminal.slug}-edited"
    said = terminal.said("create", slug, EDITOR='sed -i "s/Write about/Sing of/"')
    assert said == f"{slug} is at version 1\n"
    assert terminal.json("show", slug)["user_prompt_template"] == "Sing of {{ subject }}."


def test_edit_of_a_prompt_that_is_not_there_says_how_to_make_it(terminal: Terminal) -> None:
    said = terminal.failed("edit", "no-such-prompt")
    assert said.splitlines()[-1] == "`genai-spine prompts create no-such-prompt` makes a new one"
