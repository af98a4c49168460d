"""A schema as an upstream takes it means the same, keeps its order, and says in words what it cannot say."""

import json
import time
from typing import Any

import pytest

from genai_spine.errors import InvalidFields
from genai_spine.json_schema.rewrite import SchemaRules, is_wrapped, portable

PERSON = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
TREE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree"}}, "required": ["next"]}
ADDRESS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SHUT = {"additionalProperties": False}
STRICT = SchemaRules(
    refused=frozenset({"allOf", "oneOf", "not", "prefixItems", "uniqueItems", "maxProperties"}),
    closed=True,
    all_required=True,
    object_only=True,
    bare_references=True,
    typed=True,
)
NARROW = SchemaRules(
    refused=frozenset({"minimum", "maximum", "oneOf", "const", "title"}),
    closed=True,
    references=False,
    recursion=False,
    type_lists=False,
    formats=frozenset({"date-time"}),
    plain_patterns=True,
    max_min_items=1,
)


def rewritten(schema: Any, **rules: Any) -> Any:
    return json.loads(portable(json.dumps(schema), SchemaRules(**rules)))


def one(schema: Any, **rules: Any) -> Any:
    """How a property of that schema comes out."""
    whole = rewritten({"type": "object", "properties": {"a": schema}, "required": ["a"]}, **rules)
    return whole["properties"]["a"]


class TestRewriteKeywords:
    def test_schema_without_rules_does_not_change_by_a_byte(self) -> None:
        text = '{ "z": 1.0, "type":"object", "a": 12345678901234567890 }'
        assert portable(text, SchemaRules()) == text

    def test_order_and_numbers_are_kept(self) -> None:
        text = (
            '{"required":["z","a"],"type":"object","properties":{"z":{"const":1.50,"default":1E5},'
            '"a":{"enum":[123456789012345678901234567890,-0.0],"minimum":0}}}'
        )
        rules = SchemaRules(refused=frozenset({"minimum"}), closed=True)
        assert portable(text, rules) == text.replace(
            '"minimum":0}}}', '"description":"minimum 0"}},"additionalProperties":false}'
        )

    def test_keyword_that_is_refused_is_said_in_the_description(self) -> None:
        refused = frozenset({"minimum", "maximum", "not"})
        assert one({"type": "integer", "minimum": 0, "maximum": 130}, refused=refused) == {
            "type": "integer",
            "description": "minimum 0, maximum 130",
        }
        said = {"description": "Years", "not": {"const": 5}}
        assert one(said, refused=refused) == {"description": 'Years (not {"const":5})'}

    def test_names_and_values_are_no_keywords(self) -> None:
        schema = {
            "type": "object",
            "properties": {"minimum": {"enum": [{"minimum": 1}]}, "$ref": {"const": {"maximum": 2}}},
            "required": ["minimum"],
            "default": {"minimum": 3},
        }
        assert rewritten(schema, refused=frozenset({"minimum", "maximum"})) == schema

    def test_const_and_one_of_are_said_by_enum_and_any_of(self) -> None:
        refused = frozenset({"const", "oneOf"})
        assert one({"const": 1.0}, refused=refused) == {"enum": [1.0]}
        assert one({"oneOf": [{"const": 1}, {"type": "null"}]}, refused=refused) == {
            "anyOf": [{"enum": [1]}, {"type": "null"}]
        }

    def test_tuple_becomes_a_list_of_any_of_its_items(self) -> None:
        pair = [{"type": "string"}, {"type": "integer"}]
        for schema in (
            {"type": "array", "prefixItems": pair, "items": False},
            {"type": "array", "items": pair, "additionalItems": False},
        ):
            text = json.dumps(schema) if "prefixItems" in schema else None
            whole = schema if text else {**schema, "$schema": "http://json-schema.org/draft-07/schema#"}
            found = rewritten(whole, refused=frozenset({"prefixItems", "$schema"}))
            assert found["items"] == {"anyOf": pair}
            assert found["description"] == 'prefixItems [{"type":"string"},{"type":"integer"}]'
            assert "prefixItems" not in found
            assert "additionalItems" not in found

    def test_formats_and_patterns_that_are_not_known_are_said(self) -> None:
        formats = frozenset({"date-time"})
        assert one({"format": "date-time"}, formats=formats) == {"format": "date-time"}
        assert one({"format": "uri"}, formats=formats) == {"description": "format uri"}
        assert one({"pattern": "^(?!a)b"}, plain_patterns=True) == {"description": "pattern ^(?!a)b"}
        assert one({"pattern": "^b"}, plain_patterns=True) == {"pattern": "^b"}

    def test_least_number_of_items_is_kept_as_far_as_it_is_taken(self) -> None:
        assert one({"minItems": 1}, max_min_items=1) == {"minItems": 1}
        assert one({"minItems": 2}, max_min_items=1) == {"description": "minItems 2"}

    def test_types_are_alternatives_where_lists_are_refused(self) -> None:
        assert one({"type": ["string", "null"], "maxLength": 3, "title": "T"}, type_lists=False) == {
            "anyOf": [{"type": "string", "maxLength": 3}, {"type": "null"}],
            "title": "T",
        }


