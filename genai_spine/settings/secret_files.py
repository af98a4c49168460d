"""Secrets in files: NAME_FILE names the file that holds the value of the variable NAME.

It holds for every setting that is a SecretStr and for the keys, proxies and further secrets of providers, and
so for those that are added.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from genai_spine.providers import PROVIDERS
from genai_spine.security import secret_file
from genai_spine.settings.settings import Settings

FILE = "_FILE"
SECRET_NAME = re.compile(r"secret|token|key|password|credential|command", re.IGNORECASE)
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")  # which may hold a password


def secret_settings() -> list[str]:
    """Names of the settings that are secrets."""
    return [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]


@cache
def secret_variables() -> frozenset[str]:
    """Variables whose values are secrets."""
    found = {f"GENAI_{name.upper()}" for name in secret_settings()} | set(PROXIES)
    for name, row in PROVIDERS.items():
        own = f"GENAI_{name.upper()}_"
        found |= {f"{own}API_KEY", f"{name.upper()}_API_KEY", f"{own}PROXY", *row.key_variables}
        found |= {f"{own}{setting.upper()}" for setting in row.further if SECRET_NAME.search(setting)}
    return frozenset(found)


def with_files(variables: Mapping[str, str]) -> dict[str, str]:
    """Variables with those that stand in files. Raises ValueError naming the variable, never its value."""
    found = dict(variables)
    for name in secret_variables():
        file = variables.get(name + FILE)
        if not file or name.removeprefix("GENAI_").lower() + "_file" in Settings.model_fields:
            continue  # or a setting of its own reads the file
        if variables.get(name):
            raise ValueError(f"{name} and {name}{FILE} are both set; take one of them away")
        try:
            found[name] = secret_file.content(Path(file))
        except ValueError as error:
            raise ValueError(f"{name}{FILE}: {error}") from None
    return found


def of_files(variables: Mapping[str, str], resolved: Mapping[str, str]) -> dict[str, str]:
    """Settings that are secrets and stand in files, by their names."""
    return {
        name: resolved[variable]
        for name in secret_settings()
        if name + "_file" not in Settings.model_fields
        and variables.get((variable := f"GENAI_{name.upper()}") + FILE)
        and not variables.get(variable)
    }
