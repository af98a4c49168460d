"""A JSON Schema rewritten to what an upstream accepts; the answer is checked against the original."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SchemaRules:
    """What an upstream demands of a schema."""

    # Keywords that it refuses or ignores; they are taken out, and said in the description instead.
    refused: frozenset[str] = frozenset()
    closed: bool = False  # every object needs "additionalProperties": false
    all_required: bool = False  # every property must be required; an optional one becomes nullable
    references: bool = True  # $ref and $defs may stand in it; otherwise they are written out
    object_only: bool = False  # the top must be an object; anything else is wrapped in one


def portable(schema_json: str, rules: SchemaRules) -> str:
    """The schema as the upstream takes it; key order and numbers are kept."""
    return schema_json
