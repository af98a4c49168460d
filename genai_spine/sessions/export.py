"""Export and import of sessions: JSON that can be imported again, and Markdown for people."""

import asyncio
from uuid import uuid4

from google.protobuf import json_format

from genai_spine import validation
from genai_spine.costs import cost_of
from genai_spine.errors import InvalidFields, InvalidRequest
from genai_spine.providers import reasoning_state
from genai_spine.sessions.history import check_attachments
from genai_spine.sessions.sessions import DEFAULT_WINDOW, SessionLibrary, check_metadata, new_session
from genai_spine.v1 import session_service_pb2 as pb

VERSION = 1
MAX_FILE_BYTES = 24 << 20  # of a JSON export: base64 makes 32 MiB of them
MAX_TOKENS = 1 << 31  # of a message, and of a session
MAX_TICKS = 1 << 53


class SessionExporter:
    """Exporter and importer over one SessionLibrary."""

    def __init__(self, library: SessionLibrary) -> None:
        self.library = library

    async def export(self, request: pb.ExportSessionRequest, tenant: str) -> pb.ExportSessionResponse:
        """Session as JSON (with files unless switched off) or Markdown.

        Errors: SessionNotFound, InvalidRequest (files of more than MAX_FILE_BYTES).
        """
        session = await self.library.get(request.session_id, tenant)
        messages = self.library.messages
        with_files = request.include_attachments or not request.HasField("include_attachments")
        is_json = request.format != "markdown"
        if is_json and with_files and await messages.file_bytes(session.id) > MAX_FILE_BYTES:
            problem = f"the files of this session have more than {MAX_FILE_BYTES} bytes; export without them"
            raise InvalidRequest(field="include_attachments", problem=problem)
        entries = await messages.between(
            session.id, 0, session.message_count, with_files=is_json and with_files
        )
        if is_json:
            export = pb.SessionExport(version=VERSION, session=session, messages=entries)
            text = await asyncio.to_thread(_json, export)
            return pb.ExportSessionResponse(text=text, media_type="application/json")
        return pb.ExportSessionResponse(text=_markdown(session, entries), media_type="text/markdown")

    async def read(self, request: pb.ImportSessionRequest, tenant: str) -> pb.Session:
        """Import of an exported JSON as a new session. Errors: InvalidFields naming the path in the JSON."""
        if not request.session_json:
            raise InvalidFields([("session_json", "is required")])
        export = await asyncio.to_thread(_parsed, request.session_json)
        session = _session(export)
        await self.library.sessions.add(session, tenant, export.messages)
        return session


def _json(export: pb.SessionExport) -> str:
    """JSON of an export, by the field names of the contract."""
    return json_format.MessageToJson(export, preserving_proto_field_name=True, ensure_ascii=False)


def _parsed(text: str) -> pb.SessionExport:
    """Parsed and checked export; unknown fields are ignored. Errors: InvalidFields (json)."""
    try:
        export = json_format.Parse(text, pb.SessionExport(), ignore_unknown_fields=True)
    except (json_format.ParseError, RecursionError, ValueError) as error:
        raise InvalidFields([("session_json", f"is no exported session: {str(error)[:300]}")]) from None
    validation.check(export)
    return export


def _session(export: pb.SessionExport) -> pb.Session:
    """Session of an export, and its messages, with new ids and recomputed sums."""
    imported = export.session
    if not imported.model:
        raise InvalidFields([("session.model", "is required")])
    check_metadata(imported.metadata, "session.metadata")
    session = new_session()
    if imported.HasField("create_time"):
        session.create_time.CopyFrom(imported.create_time)
    for name in ("id", "create_time", "update_time", "created_at", "updated_at", "etag"):
        imported.ClearField(name)
    session.MergeFrom(imported)
    session.history_policy = imported.history_policy or pb.HISTORY_POLICY_ALL
    session.history_window = min(imported.history_window, 1000) or DEFAULT_WINDOW
    if not 0 < session.summary.message_count <= len(export.messages):
        session.ClearField("summary")
    for number, entry in enumerate(export.messages):
        _adopt(entry, session, number)
    _sum_up(session, export)
    return session


def _adopt(entry: pb.ExportedMessage, session: pb.Session, number: int) -> None:
    """Message of an export made the session's own: new id, sequence, checked role, content and files."""
    message, place = entry.message, f"messages[{number}]"
    if message.role not in ("user", "assistant"):
        raise InvalidFields([(f"{place}.message.role", "must be user or assistant")])
    if not message.content:
        raise InvalidFields([(f"{place}.message.content", "is required")])
    check_metadata(message.metadata, f"{place}.message.metadata")
    check_attachments(entry.attachments, f"{place}.attachments")
    reasoning_state.entries(message.reasoning_state_json, f"{place}.message")
    message.id, message.session_id, message.sequence = str(uuid4()), session.id, number
    message.model = message.model or session.model
    message.tokens = message.input_tokens + message.output_tokens
    if not message.HasField("create_time"):
        message.create_time.CopyFrom(session.create_time)


def _sum_up(session: pb.Session, export: pb.SessionExport) -> None:
    """Sums of the session (tokens, ticks) from its messages and summary. Errors: InvalidFields (overflow)."""
    summary = session.summary
    tokens = [entry.message.tokens for entry in export.messages] + [summary.tokens]
    messages = [entry.message for entry in export.messages]
    costs = [message.message_cost for message in messages if message.HasField("message_cost")]
    costs += [summary.cost] if session.HasField("summary") else []
    ticks = [cost.cost_ticks for cost in costs]
    if sum(tokens) >= MAX_TOKENS or min(ticks, default=0) < 0 or sum(ticks) >= MAX_TICKS:
        raise InvalidFields([("messages", "must have tokens and costs that a session can have")])
    session.message_count = len(export.messages)
    session.total_tokens = sum(tokens)
    session.total_cost.CopyFrom(cost_of(sum(ticks), price_known=all(cost.price_known for cost in costs)))


def _markdown(session: pb.Session, entries: list[pb.ExportedMessage]) -> str:
    """Markdown of a session: title, model, totals, then each message under its role."""
    began = session.create_time.ToDatetime().strftime("%Y-%m-%d %H:%M UTC")
    messages = "1 message" if session.message_count == 1 else f"{session.message_count} messages"
    total = f"{messages}, {session.total_tokens} tokens"
    parts = [
        f"# {session.title or f'Session {session.id}'}",
        f"{session.model}, {began}, {total}, ${session.total_cost.cost_usd:.6f}",
    ]
    if session.system_prompt:
        parts += ["## System", session.system_prompt]
    for entry in entries:
        message = entry.message
        parts += [f"## {message.role.capitalize()}", message.content]
        parts += [
            f"*File: {info.filename} ({info.media_type}, {info.size_bytes} bytes)*"
            for info in message.attachments
        ]
    return "\n\n".join(parts) + "\n"
