"""Readers of chat and text completions: answers and stream events become chunks.

Each event is decoded strictly, and leniently only where that fails (HttpClient.decode). What is odd is seen
by cheap signs: an answer without choices, a finish reason that is none of ours, a fragment of a call.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, NoReturn

import msgspec
from msgspec import UNSET, Raw

from genai_spine.chunks import ChoiceBuilder, ChunkBuilder, completion, says_something
from genai_spine.errors import ProviderError, SpineError
from genai_spine.providers.http import error_body, lenient_json
from genai_spine.providers.http.client import CUT, UNREADABLE, HttpClient, Reply, StatusError
from genai_spine.providers.http.event_stream import ServerSentEvents, events_of
from genai_spine.providers.openai import chat_answer
from genai_spine.providers.openai.chat_answer import ChatChoice, ChatMessage, has_more, is_text
from genai_spine.providers.openai.errors import failure
from genai_spine.providers.raw_usage import RawUsage
from genai_spine.providers.reasoning_state import StateReader
from genai_spine.providers.tool_calls import Fragment, ToolCalls, unique_id
from genai_spine.providers.wire_types import FINISH_REASONS, finish_reason
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, usage_pb2

DONE = (b"[DONE]", b'"[DONE]"', b"DONE")  # payload of the last event of a stream
NOTHING = (b"", b"null")
SEARCH_UNTOLD = frozenset(("openai", "azure"))  # who searches for a chat, and says so by citations only
CITATION = b'"url_citation"'


class ResponseReader(ABC):
    """Reader of one answer of one API. Errors: ProviderError, and those of errors.failure()."""

    done = False  # a stream has said all; what its connection does now is of no interest

    def __init__(self, http: HttpClient) -> None:
        self.http = http
        self.frames = ServerSentEvents()
        self.halves: dict[str, str] = {}  # of characters, from one chunk to the next
        self.has_output = False  # something for the caller has come
        self.usage: chat_answer.Usage | None = None
        self.report = RawUsage()
        self.tools: dict[str, int] = {}  # calls of the upstream's own tools, as its answer shows them

    async def stream(
        self, reads: AsyncGenerator[list[bytes]], fail: Callable[[Reply], NoReturn], choice_count: int
    ) -> AsyncGenerator[pb.CompletionChunk]:
        """Chunks of a stream, one for each read of the socket. fail: raises what a refusing reply means."""
        try:
            async with aclosing(reads):
                async for payloads in reads:
                    chunk, error = self.chunk(payloads)
                    if chunk is not None:
                        yield chunk
                    if error is not None:
                        raise error
                    self.frames.grace_s = self.grace_s(choice_count)
        except StatusError as refused:
            fail(refused.reply)
        except ProviderError as error:
            # A connection that breaks after the end cuts nothing.
            if self.grace_s(choice_count) is None or error.metadata["provider_code"] != CUT:
                raise
        chunk, missing = self.last_chunk(choice_count)
        if chunk is not None:
            yield chunk
        if missing is not None:
            raise missing

    def chunk(self, payloads: Sequence[bytes]) -> tuple[pb.CompletionChunk | None, SpineError | None]:
        """One chunk of the events that one read brought, and the error that ended it.

        The chunk is None where the events say nothing to a caller. What came before an error is the
        caller's all the same, and on the upstream's bill.
        """
        builder, error = ChunkBuilder(self.halves), None
        try:
            for payload in payloads:
                self.event(payload, builder)
        except SpineError as stopped:
            error = stopped
        chunk = builder.build()
        # That a message begins is no answer yet: until it says something, another upstream may be asked.
        if not self.has_output:
            self.has_output = any(map(says_something, chunk.choices))
            if not self.has_output:
                del chunk.choices[:]
        told = bool(chunk.choices) or chunk.HasField("usage")
        return (chunk if told else None), error

    def last_chunk(self, choice_count: int) -> tuple[pb.CompletionChunk | None, SpineError | None]:
        """The rest of a stream at its end, or the error that it should not be over."""
        builder = ChunkBuilder(self.halves)
        try:
            self.end(choice_count, builder)
        except SpineError as error:
            return None, error
        return (builder.build() if builder.choices else None), None

    def read(self, body: bytes) -> pb.CompletionChunk:
        """An answer that is no stream, or that came as one although none was asked for."""
        builder = ChunkBuilder()
        if payloads := events_of(body):
            for payload in payloads:
                self.event(payload, builder)
            self.end(1, builder)
        else:
            self.whole(body, builder)
        return builder.build()

    def completion(self, body: bytes) -> pb.Completion:
        """Completion of an answer that is no stream, or came as one."""
        return completion(self.read(body))

    def _billed(self, error: SpineError) -> SpineError:
        """The error with the usage that the upstream has told."""
        if (counts := self._counts()) is not None:
            error.usage = counts
        return error

    def _counts(self) -> usage_pb2.Usage | None:
        """Usage that has been told so far, with the report of it; None: none has."""
        if self.usage is None or not (counts := chat_answer.usage(self.usage)).total_tokens:
            return None
        self.report.attach(counts)
        return counts

    def _add_usage(self, chunk: pb.CompletionChunk | pb.Completion) -> None:
        """Adds what has been told so far, calls of the upstream's own tools included."""
        if (counts := self._counts()) is not None:
            chunk.usage.CopyFrom(counts)
        tools = self.tools | chat_answer.tools(self.usage) if self.usage is not None else self.tools
        if tools:
            chunk.units.server_tools.update(tools)

    def grace_s(self, choice_count: int) -> float | None:
        """Seconds in which more may come after an answer that is complete; None while it is not."""
        return GRACE_S if self.done else None

    @abstractmethod
    def event(self, payload: bytes, builder: ChunkBuilder) -> None:
        """Adds one event of a stream to the chunk; an event may be the whole answer."""

    @abstractmethod
    def whole(self, body: bytes, builder: ChunkBuilder) -> None:
        """Adds an answer that is no stream."""

    @abstractmethod
    def end(self, choice_count: int, builder: ChunkBuilder) -> None:
        """Ends the stream; raises when it should not be over."""


