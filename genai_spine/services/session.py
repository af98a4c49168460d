"""Chat sessions."""

from collections.abc import AsyncGenerator

from genai_spine import http_answer
from genai_spine.call import Call
from genai_spine.sessions.export import Texts
from genai_spine.sessions.send import Sends
from genai_spine.sessions.sessions import Conversations
from genai_spine.v1 import session_service_pb2 as pb


class SessionService:
    def __init__(self, conversations: Conversations, sends: Sends) -> None:
        self.conversations = conversations
        self.sends = sends
        self.texts = Texts(conversations)

    async def CreateSession(self, request: pb.CreateSessionRequest, call: Call) -> pb.Session:
        http_answer.answered(call, 201)
        return await self.conversations.create(request)

    async def ListSessions(self, request: pb.ListSessionsRequest, call: Call) -> pb.ListSessionsResponse:
        return await self.conversations.page(request)

    async def GetSession(self, request: pb.GetSessionRequest, call: Call) -> pb.Session:
        return await self.conversations.get(request.session_id)

    async def UpdateSession(self, request: pb.UpdateSessionRequest, call: Call) -> pb.Session:
        return await self.conversations.change(request)

    async def DeleteSession(self, request: pb.DeleteSessionRequest, call: Call) -> pb.DeleteSessionResponse:
        await self.conversations.remove(request)
        http_answer.answered(call, 204)
        return pb.DeleteSessionResponse()

    async def SendMessage(self, request: pb.SendMessageRequest, call: Call) -> pb.SendMessageResponse:
        return await self.sends.send(request, call)

    def StreamMessage(self, request: pb.SendMessageRequest, call: Call) -> AsyncGenerator[pb.MessageEvent]:
        return self.sends.stream(request, call)

    async def ListMessages(self, request: pb.ListMessagesRequest, call: Call) -> pb.ListMessagesResponse:
        return await self.conversations.said(request)

    async def RegenerateMessage(
        self, request: pb.RegenerateMessageRequest, call: Call
    ) -> pb.SendMessageResponse:
        return await self.sends.regenerate(request, call)

    async def BranchSession(self, request: pb.BranchSessionRequest, call: Call) -> pb.Session:
        http_answer.answered(call, 201)
        return await self.conversations.branch(request)

    async def ExportSession(self, request: pb.ExportSessionRequest, call: Call) -> pb.ExportSessionResponse:
        return await self.texts.export(request)

    async def ImportSession(self, request: pb.ImportSessionRequest, call: Call) -> pb.Session:
        http_answer.answered(call, 201)
        return await self.texts.read(request)
