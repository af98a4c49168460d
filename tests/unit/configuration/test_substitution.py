"""References of genai.yaml to the environment and to files of secrets."""

from pathlib import Path
from typing import Any

import pytest

from genai_spine.configuration.document import ConfigurationError, Document
from genai_spine.configuration.substitution import Substitution

VARIABLES = {"KEY": "sk-1", "HOST": "gpu", "EMPTY": ""}


def substitution(folder: Path = Path()) -> Substitution:
    return Substitution(Document("genai.yaml", None, {("a",): 7}), VARIABLES, folder)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${KEY}", "sk-1"),
        ("http://${HOST}:8000/v1", "http://gpu:8000/v1"),
        ("${NONE:-x}", "x"),
        ("${NONE:-}", ""),
        ("${EMPTY:-x}", "x"),
        ("$${KEY}", "${KEY}"),
        ("$KEY", "$KEY"),
        ("a$b${HOST}$${x}", "a$bgpu${x}"),
        (5, 5),
        (None, None),
        (["${KEY}", {"x": "${HOST}"}], ["sk-1", {"x": "gpu"}]),
    ],
)
def test_references_are_replaced(text: Any, value: Any) -> None:
    found = substitution()
    assert found.replaced(text) == value
    found.check()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${NONE}", "the environment has no NONE"),
        ("${EMPTY}", "the environment has no EMPTY"),
        ("${}", "is no reference"),
        ("${a b}", "is no reference"),
        ("${open", "is no reference"),
    ],
)
def test_what_cannot_be_replaced_has_its_line(text: str, words: str) -> None:
    found = substitution()
    found.replaced({"a": text})
    with pytest.raises(ConfigurationError, match=rf"genai.yaml:7: a: .*{words}"):
        found.check()


def test_a_value_is_never_replaced_twice() -> None:
    found = Substitution(Document("f"), {"A": "${B}", "B": "secret"}, Path())
    assert found.replaced("${A}") == "${B}"


def test_a_secret_can_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-2\r\n")
    found = substitution(tmp_path)
    assert found.secret("file:key", "a") == "sk-2"
    assert found.secret(f"file:{tmp_path}/key", "a") == "sk-2"
    assert found.secret("sk-3", "a") == "sk-3"
    found.check()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none", None, "No such file"),
        ("empty", b"\n", "is empty"),
        ("big", b"x" * 70_000, "more than 65536 bytes"),
        ("odd", b"\xff", "not UTF-8"),
    ],
)
def test_a_secret_that_cannot_be_read_is_a_fault(
    tmp_path: Path, name: str, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    found = substitution(tmp_path)
    found.secret(f"file:{name}", "a")
    with pytest.raises(ConfigurationError, match=words):
        found.check()


def test_a_folder_is_no_secret(tmp_path: Path) -> None:
    found = substitution(tmp_path)
    found.secret("file:.", "a")
    with pytest.raises(ConfigurationError, match="Is a directory"):
        found.check()
