"""Answers of OpenAI's Responses API, whole and streamed, read into the chunks that a chat gives.

Wire facts: as in responses_json.py. One response is one choice. Its items are messages, calls and reasoning;
summaries of reasoning, of which there may be several, are paragraphs.
"""

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from genai_spine.chunks import ChunkBuilder, ToolCallBuilder
from genai_spine.providers.http.client import Reply, Wire
from genai_spine.providers.openai import chat as wire_json
from genai_spine.providers.openai.errors import failure
from genai_spine.providers.openai.responses_request import Kept
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import usage_pb2

PARAGRAPH = "\n\n"
INCOMPLETE = {
    "max_output_tokens": pb.FINISH_REASON_LENGTH,
    "content_filter": pb.FINISH_REASON_CONTENT_FILTER,
}
CALLS = ("function_call", "custom_tool_call")
ENDS = ("response.completed", "response.incomplete", "response.failed")


class ResponsesReading:
    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.done = False  # the event that ends the response has come
        self.calls: dict[int, int] = {}  # output_index of an item to the number of the call
        self.thought = False
        self.state: list[Raw] = []
        self.annotations: list[Raw] = []
        self.keep = False  # the state holds reasoning
        self.head: _Response | None = None

    def event(self, payload: bytes, builder: ChunkBuilder) -> None:
        if payload == b"[DONE]":  # of gateways; OpenAI's stream just ends
            return
        event = self.wire.decode(payload, EVENT)
        if event.type.endswith(".delta") and not (event.delta or event.logprobs):
            return  # it says nothing to a caller
        self._add(event, payload, builder)
        if builder.choices and self.head:
            _head(self.head, builder.chunk)

    def _add(self, event: "_Event", payload: bytes, builder: ChunkBuilder) -> None:
        if event.type == "response.output_text.delta":
            choice = builder.choice()
            choice.content.append(event.delta)
            _add_logprobs(choice.delta, event.logprobs)
        elif event.type == "response.refusal.delta":
            builder.choice().refusal.append(event.delta)
        elif event.type in ("response.reasoning_summary_text.delta", "response.reasoning_text.delta"):
            builder.choice().reasoning.append(event.delta)
            self.thought = True
        elif event.type == "response.reasoning_summary_part.added":
            self._paragraph(builder)
        elif event.type in (
            "response.function_call_arguments.delta",
            "response.custom_tool_call_input.delta",
        ):
            self._call(builder, event.output_index).arguments.append(event.delta)
        elif event.type == "response.output_text.annotation.added" and event.annotation is not UNSET:
            self.annotations.append(_compact(event.annotation))
        elif event.type == "response.output_item.added":
            self._begin(builder, self.wire.decode(_given(event.item), ITEM), event.output_index)
        elif event.type == "response.output_item.done":
            self._keep(_given(event.item))
        else:
            self._of_the_whole(event, payload, builder)

    def whole(self, body: bytes, builder: ChunkBuilder) -> None:
        response = self.wire.decode(body, RESPONSE)
        choice = builder.choice()
        for number, raw in enumerate(response.output):
            item = self.wire.decode(raw, ITEM)
            self._begin(builder, item, number)
            if item.type in CALLS:
                self._call(builder, number).arguments.append(item.arguments or item.input)
            for summary in (*item.summary, *(item.content if item.type == "reasoning" else ())):
                self._paragraph(builder)
                choice.reasoning.append(summary.text)
                self.thought = True
            for part in item.content if item.type == "message" else ():
                choice.content.append(part.text)
                choice.refusal.append(part.refusal)
                self.annotations += map(_compact, part.annotations)
                _add_logprobs(choice.delta, part.logprobs)
            self._keep(raw)
        self._finish(response, body, builder)

    def end(self, choice_count: int) -> None:
        if not self.done:
            raise self.wire.unusable("cut_stream", "the stream ended before it was complete")

    def _of_the_whole(self, event: "_Event", payload: bytes, builder: ChunkBuilder) -> None:
        if event.type == "error":
            nested = event.error is not UNSET
            raise failure(self.wire, Reply(200, {}, payload if nested else b'{"error":%b}' % payload), "")
        if event.response is UNSET:
            return
        response = self.wire.decode(event.response, RESPONSE)
        if event.type in ENDS:
            self.done = True
            self._finish(response, bytes(event.response), builder)
        else:
            self.head = response

    def _finish(self, response: "_Response", body: bytes, builder: ChunkBuilder) -> None:
        """The end of the only choice, and what is known of the whole."""
        if response.status == "failed" or response.error is not None:
            raise failure(self.wire, Reply(200, {}, body), response.model)
        if response.status not in ("completed", "incomplete"):
            raise self.wire.unusable(
                "not_complete", f"the response is {response.status or 'without a status'}"
            )
        _head(response, builder.chunk)
        delta = builder.choice().delta
        reason = response.incomplete_details.reason if response.incomplete_details else None
        done = pb.FINISH_REASON_TOOL_CALLS if self.calls else pb.FINISH_REASON_STOP
        delta.finish_reason = INCOMPLETE.get(reason or "", pb.FINISH_REASON_LENGTH if reason else done)
        if self.annotations:
            delta.annotations_json = msgspec.json.encode(self.annotations).decode()
        if self.keep:
            delta.reasoning_state_json = msgspec.json.encode(self.state).decode()
        if response.usage and (counts := _usage(response.usage)).total_tokens:
            builder.chunk.usage.CopyFrom(counts)

    def _begin(self, builder: ChunkBuilder, item: "_Item", output_index: int) -> None:
        if item.type not in CALLS:
            return
        number = self.calls[output_index] = len(self.calls)
        call = builder.choice().tool_call(number)
        call.add(item.call_id or item.id, item.name)
        call.delta.is_custom = item.type == "custom_tool_call"

    def _call(self, builder: ChunkBuilder, output_index: int) -> ToolCallBuilder:
        number = self.calls.get(output_index)
        if number is None:
            raise self.wire.unusable("unknown_item", f"arguments of item {output_index}, which is no call")
        return builder.choice().tool_call(number)

    def _paragraph(self, builder: ChunkBuilder) -> None:
        if self.thought:
            builder.choice().reasoning.append(PARAGRAPH)

    def _keep(self, raw: bytes | Raw) -> None:
        """What a later request must send back, and the order of the rest."""
        kept = self.wire.decode(bytes(raw), KEPT)
        if kept.type == "reasoning":
            self.keep = True
            self.state.append(_compact(raw))
        elif kept.type == "message" or kept.type in CALLS:
            place = {"type": kept.type, "call_id": kept.call_id, "phase": kept.phase}
            self.state.append(Raw(msgspec.json.encode({key: value for key, value in place.items() if value})))


