"""Retirement of a server: another one has taken its place, and it ends what it has begun, without a limit.

Calls that cost money go on to their end, with or without their callers, and so do runs of a single call.
Batches are left to other processes between two items, so nothing is paid for twice. Who watches runs is sent
away last, and goes on elsewhere from the number of its last event.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

import structlog

from genai_spine.server.server import Server

LOOK_S = 0.1  # between two looks at what is left
TOLD_S = 0.5  # at most one report in so long

log = structlog.get_logger()


async def retire(server: Server, stopping: asyncio.Event, report: Callable[[dict[str, Any]], None]) -> None:
    """Returns when there is nothing left to do, or when stopping is set: stop() has a limit.

    report gets {"calls": ..., "runs": ...} whenever that changes, as long as somebody listens.
    """
    server.lifecycle.draining = True
    await server.health.enter_graceful_shutdown()
    server.foundation.runs.worker.retire()
    said, when = left(server), monotonic()
    log.info("retiring", **said)
    _tell(report, said)
    while any((now := left(server)).values()) and not stopping.is_set():
        if now != said and monotonic() - when >= TOLD_S:
            said, when = now, monotonic()
            _tell(report, said)
        await asyncio.sleep(LOOK_S)
    server.lifecycle.watches.cut()


def _tell(report: Callable[[dict[str, Any]], None], said: dict[str, int]) -> None:
    with suppress(BrokenPipeError):  # the supervisor died; what runs is ended all the same
        report(said)


def left(server: Server) -> dict[str, int]:
    """Calls and runs that cost money, and run."""
    # A call that has a caller and a key, or is shared, is counted twice: only its end is asked for.
    calls = max(server.lifecycle.paid, server.foundation.idempotency.running, server.delivery.running)
    return {"calls": calls, "runs": server.foundation.runs.worker.active}
