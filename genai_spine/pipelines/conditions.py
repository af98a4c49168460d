"""Conditions of steps: comparisons of one place in the context, and expressions."""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import json_format

from genai_spine.pipelines import expressions, paths
from genai_spine.v1 import pipeline_pb2 as pb

Compare = Callable[[Any, Any], bool]


def is_met(condition: pb.PipelineCondition, context: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a condition holds, and why it could not be evaluated, or nothing."""
    if condition.WhichOneof("condition") == "cel":
        return expressions.is_true(condition.cel, context)
    comparison = condition.comparison
    found = paths.found(context, comparison.path)
    wanted = json_format.MessageToDict(comparison.value) if comparison.HasField("value") else None
    return OPERATORS[comparison.operator](found, wanted), ""


def shown(condition: pb.PipelineCondition) -> str:
    """Condition in words, for events."""
    if condition.WhichOneof("condition") == "cel":
        return condition.cel
    comparison = condition.comparison
    if comparison.operator in ("exists", "not_exists"):
        return f"{comparison.operator} {comparison.path}"
    return (
        f"{comparison.path} {comparison.operator} {json_format.MessageToJson(comparison.value, indent=None)}"
    )


def _contains(found: Any, wanted: Any) -> bool:
    if isinstance(found, str):
        return isinstance(wanted, str) and wanted in found
    if isinstance(found, list):
        return any(_equal(one, wanted) for one in found)
    return isinstance(found, Mapping) and isinstance(wanted, str) and wanted in found


def _ordered(compare: Compare) -> Compare:
    """Comparison of two numbers or two texts; of anything else it is false."""

    def both(found: Any, wanted: Any) -> bool:
        if isinstance(found, str) and isinstance(wanted, str):
            return compare(found, wanted)
        return _is_number(found) and _is_number(wanted) and compare(found, wanted)

    return both


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(found: Any, wanted: Any) -> bool:
    """Equality as JSON has it: true is not 1."""
    if isinstance(found, bool) is not isinstance(wanted, bool):
        return False
    return bool(found == wanted)


OPERATORS: Mapping[str, Compare] = {
    "eq": _equal,
    "neq": lambda found, wanted: not _equal(found, wanted),
    "contains": _contains,
    "exists": lambda found, wanted: found is not None,
    "not_exists": lambda found, wanted: found is None,
    "gt": _ordered(lambda found, wanted: bool(found > wanted)),
    "lt": _ordered(lambda found, wanted: bool(found < wanted)),
}
