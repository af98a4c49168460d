"""An answer is judged by the caller's own schema: exactly, in bounded time, with no network."""

import json
import socket
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genai_spine.json_schema import json_text
from genai_spine.json_schema.rewrite import WRAPPED, SchemaRules, is_wrapped, portable
from genai_spine.json_schema.validator import answer_schema

DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def problem(schema: Any, answer: Any) -> Any:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return answer_schema(json.dumps(schema)).problem(json_text.parse(text))


def restored(schema: Any, answer: Any) -> Any:
    return answer_schema(json.dumps(schema)).restored(answer)


class TestValidatorProblems:
    def test_valid_answer_has_none(self) -> None:
        assert problem({"type": "object", "required": ["a"]}, {"a": 1}) is None

    @pytest.mark.parametrize(
        ("schema", "answer", "found"),
        [
            ({"type": "string"}, 5, ("$", "5 is not of type string")),
            ({"type": ["string", "null"]}, True, ("$", "true is not of type string or null")),
            (
                {"properties": {"a": {"items": {"maximum": 3}}}},
                {"a": [1, 5]},
                ("$.a[1]", "5 is greater than the maximum of 3"),
            ),
            ({"required": ["b c"]}, {}, ("$", "'b c' is a required property")),
            ({"enum": ["a", 1.0]}, '"b"', ("$", '"b" is not one of ["a",1.0]')),
            ({"const": [1]}, [True], ("$", "[true] is not [1]")),
            ({"uniqueItems": True}, [1, 1.0], ("$", "[1,1.0] has an item more than once")),
            ({"additionalProperties": False}, {"x": 1}, ("$", "properties that the schema does not have: x")),
            ({"additionalProperties": {"type": "null"}}, {"x": 1}, ("$.x", "1 is not of type null")),
            ({"patternProperties": {"^x": {"type": "null"}}}, {"x": 1}, ("$.x", "1 is not of type null")),
            ({"pattern": r"^\d$"}, '"٣"', ("$", "\"٣\" does not match '^\\\\d$'")),
            ({"multipleOf": 0.01}, "19.991", ("$", "19.991 is not a multiple of 0.01")),
            (
                {"anyOf": [{"type": "null"}, {"minLength": 3}]},
                '"ab"',
                ("$", '"ab" fits no alternative: "ab" is not of type null; "ab" is too short'),
            ),
            ({"items": False}, [1], ("$", "Expected at most 0 items but found 1 extra: 1")),
        ],
    )
    def test_problem_names_the_place_and_the_rule(self, schema: Any, answer: Any, found: Any) -> None:
        assert problem(schema, answer) == found

    def test_long_value_is_shown_in_part(self) -> None:
        assert len(problem({"type": "integer"}, "[" + "1," * 5000 + "1]")[1]) < 130

    @pytest.mark.parametrize(
        ("schema", "answer"),
        [
            ({"multipleOf": 0.1}, "0.3"),
            ({"multipleOf": 0.01}, "19.99"),
            ({"multipleOf": 0.01}, "1e400"),
            ({"multipleOf": 0.01}, "1e-999999999"),
            ({"type": "integer"}, "1.0"),
            ({"type": "integer"}, "123456789012345678901234567890"),
            ({"enum": [1]}, "1.0"),
            ({"uniqueItems": True}, "[1,true,0,false]"),
            ({"minLength": 1, "maxLength": 1}, '"🙂"'),
            ({"$schema": DRAFT_7, "items": [{"type": "null"}], "additionalItems": {"const": 1}}, "[null,1]"),
            ({"prefixItems": [{"type": "null"}], "items": {"const": 1}}, "[null,1]"),
            ({"unevaluatedProperties": False, "allOf": [{"properties": {"a": {}}}]}, '{"a":1}'),
        ],
    )
    def test_answer_that_is_right_is_not_complained_about(self, schema: Any, answer: str) -> None:
        assert problem(schema, answer) is None

    @pytest.mark.parametrize(
        ("name", "good", "bad"),
        [
            ("date-time", "2026-11-28T01:02:03.5Z", "2026-11-28"),
            ("date-time", "2016-12-31T23:59:60+01:00", "2026-02-30T00:00:00Z"),
            ("date", "2026-11-28", "2026-13-01"),
            ("time", "10:00:00Z", "25:00:00Z"),
            ("email", "a@example.com", "a.example.com"),
            ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2eb8aa08"),
            ("ipv4", "127.0.0.1", "127.0.0.256"),
            ("ipv6", "::1", "12345::"),
        ],
    )
    def test_formats_are_asserted(self, name: str, good: str, bad: str) -> None:
        assert problem({"format": name}, good if good.startswith('"') else json.dumps(good)) is None
        assert problem({"format": name}, json.dumps(bad)) == ("$", f"{json.dumps(bad)} is not a '{name}'")
        assert problem({"format": name}, "5") is None


