"""What Bedrock's Converse and ConverseStream answer, read into our messages.

Shapes: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html, 2026-11-28.
"""

from base64 import b64encode
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from genai_spine.providers.bedrock_json import ANSWER_TOOL
from genai_spine.providers.openai_json import MOST_TOKENS
from genai_spine.v1 import completion_service_pb2 as pb

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

Count = Annotated[int, Meta(ge=0, le=MOST_TOKENS)]
Index = Annotated[int, Meta(ge=0, le=10_000)]


class CacheDetail(Struct, rename="camel"):
    ttl: str
    input_tokens: Count


class Usage(Struct, rename="camel"):
    input_tokens: Count = 0
    output_tokens: Count = 0
    cache_read_input_tokens: Count | None = None
    cache_write_input_tokens: Count | None = None
    cache_details: list[CacheDetail] | None = None


class Tier(Struct):
    type: str | None = None


class ReasoningText(Struct):
    text: str = ""
    signature: str | None = None


class Reasoning(Struct, rename="camel"):
    reasoning_text: ReasoningText | None = None
    redacted_content: bytes | None = None  # base64 on the wire


class ToolUse(Struct, rename="camel"):
    tool_use_id: str
    name: str
    input: Raw = Raw(b"{}")


class Cited(Struct):
    text: str | None = None


class Citations(Struct):
    content: list[Cited] = []
    citations: list[Raw] = []


class Block(Struct, rename="camel"):
    text: str | None = None
    tool_use: ToolUse | None = None
    reasoning_content: Reasoning | None = None
    citations_content: Citations | None = None


class Message(Struct):
    content: list[Block] = []


class Output(Struct):
    message: Message


class Answer(Struct, rename="camel"):
    output: Output
    stop_reason: str
    usage: Usage | None = None
    service_tier: Tier | None = None


