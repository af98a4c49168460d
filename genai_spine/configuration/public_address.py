"""Public address of a service by the variables and genai.yaml, read without all the rest of the settings.

A command that asks a running server needs no more, and must not need the keys of its providers.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

DEFAULT_FILE = "genai.yaml"
DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", "8100"
HOST, PORT, TLS = "GENAI_API_HOST", "GENAI_API_PORT", "GENAI_API_TLS_CERTIFICATE"
STATED = ("api_host", "api_port", "api_tls_certificate")


def public_address(variables: Mapping[str, str]) -> tuple[str, int]:
    """Host and port that Envoy listens on; port 0: any. variables: of the environment and .env.

    Raises ConfigurationError for a file that cannot be read, ValueError for a port that is none.
    """
    said: dict[str, Any] = {}
    if not (variables.get(HOST) and variables.get(PORT)):
        said = _of_file(variables)
    host = variables.get(HOST) or said.get("api_host") or DEFAULT_HOST
    port = variables.get(PORT) or said.get("api_port", DEFAULT_PORT)
    if not str(port).isdecimal() or not int(port) < 65536:
        raise ValueError(f"{port!r} is no port: GENAI_API_PORT, or settings.api_port of genai.yaml")
    return str(host), int(port)


def speaks_tls(variables: Mapping[str, str]) -> bool:
    """Whether Envoy has a certificate. Raises ConfigurationError as public_address()."""
    return bool(variables.get(TLS) or _of_file(variables).get("api_tls_certificate"))


def configuration_path(variables: Mapping[str, str]) -> Path:
    """Path of genai.yaml, which need not be there."""
    return Path(variables.get("GENAI_CONFIG") or DEFAULT_FILE)


def _of_file(variables: Mapping[str, str]) -> dict[str, Any]:
    """Host and port that genai.yaml states, with references replaced."""
    path = configuration_path(variables)
    if not path.exists() and not variables.get("GENAI_CONFIG"):
        return {}
    # A command that finds no file needs no YAML.
    from genai_spine.configuration.document import ConfigurationError, Document, Fault, parse, read_bytes
    from genai_spine.configuration.substitution import Substitution

    if not path.exists():
        raise ConfigurationError([Fault("GENAI_CONFIG names no file", source=str(path))])
    document = parse(read_bytes(path), str(path))
    stated = document.data.get("settings") if isinstance(document.data, dict) else None
    if not isinstance(stated, dict):
        return {}
    own = {name: stated[name] for name in STATED if stated.get(name) is not None}
    substitution = Substitution(Document(document.source, own, document.lines), variables, path.parent)
    found: dict[str, Any] = substitution.replaced(own, ("settings",))
    substitution.check()
    return found