class TestRewriteObjects:
    def test_objects_are_all_closed(self) -> None:
        schema = {"anyOf": [PERSON, {"type": "array", "items": PERSON}], "$defs": {"p": PERSON}}
        shut = PERSON | SHUT
        assert rewritten(schema, closed=True) == {
            "anyOf": [shut, {"type": "array", "items": shut}],
            "$defs": {"p": shut},
        }

    def test_optional_properties_become_required_and_nullable(self) -> None:
        properties = {
            "needed": {"type": "string"},
            "plain": {"type": "integer", "minimum": 0},
            "chosen": {"type": "string", "enum": ["a"]},
            "pointing": {"$ref": "#/$defs/p"},
            "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "both": {"type": ["string", "null"]},
            "any": {},
            "never": False,
        }
        schema = {"type": "object", "properties": properties, "required": ["needed"], "$defs": {"p": {}}}
        found = rewritten(schema, all_required=True)
        null = {"type": "null"}
        assert found["properties"] == {
            "needed": {"type": "string"},
            "plain": {"type": ["integer", "null"], "minimum": 0},
            "chosen": {"anyOf": [{"type": "string", "enum": ["a"]}, null]},
            "pointing": {"anyOf": [{"$ref": "#/$defs/p"}, null]},
            "either": {"anyOf": [{"type": "string"}, null]},
            "both": {"type": ["string", "null"]},
            "any": {},
        }
        assert found["required"] == list(found["properties"])

    def test_object_of_free_names_becomes_a_list_of_entries(self) -> None:
        counts = {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1}
        found = one(counts | {"description": "Counts"}, closed=True)
        assert found == {
            "type": "array",
            "description": "Counts (the entries of an object, minProperties 1)",
            "items": {
                "type": "object",
                "properties": {"key": {"type": "string"}, "value": {"type": "integer"}},
                "required": ["key", "value"],
                "additionalProperties": False,
            },
        }
        free = one({"type": ["object", "null"]}, closed=True)
        assert free["anyOf"][0]["items"]["properties"]["value"] == {
            "type": ["string", "number", "boolean", "null"]
        }
        assert free["anyOf"][1] == {"type": "null"}
        named = one({"type": "object", "patternProperties": {"^x": {"type": "null"}}}, closed=True)
        assert named["items"]["properties"]["key"]["description"] == "matches ^x"

    def test_closed_empty_object_stays_one(self) -> None:
        assert one({"type": "object", **SHUT}, closed=True) == {"type": "object", "properties": {}, **SHUT}

    def test_required_names_without_a_property_get_one(self) -> None:
        found = one({"type": "object", "properties": {"x": {}}, "required": ["y"]}, closed=True)
        assert found["properties"] == {"x": {}, "y": {}}

    def test_schema_without_a_type_gets_one(self) -> None:
        for schema, kind in (
            ({"const": 1}, "integer"),
            ({"enum": ["a", None, 1.5]}, ["string", "null", "number"]),
            ({"minLength": 1}, "string"),
            ({"maximum": 1}, "number"),
            ({"items": {"type": "null"}}, "array"),
            ({}, ["string", "number", "boolean", "null"]),
        ):
            assert one(schema, typed=True)["type"] == kind
        assert one({"enum": ["a", 1]}, typed=True, type_lists=False) == {
            "anyOf": [{"type": "string", "enum": ["a"]}, {"type": "integer", "enum": [1]}]
        }

    def test_keywords_beside_alternatives_go_into_each(self) -> None:
        schema = {
            "type": "object",
            "properties": {"kind": {"type": "string"}},
            "required": ["kind"],
            "anyOf": [
                {"properties": {"kind": {"const": "a"}, "x": {"type": "integer"}}, "required": ["x"]},
                {"$ref": "#/$defs/b"},
                {"type": "null"},
            ],
            "$defs": {"b": {"properties": {"kind": {"const": "b"}}}},
        }
        a, b = rewritten(schema, closed=True)["anyOf"]
        assert a == {
            "type": "object",
            "properties": {"kind": {"type": "string", "const": "a"}, "x": {"type": "integer"}},
            "required": ["kind", "x"],
            **SHUT,
        }
        assert b["properties"] == {"kind": {"type": "string", "const": "b"}}

    def test_answer_that_is_no_object_is_wrapped_in_one(self) -> None:
        strings = {"type": "array", "items": {"type": "string"}}
        assert rewritten(strings, object_only=True) == {
            "type": "object",
            "properties": {"value": strings},
            "required": ["value"],
            **SHUT,
        }
        rules = SchemaRules(object_only=True)
        for schema in (strings, {"anyOf": [PERSON]}, {}, {"type": ["object", "null"]}, {"enum": [{}]}):
            assert is_wrapped(json.dumps(schema), rules), schema
            assert not is_wrapped(json.dumps(schema), SchemaRules())
        for schema in (PERSON, {"properties": {}}, {"$ref": "#/$defs/p", "$defs": {"p": PERSON}}):
            assert not is_wrapped(json.dumps(schema), rules), schema

    def test_references_to_the_top_follow_it_into_the_wrapper(self) -> None:
        schema = {"type": "array", "items": {"anyOf": [{"$ref": "#"}, {"enum": [{"$ref": "#"}]}]}}
        found = rewritten(schema, object_only=True)
        assert found["properties"] == {"value": {"$ref": "#/$defs/value"}}
        assert found["$defs"]["value"]["items"]["anyOf"] == [
            {"$ref": "#/$defs/value"},
            {"enum": [{"$ref": "#"}]},
        ]


