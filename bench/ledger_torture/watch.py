"""Watch over ledger, budgets and idempotent calls while servers die: their invariants, and the hash chain."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy.exc import DBAPIError

from genai_spine.billing.ledger.verification import ChainHead, Verification, verify
from genai_spine.store.booking.chain_rows import ChainRows
from genai_spine.store.database import Database
from tests import idempotent_rows, money

PERIOD_S = 1.0
CHAIN_SHARE = 10  # a verification, which reads the whole ledger, has a tenth of the time at most
CHAIN = "the chain says what was written"
SLACK_S = 5.0  # beyond a lease, until the calls of a dead server must be booked


class Watch:
    """Looks at one database.

    lease_s: after which a server without a sign is dead. keys: of the hash chain.
    """

    def __init__(self, database: Database, lease_s: float, keys: Sequence[bytes]) -> None:
        self.looks = 0
        self.verifications = 0
        self.broken: Counter[str] = Counter()  # looks at which a rule was broken, by the rule
        self.verified = Verification()  # the last one
        self._database = database
        self._keys = keys
        self._patience_s = lease_s * 1.25 + SLACK_S  # a quarter of a lease is between two sweeps
        self._held: dict[Any, float] = {}  # calls of dead servers, since when
        self._heads: dict[str, ChainHead] = {}  # of all chains so far: no later verification may miss them

    async def run(self) -> None:
        """Looks until it is cancelled; not while the database is away."""
        verify_at = 0.0
        while True:
            with suppress(OSError, DBAPIError):
                await self.look()
                if (began := time.monotonic()) >= verify_at:
                    await self.verify()
                    verify_at = began + CHAIN_SHARE * (time.monotonic() - began)
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

    async def verify(self) -> None:
        """Verification of the whole chain, as `genai-spine ledger verify --against` the last one makes it."""
        async with ChainRows.snapshot(self._database) as rows:
            self.verified = await verify(rows, self._keys, list(self._heads.values()))
        self._heads |= {head.chain: head for head in self.verified.heads}
        self.verifications += 1
        self.broken.update(f"{CHAIN}, {found.kind}" for found in self.verified.findings)
