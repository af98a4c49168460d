"""Items of a batch as they are submitted: given as they are, or made of a template and inputs.

They become rows of their own with the run; the run's work keeps the batch without them.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from genai_spine import validation
from genai_spine.errors import InvalidFields
from genai_spine.pipelines import definition
from genai_spine.runs import names
from genai_spine.runs.execution.context import content_hash
from genai_spine.store.runs.items import NO_ITEMS, SubmittedItems
from genai_spine.v1.batch_pb2 import Batch
from genai_spine.v1.item_work_pb2 import ItemWork
from genai_spine.v1.work_pb2 import Work

PATH = "work.batch"  # of the batch in a request
PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*\}\}")
MAX_BYTES = 64 << 20  # of the work of all items that a template makes
MAX_PROBLEMS = validation.MAX_PROBLEMS

Row = dict[str, Any]
Problem = tuple[str, str]


def members(work: Work) -> set[str]:
    """Members of Work that work consists of: its own, or those of a batch's items or a pipeline's steps."""
    if work.WhichOneof("request") == names.PIPELINE:
        return definition.members(work.pipeline.definition)
    if work.WhichOneof("request") != names.BATCH:
        return {work.WhichOneof("request") or ""}
    found = {item.work.WhichOneof("request") or "" for item in work.batch.items}
    return found | ({work.batch.template.WhichOneof("request") or ""} if work.batch.inputs else set())


async def items_of(work: Work) -> SubmittedItems:
    """Items of a batch; none of other work.

    Errors: InvalidFields, naming the item or the input.
    """
    if work.WhichOneof("request") != names.BATCH:
        return NO_ITEMS
    batch = work.batch
    rows = await asyncio.to_thread(_rows, batch)  # there may be 50,000
    return SubmittedItems(rows, reused_from=batch.reuse_results_of)


def without_items(work: Work) -> None:
    """Takes the items out of a run's work: they have rows of their own."""
    if work.WhichOneof("request") == names.BATCH:
        work.batch.ClearField("items")
        work.batch.ClearField("inputs")


def _rows(batch: Batch) -> list[Row]:
    if batch.inputs:
        return _filled(batch)
    problems: list[Problem] = []
    given: dict[str, int] = {}  # place by id
    for place, item in enumerate(batch.items):
        id = item.item_id or str(place)
        if id in given:
            problems.append(
                (f"{PATH}.items[{place}].item_id", f"is that of items[{given[id]}] too: {id[:64]!r}")
            )
        given.setdefault(id, place)
    if problems:
        raise InvalidFields(problems[:MAX_PROBLEMS])
    return [_row(place, item.item_id or str(place), item.work) for place, item in enumerate(batch.items)]


def _row(place: int, item_id: str, work: ItemWork) -> Row:
    return {
        "place": place,
        "item_id": item_id,
        "status": "pending",
        "content_hash": content_hash(names.request_of(work)),
        "work": work.SerializeToString(deterministic=True),
        "execution_ids": [],
    }


def _filled(batch: Batch) -> list[Row]:
    """Items of a template, one an input. Errors: InvalidFields, naming inputs[3].name."""
    wanted = _placeholders(batch.template)
    rows: list[Row] = []
    problems: list[Problem] = []
    size = 0
    for place, given in enumerate(batch.inputs):
        if found := _problems(f"{PATH}.inputs[{place}]", wanted, given):
            problems += found
        elif not problems:
            work = filled(batch.template, {name: text(given, name) for name in wanted})
            problems += _broken_rules(place, work)
            rows.append(_row(place, str(place), work))
            size += len(rows[-1]["work"])
        if len(problems) >= MAX_PROBLEMS:
            break
        if size > MAX_BYTES:
            raise InvalidFields(
                [(f"{PATH}.inputs", f"make items of more than {MAX_BYTES >> 20} MiB together")]
            )
    if problems:
        raise InvalidFields(problems[:MAX_PROBLEMS])
    return rows


def _problems(path: str, wanted: set[str], given: Struct) -> list[Problem]:
    """Names that the template or the input has, and the other one has not."""
    names_given = set(given.fields)
    missing = [
        (f"{path}.{name}", "is required: the template has {{" + name + "}}") for name in wanted - names_given
    ]
    unknown = [(f"{path}.{name}"[:200], "is not in the template") for name in names_given - wanted]
    empty = [
        (f"{path}.{name}", "must not be null")
        for name in wanted & names_given
        if given.fields[name].WhichOneof("kind") in (None, "null_value")
    ]
    return sorted(missing + unknown + empty)


def _broken_rules(place: int, work: ItemWork) -> list[Problem]:
    """What an item of a template breaks."""
    try:
        validation.check_without_aliases(work)
    except InvalidFields as error:
        return [(f"{PATH}.inputs[{place}]", f"{path} of its item: {why}") for path, why in error.violations]
    return []


def text(given: Struct, name: str) -> str:
    """Value of an input as text: whole numbers without a point, lists and objects as JSON."""
    value = given.fields[name]
    if value.WhichOneof("kind") == "string_value":
        return str(value.string_value)
    plain = names.whole_numbers(json_format.MessageToDict(value))
    return json.dumps(plain, ensure_ascii=False)


def filled(template: ItemWork, values: Mapping[str, str]) -> ItemWork:
    """Copy of a template with the values in the place of their names, in every text of the request."""
    work = ItemWork()
    work.CopyFrom(template)
    _rewrite(work, lambda given: PLACEHOLDER.sub(lambda found: values[found[1]], given))
    return work


def _placeholders(template: ItemWork) -> set[str]:
    """Names in the texts of a template."""
    found: set[str] = set()

    def collect(given: str) -> str:
        found.update(PLACEHOLDER.findall(given))
        return given

    copy = ItemWork()
    copy.CopyFrom(template)
    _rewrite(copy, collect)
    return found


def _rewrite(message: Message, change: Callable[[str], str]) -> None:
    """Gives every text in a message, and in those that it holds, to change."""
    for field, value in message.ListFields():
        entry: Any = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            _rewrite_map(value, entry.fields_by_name["value"], change)
        elif field.type == field.TYPE_STRING:
            if field.is_repeated:
                value[:] = [change(one) for one in value]
            else:
                setattr(message, field.name, change(value))
        elif entry is not None:
            for inner in _each(field, value):
                _rewrite(inner, change)


def _rewrite_map(entries: Any, kind: Any, change: Callable[[str], str]) -> None:
    for key in list(entries):
        if kind.message_type is not None:
            _rewrite(entries[key], change)
        elif kind.type == kind.TYPE_STRING:
            entries[key] = change(entries[key])


def _each(field: Any, value: Any) -> Iterator[Message]:
    return iter(value) if field.is_repeated else iter((value,))