class TestRewriteReferences:
    def test_references_are_written_out_where_they_are_refused(self) -> None:
        schema = {
            "type": "object",
            "properties": {
                "home": {"$ref": "#/$defs/address", "description": "Home"},
                "work": {"$ref": "#/properties/home"},
                "odd": {"$ref": "#odd"},
            },
            "$defs": {"address": ADDRESS, "odd": {"$anchor": "odd", "type": "null"}},
        }
        found = rewritten(schema, references=False)
        assert found["properties"] == {
            "home": {"description": "Home"} | ADDRESS,
            "work": {"description": "Home"} | ADDRESS,
            "odd": {"$anchor": "odd", "type": "null"},
        }
        assert "$defs" not in found

    def test_references_with_company_are_written_out_where_they_must_be_bare(self) -> None:
        schema = {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/p"}, "b": {"$ref": "#/$defs/p", "title": "B"}},
            "$defs": {"p": {"type": "null"}},
        }
        found = rewritten(schema, bare_references=True)["properties"]
        assert found == {"a": {"$ref": "#/$defs/p"}, "b": {"title": "B", "type": "null"}}

    def test_recursion_is_kept_where_it_is_allowed(self) -> None:
        schema = {"$ref": "#/$defs/tree", "$defs": {"tree": TREE}}
        found = rewritten(schema, closed=True, object_only=True, bare_references=True)
        assert found == TREE | SHUT | {"$defs": {"tree": TREE | SHUT}}

    def test_note_beside_a_recursive_reference_gives_way(self) -> None:
        noted = {"allOf": [{"$ref": "#/$defs/tree"}], "description": "More"}
        tree = TREE | {"properties": {"next": noted}}
        found = rewritten(tree | {"$defs": {"tree": tree}}, closed=True, bare_references=True)
        assert found["properties"]["next"] == {"$ref": "#/$defs/tree"}

    @pytest.mark.parametrize("rules", [{"references": False}, {"recursion": False}])
    @pytest.mark.parametrize("top", [{"$ref": "#/$defs/tree"}, {"items": {"$ref": "#/$defs/tree"}}])
    def test_recursion_is_refused_where_the_upstream_refuses_it(self, rules: Any, top: Any) -> None:
        with pytest.raises(InvalidFields) as refusal:
            rewritten(top | {"$defs": {"tree": TREE}}, **rules)
        assert refusal.value.violations == [
            (
                "response_format.json_schema.schema_json",
                "$: '#/$defs/tree' leads back to itself, which the provider cannot take",
            )
        ]

    @pytest.mark.parametrize("count", [2, 1])
    def test_references_that_grow_or_nest_without_end_are_refused(self, count: int) -> None:
        names = ["l", "r"][:count]
        links = {
            f"a{i}": {"properties": {name: {"$ref": f"#/$defs/a{i + 1}"} for name in names}}
            for i in range(400)
        }
        schema = {"$defs": links | {"a400": {}}, "$ref": "#/$defs/a0"}
        started = time.process_time()
        with pytest.raises(InvalidFields, match="once its references are written out"):
            rewritten(schema, references=False)
        assert time.process_time() - started < 2


