"""Definitions of pipelines: what is wrong with one, and each fault with its path."""

from collections.abc import Iterable, Iterator

from google.protobuf import json_format

from genai_spine import validation
from genai_spine.errors import InvalidFields
from genai_spine.pipelines import expressions, graph
from genai_spine.pipelines.step_requests import CAPABILITIES, check_options
from genai_spine.v1 import pipeline_pb2 as pb

RESERVED = "exec-"  # what ids of executions begin with
MAX_BYTES = 1 << 20  # of a definition
DEFAULT_VERSION = "1.0.0"
DEFAULT_TIMEOUT_S, DEFAULT_COMPENSATION_S, DEFAULT_STEP_S, DEFAULT_UNDO_S = 600.0, 120.0, 120.0, 30.0
DEFAULT_ATTEMPTS, DEFAULT_DELAY_MS, MAX_DELAY_MS = 3, 1000, 30_000
DEFAULT_FALLBACKS = 3
CONDITION_NOT_MET = "condition not met"

Problem = tuple[str, str]


def checked(definition: pb.PipelineDefinition, path: str = "definition") -> pb.PipelineDefinition:
    """The definition, with its version. Raises InvalidFields with every fault, each path below `path`."""
    if found := faults(definition):
        raise InvalidFields([(f"{path}.{place}" if place else path, why) for place, why in found])
    if not definition.HasField("version"):
        definition.version = DEFAULT_VERSION
    return definition


def faults(definition: pb.PipelineDefinition) -> list[Problem]:
    """Faults with their paths, such as steps[2].when.cel; the first validation.MAX_PROBLEMS of them."""
    try:
        validation.check_without_aliases(definition)
    except InvalidFields as error:
        return list(error.violations)
    found = [*_of_whole(definition), *_of_names(definition)]
    for place, step in enumerate(definition.steps):
        found += [(f"steps[{place}].{where}", why) for where, why in _of_step(step)]
    return found[: validation.MAX_PROBLEMS] or _of_order(definition)


def required_capabilities(definition: pb.PipelineDefinition) -> list[str]:
    """Capabilities of the steps and of what undoes them, each once."""
    listed = [step.capability for step in definition.steps]
    listed += [action.capability for action in _actions(definition)]
    return list(dict.fromkeys(listed))


def members(definition: pb.PipelineDefinition) -> set[str]:
    """Members of Work that its steps consist of."""
    doings = [CAPABILITIES.get(name) for name in required_capabilities(definition)]
    return {doing.member for doing in doings if doing is not None and doing.member}


def fails_fast(definition: pb.PipelineDefinition) -> bool:
    """Whether a required step that fails ends the pipeline."""
    return definition.fail_fast or not definition.HasField("fail_fast")


def compensates(definition: pb.PipelineDefinition) -> bool:
    """Whether completed steps are undone when it fails."""
    return definition.compensation or not definition.HasField("compensation")


def _of_whole(definition: pb.PipelineDefinition) -> Iterator[Problem]:
    if definition.name.startswith(RESERVED):
        yield "name", f"must not begin with {RESERVED}"
    if definition.ByteSize() > MAX_BYTES:
        yield "", f"must not be larger than {MAX_BYTES >> 20} MiB"


def _of_names(definition: pb.PipelineDefinition) -> Iterator[Problem]:
    names: dict[str, int] = {}
    keys: dict[str, int] = {}
    for place, step in enumerate(definition.steps):
        if step.name in names:
            yield f"steps[{place}].name", f"is that of steps[{names[step.name]}] too"
        names.setdefault(step.name, place)
        key = graph.output_key(step)
        if key in keys and step.name not in list(names)[:place]:
            yield f"steps[{place}].output_as", f"{key} is the output of steps[{keys[key]}] too"
        keys.setdefault(key, place)
    for place, step in enumerate(definition.steps):
        for index, needed in enumerate(step.depends_on):
            if needed not in names:
                yield f"steps[{place}].depends_on[{index}]", f"there is no step {needed[:64]!r}"
            elif needed == step.name:
                yield f"steps[{place}].depends_on[{index}]", "is the step itself"
    for index, name in enumerate(definition.checkpoints):
        if name not in names:
            yield f"checkpoints[{index}]", f"there is no step {name[:64]!r}"


def _of_order(definition: pb.PipelineDefinition) -> list[Problem]:
    if not (circle := graph.cycle(graph.needs(definition))):
        return []
    place = next(index for index, step in enumerate(definition.steps) if step.name == circle[0])
    return [(f"steps[{place}].depends_on", f"steps wait for each other: {' -> '.join(circle)}")]


def _of_step(step: pb.PipelineStep) -> Iterator[Problem]:
    yield from _of_action(step.capability, step)
    if step.HasField("when"):
        yield from _of_condition(step.when)
    for name in ("input_transform", "output_transform"):
        if step.HasField(name):
            yield from _of_transform(name, getattr(step, name))
    if step.HasField("compensation"):
        yield from _of_compensation(step.compensation)


def _of_action(capability: str, action: pb.PipelineStep | pb.PipelineAction) -> Iterator[Problem]:
    doing = CAPABILITIES.get(capability)
    if doing is None:
        yield "capability", f"is unknown; there are: {', '.join(sorted(CAPABILITIES))}"
    elif doing.member and action.HasField("options"):
        problem = check_options(doing.member, json_format.MessageToDict(action.options))
        yield from [("options", problem)] if problem else []


def _of_condition(condition: pb.PipelineCondition) -> Iterator[Problem]:
    kind = condition.WhichOneof("condition")
    if kind is None:
        yield "when", "must have a comparison or cel"
    elif kind == "cel":
        yield from _of_expression("when.cel", condition.cel, is_condition=True)
    else:
        comparison = condition.comparison
        takes = comparison.operator not in ("exists", "not_exists")
        if takes is not comparison.HasField("value"):
            yield (
                "when.comparison.value",
                "is required" if takes else f"is not taken by {comparison.operator}",
            )


def _of_transform(name: str, transform: pb.PipelineTransform) -> Iterator[Problem]:
    kind = transform.WhichOneof("transform")
    if kind is None:
        yield name, "must have one of passthrough, map, extract, merge and cel"
    elif kind == "cel":
        yield from _of_expression(f"{name}.cel", transform.cel, is_condition=False)


def _of_compensation(compensation: pb.PipelineCompensation) -> Iterator[Problem]:
    kind = compensation.WhichOneof("action")
    if kind is None:
        yield "compensation", "must have work or webhook_url"
    elif kind == "work":
        below = _of_action(compensation.work.capability, compensation.work)
        yield from ((f"compensation.work.{where}", why) for where, why in below)
        if compensation.work.HasField("input_transform"):
            below = _of_transform("input_transform", compensation.work.input_transform)
            yield from ((f"compensation.work.{where}", why) for where, why in below)


def _of_expression(path: str, text: str, *, is_condition: bool) -> Iterator[Problem]:
    try:
        expressions.check(text, is_condition=is_condition)
    except expressions.ExpressionRefused as error:
        yield path, str(error)


def _actions(definition: pb.PipelineDefinition) -> Iterable[pb.PipelineAction]:
    return (step.compensation.work for step in definition.steps if step.compensation.HasField("work"))
