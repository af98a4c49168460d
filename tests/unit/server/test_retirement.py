"""Retirement: what a server ends before it stops."""

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, Mock

from genai_spine.server.retirement import retire


async def test_supervisor_that_died_does_not_end_the_retirement() -> None:
    """Its end of the pipe is closed: reports fail, and calls go on to their end."""
    left = iter((2, 1, 0, 0))
    reports: list[dict[str, Any]] = []

    def report(said: dict[str, Any]) -> None:
        reports.append(said)
        raise BrokenPipeError

    class Worker:
        retire = Mock()

        @property
        def active(self) -> int:
            return next(left)

    worker = Worker()
    lifecycle = SimpleNamespace(draining=False, paid=0, watches=Mock())
    foundation = SimpleNamespace(runs=SimpleNamespace(worker=worker), idempotency=SimpleNamespace(running=0))
    server: Any = SimpleNamespace(
        lifecycle=lifecycle, foundation=foundation, delivery=SimpleNamespace(running=0), health=AsyncMock()
    )
    await retire(server, asyncio.Event(), report)
    assert reports == [{"calls": 0, "runs": 2}]
    lifecycle.watches.cut.assert_called_once_with()
