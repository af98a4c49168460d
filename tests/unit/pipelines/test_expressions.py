"""Expressions: checked when they are saved, with a budget when they run."""

import time

import pytest

from genai_spine.pipelines.expressions import ExpressionRefused, check, evaluated


@pytest.mark.parametrize("text", ["nobody", "1 + 'a'", "context.", "(" * 40 + "1" + ")" * 40])
def test_what_cannot_be_compiled_is_refused(text: str):
    with pytest.raises(ExpressionRefused):
        check(text, is_condition=False)


def test_a_condition_must_be_true_or_false():
    check("context.x > 1", is_condition=True)
    check("context.x", is_condition=True)
    with pytest.raises(ExpressionRefused, match="must be true or false"):
        check("'text'", is_condition=True)


def test_an_endless_expression_ends():
    begun = time.monotonic()
    numbers = {"l": list(range(2000))}
    text = "context.l.all(x, context.l.all(y, context.l.all(z, x + y + z >= 0)))"
    with pytest.raises(ExpressionRefused, match="budget"):
        evaluated(text, numbers, None)
    assert time.monotonic() - begun < 10.0


def test_an_expression_that_makes_too_much_is_refused():
    with pytest.raises(ExpressionRefused, match="more than"):
        evaluated("context.l.map(x, context.l)", {"l": list(range(400))}, None)


def test_results_are_what_json_has():
    text = '{"all": [value, context.n, 1.5], "none": null, "say": "a" + context.s}'
    assert evaluated(text, {"n": 2, "s": "b"}, {"x": 1}) == {
        "all": [{"x": 1}, 2, 1.5],
        "none": None,
        "say": "ab",
    }
    with pytest.raises(ExpressionRefused, match="JSON lacks"):
        evaluated("duration('3s')", {}, None)
