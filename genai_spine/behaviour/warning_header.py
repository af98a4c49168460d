"""Header x-genai-warnings: what became of options, as a structured list (RFC 8941).

temperature;action=dropped, reasoning_effort;action=mapped;value="high"
"""

import re
from collections.abc import Iterable

from genai_spine.v1.option_warning_pb2 import OptionWarning

NAME = "x-genai-warnings"
MAX_CHARS = 1024  # characters; warnings that no longer fit are in the body only
NOT_IN_TOKENS = re.compile(r"[^A-Za-z0-9_.*-]")
NOT_IN_STRINGS = re.compile(r"[^ !#-\[\]-~]")  # ASCII but quotes and backslashes


def text(warnings: Iterable[OptionWarning]) -> str:
    """Value of the header; empty without warnings."""
    entries: list[str] = []
    for warning in warnings:
        action = OptionWarning.Action.Name(warning.action).removeprefix("ACTION_").lower()
        entry = f"{NOT_IN_TOKENS.sub('_', warning.option)[:64]};action={action}"
        if warning.HasField("value_used"):
            entry += f';value="{NOT_IN_STRINGS.sub("?", warning.value_used)[:64]}"'
        if sum(map(len, entries)) + len(entry) + 2 * len(entries) <= MAX_CHARS:
            entries.append(entry)
    return ", ".join(entries)
