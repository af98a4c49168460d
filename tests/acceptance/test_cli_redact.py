"""`genai-spine redact`: no server, no network, nothing of a value left where it is not asked for."""

import json
from pathlib import Path

import pytest

from tests.acceptance.test_cli import at

NOTE = "Ann: ann@example.org,\r\ncard 4111 1111 1111 1111, order AB-1234; ann@example.org\n"


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_bytes(NOTE.encode())
    return path


def test_values_are_replaced_and_the_rest_stays(note: Path) -> None:
    said = at(note.parent, "redact", str(note), "--method", "replace", "--pattern", r"ORDER=[A-Z]{2}-\d{4}")
    assert said.returncode == 0, said.stderr
    assert said.stdout.replace("\r", "") == (
        "Ann: [EMAIL_ADDRESS],\ncard [CREDIT_CARD], order [ORDER]; [EMAIL_ADDRESS]\n"
    )


def test_places_are_listed_without_the_values(note: Path) -> None:
    said = at(note.parent, "redact", str(note), "--list", "--json", "--type", "CREDIT_CARD")
    (entity,) = json.loads(said.stdout)["entities"]
    assert entity["type"] == "CREDIT_CARD"
    assert NOTE[entity["start"] : entity["end"]] == "4111 1111 1111 1111"
    assert "4111" not in said.stdout


def test_tokens_are_put_back_from_a_file_that_only_its_owner_reads(note: Path) -> None:
    mapping, hidden = note.parent / "map.json", note.parent / "hidden.txt"
    said = at(note.parent, "redact", str(note), "--method", "tokens", "--mapping", str(mapping))
    assert "<EMAIL_ADDRESS_1>" in said.stdout
    assert "ann@" not in said.stdout
    assert mapping.stat().st_mode & 0o777 == 0o600
    hidden.write_text(said.stdout)
    back = at(note.parent, "redact", str(hidden), "--restore", "--mapping", str(mapping))
    assert back.stdout.splitlines() == NOTE.splitlines()
    assert sorted(path.name for path in note.parent.iterdir()) == ["hidden.txt", "map.json", "note.txt"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--type", "PERSON"), "entity_types[0] must be one of"),
        (("--pattern", "X=(a"), "patterns[X] must be a regular expression of RE2"),
        (("--pattern", "X"), "--pattern must be TYPE=REGEX"),
        (("--method", "tokens"), "tokens need --mapping FILE"),
    ],
)
def test_what_cannot_be_done_is_told_and_nothing_printed(
    note: Path, arguments: tuple[str, ...], reason: str
) -> None:
    said = at(note.parent, "redact", str(note), *arguments)
    assert (said.returncode, said.stdout) == (1, "")
    assert reason in said.stderr
