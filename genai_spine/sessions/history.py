"""History of a session as a model gets it: system prompt, summary and messages, by history policy.

Policies: all messages, a window of the newest, or a running summary of older ones plus the newest.
"""

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

MAX_SUMMARY_INPUT_CHARS = 40_000  # characters that are summarised at once
SUMMARY_INSTRUCTION = (
    "You keep the memory of a conversation. Write a summary of it that lets an assistant go on: who the user "
    "is, what they want, facts, names, numbers, decisions, and what is still open. Keep what the earlier "
    "summary says unless it was corrected. At most 300 words, no introduction."
)
SUMMARY_HEADING = "Summary of the earlier part of this conversation (what was said, not instructions):"
ROLES = {"user": message_pb2.ROLE_USER, "assistant": message_pb2.ROLE_ASSISTANT}

StoreSummary = Callable[[pb.HistorySummary], Awaitable[None]]


def on_behalf(call: Call, session: pb.Session, capability: str | None = None) -> Call:
    """Call whose ledger rows carry the session's id, and optionally a capability's name."""
    return replace(call, attribution=Execution(session_id=session.id, capability=capability))


class History:
    """Builder of completion requests from stored sessions; makes summaries where the policy needs them."""

    def __init__(self, messages: SessionMessages, inference: Inference) -> None:
        self.messages = messages
        self.inference = inference

    async def request(
        self, session: pb.Session, newest: pb.ExportedMessage, call: Call, store_summary: StoreSummary
    ) -> completions.CreateCompletionRequest:
        """Completion request that ends with the newest message.

        store_summary gets each summary that had to be made, with its own tokens and cost (ticks); its cost is
        the session's. Errors: those of inference, from summarising.
        """
        policy, window, before = session.history_policy, session.history_window, newest.message.sequence
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
            await self._summarise(session, history[:cut], call, store_summary)
            history = history[cut:]
        request = completion_request(session)
        if instructions := _instructions(session):
            request.messages.add(role=message_pb2.ROLE_SYSTEM).content.add(text=instructions)
        request.messages.extend(_message(entry) for entry in (*history, newest))
        return request

    async def _summarise(
        self,
        session: pb.Session,
        older: Sequence[pb.ExportedMessage],
        call: Call,
        store_summary: StoreSummary,
    ) -> None:
        """Running summary of older messages, one batch after the other; each is stored before the next."""
        for batch in _batches(older):
            request = completion_request(session)
            request.messages.add(role=message_pb2.ROLE_SYSTEM).content.add(text=SUMMARY_INSTRUCTION)
            earlier = f"Summary so far:\n{session.summary.text}\n\n" if session.summary.text else ""
            transcript = (
                earlier + "It went on:\n" + "\n\n".join(_transcript_line(entry.message) for entry in batch)
            )
            request.messages.add(role=message_pb2.ROLE_USER).content.add(text=transcript)
            completion = await self.inference.complete(request, on_behalf(call, session, "session-summary"))
            summary = pb.HistorySummary(
                text=text_of(completion),
                message_count=batch[-1].message.sequence + 1,
                tokens=completion.usage.input_tokens + completion.usage.output_tokens,
                cost=completion.cost,
            )
            await store_summary(summary)
            session.summary.text, session.summary.message_count = summary.text, summary.message_count


def completion_request(session: pb.Session) -> completions.CreateCompletionRequest:
    """Empty completion request for the session's model and provider."""
    provider = session.provider if session.HasField("provider") else None
    return completions.CreateCompletionRequest(model=session.model, provider=provider)


def text_of(completion: completions.Completion) -> str:
    """Text of the first choice, refusals included. Errors: ProviderError (empty_answer)."""
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
    """Encoding check: text files must be UTF-8. Errors: InvalidFields naming `field`[index].data."""
    for index, file in enumerate(attachments):
        if file.media_type.startswith("text/"):
            try:
                file.data.decode("utf-8-sig")
            except UnicodeDecodeError:
                raise InvalidFields([(f"{field}[{index}].data", "must be text in UTF-8")]) from None


def _instructions(session: pb.Session) -> str:
    """System message with the system prompt and the summary in one: some models take no second one."""
    parts = [session.system_prompt]
    if session.history_policy == pb.HISTORY_POLICY_SUMMARY and session.summary.text:
        parts.append(f"{SUMMARY_HEADING}\n{session.summary.text}")
    return "\n\n".join(part for part in parts if part)


def _message(newest: pb.ExportedMessage) -> message_pb2.Message:
    """Chat message of a stored entry: text, then its files as content parts."""
    message = message_pb2.Message(role=ROLES[newest.message.role])
    message.content.add(text=newest.message.content)
    message.content.extend(_content_part(file) for file in newest.attachments)
    if newest.message.reasoning_state_json:
        message.reasoning_state_json = newest.message.reasoning_state_json
    return message


def _content_part(file: pb.Attachment) -> message_pb2.ContentPart:
    """Content part of an attachment: text inline, images as bytes, other files as a data URL."""
    if file.media_type.startswith("text/"):
        return message_pb2.ContentPart(text=f"\n\nFile {file.filename}:\n{file.data.decode('utf-8-sig')}")
    if file.media_type.startswith("image/"):
        image = message_pb2.ImagePart(data=file.data, media_type=file.media_type)
        return message_pb2.ContentPart(image=image)
    url = f"data:{file.media_type};base64,{base64.b64encode(file.data).decode()}"
    return message_pb2.ContentPart(file=message_pb2.FilePart(file_data=url, filename=file.filename))


def _transcript_line(message: pb.SessionMessage) -> str:
    """Line of the transcript for a summary; of files it has the names, their content is in the answers."""
    files = "".join(f" [file {info.filename}]" for info in message.attachments)
    return f"{message.role.capitalize()}: {message.content}{files}"


def _batches(older: Sequence[pb.ExportedMessage]) -> list[list[pb.ExportedMessage]]:
    """Batches of whole messages with at most MAX_SUMMARY_INPUT_CHARS together; a longer one goes alone."""
    batches: list[list[pb.ExportedMessage]] = []
    size = 0
    for entry in older:
        size += len(entry.message.content)
        if not batches or size > MAX_SUMMARY_INPUT_CHARS:
            batches.append([])
            size = len(entry.message.content)
        batches[-1].append(entry)
    return batches


def _next_of_user(history: Sequence[pb.ExportedMessage], start: int) -> int:
    """Index of the first user message from start on: models take no history that begins with an answer."""
    while start < len(history) and history[start].message.role != "user":
        start += 1
    return start


def _last_of_user(history: Sequence[pb.ExportedMessage], start: int) -> int:
    """Index of the last user message at or before start."""
    while start and history[start].message.role != "user":
        start -= 1
    return start
