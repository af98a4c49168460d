"""Order of steps: who waits for whom, and whether anybody waits for himself."""

from collections.abc import Mapping

from genai_spine.pipelines import paths
from genai_spine.v1 import pipeline_pb2 as pb

Needs = Mapping[str, frozenset[str]]


def needs(definition: pb.PipelineDefinition) -> Needs:
    """Steps that must have ended before a step begins, by its name.

    Where no step names any, they are those before it. With several at once a step that says where its input
    comes from, and has no expression, waits only for those that make what it reads.
    """
    steps = definition.steps
    if any(step.depends_on for step in steps):
        makers = {output_key(step): step.name for step in steps}
        return {step.name: frozenset(step.depends_on) | _made_by(step, makers) for step in steps}
    found: dict[str, frozenset[str]] = {}
    makers = {}
    for place, step in enumerate(steps):
        before = frozenset(one.name for one in steps[:place])
        narrow = definition.max_concurrent > 1 and step.HasField("input_from") and not _is_open(step)
        found[step.name] = _made_by(step, makers) if narrow else before
        makers[output_key(step)] = step.name
    return found


def output_key(step: pb.PipelineStep) -> str:
    """Key of the context that a step's output is stored under."""
    return step.output_as or step.name


def cycle(needed: Needs) -> list[str]:
    """Steps that wait for each other, in a circle; empty: none do."""
    left = needed.keys() - set(_in_order(needed))
    path = [min(left)] if left else []
    while path:
        following = min(needed[path[-1]] & left)
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)
    return path


def longest_s(needed: Needs, durations_s: Mapping[str, float], at_once: int) -> float:
    """Seconds that steps take together: their longest chain, or their sum shared by those at once."""
    ends: dict[str, float] = {}
    for name in _in_order(needed):
        ends[name] = durations_s[name] + max((ends[one] for one in needed[name] if one in ends), default=0.0)
    return max(max(ends.values(), default=0.0), sum(durations_s.values()) / max(1, at_once))


def _made_by(step: pb.PipelineStep, makers: Mapping[str, str]) -> frozenset[str]:
    """Steps that make what a step reads by its input and its comparison."""
    read = [step.input_from] if step.HasField("input_from") else []
    if step.when.HasField("comparison"):
        read.append(step.when.comparison.path)
    found = {makers[key] for path in read if (key := paths.root(path)) in makers}
    return frozenset(found - {step.name})


def _is_open(step: pb.PipelineStep) -> bool:
    """Whether a step may read any entry of the context."""
    transforms = (step.input_transform, step.output_transform)
    kinds = {transform.WhichOneof("transform") for transform in transforms}
    return step.when.HasField("cel") or bool(kinds & {"cel", "merge"})


def _in_order(needed: Needs) -> list[str]:
    """Steps so that each stands behind those that it waits for; without those that wait in a circle."""
    found: list[str] = []
    left = dict(needed)
    while left:
        ready = [name for name, before in left.items() if not (before & left.keys())]
        if not ready:
            break
        found += ready
        for name in ready:
            del left[name]
    return found
