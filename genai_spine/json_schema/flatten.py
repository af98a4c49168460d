"""References and combinations of a JSON Schema written out where an upstream does not take them.

Everything stays in the caller's vocabulary; only the top of the schema changes. A trail is the references
that were written out around a schema: one that leads back to it is recursion.

For example `{"allOf": [{"$ref": "#/$defs/a"}, {"required": ["x"]}]}` becomes one object schema, because a
closed object (`additionalProperties: false`) cannot be combined from two.
"""

from typing import Any

from genai_spine.json_schema.merge import NOTES, Impossible, Unmergeable, merged
from genai_spine.json_schema.rules import SchemaRules
from genai_spine.json_schema.tree import REFERENCES, Schema, SchemaTree, children, reference

# Taken out without a word when they are refused: they say nothing about an answer.
SILENT = frozenset({"$schema", "$id", "id", "$anchor", "$dynamicAnchor", "$comment", "$vocabulary", "title"})


class Flattener:
    """Flattener of one schema tree by the rules of one upstream. Errors: InvalidFields, where the schema
    recurs and the upstream takes no recursion.
    """

    def __init__(self, tree: SchemaTree, rules: SchemaRules) -> None:
        self.tree = tree
        self.rules = rules
        self._named_below: dict[str, list[str]] = {}  # references below the target of one

    def flat(self, schema: Schema, trail: frozenset[str]) -> tuple[Schema, frozenset[str]]:
        """Schema without the references and combinations at its top that cannot stay there, and the trail of
        references around it.
        """
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
        """Whether a reference may stay: the upstream takes it, it names a definition, and nothing that would
        be lost stands beside it.
        """
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
        """Whether the reference leads to a schema that holds the same reference."""
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
        """Schema with `$ref` as its keyword for every dialect; alone where the upstream wants it alone."""
        if self.rules.bare_references:
            return {"$ref": named}
        return {
            **{("$ref" if key in REFERENCES else key): value for key, value in schema.items()},
            "$ref": named,
        }

    def written_out(self, schema: Schema, named: str, trail: frozenset[str]) -> tuple[Schema, frozenset[str]]:
        """Target of a reference, merged with the keywords beside it, and the trail that now holds the
        reference. Falls back to `allOf` where no single schema says both.
        """
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
        """Schema with its `allOf` merged into it; unchanged where that cannot be said in one schema, which is
        then left to the description.
        """
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
        """Whether the schema only wraps one reference: {"allOf": [{"$ref": ...}]}, as older generators put a
        note beside it.
        """
        return len(schema["allOf"]) == 1 and set(schema) <= {"allOf", *NOTES}

    def _lone_reference(self, schema: Schema, named: str) -> Schema:
        if not self._is_lone(schema):
            return schema
        return self._pointing(
            {"$ref" if key == "allOf" else key: value for key, value in schema.items()}, named
        )

    def _spread(self, schema: Schema, trail: frozenset[str]) -> tuple[Schema, frozenset[str]]:
        """Alternatives that hold the keywords beside `anyOf` or `oneOf` themselves, because each must be
        closed by itself. An alternative that nothing fits is left out.
        """
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
    """References named in the schemas and in all below them, definitions apart."""
    names: list[str] = []
    waiting = list(schemas)
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict):
            if (named := reference(inner)) is not None:
                names.append(named)
            waiting += [below for step, below in children(inner) if step[0] not in ("$defs", "definitions")]
    return names
