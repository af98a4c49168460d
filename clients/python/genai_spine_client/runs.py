"""Durable runs: submitted by name or as they are, waited for, watched, cancelled and retried."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from grpclib.const import Status

from genai_spine_client.dispatcher import Dispatcher
from genai_spine_client.errors import SpineError, TimedOut, Unavailable, typed
from genai_spine_client.gen.genai_spine.v1 import (
    CancelRunRequest,
    CreateRunRequest,
    ErrorReason,
    GetRunRequest,
    ListRunChildrenRequest,
    ListRunEventsRequest,
    ListRunItemsRequest,
    ListRunsRequest,
    RetryRunRequest,
    Run,
    RunEvent,
    RunItem,
    RunServiceStub,
    WaitRunRequest,
    WatchRunRequest,
)

if TYPE_CHECKING:
    from genai_spine_client.client import Spine

MAX_WAIT_S = 300.0  # of one request; a longer wait is made of several
LONGEST_PAUSE_S = 5.0  # before a watch that was cut is tried again


class Runs(Dispatcher):
    """`spine.runs`: the durable runs of the caller's tenant."""

    def __init__(self, spine: "Spine") -> None:
        self._spine = spine

    @property
    def stub(self) -> RunServiceStub:
        """The generated client, for all that has no method here."""
        return RunServiceStub(self._spine.channel)

    async def get(self, run_id: str) -> Run | None:
        """The run, or None where there is none of that id."""
        try:
            with typed():
                return await self.stub.get_run(GetRunRequest(run_id=run_id), **self._spine._options())
        except SpineError as error:
            if error.reason.name == "RUN_NOT_FOUND":
                return None
            raise

    async def list(self, *, limit: int | None = None, **filters: Any) -> AsyncIterator[Run]:
        """Runs, the newest first, page by page. filters: kind, status, name, parent_run_id, lane, ..."""
        request = ListRunsRequest(page_size=min(limit or 100, 500), **filters)
        left = limit
        while True:
            with typed():
                page = await self.stub.list_runs(request, **self._spine._options())
            for run in page.runs[:left]:
                yield run
            if left is not None:
                left -= len(page.runs)
            if not page.next_page_token or (left is not None and left <= 0):
                return
            request.page_token = page.next_page_token

    async def get_events(self, run_id: str) -> Sequence[RunEvent]:
        """All events of a run until now, in their order; text while it is written is not among them."""
        request, found = ListRunEventsRequest(run_id=run_id, page_size=1000), []
        while True:
            with typed():
                page = await self.stub.list_run_events(request, **self._spine._options())
            found += page.events
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def get_children(self, run_id: str) -> Sequence[Run]:
        """Runs that have this one as their parent, the oldest first."""
        request, found = ListRunChildrenRequest(run_id=run_id, page_size=500), []
        while True:
            with typed():
                page = await self.stub.list_run_children(request, **self._spine._options())
            found += page.runs
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    async def wait(self, run_id: str, timeout_s: float | None = None) -> Run:
        """The run once it has ended and no retry follows. TimedOut: the time is up, and the run goes on.

        A server that goes away meanwhile is asked again.
        """
        loop = asyncio.get_running_loop()
        end = None if timeout_s is None else loop.time() + timeout_s
        pauses = _pauses()
        while True:
            left_s = MAX_WAIT_S if end is None else max(0.0, min(MAX_WAIT_S, end - loop.time()))
            request = WaitRunRequest(run_id=run_id, timeout=timedelta(seconds=left_s))
            try:
                with typed():
                    options = self._spine._options(timeout_s=left_s + 30)
                    run = await self.stub.wait_run(request, **options)
            except Unavailable:
                if end is not None and loop.time() >= end:
                    raise
                await asyncio.sleep(next(pauses))
                continue
            if run.end_time is not None:
                return run
            if end is not None and loop.time() >= end:
                raise _timed_out(run, timeout_s)

    async def items(self, run_id: str, status: str | None = None) -> AsyncIterator[RunItem]:
        """Items of a batch in their order, with their answers, page by page."""
        request = ListRunItemsRequest(run_id=run_id, status=status, page_size=500)
        while True:
            with typed():
                page = await self.stub.list_run_items(request, **self._spine._options())
            for item in page.items:
                yield item
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def cancel(self, run_id: str, reason: str | None = None, mode: str | None = None) -> bool:
        """Stops a run and its children; False: there is none of that id, or it has ended."""
        request = CancelRunRequest(run_id=run_id, reason=reason, mode=mode)
        try:
            with typed():
                await self.stub.cancel_run(request, **self._spine._options())
        except SpineError as error:
            if error.reason.name in ("RUN_NOT_FOUND", "NOT_CANCELLABLE"):
                return False
            raise
        return True

    async def retry(self, run_id: str) -> Run:
        """A new run with the work of one that failed."""
        with typed():
            return await self.stub.retry_run(RetryRunRequest(run_id=run_id), **self._spine._options())

    async def events(
        self, run_id: str, after: int = 0, *, include_output: bool = True
    ) -> AsyncGenerator[RunEvent]:
        """Events of a run after a sequence number until its end, first those that are there.

        A connection that is cut is made again, and nothing is missing or twice. Heartbeats are left out.
        To leave early: `async with aclosing(spine.runs.events(...)) as events`.
        """
        offsets: dict[str, int] = {}
        pauses = _pauses()
        while True:
            request = WatchRunRequest(
                run_id=run_id, after_sequence=after, include_output=include_output, output_offsets=offsets
            )
            try:
                with typed():
                    watch = self.stub.watch_run(request, metadata=self._spine._options()["metadata"])
                    async with aclosing(cast(AsyncGenerator[RunEvent], watch)) as events:
                        async for event in events:
                            pauses = _pauses()
                            after = max(after, event.sequence)
                            if event.output is not None:
                                place = event.output.offset + len(event.output.text)
                                offsets[event.output.step_id] = place
                            if event.event_type != "heartbeat":
                                yield event
                run = await self.get(run_id)
                if run is None or (run.end_time is not None and run.last_sequence <= after):
                    return
            except Unavailable:
                pass
            await asyncio.sleep(next(pauses))

    async def _create(self, request: CreateRunRequest) -> Run:
        with typed():
            return await self.stub.create_run(request, **self._spine._options())


def _timed_out(run: Run, timeout_s: float | None) -> TimedOut:
    message = f"run {run.run_id} is {run.status} after {timeout_s or 0:g} s, and goes on"
    return TimedOut(message, ErrorReason.DEADLINE_EXCEEDED, Status.DEADLINE_EXCEEDED)


def _pauses() -> Any:
    """Seconds before the next attempts: doubled each time, up to LONGEST_PAUSE_S."""
    pause_s = 0.1
    while True:
        yield pause_s
        pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
