"""Sweep of providers' batches whose run has ended, or that showed after they were given up: each is
cancelled, and what it cost is booked.

A run ends at once when somebody cancels it or its deadline passes, and its provider takes minutes to stop.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from genai_spine.call import Call
from genai_spine.errors import SpineError
from genai_spine.inference.batches.late_calls import LateCalls
from genai_spine.runs.provider_batches.answers import FINAL, ProviderAnswers
from genai_spine.runs.provider_batches.batches import ProviderBatches
from genai_spine.store.provider_batches.batches import PREPARING, SENDING, SentBatch
from genai_spine.store.runs.items import ItemEnd
from genai_spine.v1 import provider_batch_service_pb2 as pb
from genai_spine.v1.completion_service_pb2 import Completion
from genai_spine.v1.item_work_pb2 import ItemResponse

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ProviderBatchSweep:
    """Ends what runs have left at providers."""

    batches: ProviderBatches

    async def sweep(self) -> None:
        """Looks at each such batch, unless somebody just did. Errors: those of the database."""
        if self.batches.configured is None:
            return
        rows, poll_s, grace_s = self.batches.rows, self.batches.poll_s, self.batches.grace_s
        await self._each(await rows.of_ended_runs(), poll_s, self._look)
        await self._each(await rows.abandoned(grace_s), grace_s, self._seek)
        await self._each(await rows.late(), poll_s, self._book_late)

    async def _each(
        self, found: Sequence[SentBatch], older_s: float, look: Callable[[SentBatch], Awaitable[None]]
    ) -> None:
        """Looks at batches, each unless somebody has within so long; one that fails is looked at again."""
        for sent in found:
            if await self.batches.rows.claim(sent.id, older_s):
                try:
                    await look(sent)
                except SpineError as error:
                    ids = {"run_id": sent.run_id, "batch_id": sent.batch_id}
                    log.warning("provider_batch_not_swept", **ids, cause=error.logged)

    async def _seek(self, sent: SentBatch) -> None:
        await self.batches.seek_late(sent, Call(run_id=sent.run_id))

    async def _book_late(self, sent: SentBatch) -> None:
        """Books what a batch cost whose items were made in another way; its answers are not used."""
        batches, call = self.batches, Call(run_id=sent.run_id)
        batch = await self._ended(sent, call)
        if batch is None:
            return
        answers = ProviderAnswers(batches.rows, LateCalls(batches.calls.inference))
        async for _ in answers.read(sent, batch, call):
            pass
        await batches.booked_late(sent, batch, call)

    async def _ended(self, sent: SentBatch, call: Call) -> pb.ProviderBatch | None:
        """Batch once its provider is done with it, and until then it is asked to end it."""
        batch = await self.batches.state(sent, call)
        if batch.state in FINAL:
            return batch
        if batch.state != pb.BATCH_STATE_CANCELLING:
            await self.batches.cancel(sent, call)
        return None

    async def _look(self, sent: SentBatch) -> None:
        batches, call = self.batches, Call(run_id=sent.run_id)
        if sent.state == PREPARING:
            await batches.drop(sent, call)
            return
        if sent.state == SENDING:
            await batches.seek(sent, call)
            return
        if (batch := await self._ended(sent, call)) is None:
            return
        async for outcomes in ProviderAnswers(batches.rows, batches.calls).read(sent, batch, call):
            for outcome in outcomes:
                if outcome.is_open and isinstance(outcome.answer, Completion):
                    # Of a run among the dead letters, whose replay needs not pay for it again.
                    body = ItemResponse(completion=outcome.answer).SerializeToString()
                    item, ids = outcome.item, [outcome.execution_id]
                    end = ItemEnd(item.place, item.item_id, "completed", item.attempt + 1, ids, body)
                    await batches.rows.answer(sent.run_id, end)
        await batches.done(sent, batch, call)
