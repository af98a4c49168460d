"""Messages API response: the events of a stream, and the whole message as if it had been one.

Events: https://platform.claude.com/docs/en/build-with-claude/streaming, 2026-11-28. Unknown events, blocks
and deltas are passed over, as that page demands.

A stream is message_start, then for each block content_block_start, its deltas and content_block_stop, then
message_delta with the stop reason and the usage, then message_stop.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from genai_spine.chunks import ChoiceBuilder, ChunkBuilder, ToolCallBuilder, with_whole_characters
from genai_spine.providers.http import lenient_json
from genai_spine.providers.raw_usage import RawUsage, tool_calls
from genai_spine.providers.tool_calls import unique_id
from genai_spine.providers.wire_types import MAX_TOKEN_COUNT, finish_reason
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import usage_pb2

FINISH_REASONS = {
    "end_turn": pb.FINISH_REASON_STOP,
    "stop_sequence": pb.FINISH_REASON_STOP,
    "max_tokens": pb.FINISH_REASON_LENGTH,
    "model_context_window_exceeded": pb.FINISH_REASON_LENGTH,
    "pause_turn": pb.FINISH_REASON_LENGTH,  # a long turn with the API's own tools; it can be gone on with
    "compaction": pb.FINISH_REASON_LENGTH,
    "tool_use": pb.FINISH_REASON_TOOL_CALLS,
    "refusal": pb.FINISH_REASON_CONTENT_FILTER,
}


# Kinds of turns that the totals of the usage leave out; types of the official package (2.11), 2026-11-29.
COMPACTION, ADVICE = "compaction", "advisor_message"


class CacheCreation(Struct):
    """Tokens written to the cache, by how long they are kept."""

    ephemeral_5m_input_tokens: int = 0
    ephemeral_1h_input_tokens: int = 0


class OutputDetails(Struct):
    """Output tokens by kind; thinking_tokens are part of output_tokens."""

    thinking_tokens: int = 0


class Iteration(Struct):
    """One turn of the model within an answer; what it used is in the totals, except where `type` says."""

    type: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: CacheCreation | None = None


class Usage(Struct):
    """Token counts. In a message_delta they are totals so far, and may leave out what did not change."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None
    service_tier: str | None = None
    server_tool_use: dict[str, int | None] | None = None
    inference_geo: str | None = None
    speed: str | None = None
    iterations: list[Iteration] | None = None

    def update(self, later: "Usage") -> None:
        """Takes over the counts of a later event, as far as it has them."""
        for name in self.__struct_fields__:
            value = getattr(later, name)
            if value is not None:
                setattr(self, name, value)


class StopDetails(Struct):
    """Details of a stop, such as why the model refused."""

    explanation: str | None = None


