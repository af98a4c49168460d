"""Values from elsewhere: `${NAME}` and `${NAME:-default}` of the environment, and `file:PATH` for secrets."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genai_spine.configuration.document import ConfigurationError, Document, Fault, Place
from genai_spine.security import secret_file

REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
FILE = "file:"


class Substitution:
    """Replacement of the references of one document; which variables it used, by the place of the value."""

    def __init__(self, document: Document, variables: Mapping[str, str], folder: Path) -> None:
        """folder: that `file:` paths are relative to."""
        self.document = document
        self.folder = folder
        self.faults: list[Fault] = []
        self.used: dict[Place, frozenset[str]] = {}
        self._variables = variables

    def replaced(self, value: Any, place: Place = ()) -> Any:
        """Value with the variables of the environment in its texts."""
        if isinstance(value, dict):
            return {key: self.replaced(item, (*place, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.replaced(item, (*place, index)) for index, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        names: set[str] = set()

        def variable(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            named = NAME.fullmatch(match[1] or "")
            if named is None:
                self._fault(f"{match[0]} is no reference: write ${{NAME}} or ${{NAME:-default}}", place)
                return ""
            names.add(named[1])
            found = self._variables.get(named[1]) or named[2]
            if found is None:
                self._fault(f"the environment has no {named[1]}", place)
            return found or ""

        text = REFERENCE.sub(variable, value)
        self.used[place] = frozenset(names)
        return text

    def secret(self, value: str, *place: str | int) -> str:
        """Secret as it is, or of a file: `file:/run/secrets/openai`, without its last line end."""
        if not value.startswith(FILE):
            return value
        try:
            return secret_file.content(self.folder / value.removeprefix(FILE))
        except ValueError as error:
            self._fault(str(error), place)
        return ""

    def check(self) -> None:
        """Raises ConfigurationError where something could not be replaced."""
        if self.faults:
            raise ConfigurationError(self.faults)

    def _fault(self, problem: str, place: Place) -> None:
        self.faults.append(self.document.fault(problem, *place))
