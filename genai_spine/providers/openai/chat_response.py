"""Readers of chat and text completions: answers and stream events become chunks."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from genai_spine.chunks import ChunkBuilder
from genai_spine.providers.http.client import HttpClient, Reply
from genai_spine.providers.openai import chat
from genai_spine.providers.openai.errors import failure


class ResponseReader(Protocol):
    """Reader of one answer of one API. Errors: ProviderError, and those of `errors.failure`."""

    done: bool  # a stream has said all; what its connection does now is of no interest

    def event(self, payload: bytes, builder: ChunkBuilder) -> None:
        """Adds one event of a stream to the chunk."""

    def whole(self, body: bytes, builder: ChunkBuilder) -> None:
        """Adds an answer that is no stream."""

    def end(self, choice_count: int) -> None:
        """Ends the stream; raises when it should not be over."""


class ChatReader:
    """Reader of /chat/completions and /completions; the decoder tells which.

    A stream is complete with [DONE], or with a finish reason for every choice: some upstreams send no [DONE],
    others no finish reason.
    """

    def __init__(self, http: HttpClient, decoder: msgspec.json.Decoder[Any]) -> None:
        self.http, self.decoder = http, decoder
        self.done = False  # [DONE] has come; some upstreams send none
        self.begun: set[int] = set()  # by the index of the choice
        self.finished: set[int] = set()  # with a finish reason
        self.calls: dict[int, int] = {}  # tool calls that were begun

    def event(self, payload: bytes, builder: ChunkBuilder) -> None:
        if payload == b"[DONE]":
            self.done = True
            for index in sorted(self.begun - self.finished):
                chat.add_choice(builder, chat.ChatChoice(index=index, finish_reason="stop"))
            return
        answer = self._answer(payload)
        for choice in answer.choices:
            self.begun.add(choice.index)
            if choice.finish_reason:
                self.finished.add(choice.index)
            if isinstance(choice, chat.ChatChoice) and choice.delta:
                self._number(choice.index, choice.delta.tool_calls or ())
        _add(answer, builder)

    def whole(self, body: bytes, builder: ChunkBuilder) -> None:
        _add(self._answer(body), builder)
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


def _add(answer: chat.Answer | chat.TextAnswer, builder: ChunkBuilder) -> None:
    """Adds everything of an answer; id, model and time are those of the first chunk that has an id."""
    chunk = builder.chunk
    # Azure's first chunk holds what it found in the prompt, and no id.
    if answer.id and not chunk.id:
        chunk.id, chunk.model = answer.id, answer.model or ""
        chunk.created = chat.seconds(answer.created)
    if answer.system_fingerprint:
        chunk.system_fingerprint = answer.system_fingerprint
    if isinstance(answer, chat.Answer) and answer.service_tier:
        chunk.service_tier = answer.service_tier
    for choice in answer.choices:
        chat.add_choice(builder, choice)
    if answer.usage and (counts := chat.usage(answer.usage)).total_tokens:
        chunk.usage.CopyFrom(counts)