class TestValidatorBounds:
    @pytest.fixture(autouse=True)
    def _is_quick(self) -> Any:
        started = time.process_time()
        yield
        assert time.process_time() - started < 8

    @pytest.mark.parametrize("draft", [None, DRAFT_7])
    def test_hostile_patterns_take_no_time(self, draft: str | None) -> None:
        """Python's `re` would not come back from these."""
        slow, text = "^(a+)+$", "a" * 40 + "!"
        schema: Any = {
            "properties": {
                "p": {"pattern": slow},
                "named": {"patternProperties": {slow: False}, "additionalProperties": {"const": 1}},
                "again": {"$ref": "#"},
                "deep": {"$ref": "#/definitions/d"},
            },
            "definitions": {"d": {"items": {"allOf": [{"pattern": slow}]}}},
        }
        schema |= {"$schema": draft} if draft else {}
        assert problem(schema, {"again": {"again": {"p": text}}})[0] == "$.again.again.p"
        assert problem(schema, {"again": {"deep": [text]}})[0] == "$.again.deep[0]"
        assert problem(schema, {"again": {"named": {text: 1}}}) is None

    @pytest.mark.parametrize("keyword", ["unevaluatedProperties", "additionalProperties"])
    def test_schema_that_doubles_its_work_is_given_up(self, keyword: str) -> None:
        links: Any = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(10)}
        links["a10"] = {"items": {"$ref": "#/$defs/a0"}, keyword: {"$ref": "#/$defs/a0"}}
        answer: Any = {}
        for _ in range(6):
            answer = [answer] * 5
        found = problem({"$ref": "#/$defs/a0", "$defs": links}, answer)
        assert found == ("$", "the answer is too large to be checked against this schema")

    def test_large_lists_are_looked_up(self) -> None:
        members = [{"a": number} for number in range(20_000)]
        assert problem({"uniqueItems": True}, members) is None
        assert problem({"items": {"enum": list(range(10_000))}}, [9_999] * 10_000) is None

    def test_deep_answers_are_judged_or_given_up(self) -> None:
        schema = {"properties": {"a": {"$ref": "#"}}, "additionalProperties": False}
        assert problem(schema, '{"a":' * 50 + "{}" + "}" * 50) is None
        deep = problem(schema, '{"a":' * 190 + "{}" + "}" * 190)
        assert deep in (None, ("$", "the answer is nested too deeply to be checked"))

    def test_schema_fetches_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any, **__: Any) -> Any:
            raise AssertionError("the network was used")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        schema = {"$id": "https://example.com/s", "items": {"$ref": "https://example.com/s#/$defs/a"}}
        assert problem(schema | {"$defs": {"a": {"type": "null"}}}, [1]) == ("$[0]", "1 is not of type null")


class TestValidatorRestoring:
    def test_nulls_stay_where_the_schema_allows_them(self) -> None:
        properties = {"gone": {"type": "string"}, "kept": {"type": ["string", "null"]}, "needed": {}}
        schema = {"properties": properties, "required": ["needed"]}
        answer = {"gone": None, "kept": None, "needed": None, "further": None}
        assert restored(schema, answer) == {"kept": None, "needed": None, "further": None}

    def test_answer_that_needs_nothing_is_the_same_object(self) -> None:
        answer = {"a": [{"b": 1}]}
        schema = {"properties": {"a": {"items": {"properties": {"b": {}, "c": {"type": "null"}}}}}}
        assert restored(schema, answer) is answer

    def test_nulls_are_judged_by_the_alternative_that_is_meant(self) -> None:
        def branch(kind: str, note: Any) -> Any:
            properties = {"kind": {"const": kind}, "note": {"type": note}}
            return {"type": "object", "properties": properties, "required": ["kind"]}

        schema = {"items": {"oneOf": [branch("a", "string"), branch("b", ["string", "null"])]}}
        answer = [{"kind": "a", "note": None}, {"kind": "b", "note": None}]
        assert restored(schema, answer) == [{"kind": "a"}, {"kind": "b", "note": None}]

    def test_nulls_are_dropped_behind_references_and_combinations(self) -> None:
        schema = {
            "$ref": "#/$defs/a",
            "$defs": {
                "a": {"allOf": [{"properties": {"x": {"$ref": "#/$defs/b"}}}]},
                "b": {"type": "string"},
            },
        }
        assert restored(schema, {"x": None}) == {}

    def test_entries_become_an_object_again(self) -> None:
        schema = {"properties": {"m": {"type": "object", "additionalProperties": {"type": "integer"}}}}
        entries = [{"key": "b", "value": 1}, {"key": "a", "value": 2}]
        assert json.dumps(restored(schema, {"m": entries})) == '{"m": {"b": 1, "a": 2}}'
        twice = [{"key": "b", "value": 1}, {"key": "b", "value": 2}]
        assert restored(schema, {"m": twice}) == {"m": twice}


