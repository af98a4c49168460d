"""SessionService: RPCs of chat sessions, their messages, export and import."""

from collections.abc import AsyncGenerator

from genai_spine import http_answer
from genai_spine.call import Call
from genai_spine.sessions.export import SessionExporter
from genai_spine.sessions.send import MessageSender
from genai_spine.sessions.sessions import SessionLibrary
from genai_spine.v1 import session_service_pb2 as pb


class SessionService:
    """RPCs of sessions."""

    def __init__(self, library: SessionLibrary, sender: MessageSender) -> None:
        self.library = library
        self.sender = sender
        self.exporter = SessionExporter(library)

    async def CreateSession(self, request: pb.CreateSessionRequest, call: Call) -> pb.Session:
        """New session; HTTP status 201. Errors: InvalidFields."""
        http_answer.answered(call, 201)
        return await self.library.create(request, call.principal.tenant_id)

    async def ListSessions(self, request: pb.ListSessionsRequest, call: Call) -> pb.ListSessionsResponse:
        """Page of sessions, last change first."""
        return await self.library.page(request, call.principal.tenant_id)

    async def GetSession(self, request: pb.GetSessionRequest, call: Call) -> pb.Session:
        """Session by id. Errors: SessionNotFound."""
        return await self.library.get(request.session_id, call.principal.tenant_id)

    async def UpdateSession(self, request: pb.UpdateSessionRequest, call: Call) -> pb.Session:
        """Update of the fields that are set. Errors: SessionNotFound, InvalidFields."""
        return await self.library.change(request, call.principal.tenant_id)

    async def DeleteSession(self, request: pb.DeleteSessionRequest, call: Call) -> pb.DeleteSessionResponse:
        """Deletion of a session with its messages. Errors: SessionNotFound, EtagMismatch."""
        await self.library.remove(request, call.principal.tenant_id)
        http_answer.answered(call, 204)
        return pb.DeleteSessionResponse()

    async def SendMessage(self, request: pb.SendMessageRequest, call: Call) -> pb.SendMessageResponse:
        """Answer to a message, both stored. Errors: those of MessageSender.send."""
        return await self.sender.send(request, call)

    def StreamMessage(self, request: pb.SendMessageRequest, call: Call) -> AsyncGenerator[pb.MessageEvent]:
        """Streamed answer to a message; the last event is the result."""
        return self.sender.stream(request, call)

    async def ListMessages(self, request: pb.ListMessagesRequest, call: Call) -> pb.ListMessagesResponse:
        """Page of messages, oldest first. Errors: SessionNotFound."""
        return await self.library.list_messages(request, call.principal.tenant_id)

    async def RegenerateMessage(
        self, request: pb.RegenerateMessageRequest, call: Call
    ) -> pb.SendMessageResponse:
        """New answer to the last user message. Errors: Conflict where there is none."""
        return await self.sender.regenerate(request, call)

    async def BranchSession(self, request: pb.BranchSessionRequest, call: Call) -> pb.Session:
        """Copy of a session up to a message. Errors: SessionNotFound, MessageNotFound."""
        http_answer.answered(call, 201)
        return await self.library.branch(request, call.principal.tenant_id)

    async def ExportSession(self, request: pb.ExportSessionRequest, call: Call) -> pb.ExportSessionResponse:
        """Session as JSON or Markdown. Errors: SessionNotFound, InvalidRequest."""
        return await self.exporter.export(request, call.principal.tenant_id)

    async def ImportSession(self, request: pb.ImportSessionRequest, call: Call) -> pb.Session:
        """New session from an exported JSON. Errors: InvalidFields."""
        http_answer.answered(call, 201)
        return await self.exporter.read(request, call.principal.tenant_id)
