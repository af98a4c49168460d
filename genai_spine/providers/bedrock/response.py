"""Converse responses: whole answers and the events of ConverseStream, read into the contract's messages.

Shapes: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html, 2026-11-28.
Token counts out of every bound are none; unknown events are passed over.
"""

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from genai_spine.chunks import ChoiceBuilder, with_whole_characters
from genai_spine.providers.bedrock.request import ANSWER_TOOL
from genai_spine.providers.http import lenient_json
from genai_spine.providers.tool_calls import unique_id
from genai_spine.providers.wire_types import MAX_TOKEN_COUNT, finish_reason
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import usage_pb2

STOP_REASONS = {
    "end_turn": pb.FINISH_REASON_STOP,
    "stop_sequence": pb.FINISH_REASON_STOP,
    "max_tokens": pb.FINISH_REASON_LENGTH,
    "model_context_window_exceeded": pb.FINISH_REASON_LENGTH,
    "tool_use": pb.FINISH_REASON_TOOL_CALLS,
    "guardrail_intervened": pb.FINISH_REASON_CONTENT_FILTER,
    "content_filtered": pb.FINISH_REASON_CONTENT_FILTER,
}
# The model wrote something that is no answer; it was billed all the same.
MALFORMED = frozenset({"malformed_model_output", "malformed_tool_use"})

Count = Annotated[int, Meta(ge=0, le=MAX_TOKEN_COUNT)]
Index = Annotated[int, Meta(ge=0, le=10_000)]


class CacheDetail(Struct, rename="camel"):
    """Tokens written to the cache for one time to live ("5m", "1h")."""

    ttl: str
    input_tokens: Count


class Usage(Struct, rename="camel"):
    """Token counts of one call; input_tokens leave the cache out."""

    input_tokens: Count = 0
    output_tokens: Count = 0
    cache_read_input_tokens: Count | None = None
    cache_write_input_tokens: Count | None = None
    cache_details: list[CacheDetail] | None = None


class Tier(Struct):
    """Service tier that the call got."""

    type: str | None = None


class Performance(Struct):
    """Speed that the call got: standard or optimized."""

    latency: str | None = None


class ReasoningText(Struct):
    """Reasoning in words, with the signature that proves it."""

    text: str = ""
    signature: str | None = None


class Reasoning(Struct, rename="camel"):
    """Reasoning block: readable, or redacted bytes."""

    reasoning_text: ReasoningText | None = None
    redacted_content: bytes | None = None  # base64 on the wire


class ToolUse(Struct, rename="camel"):
    """Tool call, in a stream its beginning."""

    tool_use_id: str = ""
    name: str = ""
    input: Raw = Raw(b"{}")


class CitedText(Struct):
    text: str | None = None


class Citations(Struct):
    """Text with the sources that it cites."""

    content: list[CitedText] = []
    citations: list[Raw] = []


class Block(Struct, rename="camel"):
    """Content block of a whole answer: one of the fields is set."""

    text: str | None = None
    tool_use: ToolUse | None = None
    reasoning_content: Reasoning | None = None
    citations_content: Citations | None = None


