"""Completions that are stored because their requests said so: written once, when the answer is complete.

A stream is stored just before its last chunk goes out, so whoever has read it to its end finds it. One that
breaks or is left stores nothing.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from genai_spine.call import Call
from genai_spine.chunks import ChunkBuilder
from genai_spine.store.stored_completions import StoredCompletionRows
from genai_spine.v1 import completion_service_pb2 as pb

DB_TIMEOUT_S = 5.0  # for one attempt
PAUSES_S = (0.1, 1.0)  # before the next attempt
NOT_STORED = "x-genai-stored"  # header, with the value false

log = structlog.get_logger()


class StoredCompletions:
    """Writer of stored completions."""

    def __init__(self, rows: StoredCompletionRows, *, ttl_s: float) -> None:
        """ttl_s: seconds that an answer is kept."""
        self._rows = rows
        self._ttl_s = ttl_s

    async def add(self, request: pb.CreateCompletionRequest, completion: pb.Completion, call: Call) -> None:
        """Stores an answer. It is paid for, so it goes out without being stored where the database fails,
        with a line in the log and a header that says so.
        """
        for pause_s in (*PAUSES_S, None):
            try:
                async with asyncio.timeout(DB_TIMEOUT_S):
                    await self._rows.add(request, completion, call.principal.tenant_id, self._ttl_s)
                return
            except Exception as failure:
                log.warning(
                    "completion_not_stored", id=completion.id, cause=str(failure)[:500], retry_s=pause_s
                )
            if pause_s is not None:
                await asyncio.sleep(pause_s)
        call.headers[NOT_STORED] = "false"

    async def stream(
        self, request: pb.CreateCompletionRequest, chunks: AsyncGenerator[pb.CompletionChunk], call: Call
    ) -> AsyncGenerator[pb.CompletionChunk]:
        """The same chunks; stores what they spell out."""
        whole = ChunkBuilder()
        async with aclosing(chunks):
            async for chunk in chunks:
                whole.add(chunk)
                if chunk.HasField("cost"):  # the last one
                    completion = await asyncio.to_thread(whole.completion)
                    await self.add(request, completion, call)
                yield chunk
