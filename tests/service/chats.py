"""A chat session as the tests of sessions use it."""

from typing import Any

from genai_spine.v1 import session_service_pb2 as pb
from genai_spine.v1.session_service_pb2_grpc import SessionServiceStub
from tests.service.running import Running

MODEL = "gpt-4o"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
FILES = (
    pb.Attachment(filename="note.txt", media_type="text/plain", data="über".encode()),
    pb.Attachment(filename="a.png", media_type="image/png", data=PNG),
    pb.Attachment(filename="b.pdf", media_type="application/pdf", data=b"%PDF-1.7"),
)


class Chat:
    """One session of a running server."""

    def __init__(self, running: Running, session: pb.Session) -> None:
        self.running = running
        self.stub: Any = SessionServiceStub(running.channel)
        self.id = session.id

    async def send(self, text: str = "Hello", **fields: Any) -> pb.SendMessageResponse:
        answer: pb.SendMessageResponse = await self.stub.SendMessage(self.said(text, **fields))
        return answer

    def said(self, text: str, **fields: Any) -> pb.SendMessageRequest:
        return pb.SendMessageRequest(session_id=self.id, content=text, **fields)

    async def session(self) -> pb.Session:
        found: pb.Session = await self.stub.GetSession(pb.GetSessionRequest(session_id=self.id))
        return found

    async def messages(self, **fields: Any) -> list[pb.SessionMessage]:
        page = await self.stub.ListMessages(pb.ListMessagesRequest(session_id=self.id, **fields))
        return list(page.messages)

    @property
    def asked(self) -> list[list[tuple[str, Any]]]:
        """(role, content) of the messages of each call of the provider."""
        calls = self.running.openai.bill.calls
        return [[(each["role"], each["content"]) for each in call.body["messages"]] for call in calls]


async def begun(running: Running, **fields: Any) -> Chat:
    request = pb.CreateSessionRequest(**({"model": MODEL} | fields))
    return Chat(running, await SessionServiceStub(running.channel).CreateSession(request))