class TestRewriteAllOf:
    def test_parts_are_merged_into_one(self) -> None:
        schema = {
            "type": "object",
            "properties": {"a": {"type": "number", "minimum": 1}},
            "allOf": [
                {"properties": {"a": {"type": "integer", "minimum": 0}, "b": {"type": "string"}}},
                {"$ref": "#/$defs/c"},
            ],
            "$defs": {"c": {"properties": {"c": {"enum": [1, 2, 3]}}, "required": ["c"]}},
        }
        found = rewritten(schema, refused=frozenset({"allOf"}))
        assert found["properties"] == {
            "a": {"type": "integer", "minimum": 1},
            "b": {"type": "string"},
            "c": {"enum": [1, 2, 3]},
        }
        assert found["required"] == ["c"]

    def test_property_that_one_part_forbids_is_gone(self) -> None:
        parts = [PERSON | SHUT, {"properties": {"age": {}, "name": {"type": "string"}}}]
        assert one({"allOf": parts}, refused=frozenset({"allOf"})) == PERSON | SHUT

    @pytest.mark.parametrize(
        "parts",
        [
            [{"type": "string"}, {"type": "integer"}],
            [{"enum": [1]}, {"enum": [2]}],
            [{"const": 1}, {"const": 2}],
            [{"pattern": "a"}, {"pattern": "b"}],
            [{"anyOf": [{}]}, {"anyOf": [{"type": "null"}]}],
            [PERSON | SHUT, {"properties": {"name": {}}, "required": ["name"]}],
        ],
    )
    def test_parts_that_no_one_schema_can_say_are_said_in_words(self, parts: Any) -> None:
        found = one({"allOf": parts}, refused=frozenset({"allOf"}))
        assert found == {"description": "allOf " + json.dumps(parts, separators=(",", ":"))}


SCHEMAS = [
    PERSON,
    {"type": "array", "items": {"$ref": "#/$defs/a"}, "$defs": {"a": ADDRESS}},
    {
        "$ref": "#/definitions/a",
        "definitions": {"a": ADDRESS},
        "$schema": "http://json-schema.org/draft-07/schema#",
    },
    {"oneOf": [PERSON, ADDRESS | {"properties": {"minimum": {"minimum": 1}, "m": {"type": "object"}}}]},
    {"properties": {"t": {"prefixItems": [{"const": 1}, {"minimum": 2}]}, "p": {"pattern": r"\bx"}}},
    {"allOf": [PERSON, ADDRESS, {"not": {"required": ["x"]}}], "title": "T"},
    {
        "type": ["string", "object", "null"],
        "minLength": 1,
        "maximum": 2,
        "additionalProperties": {"format": "uri"},
    },
]


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("rules", [STRICT, NARROW])
def test_schema_that_fits_already_is_left_as_it_is(schema: Any, rules: SchemaRules) -> None:
    once = portable(json.dumps(schema), rules)
    assert portable(once, rules) == once


def test_bad_schema_names_the_field_that_it_came_from() -> None:
    with pytest.raises(InvalidFields) as refusal:
        portable('{"type": "thing"}', STRICT, "tools[0].function.parameters_json")
    assert refusal.value.metadata["field"] == "tools[0].function.parameters_json"


def test_schema_rewritten_before_costs_nothing() -> None:
    text = json.dumps({"properties": {f"p{number}": {"minLength": number} for number in range(1500)}})
    portable(text, STRICT)
    started = time.process_time()
    for _ in range(100):
        portable(text, STRICT)
    assert time.process_time() - started < 0.1
