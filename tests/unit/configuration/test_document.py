"""genai.yaml as data: every fault has its line, and no file costs more than a moment."""

from pathlib import Path
from typing import Any

import pytest

from genai_spine.configuration import document
from genai_spine.configuration.document import ConfigurationError, Fault


def parsed(text: str | bytes) -> document.Document:
    return document.parse(text.encode() if isinstance(text, str) else text, "genai.yaml")


def faults(text: str | bytes) -> list[Fault]:
    with pytest.raises(ConfigurationError) as caught:
        parsed(text)
    return caught.value.faults


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-0.5", -0.5),
        ("1.5e+3", 1500.0),
        ("0x10", "0x10"),
        ("010", "010"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2026-11-29", "2026-11-29"),
        ("yes", True),
        ("Off", False),
        ("~", None),
        ("", None),
        ("nan", "nan"),
        (".inf", ".inf"),
        ("'5'", "5"),
        ('"on"', "on"),
        ("!!str 5", "5"),
        ("|\n  a\n  b", "a\nb"),
        ("9" * 30, "9" * 30),
    ],
)
def test_scalars_are_what_they_look_like(text: str, value: Any) -> None:
    assert parsed(f"a: {text}").data == {"a": value}


def test_lines_are_those_of_the_keys() -> None:
    found = parsed("a: 1\n\nb:\n  c:\n  - x\n  - y\n")
    assert [found.line(place) for place in (("a",), ("b",), ("b", "c", 1), ("b", "c", 9), ("z",))] == [
        *(1, 3, 6, 4),
        None,
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "\ufeff"])
def test_an_empty_file_is_an_empty_configuration(text: str) -> None:
    assert parsed(text).data is None


@pytest.mark.parametrize("text", ["\ufeffa: 1\nb: 2\n", "a: 1\r\nb: 2\r\n", "a: 1\rb: 2\r", "{a: 1, b: 2}"])
def test_marks_and_line_ends_of_other_systems_are_read(text: str) -> None:
    assert parsed(text).data == {"a": 1, "b": 2}


def test_aliases_and_merge_keys_expand() -> None:
    text = "base: &b {x: 1, y: 2}\none: {<<: *b, y: 3}\ntwo: {<<: [*b, {z: 4}]}\nthree: *b\n"
    data = parsed(text).data
    assert data["one"] == {"x": 1, "y": 3}
    assert data["two"] == {"x": 1, "y": 2, "z": 4}
    assert data["three"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, "a: stands here again; first on line 1"),
        ("p:\n  x: 1\n  x: 2\n", 3, "p.x: stands here again; first on line 2"),
        ("a: 1\n\tb: 2\n", 2, "is no YAML"),
        ("a:\n\t- 1\n", 2, "is no YAML"),
        ("a: [1, 2\n", 2, "is no YAML"),
        ("a: 1\n---\nb: 2\n", None, "is no YAML"),
        ("a: *nobody\n", 1, "undefined alias"),
        ("a: !python/object:os.system x\n", 1, "unknown tag"),
        ("a: !!timestamp 2026-11-29\nb: !mine 1\n", 2, "unknown tag !mine"),
        ("? [1, 2]\n: x\n", 1, "a key must be text"),
        (b"a: 1\nb: \xff\xfe\n", 2, "is not UTF-8"),
        ("a: 1\n".encode("utf-16"), 1, "is not UTF-8"),
        (b"a: \x00\n", None, "is no YAML"),
        ("a: &a [*a]\n", 1, "expand"),
        ("a: &a {b: *a}\n", 1, "expand"),
        ("a: " + "[" * 100_000, None, "nested at most 24 levels"),
        ("a: " + "{a: " * 100_000, None, "nested at most 24 levels"),
        ("a:\n" + "- 1\n" * 60_000, None, "at most 50000 values"),
        ("a: " + "x" * (1 << 20), None, "is larger than"),
    ],
)
def test_what_cannot_be_read_says_where(text: str | bytes, line: int | None, words: str) -> None:
    first = faults(text)[0]
    assert words in str(first)
    if line is not None:
        assert first.line == line


def test_a_billion_laughs_are_not_built() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 9))
    assert "aliases expand to more than" in str(faults(text)[0])


def test_every_fault_is_told_in_the_order_of_lines() -> None:
    found = faults("a: 1\na: 2\nb: !x 1\nc: {d: 1, d: 2}\n")
    assert [fault.line for fault in found] == [2, 3, 4]


def test_a_fault_names_file_line_and_path() -> None:
    found = parsed("providers:\n  x:\n    models:\n    - m\n").fault(
        "is odd", "providers", "x", "models", 0, "price"
    )
    assert str(found) == "genai.yaml:4: providers.x.models[0].price: is odd"


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no regular file"):
        document.read_bytes(tmp_path)
    with pytest.raises(ConfigurationError, match="No such file"):
        document.read_bytes(tmp_path / "none")
    big = tmp_path / "big"
    big.write_bytes(b"x" * (document.MAX_BYTES + 5))
    assert len(document.read_bytes(big)) == document.MAX_BYTES + 1
