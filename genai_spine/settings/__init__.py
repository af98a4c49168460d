"""Settings of the service, with units and defaults, from GENAI_ variables or .env; read by cli and server.

`genai-spine doctor` shows what is in force; the table of docs/configuration.md is made from the classes here.
"""

from typing import Any

from genai_spine.providers import PROVIDERS
from genai_spine.settings.aliases import alias
from genai_spine.settings.endpoints import endpoint
from genai_spine.settings.environment import (
    WITHOUT_PREFIX,
    environment,
    unresolved,
    variables_of,
    without_prefix,
)
from genai_spine.settings.processes import Lane
from genai_spine.settings.secret_files import of_files, with_files
from genai_spine.settings.settings import Settings

__all__ = [
    "WITHOUT_PREFIX",
    "Lane",
    "Settings",
    "alias",
    "endpoint",
    "environment",
    "load",
    "variables_of",
]


def load(**overrides: Any) -> Settings:
    """Settings of the environment. overrides: options of the command line, None where not given.

    Raises ValidationError naming the variable.
    """
    raw = unresolved()
    variables = with_files(raw)
    given = without_prefix(variables) | of_files(raw, variables)
    settings = Settings(**given | {name: value for name, value in overrides.items() if value is not None})
    endpoints = {
        name: found
        for name, row in PROVIDERS.items()
        if (found := endpoint(name, row, variables, settings)) is not None
    }
    return settings.model_copy(update={"endpoints": endpoints})
