"""Text is harmless on a terminal, and the server is found by the variables of its settings."""

import pytest

from genai_spine.cli.output import harmless, plain, server_address


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
    variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.chdir(str(tmp_path))
    for name in ("GENAI_ADDRESS", "GENAI_API_HOST", "GENAI_API_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert server_address() == expected
