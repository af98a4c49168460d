"""Lists, pairs and numbers, as one variable writes them."""

import json
from collections.abc import Mapping
from math import inf
from typing import Any


def names(value: Any) -> Any:
    """Names of `name,name`; what is no text as it is."""
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def named(value: Any, form: str) -> dict[str, Any]:
    """Pairs of `name=value,name=value`, or of a JSON object; form: how to write it, for the error."""
    if isinstance(value, Mapping):
        return {str(name): given for name, given in value.items()}
    if not isinstance(value, str):
        raise ValueError(f"must be a mapping, or {form}")
    if value.lstrip().startswith("{"):
        return dict(json.loads(value))
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    if any(not name.strip() or not given.strip() for name, _, given in pairs):
        raise ValueError(f"write it as {form}")
    return {name.strip(): given.strip() for name, _, given in pairs}


def count(name: str, value: str | None) -> int | None:
    """A whole number above 0 of a variable; None when it is not set."""
    if not value:
        return None
    if not value.isdigit() or not int(value):
        raise ValueError(f"{name}={value} is no whole number above 0")
    return int(value)


def positive(name: str, value: str | None) -> float | None:
    """Seconds of a variable; None when it is not set."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < inf:
        raise ValueError(f"{name}={value} is no number of seconds above 0")
    return seconds
