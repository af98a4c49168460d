"""YAML of callers, read within limits into what JSON can say.

What stays slow within the limits of `bounded_yaml` (thousands of %TAG lines, a number in base 60) belongs
into a process of its own: sandbox_process.py, which loads this module.
"""

from typing import Any

import yaml

from genai_spine.prompts.sandbox import TextRefused
from genai_spine.text import bounded_yaml
from genai_spine.text.bounded_yaml import LOADER

# Lists and mappings within each other. Deeper structures of a prompt could not be told: protobuf reads 100
# messages within each other, and a level of a Struct is three.
MAX_DEPTH = 35
MAX_NODES = 50_000  # values, keys, lists and mappings; checking so many as prompts takes 0.5 s
MAX_INT_BITS = 1000  # of a whole number; a double has 1023


def load(text: str) -> Any:
    """Plain data of a YAML text. Raises TextRefused, also for aliases: anchors can expand to gigabytes."""
    try:
        _check_shape(text)
        value = yaml.load(text, LOADER)
    except (yaml.YAMLError, ValueError) as error:
        raise TextRefused(None, f"is no YAML: {' '.join(str(error).split())[:300]}") from error
    _check_plain(value, "")
    return value


def _check_shape(text: str) -> None:
    """Depth and number of nodes, event by event. Raises TextRefused."""
    try:
        for event in bounded_yaml.events(text, MAX_DEPTH, MAX_NODES):
            if isinstance(event, yaml.AliasEvent):
                raise TextRefused(None, "must not use aliases")
    except bounded_yaml.TooLarge as error:
        raise TextRefused(None, str(error)) from None


def _check_plain(value: Any, place: str) -> None:
    """Types that JSON has, and no others. Raises TextRefused."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TextRefused(
                    None, f"has the key {str(key)[:60]} at {place or 'its top'}, which is no text: quote it"
                )
            _check_plain(item, f"{place}.{key[:60]}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check_plain(item, f"{place}[{number}]")
    elif isinstance(value, int):
        if value.bit_length() > MAX_INT_BITS:
            raise TextRefused(None, f"has too large a number at {place or 'its top'}")
    elif not isinstance(value, str | float | None):
        raise TextRefused(
            None, f"has a {type(value).__name__} at {place or 'its top'}, which JSON lacks: quote it"
        )
