"""Responses API answers, whole and streamed, read into the chunks that a chat gives.

Wire facts: as in `responses_request`. One response is one choice. Its items are messages, calls and
reasoning; summaries of reasoning, of which there may be several, are paragraphs.

A stream announces each item (output_item.added), adds to it by deltas, repeats it whole (output_item.done),
and ends with the whole response; only deltas become chunks, so nothing comes twice.
"""

from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from genai_spine.chunks import ChunkBuilder
from genai_spine.errors import ProviderError
from genai_spine.providers.http import error_body, lenient_json
from genai_spine.providers.http.client import CUT, UNREADABLE, HttpClient, Reply
from genai_spine.providers.openai import chat_answer
from genai_spine.providers.openai.chat_response import DONE, ResponseReader
from genai_spine.providers.openai.errors import failure
from genai_spine.providers.openai.responses_request import StateItem
from genai_spine.providers.raw_usage import tool_calls
from genai_spine.providers.tool_calls import Fragment, ToolCalls
from genai_spine.providers.wire_types import Byte, parted
from genai_spine.v1 import completion_service_pb2 as pb

T = TypeVar("T")

NULL = b"null"
PARAGRAPH = "\n\n"
INCOMPLETE = {
    "max_output_tokens": pb.FINISH_REASON_LENGTH,
    "content_filter": pb.FINISH_REASON_CONTENT_FILTER,
}
FAILED = ("failed", "error")  # statuses
CALLS = ("function_call", "custom_tool_call")
# Items that are calls of tools which OpenAI runs and is paid for, to our names of the tools. Calls of remote
# MCP servers cost their tokens only: https://developers.openai.com/api/docs/pricing, 2026-11-29.
PAID_CALLS = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "image_generation_call": "image_generation",
    "shell_call": "shell",
}
PREVIEW = b'"web_search_preview'  # of the tools that were asked for: an older search at prices of its own
ENDS = ("response.completed", "response.incomplete", "response.failed")


