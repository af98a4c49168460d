"""Answers of a provider's batch: each line settles its call in the ledger, and belongs to an item."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

import structlog

from genai_spine.call import Call
from genai_spine.errors import ProviderObjectNotFound, SpineError
from genai_spine.inference.batches.pooled_calls import PooledCalls
from genai_spine.providers.batch_api import BatchedAnswer
from genai_spine.store.provider_batches.batches import ItemWorks, ProviderBatchRows, SentBatch
from genai_spine.store.runs.items import PendingItem
from genai_spine.v1 import provider_batch_service_pb2 as batches
from genai_spine.v1.completion_service_pb2 import Completion, CreateCompletionRequest
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.item_work_pb2 import ItemWork

STEP = "item."  # and the place of an item: the step of its calls
AT_ONCE = 100  # lines that are settled together
# States in which a batch stays. What it has no answer to was not billed, but where it is complete.
FINAL = (
    batches.BATCH_STATE_COMPLETED,
    batches.BATCH_STATE_FAILED,
    batches.BATCH_STATE_EXPIRED,
    batches.BATCH_STATE_CANCELLED,
)
UNBILLED = FINAL[1:]

log = structlog.get_logger()


class Outcome(NamedTuple):
    """Outcome of an item in a batch."""

    item: PendingItem
    is_open: bool  # it has no end yet
    execution_id: str
    answer: Completion | SpineError


def place_of(execution: Execution) -> int:
    """Place of the item that a call is for."""
    return int(execution.step_id.removeprefix(STEP))


@dataclass(frozen=True, slots=True)
class ProviderAnswers:
    """Reads the answers of one batch."""

    rows: ProviderBatchRows
    calls: PooledCalls

    async def read(
        self, sent: SentBatch, batch: batches.ProviderBatch, call: Call
    ) -> AsyncGenerator[list[Outcome]]:
        """Outcomes of all items of a batch that has ended, some at a time; each is on the books by then.

        Errors: those of reading its output; it can be read again, which settles nothing twice.
        """
        opened = await self.rows.calls(sent.id)
        left = {line: self.calls.row(execution) for line, execution in opened.items()}
        waiting: list[tuple[Execution, BatchedAnswer]] = []
        is_gone = False
        try:
            async with aclosing(self._answers(sent, batch, call)) as answers:
                async for answer in answers:
                    if (execution := left.pop(answer.id, None)) is None:  # twice, or none of ours
                        log.warning("batch_line_unknown", batch_id=batch.id, line=answer.id[:80])
                        continue
                    waiting.append((execution, answer))
                    if len(waiting) == AT_ONCE:
                        yield await self._settled(sent.run_id, waiting, call)
                        waiting = []
        except ProviderObjectNotFound as error:  # somebody deleted its output
            log.warning("batch_output_gone", batch_id=batch.id, cause=error.logged)
            is_gone = True
        if waiting:
            yield await self._settled(sent.run_id, waiting, call)
        is_lost = is_gone or batch.state not in UNBILLED
        missing = list(left.values())
        for start in range(0, len(missing), AT_ONCE):
            some = missing[start : start + AT_ONCE]
            yield await self._missed(sent.run_id, some, why_of(batch), is_lost=is_lost)

    def _answers(
        self, sent: SentBatch, batch: batches.ProviderBatch, call: Call
    ) -> AsyncGenerator[BatchedAnswer]:
        api = self.calls.api(sent.provider)
        assert api is not None
        return api.answers(batch, call)

    async def _settled(
        self, run_id: str, some: Sequence[tuple[Execution, BatchedAnswer]], call: Call
    ) -> list[Outcome]:
        items = await self._items(run_id, [execution for execution, _ in some])

        async def settle(execution: Execution, answer: BatchedAnswer) -> Completion | SpineError:
            own = call_of(call, execution)
            request = _request(items[place_of(execution)])
            try:
                return await self.calls.settle(execution, request, answer, own)
            except SpineError as error:
                return error

        answers = await asyncio.gather(*(settle(execution, answer) for execution, answer in some))
        return [
            _outcome(items, execution, answer) for (execution, _), answer in zip(some, answers, strict=True)
        ]

    async def _missed(
        self, run_id: str, some: Sequence[Execution], why: str, *, is_lost: bool
    ) -> list[Outcome]:
        items = await self._items(run_id, some)
        found = []
        for execution in some:
            request = _request(items[place_of(execution)])
            error = await self.calls.miss(execution, request, why, is_lost=is_lost)
            found.append(_outcome(items, execution, error))
        return found

    async def _items(self, run_id: str, executions: Sequence[Execution]) -> dict[int, ItemWorks]:
        return await self.rows.items(run_id, [place_of(execution) for execution in executions])


def why_of(batch: batches.ProviderBatch) -> str:
    """Why a batch has no answer to a line, in words."""
    state = batches.BatchState.Name(batch.state).removeprefix("BATCH_STATE_").lower()
    faults = "; ".join(f"{error.code}: {error.message}" for error in batch.errors[:3])
    return f"the batch is {state} and has no answer" + (f": {faults}" if faults else "")


def call_of(call: Call, execution: Execution) -> Call:
    """Call of one item, by its row."""
    return replace(
        call,
        request_id=execution.request_id,
        step_id=execution.step_id,
        cost_labels=dict(execution.cost_labels),
        attempts=count(execution.attempt),
        billed=set(),
        headers={},
        rate_admission=None,
    )


def _request(works: ItemWorks) -> CreateCompletionRequest:
    return ItemWork.FromString(works.item.work).completion


def _outcome(
    items: Mapping[int, ItemWorks], execution: Execution, answer: Completion | SpineError
) -> Outcome:
    works = items[place_of(execution)]
    return Outcome(works.item, works.is_open, execution.id, answer)
