"""`genai-spine redact FILE`: PII found and redacted here, without a server or a network."""

import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from genai_spine.cli.capabilities import File
from genai_spine.cli.output import Json, fail, print_json, standard_input, write
from genai_spine.cli.tables import Column, number, show_table
from genai_spine.errors import InvalidFields

if TYPE_CHECKING:
    from genai_spine.privacy.spans import Span
    from genai_spine.privacy.tokens import TokenMapping

HASH_KEY_BYTES = 32
Method = Literal["mask", "replace", "hash", "remove", "tokens"]


def redact(
    file: File,
    method: Annotated[Method, typer.Option(help="What stands in the place of a value.")] = "mask",
    types: Annotated[
        list[str] | None, typer.Option("--type", "-t", help="Type to find; repeatable. Default: all.")
    ] = None,
    patterns: Annotated[
        list[str] | None,
        typer.Option("--pattern", help="Own pattern as TYPE=REGEX, in RE2's syntax; repeatable."),
    ] = None,
    mapping: Annotated[
        Path | None,
        typer.Option(
            help="Of tokens: JSON file of their values. It is read, and written for its owner alone."
        ),
    ] = None,
    restore: Annotated[bool, typer.Option("--restore", help="Put the values of --mapping back.")] = False,
    list_only: Annotated[
        bool, typer.Option("--list", help="List types and places, and redact nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Redact personal data in a text: e-mail addresses, phone, card and account numbers, IP addresses."""
    from genai_spine.privacy.detection import detect
    from genai_spine.privacy.tokens import restored

    if (method == "tokens" or restore) and mapping is None:
        fail("tokens need --mapping FILE, or nobody can put their values back")
    text = _text(file)
    if restore:
        write(restored(text, _mapping(mapping)))
        return
    try:
        spans = detect(text, types or (), _patterns(patterns or []))
    except InvalidFields as error:
        fail("; ".join(f"{path} {problem}" for path, problem in error.violations))
    if list_only:
        _show(spans, as_json=as_json)
        return
    result = _redacted(text, spans, method, mapping)
    if as_json:
        print_json({"redacted": result, "entities": [span._asdict() for span in spans]})
    else:
        write(result)


def _redacted(text: str, spans: "list[Span]", method: Method, path: Path | None) -> str:
    from genai_spine.privacy.redaction import METHODS, hashing, redacted
    from genai_spine.privacy.tokens import tokenized

    if method == "hash":
        return redacted(text, spans, hashing(secrets.token_bytes(HASH_KEY_BYTES)))
    if method != "tokens":
        return redacted(text, spans, METHODS[method])
    mapping = _mapping(path)
    result = tokenized(text, spans, mapping)
    if path is not None:
        _keep(path, mapping)
    return result


def _text(file: str) -> str:
    """Text of a file with its line ends as they are: what is not redacted stays the same byte by byte."""
    if file == "-":
        return standard_input()
    try:
        return Path(file).read_bytes().decode("utf-8")
    except OSError as error:
        fail(error)
    except UnicodeDecodeError:
        fail(f"{file} is no text in UTF-8")


def _patterns(given: list[str]) -> dict[str, str]:
    """Patterns by their types."""
    found = {}
    for pair in given:
        name, equals, pattern = pair.partition("=")
        if not (name and equals and pattern):
            fail(f"--pattern must be TYPE=REGEX, got {pair}")
        found[name] = pattern
    return found


def _mapping(path: Path | None) -> "TokenMapping":
    """Mapping of a file; an empty one where there is no file yet."""
    from genai_spine.privacy.tokens import TokenMapping

    if path is None or not path.exists():
        return TokenMapping()
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}")
    if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
        fail(f"{path} must be a JSON object of tokens and their values")
    return TokenMapping(values)


def _keep(path: Path, mapping: "TokenMapping") -> None:
    """Writes a mapping beside its place and puts it there whole: half a mapping would lose values."""
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(
            os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            json.dump(mapping.values, file, ensure_ascii=False)
        beside.replace(path)
    except OSError as error:
        fail(error)


def _show(spans: "list[Span]", *, as_json: bool) -> None:
    if as_json:
        print_json({"entities": [span._asdict() for span in spans]})
        return
    columns = [number("from"), number("to"), Column("type"), number("sure")]
    rows = [(str(span.start), str(span.end), span.type, f"{span.confidence:.2f}") for span in spans]
    show_table(columns, rows)
