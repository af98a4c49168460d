"""Lost streams: what the kept part of a stream says of a call whose process died.

The blocks of a call with an idempotency key outlive its process. Their text is counted and entered into the
row of the ledger; the cost stays what was reserved, for the provider may have written more than was kept.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from io import StringIO
from typing import NamedTuple

import structlog

from genai_spine.store.booking.ledger_chain import Correction
from genai_spine.store.booking.lost_calls import LostCalls, correction
from genai_spine.store.executions import Executions
from genai_spine.store.idempotency.blocks import StreamBlocks
from genai_spine.store.idempotency.calls import IdempotentCalls
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1.execution_pb2 import LOSS_RESOLUTION_STREAM, Execution

MOST_CALLS, MOST_STREAMS = 1000, 100  # that are looked at after one sweep; other rows stay as they are
log = structlog.get_logger()


class StreamText(NamedTuple):
    """Text of one message of a stream."""

    visible: str = ""
    reasoning: str = ""


class LostStreams:
    """Counter of kept streams."""

    def __init__(
        self,
        executions: Executions,
        lost: LostCalls,
        calls: IdempotentCalls,
        blocks: StreamBlocks,
        text_of: Callable[[str, bytes], StreamText],
    ) -> None:
        """text_of: text of a message of a method, given as it went out."""
        self._executions = executions
        self._lost = lost
        self._calls = calls
        self._blocks = blocks
        self._text_of = text_of

    async def count(self, ids: Sequence[str]) -> None:
        """Enters what was kept of streams among lost calls. Where that fails, rows stay as they are."""
        try:
            changes = await self._changes(ids[:MOST_CALLS])
            if changes:
                await self._executions.chain.correct("RESOLVED", changes)
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"[:300]
            log.warning("lost_streams_not_counted", calls=len(ids), cause=cause)

    async def _changes(self, ids: Sequence[str]) -> list[Correction]:
        lost = await self._lost.find(ids)
        rows = [row for row in lost if row.streamed and row.resolution != LOSS_RESOLUTION_STREAM]
        tries = Counter(row.request_id for row in rows)
        of_request = {row.request_id: row for row in rows if tries[row.request_id] == 1}
        streams = await self._calls.call_ids(list(of_request)[:MOST_STREAMS])
        changes = []
        for request_id, (call_id, method) in streams.items():
            row = of_request[request_id]
            if values := await self._counted(row, call_id, method):
                changes.append(correction(row, values))
        return changes

    async def _counted(self, row: Execution, call_id: int, method: str) -> dict[str, int | str]:
        """Columns of what was kept; empty: nothing was."""
        visible, reasoning, place = StringIO(), StringIO(), 0
        while blocks := await self._blocks.read(call_id, place):
            for message in (message for block in blocks for message in block.messages):
                text = self._text_of(method, message)
                visible.write(text.visible)
                reasoning.write(text.reasoning)
            place = blocks[-1].last_seq
        if not visible.tell() and not reasoning.tell():
            return {}
        tokenizer = await Tokenizer.of(row.model)
        counts = tokenizer.count(visible.getvalue()), tokenizer.count(reasoning.getvalue())
        return {
            "visible_output_tokens": counts[0],
            "reasoning_tokens": counts[1],
            "output_tokens": sum(counts),
            "output_provenance": "PARTIAL_STREAM",
            "resolution": "STREAM",
        }
