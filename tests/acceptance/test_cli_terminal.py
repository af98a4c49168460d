"""The command line at a real terminal: conversations, tables, text that would steer it."""

import json
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.acceptance.stack import Stack, genai_spine
from tests.acceptance.terminal import Terminal, shown
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

CHAT = ("chat", "--model", "gpt-4o")
STEERING = "\x1b]0;owned\x07\x1b[2J[bold]loud[/bold] \x9b31m"


def talk(stack: Stack, folder: Path, *command: str) -> Terminal:
    return Terminal(*command, "--address", stack.address, XDG_STATE_HOME=str(folder))


@pytest.fixture
def upstream(openai_upstream: UpstreamProcess) -> UpstreamProcess:
    return openai_upstream


def test_arrow_keys_move_in_the_line_and_are_not_sent(
    stack: Stack, upstream: UpstreamProcess, tmp_path: Path
) -> None:
    with talk(stack, tmp_path, *CHAT) as terminal:
        terminal.wait_for_prompt()
        terminal.keys("Hllo\x1b[D\x1b[D\x1b[De\r")
        terminal.wait_for("You said: Hello\n")
        terminal.wait_for_prompt()
        terminal.keys("\x1b[A again\r")  # the line before, from the history
        terminal.wait_for("You said: Hello again\n")
        terminal.wait_for_prompt()
        terminal.keys("\x04")
        assert terminal.end() == 0
    assert "[conversation: 2 answers, " in terminal.text
    history = tmp_path / "genai-spine" / "history"
    assert history.read_text().splitlines() == ["Hello", "Hello again"]
    assert history.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("command", [CHAT, ("sessions", *CHAT)])
def test_conversation_lives_on_after_an_error(
    stack: Stack, upstream: UpstreamProcess, tmp_path: Path, command: tuple[str, ...]
) -> None:
    upstream.script(
        Reply("first"),
        Reply(status=429, body={"error": {"message": "slow down"}}),
        Reply(["be", "gun"], fault="close", after=3),
        Reply("last"),
    )
    with talk(stack, tmp_path, *command) as terminal:
        for line, expected in [
            ("a", "first\n"),
            ("b", "slow down"),
            ("c", "gun\ngenai-spine: "),
            ("d", "last\n"),
        ]:
            terminal.wait_for_prompt()
            terminal.keys(f"{line}\r")
            terminal.wait_for(expected)
        terminal.wait_for_prompt()
        terminal.keys("\x04")
        assert terminal.end() == 0
    sent = [message["content"] for message in upstream.bill()[-1].body["messages"]]
    assert sent[0] == "a"
    assert "first" in sent
    assert sent[-1] == "d"


@pytest.mark.parametrize("command", [CHAT, ("sessions", *CHAT)])
def test_ctrl_c_stops_the_answer_and_not_the_conversation(
    stack: Stack, upstream: UpstreamProcess, tmp_path: Path, command: tuple[str, ...]
) -> None:
    upstream.script(Reply(["begun "] * 3, fault="stall", after=3), Reply("And on."))
    with talk(stack, tmp_path, *command) as terminal:
        terminal.wait_for_prompt()
        terminal.keys("Hello\r")
        terminal.wait_for("begun")
        terminal.keys("\x03")
        terminal.wait_for("[stopped]")
        terminal.wait_for_prompt()
        terminal.keys("half a line")
        terminal.wait_for("half a line")
        terminal.give_up_line()
        terminal.keys("Go on\r")
        terminal.wait_for("And on.\n")
        terminal.wait_for_prompt()
        terminal.keys("\x04")
        assert terminal.end() == 0


def test_cut_answer_is_followed_by_the_error_on_a_line_of_its_own(
    stack: Stack, upstream: UpstreamProcess
) -> None:
    upstream.script(Reply(["It ", "begins"], fault="close", after=3))
    said = genai_spine(*CHAT, "--address", stack.address, "Hello")
    assert said.returncode == 1
    assert said.stdout.endswith("\n")
    assert said.stderr.startswith("genai-spine: ")
    assert len(said.stderr.splitlines()) == 1