RULES = st.builds(
    SchemaRules,
    closed=st.booleans(),
    all_required=st.booleans(),
    references=st.booleans(),
    bare_references=st.booleans(),
    object_only=st.booleans(),
    type_lists=st.booleans(),
    typed=st.booleans(),
    refused=st.sampled_from([frozenset(), frozenset({"const"}), frozenset({"allOf"})]),
)
LEAVES: Any = st.one_of(
    st.sampled_from(
        [{"type": kind} for kind in ("string", "integer", "number", "boolean", "null")]
        + [{"const": "x"}, {"enum": [1, "a", None]}, {"type": ["string", "null"]}, {"$ref": "#/$defs/d"}]
        + [{"type": "array", "items": {"type": "integer"}}, {"type": "integer", "minimum": 3}]
    )
)
NAMES = st.sampled_from(["a", "b", "minimum", "$ref", "properties"])


def objects(inner: Any) -> Any:
    named = st.dictionaries(NAMES, inner, min_size=1, max_size=3)
    return named.flatmap(
        lambda properties: st.lists(st.sampled_from(list(properties)), unique=True).map(
            lambda needed: {"type": "object", "properties": properties, "required": needed}
        )
    )


def kinded(inner: Any) -> Any:
    """Alternatives that a field tells apart, as generators of schemas write them."""
    return st.lists(objects(inner), min_size=1, max_size=3).map(
        lambda branches: {
            "anyOf": [
                branch
                | {"properties": {"kind": {"const": str(number)}} | branch["properties"]}
                | {"required": ["kind", *branch["required"]]}
                for number, branch in enumerate(branches)
            ]
        }
    )


def with_lists_and_maps(inner: Any) -> Any:
    lists = inner.map(lambda item: {"type": "array", "items": item})
    maps = inner.map(lambda item: {"type": "object", "additionalProperties": item})
    merged = objects(inner).map(lambda schema: {"allOf": [schema, {"type": "object"}], "title": "both"})
    return objects(inner) | kinded(inner) | lists | maps | merged


SCHEMAS = st.recursive(LEAVES, with_lists_and_maps, max_leaves=6)
DEFINITION = {"type": "object", "properties": {"in": {"type": "string"}, "out": {"type": "integer"}}}
PRIMITIVES: Any = {
    "string": st.sampled_from(["", "x", "long text"]),
    "integer": st.integers(3, 9),
    "number": st.sampled_from([0.5, 4]),
    "boolean": st.booleans(),
    "null": st.none(),
}


def instances(schema: Any, root: Any) -> Any:
    """Values that fit a schema of the few keywords that these tests make."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return instances(root["$defs"][name] if name != "#" else root, root)
    if "const" in schema or "enum" in schema:
        return st.sampled_from(schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return st.one_of([instances(branch, root) for branch in schema["anyOf"]])
    if "allOf" in schema:
        (part, _) = schema["allOf"]
        return instances(part, root)
    kinds = schema.get("type", [])
    drawn = [of_type(kind, schema, root) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    return st.one_of(drawn)


def _name(item: Any) -> str:
    """Two entries of one name are no object."""
    return str(item["key"] if isinstance(item, dict) and "key" in item else item)


def of_type(kind: str, schema: Any, root: Any) -> Any:
    if kind == "array":
        return st.lists(instances(schema["items"], root), max_size=2, unique_by=_name)
    if kind != "object":
        return PRIMITIVES[kind]
    values = {name: instances(inner, root) for name, inner in schema.get("properties", {}).items()}
    if isinstance(schema.get("additionalProperties"), dict):
        return st.dictionaries(
            st.text(max_size=2), instances(schema["additionalProperties"], root), max_size=2
        )
    needed = {name: values[name] for name in schema.get("required", ()) if name in values}
    return st.fixed_dictionaries(needed, optional={n: v for n, v in values.items() if n not in needed})


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(SCHEMAS, RULES, st.data())
def test_answer_that_fits_the_portable_schema_becomes_one_that_the_original_accepts(
    schema: Any, rules: SchemaRules, data: Any
) -> None:
    original = schema | {"$defs": {"d": DEFINITION}}
    text = json.dumps(original)
    asked = portable(text, rules)
    assert portable(asked, rules) == asked
    target = json.loads(asked)
    answer = data.draw(instances(target, target | {"$defs": target.get("$defs", {})}))
    assert answer_schema(asked).problem(answer) is None, "the test drew what the portable schema refuses"
    inner = answer[WRAPPED] if is_wrapped(text, rules) else answer
    judge = answer_schema(text)
    assert judge.problem(judge.restored(json_text.parse(json.dumps(inner)))) is None


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(SCHEMAS, st.data())
def test_answer_that_fits_already_is_not_changed(schema: Any, data: Any) -> None:
    whole = schema | {"$defs": {"d": DEFINITION}}
    answer = data.draw(instances(schema, whole))
    judge = answer_schema(json.dumps(whole))
    assert judge.problem(answer) is None
    assert judge.restored(answer) is answer
