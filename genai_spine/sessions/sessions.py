"""Chat sessions: created, listed, changed, branched and deleted; their metadata is checked here.

A session is a conversation that is stored: model, system prompt, history policy and messages. Related:
send.py sends messages, history.py builds the request of a send, export.py exports and imports.
"""

import json
from datetime import UTC, datetime
from uuid import UUID, uuid4, uuid5

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from genai_spine import field_masks, page_tokens
from genai_spine.costs import cost_of
from genai_spine.errors import InvalidFields, MessageNotFound, SessionNotFound
from genai_spine.store.newest_first import PageEnd
from genai_spine.store.session_messages import SessionMessages
from genai_spine.store.sessions import Sessions
from genai_spine.v1 import session_service_pb2 as pb
from genai_spine.v1.usage_pb2 import Cost

DEFAULT_WINDOW = 20  # messages
EDITABLE = ("title", "model", "provider", "system_prompt", "metadata", "history_policy", "history_window")
DEFAULT_SESSION_LIMIT, DEFAULT_MESSAGE_LIMIT = 50, 100  # on a page
MAX_METADATA_CHARS = 65_536  # characters, as JSON


class SessionLibrary:
    """CRUD of a tenant's sessions and the list of their messages, over the two stores.

    Every method that takes an id raises SessionNotFound for a session that the tenant does not have.
    """

    def __init__(self, sessions: Sessions, messages: SessionMessages) -> None:
        self.sessions = sessions
        self.messages = messages

    async def create(self, request: pb.CreateSessionRequest, tenant: str) -> pb.Session:
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
            total_cost=cost_of(0),
        )
        session.metadata.CopyFrom(request.metadata)
        await self.sessions.add(session, tenant)
        return session

    async def page(self, request: pb.ListSessionsRequest, tenant: str) -> pb.ListSessionsResponse:
        """Page of sessions, last change first, with the total of all that match.

        Without a size a page has DEFAULT_SESSION_LIMIT. Errors: InvalidFields (page token).
        """
        after = page_tokens.place(request, page_tokens.TIME, str)
        size = page_tokens.size(request, DEFAULT_SESSION_LIMIT)
        found, total = await self.sessions.page(request, tenant, size + 1, PageEnd(*after) if after else None)
        response = pb.ListSessionsResponse(
            sessions=found[:size], total=total, limit=size, offset=request.offset
        )
        if len(found) > size:
            last = found[size - 1]
            response.next_page_token = page_tokens.token(request, last.update_time.ToDatetime(UTC), last.id)
        return response

    async def get(self, id: str, tenant: str) -> pb.Session:
        """Session by its id. Errors: SessionNotFound."""
        return _existing(await self.sessions.get(id, tenant), id)

    async def change(self, request: pb.UpdateSessionRequest, tenant: str) -> pb.Session:
        """Update by field mask, or without one of the fields that are set.

        Errors: SessionNotFound, InvalidFields, EtagMismatch.
        """
        fields = field_masks.chosen(request.update_mask.paths, request.session, EDITABLE)
        session = pb.Session()
        session.CopyFrom(request.session)
        if "model" in fields and not session.model:
            raise InvalidFields([("session.model", "is required")])
        check_metadata(session.metadata)
        session.history_policy = session.history_policy or pb.HISTORY_POLICY_ALL
        session.history_window = session.history_window or DEFAULT_WINDOW
        changed = await self.sessions.change(request.session_id, tenant, session, fields)
        return _existing(changed, request.session_id)

    async def remove(self, request: pb.DeleteSessionRequest, tenant: str) -> None:
        """Deletion of a session with its messages and files. Errors: SessionNotFound, EtagMismatch."""
        etag = request.etag if request.HasField("etag") else None
        if not await self.sessions.remove(request.session_id, tenant, etag):
            raise SessionNotFound(session=request.session_id)

    async def list_messages(self, request: pb.ListMessagesRequest, tenant: str) -> pb.ListMessagesResponse:
        """Page of messages, oldest first; the system prompt is shown as the first one.

        limit and offset count messages. Errors: SessionNotFound.
        """
        session = await self.get(request.session_id, tenant)
        first = [_system_message(session)] if session.system_prompt else []
        size, offset = page_tokens.size(request, DEFAULT_MESSAGE_LIMIT), request.offset
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

    async def branch(self, request: pb.BranchSessionRequest, tenant: str) -> pb.Session:
        """Copy of a session up to a message, or of all of it, as a session of its own.

        A summary that covers more than was copied is left behind. Errors: SessionNotFound, MessageNotFound.
        """
        parent = await self.get(request.session_id, tenant)
        count = parent.message_count
        if request.HasField("message_id"):
            number = await self.messages.number_of(parent.id, request.message_id)
            if number is None:
                raise MessageNotFound(session=parent.id, message=request.message_id)
            count = number + 1
        child = new_session(parent_session_id=parent.id)
        for name in ("id", "create_time", "update_time", "parent_session_id", "etag"):
            parent.ClearField(name)
        child.MergeFrom(parent)
        if request.title:
            child.title = request.title
        if child.summary.message_count > count:
            child.ClearField("summary")
        await self.messages.branch(child, tenant, count)
        return await self.get(child.id, tenant)


def new_session(**fields: object) -> pb.Session:
    """Session message with an id of its own and the time of now; fields: further fields of pb.Session."""
    session = pb.Session(id=str(uuid4()), **fields)  # type: ignore[arg-type]
    session.create_time.FromDatetime(datetime.now(UTC))
    session.update_time.CopyFrom(session.create_time)
    session.metadata.SetInParent()
    session.etag = "0"
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
        message_cost=Cost(price_known=True),
        id=str(uuid5(UUID(session.id), "system")),
        session_id=session.id,
        role="system",
        content=session.system_prompt,
        model=session.model,
        create_time=session.create_time,
    )
    message.metadata.SetInParent()
    return message
