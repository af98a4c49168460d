"""StoredCompletionService: answers of requests that said store, found again, labelled and deleted."""

import msgspec

from genai_spine import http_answer, page_tokens, validation
from genai_spine.call import Call
from genai_spine.errors import CompletionNotFound, InvalidFields
from genai_spine.store.stored_completions import StoredCompletionRows
from genai_spine.v1 import stored_completion_service_pb2 as pb

DEFAULT_PAGE_SIZE = 20


class StoredCompletionService:
    """RPCs of stored completions."""

    def __init__(self, rows: StoredCompletionRows) -> None:
        self.rows = rows

    async def ListStoredCompletions(
        self, request: pb.ListStoredCompletionsRequest, call: Call
    ) -> pb.ListStoredCompletionsResponse:
        """Page of stored completions. Errors: InvalidFields (metadata, page token)."""
        (after,) = page_tokens.place(request, str) or (None,)
        size = page_tokens.size(request, DEFAULT_PAGE_SIZE)
        page = await self.rows.page(
            request, call.principal.tenant_id, _labels(request.metadata_json), size, after
        )
        if page is None:
            raise InvalidFields([("page_token", "names a completion that is not there any more")])
        response = pb.ListStoredCompletionsResponse(completions=page.completions)
        if page.end:
            response.next_page_token = page_tokens.token(request, page.end)
        return response

    async def GetStoredCompletion(
        self, request: pb.GetStoredCompletionRequest, call: Call
    ) -> pb.StoredCompletion:
        """Stored completion by id. Errors: CompletionNotFound."""
        stored = await self.rows.get(request.id, call.principal.tenant_id)
        if stored is None:
            raise CompletionNotFound(id=request.id)
        return stored

    async def ListStoredMessages(
        self, request: pb.ListStoredMessagesRequest, call: Call
    ) -> pb.ListStoredMessagesResponse:
        """Page of the messages of a stored completion. Errors: CompletionNotFound, InvalidFields."""
        messages = await self.rows.messages(request.id, call.principal.tenant_id)
        if messages is None:
            raise CompletionNotFound(id=request.id)
        if request.newest_first:
            messages.reverse()
        (after,) = page_tokens.place(request, page_tokens.NUMBER) or (None,)
        if after is not None:
            messages = [
                message
                for message in messages
                if (message.sequence < after if request.newest_first else message.sequence > after)
            ]
        size = page_tokens.size(request, DEFAULT_PAGE_SIZE)
        response = pb.ListStoredMessagesResponse(messages=messages[:size])
        if len(messages) > size:
            response.next_page_token = page_tokens.token(request, messages[size - 1].sequence)
        return response

    async def UpdateStoredCompletion(
        self, request: pb.UpdateStoredCompletionRequest, call: Call
    ) -> pb.StoredCompletion:
        """Replacement of the metadata. Errors: CompletionNotFound."""
        tenant = call.principal.tenant_id
        if not await self.rows.set_metadata(request.id, tenant, request.metadata):
            raise CompletionNotFound(id=request.id)
        return await self.GetStoredCompletion(pb.GetStoredCompletionRequest(id=request.id), call)

    async def DeleteStoredCompletion(
        self, request: pb.DeleteStoredCompletionRequest, call: Call
    ) -> pb.DeleteStoredCompletionResponse:
        """Deletion of a stored completion. Errors: CompletionNotFound."""
        if not await self.rows.delete(request.id, call.principal.tenant_id):
            raise CompletionNotFound(id=request.id)
        http_answer.answered(call, 204)
        return pb.DeleteStoredCompletionResponse()


def _labels(metadata_json: str) -> dict[str, str]:
    """Labels of a filter. Errors: InvalidFields."""
    if not metadata_json:
        return {}
    try:
        labels = msgspec.json.decode(metadata_json, type=dict[str, str])
    except msgspec.DecodeError as error:
        raise InvalidFields([("metadata_json", str(error))]) from None
    validation.check(pb.UpdateStoredCompletionRequest(id="any", metadata=labels))
    return labels
