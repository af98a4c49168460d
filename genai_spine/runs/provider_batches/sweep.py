"""Sweep of providers' batches whose run has ended: each is cancelled, and what it cost is booked.

A run ends at once when somebody cancels it or its deadline passes, and its provider takes minutes to stop.
"""

from dataclasses import dataclass

import structlog

from genai_spine.call import Call
from genai_spine.errors import SpineError
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
        rows = self.batches.rows
        for sent in await rows.of_ended_runs():
            if await rows.claim(sent.id, self.batches.poll_s):
                try:
                    await self._look(sent)
                except SpineError as error:
                    log.warning("provider_batch_not_swept", batch_id=sent.batch_id, cause=error.logged)

        for sent in await rows.late(self.batches.grace_s):
            if await rows.claim(sent.id, self.batches.grace_s):
                try:
                    await self.batches.cancel_late(sent, Call(run_id=sent.run_id))
                except SpineError as error:
                    log.warning("provider_batch_not_sought", run_id=sent.run_id, cause=error.logged)

    async def _look(self, sent: SentBatch) -> None:
        batches, call = self.batches, Call(run_id=sent.run_id)
        if sent.state == PREPARING:
            await batches.drop(sent, call)
            return
        if sent.state == SENDING:
            await batches.seek(sent, call)
            return
        batch = await batches.state(sent, call)
        if batch.state not in FINAL:
            if batch.state != pb.BATCH_STATE_CANCELLING:
                await batches.cancel(sent, call)
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
