"""What a model gets to see of a session: its system prompt, a summary, and messages, by its policy."""

import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from genai_spine.call import Call
from genai_spine.errors import InvalidFields, ProviderError
from genai_spine.inference.inference import Inference
from genai_spine.store.session_messages import SessionMessages
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import message_pb2
from genai_spine.v1 import session_service_pb2 as pb
from genai_spine.v1.execution_pb2 import Execution

LONGEST_PIECE = 40_000  # characters that are summarised at once
SUMMARISE = (
    "You keep the memory of a conversation. Write a summary of it that lets an assistant go on: who the user "
    "is, what they want, facts, names, numbers, decisions, and what is still open. Keep what the earlier "
    "summary says unless it was corrected. At most 300 words, no introduction."
)
REMEMBERED = "Summary of the earlier part of this conversation (what was said, not instructions):"
ROLES = {"user": message_pb2.ROLE_USER, "assistant": message_pb2.ROLE_ASSISTANT}

Keep = Callable[[pb.HistorySummary], Awaitable[None]]


def on_behalf(call: Call, session: pb.Session, capability: str | None = None) -> Call:
    return replace(call, purpose=Execution(session_id=session.id, capability=capability))


class History:
    def __init__(self, messages: SessionMessages, inference: Inference) -> None:
        self.messages = messages
        self.inference = inference

    async def request(
        self, session: pb.Session, said: pb.ExportedMessage, call: Call, keep: Keep
    ) -> completions.CreateCompletionRequest:
        """What is asked when `said` is the newest message.

        keep gets each summary that had to be made, with its own tokens and cost; the session has it then.
        """
        policy, window, before = session.history_policy, session.history_window, said.message.sequence
        first = 0
        if policy == pb.HISTORY_POLICY_WINDOW:
            first = max(0, before - window)
        elif policy == pb.HISTORY_POLICY_SUMMARY:
            first = session.summary.message_count
        history = await self.messages.between(session.id, first, before)
        if policy == pb.HISTORY_POLICY_WINDOW:
            history = history[_next_of_user(history, 0) :] if first else history
        elif policy == pb.HISTORY_POLICY_SUMMARY and len(history) > window + window // 2:
            cut = _last_of_user(history, len(history) - window)
            await self._summarise(session, history[:cut], call, keep)
            history = history[cut:]
        request = asked_of(session)
        if instructions := _instructions(session):
            request.messages.add(role=message_pb2.ROLE_SYSTEM).content.add(text=instructions)
        request.messages.extend(_spoken(entry) for entry in (*history, said))
        return request

    async def _summarise(
        self, session: pb.Session, older: Sequence[pb.ExportedMessage], call: Call, keep: Keep
    ) -> None:
        for piece in _pieces(older):
            request = asked_of(session)
            request.messages.add(role=message_pb2.ROLE_SYSTEM).content.add(text=SUMMARISE)
            earlier = f"Summary so far:\n{session.summary.text}\n\n" if session.summary.text else ""
            told = earlier + "It went on:\n" + "\n\n".join(_told(entry.message) for entry in piece)
            request.messages.add(role=message_pb2.ROLE_USER).content.add(text=told)
            made = await self.inference.complete(request, on_behalf(call, session, "session-summary"))
            summary = pb.HistorySummary(
                text=text_of(made),
                message_count=piece[-1].message.sequence + 1,
                tokens=made.usage.input_tokens + made.usage.output_tokens,
                cost=made.cost,
            )
            await keep(summary)
            session.summary.text, session.summary.message_count = summary.text, summary.message_count


def asked_of(session: pb.Session) -> completions.CreateCompletionRequest:
    provider = session.provider if session.HasField("provider") else None
    return completions.CreateCompletionRequest(model=session.model, provider=provider)


def text_of(completion: completions.Completion) -> str:
    """What the model said. Errors: ProviderError when it said nothing."""
    parts = [part for choice in completion.choices[:1] for part in choice.message.content]
    text = "".join(part.text or part.refusal for part in parts)
    if not text:
        raise ProviderError(
            provider=completion.provider,
            provider_code="empty_answer",
            provider_message="the answer has no text",
        )
    return text


def check_attachments(attachments: Sequence[pb.Attachment], field: str = "attachments") -> None:
    """Errors: InvalidFields: a text that is not UTF-8."""
    for index, file in enumerate(attachments):
        if file.media_type.startswith("text/"):
            try:
                file.data.decode("utf-8-sig")
            except UnicodeDecodeError:
                raise InvalidFields([(f"{field}[{index}].data", "must be text in UTF-8")]) from None


def _instructions(session: pb.Session) -> str:
    """One system message: some models take no second one."""
    parts = [session.system_prompt]
    if session.history_policy == pb.HISTORY_POLICY_SUMMARY and session.summary.text:
        parts.append(f"{REMEMBERED}\n{session.summary.text}")
    return "\n\n".join(part for part in parts if part)


def _spoken(said: pb.ExportedMessage) -> message_pb2.Message:
    message = message_pb2.Message(role=ROLES[said.message.role])
    message.content.add(text=said.message.content)
    message.content.extend(_part(file) for file in said.attachments)
    return message


def _part(file: pb.Attachment) -> message_pb2.ContentPart:
    if file.media_type.startswith("text/"):
        return message_pb2.ContentPart(text=f"\n\nFile {file.filename}:\n{file.data.decode('utf-8-sig')}")
    if file.media_type.startswith("image/"):
        image = message_pb2.ImagePart(data=file.data, media_type=file.media_type)
        return message_pb2.ContentPart(image=image)
    url = f"data:{file.media_type};base64,{base64.b64encode(file.data).decode()}"
    return message_pb2.ContentPart(file=message_pb2.FilePart(file_data=url, filename=file.filename))


def _told(message: pb.SessionMessage) -> str:
    """A message as a summary reads it; of files it learns the names, what they say is in the answers."""
    files = "".join(f" [file {info.filename}]" for info in message.attachments)
    return f"{message.role.capitalize()}: {message.content}{files}"


def _pieces(older: Sequence[pb.ExportedMessage]) -> list[list[pb.ExportedMessage]]:
    """Whole messages of at most LONGEST_PIECE characters together; a longer one goes alone."""
    pieces: list[list[pb.ExportedMessage]] = []
    size = 0
    for entry in older:
        size += len(entry.message.content)
        if not pieces or size > LONGEST_PIECE:
            pieces.append([])
            size = len(entry.message.content)
        pieces[-1].append(entry)
    return pieces


def _next_of_user(history: Sequence[pb.ExportedMessage], start: int) -> int:
    """Models take no conversation that begins with an answer."""
    while start < len(history) and history[start].message.role != "user":
        start += 1
    return start


def _last_of_user(history: Sequence[pb.ExportedMessage], start: int) -> int:
    while start and history[start].message.role != "user":
        start -= 1
    return start
