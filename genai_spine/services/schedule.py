"""ScheduleService: RPCs of schedules."""

from genai_spine import http_answer
from genai_spine.call import Call
from genai_spine.schedules.library import ScheduleLibrary
from genai_spine.v1 import run_pb2
from genai_spine.v1 import schedule_service_pb2 as pb


class ScheduleService:
    """RPCs of schedules and their due times."""

    def __init__(self, library: ScheduleLibrary) -> None:
        self._library = library

    async def CreateSchedule(self, request: pb.CreateScheduleRequest, call: Call) -> pb.Schedule:
        """New schedule; HTTP status 201. Errors: those of ScheduleLibrary.create()."""
        http_answer.answered(call, 201)
        return await self._library.create(request, call)

    async def GetSchedule(self, request: pb.GetScheduleRequest, call: Call) -> pb.Schedule:
        """Schedule by its id or name. Errors: ScheduleNotFound."""
        return await self._library.get(request.schedule_id, call)

    async def ListSchedules(self, request: pb.ListSchedulesRequest, call: Call) -> pb.ListSchedulesResponse:
        """Page of schedules, by their names."""
        return await self._library.page(request, call)

    async def UpdateSchedule(self, request: pb.UpdateScheduleRequest, call: Call) -> pb.Schedule:
        """Change of a schedule. Errors: those of ScheduleLibrary.update()."""
        return await self._library.update(request, call)

    async def DeleteSchedule(
        self, request: pb.DeleteScheduleRequest, call: Call
    ) -> pb.DeleteScheduleResponse:
        """End of a schedule; HTTP status 204. Errors: ScheduleNotFound, EtagMismatch."""
        await self._library.delete(request, call)
        http_answer.answered(call, 204)
        return pb.DeleteScheduleResponse()

    async def PauseSchedule(self, request: pb.PauseScheduleRequest, call: Call) -> pb.Schedule:
        """Pause of a schedule. Errors: ScheduleNotFound."""
        return await self._library.pause(request.schedule_id, call)

    async def ResumeSchedule(self, request: pb.ResumeScheduleRequest, call: Call) -> pb.Schedule:
        """End of a pause. Errors: ScheduleNotFound, InvalidFields, PermissionDenied."""
        return await self._library.resume(request.schedule_id, call)

    async def TriggerSchedule(self, request: pb.TriggerScheduleRequest, call: Call) -> run_pb2.Run:
        """Run beside the due times; HTTP status 202. Errors: those of ScheduleLibrary.trigger()."""
        http_answer.answered(call, 202)
        return await self._library.trigger(request, call)

    async def ListScheduleTicks(
        self, request: pb.ListScheduleTicksRequest, call: Call
    ) -> pb.ListScheduleTicksResponse:
        """Page of due times that have passed. Errors: ScheduleNotFound, InvalidFields."""
        return await self._library.ticks(request, call)
