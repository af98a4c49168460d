"""Text is harmless on a terminal, and the server is found by the variables of its settings."""

import io
from pathlib import Path

import pytest
import typer

from genai_spine.cli.output import counted, harmless, listens_at, plain, server_address, standard_input
from genai_spine.configuration import loader


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain ä 日本", "plain ä 日本"),
        ("a\x1b[31mb\x07", r"a\x1b[31mb\x07"),
        ("\x9b2J\x00", r"\x9b2J\x00"),
        ("evil\u202etxt.exe", r"evil\u202etxt.exe"),
        ("two\nlines\t", r"two\nlines\t"),
    ],
)
def test_control_characters_are_written_out(text: str, expected: str) -> None:
    assert plain(text) == expected


def test_lines_and_tabs_of_content_stay() -> None:
    assert harmless("a\r\n\tb\x1bc\n") == "a\n\tb\\x1bc\n"


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])  # as the locale has it
def test_input_that_is_not_utf8_is_refused_by_name(
    errors: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(said: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(said), "utf-8", errors))

    say("café\n".encode())
    assert standard_input() == "café\n"
    say("café\n".encode("latin-1"))
    with pytest.raises(typer.Exit):
        standard_input()
    assert capsys.readouterr().err == "genai-spine: standard input is not UTF-8\n"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The working directory, with no variable of the machine that runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in ("GENAI_ADDRESS", "GENAI_API_HOST", "GENAI_API_PORT", "GENAI_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GENAI_AUTH", "off")
    return tmp_path


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "127.0.0.1:8100"),
        ({"GENAI_API_PORT": "8300"}, "127.0.0.1:8300"),
        ({"GENAI_API_HOST": "10.0.0.5"}, "10.0.0.5:8100"),
        ({"GENAI_API_HOST": "0.0.0.0"}, "127.0.0.1:8100"),
        ({"GENAI_API_HOST": "::"}, "[::1]:8100"),
        ({"GENAI_API_HOST": "fd00::1"}, "[fd00::1]:8100"),
        ({"GENAI_ADDRESS": "box:1", "GENAI_API_PORT": "2"}, "box:1"),
    ],
)
def test_address_is_that_of_the_settings(
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert server_address() == expected


@pytest.mark.parametrize("where", ["genai.yaml", "conf/other.yaml"])
@pytest.mark.parametrize(
    ("text", "env_file", "variables", "expected"),
    [
        ("settings: {api_port: 8201}", "", {}, ("127.0.0.1", 8201)),
        ("settings: {api_port: 8201}", "", {"GENAI_API_HOST": "10.0.0.5"}, ("10.0.0.5", 8201)),
        ("settings: {api_host: '::', api_port: '8201'}", "", {}, ("::", 8201)),
        ("settings: {api_port: '${OTHER_PORT:-8202}'}", "", {}, ("127.0.0.1", 8202)),
        ("settings: {api_port: '${OTHER_PORT:-8202}'}", "OTHER_PORT=8203", {}, ("127.0.0.1", 8203)),
        ("settings: {api_port: '${OTHER_PORT}'}", "", {"OTHER_PORT": "8204"}, ("127.0.0.1", 8204)),
        ("settings: {lane: gpu}", "GENAI_API_PORT=8205", {}, ("127.0.0.1", 8205)),
        ("settings: {lane: gpu}", "GENAI_API_PORT=8205", {"GENAI_API_PORT": ""}, ("127.0.0.1", 8205)),
        ("settings:", "", {}, ("127.0.0.1", 8100)),
        ("", "", {}, ("127.0.0.1", 8100)),
    ],
)
def test_every_command_looks_where_up_listens(
    where: str,
    text: str,
    env_file: str,
    variables: dict[str, str],
    expected: tuple[str, int],
    bare: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (bare / where).parent.mkdir(exist_ok=True)
    (bare / where).write_text(text)
    (bare / ".env").write_text(env_file)
    if where != "genai.yaml":
        monkeypatch.setenv("GENAI_CONFIG", where)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings = loader.load().settings
    assert listens_at() == (settings.api_host, settings.api_port) == expected


def test_commands_do_not_need_the_keys_of_providers(bare: Path) -> None:
    (bare / "genai.yaml").write_text(
        "settings: {api_port: 8201}\nproviders: {a: {provider: openai, api_key: '${NO_SUCH_KEY}'}}\n"
    )
    assert server_address() == "127.0.0.1:8201"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("settings: {api_port: 'x'}", "'x' is no port"),
        ("settings: {api_port: 65536}", "65536 is no port"),
        ("settings: {api_port: 0}", "GENAI_API_PORT=0 names no port to call"),
        ("settings: [", "is no YAML"),
        ("settings: {api_port: '${NO_SUCH_PORT}'}", "the environment has no NO_SUCH_PORT"),
    ],
)
def test_an_address_that_cannot_be_told_ends_the_command(
    text: str, said: str, bare: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (bare / "genai.yaml").write_text(text)
    with pytest.raises(typer.Exit):
        server_address()
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("count", "noun", "said"),
    [(0, "row", "0 rows"), (1, "row", "1 row"), (1, "process", "1 process"), (2, "process", "2 processes")],
)
def test_one_of_a_thing_is_no_plural(count: int, noun: str, said: str) -> None:
    assert counted(count, noun) == said
