"""Guardrails as an option of a command."""

from pathlib import Path

import pytest
import typer

from genai_spine.cli.access.guards import MAX_CHARS, chosen


def test_guardrails_are_json_or_a_file(tmp_path: Path) -> None:
    found = chosen('{"pii": "block", "denied_topics": {"weapons": "\\\\bbow\\\\b"}, "max_input_chars": 7}')
    assert found is not None
    assert (found.pii, dict(found.denied_topics), found.max_input_chars) == (
        "block",
        {"weapons": r"\bbow\b"},
        7,
    )
    (tmp_path / "g.yaml").write_text("pii: redact\nblock_injections: true\n")
    from_file = chosen(f"@{tmp_path}/g.yaml")
    assert from_file is not None
    assert (from_file.pii, from_file.block_injections) == ("redact", True)
    assert chosen(None) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{", "pii", '{"nothing": 1}', '{"max_input_chars": "x"}'),
        *("@nowhere.yaml", "#" * (MAX_CHARS + 1)),
    ],
)
def test_what_is_none_is_told(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="--guardrails"):
        chosen(text)
