"""Conditions of steps: nulls and types that cannot be compared are false, never an error."""

from typing import Any

import pytest
from google.protobuf import json_format

from genai_spine.pipelines.conditions import is_met
from genai_spine.v1.pipeline_pb2 import PipelineCondition

CONTEXT = {
    "text": "hello",
    "n": 3,
    "yes": True,
    "none": None,
    "list": ["a", {"b": 1}],
    "deep": {"er": {"n": 1.5}},
    "a.b": 7,
}


def compared(path: str, operator: str, value: Any = ...) -> bool:
    fields = {"path": path, "operator": operator} | ({} if value is ... else {"value": value})
    return is_met(json_format.ParseDict({"comparison": fields}, PipelineCondition()), CONTEXT)[0]


@pytest.mark.parametrize(
    ("path", "operator", "value", "wanted"),
    [
        ("text", "eq", "hello", True),
        ("text", "neq", "hello", False),
        ("none", "eq", None, True),
        ("yes", "eq", 1, False),
        ("n", "eq", True, False),
        ("deep.er.n", "gt", 1, True),
        ("deep.er.n", "lt", 1, False),
        ("list.1.b", "eq", 1, True),
        ("list.7", "eq", 1, False),
        ("a.b", "eq", 7, True),
        ("text", "contains", "ell", True),
        ("list", "contains", "a", True),
        ("deep", "contains", "er", True),
        *(("none", operator, 1, False) for operator in ("contains", "gt", "lt")),
        *(("text", operator, 1, False) for operator in ("contains", "gt", "lt")),
        *(("yes", operator, 0, False) for operator in ("gt", "lt")),
        ("text", "gt", "a", True),
    ],
)
def test_comparisons(path: str, operator: str, value: Any, wanted: bool):
    assert compared(path, operator, value) is wanted


def test_null_does_not_exist():
    assert [compared(path, "exists") for path in ("text", "none", "nowhere", "deep.er")] == [
        *(True, False, False, True)
    ]
    assert [compared(path, "not_exists") for path in ("text", "none", "nowhere.at.all")] == [
        *(False, True, True)
    ]


@pytest.mark.parametrize(
    ("text", "wanted", "problem"),
    [
        ("size(context.text) > 3", True, False),
        ("context.nobody == 1", False, True),
        ("context.text > 1", False, True),
        ("1 / 0 == 1", False, True),
        ("context.text", False, True),
        ("has(context.none) && context.n >= 3", True, False),
    ],
)
def test_expressions_that_cannot_be_evaluated_are_false_and_say_why(text: str, wanted: bool, problem: bool):
    found = is_met(PipelineCondition(cel=text), CONTEXT)
    assert (found[0], bool(found[1])) == (wanted, problem)
