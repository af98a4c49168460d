"""`genai-spine summarize | extract | classify | rewrite`, as a person and a script use them."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.capability_rows import ENTITIES, OSLO, POLITICS
from tests.acceptance.stack import ROOT, Stack, environment, explained, finished
from tests.upstreams.process import UpstreamProcess
from tests.upstreams.reply import Reply

COMMANDS = ("summarize", "extract", "classify", "rewrite")


class Terminal:
    def __init__(self, stack: Stack, file: Path) -> None:
        self.stack = stack
        self.file = file
        file.write_text(OSLO)

    def command(self, *arguments: str) -> list[str]:
        name, *rest = arguments
        address = ("--address", self.stack.address)
        return [sys.executable, "-m", "genai_spine", name, str(self.file), *address, "-m", "gpt-4o", *rest]

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return finished(*self.command(*arguments))

    def said(self, *arguments: str) -> str:
        ended = self.run(*arguments)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.said(*arguments, "--json"))


@pytest.fixture
def terminal(stack: Stack, tmp_path: Path, openai_upstream: UpstreamProcess) -> Terminal:
    return Terminal(stack, tmp_path / "text.txt")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    assert "File with the text; - reads standard input." in " ".join(explained(command).split())
    assert command in explained()


def test_summary_is_printed(terminal: Terminal, openai_upstream: UpstreamProcess) -> None:
    openai_upstream.script(Reply(text="- A tram\n- June"))
    assert terminal.said("summarize", "--bullets", "--focus", "time") == "• A tram\n• June\n"
    (entry,) = openai_upstream.bill()
    assert "time" in entry.body["messages"][0]["content"]


def test_summary_is_printed_as_json(terminal: Terminal, openai_upstream: UpstreamProcess) -> None:
    openai_upstream.script(Reply(text="A tram."))
    said = terminal.json("summarize", "--max-sentences", "1")
    assert (said["summary"], said["word_count"], said["key_points"]) == ("A tram.", 2, [])
    assert said["usage"]["cost_usd"] > 0


def test_text_comes_from_standard_input(terminal: Terminal, openai_upstream: UpstreamProcess) -> None:
    openai_upstream.script(Reply(text="Better."))
    command = terminal.command("rewrite", "--mode", "casual")
    command[command.index(str(terminal.file))] = "-"
    ended = subprocess.run(
        command, input="Words.", env=environment(), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ended.stdout == "Better.\n"
    (entry,) = openai_upstream.bill()
    assert "Words." in entry.body["messages"][-1]["content"]


def test_text_streams_on_a_terminal(terminal: Terminal, openai_upstream: UpstreamProcess) -> None:
    openai_upstream.script(Reply(text=["Better ", "words ", "now."], interval_s=0.1))
    screen, end = pty.openpty()
    process = subprocess.Popen(terminal.command("rewrite"), env=environment(), cwd=ROOT, stdout=end)
    os.close(end)
    seen: list[bytes] = []
    while True:
        try:
            piece = os.read(screen, 1000)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        seen.append(piece)
    os.close(screen)
    assert process.wait(30) == 0
    assert b"".join(seen).split() == [b"Better", b"words", b"now."]
    assert len(seen) > 2


def test_entities_are_a_table(terminal: Terminal, openai_upstream: UpstreamProcess) -> None:
    openai_upstream.script(Reply(text=ENTITIES), Reply(text=ENTITIES))
    said = terminal.said("extract", "--type", "LOCATION", "--context")
    assert "Oslo" in said
    assert "15" in said
    assert terminal.json("extract")["entities"][0]["start"] == 15


def test_categories_are_lines(terminal: Terminal, openai_upstream: UpstreamProcess) -> None:
    openai_upstream.script(Reply(text=POLITICS))
    assert terminal.said("classify", "-c", "sport", "-c", "politics", "--several") == "0.90  politics\n"


def test_long_text_tells_its_progress_and_what_was_left_out(
    terminal: Terminal, openai_upstream: UpstreamProcess
) -> None:
    terminal.file.write_text("Sentence that tells something about the trams of Oslo. " * 1500)
    openai_upstream.script(*[Reply(text="Trams.")] * 9)
    ended = terminal.run("summarize", "-m", "gpt-4", "--long", "map_reduce")
    assert ended.stdout == "Trams.\n"
    assert " of " in ended.stderr.splitlines()[0]
    openai_upstream.reset()
    openai_upstream.script(Reply(text="Trams.", finish_reason="length"))
    ended = terminal.run("summarize", "-m", "gpt-4", "--long", "truncate")
    assert "characters in the middle were not read" in ended.stderr
    assert "it may be incomplete" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("summarize", "--max-sentences", "11"), "max_sentences"),
        (("classify", "-c", ""), "categories[0]"),
        (("rewrite", "--provider", "nobody"), "unknown provider"),
    ],
)
def test_refusal_is_one_line(terminal: Terminal, arguments: tuple[str, ...], words: str) -> None:
    ended = terminal.run(*arguments)
    assert ended.returncode == 1
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_file_that_is_none_is_refused(terminal: Terminal) -> None:
    terminal.file.unlink()
    ended = terminal.run("summarize")
    assert (ended.returncode, "No such file" in ended.stderr) == (1, True)
    terminal.file.write_bytes(b"\xff\xfe")
    ended = terminal.run("summarize")
    assert (ended.returncode, "is no text in UTF-8" in ended.stderr) == (1, True)
