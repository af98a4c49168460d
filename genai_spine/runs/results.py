"""Results of runs as older clients read them: plain fields by the name of the work, always with its cost.

One function per name, of the same answers that Run.response and ListRunItems hold. What is large is left out
here and said so: is_truncated of a single answer, items_truncated of a batch.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from genai_spine.costs import usd_of
from genai_spine.runs import names
from genai_spine.store.runs.items import ItemRows
from genai_spine.v1 import media_service_pb2 as media
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1.batch_pb2 import RunItem
from genai_spine.v1.capability_service_pb2 import ExtractResponse, SummarizeResponse
from genai_spine.v1.completion_service_pb2 import Completion, CreateEmbeddingsResponse
from genai_spine.v1.pipeline_pb2 import PipelineResult
from genai_spine.v1.run_service_pb2 import ListRunItemsRequest
from genai_spine.v1.work_pb2 import AggregateCostsResponse

MAX_ITEMS = 1000  # of a batch, in its result; ListRunItems and the export have all of them
MAX_BYTES = 1 << 20  # of the answers in a result

Fields = dict[str, Any]
FillAliases = Callable[[Message], None]


@dataclass(frozen=True, slots=True)
class Results:
    """Results of runs that have ended. fill_aliases: adds the older field names of REST to an answer."""

    items: ItemRows
    fill_aliases: FillAliases

    async def fill(self, run: pb.Run) -> None:
        """Writes the result of a run that has ended into its message; its cost must be there."""
        if not run.HasField("end_time"):
            return
        if run.work.WhichOneof("request") == names.BATCH:
            request = ListRunItemsRequest(run_id=run.run_id, include_work=True)
            items, has_more = await self.items.page(request, -1, MAX_ITEMS, MAX_BYTES)
            made = await asyncio.to_thread(self._of_batch, run, items, has_more=has_more)
        elif member := run.response.WhichOneof("response"):
            answer = getattr(run.response, member)
            made = await asyncio.to_thread(self.shown, member, answer)
            made = {"tokens": run.usage.total_tokens, **made, "cost": run.cost.cost_usd}
        else:
            return
        await asyncio.to_thread(json_format.ParseDict, made, run.result)

    def shown(self, member: str, answer: Message) -> Fields:
        """Fields of one answer, without its cost."""
        if answer.ByteSize() > MAX_BYTES and member not in ("completion", "speech"):
            return {"is_truncated": True}
        if (show := OF_MEMBER.get(member)) is not None:
            return show(answer)
        return as_rest(answer, self.fill_aliases)

    def _of_batch(self, run: pb.Run, items: Sequence[RunItem], *, has_more: bool) -> Fields:
        answers = [self._of_item(item) for item in items]
        made = OF_BATCH.get(run.name, _batch)(run, items, answers)
        made |= {"total_tokens": run.usage.total_tokens, "cost": run.cost.cost_usd}
        return made | ({"items_truncated": True} if has_more else {})

    def _of_item(self, item: RunItem) -> Fields | None:
        """Fields of an item's answer; None: there is none."""
        if (member := item.response.WhichOneof("response")) is None:
            return None
        return self.shown(member, getattr(item.response, member)) | {"cost": item.cost.cost_usd}


