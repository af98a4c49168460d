"""JSON Schema tree, read once and checked: valid by its metaschema, of bounded size, self-contained.

Problems are the caller's to mend: InvalidFields names the field, the place and the problem. The drafts are
those of the `jsonschema` package, 4 to 2020-12; without `$schema` it is 2020-12. References lead to places in
the same schema only, so that nothing is ever fetched.
"""

from collections.abc import Iterator
from functools import cache, cached_property
from typing import Any, NoReturn
from urllib.parse import unquote

from genai_spine.errors import InvalidFields
from genai_spine.json_schema import json_text
from genai_spine.json_schema import pattern as json_pattern

MAX_BYTES = 128 << 10
MAX_LEVELS = 64  # schemas within schemas; OpenAI takes 10
MAX_WEIGHT = 5_000  # schemas that look at one and the same value, references followed

SINGLE = (
    *("items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else"),
    *("unevaluatedItems", "unevaluatedProperties", "additionalItems", "contentSchema"),
)
LISTS = ("allOf", "anyOf", "oneOf", "prefixItems", "items")
MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies")
IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies")
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")

NEWEST = "https://json-schema.org/draft/2020-12/schema"

Path = tuple[str | int, ...]
Schema = dict[str, Any]


@cache
def drafts() -> dict[str, Any]:
    """Classes of validators, by the dialect's name; the stubs of these say less than there is.

    The package is imported with the first schema: it takes 40 ms, and few servers see one as they start.
    """
    from jsonschema import validators

    found = (
        validators.Draft4Validator,
        validators.Draft6Validator,
        validators.Draft7Validator,
        validators.Draft201909Validator,
        validators.Draft202012Validator,
    )
    return {(draft.META_SCHEMA.get("$id") or draft.META_SCHEMA["id"]).rstrip("#"): draft for draft in found}


def children(schema: Schema) -> Iterator[tuple[Path, Any]]:
    """Subschemas right below a schema, with the keys that lead to each."""
    for keyword, value in schema.items():
        if keyword in MAPS and isinstance(value, dict):
            for name, inner in value.items():
                if isinstance(inner, dict | bool):  # dependencies may hold lists of names
                    yield (keyword, name), inner
        elif keyword in LISTS and isinstance(value, list):
            for index, inner in enumerate(value):
                yield (keyword, index), inner
        elif keyword in SINGLE and isinstance(value, dict | bool):
            yield (keyword,), value


def reference(schema: Schema) -> str | None:
    """Reference that the schema names ($ref, $dynamicRef or $recursiveRef); None where it has none."""
    return next((schema[keyword] for keyword in REFERENCES if keyword in schema), None)


