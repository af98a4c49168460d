"""A process that does nothing but tell webhooks of runs: `python -m tests.contract.telling URL`."""

import asyncio
import sys

from genai_spine.runs.webhooks import RunWebhooks
from genai_spine.security.fetch import Fetcher
from genai_spine.store.database import Database
from genai_spine.webhooks import delivery
from genai_spine.webhooks.posting import limits

SECRET = b"planted secret"


async def tell_for_ever(url: str) -> None:
    delivery.LEASE_S, delivery.POLL_S = 1.0, 0.05  # what a dead process had begun is due soon
    RunWebhooks(Database(url), Fetcher(limits(is_private=True)), lambda _: [SECRET]).start()
    print("telling", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(tell_for_ever(sys.argv[1]))