class Delta(Struct):
    """Delta of a content block, or of the message; `type` says which fields it has."""

    type: str | None = None
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    citation: Raw | UnsetType = UNSET
    stop_reason: str | None = None
    stop_details: StopDetails | None = None

    @classmethod
    def mended(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Arguments that are JSON and no text become its text."""
        pieces = fields.get("partial_json", "")
        return fields if isinstance(pieces, str) else {**fields, "partial_json": lenient_json.text(pieces)}


class Block(Struct):
    """Content block: text, thinking, redacted_thinking or tool_use."""

    type: str = ""
    text: str | None = None
    citations: list[Raw] | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Raw | UnsetType = UNSET


class Message(Struct):
    """Message as a whole answer, or as message_start has it, without content."""

    type: str = ""
    id: str = ""
    model: str = ""
    content: list[Block] | None = None
    stop_reason: str | None = None
    stop_details: StopDetails | None = None
    usage: Usage | None = None
    error: Raw | UnsetType = UNSET

    @classmethod
    def mended(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Content that is a text becomes a block of it."""
        text = fields.get("content")
        return {**fields, "content": [{"type": "text", "text": text}]} if isinstance(text, str) else fields


class Event(Struct):
    """Event of a stream; `type` says which fields it has."""

    type: str = ""
    index: int | None = None
    message: Message | None = None
    content_block: Block | None = None
    delta: Delta | None = None
    usage: Usage | None = None
    error: Raw | UnsetType = UNSET


EVENT = msgspec.json.Decoder(Event)
MESSAGE = msgspec.json.Decoder(Message)


@dataclass(slots=True)
class ThinkingBlock:
    """Thinking block while it arrives. It goes back unchanged with the next request, and the signature proves
    it.
    """

    text: list[str] = field(default_factory=list)
    signature: list[str] = field(default_factory=list)
    redacted: str | None = None

    @property
    def block(self) -> dict[str, str]:
        """Block as the API takes it back."""
        if self.redacted is not None:
            return {"type": "redacted_thinking", "data": self.redacted}
        return {
            "type": "thinking",
            "thinking": with_whole_characters("".join(self.text)),
            "signature": "".join(self.signature),
        }


class MessageReader:
    """Reader of one answer; chunk() gives what was added since the last one.

    begun: a message was there. done: message_stop has come, so a broken connection cuts nothing.
    stop_reason: as it came, once it has; nothing but message_stop follows.
    """

    def __init__(self) -> None:
        self.begun = self.done = False
        self.nameless = False  # a tool was called without its name
        self.stop_reason: str | None = None
        self._id = self._model = ""
        self._usage: Usage | None = None
        self.report = RawUsage()
        self._index = 0  # of the block that was begun last
        self._calls: dict[int, int] = {}  # index of a tool_use block to the number of the call
        self._call_ids: list[str] = []  # by the number of the call
        self._halves: dict[str, str] = {}  # of characters, from one chunk to the next
        self._initial_arguments: dict[int, str] = {}  # arguments that came with the start of the block
        self._thoughts: dict[int, ThinkingBlock] = {}
        self._citations: list[Raw] = []
        self._clear()

    def _clear(self) -> None:
        self._builder = ChunkBuilder(self._halves)
        self._ended: tuple[str, StopDetails | None] | None = None
        self._counted = False

    def take(self, event: Event) -> None:
        """Adds one event of a stream."""
        kind, delta = event.type, event.delta
        if kind == "content_block_delta" and delta and delta.text:
            self._builder.choice().content.append(delta.text)
            return
        index = self._index if event.index is None else event.index
        if kind == "content_block_delta" and delta:
            self._add(index, delta)
        elif kind == "content_block_start" and event.content_block:
            # Without an index, blocks are counted.
            self._begin_block(index + (event.index is None and self.begun), event.content_block)
        elif kind == "content_block_stop":
            self._end_block(index)
        elif kind == "message_start" and event.message:
            self._begin(event.message)
        elif kind == "message_delta":
            if event.usage:
                self._count(event.usage)
            if delta and delta.stop_reason:
                self._stop(delta.stop_reason, delta.stop_details)
        elif kind == "message_stop":
            self.done = True
            if self.stop_reason is None and self.begun:
                self._stop("end_turn", None)

    def take_whole(self, message: Message) -> None:
        """Adds an answer that is no stream."""
        self._begin(message)
        for index, block in enumerate(message.content or ()):
            self._begin_block(index, block)
            self._end_block(index)
        self._stop(message.stop_reason or "end_turn", message.stop_details)
        self.done = True

    def _stop(self, reason: str, details: StopDetails | None) -> None:
        if self.stop_reason is not None:  # some servers say it twice
            return
        self.stop_reason = reason
        self._ended = reason, details

    def _begin(self, message: Message) -> None:
        self.begun = True
        self._id, self._model = message.id, message.model
        if message.usage:
            self._count(message.usage)

    def _count(self, usage: Usage) -> None:
        if self._usage is None:
            self._usage = usage
        else:
            self._usage.update(usage)
        self._counted = True

    def _begin_block(self, index: int, block: Block) -> None:
        self.begun, self._index = True, index
        if block.type == "text":
            if block.text:
                self._builder.choice().content.append(block.text)
            self._citations += block.citations or ()
        elif block.type == "thinking":
            self._thoughts[index] = ThinkingBlock()
            self._add(index, Delta(thinking=block.thinking, signature=block.signature))
        elif block.type == "redacted_thinking":
            self._thoughts[index] = ThinkingBlock(redacted=block.data or "")
        elif block.type == "tool_use" and not block.name:
            self.nameless = True
        elif block.type == "tool_use":
            self._calls[index] = len(self._call_ids)
            own = block.id and block.id not in self._call_ids
            self._call_ids.append(block.id if block.id and own else unique_id())
            self._call(index).add(self._call_ids[-1], block.name)
            self._initial_arguments[index] = _arguments(block.input)

    def _end_block(self, index: int) -> None:
        arguments = self._initial_arguments.pop(index, "")
        if arguments:  # no piece of them has come
            self._call(index).arguments.append(arguments)

    def _add(self, index: int, delta: Delta) -> None:
        if delta.partial_json and index in self._calls:
            self._initial_arguments.pop(index, None)
            self._call(index).arguments.append(delta.partial_json)
        elif delta.citation is not UNSET:
            self._citations.append(delta.citation)
        elif index in self._thoughts:
            if delta.thinking:
                self._thoughts[index].text.append(delta.thinking)
                self._builder.choice().reasoning.append(delta.thinking)
            if delta.signature:
                self._thoughts[index].signature.append(delta.signature)

    def _call(self, index: int) -> ToolCallBuilder:
        return self._builder.choice().tool_call(self._calls[index])

    def chunk(self) -> pb.CompletionChunk:
        """Chunk of what was added since the last one; empty (of no bytes) when nothing was."""
        if self._ended:
            self._finish(self._builder.choice(), *self._ended)
        chunk = self._builder.build()
        if (self._counted or self._ended) and self._usage:
            self._add_usage(self._usage, chunk)
        if chunk.ByteSize():
            chunk.id, chunk.model = self._id, self._model
        self._clear()
        return chunk

    def _add_usage(self, told: Usage, chunk: pb.CompletionChunk) -> None:
        chunk.usage.CopyFrom(usage(told, whole=self.done or self.stop_reason is not None))
        self.report.attach(chunk.usage)
        if told.service_tier:
            chunk.service_tier = told.service_tier
        if told.speed:
            chunk.speed = told.speed
        if told.inference_geo:
            chunk.inference_geo = told.inference_geo
        if called := tools(told):
            chunk.units.server_tools.update(called)

    def _finish(self, choice: ChoiceBuilder, reason: str, details: StopDetails | None) -> None:
        delta = choice.delta
        delta.finish_reason = FINISH_REASONS.get(reason) or finish_reason(reason) or pb.FINISH_REASON_STOP
        if self._call_ids and delta.finish_reason == pb.FINISH_REASON_STOP:
            delta.finish_reason = pb.FINISH_REASON_TOOL_CALLS
        if details and details.explanation:
            choice.refusal.append(details.explanation)
        if self._thoughts:
            blocks = [thought.block for thought in self._thoughts.values()]
            delta.reasoning_state_json = msgspec.json.encode(blocks).decode()
        if self._citations:
            delta.annotations_json = msgspec.json.encode(self._citations).decode()


def _arguments(given: Raw | UnsetType) -> str:
    """Arguments as JSON text; some have the text of an object in the place of it, or null."""
    text = "" if given is UNSET else bytes(given).decode()
    if text.startswith('"'):
        text = msgspec.json.decode(text, type=str)
    return "{}" if text in ("", "null") else text


def usage(reported: Usage, *, whole: bool) -> usage_pb2.Usage:
    """Disjoint buckets: the API's input_tokens leave out what was read from or written to the cache, and the
    totals what the API used to make a long context shorter.

    whole: the output is counted to its end. Otherwise only the input is told, and output_provenance is not
    set: the count in a message_start is not yet that of the answer.
    """
    uncached, cached = _tokens(reported.input_tokens), _tokens(reported.cache_read_input_tokens)
    for_5m, for_1h = _written(reported)
    output_tokens = _tokens(reported.output_tokens)
    for turn in reported.iterations or ():
        if turn.type == COMPACTION:
            uncached += _tokens(turn.input_tokens)
            cached += _tokens(turn.cache_read_input_tokens)
            more_5m, more_1h = _written(turn)
            for_5m, for_1h = for_5m + more_5m, for_1h + more_1h
            output_tokens += _tokens(turn.output_tokens)
    input_tokens = uncached + cached + for_1h + for_5m
    counts = usage_pb2.Usage()  # fields given by name cost more
    counts.input_tokens = counts.total_tokens = input_tokens
    counts.uncached_input_tokens, counts.cache_read_tokens = uncached, cached
    counts.cache_write_5m_tokens, counts.cache_write_1h_tokens = for_5m, for_1h
    counts.input_provenance = usage_pb2.PROVENANCE_PROVIDER_REPORTED
    if whole:
        details = reported.output_tokens_details
        thinking = min(output_tokens, _tokens(details.thinking_tokens)) if details else 0
        counts.reasoning_tokens, counts.visible_output_tokens = thinking, output_tokens - thinking
        counts.output_tokens, counts.total_tokens = output_tokens, input_tokens + output_tokens
        counts.output_provenance = usage_pb2.PROVENANCE_PROVIDER_REPORTED
    return counts


def _written(reported: Usage | Iteration) -> tuple[int, int]:
    """Tokens written to the cache for 5 minutes, and for 1 hour."""
    by_age = reported.cache_creation or CacheCreation()
    for_1h = _tokens(by_age.ephemeral_1h_input_tokens)
    # A message_delta tells the new sum only; and the sum alone means 5 minutes.
    written = reported.cache_creation_input_tokens
    return _tokens(by_age.ephemeral_5m_input_tokens if written is None else written - for_1h), for_1h


def tools(reported: Usage) -> dict[str, int]:
    """Calls of the API's own tools. An adviser counts as one: it is another model, at prices of its own."""
    advice = sum(turn.type == ADVICE for turn in reported.iterations or ())
    return tool_calls(reported.server_tool_use, {"advisor": advice})


def _tokens(reported: int | None) -> int:
    """Token count that the contract can hold; what is out of every bound is taken as none."""
    return reported if reported and 0 < reported < MAX_TOKEN_COUNT else 0
