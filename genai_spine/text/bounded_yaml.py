"""YAML within limits: depth and number of values are watched event by event, before anything is built.

libyaml composes by recursion in C, which ends the process where a text is deep, and its scanner needs
quadratic time for open brackets. It scans no further than it is asked to, though: a hostile text is left at
its first level too many.
"""

from collections.abc import Iterator
from typing import Any

import yaml

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
OPENING = (yaml.SequenceStartEvent, yaml.MappingStartEvent)
CLOSING = (yaml.SequenceEndEvent, yaml.MappingEndEvent)


class TooLarge(ValueError):
    """A text that is nested too deep or holds too much; says where."""


def events(text: str, max_depth: int, max_nodes: int) -> Iterator[Any]:
    """Parser events of a text. Raises TooLarge and yaml.YAMLError.

    max_depth: lists and mappings within each other; max_nodes: values, keys, lists and mappings.
    """
    depth = nodes = 0
    event: Any  # its marks are there always, which the types do not know
    for event in yaml.parse(text, LOADER):
        if isinstance(event, CLOSING):
            depth -= 1
        nodes += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, OPENING)
        if depth > max_depth:
            line = event.start_mark.line + 1
            raise TooLarge(f"must be nested at most {max_depth} levels deep, is deeper on line {line}")
        if nodes > max_nodes:
            raise TooLarge(f"must hold at most {max_nodes} values, lists and mappings")
        yield event