def _compact(raw: bytes | Raw) -> Raw:
    """The same JSON without the spaces that a whole answer has."""
    return Raw(msgspec.json.format(bytes(raw), indent=-1))


def _given(item: Raw | UnsetType) -> bytes:
    return b"{}" if item is UNSET else bytes(item)


def _head(response: "_Response", chunk: pb.CompletionChunk) -> None:
    if not chunk.id:
        chunk.id, chunk.model = response.id, response.model
        chunk.create_time.seconds = wire_json.seconds(response.created_at)
    if response.service_tier and response.service_tier != "auto":  # asked for, and not yet decided
        chunk.service_tier = response.service_tier


def _add_logprobs(delta: pb.ChoiceDelta, logprobs: "list[_Logprob] | None") -> None:
    for entry in logprobs or ():
        found = delta.logprobs.content.add()
        found.CopyFrom(_logprob(entry))
        found.top_logprobs.extend(_logprob(top) for top in entry.top_logprobs or ())


def _logprob(entry: "_Logprob") -> pb.TokenLogprob:
    found = pb.TokenLogprob(token=entry.token, logprob=entry.logprob)
    # A stream leaves the bytes out; they are those of the token, unless it is half of a character.
    found.token_bytes = entry.token.encode() if entry.bytes is None else bytes(entry.bytes)
    return found


def _usage(reported: "_Usage") -> usage_pb2.Usage:
    given, made = reported.input_tokens_details, reported.output_tokens_details
    return wire_json.usage(
        wire_json.Usage(
            prompt_tokens=reported.input_tokens,
            completion_tokens=reported.output_tokens,
            total_tokens=reported.total_tokens,
            prompt_tokens_details=given,
            completion_tokens_details=made,
        )
    )


class _Logprob(Struct):
    token: str = ""
    logprob: float = 0.0
    bytes: list[int] | None = None
    top_logprobs: list["_Logprob"] | None = None


class _Part(Struct):
    """Of a message, or of reasoning."""

    text: str = ""
    refusal: str = ""
    annotations: list[Raw] = []
    logprobs: list[_Logprob] | None = None


class _Item(Struct):
    type: str
    id: str | None = None
    call_id: str | None = None
    name: str = ""
    arguments: str = ""
    input: str = ""
    content: list[_Part] = []
    summary: list[_Part] = []


class _Usage(Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    input_tokens_details: wire_json.InputDetails | None = None
    output_tokens_details: wire_json.OutputDetails | None = None


class _Incomplete(Struct):
    reason: str | None = None


class _Error(Struct):
    code: str | None = None


class _Response(Struct):
    id: str
    output: list[Raw]
    created_at: float | None = None
    model: str = ""
    status: str | None = None
    error: _Error | None = None
    incomplete_details: _Incomplete | None = None
    usage: _Usage | None = None
    service_tier: str | None = None


class _Event(Struct):
    type: str
    delta: str = ""
    output_index: int = 0
    item: Raw | UnsetType = UNSET
    response: Raw | UnsetType = UNSET
    annotation: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    logprobs: list[_Logprob] | None = None


EVENT = msgspec.json.Decoder(_Event)
ITEM = msgspec.json.Decoder(_Item)
KEPT = msgspec.json.Decoder(Kept)
RESPONSE = msgspec.json.Decoder(_Response)
