"""Chat sessions: created, listed, changed, branched and deleted; their metadata is checked here.

A session is a conversation that is stored: model, system prompt, history policy and messages. Related:
send.py sends messages, history.py builds the request of a send, export.py exports and imports.
"""

import json
from datetime import UTC, datetime
from uuid import UUID, uuid4, uuid5

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from genai_spine.errors import InvalidFields, MessageNotFound, SessionNotFound
from genai_spine.store.session_messages import SessionMessages
from genai_spine.store.sessions import Sessions
from genai_spine.v1 import session_service_pb2 as pb

DEFAULT_WINDOW = 20  # messages
DEFAULT_SESSION_LIMIT, DEFAULT_MESSAGE_LIMIT = 50, 100  # on a page
MAX_METADATA_CHARS = 65_536  # characters, as JSON


class SessionLibrary:
    """CRUD of sessions and the list of their messages, over the two stores.

    Every method that takes an id raises SessionNotFound for a session that does not exist.
    """

    def __init__(self, sessions: Sessions, messages: SessionMessages) -> None:
        self.sessions = sessions
        self.messages = messages

    async def create(self, request: pb.CreateSessionRequest) -> pb.Session:
        """New session with defaults for history policy and window (in messages).

        Errors: InvalidFields (metadata).
        """
        check_metadata(request.metadata)
        session = new_session(
            title=request.title or None,
            model=request.model,
            provider=request.provider or None,
            system_prompt=request.system_prompt,
            history_policy=request.history_policy or pb.HISTORY_POLICY_ALL,
            history_window=request.history_window or DEFAULT_WINDOW,
        )
        session.metadata.CopyFrom(request.metadata)
        await self.sessions.add(session)
        return session

    async def page(self, request: pb.ListSessionsRequest) -> pb.ListSessionsResponse:
        """Page of sessions, last change first, with the total of all that match.

        limit and offset count sessions; without a limit a page has DEFAULT_SESSION_LIMIT.
        """
        limit = request.limit or DEFAULT_SESSION_LIMIT
        found, total = await self.sessions.page(request, limit)
        return pb.ListSessionsResponse(sessions=found, total=total, limit=limit, offset=request.offset)

    async def get(self, id: str) -> pb.Session:
        """Session by its id. Errors: SessionNotFound."""
        return _existing(await self.sessions.get(id), id)

    async def change(self, request: pb.UpdateSessionRequest) -> pb.Session:
        """Update of the fields that the request has set; others stay.

        Errors: SessionNotFound, InvalidFields.
        """
        check_metadata(request.metadata)
        return _existing(await self.sessions.change(request), request.session_id)

    async def remove(self, id: str) -> None:
        """Deletion of a session with its messages and files. Errors: SessionNotFound."""
        if not await self.sessions.remove(id):
            raise SessionNotFound(session=id)

    async def list_messages(self, request: pb.ListMessagesRequest) -> pb.ListMessagesResponse:
        """Page of messages, oldest first; the system prompt is shown as the first one.

        limit and offset count messages. Errors: SessionNotFound.
        """
        session = await self.get(request.session_id)
        first = [_system_message(session)] if session.system_prompt else []
        limit, offset = request.limit or DEFAULT_MESSAGE_LIMIT, request.offset
        shown = first[offset:limit]
        rest = max(0, offset - len(first))
        if limit > len(shown):
            shown += await self.messages.page(session.id, limit - len(shown), rest)
        return pb.ListMessagesResponse(messages=shown, total=session.message_count + len(first))

    async def branch(self, request: pb.BranchSessionRequest) -> pb.Session:
        """Copy of a session up to a message, or of all of it, as a session of its own.

        A summary that covers more than was copied is left behind. Errors: SessionNotFound, MessageNotFound.
        """
        parent = await self.get(request.session_id)
        count = parent.message_count
        if request.HasField("message_id"):
            number = await self.messages.number_of(parent.id, request.message_id)
            if number is None:
                raise MessageNotFound(session=parent.id, message=request.message_id)
            count = number + 1
        child = new_session(parent_session_id=parent.id)
        for name in ("id", "created_at", "updated_at", "parent_session_id"):
            parent.ClearField(name)
        child.MergeFrom(parent)
        if request.title:
            child.title = request.title
        if child.summary.message_count > count:
            child.ClearField("summary")
        await self.messages.branch(child, count)
        return await self.get(child.id)


def new_session(**fields: object) -> pb.Session:
    """Session message with an id of its own and the time of now; fields: further fields of pb.Session."""
    session = pb.Session(id=str(uuid4()), **fields)  # type: ignore[arg-type]
    session.created_at.FromDatetime(datetime.now(UTC))
    session.updated_at.CopyFrom(session.created_at)
    session.metadata.SetInParent()
    return session


def check_metadata(metadata: Struct, field: str = "metadata") -> None:
    """Size limit of metadata: MAX_METADATA_CHARS as JSON. Errors: InvalidFields naming `field`."""
    text = json.dumps(json_format.MessageToDict(metadata))
    if len(text) > MAX_METADATA_CHARS:
        problem = f"must have at most {MAX_METADATA_CHARS} characters as JSON, got {len(text)}"
        raise InvalidFields([(field, problem)])


def _existing(session: pb.Session | None, id: str) -> pb.Session:
    """The session, or SessionNotFound where there is none."""
    if session is None:
        raise SessionNotFound(session=id)
    return session


def _system_message(session: pb.Session) -> pb.SessionMessage:
    """System prompt as a message: a view of session.system_prompt without a row of its own."""
    message = pb.SessionMessage(
        id=str(uuid5(UUID(session.id), "system")),
        session_id=session.id,
        role="system",
        content=session.system_prompt,
        model=session.model,
        created_at=session.created_at,
    )
    message.metadata.SetInParent()
    return message
