"""Older field names of REST (rest-v1.md): aliases that only callers over REST read and write.

An alias is a deprecated field with the option `rest_alias_of`, the path of the field that it stands for.
Services know only that field. The interceptor fills the aliases of an answer, and takes those of a request
to the fields they stand for, where a call came over REST; so gRPC callers never see one, and validation
refuses those that they set.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from genai_spine.costs import ticks_of, usd_of
from genai_spine.errors import InvalidFields
from genai_spine.v1 import execution_pb2, field_rules_pb2
from genai_spine.v1.capability_result_pb2 import CapabilityResult, CapabilityUsage
from genai_spine.v1.prompt_service_pb2 import ExecutePromptUsage
from genai_spine.v1.run_pb2 import Run
from genai_spine.v1.run_service_pb2 import RunSummary
from genai_spine.v1.work_pb2 import Work

_SUCCESS = {  # pending: unset
    execution_pb2.EXECUTION_STATE_SUCCEEDED: True,
    execution_pb2.EXECUTION_STATE_FAILED: False,
    execution_pb2.EXECUTION_STATE_CANCELLED: False,
    execution_pb2.EXECUTION_STATE_LOST: False,
}


def _capability_usage(result: CapabilityResult) -> CapabilityUsage:
    return CapabilityUsage(
        input_tokens=result.usage.input_tokens,
        output_tokens=result.usage.output_tokens,
        total_tokens=result.usage.total_tokens,
        cost_usd=result.cost.cost_usd,
        cost_ticks=result.cost.cost_ticks,
        price_known=result.cost.price_known,
        latency_ms=result.latency_ms,
    )


def _prompt_usage(result: CapabilityResult) -> ExecutePromptUsage:
    return ExecutePromptUsage(total_tokens=result.usage.total_tokens, cost=result.cost.cost_usd)


def _params(work: Work) -> Struct:
    params = Struct()
    if member := work.WhichOneof("request"):
        params.update(json_format.MessageToDict(getattr(work, member), preserving_proto_field_name=True))
    return params


def _summaries(runs: Iterable[Run]) -> list[RunSummary]:
    return [_summary(run) for run in runs]


def _summary(run: Run) -> RunSummary:
    """Summary with its own alias: what holds aliases is filled before."""
    summary = RunSummary(run_id=run.run_id, kind=run.kind, name=run.name, status=run.status)
    summary.create_time.CopyFrom(run.create_time)
    summary.created_at.CopyFrom(run.create_time)
    if run.HasField("duration_seconds"):
        summary.duration_seconds = run.duration_seconds
    return summary


# An alias whose type is not that of its source: the value of the one from that of the other. None: unset.
# By the alias's full name where one of the two is a scalar, otherwise by the two types.
SHOWN: dict[str, Callable[[Any], Any]] = {
    "CapabilityResult as CapabilityUsage": _capability_usage,
    "CapabilityResult as ExecutePromptUsage": _prompt_usage,
    "Run as RunSummary": _summaries,
    "Work as Struct": _params,
    "genai_spine.v1.Completion.created": lambda time: time.seconds,
    "genai_spine.v1.Execution.success": _SUCCESS.get,
    "genai_spine.v1.Model.created": lambda time: time.seconds,
    "genai_spine.v1.Routing.max_cost_usd": usd_of,
    # JSON of 64-bit integers is text, and dashboards read numbers.
    **{
        f"genai_spine.v1.{message}.{prefix}{name}": float
        for message, prefix in (("UsageTotals", ""), ("UsageDay", ""), ("GetUsageResponse", "total_"))
        for name in ("requests", "input_tokens", "output_tokens", "tokens")
    },
    "genai_spine.v1.GetUsageResponse.successful_requests": float,
    "genai_spine.v1.GetUsageResponse.failed_requests": float,
}
READ: dict[str, Callable[[Any], Any]] = {
    "genai_spine.v1.ListExecutionsRequest.state": lambda state: [state],
    "genai_spine.v1.ListExecutionsRequest.success": lambda success: [
        state for state, is_success in _SUCCESS.items() if is_success is success
    ],
    "genai_spine.v1.Routing.max_cost_usd": ticks_of,
}


def fill(message: Message) -> None:
    """Gives every alias in a message, and in those that it holds, the value of its source.

    The message must be of this call alone: none that other calls are answered with too.
    """
    plan = _plan(message.DESCRIPTOR)
    if plan.is_empty:
        return
    _fill(message, plan)


def read(request: Message) -> None:
    """Moves the aliases that a request has set to their sources, also in its update mask.

    A source that is set too must say the same; a list keeps what both let through. Times and costs are the
    server's to set, and ignored under either name. Errors: InvalidFields naming an alias that says otherwise.
    """
    plan = _plan(request.DESCRIPTOR)
    if plan.is_empty:
        return
    _read(request, plan, "")


def alias_of(descriptor: FieldDescriptor) -> str:
    """Path of the field that this one is an alias of; empty: it is none."""
    extensions: Any = descriptor.GetOptions().Extensions  # the stubs do not type an extension's key
    path: str = extensions[field_rules_pb2.rest_alias_of]
    return path


def conversion_key(alias: FieldDescriptor, source: FieldDescriptor) -> str:
    """Key of SHOWN and READ for an alias."""
    if alias.message_type and source.message_type:
        return f"{source.message_type.name} as {alias.message_type.name}"
    return alias.full_name


def source_of(alias: FieldDescriptor) -> FieldDescriptor:
    """The field that an alias stands for. KeyError: its path leads nowhere."""
    message: Any = alias.containing_type
    *parents, last = alias_of(alias).split(".")
    for name in parents:
        message = message.fields_by_name[name].message_type
    source: FieldDescriptor = message.fields_by_name[last]
    return source


@dataclass(slots=True)
class _Alias:
    name: str
    parents: tuple[str, ...]  # messages on the way to the source
    source: str
    path: str  # to the source, its own name included
    is_plain: bool  # a scalar
    has_presence: bool
    source_has_presence: bool
    is_choice: bool  # of the caller's; times and costs, which are messages, are the server's
    shown: Callable[[Any], Any] | None
    read: Callable[[Any], Any] | None


@dataclass(slots=True)
class _Plan:
    """Work that a type of message makes: its own aliases, and the fields whose messages have some."""

    aliases: list[_Alias] = field(default_factory=list)
    single: "list[tuple[str, _Plan]]" = field(default_factory=list)
    many: "list[tuple[str, _Plan]]" = field(default_factory=list)
    maps: "list[tuple[str, _Plan]]" = field(default_factory=list)
    mask: str = ""  # field that is a FieldMask of the message beside it

    @property
    def is_empty(self) -> bool:
        return not (self.aliases or self.single or self.many or self.maps)

    def held(self, message: Message) -> "Iterator[tuple[str, Message, _Plan]]":
        """Messages directly in this one that may have aliases, each with its place."""
        for name, plan in self.single:
            if message.HasField(name):
                yield name, getattr(message, name), plan
        for name, plan in self.many:
            for index, item in enumerate(getattr(message, name)):
                yield f"{name}[{index}]", item, plan
        for name, plan in self.maps:
            for key, item in getattr(message, name).items():
                yield f"{name}[{key!r}]", item, plan


_plans: dict[str, _Plan] = {}


def _plan(descriptor: Any) -> _Plan:
    known = _plans.get(descriptor.full_name)
    return known or _compile(descriptor)


def _compile(descriptor: Descriptor) -> _Plan:
    """The plan is known before it is whole: a type can hold itself."""
    known = _plans.get(descriptor.full_name)
    if known is not None:
        return known
    plan = _plans[descriptor.full_name] = _Plan()
    for each in descriptor.fields:
        if alias_of(each):
            plan.aliases.append(_alias(each))
        elif each.message_type and each.message_type.full_name == FieldMask.DESCRIPTOR.full_name:
            plan.mask = each.name
        elif each.message_type and _concerned(each.message_type, set()):
            if each.message_type.GetOptions().map_entry:
                value: Any = each.message_type.fields_by_name["value"]
                plan.maps.append((each.name, _compile(value.message_type)))
            else:
                (plan.many if each.is_repeated else plan.single).append(
                    (each.name, _compile(each.message_type))
                )
    return plan


def _concerned(descriptor: Descriptor, seen: set[str]) -> bool:
    """A type that has an alias, or holds one that has."""
    if descriptor.full_name in seen:
        return False
    seen.add(descriptor.full_name)
    return any(
        alias_of(each) or (each.message_type and _concerned(each.message_type, seen))
        for each in descriptor.fields
    )


def _alias(each: FieldDescriptor) -> _Alias:
    source = source_of(each)
    key = conversion_key(each, source)
    *parents, last = alias_of(each).split(".")
    return _Alias(
        name=each.name,
        parents=tuple(parents),
        source=last,
        path=alias_of(each),
        is_plain=each.message_type is None and not each.is_repeated,
        has_presence=each.has_presence,
        source_has_presence=source.has_presence,
        is_choice=not parents and source.message_type is None,
        shown=SHOWN.get(key),
        read=READ.get(key),
    )


def _fill(message: Message, plan: _Plan) -> None:
    for _, held, below in plan.held(message):
        _fill(held, below)
    for alias in plan.aliases:
        holder = message
        for name in alias.parents:
            if not holder.HasField(name):
                break
            holder = getattr(holder, name)
        else:
            if alias.source_has_presence and not holder.HasField(alias.source):
                continue
            value = getattr(holder, alias.source)
            _set(message, alias.name, alias.shown(value) if alias.shown else value, alias.is_plain)


def _read(request: Message, plan: _Plan, path: str) -> None:
    for alias in plan.aliases:
        if not _is_set(request, alias.name, alias.has_presence):
            continue
        value = getattr(request, alias.name)
        value = alias.read(value) if alias.read else value
        holder = request
        for name in alias.parents:
            holder = getattr(holder, name)
        if not _is_set(holder, alias.source, alias.source_has_presence):
            _set(holder, alias.source, value, alias.is_plain or alias.read is not None)
        elif alias.is_choice and not _agrees(holder, alias.source, value):
            problem = f"differs from {path}{alias.path}, which means the same"
            raise InvalidFields([(path + alias.name, problem)])
        request.ClearField(alias.name)
    for place, held, below in plan.held(request):
        _read(held, below, f"{path}{place}.")
    if plan.mask and request.HasField(plan.mask):
        _read_mask(getattr(request, plan.mask), plan)


def _agrees(holder: Message, source: str, value: Any) -> bool:
    """Whether a source says the same as its alias. A list is a filter: what both name stays in it."""
    found = getattr(holder, source)
    if not isinstance(value, list):
        return bool(found == value)
    both = [item for item in found if item in value]
    found[:] = both
    return bool(both)


def _read_mask(mask: FieldMask, plan: _Plan) -> None:
    """Puts the sources in the place of the aliases that a mask names of the message beside it."""
    sources = {alias.name: alias.path for _, below in plan.single for alias in below.aliases}
    paths = [sources.get(path, path) for path in mask.paths]
    mask.paths[:] = paths


def _is_set(message: Message, name: str, has_presence: bool) -> bool:
    return message.HasField(name) if has_presence else bool(getattr(message, name))


def _set(message: Message, name: str, value: Any, is_plain: bool) -> None:
    if value is None:
        return
    if isinstance(value, list):
        getattr(message, name).extend(value)
    elif is_plain:
        setattr(message, name, value)
    else:
        getattr(message, name).MergeFrom(value)
