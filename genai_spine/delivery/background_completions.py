"""Completions that are kept under an id, so that a caller who went away can fetch them."""

import asyncio
from collections.abc import Callable

import structlog

from genai_spine.delivery.restamp import answer_id
from genai_spine.errors import CompletionNotFound, InternalError, ServiceUnavailable, SpineError, revived
from genai_spine.store.completions import CompletionFailure, Completions
from genai_spine.v1 import completion_service_pb2 as pb

DB_TIMEOUT_S = 3.0  # for one statement
PAUSES_S = (0.1, 1.0)  # before the next attempt to write an outcome
# Why there is no completion, by the state of its row.
HINTS = {
    "RUNNING": "still running",
    "LOST": "the server process that made it ended during the call",
}

log = structlog.get_logger()


class BackgroundCompletion:
    """One call whose answer is kept; made by KeptCompletions.open()."""

    def __init__(self, completions: Completions, id: str, ttl_s: float) -> None:
        self.id = id  # that the answer and all its chunks have to bear
        self._completions = completions
        self._ttl_s = ttl_s

    async def close(self, outcome: pb.Completion | Exception) -> None:
        """Writes the outcome; tries again for some seconds, and then it is lost."""
        if isinstance(outcome, Exception):
            error = outcome if isinstance(outcome, SpineError) else InternalError()
            stored: pb.Completion | CompletionFailure = CompletionFailure(
                error.reason_name, str(error), error.metadata
            )
        else:
            stored = pb.Completion()
            stored.CopyFrom(outcome)
            stored.id = self.id
        for pause_s in (*PAUSES_S, None):
            try:
                async with asyncio.timeout(DB_TIMEOUT_S):
                    await self._completions.finish(self.id, stored, self._ttl_s)
                return
            except Exception as failure:
                log.warning("completion_not_kept", id=self.id, cause=str(failure)[:500], retry_s=pause_s)
            if pause_s is not None:
                await asyncio.sleep(pause_s)


class BackgroundCompletions:
    """Opens background completions and finds them again. Times are seconds."""

    def __init__(self, completions: Completions, server_id: Callable[[], str], *, ttl_s: float) -> None:
        """server_id: of the ledger, whose lease says that this process lives."""
        self._completions = completions
        self._server_id = server_id
        self._ttl_s = ttl_s

    async def open(self, request_id: str, tenant: str) -> BackgroundCompletion:
        """Before the provider is called. Errors: ServiceUnavailable, because nothing could be kept."""
        background = BackgroundCompletion(self._completions, answer_id(), self._ttl_s)
        try:
            async with asyncio.timeout(DB_TIMEOUT_S):
                await self._completions.begin(
                    background.id, tenant, request_id, self._server_id(), self._ttl_s
                )
        except Exception as error:
            raise ServiceUnavailable(cause="its database does not keep completions now") from error
        return background

    async def get(self, id: str, tenant: str) -> pb.Completion:
        """One of the tenant's by its id or its request's.

        Errors: CompletionNotFound, also while it is still running, which its hint says then; the error that
        the call ended with; ServiceUnavailable.
        """
        try:
            async with asyncio.timeout(DB_TIMEOUT_S):
                found = await self._completions.find(id, tenant)
        except Exception as error:
            raise ServiceUnavailable(cause="its database does not answer") from error
        if isinstance(found, pb.Completion):
            return found
        if isinstance(found, CompletionFailure):
            raise revived(found.reason, found.message, found.metadata)
        raise CompletionNotFound(id=id, hint=HINTS.get(found or ""))
