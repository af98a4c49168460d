"""Typed variables: what fits, what has a default, and what the digest depends on."""

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.errors import InvalidFields, InvalidPromptVariables
from genai_spine.prompts import variables
from genai_spine.v1.prompt_service_pb2 import PromptVariable

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def declared(kind: str = "string", default: object = None, **fields) -> PromptVariable:
    variable = PromptVariable(name="x", type=kind, **fields)
    if default is not None:
        variable.default.CopyFrom(variables.value(default))
    return variable


@given(st.dictionaries(st.text(max_size=5), JSON, max_size=4))
def test_json_comes_out_of_a_struct_as_it_went_in(values):
    struct = Struct()
    struct.update(values)
    assert variables.mapping(struct) == values


def test_numbers_that_are_integers_in_json_are_integers():
    struct = Struct()
    struct.update({"a": 3, "b": 3.5, "c": 1e300})
    found = variables.mapping(struct)
    assert (repr(found["a"]), repr(found["b"]), repr(found["c"])) == ("3", "3.5", "1e+300")


@pytest.mark.parametrize(
    ("kind", "fitting", "wrong"),
    [
        ("string", ["a", ""], [True, ["a"], {"a": 1}]),
        ("text", ["a"], [False, []]),
        ("integer", [3, -1], [1.5, "3", True, [3]]),
        ("number", [3, 1.5], ["3", True]),
        ("boolean", [True, False], ["true", 1, 0]),
        ("array", [[], ["a", 1]], ["a", {"a": 1}]),
        ("enum", ["one", "two"], ["three", 1, True]),
    ],
)
def test_a_value_must_be_of_its_type(kind, fitting, wrong):
    variable = declared(kind, options=["one", "two"] if kind == "enum" else [])
    for value in fitting:
        assert variables.completed([variable], {"x": value}) == ({"x": value}, [])
    for value in wrong:
        with pytest.raises(InvalidPromptVariables) as caught:
            variables.completed([variable], {"x": value})
        assert caught.value.violations[0][0] == "variables.x"


def test_a_number_may_stand_for_a_text():
    assert variables.completed([declared()], {"x": 3}) == ({"x": "3"}, [])


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("given", [{}, {"x": None}])
def test_a_default_applies_to_every_variable_that_has_no_value(required, given):
    assert variables.completed([declared(default="d", required=required)], given) == ({"x": "d"}, ["x"])
    assert variables.completed([declared(default="d", required=required)], {"x": ""}) == ({"x": ""}, [])


def test_required_is_the_default_and_an_optional_variable_may_have_no_value():
    for variable in (declared(), declared(required=True)):
        with pytest.raises(InvalidPromptVariables, match=r"variables\.x: is required"):
            variables.completed([variable], {})
    assert variables.completed([declared(required=False)], {"y": 1}) == ({"x": None}, [])


@pytest.mark.parametrize(
    ("declarations", "field"),
    [
        ([declared(), declared()], "variables[1].name"),
        ([PromptVariable(name="loop")], "variables[0].name"),
        ([PromptVariable(name="if")], "variables[0].name"),
        ([declared("enum")], "variables[0].options"),
        ([declared("string", options=["a"])], "variables[0].options"),
        ([declared("integer", "three")], "variables[0].default"),
        ([declared("enum", "c", options=["a", "b"])], "variables[0].default"),
    ],
)
def test_declarations_that_contradict_themselves_are_refused(declarations, field):
    with pytest.raises(InvalidFields) as caught:
        variables.check(declarations)
    assert [path for path, _ in caught.value.violations] == [field]


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=4))
def test_the_digest_depends_on_the_values_and_not_on_their_order(values):
    assert variables.digest(values) == variables.digest(dict(reversed(values.items())))
    assert variables.digest(values) != variables.digest({**values, "another": 1})
    assert len(variables.digest(values)) == 64
