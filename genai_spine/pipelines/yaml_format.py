"""YAML form of pipelines: one mapping, with the fields of PipelineDefinition by their names."""

from typing import Any

import yaml
from google.protobuf import json_format

from genai_spine.errors import InvalidFields
from genai_spine.text import bounded_yaml
from genai_spine.text.bounded_yaml import LOADER
from genai_spine.v1.pipeline_pb2 import PipelineDefinition

MAX_CHARACTERS = 300_000
MAX_DEPTH, MAX_NODES = 30, 20_000
MAX_DIRECTIVES = 4  # lines such as %TAG, which cost time that grows with their square
ORDER = ("name", "version", "description", "tags")  # what stands first


def read(text: str) -> PipelineDefinition:
    """Definition of a YAML text, which is not checked yet. Raises InvalidFields (yaml)."""
    try:
        _check_shape(text)
        fields = yaml.load(text, LOADER)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidFields([("yaml", f"is no YAML: {' '.join(str(error).split())[:300]}")]) from None
    if not isinstance(fields, dict):
        raise InvalidFields([("yaml", "must be one mapping")])
    fields = {name: str(value) if name == "version" else value for name, value in fields.items()}
    try:
        return json_format.ParseDict(_plain(fields), PipelineDefinition())
    except json_format.ParseError as error:
        raise InvalidFields([("yaml", _words(str(error)))]) from None


def written(definition: PipelineDefinition) -> str:
    """YAML text of a definition; fields that are unset are left out."""
    fields = json_format.MessageToDict(definition, preserving_proto_field_name=True)
    first = {name: fields.pop(name) for name in ORDER if name in fields}
    steps = fields.pop("steps", [])
    whole = {**first, **_numbers(fields), "steps": [_numbers(step) for step in steps]}
    text: str = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=100)
    return text


def _check_shape(text: str) -> None:
    """Raises ValueError where a text is too large, too deep or has aliases, which can expand to gigabytes."""
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"must hold at most {MAX_CHARACTERS} characters")
    if sum(line.startswith("%") for line in text.splitlines()) > MAX_DIRECTIVES:
        raise ValueError("has too many directives")
    for event in bounded_yaml.events(text, MAX_DEPTH, MAX_NODES):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("must not use aliases")


def _plain(value: Any) -> Any:
    """Value with texts in the place of what JSON lacks, such as dates."""
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)


def _numbers(value: Any) -> Any:
    """Whole numbers without a point, as a person writes them."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {name: _numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_numbers(inner) for inner in value]
    return value


def _words(problem: str) -> str:
    """Problem without the list of all fields that there are."""
    return " ".join(problem.partition("Available Fields")[0].split())[:300]
