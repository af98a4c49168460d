"""Dead letters as their tenant sees them: listed, replayed, resolved and purged."""

from dataclasses import dataclass
from datetime import UTC

from genai_spine import page_tokens
from genai_spine.call import Call
from genai_spine.runs.library import RunLibrary
from genai_spine.store.newest_first import PageEnd
from genai_spine.store.runs.dead_letters import BATCH_SIZE, DeadLetterRows
from genai_spine.v1 import dead_letter_service_pb2 as pb
from genai_spine.v1 import run_pb2

DEFAULT_PAGE = 50
DEFAULT_RESOLVED_DAYS = 90
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class DeadLetterLibrary:
    """Dead letters of all tenants; each method is about those of the call's tenant."""

    rows: DeadLetterRows
    runs: RunLibrary

    async def page(self, request: pb.ListDeadLettersRequest, call: Call) -> pb.ListDeadLettersResponse:
        """Page of a list, the newest first. Errors: InvalidFields (page token)."""
        size = page_tokens.size(request, DEFAULT_PAGE)
        place = page_tokens.place(request, page_tokens.TIME, str)
        end = None if place is None else PageEnd(*place)
        tenant_id = call.principal.tenant_id
        found = await self.rows.page(request, tenant_id, end, size)
        response = pb.ListDeadLettersResponse(
            dead_letters=found[:size], total_size=await self.rows.count(request, tenant_id)
        )
        if len(found) > size:
            last = found[size - 1]
            time = last.create_time.ToDatetime(UTC)
            response.next_page_token = page_tokens.token(request, time, last.dead_letter_id)
        return response

    async def get(self, id: str, call: Call) -> pb.DeadLetter:
        """Dead letter by its id. Errors: DeadLetterNotFound."""
        return await self.rows.get(id, call.principal.tenant_id)

    async def replay(self, id: str, call: Call) -> run_pb2.Run:
        """Next attempt of its run, which waits for a worker. Errors: DeadLetterNotFound, Conflict."""
        run_id = await self.rows.replay(id, call.principal.tenant_id)
        return await self.runs.get(run_id, call)

    async def resolve(self, id: str, call: Call) -> pb.DeadLetter:
        """Dead letter that somebody has dealt with. Errors: DeadLetterNotFound, Conflict."""
        await self.rows.resolve(id, call.principal.tenant_id, call.principal.name)
        return await self.get(id, call)

    async def purge(self, request: pb.PurgeDeadLettersRequest, call: Call) -> int:
        """Number of deleted dead letters, which were resolved long ago."""
        days = request.resolved_days if request.HasField("resolved_days") else DEFAULT_RESOLVED_DAYS
        deleted = batch = await self.rows.purge(days * DAY_S, call.principal.tenant_id)
        while batch >= BATCH_SIZE:
            batch = await self.rows.purge(days * DAY_S, call.principal.tenant_id)
            deleted += batch
        return deleted