class ReasoningDelta(Struct, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: bytes | None = None


class ToolUseDelta(Struct):
    input: str = ""


class Delta(Struct, rename="camel"):
    text: str | None = None
    tool_use: ToolUseDelta | None = None
    reasoning_content: ReasoningDelta | None = None
    citation: Raw | UnsetType = UNSET


class Start(Struct, rename="camel"):
    tool_use: ToolUse | None = None


class BlockStart(Struct, rename="camel"):
    content_block_index: Index
    start: Start


class BlockDelta(Struct, rename="camel"):
    content_block_index: Index
    delta: Delta


class BlockStop(Struct, rename="camel"):
    content_block_index: Index


class MessageStop(Struct, rename="camel"):
    stop_reason: str


class Metadata(Struct, rename="camel"):
    usage: Usage | None = None
    service_tier: Tier | None = None


class Exceptional(Struct):
    name: str
    message: str


class Event(Struct, rename="camel"):
    """One event of a stream, as aws.EventStream shows it; unknown ones are all None."""

    content_block_start: BlockStart | None = None
    content_block_delta: BlockDelta | None = None
    content_block_stop: BlockStop | None = None
    message_stop: MessageStop | None = None
    metadata: Metadata | None = None
    exception: Exceptional | None = None
    broken: str | None = None


class Counted(Struct, rename="camel"):
    input_tokens: Count


ANSWER = msgspec.json.Decoder(Answer)
EVENT = msgspec.json.Decoder(Event)
COUNTED = msgspec.json.Decoder(Counted)


def usage(reported: Usage) -> pb.Usage:
    """Disjoint buckets: inputTokens leaves out what the cache gave and what was written to it."""
    fresh, made = reported.input_tokens, reported.output_tokens
    read, written = reported.cache_read_input_tokens or 0, reported.cache_write_input_tokens or 0
    details = reported.cache_details or ()
    hour = sum(detail.input_tokens for detail in details if detail.ttl == "1h")
    written = max(written, sum(detail.input_tokens for detail in details))
    given = fresh + read + written
    return pb.Usage(
        input_tokens=given,
        output_tokens=made,
        total_tokens=given + made,
        uncached_input_tokens=fresh,
        cache_read_tokens=read,
        cache_write_5m_tokens=written - hour,
        cache_write_1h_tokens=hour,
        visible_output_tokens=made,  # thinking is among it, and not counted apart
        input_provenance=pb.PROVENANCE_PROVIDER_REPORTED,
        output_provenance=pb.PROVENANCE_PROVIDER_REPORTED,
    )


@dataclass(slots=True)
class Thought:
    """One block of thinking while it comes."""

    text: str = ""
    signature: str | None = None
    redacted: bytes = b""

    @property
    def block(self) -> dict[str, Any]:
        if self.redacted:
            return {"reasoningContent": {"redactedContent": b64encode(self.redacted).decode()}}
        signed = {"signature": self.signature} if self.signature else {}
        return {"reasoningContent": {"reasoningText": {"text": self.text, **signed}}}


@dataclass(slots=True)
class Reader:
    """Reads the pieces of one answer into the delta of a chunk, by the index of their block."""

    tools: dict[int, int] = field(default_factory=dict)  # block to tool call
    empty: set[int] = field(default_factory=set)  # tool calls that have no arguments yet
    answers: set[int] = field(default_factory=set)  # blocks that give the answer by ANSWER_TOOL
    thoughts: dict[int, Thought] = field(default_factory=dict)
    citations: list[Raw] = field(default_factory=list)
    stop_reason: str | None = None

    def whole(self, answer: Answer, delta: pb.ChoiceDelta) -> None:
        for index, block in enumerate(answer.output.message.content):
            if block.tool_use:
                self.start(index, block.tool_use, delta)
                self.tool_input(index, bytes(block.tool_use.input).decode(), delta)
            elif reasoning := block.reasoning_content:
                said = reasoning.reasoning_text or ReasoningText()
                piece = ReasoningDelta(said.text, said.signature, reasoning.redacted_content)
                self.thought(index, piece, delta)
            elif cited := block.citations_content:
                delta.content += "".join(part.text or "" for part in cited.content)
                self.citations += cited.citations
            else:
                delta.content += block.text or ""
        self.stop(answer.stop_reason, delta)

    def event(self, event: Event, delta: pb.ChoiceDelta) -> None:
        if (change := event.content_block_delta) is not None:
            index, piece = change.content_block_index, change.delta
            delta.content += piece.text or ""
            if piece.tool_use:
                self.tool_input(index, piece.tool_use.input, delta)
            if piece.reasoning_content:
                self.thought(index, piece.reasoning_content, delta)
            if isinstance(piece.citation, Raw):
                self.citations.append(piece.citation.copy())
        elif (begun := event.content_block_start) is not None:
            if begun.start.tool_use:
                self.start(begun.content_block_index, begun.start.tool_use, delta)
        elif (ended := event.content_block_stop) is not None:
            if ended.content_block_index in self.empty:
                self.tool_input(ended.content_block_index, "{}", delta)
        elif event.message_stop is not None:
            self.stop(event.message_stop.stop_reason, delta)

    def start(self, index: int, use: ToolUse, delta: pb.ChoiceDelta) -> None:
        self.empty.add(index)
        if use.name == ANSWER_TOOL:
            self.answers.add(index)
            return
        self.tools[index] = len(self.tools)
        delta.tool_calls.add(index=self.tools[index], id=use.tool_use_id, name=use.name)

    def tool_input(self, index: int, text: str, delta: pb.ChoiceDelta) -> None:
        if not text:
            return
        self.empty.discard(index)
        if index in self.answers:
            delta.content += text
        elif index in self.tools:
            number = self.tools[index]
            piece = next((piece for piece in delta.tool_calls if piece.index == number), None)
            if piece is None:
                piece = delta.tool_calls.add(index=number)
            piece.arguments += text

    def thought(self, index: int, piece: ReasoningDelta, delta: pb.ChoiceDelta) -> None:
        thought = self.thoughts.setdefault(index, Thought())
        thought.text += piece.text or ""
        thought.signature = piece.signature or thought.signature
        thought.redacted += piece.redacted_content or b""
        delta.reasoning += piece.text or ""

    def stop(self, reason: str, delta: pb.ChoiceDelta) -> None:
        self.stop_reason = reason
        delta.finish_reason = STOP_REASONS.get(reason, pb.FINISH_REASON_STOP)
        if reason == "tool_use" and self.answers and not self.tools:
            delta.finish_reason = pb.FINISH_REASON_STOP
        thoughts = [self.thoughts[index] for index in sorted(self.thoughts)]
        # Without a signature the model cannot check them, and Bedrock takes none back.
        if any(thought.signature or thought.redacted for thought in thoughts):
            blocks = [thought.block for thought in thoughts]
            delta.reasoning_state_json = msgspec.json.encode(blocks).decode()
        if self.citations:
            delta.annotations_json = msgspec.json.encode(self.citations).decode()
