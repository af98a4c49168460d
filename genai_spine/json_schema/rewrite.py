"""JSON Schema rewritten to what an upstream accepts; the answer is validated against the original.

Keywords that an upstream refuses are said in the `description` instead, where the model reads them. Objects
whose names are not known beforehand, which no closed schema can say, become lists of {"key", "value"}
entries. An answer is turned back by AnswerSchema.restored().

The rules of each upstream are a SchemaRules beside its adapter. In their order, a schema is flattened
(`flatten`), keywords are translated, objects closed, optional properties made nullable, and the top wrapped
in an object where the upstream wants one.
"""

from functools import lru_cache
from typing import Any

from genai_spine.json_schema import json_text
from genai_spine.json_schema.flatten import SILENT, Flattener, references
from genai_spine.json_schema.merge import NOTES
from genai_spine.json_schema.rules import SchemaRules
from genai_spine.json_schema.tree import (
    LISTS,
    MAPS,
    REFERENCES,
    SINGLE,
    Schema,
    SchemaTree,
    children,
    reference,
)

__all__ = ["FIELD", "WRAPPED", "SchemaRules", "is_wrapped", "portable", "tree"]

FIELD = "response_format.json_schema.schema_json"
MAX_SCHEMAS = 5_000  # that a rewritten schema may have
WRAPPED = "value"  # the one property of the object around an answer that is no object

SCALARS = ("string", "number", "boolean", "null")
# What a schema without a type is about, told by its keywords.
TYPE_OF = (
    dict.fromkeys(("items", "prefixItems", "minItems", "maxItems", "uniqueItems"), "array")
    | dict.fromkeys(("pattern", "format", "minLength", "maxLength"), "string")
    | dict.fromkeys(("minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"), "number")
)
COMBINED = ("anyOf", "oneOf", "allOf")
ENTRY_WORDS = ("propertyNames", "minProperties", "maxProperties")  # that a list of entries cannot have
PLAIN_PATTERN_MISSES = ("(?=", "(?!", "(?<", r"\b", r"\B", *(rf"\{digit}" for digit in range(1, 10)))


def portable(schema_json: str, rules: SchemaRules, field: str = FIELD) -> str:
    """JSON text of the schema as the upstream takes it; key order and numbers are kept.

    Raises InvalidFields for the field when it is no valid schema, or one that cannot be rewritten.
    """
    return _portable(schema_json, rules, field)


@lru_cache(256)
def is_wrapped(schema_json: str, rules: SchemaRules) -> bool:
    """Whether the upstream's answer is an object with the one property WRAPPED, which is the caller's
    value.
    """
    if not rules.object_only:
        return False
    writer = _SchemaRewriter(tree(schema_json, FIELD), rules)
    return not writer.is_object(writer.top()[0])


@lru_cache(256)
def tree(schema_json: str, field: str = FIELD) -> SchemaTree:
    """Parsed and checked schema. Raises InvalidFields for the field."""
    return SchemaTree(schema_json, field)


@lru_cache(256)
def _portable(schema_json: str, rules: SchemaRules, field: str) -> str:
    checked = tree(schema_json, field)
    return schema_json if rules == SchemaRules() else json_text.write(_SchemaRewriter(checked, rules).whole())


