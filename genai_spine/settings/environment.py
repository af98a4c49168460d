"""Variables of the environment and of .env, and the names by which settings are read from them."""

import os
from collections.abc import Mapping
from typing import Any

from dotenv import dotenv_values

from genai_spine.settings.secret_files import FILE, secret_variables, with_files

# Variables that are read without GENAI_ too.
WITHOUT_PREFIX = (
    "HOST",
    "PORT",
    "MODEL_NAME",
    "MAX_CONCURRENT_REQUESTS",
    "MAX_RETRIES",
    "RETRY_MIN_WAIT",
    "RETRY_MAX_WAIT",
    "MAX_PROMPT_TOKENS",
    "INPUT_TOKEN_PRICE",
    "OUTPUT_TOKEN_PRICE",
)

# Older variables of settings, by the setting's name.
OLDER = {
    "budget_daily": "GENAI_COST_BUDGET_DAILY",
    "budget_monthly": "AI_DEFAULT_MONTHLY_BUDGET_USD",
    "budget_policy": "AI_BUDGET_POLICY",
}


def environment() -> dict[str, str]:
    """Variables of the file .env and of the environment, which wins, and secrets of the files that they name.

    Raises ValueError naming a variable whose file cannot be read.
    """
    return with_files(unresolved())


def unresolved() -> dict[str, str]:
    """The same variables without the files."""
    return {**_env_file(), **os.environ}


def variables_of(name: str, variables: Mapping[str, str]) -> list[str]:
    """Variables that are set and that a setting is read from, by its name in Settings."""
    names = [f"GENAI_{name.upper()}"]
    if name.upper() in WITHOUT_PREFIX:
        names.append(name.upper())
    if name in OLDER:
        names.append(OLDER[name])
    return [
        found + FILE if found in secret_variables() and variables.get(found + FILE) else found
        for found in names
        if variables.get(found)
    ]


def without_prefix(variables: Mapping[str, str]) -> dict[str, Any]:
    """Settings that are set by their older variable alone: one without GENAI_, or another one."""
    older = {name.lower(): name for name in WITHOUT_PREFIX} | OLDER
    return {
        name: value
        for name, variable in older.items()
        if (value := variables.get(variable)) and not variables.get(f"GENAI_{name.upper()}")
    }


def _env_file() -> dict[str, str]:
    return {name: value for name, value in dotenv_values(".env").items() if value is not None}
