"""Schema rules: the subset of JSON Schema that an upstream accepts."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SchemaRules:
    """Rules of one upstream for the schemas that it is sent; the default accepts every schema as it is.

    Each adapter has its own, with the page that they were taken from. `rewrite.portable` applies them, and
    the validation of answers uses the caller's schema in any case.
    """

    # Keywords that it refuses or ignores; they are taken out, and said in the description instead.
    refused: frozenset[str] = frozenset()
    closed: bool = False  # every object needs "additionalProperties": false
    all_required: bool = False  # every property must be required; an optional one becomes nullable
    references: bool = True  # $ref and $defs may stand in it; otherwise they are written out
    recursion: bool = True  # a reference may lead back to a schema that it stands in
    bare_references: bool = False  # nothing may stand beside $ref
    object_only: bool = False  # the top must be an object; anything else is wrapped in one
    type_lists: bool = True  # "type" may be a list; otherwise each type is an alternative of anyOf
    typed: bool = False  # every schema needs a "type", an anyOf or a $ref
    formats: frozenset[str] | None = None  # values of "format" that it takes; None: all
    plain_patterns: bool = False  # no look-around, back-reference or word boundary in "pattern"
    max_min_items: int | None = None  # the largest "minItems" that it takes; None: any


ANYTHING = SchemaRules()
