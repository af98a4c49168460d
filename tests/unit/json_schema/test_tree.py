"""A schema that cannot be used is refused with the field, the place and the problem, in bounded time."""

import json
import time
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator

from genai_spine.errors import InvalidFields
from genai_spine.json_schema.tree import MAX_LEVELS, SchemaTree, json_path


def tree(schema: Any) -> SchemaTree:
    return SchemaTree(schema if isinstance(schema, str) else json.dumps(schema), "form.schema_json")


def nested(levels: int) -> Any:
    schema: Any = {}
    for _ in range(levels):
        schema = {"properties": {"a": schema}}
    return schema


def doubling(**link: Any) -> Any:
    """Forty schemas, each of which has the next one twice."""
    links = {f"a{i}": json.loads(json.dumps(link).replace("NEXT", f"#/$defs/a{i + 1}")) for i in range(40)}
    return {"$defs": links | {"a40": {}}, "$ref": "#/$defs/a0"}


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ("{", "$: is no JSON"),
        ("[]", "$: must be a JSON object"),
        ('{"minimum": NaN}', "$: is no JSON: NaN"),
        ('{"minimum": 1e999}', "$.minimum: is a number too large"),
        ({"type": "objekt"}, "$.type: 'objekt' is not valid"),
        ({"properties": {"a b": {"maxLength": -1}}}, "$.properties['a b'].maxLength: -1 is less than"),
        ({"items": [{"required": "a"}]}, "$.items: [{'required': 'a'}] is not of type"),
        ({"properties": {"a": {"pattern": "(a"}}}, "$.properties.a.pattern: '(a' is no regular expression"),
        ({"patternProperties": {"(a": {}}}, "$.patternProperties: '(a' is no regular expression"),
        ({"$schema": "https://example.com/own"}, "$.$schema: must be one of http"),
        (
            {"$ref": "https://example.com/s.json"},
            "$: refers to 'https://example.com/s.json', which is not in",
        ),
        ({"$ref": "file:///etc/passwd"}, "which is not in the schema"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "$.properties.a: refers to '#/$defs/b'"),
        ({"properties": {"a": {"$ref": "#b"}}}, "refers to '#b'"),
        ({"$ref": "#/title", "title": "x"}, "which is no schema"),
        ({"$ref": "#"}, "refers to itself for the same value"),
        ({"anyOf": [{"allOf": [{"$ref": "#"}]}]}, "refers to itself for the same value"),
        ({"properties": {"a": {"$id": "https://example.com/a"}}}, "an $id is supported at the top only"),
        (
            {"items": {"$schema": "http://json-schema.org/draft-07/schema"}},
            "a $schema is supported at the top",
        ),
        ({"$defs": {"a": {"$ref": "#/x"}}, "x": {"pattern": "(?<=a)b"}}, "look-around"),
        (doubling(allOf=[{"$ref": "NEXT"}, {"$ref": "NEXT"}]), "combines too many schemas"),
        ({"unevaluatedProperties": False, "patternProperties": {"a": {}}}, "not supported"),
        (nested(MAX_LEVELS + 1), "nested deeper than 64 levels"),
        ("[" * 100_000, "nested deeper"),
        ('{"not":' * 190 + "{}" + "}" * 190, "nested too deeply"),
        (json.dumps({"title": "x" * 200_000}), "longer than 131072"),
    ],
)
def test_unusable_schemas_are_refused_at_once(schema: Any, problem: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidFields) as refusal:
        tree(schema)
    (violation,) = refusal.value.violations
    assert violation[0] == "form.schema_json"
    assert problem in violation[1]
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "schema",
    [
        nested(MAX_LEVELS),
        {"$ref": "#/$defs/tree", "$defs": {"tree": {"properties": {"next": {"$ref": "#/$defs/tree"}}}}},
        {"$defs": {"a": {"$anchor": "here", "type": "string"}}, "items": {"$ref": "#here"}},
        {
            "$id": "https://example.com/s",
            "$defs": {"a": {}},
            "items": {"$ref": "https://example.com/s#/$defs/a"},
        },
        {"$defs": {"a/b~c %": {}}, "items": {"$ref": "#/$defs/a~1b~0c%20%25"}},
        {
            "properties": {
                "$id": {"type": "string"},
                "pattern": {"type": "string"},
                "$ref": {"type": "string"},
            }
        },
        {
            "enum": [{"$ref": "https://example.com"}],
            "const": {"pattern": "("},
            "default": {"type": "nothing"},
        },
        {"dependencies": {"a": ["b"], "c": {"required": ["d"]}}},
        {},
    ],
)
def test_usable_schemas_are_taken(schema: Any) -> None:
    tree(schema)


def test_draft_is_the_one_that_the_schema_names() -> None:
    assert tree({}).draft is Draft202012Validator
    assert tree({"$schema": "http://json-schema.org/draft-07/schema#"}).draft is Draft7Validator


def test_paths_read_like_json_path() -> None:
    assert json_path(("a", 0, "$defs", "b c", "it's")) == "$.a[0].$defs['b c'][\"it's\"]"
