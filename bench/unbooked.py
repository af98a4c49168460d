"""Runs `genai-spine` with a ledger that writes nothing and no reserve: what the price of exact books is
measured against.

`python -m bench.unbooked serve --port 0`.
"""

import asyncio
import runpy
import sys
from typing import Any
from uuid import uuid4

from genai_spine.billing.ledger.ledger import Ledger
from genai_spine.call import PaidAnswer
from genai_spine.inference import attempt
from genai_spine.server import foundation
from genai_spine.v1.execution_pb2 import Execution


class Unbooked(Ledger):
    """Ledger whose every row is there at once, because none is kept."""

    async def start(self) -> None:
        self._booked = asyncio.get_running_loop().create_future()
        self._booked.set_result(None)

    async def stop(self) -> None:
        """No rows wait."""

    def begin(self, execution: Execution) -> None:
        execution.id = str(uuid4())
        execution.create_time.GetCurrentTime()

    async def recorded(self, execution: Execution) -> None:
        """It never will be."""

    def settle(self, execution: Execution, answer: PaidAnswer | None = None) -> "asyncio.Future[None]":
        return self._booked


def main() -> None:
    patched: Any = foundation
    patched.Ledger = Unbooked
    patched = attempt
    patched.most_ticks = lambda *_, **__: 0
    sys.argv[0] = "genai-spine"
    runpy.run_module("genai_spine", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
