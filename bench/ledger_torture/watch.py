"""Watch over the invariants of ledger, budgets and idempotent calls, each second while servers die."""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from sqlalchemy.exc import DBAPIError

from genai_spine.store.database import Database
from tests import idempotent_rows, money

PERIOD_S = 1.0
SLACK_S = 5.0  # beyond a lease, until the calls of a dead server must be booked


class Watch:
    """Looks at one database. lease_s: after which a server without a sign is dead."""

    def __init__(self, database: Database, lease_s: float) -> None:
        self.looks = 0
        self.broken: Counter[str] = Counter()  # looks at which a rule was broken, by the rule
        self._database = database
        self._patience_s = lease_s * 1.25 + SLACK_S  # a quarter of a lease is between two sweeps
        self._held: dict[Any, float] = {}  # calls of dead servers, since when

    async def run(self) -> None:
        """Looks until it is cancelled; not while the database is away."""
        while True:
            with suppress(OSError, DBAPIError):
                await self.look()
            await asyncio.sleep(PERIOD_S)

    async def look(self) -> None:
        """One look at all rules."""
        found: dict[str, Any] = await money.broken(self._database)
        held = found.pop(money.HELD, [])
        found |= await idempotent_rows.violations(self._database)
        now = time.monotonic()
        self._held = {row: self._held.get(row, now) for row in held}
        if any(now - since > self._patience_s for since in self._held.values()):
            found[money.HELD] = held
        self.looks += 1
        self.broken.update(list(found))