TABLES = (
    ("executions", "list"),
    ("sessions", "list"),
    ("prompts", "list"),
    ("models",),
    ("providers",),
    ("usage",),
    ("prices", "list"),
)


@pytest.fixture(scope="module")
def filled(stack: Stack) -> Stack:
    """With an execution and a session, whose title is long."""
    command = ("sessions", *CHAT, "--address", stack.address, "--title", "A title of several words " * 4)
    assert genai_spine(*command, "Hello").returncode == 0
    return stack


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", TABLES)
def test_table_fits_the_terminal(filled: Stack, command: tuple[str, ...], width: int) -> None:
    lines = shown(*command, "--address", filled.address, width=width)
    assert len(lines) > 1
    assert [line for line in lines if cell_len(line) > width and "genai-spine" not in line] == []


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("group", ["executions", "sessions"])
def test_ids_are_whole_in_a_narrow_terminal(filled: Stack, group: str, width: int) -> None:
    listed = json.loads(genai_spine(group, "list", "--address", filled.address, "--json").stdout)
    text = "\n".join(shown(group, "list", "--address", filled.address, width=width))
    assert all(entry["id"] in text for entry in listed[group])


@pytest.mark.parametrize("command", TABLES)
def test_table_in_a_pipe_has_a_line_for_each_row(filled: Stack, command: tuple[str, ...]) -> None:
    said = genai_spine(*command, "--address", filled.address).stdout.splitlines()
    whole = json.loads(genai_spine(*command, "--address", filled.address, "--json").stdout)
    [entries] = [value for name, value in whole.items() if name in (command[0], "data")]
    assert "next_page_token" in whole
    assert len(said) - 1 - (command == ("usage",)) == len(entries)  # titles; usage has a total, too


@pytest.mark.parametrize("is_terminal", [True, False])
def test_stored_text_does_not_steer_the_terminal(stack: Stack, tmp_path: Path, is_terminal: bool) -> None:
    export = {"session": {"title": STEERING, "model": "gpt-4o"}, "messages": []}
    begun = genai_spine("sessions", *CHAT, "--address", stack.address, "--title", STEERING, STEERING)
    assert begun.returncode == 0, export
    id = begun.stderr.rpartition("session ")[2].strip("]\n")
    for command in (("sessions", "list"), ("sessions", "show", id)):
        if is_terminal:
            text = "\n".join(shown(*command, "--address", stack.address, width=200))
        else:
            text = genai_spine(*command, "--address", stack.address).stdout
        assert r"\x1b]0;owned\x07\x1b[2J[bold]loud[/bold] \x9b31m" in text
        assert not {"\x1b", "\x07", "\x9b"} & set(text)


def test_streamed_answer_does_not_steer_the_terminal(
    stack: Stack, upstream: UpstreamProcess, tmp_path: Path
) -> None:
    upstream.script(Reply(STEERING), Reply(STEERING))
    with talk(stack, tmp_path, *CHAT, "Hello") as terminal:
        assert terminal.end() == 0
    assert r"\x1b]0;owned\x07\x1b[2J[bold]loud[/bold] \x9b31m" in terminal.text
    piped = genai_spine(*CHAT, "--address", stack.address, "Hello")
    assert piped.stdout == f"{STEERING}\n"  # a program gets what the model said


@pytest.mark.parametrize("command", ["summarize", "rewrite"])
def test_capability_shows_that_it_works(
    stack: Stack, upstream: UpstreamProcess, tmp_path: Path, command: str
) -> None:
    (tmp_path / "text").write_text("The sky is blue.")
    upstream.script(Reply(["It ", "is ", "blue."], first_delay_s=0.5))
    with talk(stack, tmp_path, command, str(tmp_path / "text"), "-m", "gpt-4o") as terminal:
        terminal.wait_for("writing")
        terminal.wait_for("It is blue.\n")
        assert terminal.end() == 0
    assert terminal.text.count("It is blue.") == 1