class ResponsesReader(ResponseReader):
    """Reader of one response of the Responses API."""

    def __init__(self, http: HttpClient) -> None:
        super().__init__(http)
        self.done = False  # the event that ends the response has come
        self.calls = ToolCalls()
        self.thought = False
        self.state: list[Raw] = []
        self.annotations: list[Raw] = []
        self.keep = False  # the state holds reasoning
        self.head: _Response | None = None

    def event(self, payload: bytes, builder: ChunkBuilder) -> None:
        try:
            event = EVENT.decode(payload)
        except UNREADABLE:
            if payload.strip() in (b"", *DONE):  # of gateways; OpenAI's stream just ends
                return
            event = self._decoded(payload, EVENT)
        if event.type.endswith(".delta") and not (event.delta or event.logprobs):
            return  # it says nothing to a caller
        self._add(event, payload, builder)
        if builder.choices and self.head:
            _head(self.head, builder.chunk)

    def _add(self, event: "_Event", payload: bytes, builder: ChunkBuilder) -> None:
        """Adds one event; unknown events are passed over."""
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
            custom = event.type == "response.custom_tool_call_input.delta"
            self._call(builder, Fragment(event.output_index, arguments=event.delta, is_custom=custom))
        elif event.type == "response.output_text.annotation.added" and event.annotation is not UNSET:
            self.annotations.append(_compact(event.annotation))
        elif event.type == "response.output_item.added":
            self._begin(builder, self.http.decode(_raw_item(event.item), ITEM), event.output_index)
        elif event.type == "response.output_item.done":
            self._begin(builder, self.http.decode(_raw_item(event.item), ITEM), event.output_index)
            self._keep(_raw_item(event.item))
        else:
            self._of_the_whole(event, payload, builder)

    def whole(self, body: bytes, builder: ChunkBuilder) -> None:
        response = self._decoded(body, RESPONSE)
        if not response.output and not response.status and error_body.is_error(body):
            raise failure(self.http, Reply(200, {}, body), response.model)
        choice = builder.choice()
        for number, raw in enumerate(response.output or ()):
            if bytes(raw) == NULL:
                continue
            item = self.http.decode(raw, ITEM)
            self._begin(builder, item, number)
            content = item.content or ()
            for summary in (*(item.summary or ()), *(content if item.type == "reasoning" else ())):
                self._paragraph(builder)
                choice.reasoning.append(summary.text)
                self.thought = True
            for part in content if item.type == "message" else ():
                choice.content.append(part.text)
                choice.refusal.append(part.refusal)
                self.annotations += map(_compact, part.annotations)
                _add_logprobs(choice.delta, part.logprobs)
            self._keep(raw)
        self._finish(response, body, builder)

    def end(self, choice_count: int, builder: ChunkBuilder) -> None:
        if not self.done:
            raise self.http.unusable(CUT, "the stream ended before it was complete")

    def _of_the_whole(self, event: "_Event", payload: bytes, builder: ChunkBuilder) -> None:
        """Takes an event about the whole response: its head, its end, or an error."""
        if event.type == "error":
            nested = event.error is not UNSET
            raise failure(self.http, Reply(200, {}, payload if nested else b'{"error":%b}' % payload), "")
        if not event.type and isinstance(
            event.output, Raw
        ):  # a whole response, although a stream was asked for
            self.done = True
            self.whole(payload, builder)
            return
        if isinstance(event.error, Raw) and bytes(event.error) not in error_body.NO_ERROR:
            raise failure(self.http, Reply(200, {}, payload), "")
        if not isinstance(event.response, Raw):
            if not event.type and error_body.is_error(payload):
                raise failure(self.http, Reply(200, {}, payload), "")
            return
        if self.done:  # some servers say it twice
            return
        response = self.http.decode(event.response, RESPONSE)
        if event.type in ENDS:
            self.done = True
            self._finish(response, bytes(event.response), builder)
        else:
            self.head = response

    def _finish(self, response: "_Response", body: bytes, builder: ChunkBuilder) -> None:
        """Adds the end of the only choice, and what is known of the whole."""
        self.usage = _chat_usage(response.usage) if response.usage else self.usage
        self.report.add(body)
        self._count_tools(response)
        failed = isinstance(response.error, Raw) and bytes(response.error) not in error_body.NO_ERROR
        if failed or response.status in FAILED:
            raise self._billed(failure(self.http, Reply(200, {}, body), response.model))
        if response.status not in ("completed", "incomplete") and not (
            response.output and not response.status
        ):
            problem = f"the response is {response.status or 'without a status'}"
            raise self._billed(self.http.unusable("not_complete", problem))
        _head(response, builder.chunk)
        delta = builder.choice().delta
        reason = response.incomplete_details.reason if response.incomplete_details else None
        if not self.calls.end(builder.choice()):
            raise self._billed(
                self.http.unusable("nameless_call", "the model called a tool without naming it")
            )
        done = pb.FINISH_REASON_TOOL_CALLS if self.calls else pb.FINISH_REASON_STOP
        delta.finish_reason = INCOMPLETE.get(reason or "", pb.FINISH_REASON_LENGTH if reason else done)
        if self.annotations:
            delta.annotations_json = msgspec.json.encode(self.annotations).decode()
        if self.keep:
            delta.reasoning_state_json = msgspec.json.encode(self.state).decode()
        self._add_usage(builder.chunk)

    def _count_tools(self, response: "_Response") -> None:
        """Takes over what the response itself counts of its tools' calls, which its bill goes by."""
        told = response.tool_usage
        if told is not None and told.web_search is not None:
            self.tools.pop("web_search", None)
            self.tools |= tool_calls({"web_search": told.web_search.num_requests})
        if told is not None and told.image_gen is not None and told.image_gen.total_tokens:
            self.tools.setdefault("image_generation", 1)
        if "web_search" in self.tools and PREVIEW in bytes(response.tools):
            self.tools["web_search_preview"] = self.tools.pop("web_search")

    def _decoded(self, body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
        """Decoded body; one that cannot be read tells what it cost all the same."""
        try:
            return self.http.decode(body, decoder)
        except ProviderError as error:
            reported = lenient_json.member(body, "usage", _Usage)
            self.usage = _chat_usage(reported) if reported else self.usage
            self.report.add(body)
            raise self._billed(error) from error

    def _begin(self, builder: ChunkBuilder, item: "_Item", output_index: int) -> None:
        """Begins a tool call, when the item is one; the item that ends the call repeats it."""
        if item.type not in CALLS:
            return
        custom = item.type == "custom_tool_call"
        arguments = item.arguments or item.input
        id = item.call_id or item.id
        self._call(builder, Fragment(output_index, id, item.name, arguments, is_custom=custom))

    def _call(self, builder: ChunkBuilder, fragment: Fragment) -> None:
        self.calls.add([fragment], builder.choice())

    def _paragraph(self, builder: ChunkBuilder) -> None:
        """Separates one summary of reasoning from the one before."""
        if self.thought:
            builder.choice().reasoning.append(PARAGRAPH)

    def _keep(self, raw: bytes | Raw) -> None:
        """Keeps what a later request must send back, and the order of the rest."""
        item = self.http.decode(bytes(raw), STATE_ITEM)
        if item.type in PAID_CALLS:
            self._called(item.type, raw)
        if item.type == "reasoning":
            self.keep = True
            self.state.append(_compact(raw))
        elif item.type == "message" or item.type in CALLS:
            place = {"type": item.type, "call_id": item.call_id, "phase": item.phase}
            self.state.append(Raw(msgspec.json.encode({key: value for key, value in place.items() if value})))

    def _called(self, kind: str, raw: bytes | Raw) -> None:
        """Counts a call of a tool that the upstream ran; of those that use the web, searches are paid."""
        call = self.http.decode(bytes(raw), TOOL_CALL)
        if call.status != "failed" and (call.action is None or call.action.type in ("", "search")):
            name = PAID_CALLS[kind]
            self.tools[name] = self.tools.get(name, 0) + 1


def _compact(raw: bytes | Raw) -> Raw:
    """JSON text without the spaces that a whole answer has."""
    return Raw(msgspec.json.format(bytes(raw), indent=-1))


def _raw_item(item: Raw | UnsetType) -> bytes:
    return b"{}" if item is UNSET or bytes(item) == NULL else bytes(item)


def _head(response: "_Response", chunk: pb.CompletionChunk) -> None:
    """Fills in id, model, time and tier, as far as they are known."""
    if not chunk.id:
        chunk.id, chunk.model = response.id, response.model
        chunk.create_time.seconds = chat_answer.seconds(response.created_at)
    if response.service_tier and response.service_tier != "auto":  # asked for, and not yet decided
        chunk.service_tier = response.service_tier


def _add_logprobs(delta: pb.ChoiceDelta, logprobs: "list[_Logprob] | None") -> None:
    for entry in logprobs or ():
        token_logprob = delta.logprobs.content.add()
        token_logprob.CopyFrom(_logprob(entry))
        token_logprob.top_logprobs.extend(_logprob(top) for top in entry.top_logprobs or ())


def _logprob(entry: "_Logprob") -> pb.TokenLogprob:
    """Contract's log probability of one token."""
    token_logprob = pb.TokenLogprob(token=entry.token, logprob=entry.logprob)
    # A stream leaves the bytes out; they are those of the token, unless it is half of a character.
    token_logprob.token_bytes = entry.token.encode() if entry.bytes is None else bytes(entry.bytes)
    return token_logprob


def _chat_usage(reported: "_Usage") -> chat_answer.Usage:
    """Usage under the names that it has in a chat."""
    return chat_answer.Usage(
        prompt_tokens=reported.input_tokens,
        completion_tokens=reported.output_tokens,
        total_tokens=reported.total_tokens,
        prompt_tokens_details=reported.input_tokens_details,
        completion_tokens_details=reported.output_tokens_details,
    )


class _Logprob(Struct):
    """Log probability of one token, and of its alternatives."""

    token: str = ""
    logprob: float = 0.0
    bytes: list[Byte] | None = None
    top_logprobs: list["_Logprob"] | None = None


class _Part(Struct):
    """Part of a message, or of reasoning."""

    text: str = ""
    refusal: str = ""
    annotations: list[Raw] = []
    logprobs: list[_Logprob] | None = None


class _Item(Struct):
    """Item of a response: message, call or reasoning."""

    type: str = ""
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    input: str | None = None
    content: list[_Part] | None = None
    summary: list[_Part] | None = None

    @classmethod
    def mended(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """Arguments that are JSON become its text, content that is a text a part of it."""
        spelled = chat_answer.Function.mended(fields)
        for name in ("content", "summary"):
            parts = fields.get(name)
            parts = parts if isinstance(parts, list) else [parts]
            spelled[name] = [{"text": part} if isinstance(part, str) else part for part in parts]
        return spelled


class _Usage(Struct):
    """Token counts of a response."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    input_tokens_details: chat_answer.InputDetails | None = None
    output_tokens_details: chat_answer.OutputDetails | None = None


class _Action(Struct):
    """Action of a call that uses the web: search, open_page or find_in_page."""

    type: str = ""


class _ToolCall(Struct):
    """Call of a tool that the upstream ran."""

    status: str | None = None
    action: _Action | None = None


class _Searches(Struct):
    """Searches that are billed."""

    num_requests: int = 0


class _ImageGeneration(Struct):
    """Tokens of images that a tool made."""

    total_tokens: int = 0


class _ToolUsage(Struct):
    """What the upstream's tools used, beside the tokens of the model.

    https://developers.openai.com/api/reference/resources/responses, 2026-11-29.
    """

    web_search: _Searches | None = None
    image_gen: _ImageGeneration | None = None


class _Incomplete(Struct):
    """Reason why a response is incomplete."""

    reason: str | None = None


class _Response(Struct):
    """Response as a whole; `status` tells how it ended."""

    id: str = ""
    output: list[Raw] | None = None
    created_at: float | None = None
    model: str = ""
    status: str | None = None
    error: Raw | UnsetType = UNSET
    incomplete_details: _Incomplete | None = None
    usage: _Usage | None = None
    service_tier: str | None = None
    tool_usage: _ToolUsage | None = None
    tools: Raw = Raw()


class _Event(Struct):
    """Event of a stream; `type` says which fields it has."""

    type: str = ""
    delta: str = ""
    output_index: int = 0
    item: Raw | UnsetType = UNSET
    response: Raw | UnsetType = UNSET
    annotation: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET
    output: Raw | UnsetType = UNSET
    logprobs: list[_Logprob] | None = None

    @classmethod
    def mended(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """A delta that is a part becomes its text."""
        return {**fields, "delta": parted(fields["delta"])[0]} if "delta" in fields else fields


EVENT = msgspec.json.Decoder(_Event)
ITEM = msgspec.json.Decoder(_Item)
TOOL_CALL = msgspec.json.Decoder(_ToolCall)
STATE_ITEM = msgspec.json.Decoder(StateItem)
RESPONSE = msgspec.json.Decoder(_Response)
