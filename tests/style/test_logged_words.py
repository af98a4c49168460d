"""Logs and ledger take an error's `logged` words: its message may repeat what a caller or a model said."""

import ast
from pathlib import Path

from tests.style.source import MODULES, offenders, room, tree

ROOMS = ("edge", "openai_api", "inference", "sessions", "prompts", "capabilities")
ERRORS = frozenset({"error", "told", "failure", "gone"})


def _messages_in_logs(path: Path) -> list[int]:
    """Lines where str(error) goes into a log line, or into a row of the ledger."""
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith(("log.", "self._log")):
            values = [keyword.value for keyword in node.keywords]
        elif isinstance(node, ast.Assign) and "execution.error" in ast.unparse(node.targets[0]):
            values = [node.value]
        else:
            continue
        found += [
            part.lineno
            for value in values
            for part in ast.walk(value)
            if isinstance(part, ast.Call) and ast.unparse(part.func) == "str"
            if isinstance(part.args[0], ast.Name) and part.args[0].id in ERRORS
        ]
    return found


def test_logs_and_ledger_hold_no_message_that_may_quote() -> None:
    checked = [path for path in MODULES if room(path) in ROOMS]
    assert offenders(checked, _messages_in_logs) == []