GRACE_S = 0.5  # after all has been said
USAGE_GRACE_S = 5.0  # for usage, after all choices have ended


class ChatReader(ResponseReader):
    """Reader of /chat/completions and /completions; the decoder tells which.

    A stream is complete with [DONE], or with a finish reason for every choice: some upstreams send no [DONE],
    others no finish reason.
    """

    def __init__(self, http: HttpClient, decoder: msgspec.json.Decoder[Any], *, forced: bool = False) -> None:
        """forced: the caller chose the tool, and the API says `stop` for its calls."""
        super().__init__(http)
        self.decoder, self.forced = decoder, forced
        self.begun: set[int] = set()  # by the index of the choice
        self.finished: set[int] = set()  # with a finish reason
        self.calls: dict[int, ToolCalls] = {}
        self.states: dict[int, StateReader] = {}  # what a choice proves its thinking with
        self.fault: SpineError | None = None  # what ended the answer; its usage may still come
        self._counted = False  # by the event that is read
        self._headed: ChunkBuilder | None = None  # has the head already
        self._created: tuple[float | None, int] = (None, 0)  # as it came, and in seconds
        self._head: tuple[object, ...] = ()  # of the last event, as it came, and as a chunk's bytes
        self._written_head = b""

    def chunk(self, payloads: Sequence[bytes]) -> tuple[pb.CompletionChunk | None, SpineError | None]:
        if len(payloads) == 1 and not self.halves:
            if payloads[0] in DONE and self.begun == self.finished:
                self.done = True
                return None, None
            try:
                chunk = self._text_chunk(self.decoder.decode(payloads[0]))
            except UNREADABLE:
                chunk = None
            if chunk is not None:
                self.has_output = True
                return chunk, None
        return super().chunk(payloads)

    def _text_chunk(self, answer: Any) -> pb.CompletionChunk | None:
        """Chunk of what most reads bring, one event with some text, without a builder; None where there is
        more to it.
        """
        if len(answer.choices) != 1 or answer.error is not UNSET or answer.usage or answer.x_groq:
            return None
        (choice,) = answer.choices
        message = choice.delta
        if choice.index not in self.begun or message is None or not is_text(choice, message):
            return None
        chunk = pb.CompletionChunk()
        delta = chunk.choices.add(index=choice.index) if choice.index else chunk.choices.add()
        try:
            if message.content:
                delta.content = message.content
            if thought := message.reasoning_content or message.reasoning:
                delta.reasoning = thought
        except UnicodeEncodeError:  # half of a character
            return None
        if answer.id or answer.model:
            self._copy_head(answer, chunk)
        return chunk

    def _copy_head(self, answer: Any, chunk: pb.CompletionChunk) -> None:
        """As _add_head(), from the event before, since most events of a stream have the same head."""
        head = answer.id, answer.model, answer.created, answer.system_fingerprint, answer.service_tier
        if head != self._head:
            written = pb.CompletionChunk()
            self._add_head(answer, written)
            self._head, self._written_head = head, written.SerializeToString()
        chunk.MergeFromString(self._written_head)

    def completion(self, body: bytes) -> pb.Completion:
        try:
            answer = self._text_answer(self.decoder.decode(body), body)
        except UNREADABLE:
            answer = None
        return super().completion(body) if answer is None else answer

    def _text_answer(self, answer: Any, body: bytes) -> pb.Completion | None:
        """Completion of what most answers are, one choice with a text, without a builder; None where there is
        more to it.
        """
        if len(answer.choices) != 1 or answer.error is not UNSET or answer.x_groq:
            return None
        (choice,) = answer.choices
        message, reason = choice.message, FINISH_REASONS.get(choice.finish_reason)
        if choice.delta is not None or message is None or reason is None or not message.content:
            return None
        if choice.text or choice.logprobs or choice.usage or choice.error is not UNSET or has_more(message):
            return None
        whole = pb.Completion()
        chosen = whole.choices.add()
        chosen.index, chosen.finish_reason, said = choice.index, reason, chosen.message
        try:
            said.role, said.content.add().text = message_pb2.ROLE_ASSISTANT, message.content
            if thought := message.reasoning_content or message.reasoning:
                said.reasoning = thought
        except UnicodeEncodeError:  # half of a character
            return None
        if answer.id or answer.model:
            self._add_head(answer, whole)
        if answer.usage:
            self._count(answer.usage)
            self.report.add(body)
            self._add_usage(whole)
        return whole

    def event(self, payload: bytes, builder: ChunkBuilder) -> None:
        try:
            answer = self.decoder.decode(payload)
        except UNREADABLE:
            answer = self._odd(payload, builder)
            if answer is None:
                return
        if answer.error is not UNSET or not answer.choices:
            self._check(answer, payload)
        if builder is not self._headed and (answer.id or answer.model):
            self._headed = builder
            self._add_head(answer, builder.chunk)
        for choice in answer.choices:
            into = builder.choices.get(choice.index)
            if into is None:
                into = builder.choice(choice.index)
                self.begun.add(choice.index)
            message = choice.delta or choice.message
            if message is not None:
                if message.content:
                    into.content.append(message.content)
                if message.reasoning_content or message.reasoning:
                    into.reasoning.append(message.reasoning_content or message.reasoning)
                if has_more(message):
                    self._add_rest(message, into)
            if choice.text:
                into.content.append(choice.text)
            if choice.logprobs:
                chat_answer.add_logprobs(into.delta, choice.logprobs)
            if choice.error is not UNSET or choice.usage:
                self._check_choice(choice, payload)
            if choice.finish_reason:
                self._finish(choice, into, payload)
            elif self.states and choice.index in self.finished:
                self._add_state(into)
        if answer.usage or answer.x_groq:
            self._count(answer.usage or answer.x_groq.usage)
            self.report.add(payload, "" if answer.usage else "x_groq")
        if self._counted:
            self._counted = False
            self._add_usage(builder.chunk)

    def whole(self, body: bytes, builder: ChunkBuilder) -> None:
        self.event(body, builder)
        if not builder.choices:
            raise self._unusable("no_choices", "the answer has no choices")
        self._finish_all(builder)
        self._raise_fault()

    def end(self, choice_count: int, builder: ChunkBuilder) -> None:
        self._raise_fault()
        if not self.done and len(self.finished) < choice_count and not self._is_whole():
            raise self._unusable(CUT, "the stream ended before it was complete")
        if not self.begun:
            raise self._unusable("no_choices", "the answer has no choices")
        self._finish_all(builder)
        self._raise_fault()

    def _raise_fault(self) -> None:
        """Raises what ended the answer, with the usage that was told before or after it."""
        if self.fault is not None:
            raise self._billed(self.fault)

    def _is_whole(self) -> bool:
        """Whether what came is one answer, which needs no finish reason, and no beginning of a stream."""
        if self.frames.value is None:
            return False
        answer = self.http.decode(self.frames.value, self.decoder)
        return bool(answer.choices) and all(choice.delta is None for choice in answer.choices)

    def grace_s(self, choice_count: int) -> float | None:
        if not self.done and len(self.finished) < choice_count and self.fault is None:
            return None
        return GRACE_S if self.done or self.usage else USAGE_GRACE_S

    def _odd(self, payload: bytes, builder: ChunkBuilder) -> Any:
        """Answer of a payload that the strict decoder refused; None for one that says nothing."""
        said = payload.strip()
        if said in NOTHING:
            return None
        if said in DONE:
            self.done = True
            self._finish_all(builder)
            return None
        try:
            return self.http.decode(payload, self.decoder)
        except ProviderError as error:
            self._count(_usage_of(payload))
            raise self._billed(error) from error

    def _finish_all(self, builder: ChunkBuilder) -> None:
        """Finishes the choices that no finish reason has ended."""
        for index in sorted(self.begun - self.finished):
            self._finish(ChatChoice(index=index, finish_reason="stop"), builder.choice(index), b"")

    def _check(self, answer: Any, payload: bytes) -> None:
        """Raises what the upstream says went wrong after its status 200."""
        error = answer.error
        if isinstance(error, Raw) and bytes(error) not in error_body.NO_ERROR:
            raise self._failure(payload, answer.usage)
        if not answer.choices and answer.usage is None and error_body.is_error(payload):
            raise self._failure(payload, None)

    def _check_choice(self, choice: Any, payload: bytes) -> None:
        """Raises the error of a choice; takes usage that stands in it."""
        if choice.usage:
            self._count(choice.usage)
        if isinstance(choice.error, Raw) and bytes(choice.error) not in error_body.NO_ERROR:
            raise self._failure(b'{"error":%b}' % bytes(choice.error), _usage_of(payload))

    def _finish(self, choice: Any, into: ChoiceBuilder, payload: bytes) -> None:
        """Sets the finish reason; that of an answer with calls is TOOL_CALLS, except after a forced call.

        An answer that cannot be used has none, and fails at its end: usage is an event of its own, behind it.
        """
        reason = FINISH_REASONS.get(choice.finish_reason) or finish_reason(choice.finish_reason)
        if reason is None:
            said = {"error": {"message": f"the answer ended with {choice.finish_reason!r}", "code": "failed"}}
            self.fault = self.fault or self._failure(msgspec.json.encode(said), _usage_of(payload))
            return
        if reason == pb.FINISH_REASON_UNSPECIFIED or choice.index in self.finished:
            return
        self.finished.add(choice.index)
        if calls := self.calls.get(choice.index):
            if not calls.end(into):
                self.fault = self.fault or self._unusable(
                    "nameless_call", "the model called a tool without naming it"
                )
                return
            if reason == pb.FINISH_REASON_STOP and not self.forced:
                reason = pb.FINISH_REASON_TOOL_CALLS
        if self.states:
            self._add_state(into)
        into.delta.finish_reason = reason

    def _add_state(self, into: ChoiceBuilder) -> None:
        """Adds what the choice proves its thinking with: whole, with the end of the choice."""
        state = self.states.get(into.delta.index)
        if state is not None and (state_json := state.state_json):
            into.delta.reasoning_state_json = state_json

    def _add_rest(self, message: ChatMessage, into: ChoiceBuilder) -> None:
        """Adds what few messages have; older servers send `function_call`."""
        if message.refusal:
            into.refusal.append(message.refusal)
        notes = bytes(message.annotations) if isinstance(message.annotations, Raw) else b""
        if notes.startswith(b"[") and notes != b"[]":
            # On one line: a whole answer may have several, which no event of a stream has room for.
            into.delta.annotations_json = msgspec.json.format(notes, indent=-1).decode()
            self._cites(notes)
        if message.usage:
            self._count(message.usage)
        index = into.delta.index
        if message.reasoning_details is not UNSET or message.extra_content is not UNSET:
            state = self.states.setdefault(index, StateReader())
            state.add(message.reasoning_details, message.extra_content)
        if called := message.function_call:
            calls = self.calls.setdefault(index, ToolCalls())
            id = None if calls else unique_id()
            calls.add([Fragment(0, id, called.name, called.arguments or called.input)], into)
        if message.tool_calls:
            self.calls.setdefault(index, ToolCalls()).add(
                [_fragment(call) for call in message.tool_calls], into
            )

    def _cites(self, notes: bytes) -> None:
        """Counts the search that OpenAI's chats make before they answer: one, which no usage tells.

        https://developers.openai.com/api/docs/guides/tools-web-search, 2026-11-29.
        """
        if self.http.endpoint.registry_name in SEARCH_UNTOLD and CITATION in notes:
            self.tools["web_search"] = 1
            self._counted = self._counted or self.usage is not None

    def _count(self, reported: chat_answer.Usage | None) -> None:
        """Takes usage: totals so far, of which a later event may have only a part."""
        if reported is None:
            return
        self._counted = True
        if self.usage is None:
            self.usage = reported
        else:
            self.usage.update(reported)

    def _add_head(self, answer: Any, chunk: pb.CompletionChunk | pb.Completion) -> None:
        """Adds id, model, time and tier; they are the same in every event of a stream."""
        if answer.created != self._created[0]:
            self._created = answer.created, chat_answer.seconds(answer.created)
        chunk.id, chunk.model = answer.id or "", answer.model or ""
        chunk.create_time.seconds = self._created[1]
        if answer.system_fingerprint:
            chunk.system_fingerprint = answer.system_fingerprint
        if answer.service_tier:
            chunk.service_tier = answer.service_tier

    def _failure(self, payload: bytes, usage: chat_answer.Usage | None) -> SpineError:
        """Error of the upstream in an answer, with the usage that it told."""
        self._count(usage)
        return self._billed(failure(self.http, Reply(200, {}, payload), ""))

    def _unusable(self, code: str, message: str) -> SpineError:
        return self._billed(self.http.unusable(code, message))


def _usage_of(body: bytes) -> chat_answer.Usage | None:
    """Usage of a body that cannot be used, and need not be JSON."""
    return lenient_json.member(body, "usage", chat_answer.Usage)


def _fragment(call: chat_answer.ToolCall) -> Fragment:
    called = call.function or call.custom or chat_answer.Function(call.name, call.arguments)
    arguments = called.arguments or called.input
    extra = bytes(call.extra_content) if isinstance(call.extra_content, Raw) else b""
    state = msgspec.json.format(extra, indent=-1).decode() if extra.startswith(b"{") else None
    return Fragment(call.index, call.id, called.name, arguments, call.type == "custom", state)
