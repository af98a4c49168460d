"""Settlement of a provider's batch: each line of its output becomes one row of the ledger, once.

A row's id is made from provider, batch and the caller's id of the line, and its request id is the batch's,
so that whoever asks, from whichever server and however often, adds nothing.
"""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from hashlib import sha256
from uuid import UUID

import structlog

from genai_spine.call import Call
from genai_spine.errors import ProviderObjectNotFound
from genai_spine.inference.attempt import Accounting
from genai_spine.providers.base import Provider
from genai_spine.store.executions import Executions
from genai_spine.store.provider_objects import ProviderObject, ProviderObjects
from genai_spine.v1 import provider_batch_service_pb2 as pb
from genai_spine.v1.execution_pb2 import EXECUTION_STATE_FAILED, Execution
from genai_spine.v1.operation_pb2 import OPERATION_BATCH
from genai_spine.v1.usage_pb2 import Cost

ENDED = (pb.BATCH_STATE_COMPLETED, pb.BATCH_STATE_EXPIRED, pb.BATCH_STATE_CANCELLED)
BATCH_SIZE = 500  # rows that may wait for the database at a time

log = structlog.get_logger()


class BatchSettlement:
    """Books the lines of batches that have ended, whoever asks and however often."""

    def __init__(self, accounting: Accounting, executions: Executions, objects: ProviderObjects) -> None:
        self.ledger, self.prices, self.budgets = accounting.ledger, accounting.prices, accounting.budgets
        self.executions = executions
        self.objects = objects

    async def admit(self, call: Call) -> None:
        """Lets a batch be made. Errors: BudgetExceeded where a budget has nothing left for it."""
        if self.budgets.any:
            payer = Execution(cost_labels=call.cost_labels)
            call.charge(payer)
            await self.budgets.admit(payer)

    async def settle(self, batch: pb.ProviderBatch, provider: Provider, call: Call) -> None:
        """Books what is not on the books yet, and tells the batch its cost.

        Errors: those of reading its output; what was booked by then stays.
        """
        if batch.state not in ENDED or not (batch.output_file_id or batch.error_file_id):
            return
        count, cost = await self.executions.batch_total(provider.name, batch.id)
        if count < batch.completed_count + batch.failed_count:
            await self._book(batch, provider, call)
            count, cost = await self.executions.batch_total(provider.name, batch.id)
        batch.cost.CopyFrom(cost)
        batch.booked_count = count

    async def _book(self, batch: pb.ProviderBatch, provider: Provider, call: Call) -> None:
        waiting: list[asyncio.Future[None]] = []
        made = await self.objects.get(provider.name, batch.id)
        made = made or ProviderObject(provider.name, "batch", batch.id, call.principal)
        payer = replace(call, principal=made.principal, correlation_id=None)
        try:
            async with aclosing(provider.batch_lines(batch, call)) as lines:
                number = 0
                async for custom_id, execution in lines:
                    execution.attempt = number = number + 1
                    self._complete(execution, custom_id, batch, provider, call)
                    payer.charge(execution)
                    execution.cost_labels.update(made.cost_labels)
                    if self.budgets.any:
                        await self.budgets.enter(execution)
                    waiting.append(self.ledger.book(execution))
                    if len(waiting) >= BATCH_SIZE:
                        await asyncio.gather(*waiting)
                        waiting.clear()
        except ProviderObjectNotFound as gone:
            # Somebody deleted the output, so what it cost can no longer be found out.
            log.warning("batch_output_gone", batch_id=batch.id, provider=provider.name, cause=gone.logged)
        await asyncio.gather(*waiting)

    def _complete(
        self, execution: Execution, custom_id: str, batch: pb.ProviderBatch, provider: Provider, call: Call
    ) -> None:
        """Adds what the line does not say itself: ids, times, attempt and cost."""
        times = batch.times
        begun = times.create_time.seconds
        ended = times.completed_time.seconds or times.expired_time.seconds or times.cancelled_time.seconds
        execution.id = row_id(provider.name, batch, custom_id)
        execution.request_id, execution.operation = batch.id, OPERATION_BATCH
        execution.requested_model = execution.model
        execution.user_agent = call.user_agent
        execution.create_time.seconds = begun
        execution.latency_ms = min(max(0, (ended or begun) - begun) * 1000, 2**32 - 1)
        execution.cost.CopyFrom(self._cost(execution, provider))

    def _cost(self, execution: Execution, provider: Provider) -> Cost:
        if execution.state == EXECUTION_STATE_FAILED:
            return Cost(price_known=True, price_book=self.prices.version)  # what failed is not billed
        return self.prices.rate(execution, local=provider.local)


def row_id(provider: str, batch: pb.ProviderBatch, custom_id: str) -> str:
    """A UUID of version 8 (RFC 9562): the batch's time first, as in the ledger's own ids, then a hash."""
    digest = sha256(f"{provider}\0{batch.id}\0{custom_id}".encode()).digest()
    number = batch.times.create_time.seconds * 1000 << 80 | int.from_bytes(digest[:10])
    number = number & ~(0xF << 76) | 0x8 << 76
    return str(UUID(int=number & ~(0b11 << 62) | 0b10 << 62))
