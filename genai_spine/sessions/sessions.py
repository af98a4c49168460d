"""Chat sessions: what is kept of them, and everything that is done with them but saying something.

Sends are in session_sends.py, what a model gets to see of a session is in session_history.py, and
session_texts.py writes and reads sessions as text.
"""

import json
from datetime import UTC, datetime
from uuid import UUID, uuid4, uuid5

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from genai_spine import field_masks, page_tokens
from genai_spine.errors import InvalidFields, MessageNotFound, SessionNotFound
from genai_spine.store.newest_first import Place
from genai_spine.store.session_messages import SessionMessages
from genai_spine.store.sessions import Sessions
from genai_spine.v1 import session_service_pb2 as pb

WINDOW = 20  # messages
EDITABLE = ("title", "model", "provider", "system_prompt", "metadata", "history_policy", "history_window")
SESSIONS, MESSAGES = 50, 100  # on a page
LONGEST_METADATA = 65_536  # characters, as JSON


class Conversations:
    def __init__(self, sessions: Sessions, messages: SessionMessages) -> None:
        self.sessions = sessions
        self.messages = messages

    async def create(self, request: pb.CreateSessionRequest) -> pb.Session:
        check_metadata(request.metadata)
        session = begun(
            title=request.title or None,
            model=request.model,
            provider=request.provider or None,
            system_prompt=request.system_prompt,
            history_policy=request.history_policy or pb.HISTORY_POLICY_ALL,
            history_window=request.history_window or WINDOW,
        )
        session.metadata.CopyFrom(request.metadata)
        await self.sessions.add(session)
        return session

    async def page(self, request: pb.ListSessionsRequest) -> pb.ListSessionsResponse:
        after = page_tokens.place(request, page_tokens.TIME, str)
        size = page_tokens.size(request, SESSIONS)
        found, total = await self.sessions.page(request, size + 1, Place(*after) if after else None)
        response = pb.ListSessionsResponse(
            sessions=found[:size], total=total, limit=size, offset=request.offset
        )
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = page_tokens.token(request, last.update_time.ToDatetime(UTC), last.id)
        return response

    async def get(self, id: str) -> pb.Session:
        """Errors: SessionNotFound, as of every method that takes an id."""
        return _there(await self.sessions.get(id), id)

    async def change(self, request: pb.UpdateSessionRequest) -> pb.Session:
        """Errors also: InvalidFields, EtagMismatch."""
        fields = field_masks.chosen(request.update_mask.paths, request.session, EDITABLE)
        session = pb.Session()
        session.CopyFrom(request.session)
        if "model" in fields and not session.model:
            raise InvalidFields([("session.model", "is required")])
        check_metadata(session.metadata)
        session.history_policy = session.history_policy or pb.HISTORY_POLICY_ALL
        session.history_window = session.history_window or WINDOW
        return _there(await self.sessions.change(request.session_id, session, fields), request.session_id)

    async def remove(self, request: pb.DeleteSessionRequest) -> None:
        """Errors also: EtagMismatch."""
        if not await self.sessions.remove(request.session_id, request.etag):
            raise SessionNotFound(session=request.session_id)

    async def said(self, request: pb.ListMessagesRequest) -> pb.ListMessagesResponse:
        session = await self.get(request.session_id)
        first = [_system_message(session)] if session.system_prompt else []
        size, offset = page_tokens.size(request, MESSAGES), request.offset
        (number,) = page_tokens.place(request, page_tokens.NUMBER) or (max(0, offset - len(first)),)
        shown = [] if request.page_token else first[offset:size]
        if size > len(shown):
            rows = await self.messages.page(session.id, size - len(shown), number)
            shown += rows
            number += len(rows)
        response = pb.ListMessagesResponse(messages=shown, total=session.message_count + len(first))
        if number < session.message_count:
            response.next_page_token = page_tokens.token(request, number)
        return response

    async def branch(self, request: pb.BranchSessionRequest) -> pb.Session:
        """Errors also: MessageNotFound."""
        parent = await self.get(request.session_id)
        count = parent.message_count
        if request.HasField("message_id"):
            number = await self.messages.number_of(parent.id, request.message_id)
            if number is None:
                raise MessageNotFound(session=parent.id, message=request.message_id)
            count = number + 1
        child = begun(parent_session_id=parent.id)
        for name in ("id", "create_time", "update_time", "parent_session_id", "etag"):
            parent.ClearField(name)
        child.MergeFrom(parent)
        if request.title:
            child.title = request.title
        if child.summary.message_count > count:
            child.ClearField("summary")
        await self.messages.branch(child, count)
        return await self.get(child.id)


def begun(**fields: object) -> pb.Session:
    """A session of now, with an id of its own."""
    session = pb.Session(id=str(uuid4()), **fields)  # type: ignore[arg-type]
    session.create_time.FromDatetime(datetime.now(UTC))
    session.update_time.CopyFrom(session.create_time)
    session.metadata.SetInParent()
    session.etag = "0"
    return session


def check_metadata(metadata: Struct, field: str = "metadata") -> None:
    """Errors: InvalidFields."""
    text = json.dumps(json_format.MessageToDict(metadata))
    if len(text) > LONGEST_METADATA:
        problem = f"must have at most {LONGEST_METADATA} characters as JSON, got {len(text)}"
        raise InvalidFields([(field, problem)])


def _there(session: pb.Session | None, id: str) -> pb.Session:
    if session is None:
        raise SessionNotFound(session=id)
    return session


def _system_message(session: pb.Session) -> pb.SessionMessage:
    """It has no row of its own: it is the session's system_prompt."""
    message = pb.SessionMessage(
        id=str(uuid5(UUID(session.id), "system")),
        session_id=session.id,
        role="system",
        content=session.system_prompt,
        model=session.model,
        create_time=session.create_time,
    )
    message.metadata.SetInParent()
    return message