def as_rest(answer: Message, fill_aliases: FillAliases) -> Fields:
    """Answer as the method gives it over REST."""
    whole = type(answer)()
    whole.CopyFrom(answer)
    fill_aliases(whole)
    fields: Fields = json_format.MessageToDict(
        whole, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return fields


def completion(answer: Completion) -> Fields:
    """Text of the first choice."""
    parts = answer.choices[0].message.content if answer.choices else ()
    return {"text": "".join(part.text for part in parts), "tokens": answer.usage.total_tokens}


def summary(answer: SummarizeResponse) -> Fields:
    """The summary, and its bullet points where it has some."""
    points = {"key_points": list(answer.key_points)} if answer.key_points else {}
    return {"summary": answer.summary, "tokens": answer.result.usage.total_tokens, **points}


def entities(answer: ExtractResponse) -> Fields:
    """The entities."""
    found = [_plain(entity) for entity in answer.entities]
    return {"entities": found, "tokens": answer.result.usage.total_tokens}


def embeddings(answer: CreateEmbeddingsResponse) -> Fields:
    """The vectors, in the order of the texts."""
    vectors = [list(one.values) for one in sorted(answer.embeddings, key=lambda one: one.index)]
    return {"embeddings": vectors, "model": answer.model, "tokens": answer.usage.total_tokens}


def speech(answer: media.SpeechChunk) -> Fields:
    """Size and kind of what was spoken; the sound itself is in the response of the run."""
    return {"media_type": answer.media_type, "size_bytes": len(answer.data), "model": answer.model}


def costs(answer: AggregateCostsResponse) -> Fields:
    """Rows of the day's costs."""
    rows = [
        {
            "provider": row.provider,
            "model": row.model,
            "request_count": row.request_count,
            "total_input_tokens": row.total_input_tokens,
            "total_output_tokens": row.total_output_tokens,
            "total_cost": usd_of(row.total_cost_ticks),
        }
        for row in answer.costs
    ]
    return {"date": answer.date, "costs": rows}


def pipeline(answer: PipelineResult) -> Fields:
    """The outputs of the steps, and what came of each."""
    made = _plain(answer)
    times = {"started_at": made.get("start_time"), "completed_at": made.get("end_time")}
    return {**made, **times, "output": json_format.MessageToDict(answer.output)}


def _plain(message: Message) -> Fields:
    fields: Fields = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return fields


# What is shown of the answer to a member of Work; of every other one what REST shows.
OF_MEMBER: Mapping[str, Callable[[Any], Fields]] = {
    "completion": completion,
    "summarize": summary,
    "extract": entities,
    "embeddings": embeddings,
    "speech": speech,
    "aggregate_costs": costs,
    "pipeline": pipeline,
}


def _batch(run: pb.Run, items: Sequence[RunItem], answers: Sequence[Fields | None]) -> Fields:
    """Counts of a batch, and its items in input order."""
    counts = run.item_counts
    return {
        "batch_id": run.run_id,
        "total": counts.total,
        "successful": counts.completed,
        "failed": counts.failed,
        "pending": counts.pending + counts.running,
        "skipped": counts.skipped,
        "success_rate": counts.completed / max(1, counts.total),
        "duration_seconds": run.duration_seconds,
        "items": [_item(item, answer) for item, answer in zip(items, answers, strict=True)],
    }


def _item(item: RunItem, answer: Fields | None) -> Fields:
    member = item.work.WhichOneof("request") or ""
    params = json_format.MessageToDict(names.request_of(item.work), preserving_proto_field_name=True)
    return {
        "item_id": item.item_id,
        "name": names.PREFIX + member,
        "params": params,
        "status": item.status,
        "result": answer,
        "error": item.error or None,
        "error_type": item.error_type or None,
    }


def _field_of_each(field: str, several: str) -> Callable[[pb.Run, Sequence[RunItem], Any], Fields]:
    """One field of every item's answer in input order, null where there is none, and what failed."""

    def show(run: pb.Run, items: Sequence[RunItem], answers: Sequence[Fields | None]) -> Fields:
        failed = [
            {"index": item.index, "error_type": item.error_type, "error": item.error}
            for item in items
            if item.status == "failed"
        ]
        found = [None if answer is None else answer.get(field) for answer in answers]
        return {several: found, "count": run.item_counts.total, "errors": failed}

    return show


def _vectors(run: pb.Run, items: Sequence[RunItem], answers: Sequence[Fields | None]) -> Fields:
    """The vector of each text."""
    made = _field_of_each("embeddings", "embeddings")(run, items, answers)
    made["embeddings"] = [found[0] if found else None for found in made["embeddings"]]
    return made


OF_BATCH: Mapping[str, Callable[[pb.Run, Sequence[RunItem], Sequence[Fields | None]], Fields]] = {
    "genai.batch_summarize": _field_of_each("summary", "summaries"),
    "genai.batch_extract": _field_of_each("entities", "entities"),
    "genai.batch_embed": _vectors,
}
