"""Live watch of a run: its events as they come, over lost connections, to a view."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc
import typer

from genai_spine.cli.client import connected
from genai_spine.cli.output import INTERRUPTED, run
from genai_spine.cli.runs.progress_view import View
from genai_spine.v1 import run_pb2
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.run_service_pb2_grpc import RunServiceStub

# A watch that ends so is gone on with from the last event.
LOST = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED}
MAX_SILENCE_S = 300.0  # without a server, after which the watch is given up
LONGEST_PAUSE_S = 5.0
REFRESH_S = 1.0  # between looks at cost and items, on a terminal


class Watch:
    """Watch of one run."""

    def __init__(self, address: str, tenant: str | None, run_id: str, after: int = 0) -> None:
        """after: sequence of the last event that was seen before."""
        self.address, self.tenant, self.run_id, self.after = address, tenant, run_id, after
        self._offsets: dict[str, int] = {}

    async def to_end(self, view: View) -> run_pb2.Run:
        """Run at its end. Errors: AioRpcError, ConnectionError after MAX_SILENCE_S without a server."""
        refresher = asyncio.create_task(self._refreshed(view)) if view.is_live else None
        try:
            async for event in self._events(view):
                view.event(event)
            return await self._run()
        finally:
            if refresher is not None:
                refresher.cancel()
                await asyncio.gather(refresher, return_exceptions=True)

    async def _events(self, view: View) -> AsyncIterator[run_pb2.RunEvent]:
        silent_since, pause_s = asyncio.get_running_loop().time(), 0.1
        while True:
            try:
                async for event in self._connected():
                    silent_since, pause_s = asyncio.get_running_loop().time(), 0.1
                    yield event
                if (await self._run()).HasField("end_time"):
                    return
            except (grpc.aio.AioRpcError, ConnectionError) as error:
                is_lost = isinstance(error, ConnectionError) or error.code() in LOST
                if not is_lost or asyncio.get_running_loop().time() - silent_since > MAX_SILENCE_S:
                    raise
                view.reconnecting()
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, pause_s * 2)

    async def _connected(self) -> AsyncIterator[run_pb2.RunEvent]:
        request = pb.WatchRunRequest(
            run_id=self.run_id, after_sequence=self.after, output_offsets=self._offsets
        )
        async with connected(self.address, self.tenant) as channel:
            stub: Any = RunServiceStub(channel)
            async for event in stub.WatchRun(request):
                self.after = max(self.after, event.sequence)
                if event.HasField("output"):
                    end = event.output.offset + len(event.output.text)
                    self._offsets[event.output.step_id] = end
                yield event

    async def _run(self) -> run_pb2.Run:
        async with connected(self.address, self.tenant) as channel:
            found: run_pb2.Run = await RunServiceStub(channel).GetRun(pb.GetRunRequest(run_id=self.run_id))
            return found

    async def _refreshed(self, view: View) -> None:
        """Looks at cost, items and time left, which no event says, as long as the watch lasts."""
        while True:
            with suppress(grpc.aio.AioRpcError, ConnectionError):
                view.refresh(await self._run())
            await asyncio.sleep(REFRESH_S)


def watched(watch: Watch, view: View) -> run_pb2.Run:
    """Run at its end. Ctrl-C leaves the run alone, and says how to go on."""
    try:
        with view:
            found: run_pb2.Run = run(watch.to_end(view))
    except typer.Exit as left:
        if left.exit_code == INTERRUPTED:
            hint = f"genai-spine runs watch {watch.run_id} --after {watch.after}"
            typer.echo(f"the run goes on; to watch it again: {hint}", err=True)
        raise
    view.end(found)
    return found
