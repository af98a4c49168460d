"""RunService: RPCs of durable runs."""

from collections.abc import AsyncGenerator

from google.api.httpbody_pb2 import HttpBody

from genai_spine import http_answer
from genai_spine.call import Call
from genai_spine.runs.library import DEFAULT_WAIT_S, RunLibrary
from genai_spine.runs.parts import RunParts
from genai_spine.runs.watching import Place, RunWatcher
from genai_spine.v1 import run_pb2
from genai_spine.v1 import run_service_pb2 as pb


class RunService:
    """RPCs of runs."""

    def __init__(self, library: RunLibrary, watcher: RunWatcher, parts: RunParts) -> None:
        self._library = library
        self._watcher = watcher
        self._parts = parts

    async def CreateRun(self, request: pb.CreateRunRequest, call: Call) -> run_pb2.Run:
        """Submission of work; HTTP status 202. Errors: those of RunLibrary.create()."""
        http_answer.answered(call, 202)
        return await self._library.create(request, call)

    async def GetRun(self, request: pb.GetRunRequest, call: Call) -> run_pb2.Run:
        """Run by id. Errors: RunNotFound."""
        return await self._library.get(request.run_id, call)

    async def ListRuns(self, request: pb.ListRunsRequest, call: Call) -> pb.ListRunsResponse:
        """Page of runs, the newest first."""
        return await self._library.page(request, call)

    async def WaitRun(self, request: pb.WaitRunRequest, call: Call) -> run_pb2.Run:
        """Run once it has ended, or when the time is up. Errors: RunNotFound."""
        given = request.HasField("timeout")
        timeout_s = request.timeout.ToTimedelta().total_seconds() if given else DEFAULT_WAIT_S
        return await self._library.wait(request.run_id, timeout_s, call)

    async def WatchRun(self, request: pb.WatchRunRequest, call: Call) -> AsyncGenerator[run_pb2.RunEvent]:
        """Events from a sequence number on, until the run has ended. Errors: RunNotFound."""
        await self._library.found(request.run_id, call)
        with_output = request.include_output if request.HasField("include_output") else True
        place = Place(request.after_sequence, with_output, dict(request.output_offsets))
        async for event in self._watcher.watch(request.run_id, place):
            yield event

    async def ListRunEvents(self, request: pb.ListRunEventsRequest, call: Call) -> pb.ListRunEventsResponse:
        """Page of a run's log. Errors: RunNotFound."""
        await self._library.found(request.run_id, call)
        return await self._parts.events(request)

    async def ReadRunEvents(self, request: pb.ReadRunEventsRequest, call: Call) -> AsyncGenerator[HttpBody]:
        """Log of a run as JSON, or as server-sent events. Errors: RunNotFound."""
        await self._library.found(request.run_id, call)
        async for body in self._parts.read_events(request, call, self._watcher):
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

    async def CancelRun(self, request: pb.CancelRunRequest, call: Call) -> run_pb2.Run:
        """Stop of a run. Errors: RunNotFound, NotCancellable."""
        return await self._library.cancel(request, call)

    async def RetryRun(self, request: pb.RetryRunRequest, call: Call) -> run_pb2.Run:
        """New run of failed work; HTTP status 202. Errors: RunNotFound, RunState."""
        http_answer.answered(call, 202)
        return await self._library.retry(request.run_id, call)

    async def ApproveRun(self, request: pb.ApproveRunRequest, call: Call) -> run_pb2.Run:
        """Start of a held run. Errors: RunNotFound, RunState."""
        return await self._library.approve(request.run_id, call)

    async def GetQueueStats(self, request: pb.GetQueueStatsRequest, call: Call) -> pb.QueueStats:
        """Depth of the queues of the caller's tenant."""
        return await self._parts.stats(call)

    async def ListWorkers(self, request: pb.ListWorkersRequest, call: Call) -> pb.ListWorkersResponse:
        """Page of living workers."""
        return await self._parts.workers(request)
