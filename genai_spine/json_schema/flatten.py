"""One JSON Schema without the references and combinations that an upstream does not take.

Everything stays in the caller's vocabulary; only the top of the schema changes. A trail is the references
that were written out around a schema: one that leads back to it is recursion.
"""

from typing import Any

from genai_spine.json_schema.merge import NOTES, Impossible, Unmergeable, merged
from genai_spine.json_schema.rules import SchemaRules
from genai_spine.json_schema.tree import REFERENCES, Schema, SchemaTree, children, reference

# Taken out without a word when they are refused: they say nothing about an answer.
SILENT = frozenset({"$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$comment", "$vocabulary", "title"})


class Flattener:
    def __init__(self, tree: SchemaTree, rules: SchemaRules) -> None:
        self.tree = tree
        self.rules = rules
        self._named_below: dict[str, list[str]] = {}  # references below the target of one

    def flat(self, schema: Schema, trail: frozenset[str]) -> tuple[Schema, frozenset[str]]:
        """The schema without the references and combinations at its top that cannot stay there."""
        named = reference(schema)
        if named is not None:
            if self._stays(schema, named, trail):
                return self._pointing(schema, named), trail
            return self.flat(*self.written_out(schema, named, trail))
        if "allOf" in schema and (self.rules.closed or "allOf" in self.rules.refused):
            schema, trail = self._joined(schema, trail)
        if self.rules.closed and {"anyOf", "oneOf"} & set(schema):
            schema, trail = self._spread(schema, trail)
        return schema, trail

    def _stays(self, schema: Schema, named: str, trail: frozenset[str]) -> bool:
        if named in trail:
            self._check_recursion(named)
            return True
        if not self.rules.references:
            return False
        if not self.rules.recursion and self._recurs(named):
            self._check_recursion(named)
        if not named.startswith(("#/$defs/", "#/definitions/")) and named != "#":
            return False
        alone = len(schema) == 1 or not self.rules.bare_references
        return alone or self._recurs(named)

    def _check_recursion(self, named: str) -> None:
        if not (self.rules.references and self.rules.recursion):
            self.tree.refuse((), f"{named!r} leads back to itself, which the provider cannot take")

    def _recurs(self, named: str) -> bool:
        """The reference leads to a schema that holds the same reference."""
        seen: set[str] = set()
        waiting = [named]
        while waiting:
            name = waiting.pop()
            if name not in self._named_below:
                self._named_below[name] = references(self.tree.target(name))
            if named in self._named_below[name]:
                return True
            waiting += [inner for inner in self._named_below[name] if inner not in seen]
            seen.update(self._named_below[name])
        return False

    def _pointing(self, schema: Schema, named: str) -> Schema:
        if self.rules.bare_references:
            return {"$ref": named}
        return {
            **{("$ref" if key in REFERENCES else key): value for key, value in schema.items()},
            "$ref": named,
        }

    def written_out(self, schema: Schema, named: str, trail: frozenset[str]) -> tuple[Schema, frozenset[str]]:
        target = self.tree.target(named)
        target_schema: Schema = {} if target is True else {"not": {}} if target is False else target
        own = {key: value for key, value in schema.items() if key not in REFERENCES}
        if target is self.tree.root:
            target_schema = {
                key: value for key, value in target_schema.items() if key not in ("$defs", "definitions")
            }
        try:
            return merged(own, target_schema), trail | {named}
        except Unmergeable:
            return own | {"allOf": [*own.get("allOf", ()), target_schema]}, trail | {named}

    def _joined(self, schema: Schema, trail: frozenset[str]) -> tuple[Schema, frozenset[str]]:
        """allOf as one schema; what cannot be said so is left to the words."""
        joined = {key: value for key, value in schema.items() if key != "allOf"}
        for conjunct in schema["allOf"]:
            branch: Schema = {} if conjunct is True else {"not": {}} if conjunct is False else conjunct
            while (named := reference(branch)) is not None:
                if named in trail or (self._is_lone(schema) and self._recurs(named)):
                    self._check_recursion(named)
                    return self._lone_reference(schema, named), trail
                branch, trail = self.written_out(branch, named, trail)
            branch, trail = self.flat(branch, trail)
            try:
                joined = merged(joined, branch)
            except Unmergeable:
                return schema, trail
        return joined, trail

    def _is_lone(self, schema: Schema) -> bool:
        """{"allOf": [{"$ref": ...}]}, as older generators wrap a reference to put a note beside it."""
        return len(schema["allOf"]) == 1 and set(schema) <= {"allOf", *NOTES}

    def _lone_reference(self, schema: Schema, named: str) -> Schema:
        if not self._is_lone(schema):
            return schema
        return self._pointing(
            {"$ref" if key == "allOf" else key: value for key, value in schema.items()}, named
        )

    def _spread(self, schema: Schema, trail: frozenset[str]) -> tuple[Schema, frozenset[str]]:
        """What stands beside anyOf goes into each alternative, because each must be closed by itself."""
        keyword = "anyOf" if "anyOf" in schema else "oneOf"
        beside = (keyword, *NOTES, *SILENT, "$defs", "definitions")
        shared = {key: value for key, value in schema.items() if key not in beside}
        if not {"properties", "required", "additionalProperties"} & set(shared):
            return schema, trail
        branches = []
        for branch in schema[keyword]:
            try:
                alternative = {} if branch is True else branch
                while alternative and (named := reference(alternative)) is not None:
                    if named in trail:
                        return schema, trail
                    alternative, trail = self.written_out(alternative, named, trail)
                branches.append(merged(shared, alternative) if alternative is not False else False)
            except Impossible:
                continue
            except Unmergeable:
                return schema, trail
        kept = {key: value for key, value in schema.items() if key not in shared}
        return (kept | {keyword: branches} if branches else schema), trail


def references(*schemas: Any) -> list[str]:
    """Of schemas and of all below them, definitions apart."""
    names: list[str] = []
    waiting = list(schemas)
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict):
            if (named := reference(inner)) is not None:
                names.append(named)
            waiting += [below for step, below in children(inner) if step[0] not in ("$defs", "definitions")]
    return names
