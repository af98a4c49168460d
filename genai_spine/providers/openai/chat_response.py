"""Readers of chat and text completions: answers and stream events become chunks."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, NoReturn

import msgspec
from msgspec import UNSET, Raw

from genai_spine.chunks import ChunkBuilder, has_output
from genai_spine.errors import ProviderError, SpineError
from genai_spine.providers.http.client import HttpClient, Reply, StatusError
from genai_spine.providers.openai import chat
from genai_spine.providers.openai.errors import failure
from genai_spine.providers.reasoning_state import StateReader
from genai_spine.providers.wire_types import FINISH_REASONS
from genai_spine.v1 import completion_service_pb2 as pb

DONE = b"[DONE]"  # payload of the last event of a stream


class ResponseReader(ABC):
    """Reader of one answer of one API. Errors: ProviderError, and those of errors.failure()."""

    done = False  # a stream has said all; what its connection does now is of no interest

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
        except StatusError as refused:
            fail(refused.reply)
        except ProviderError:
            if not self.done:  # a connection that breaks after the end cuts nothing
                raise
        self.end(choice_count)

    def chunk(self, payloads: Sequence[bytes]) -> tuple[pb.CompletionChunk | None, SpineError | None]:
        """One chunk of the events that one read brought, and the error that ended it.

        The chunk is None where the events say nothing to a caller. What came before an error is the
        caller's all the same, and on the upstream's bill.
        """
        builder = ChunkBuilder()
        try:
            for payload in payloads:
                self.event(payload, builder)
        except SpineError as error:
            chunk = builder.build()
            return (chunk if has_output(chunk) else None), error
        chunk = builder.build()
        return (chunk if chunk.ByteSize() else None), None

    @abstractmethod
    def event(self, payload: bytes, builder: ChunkBuilder) -> None:
        """Adds one event of a stream to the chunk."""

    @abstractmethod
    def whole(self, body: bytes, builder: ChunkBuilder) -> None:
        """Adds an answer that is no stream."""

    @abstractmethod
    def end(self, choice_count: int) -> None:
        """Ends the stream; raises when it should not be over."""


class ChatReader(ResponseReader):
    """Reader of /chat/completions and /completions; the decoder tells which.

    A stream is complete with [DONE], or with a finish reason for every choice: some upstreams send no [DONE],
    others no finish reason.
    """

    def __init__(self, http: HttpClient, decoder: msgspec.json.Decoder[Any]) -> None:
        self.http, self.decoder = http, decoder
        self.begun: set[int] = set()  # by the index of the choice
        self.finished: set[int] = set()  # with a finish reason
        self.calls: dict[int, int] = {}  # tool calls that were begun
        self.states: dict[int, StateReader] = {}  # what a choice proves its thinking with
        self._created: tuple[float | None, int] = (None, 0)  # as it came, and in seconds

    def chunk(self, payloads: Sequence[bytes]) -> tuple[pb.CompletionChunk | None, SpineError | None]:
        """As in the base class; events of plain text, which most are, are read without a builder."""
        try:
            found = [None if payload == DONE else self.decoder.decode(payload) for payload in payloads]
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return super().chunk(payloads)
        if not all(map(self._is_plain, found)):
            return super().chunk(payloads)
        chunk = self._plain_chunk([answer for answer in found if answer is not None])
        self.done = self.done or None in found
        return (chunk if chunk.ByteSize() else None), None

    def _is_plain(self, answer: Any) -> bool:
        """Whether an event holds nothing but text of the first choice, its end, or usage."""
        if answer is None:
            return self.begun == self.finished
        if type(answer) is not chat.Answer or answer.error is not UNSET or len(answer.choices) > 1:
            return False
        if self.states:  # they go out with the end
            return False
        for choice in answer.choices:
            delta = choice.delta
            if choice.index or choice.message or choice.logprobs:
                return False
            if delta and (delta.tool_calls or delta.function_call or delta.refusal):
                return False
            if delta and delta.annotations is not UNSET:
                return False
            if delta and (delta.extra_content is not UNSET or delta.reasoning_details is not UNSET):
                return False
        return True

    def _plain_chunk(self, found: Sequence[chat.Answer]) -> pb.CompletionChunk:
        chunk = pb.CompletionChunk()
        content, reasoning, finish_reason = [], [], None
        for answer in found:
            for choice in answer.choices:
                if delta := choice.delta:
                    content.append(delta.content or "")
                    reasoning.append(delta.reasoning_content or delta.reasoning or "")
                finish_reason = choice.finish_reason or finish_reason
            self._add_head(answer, chunk)
            if answer.usage and (counts := chat.usage(answer.usage)).total_tokens:
                chunk.usage.CopyFrom(counts)
        if any(answer.choices for answer in found):
            self.begun.add(0)
            into = chunk.choices.add(content="".join(content), reasoning="".join(reasoning))
            if finish_reason:
                self.finished.add(0)
                into.finish_reason = FINISH_REASONS.get(finish_reason, pb.FINISH_REASON_STOP)
        return chunk

    def _add_head(self, answer: Any, chunk: pb.CompletionChunk) -> None:
        """Adds id, model, time and tier; they are the same in every event of a stream."""
        # Azure's first chunk holds what it found in the prompt, and no id.
        if answer.id and not chunk.id:
            if answer.created != self._created[0]:
                self._created = answer.created, chat.seconds(answer.created)
            chunk.id, chunk.model = answer.id, answer.model or ""
            chunk.create_time.seconds = self._created[1]
        if answer.system_fingerprint:
            chunk.system_fingerprint = answer.system_fingerprint
        if isinstance(answer, chat.Answer) and answer.service_tier:
            chunk.service_tier = answer.service_tier

    def event(self, payload: bytes, builder: ChunkBuilder) -> None:
        if payload == DONE:
            self.done = True
            for index in sorted(self.begun - self.finished):
                chat.add_choice(builder, chat.ChatChoice(index=index, finish_reason="stop"))
                self._add_state(index, builder)
            return
        answer = self._answer(payload)
        for choice in answer.choices:
            self.begun.add(choice.index)
            if choice.finish_reason:
                self.finished.add(choice.index)
            if isinstance(choice, chat.ChatChoice) and choice.delta:
                self._number(choice.index, choice.delta.tool_calls or ())
        self._add(answer, builder)

    def whole(self, body: bytes, builder: ChunkBuilder) -> None:
        self._add(self._answer(body), builder)
        if not builder.choices:
            raise self.http.unusable("no_choices", "the answer has no choices")

    def end(self, choice_count: int) -> None:
        if not self.done and len(self.finished) < choice_count:
            raise self.http.unusable("cut_stream", "the stream ended before it was complete")
        if not self.begun:
            raise self.http.unusable("no_choices", "the answer has no choices")

    def _answer(self, data: bytes) -> Any:
        """Decoded answer. Raises what the upstream says went wrong after its status 200."""
        answer = self.http.decode(data, self.decoder)
        if isinstance(answer.error, Raw) and bytes(answer.error) != b"null":
            raise failure(self.http, Reply(200, {}, data), "")
        return answer

    def _number(self, choice: int, deltas: Sequence[chat.ToolCall]) -> None:
        """Numbers tool calls that have no index (Gemini, older Ollama): an id begins another call."""
        for delta in deltas:
            begun = self.calls.get(choice, 0)
            if delta.index is None:
                delta.index = begun if delta.id or not begun else begun - 1
            self.calls[choice] = max(begun, delta.index + 1)

    def _add(self, answer: chat.Answer | chat.TextAnswer, builder: ChunkBuilder) -> None:
        """Adds everything of an answer; id, model and time are those of the first chunk that has an id."""
        self._add_head(answer, builder.chunk)
        for choice in answer.choices:
            chat.add_choice(builder, choice)
            if isinstance(choice, chat.ChatChoice):
                self._read_state(choice, builder)
        if answer.usage and (counts := chat.usage(answer.usage)).total_tokens:
            builder.chunk.usage.CopyFrom(counts)

    def _read_state(self, choice: chat.ChatChoice, builder: ChunkBuilder) -> None:
        """Collects what the choice proves its thinking with, which goes out whole, with its end."""
        message = choice.delta or choice.message
        if message and (message.extra_content is not UNSET or message.reasoning_details is not UNSET):
            state = self.states.setdefault(choice.index, StateReader())
            state.add(message.reasoning_details, message.extra_content)
        if self.states and (choice.finish_reason or choice.message or choice.index in self.finished):
            self._add_state(choice.index, builder)

    def _add_state(self, index: int, builder: ChunkBuilder) -> None:
        state = self.states.get(index)
        if state is not None and (state_json := state.state_json):
            builder.choice(index).delta.reasoning_state_json = state_json
