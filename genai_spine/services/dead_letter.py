"""DeadLetterService: RPCs of runs whose retries are used up."""

from genai_spine.call import Call
from genai_spine.runs.dead_letters import DeadLetterLibrary
from genai_spine.v1 import dead_letter_service_pb2 as pb
from genai_spine.v1 import run_pb2


class DeadLetterService:
    """RPCs of dead letters; see runs/dead_letters.py for their errors."""

    def __init__(self, library: DeadLetterLibrary) -> None:
        self._library = library

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, call: Call
    ) -> pb.ListDeadLettersResponse:
        """Page of dead letters, the newest first."""
        return await self._library.page(request, call)

    async def GetDeadLetter(self, request: pb.GetDeadLetterRequest, call: Call) -> pb.DeadLetter:
        """Dead letter by its id."""
        return await self._library.get(request.dead_letter_id, call)

    async def ReplayDeadLetter(self, request: pb.ReplayDeadLetterRequest, call: Call) -> run_pb2.Run:
        """Next attempt of its run."""
        return await self._library.replay(request.dead_letter_id, call)

    async def ResolveDeadLetter(self, request: pb.ResolveDeadLetterRequest, call: Call) -> pb.DeadLetter:
        """Mark that it was dealt with."""
        return await self._library.resolve(request.dead_letter_id, call)

    async def PurgeDeadLetters(
        self, request: pb.PurgeDeadLettersRequest, call: Call
    ) -> pb.PurgeDeadLettersResponse:
        """Deletion of those that were resolved long ago."""
        return pb.PurgeDeadLettersResponse(deleted=await self._library.purge(request, call))