class Message(Struct):
    content: list[Block] | None = None

    @classmethod
    def mended(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Content that is a text becomes a block of it."""
        text = fields.get("content")
        return {**fields, "content": [{"text": text}]} if isinstance(text, str) else fields


class Output(Struct):
    message: Message | None = None


class Answer(Struct, rename="camel"):
    """Whole answer of Converse."""

    output: Output | None = None
    stop_reason: str | None = None
    usage: Usage | None = None
    service_tier: Tier | None = None
    performance_config: Performance | None = None
    error: Raw | UnsetType = UNSET


class ReasoningDelta(Struct, rename="camel"):
    """Addition to a reasoning block."""

    text: str | None = None
    signature: str | None = None
    redacted_content: bytes | None = None


class ToolUseDelta(Struct):
    """Addition to the arguments of a tool call, as JSON text."""

    input: str = ""

    @classmethod
    def mended(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Arguments that are JSON and no text become its text."""
        given = fields.get("input", "")
        return fields if isinstance(given, str) else {**fields, "input": lenient_json.text(given)}


class Delta(Struct, rename="camel"):
    """Addition to a content block: one of the fields is set."""

    text: str | None = None
    tool_use: ToolUseDelta | None = None
    reasoning_content: ReasoningDelta | None = None
    citation: Raw | UnsetType = UNSET


class Start(Struct, rename="camel"):
    """Beginning of a content block; only tool calls have one that says anything."""

    tool_use: ToolUse | None = None


class BlockStart(Struct, rename="camel"):
    content_block_index: Index | None = None
    start: Start | None = None


class BlockDelta(Struct, rename="camel"):
    content_block_index: Index | None = None
    delta: Delta | None = None


class BlockStop(Struct, rename="camel"):
    content_block_index: Index | None = None


class MessageStop(Struct, rename="camel"):
    """End of the message; only metadata follows."""

    stop_reason: str | None = None


class Metadata(Struct, rename="camel"):
    """Usage and service tier, after the message's end."""

    usage: Usage | None = None
    service_tier: Tier | None = None
    performance_config: Performance | None = None


class StreamException(Struct):
    """Exception within a stream, after the status 200."""

    name: str
    message: str


class Event(Struct, rename="camel"):
    """Event of a stream, as aws.EventStream shows it; unknown ones are all None."""

    content_block_start: BlockStart | None = None
    content_block_delta: BlockDelta | None = None
    content_block_stop: BlockStop | None = None
    message_stop: MessageStop | None = None
    metadata: Metadata | None = None
    exception: StreamException | None = None
    broken: str | None = None
    message_start: Raw | UnsetType = UNSET
    output: Raw | UnsetType = UNSET  # of a whole answer, although a stream was asked for

    @property
    def is_unknown(self) -> bool:
        """Whether this is none of the events above."""
        known = (self.content_block_delta, self.content_block_start, self.content_block_stop)
        rest = (self.message_stop, self.metadata, self.exception, self.broken)
        return known == (None,) * 3 and rest == (None,) * 4 and self.message_start is UNSET


class TokenCount(Struct, rename="camel"):
    """Answer of CountTokens."""

    input_tokens: Count


ANSWER = msgspec.json.Decoder(Answer)
EVENT = msgspec.json.Decoder(Event)
TOKEN_COUNT = msgspec.json.Decoder(TokenCount)


def usage(reported: Usage) -> usage_pb2.Usage:
    """Disjoint buckets: inputTokens leaves out what the cache gave and what was written to it."""
    fresh, output_tokens = reported.input_tokens, reported.output_tokens
    read, written = reported.cache_read_input_tokens or 0, reported.cache_write_input_tokens or 0
    details = reported.cache_details or ()
    hour = sum(detail.input_tokens for detail in details if detail.ttl == "1h")
    written = max(written, sum(detail.input_tokens for detail in details))
    input_tokens = fresh + read + written
    counts = usage_pb2.Usage()  # fields given by name cost more
    counts.input_tokens, counts.output_tokens = input_tokens, output_tokens
    counts.total_tokens = input_tokens + output_tokens
    counts.uncached_input_tokens, counts.cache_read_tokens = fresh, read
    counts.cache_write_5m_tokens, counts.cache_write_1h_tokens = written - hour, hour
    counts.visible_output_tokens = output_tokens  # thinking is among it, and not counted apart
    counts.input_provenance = counts.output_provenance = usage_pb2.PROVENANCE_PROVIDER_REPORTED
    return counts


def _arguments(given: Raw) -> str:
    """Arguments as JSON text; some have the text of an object in the place of it, or null."""
    text = bytes(given).decode()
    if text.startswith('"'):
        text = msgspec.json.decode(text, type=str)
    return "{}" if text in ("", "null") else text


@dataclass(slots=True)
class ReasoningBlock:
    """Reasoning block while it arrives."""

    text: list[str] = field(default_factory=list)
    signature: str | None = None
    redacted: list[bytes] = field(default_factory=list)

    @property
    def block(self) -> dict[str, Any]:
        """Block as Converse takes it back in a later request."""
        if self.redacted:
            return {"reasoningContent": {"redactedContent": b64encode(b"".join(self.redacted)).decode()}}
        signed = {"signature": self.signature} if self.signature else {}
        return {
            "reasoningContent": {
                "reasoningText": {"text": with_whole_characters("".join(self.text)), **signed}
            }
        }


@dataclass(slots=True)
class ConverseReader:
    """Reader of one answer: adds its parts to the choice of a chunk, by the index of their block.

    stop_reason is None until the message has ended.
    """

    tools: dict[int, int] = field(default_factory=dict)  # block to tool call
    empty: set[int] = field(default_factory=set)  # tool calls that have no arguments yet
    answers: set[int] = field(default_factory=set)  # blocks that give the answer by ANSWER_TOOL
    thoughts: dict[int, ReasoningBlock] = field(default_factory=dict)
    citations: list[Raw] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)  # of the calls
    halves: dict[str, str] = field(default_factory=dict)  # of characters, from one chunk to the next
    index: int = -1  # of the block that was begun last
    nameless: bool = False  # a tool was called without its name
    stop_reason: str | None = None

    def whole(self, answer: Answer, choice: ChoiceBuilder) -> None:
        """Adds an answer that is no stream."""
        message = answer.output and answer.output.message
        for index, block in enumerate((message and message.content) or ()):
            if block.tool_use:
                self.start(index, block.tool_use, choice)
                self.tool_input(index, _arguments(block.tool_use.input), choice)
            elif reasoning := block.reasoning_content:
                text = reasoning.reasoning_text or ReasoningText()
                delta = ReasoningDelta(text.text, text.signature, reasoning.redacted_content)
                self.thought(index, delta, choice)
            elif cited := block.citations_content:
                choice.content.extend(passage.text or "" for passage in cited.content)
                self.citations += cited.citations
            else:
                choice.content.append(block.text or "")
        self.stop(answer.stop_reason or "end_turn", choice)

    def event(self, event: Event, choice: ChoiceBuilder) -> None:
        """Adds one event of a stream; exceptions and broken events are the adapter's."""
        if (change := event.content_block_delta) is not None:
            delta = change.delta or Delta()
            if delta.text:
                choice.content.append(delta.text)
                return
            index = self._place(change.content_block_index)
            if delta.tool_use:
                self.tool_input(index, delta.tool_use.input, choice)
            if delta.reasoning_content:
                self.thought(index, delta.reasoning_content, choice)
            if isinstance(delta.citation, Raw):
                self.citations.append(delta.citation.copy())
        elif (begun := event.content_block_start) is not None:
            at = begun.content_block_index
            self.index = self.index + 1 if at is None else at
            if begun.start and begun.start.tool_use:
                self.start(self.index, begun.start.tool_use, choice)
        elif (ended := event.content_block_stop) is not None:
            if self._place(ended.content_block_index) in self.empty:
                self.tool_input(self._place(ended.content_block_index), "{}", choice)
        elif event.message_stop is not None:
            self.stop(event.message_stop.stop_reason or "end_turn", choice)

    def _place(self, index: int | None) -> int:
        """Index of a block; the one that was begun last, where an event has none."""
        return max(0, self.index) if index is None else index

    def start(self, index: int, use: ToolUse, choice: ChoiceBuilder) -> None:
        """Begins a tool call, or the answer that is given by ANSWER_TOOL."""
        self.empty.add(index)
        if use.name == ANSWER_TOOL:
            self.answers.add(index)
            return
        if not use.name:
            self.nameless = True
            return
        self.tools[index] = len(self.ids)
        self.ids.append(
            use.tool_use_id if use.tool_use_id and use.tool_use_id not in self.ids else unique_id()
        )
        choice.tool_call(self.tools[index]).add(self.ids[-1], use.name)

    def tool_input(self, index: int, text: str, choice: ChoiceBuilder) -> None:
        """Appends arguments to the call of the block, or text to the answer."""
        if not text:
            return
        self.empty.discard(index)
        if index in self.answers:
            choice.content.append(text)
        elif index in self.tools:
            choice.tool_call(self.tools[index]).arguments.append(text)

    def thought(self, index: int, delta: ReasoningDelta, choice: ChoiceBuilder) -> None:
        """Appends to the reasoning block."""
        thought = self.thoughts.setdefault(index, ReasoningBlock())
        thought.signature = delta.signature or thought.signature
        if delta.redacted_content:
            thought.redacted.append(delta.redacted_content)
        if delta.text:
            thought.text.append(delta.text)
            choice.reasoning.append(delta.text)

    def stop(self, reason: str, choice: ChoiceBuilder) -> None:
        """Sets the finish reason, reasoning state and citations of the choice."""
        if self.stop_reason is not None:  # some servers say it twice
            return
        delta, self.stop_reason = choice.delta, reason
        delta.finish_reason = STOP_REASONS.get(reason) or finish_reason(reason) or pb.FINISH_REASON_STOP
        if reason == "tool_use" and self.answers and not self.tools:
            delta.finish_reason = pb.FINISH_REASON_STOP
        if self.tools and delta.finish_reason == pb.FINISH_REASON_STOP:
            delta.finish_reason = pb.FINISH_REASON_TOOL_CALLS
        thoughts = [self.thoughts[index] for index in sorted(self.thoughts)]
        # Without a signature the model cannot check them, and Bedrock takes none back.
        if any(thought.signature or thought.redacted for thought in thoughts):
            blocks = [thought.block for thought in thoughts]
            delta.reasoning_state_json = msgspec.json.encode(blocks).decode()
        if self.citations:
            delta.annotations_json = msgspec.json.encode(self.citations).decode()