class _SchemaRewriter:
    """Rewriter of one schema. A trail is the references that were written out around a schema.

    At most MAX_SCHEMAS schemas are written, since references that are written out can multiply.
    """

    def __init__(self, tree: SchemaTree, rules: SchemaRules) -> None:
        self.tree = tree
        self.rules = rules
        self.written = 0
        self.flattener = Flattener(tree, rules)

    def whole(self) -> Schema:
        """Rewritten schema, with its dialect first where the upstream takes `$schema`."""
        dialect = None if "$schema" in self.rules.refused else self.tree.dialect
        return self._whole() if dialect is None else {"$schema": dialect} | self._whole()

    def _whole(self) -> Schema:
        try:
            schema, trail = self.top()
            definitions = {name: self._definitions(name) for name in ("$defs", "definitions")}
            definitions = {name: schemas for name, schemas in definitions.items() if schemas}
            schema = {key: value for key, value in schema.items() if key not in ("$defs", "definitions")}
            if not self.rules.object_only or self.is_object(schema):
                top: Schema = self._schema(schema, trail)
                return top | definitions
            return self._wrapped(schema, trail, definitions)
        except RecursionError:
            self.tree.refuse((), "is nested too deeply once its references are written out")

    def top(self) -> tuple[Schema, frozenset[str]]:
        """Top schema and its trail; where the upstream takes objects only, no reference stands there."""
        schema, trail = self.flattener.flat(self.tree.root, frozenset())
        named = reference(schema)
        while self.rules.object_only and named is not None and named not in trail:
            schema, trail = self.flattener.written_out(schema, named, trail)
            named = reference(schema)
        return schema, trail

    def is_object(self, schema: Schema) -> bool:
        """Whether the schema describes an object as it is: no alternatives, and known names."""
        alternatives = {*COMBINED, "not", "if", *REFERENCES} & set(schema)
        kind = schema.get("type", "object" if "properties" in schema else None)
        return kind == "object" and not alternatives and not self._is_map(schema)

    def _wrapped(self, schema: Schema, trail: frozenset[str], definitions: Schema) -> Schema:
        """Object around a schema that is none, its definitions beside it. References to the top point to a
        definition of it then.
        """
        inner = self._schema(schema, trail)
        if "#" in references(inner, *definitions.values()):
            places = definitions.setdefault("$defs", {})
            name = WRAPPED
            while name in places:
                name += "_"
            places[name] = inner
            inner = {"$ref": f"#/$defs/{name}"}
            _point(definitions, inner["$ref"])
        outer = {"type": "object", "properties": {WRAPPED: inner}, "required": [WRAPPED]}
        return outer | {"additionalProperties": False} | definitions

    def _definitions(self, name: str) -> Schema:
        definitions = self.tree.root.get(name, {}) if self.rules.references else {}
        return {key: self._schema(schema, frozenset()) for key, schema in definitions.items()}

    def _schema(self, schema: Any, trail: frozenset[str]) -> Any:
        """Rewritten schema with everything below it. Raises InvalidFields when there are too many."""
        self.written += 1
        if self.written > MAX_SCHEMAS:
            self.tree.refuse((), "is too large once its references are written out")
        if schema is False:
            return False
        schema, trail = self.flattener.flat({} if schema is True else schema, trail)
        schema = self._translated(schema)
        if self._splits(schema):
            schema = _alternatives_by_type(schema)
        elif self._is_map(schema):
            schema = self._entries(schema)
        return self._finished(schema, trail)

    def _finished(self, schema: Schema, trail: frozenset[str]) -> Schema:
        """Schema of the keywords that the upstream takes; the others are appended to its description."""
        words: list[str] = []
        out: Schema = {}
        for keyword, value in schema.items():
            if self._is_refused(keyword, value):
                words += [] if keyword in SILENT else [_words(keyword, value)]
            else:
                out[keyword] = self._value(keyword, value, trail)
        if "properties" in out or out.get("type") == "object":
            out = self._closed(out)
        if self.rules.typed and not {"type", *COMBINED, *REFERENCES} & set(out):
            out = self._with_type(out)
        if words:
            description = out.get("description")
            out["description"] = f"{description} ({', '.join(words)})" if description else ", ".join(words)
        return out

    def _value(self, keyword: str, value: Any, trail: frozenset[str]) -> Any:
        if keyword in MAPS and isinstance(value, dict):
            return {
                name: self._schema(schema, trail) if isinstance(schema, dict | bool) else schema
                for name, schema in value.items()
            }
        if keyword in LISTS and isinstance(value, list):
            return [self._schema(schema, trail) for schema in value]
        if keyword == "additionalProperties" and self.rules.closed:
            return False
        if keyword in SINGLE and isinstance(value, dict):
            return self._schema(value, trail)
        return value

    def _translated(self, schema: Schema) -> Schema:
        """Schema in which refused keywords are said by others that are not: const by enum, oneOf by anyOf,
        prefixItems by items.
        """
        refused = self.rules.refused
        out: Schema = {}
        for keyword, value in schema.items():
            if keyword == "const" and keyword in refused and "enum" not in schema:
                out["enum"] = [value]
            elif keyword == "oneOf" and keyword in refused and "anyOf" not in schema:
                out["anyOf"] = value
            elif keyword not in ("$defs", "definitions"):  # those of the top are written apart
                out[keyword] = value
        prefix = out.get("prefixItems", out["items"] if isinstance(out.get("items"), list) else None)
        if prefix is not None and "prefixItems" in refused:
            rest = out.get("additionalItems", True) if "prefixItems" not in out else out.get("items", True)
            out.pop("additionalItems", None)
            kinds = {
                json_text.write(kind): kind for kind in [*prefix, *([rest] if rest is not False else [])]
            }
            out["prefixItems"], out["items"] = prefix, {"anyOf": list(kinds.values())}
        return out

    def _splits(self, schema: Schema) -> bool:
        """Whether a list of types must become alternatives of one type each."""
        names = schema.get("type")
        if not isinstance(names, list):
            return False
        return not self.rules.type_lists or ("object" in names and self._is_map(schema | {"type": "object"}))

    def _is_map(self, schema: Schema) -> bool:
        """Whether an object's names are the model's to choose, where a closed object could have none."""
        if not self.rules.closed or schema.get("properties"):
            return False
        patterns, further = schema.get("patternProperties"), schema.get("additionalProperties", True)
        if {*COMBINED, *REFERENCES} & set(schema):
            return False
        if "type" not in schema:
            return bool(patterns) or isinstance(further, dict)
        return schema["type"] == "object" and (further is not False or bool(patterns))

    def _entries(self, schema: Schema) -> Schema:
        """Array of {"key", "value"} entries in place of an object with free names."""
        patterns, further = schema.get("patternProperties", {}), schema.get("additionalProperties", True)
        kinds = [*patterns.values(), *([further] if isinstance(further, dict) else [])]
        if not kinds:
            kinds = [{"type": list(SCALARS)}]
        entry: Schema = {
            "type": "object",
            "properties": {
                "key": {"type": "string"},
                "value": kinds[0] if len(kinds) == 1 else {"anyOf": kinds},
            },
            "required": ["key", "value"],
        }
        if patterns:
            entry["properties"]["key"]["description"] = "matches " + " or ".join(patterns)
        out: Schema = {"type": "array"}
        notes = ["the entries of an object", *(_words(k, schema[k]) for k in ENTRY_WORDS if k in schema)]
        note = schema.get("description")
        out |= {
            key: value for key, value in schema.items() if key in (*NOTES, *SILENT) and key != "description"
        }
        out["description"] = f"{note} ({', '.join(notes)})" if note else ", ".join(notes)
        return out | {"items": entry}

    def _is_refused(self, keyword: str, value: Any) -> bool:
        """Whether the upstream refuses the keyword, or this value of it."""
        rules = self.rules
        if keyword in rules.refused or (keyword == "allOf" and rules.closed):
            return True
        if keyword == "format":
            return rules.formats is not None and value not in rules.formats
        if keyword == "pattern" and rules.plain_patterns:
            return any(construct in value for construct in PLAIN_PATTERN_MISSES)
        if keyword == "minItems" and rules.max_min_items is not None:
            return bool(value > rules.max_min_items)
        return rules.closed and keyword in ("patternProperties", "unevaluatedProperties")

    def _closed(self, schema: Schema) -> Schema:
        """Object schema with `additionalProperties: false`, and every property required, as the rules
        demand.
        """
        rules = self.rules
        needs_type = "type" not in schema and (rules.closed or rules.object_only)
        out: Schema = {"type": "object"} | schema if needs_type else schema
        properties: Schema = {
            name: inner for name, inner in out.get("properties", {}).items() if inner is not False
        }
        needed = out.get("required", ())
        if rules.all_required:
            for name in properties.keys() - set(needed):
                properties[name] = self._nullable(properties[name])
            out["required"] = [*properties, *(name for name in needed if name not in properties)]
        if rules.closed:
            unnamed = [name for name in out.get("required", ()) if name not in properties]
            out["properties"] = properties | {name: self._schema({}, frozenset()) for name in unnamed}
            out["additionalProperties"] = False
        elif "properties" in out:
            out["properties"] = properties
        return out

    def _nullable(self, schema: Schema) -> Schema:
        """Schema that also takes null, which stands for a property that is left out."""
        kind = schema.get("type")
        if _takes_null(schema):
            return schema
        if isinstance(kind, str) and self.rules.type_lists and not {"enum", "const"} & set(schema):
            return schema | {"type": [kind, "null"]}
        return {"anyOf": [schema, {"type": "null"}]}

    def _with_type(self, out: Schema) -> Schema:
        """Schema with a type: of its values, of its keywords, or any scalar."""
        values = [out["const"]] if "const" in out else out.get("enum")
        implied = next((TYPE_OF[keyword] for keyword in out if keyword in TYPE_OF), None)
        names = (
            list(dict.fromkeys(map(_type_of, values))) if values else [implied] if implied else list(SCALARS)
        )
        if len(names) == 1:
            return {"type": names[0]} | out
        if self.rules.type_lists:
            return {"type": names} | out
        return {"anyOf": [self._typed_branch(name, out, values) for name in names]} | {
            key: value for key, value in out.items() if key in NOTES
        }

    def _typed_branch(self, name: str, out: Schema, values: list[Any] | None) -> Schema:
        rest = {key: value for key, value in out.items() if key not in (*NOTES, "enum", "const")}
        if values:
            rest["enum"] = [value for value in values if _type_of(value) == name]
        return {"type": name} | rest


