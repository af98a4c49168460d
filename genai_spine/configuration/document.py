"""genai.yaml as data: every value with its line, within limits, and every fault with its place.

Plain scalars are what YAML takes them for, true, false, yes, no, on, off among them; a number in base 60 or a
date stays text. Aliases and merge keys work, as long as what they expand to stays within MAX_VALUES.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from genai_spine.text import bounded_yaml

MAX_BYTES = 1 << 20  # of a file
MAX_DEPTH = 24  # lists and mappings within each other
MAX_NODES = 50_000  # values, keys, lists and mappings as written
MAX_VALUES = 50_000  # once aliases are expanded
WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]{1,3})?")
TRUE, FALSE = ("true", "yes", "on"), ("false", "no", "off")
NULL = ("", "~", "null")
QUOTED = ("'", '"', "|", ">")
MERGE = "tag:yaml.org,2002:merge"
TEXT = "tag:yaml.org,2002:str"
STANDARD = "tag:yaml.org,2002:"

Place = tuple[str | int, ...]  # keys and indexes from the top: ("providers", "openai", "base_url")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a configuration, and where."""

    problem: str
    place: Place = ()
    line: int | None = None  # from 1; None: of the whole file
    source: str = ""  # the file, or "environment"

    @property
    def path(self) -> str:
        """Path of the field: providers.openai.models[0]."""
        text = ""
        for part in self.place:
            text += f"[{part}]" if isinstance(part, int) else f".{part}"
        return text.removeprefix(".")

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}" if self.line else self.source
        return ": ".join(filter(None, (where, self.path, self.problem)))


class ConfigurationError(ValueError):
    """A configuration that cannot be used; its message is a line for each fault."""

    def __init__(self, faults: "list[Fault]") -> None:
        self.faults = sorted(faults, key=lambda fault: fault.line or 0)
        super().__init__("\n".join(map(str, self.faults)))


@dataclass(frozen=True, slots=True)
class Document:
    """Content of a file: plain data, and the line of every value."""

    source: str  # name of the file, for messages
    data: Any = None
    lines: Mapping[Place, int] = field(default_factory=dict)

    def line(self, place: Place) -> int | None:
        """Line of a place, or of the nearest thing around it that stands in the file."""
        for end in range(len(place), 0, -1):
            if found := self.lines.get(place[:end]):
                return found
        return None

    def fault(self, problem: str, *place: str | int) -> Fault:
        """Fault at a place of this file."""
        return Fault(problem, place, self.line(place), self.source)


def read_bytes(path: Path) -> bytes:
    """Bytes of a file of at most MAX_BYTES. Raises ConfigurationError."""
    try:
        if path.exists() and not path.is_file():
            raise ConfigurationError([Fault("is no regular file", source=str(path))])
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError([Fault(error.strerror or str(error), source=str(path))]) from None


def parse(raw: bytes, source: str) -> Document:
    """Document of a file's bytes. Raises ConfigurationError with every fault that can be told."""
    if len(raw) > MAX_BYTES:
        raise ConfigurationError([Fault(f"is larger than {MAX_BYTES} bytes", source=source)])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError([Fault("is not UTF-8", line=line, source=source)]) from None
    try:
        for _ in bounded_yaml.events(text, MAX_DEPTH, MAX_NODES):
            pass
        root = yaml.compose(text, bounded_yaml.LOADER)
    except bounded_yaml.TooLarge as error:
        raise ConfigurationError([Fault(str(error), source=source)]) from None
    except yaml.YAMLError as error:
        raise ConfigurationError([_unreadable(error, source)]) from None
    builder = _Builder(source)
    data = None if root is None else builder.build(root, ())
    if builder.faults:
        raise ConfigurationError(builder.faults)
    return Document(source, data, builder.lines)


def _unreadable(error: yaml.YAMLError, source: str) -> Fault:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or " ".join(str(error).split())[:200]
    context = getattr(error, "context", None)
    text = f"is no YAML: {context}: {problem}" if context else f"is no YAML: {problem}"
    return Fault(text, line=mark.line + 1 if mark else None, source=source)


class _Builder:
    """Plain data of composed nodes, with faults and lines on the way."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[Place, int] = {}
        self.faults: list[Fault] = []
        self._values = 0

    def build(self, node: Any, place: Place) -> Any:
        """Value of a node. Raises ConfigurationError where aliases expand to too much."""
        self._values += 1
        if self._values > MAX_VALUES or len(place) > MAX_DEPTH:
            problem = f"aliases expand to more than {MAX_VALUES} values, or to themselves"
            raise ConfigurationError([Fault(problem, line=node.start_mark.line + 1, source=self.source)])
        self.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*place, index)) for index, item in enumerate(node.value)]
        return self._scalar(node, place)

    def _mapping(self, node: Any, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag == MERGE and isinstance(value, yaml.MappingNode | yaml.SequenceNode):
                parts = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for part in reversed(parts):
                    merged |= self.build(part, place)
                continue
            if not isinstance(key, yaml.ScalarNode):
                self._fault("a key must be text", place, line)
                continue
            name = key.value
            if name in first:
                self._fault(f"stands here again; first on line {first[name]}", (*place, name), line)
                continue
            first[name] = line
            self.lines[(*place, name)] = line
            found[name] = self.build(value, (*place, name))
        return {**merged, **found}

    def _scalar(self, node: Any, place: Place) -> Any:
        text = node.value
        if not node.tag.startswith(STANDARD):
            self._fault(f"unknown tag {node.tag}", place, node.start_mark.line + 1)
        if node.style in QUOTED or node.tag == TEXT:
            return text
        lower = text.lower()
        if lower in NULL:
            return None
        if lower in TRUE or lower in FALSE:
            return lower in TRUE
        if WHOLE.fullmatch(text):
            return int(text)
        return float(text) if DECIMAL.fullmatch(text) else text

    def _fault(self, problem: str, place: Place, line: int) -> None:
        self.faults.append(Fault(problem, place, line, self.source))
