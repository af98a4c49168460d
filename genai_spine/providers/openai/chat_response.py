"""Answers of chat completions and text completions, read into chunks."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Raw

from genai_spine.chunks import ChunkBuilder
from genai_spine.providers.http.client import Reply, Wire
from genai_spine.providers.openai import chat as wire_json
from genai_spine.providers.openai.errors import failure


class Reading(Protocol):
    """One answer of one API while it is read. Errors: ProviderError, and what openai_faults knows."""

    done: bool  # a stream has said all; what its connection does now is of no interest

    def event(self, payload: bytes, builder: ChunkBuilder) -> None:
        """Adds one event of a stream to the chunk."""

    def whole(self, body: bytes, builder: ChunkBuilder) -> None:
        """Adds an answer that is no stream."""

    def end(self, choice_count: int) -> None:
        """The stream is over; raises when it should not be."""


class ChatReading:
    def __init__(self, wire: Wire, decoder: msgspec.json.Decoder[Any]) -> None:
        self.wire, self.decoder = wire, decoder
        self.done = False  # [DONE] has come; some upstreams send none
        self.begun: set[int] = set()  # by the index of the choice
        self.finished: set[int] = set()  # with a finish reason
        self.calls: dict[int, int] = {}  # tool calls that were begun

    def event(self, payload: bytes, builder: ChunkBuilder) -> None:
        if payload == b"[DONE]":
            self.done = True
            for index in sorted(self.begun - self.finished):
                wire_json.add_choice(builder, wire_json.ChatChoice(index=index, finish_reason="stop"))
            return
        answer = self._answer(payload)
        for choice in answer.choices:
            self.begun.add(choice.index)
            if choice.finish_reason:
                self.finished.add(choice.index)
            if isinstance(choice, wire_json.ChatChoice) and choice.delta:
                self._number(choice.index, choice.delta.tool_calls or ())
        _add(answer, builder)

    def whole(self, body: bytes, builder: ChunkBuilder) -> None:
        _add(self._answer(body), builder)
        if not builder.choices:
            raise self.wire.unusable("no_choices", "the answer has no choices")

    def end(self, choice_count: int) -> None:
        if not self.done and len(self.finished) < choice_count:
            raise self.wire.unusable("cut_stream", "the stream ended before it was complete")
        if not self.begun:
            raise self.wire.unusable("no_choices", "the answer has no choices")

    def _answer(self, data: bytes) -> Any:
        """Raises what the upstream says went wrong after its status 200."""
        answer = self.wire.decode(data, self.decoder)
        if isinstance(answer.error, Raw) and bytes(answer.error) != b"null":
            raise failure(self.wire, Reply(200, {}, data), "")
        return answer

    def _number(self, choice: int, pieces: Sequence[wire_json.ToolCall]) -> None:
        """Gives an index to pieces without one (Gemini, older Ollama): an id begins another call."""
        for piece in pieces:
            begun = self.calls.get(choice, 0)
            if piece.index is None:
                piece.index = begun if piece.id or not begun else begun - 1
            self.calls[choice] = max(begun, piece.index + 1)


def _add(answer: wire_json.Answer | wire_json.TextAnswer, builder: ChunkBuilder) -> None:
    chunk = builder.chunk
    # Azure's first chunk holds what it found in the prompt, and no id.
    if answer.id and not chunk.id:
        chunk.id, chunk.model = answer.id, answer.model or ""
        chunk.create_time.seconds = wire_json.seconds(answer.created)
    if answer.system_fingerprint:
        chunk.system_fingerprint = answer.system_fingerprint
    if isinstance(answer, wire_json.Answer) and answer.service_tier:
        chunk.service_tier = answer.service_tier
    for choice in answer.choices:
        wire_json.add_choice(builder, choice)
    if answer.usage and (counts := wire_json.usage(answer.usage)).total_tokens:
        chunk.usage.CopyFrom(counts)
