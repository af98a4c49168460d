"""Provider of a torture: OpenAI's simulator, which answers as the schedule says and keeps its own bill."""

import asyncio
from collections import Counter
from collections.abc import Callable

from bench.ledger_torture.schedule import MARK, Fault, PlannedCall, Schedule, Stage
from tests.upstreams.bill import Entry
from tests.upstreams.openai import OpenAIUpstream
from tests.upstreams.reply import Reply, Usage
from tests.upstreams.samples import count_tokens

# Ticks of 1e-10 USD per token, from the providers' pages, and not by the code that is tested:
# https://openai.com/api/pricing and https://platform.openai.com/docs/pricing, gpt-4o and
# text-embedding-3-small, as prices.yaml has them.
INPUT, CACHED, OUTPUT, EMBEDDED = 25_000, 12_500, 100_000, 200
ERRORS = {
    Fault.BUSY: Reply(status=429, headers={"retry-after": "0"}, body={"error": {"message": "slow down"}}),
    Fault.BROKEN: Reply(status=500, body={"error": {"message": "it broke"}}),
}


class BilledUpstream(OpenAIUpstream):
    """Simulator that says when a call has come, and when all of its answer is written."""

    def __init__(self, schedule: Schedule) -> None:
        super().__init__()
        self.schedule = schedule
        self.reached: Callable[[Stage, int], None] = lambda stage, number: None
        self._sends: Counter[int] = Counter()
        self._watching: set[asyncio.Task[None]] = set()

    def choose(self, entry: Entry) -> Reply:
        """Reply to a call by its mark."""
        planned = self.planned(entry)
        if planned is None:
            return Reply()
        send = self._sends[planned.number]
        self._sends[planned.number] += 1
        self.reached(Stage.FIRST_BYTE, planned.number)
        task = asyncio.create_task(self._written(entry, planned.number))
        self._watching.add(task)
        task.add_done_callback(self._watching.discard)
        if not send and planned.fault in ERRORS:
            return ERRORS[planned.fault]
        cut = planned.fault is Fault.CUT and not send
        return Reply(
            planned.words(send),
            usage=Usage(cached_tokens=planned.cached_tokens),
            first_delay_s=planned.first_s,
            interval_s=planned.interval_s,
            fault="close" if cut else None,
            after=planned.pieces // 2 if cut else None,
        )

    async def _written(self, entry: Entry, number: int) -> None:
        await self.bill.until(lambda _: entry.ended_at is not None or entry.disconnected, 120)
        if entry.finished:
            self.reached(Stage.SETTLEMENT, number)

    def planned(self, entry: Entry) -> PlannedCall | None:
        """Call that an entry of the bill is for: of a session's messages the last one."""
        found = MARK.findall(entry.raw)
        return self.schedule.calls[int(found[-1])] if found else None

    def billed_ticks(self, entry: Entry, heard: str | None = None) -> int:
        """Ticks that the entry costs. heard: only so much of its answer."""
        if entry.path.endswith("/embeddings"):
            return entry.prompt_tokens * EMBEDDED
        planned = self.planned(entry)
        cached = min(planned.cached_tokens if planned else 0, entry.prompt_tokens)
        output = (
            entry.completion_tokens if heard is None else min(count_tokens(heard), entry.completion_tokens)
        )
        return (entry.prompt_tokens - cached) * INPUT + cached * CACHED + output * OUTPUT
