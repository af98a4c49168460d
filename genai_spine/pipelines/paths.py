"""Places within the context of a pipeline: keys, separated by dots, and numbers of list entries."""

from collections.abc import Mapping, Sequence
from typing import Any


def found(value: Any, path: str) -> Any:
    """Value at a place; None where there is none."""
    if isinstance(value, Mapping) and path in value:  # a key may have dots itself
        return value[path]
    for key in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, Sequence) and not isinstance(value, str) and key.isdecimal():
            value = value[int(key)] if int(key) < len(value) else None
        else:
            return None
    return value


def root(path: str) -> str:
    """Key of the context that a place is in."""
    return path.partition(".")[0]
