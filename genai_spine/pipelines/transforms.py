"""Transforms of steps: what shapes an input, or an output before it is stored."""

from collections.abc import Mapping
from typing import Any

from genai_spine.pipelines import expressions, paths
from genai_spine.v1 import pipeline_pb2 as pb


def applied(transform: pb.PipelineTransform, value: Any, context: Mapping[str, Any]) -> Any:
    """Value as the transform shapes it. Raises ExpressionRefused."""
    kind = transform.WhichOneof("transform")
    if kind == "map":
        return {name: paths.found(value, place) for name, place in transform.map.fields.items()}
    if kind == "extract":
        return paths.found(value, transform.extract)
    if kind == "merge":
        return _merged(transform.merge.keys, context)
    if kind == "cel":
        return expressions.evaluated(transform.cel, context, value)
    return value


def _merged(keys: Any, context: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of the context in one object; one that is no object itself keeps its key."""
    merged: dict[str, Any] = {}
    for key in keys:
        entry = paths.found(context, key)
        merged |= entry if isinstance(entry, Mapping) else {key: entry}
    return merged