class SchemaTree:
    """Checked schema. root: as json_text.parse() returns it, without its $schema, which is the dialect.

    Limits: MAX_BYTES of text, MAX_LEVELS of nested schemas, MAX_WEIGHT schemas for one value; a schema within
    them is validated in bounded time.
    """

    def __init__(self, text: str, field: str) -> None:
        """Raises InvalidFields for the field that the text stands in."""
        self.field = field
        if len(text) > MAX_BYTES:
            self.refuse((), f"is longer than {MAX_BYTES} bytes")
        try:
            self.root: Schema = json_text.parse(text)
        except ValueError as error:
            self.refuse((), f"is no JSON: {error}")
        if not isinstance(self.root, dict):
            self.refuse((), "must be a JSON object")
        self.draft = self._draft()
        self.dialect: str | None = self.root.pop("$schema", None)
        self._anchors: dict[str, Any] = {}
        self._weights: dict[int, int] = {}
        self._check_metaschema()
        try:
            self._check_schemas()
            self._weigh()
        except RecursionError:
            self.refuse((), "is nested too deeply")

    def refuse(self, path: Path, problem: str) -> NoReturn:
        """Raises InvalidFields for the field, with the JSON path of the place."""
        raise InvalidFields([(self.field, f"{json_path(path)}: {problem}")])

    def target(self, reference: str) -> Any:
        """Schema that a reference names: by JSON pointer, anchor, or the schema's own id. Raises
        LookupError.
        """
        url, _, fragment = reference.partition("#")
        if url and url != self._id:
            raise LookupError(reference)
        fragment = unquote(fragment)
        if not fragment:
            return self.root
        if not fragment.startswith("/"):
            return self._anchors[fragment]
        node: Any = self.root
        for step in fragment[1:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            node = node[int(name)] if isinstance(node, list) and name.isdigit() else node[name]
        return node

    @cached_property
    def _id(self) -> str:
        return str(self.root.get("$id", self.root.get("id", ""))).rstrip("#")

    @cached_property
    def weight(self) -> int:
        """Largest number of schemas that look at one and the same value, which is what one value costs."""
        return max(self._weights.values())

    def _draft(self) -> Any:
        """Validator class of the dialect that the schema names."""
        named = self.root.get("$schema")
        if named is None:
            return drafts()[NEWEST]
        draft = drafts().get(str(named).rstrip("#"))
        if draft is None:
            self.refuse(("$schema",), f"must be one of {', '.join(drafts())}")
        return draft

    def _check_metaschema(self) -> None:
        from jsonschema import FormatChecker
        from jsonschema.exceptions import SchemaError

        no_formats = FormatChecker(formats=())  # its own would run Python's `re` on the caller's patterns
        try:
            self.draft.check_schema(self.root, format_checker=no_formats)
        except SchemaError as error:
            self.refuse(tuple(error.absolute_path), error.message[:300])
        except RecursionError:
            self.refuse((), "is nested too deeply")

    def _check_schemas(self) -> None:
        """Checks every schema that can be reached, also through references to odd places."""
        waiting: list[tuple[Path, Any]] = [((), self.root)]
        known: set[int] = set()
        references: list[tuple[Path, str]] = []
        has: set[str] = set()
        while waiting or references:
            if not waiting:  # anchors are all known by now
                waiting, references = [self._followed(*pair) for pair in references], []
            path, schema = waiting.pop()
            if not isinstance(schema, dict) or id(schema) in known:
                continue
            known.add(id(schema))
            has.update(schema)
            if len([key for key in path if key in MAPS or key in SINGLE or key in LISTS]) > MAX_LEVELS:
                self.refuse((), f"has schemas nested deeper than {MAX_LEVELS} levels")
            self._check_schema(path, schema)
            if (named := reference(schema)) is not None:
                references.append((path, named))
            waiting += [((*path, *step), inner) for step, inner in children(schema)]
        if has >= {"patternProperties", "unevaluatedProperties"}:
            self.refuse((), "has both patternProperties and unevaluatedProperties, which is not supported")

    def _followed(self, path: Path, named: str) -> tuple[Path, Any]:
        """Schema that a reference leads to, refused where there is none."""
        try:
            target = self.target(named)
        except (LookupError, TypeError, ValueError):
            self.refuse(path, f"refers to {named[:200]!r}, which is not in the schema")
        if not isinstance(target, dict | bool):
            self.refuse(path, f"refers to {named[:200]!r}, which is no schema")
        return (named,), target

    def _check_schema(self, path: Path, schema: Schema) -> None:
        own_id = schema.get("$id", "#") if path else "#"
        if isinstance(own_id, str) and not own_id.startswith("#"):
            self.refuse(path, "an $id is supported at the top only")
        if path and "$schema" in schema:
            self.refuse(path, "a $schema is supported at the top only")
        for anchor in (schema.get("$anchor"), schema.get("$dynamicAnchor"), own_id[1:]):
            if anchor:
                self._anchors[anchor] = schema
        if "pattern" in schema:
            self._check_pattern((*path, "pattern"), schema["pattern"])
        for pattern in schema.get("patternProperties", ()):
            self._check_pattern((*path, "patternProperties"), pattern)
        for keyword, value in schema.items():
            if isinstance(value, float) and value in (float("inf"), float("-inf")):
                self.refuse((*path, keyword), "is a number too large")

    def _check_pattern(self, path: Path, pattern: str) -> None:
        try:
            json_pattern.compiled(pattern)
        except ValueError as error:
            self.refuse(path, f"{pattern[:100]!r} {error}")

    def _weigh(self) -> None:
        """Weighs every schema, so that one that refers to itself for the same value is refused."""
        waiting: list[tuple[Path, Any]] = [((), self.root)]
        while waiting:
            path, schema = waiting.pop()
            if isinstance(schema, dict):
                self._weight(path, schema)
                waiting += [((*path, *step), inner) for step, inner in children(schema)]

    def _weight(self, path: Path, schema: Any) -> int:
        """Weight of a schema: 1, and the weight of every schema that looks at the same value."""
        if not isinstance(schema, dict):
            return 1
        known = self._weights.get(id(schema))
        if known is not None:
            if not known:
                self.refuse(path, "refers to itself for the same value")
            return known
        self._weights[id(schema)] = 0  # until it is known
        weight = 1 + sum(self._weight(path, inner) for inner in self._in_place(schema))
        if weight > MAX_WEIGHT:
            self.refuse(path, "combines too many schemas")
        self._weights[id(schema)] = weight
        return weight

    def _in_place(self, schema: Schema) -> Iterator[Any]:
        """Schemas that look at the same value: the reference's target, and combinations."""
        named = reference(schema)
        if named is not None:
            yield self.target(named)
        yield from (inner for step, inner in children(schema) if step[0] in IN_PLACE)


def json_path(path: Path) -> str:
    """JSON path of a place, as in `$.name[2]` or `$['odd name']`."""
    out = "$"
    for step in path:
        if isinstance(step, int):
            out += f"[{step}]"
        else:
            out += f".{step}" if step.replace("$", "").isidentifier() else f"[{step!r}]"
    return out
