"""JSON keeps the order of its keys and every digit of its numbers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.json_schema import json_text
from genai_spine.json_schema.json_text import key, parse, write

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_text_that_is_written_reads_as_the_same(value: object) -> None:
    text = json.dumps(value)
    assert json.loads(write(parse(text))) == value
    assert write(parse(write(parse(text)))) == write(parse(text))


@pytest.mark.parametrize(
    "text",
    [
        '{"z":1,"a":2,"m":{"b":1,"a":0}}',
        "[1.0,1.50,-0,-0.0,1E400,1e-7,123456789012345678901234567890,0.1000000000000000055511151231257827]",
        '"é日本🙂\\n\\""',
        "null",
    ],
)
def test_order_and_digits_are_kept(text: str) -> None:
    assert write(parse(text)) == text


def test_half_a_surrogate_pair_stays_an_escape() -> None:
    assert write(parse('"\\ud800é"')).encode() == b'"\\ud800\\u00e9"'


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", "[Infinity]", "9" * 5000, "[" * 100_000, "[" * 201 + "]" * 201, "1 2"]
)
def test_text_that_is_no_json_or_too_deep_raises_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse(text)


def test_nesting_up_to_the_limit_is_read() -> None:
    deepest = "[" * json_text.MAX_LEVELS + "]" * json_text.MAX_LEVELS
    assert write(parse(deepest)) == deepest


def test_keys_are_equal_where_json_schema_says_equal() -> None:
    assert key(parse("1")) == key(parse("1.0")) != key(True)
    assert key(parse('{"a":[0,{"b":false}],"c":1}')) == key(parse('{"c":1.0,"a":[0,{"b":false}]}'))
    assert key(parse("[0]")) != key(parse("[false]"))
    assert key({}) != key([]) != key("")
