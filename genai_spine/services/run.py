"""RunService: RPCs of durable runs."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from google.api.httpbody_pb2 import HttpBody

from genai_spine import http_answer
from genai_spine.call import Call
from genai_spine.runs.library import DEFAULT_WAIT_S, RunLibrary
from genai_spine.runs.parts import RunParts
from genai_spine.runs.watching import Place, RunWatcher
from genai_spine.services import older_batches, older_executions, run_views
from genai_spine.services.run_logs import RunLogs
from genai_spine.v1 import run_pb2
from genai_spine.v1 import run_service_pb2 as pb

HEARTBEAT_S = 30.0  # silence after which a watcher is told that it is still watched for


class RunService:
    """RPCs of runs."""

    def __init__(self, library: RunLibrary, watcher: RunWatcher, parts: RunParts) -> None:
        self._library = library
        self._watcher = watcher
        self._parts = parts
        self._logs = RunLogs(parts.event_rows)

    async def CreateRun(self, request: pb.CreateRunRequest, call: Call) -> run_pb2.Run:
        """Submission of work; HTTP status 202. Errors: those of RunLibrary.create()."""
        http_answer.answered(call, 202)
        older_batches.read(request)
        return run_views.submitted(await self._library.create(request, call), request, call)

    async def GetRun(self, request: pb.GetRunRequest, call: Call) -> run_pb2.Run:
        """Run by id. Errors: RunNotFound."""
        return run_views.found(await self._library.get(request.run_id, call), call)

    async def ListRuns(self, request: pb.ListRunsRequest, call: Call) -> pb.ListRunsResponse:
        """Page of runs, the newest first."""
        if not call.path:
            return await self._library.page(request, call)
        if not request.page_token and not request.HasField("offset"):
            request.offset = 0  # counted
        return run_views.numbered(await self._library.page(request, call), request, call)

    async def WaitRun(self, request: pb.WaitRunRequest, call: Call) -> run_pb2.Run:
        """Run once it has ended, or when the time is up. Errors: RunNotFound."""
        given = request.HasField("timeout")
        timeout_s = request.timeout.ToTimedelta().total_seconds() if given else DEFAULT_WAIT_S
        return run_views.found(await self._library.wait(request.run_id, timeout_s, call), call)

    async def WatchRun(self, request: pb.WatchRunRequest, call: Call) -> AsyncGenerator[run_pb2.RunEvent]:
        """Events from a sequence number on, until the run has ended. Errors: RunNotFound."""
        await self._library.found(request.run_id, call)
        with_output = request.include_output if request.HasField("include_output") else True
        place = Place(request.after_sequence, with_output, dict(request.output_offsets))
        events = self._watcher.watch(request.run_id, place, HEARTBEAT_S)
        async with aclosing(events):
            await anext(events)  # its begin
            async for event in events:
                yield event or _heartbeat(request.run_id, place.sequence)

    async def ListRunEvents(self, request: pb.ListRunEventsRequest, call: Call) -> pb.ListRunEventsResponse:
        """Page of a run's log. Errors: RunNotFound."""
        await self._library.found(request.run_id, call)
        return await self._parts.events(request)

    async def ReadRunEvents(self, request: pb.ReadRunEventsRequest, call: Call) -> AsyncGenerator[HttpBody]:
        """Log of a run as JSON, or as server-sent events. Errors: RunNotFound."""
        request.run_id = older_executions.run_id(request.run_id)
        run = await self._library.found(request.run_id, call)
        async for body in self._parts.read_events(request, call, run, self._watcher):
            yield body

    async def ListRunSteps(self, request: pb.ListRunStepsRequest, call: Call) -> pb.ListRunStepsResponse:
        """Page of a run's steps. Errors: RunNotFound."""
        await self._library.found(request.run_id, call)
        return await self._parts.steps(request)

    async def ListRunItems(self, request: pb.ListRunItemsRequest, call: Call) -> pb.ListRunItemsResponse:
        """Page of a batch's items. Errors: RunNotFound."""
        await self._library.found(request.run_id, call)
        return await self._parts.items(request)

    async def ExportRunItems(self, request: pb.ExportRunItemsRequest, call: Call) -> AsyncGenerator[HttpBody]:
        """Items of a batch as JSON lines. Errors: RunNotFound."""
        await self._library.found(request.run_id, call)
        async for body in self._parts.export(request):
            yield body

    async def ListRunChildren(self, request: pb.ListRunChildrenRequest, call: Call) -> pb.ListRunsResponse:
        """Page of a run's children. Errors: RunNotFound."""
        await self._library.found(request.run_id, call)
        return await self._parts.children(request)

    async def ListRunLogs(self, request: pb.ListRunLogsRequest, call: Call) -> pb.ListRunLogsResponse:
        """Page of a run's events as lines of a log. Errors: RunNotFound."""
        await self._library.found(request.run_id, call)
        return await self._logs.page(request)

    async def CancelRun(self, request: pb.CancelRunRequest, call: Call) -> run_pb2.Run:
        """Stop of a run; on the older path HTTP status 202. Errors: RunNotFound, NotCancellable."""
        request.run_id = older_executions.run_id(request.run_id)
        older_executions.cancels(call)
        return run_views.found(await self._library.cancel(request, call), call)

    async def RetryRun(self, request: pb.RetryRunRequest, call: Call) -> run_pb2.Run:
        """New run of failed work; HTTP status 202. Errors: RunNotFound, RunState."""
        http_answer.answered(call, 202)
        return run_views.found(await self._library.retry(request.run_id, call), call)

    async def ApproveRun(self, request: pb.ApproveRunRequest, call: Call) -> run_pb2.Run:
        """Start of a held run. Errors: RunNotFound, RunState."""
        return run_views.found(await self._library.approve(request.run_id, call), call)

    async def GetQueueStats(self, request: pb.GetQueueStatsRequest, call: Call) -> pb.QueueStats:
        """Depth of the queues of the caller's tenant."""
        return await self._parts.stats(call)

    async def ListWorkers(self, request: pb.ListWorkersRequest, call: Call) -> pb.ListWorkersResponse:
        """Page of living workers."""
        return await self._parts.workers(request)


def _heartbeat(run_id: str, sequence: int) -> run_pb2.RunEvent:
    return run_pb2.RunEvent(run_id=run_id, sequence=sequence, event_type="heartbeat", source="dispatcher")