def _alternatives_by_type(schema: Schema) -> Schema:
    """Alternatives (anyOf) of one type each, in place of a list of types."""
    rest = {key: value for key, value in schema.items() if key not in (*NOTES, *SILENT, "type")}
    kinds = [
        {"type": "null"} if name == "null" and "enum" not in rest else {"type": name} | rest
        for name in schema["type"]
    ]
    kept = {key: value for key, value in schema.items() if key in (*NOTES, *SILENT)}
    return {"anyOf": kinds} | kept if len(kinds) > 1 else kinds[0] | kept


def _takes_null(schema: Schema) -> bool:
    """Whether null is valid as far as the schema's own keywords tell."""
    if not {"type", "enum", "const", *COMBINED, "not", "if", *REFERENCES} & set(schema):
        return True
    kind = schema.get("type")
    if "null" in (kind if isinstance(kind, list) else [kind]):
        return "enum" not in schema or None in schema["enum"]
    if kind is None and "enum" in schema:
        return None in schema["enum"]
    branches = schema.get("anyOf", ()) if kind is None else ()
    return any(isinstance(branch, dict) and branch.get("type") == "null" for branch in branches)


def _type_of(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    if isinstance(value, int | float):
        return "number" if isinstance(value, float) else "integer"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _words(keyword: str, value: Any) -> str:
    return f"{keyword} {value if isinstance(value, str) else json_text.write(value)}"


def _point(schema: Any, to: str) -> None:
    """Turns every reference to the top into one to another place. Changes the schema."""
    if not isinstance(schema, dict):
        return
    for _, inner in children(schema):
        _point(inner, to)
    if schema.get("$ref") == "#":
        schema["$ref"] = to
