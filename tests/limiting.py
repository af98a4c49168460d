"""A process whose calls have rate limits: `python -m tests.limiting URL '{"calls": 300}'`.

It says {"ready"}, waits for a line, makes its calls at once, and prints what became of them. `used` is the
number of tokens that a call uses in the end; null: no call ends. `ahead_s`: see tests.periods.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog

from genai_spine.access.rate_limits import RateLimiter
from genai_spine.billing.ledger.ledger import Ledger
from genai_spine.call import Call, Principal, RateAdmission
from genai_spine.errors import ConcurrentLimitExceeded, RateLimited
from genai_spine.store.access.rate_limits import RateRows
from genai_spine.store.booking.rates import RateReservation
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.store.leases import Leases
from genai_spine.v1.execution_pb2 import EXECUTION_STATE_SUCCEEDED, Execution
from genai_spine.v1.rate_limits_pb2 import RateLimits
from tests import periods


@dataclass(slots=True)
class Limited:
    """One process's share of a test: calls of the key `key-1` of the tenant `acme`."""

    ledger: Ledger
    limiter: RateLimiter
    principal: Principal
    admitted: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # by the kind of the limit

    @classmethod
    def of(cls, database: Database, lease_s: float = 10.0, key: Any = None, tenant: Any = None) -> "Limited":
        """key, tenant: fields of their RateLimits; None: none."""
        ledger = Ledger(Executions(database), Leases(database), lane="cpu", lease_ttl_s=lease_s)
        principal = Principal(
            "key:key-1",
            "acme",
            None,
            "key-1",
            key_limits=None if key is None else RateLimits(**key),
            tenant_limits=None if tenant is None else RateLimits(**tenant),
        )
        return cls(ledger, RateLimiter(RateRows(database)), principal)

    def request(self, **fields: Any) -> Call:
        """One request, which may make several calls."""
        return Call(principal=self.principal, rate_admission=RateAdmission(), **fields)

    async def call(
        self, tokens: int = 0, *, used: int | None = None, of: Call | None = None
    ) -> Execution | None:
        """One call of a request, or of one of its own; None: it was refused. used: None: it does not end."""
        request = of or self.request()
        execution = Execution(request_id=request.request_id, provider="openai", model="m", tenant_id="acme")
        execution.attempt = next(request.attempts)
        try:
            await self.limiter.book(request, tokens, partial(self._booked, execution))
        except (RateLimited, ConcurrentLimitExceeded) as error:
            self.refused[error.metadata.get("kind", "running")] += 1
            return None
        self.admitted += 1
        if used is not None:
            await self.settle(execution, used)
        return execution

    async def _booked(self, execution: Execution, rates: RateReservation) -> None:
        await self.ledger.reserve(execution, rates)

    async def settle(self, execution: Execution, tokens: int) -> None:
        execution.state = EXECUTION_STATE_SUCCEEDED
        execution.usage.input_tokens = execution.usage.total_tokens = tokens
        await self.ledger.settle(execution)


async def main(url: str, seed: int, calls: int, tokens: int = 0, used: int | None = 0, **fields: Any) -> None:
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    database = Database(url)
    limited = Limited.of(database, **fields)
    await limited.ledger.start()
    print(json.dumps({"ready": True}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    chance = random.Random(seed)

    async def one() -> None:
        await asyncio.sleep(chance.random() / 2)
        await limited.call(tokens, used=used)

    await asyncio.gather(*(one() for _ in range(calls)))
    print(json.dumps({"admitted": limited.admitted, "refused": dict(limited.refused)}), flush=True)
    if used is None:
        await asyncio.sleep(60)
    await limited.ledger.stop()
    await database.close()


if __name__ == "__main__":
    asked = json.loads(sys.argv[2])
    periods.move_ahead(asked.pop("ahead_s", 0.0))
    asyncio.run(main(sys.argv[1], **asked))
