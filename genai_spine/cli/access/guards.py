"""Option of guardrails, as commands of keys have it: a file, or JSON as it stands in a key's permissions."""

from pathlib import Path
from typing import Annotated

import typer
import yaml
from google.protobuf import json_format

from genai_spine.v1.guardrails_pb2 import Guardrails

MAX_CHARS = 200_000
HELP = "Guardrails of its calls: JSON as in its permissions, or @FILE with JSON or YAML."
Option = Annotated[str | None, typer.Option(help=HELP)]


def chosen(text: str | None) -> Guardrails | None:
    """Guardrails of the option; None: it was not given. Raises typer.BadParameter."""
    if text is None:
        return None
    try:
        written = Path(text[1:]).read_text("utf-8") if text.startswith("@") else text
        if len(written) > MAX_CHARS:
            raise ValueError(f"more than {MAX_CHARS} characters")
        found = yaml.safe_load(written)  # which JSON is, too
        if not isinstance(found, dict):
            raise ValueError("no object")
        return json_format.ParseDict(found, Guardrails())
    except (OSError, ValueError, yaml.YAMLError, json_format.ParseError) as error:
        raise typer.BadParameter(f"--guardrails: {error}") from None
