"""Batches of providers on their way: sent once, sought where nobody knows whether they were, then done with.

Whatever may have reached a provider has a row first. Where an answer to sending did not come, be it that the
process died or that the connection broke, the batch is sought by its key, again for a while, because it may
show late; only what is not found then was never made.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from genai_spine.call import Call
from genai_spine.errors import (
    ProviderAuthentication,
    ProviderObjectNotFound,
    ProviderQuotaExceeded,
    ProviderRateLimited,
    ProviderRejected,
    SpineError,
    UnsupportedOperation,
)
from genai_spine.inference.batches.pooled_calls import PooledCalls
from genai_spine.providers.batch_api import Line, Sought
from genai_spine.runs.execution.context import OwnerLost
from genai_spine.store.provider_batches.batches import DROPPED, ENDED, ProviderBatchRows, SentBatch
from genai_spine.store.runs.events import Owner, PendingEvent
from genai_spine.v1 import provider_batch_service_pb2 as pb

LOST_S = 48 * 3600.0  # after which a batch that cannot be asked for is given up: its time is a day
# Errors that say that nothing was made.
NOT_MADE = (
    ProviderRejected,
    ProviderRateLimited,
    ProviderAuthentication,
    ProviderQuotaExceeded,
    ProviderObjectNotFound,
    UnsupportedOperation,
)

log = structlog.get_logger()


@dataclass(slots=True)
class ProviderBatches:
    """Batches of providers, with their rows and the configuration in force."""

    rows: ProviderBatchRows
    poll_s: float  # between two looks at a batch
    grace_s: float  # after which a batch that was made is surely in its provider's list
    configured: PooledCalls | None = None

    @property
    def calls(self) -> PooledCalls:
        """Calls by the configuration in force."""
        assert self.configured is not None
        return self.configured

    async def send(self, owner: Owner, sent: SentBatch, lines: Sequence[Line], call: Call) -> bool:
        """Sends a batch that was prepared; False: the provider took it not, and no call of it was made.

        Where that is not known, it is open, and sought later. Raises OwnerLost.
        """
        api = self.calls.api(sent.provider)
        if api is None or not await self.rows.begin_sending(owner, sent.id, len(lines)):
            await self.drop(sent, call)
            if api is None:
                return False
            raise OwnerLost
        try:
            batch = await api.send(sent.id, sent.path, lines, call)
        except NOT_MADE as error:
            log.warning("provider_batch_refused", provider=sent.provider, cause=error.logged)
            await self.rows.was_refused(sent.id)
            await self.drop(sent, call)
            return False
        except SpineError as error:
            log.warning("provider_batch_unknown", provider=sent.provider, cause=error.logged)
            await self.rows.may_be_made(sent.id)
            return True
        await self._sent(sent, batch.id, len(lines), call, owner)
        return True

    async def seek(self, sent: SentBatch, call: Call, owner: Owner | None = None) -> bool:
        """Looks for a batch that may have been made; False: it surely was not, and is dropped."""
        api = self.calls.api(sent.provider)
        if api is None:
            return True
        ids = await self.rows.calls(sent.id)
        finding = await api.find(Sought(sent.id, ids.keys(), sent.age_s), call)
        if finding.batch is not None:
            await self._sent(sent, finding.batch.id, len(ids), call, owner)
            return True
        strangers = [id for id in finding.may_be if not await self.rows.is_known(sent.provider, id)]
        if strangers or sent.quiet_s < self.grace_s:
            return True
        await self.drop(sent, call)
        return False

    async def seek_late(self, sent: SentBatch, call: Call) -> None:
        """Looks for a batch that was given up, and may have come to be all the same."""
        if (api := self.calls.api(sent.provider)) is None:
            return
        ids = await self.rows.calls(sent.id)
        found = (await api.find(Sought(sent.id, ids.keys(), sent.age_s), call)).batch
        if found is not None:
            await self._found_late(sent, found.id, call)

    async def booked_late(self, sent: SentBatch, batch: pb.ProviderBatch, call: Call) -> None:
        """Ends a batch that was found late, with all that it cost on the books."""
        await self.rows.booked_late(sent.id)
        await self._clear(sent, batch, call)

    async def state(self, sent: SentBatch, call: Call) -> pb.ProviderBatch:
        """State of a batch at its provider; one that is gone is complete, and without answers.

        Errors: those of asking.
        """
        gone = pb.ProviderBatch(id=sent.batch_id or "", state=pb.BATCH_STATE_COMPLETED)
        api = self.calls.api(sent.provider)
        if api is None:
            if sent.age_s < LOST_S:
                raise UnsupportedOperation(provider=sent.provider, operation="batches any more")
            return gone
        try:
            return await api.get(sent.batch_id or "", call)
        except ProviderObjectNotFound:
            return gone
        except SpineError:
            if sent.age_s < LOST_S:
                raise
            return gone

    async def cancel(self, sent: SentBatch, call: Call) -> None:
        """Asks the provider to end a batch."""
        if (api := self.calls.api(sent.provider)) is not None and sent.batch_id:
            await api.cancel(sent.batch_id, call)

    async def drop(self, sent: SentBatch, call: Call) -> None:
        """Ends a batch that was never made: its calls cost nothing."""
        self.calls.withdraw(list((await self.rows.calls(sent.id)).values()))
        await self.rows.end(sent.id, DROPPED)
        await self._clear(sent, None, call)

    async def done(
        self,
        sent: SentBatch,
        batch: pb.ProviderBatch,
        call: Call,
        event: PendingEvent | None = None,
        owner: Owner | None = None,
    ) -> None:
        """Ends a batch all of whose calls are on the books."""
        await self.rows.end(sent.id, ENDED, event, owner)
        await self._clear(sent, batch, call)

    async def _sent(
        self, sent: SentBatch, batch_id: str, items: int, call: Call, owner: Owner | None
    ) -> None:
        """Records the provider's id; a batch whose row is dropped by now was found late."""
        data = {"provider": sent.provider, "model": sent.model, "batch_id": batch_id, "items": items}
        event = PendingEvent("provider_batch_sent", data)
        if not await self.rows.sent(sent.id, batch_id, event, owner):
            await self._found_late(sent, batch_id, call)

    async def _found_late(self, sent: SentBatch, batch_id: str, call: Call) -> None:
        """Ends a batch whose items are made in another way. Its row first: the sweep books what it cost."""
        if await self.rows.found_late(sent.id, batch_id):
            log.error("provider_batch_late", provider=sent.provider, batch_id=batch_id)
            await self.cancel(sent._replace(batch_id=batch_id), call)

    async def _clear(self, sent: SentBatch, batch: pb.ProviderBatch | None, call: Call) -> None:
        """Deletes what the provider keeps, as far as it lets it be deleted."""
        try:
            if (api := self.calls.api(sent.provider)) is not None:
                await api.clear(sent.id, batch, call)
        except SpineError as error:
            log.info("provider_batch_not_cleared", provider=sent.provider, cause=error.logged)
