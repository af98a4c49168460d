"""SSE frames of a streamed completion: `data: {...}` lines in OpenAI's form, one chunk of ours at a time.

Rules of openai.md section 1.1: every frame of an answer has the same id, created and model; the first delta
of a choice has the role; the last is empty and has the finish_reason.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import DecodeError, Raw, Struct
from msgspec.json import Decoder

from genai_spine.inference.choices import summed
from genai_spine.openai_api.responses import (
    DONE,
    answer_id,
    encode,
    finish,
    logprobs,
    state,
    text_logprobs,
    usage,
    warnings,
)
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import usage_pb2


class _Called(Struct):
    name: str = ""
    arguments: str = ""
    input: str = ""


class _ToolCall(Struct):
    function: _Called | None = None
    custom: _Called | None = None


class _Delta(Struct, frozen=True):
    content: str | None = None
    refusal: str | None = None
    reasoning_content: str = ""
    tool_calls: list[_ToolCall] = []


class _Choice(Struct):
    delta: _Delta = _Delta()
    text: str = ""


class _Event(Struct):
    choices: list[_Choice] = []


_frame = Decoder(_Event).decode


class Frames(ABC):
    """Encoder of one stream, with the state that a delta depends on."""

    def __init__(self, include_usage: bool) -> None:
        self.include_usage = include_usage
        self.begun = False
        self._head = b""
        self._tail = b',"usage":null}\n\n' if include_usage else b"}\n\n"

    @abstractmethod
    def write(self, chunk: pb.CompletionChunk) -> bytes:
        """Frames of a chunk."""

    def end(self) -> bytes:
        """Last frames: usage where it was asked for, and [DONE]."""
        return DONE

    def _open(self, chunk: pb.CompletionChunk, prefix: str, kind: str) -> None:
        """Common fields of all frames, from the first chunk."""
        self.begun = True
        head = {
            "id": answer_id(chunk.id, prefix),
            "object": kind,
            "created": chunk.create_time.seconds,
            "model": chunk.model,
            "system_fingerprint": chunk.system_fingerprint or None,
            "service_tier": chunk.service_tier or None,
        }
        self._head = b"data: " + encode(head)[:-1] + b',"choices":['

    def _frame(self, index: int, body: bytes, finish_reason: str | None = None) -> bytes:
        """Frame of one choice. body: its delta or text, with logprobs."""
        reason = encode(finish_reason)
        return b'%b{"index":%d,%b,"finish_reason":%b}]%b' % (self._head, index, body, reason, self._tail)

    def _usage(self, counts: usage_pb2.Usage, cost: usage_pb2.Cost, more: Mapping[str, Any]) -> bytes:
        """Last frame. more: fields beside the usage."""
        fields = {"usage": usage(counts, cost), **more}
        return self._head + b"]," + encode(fields)[1:] + b"\n\n"


class ChatFrames(Frames):
    """Frames of a chat completion."""

    def __init__(self, include_usage: bool, *, before_tools: bool) -> None:
        super().__init__(include_usage)
        self.before_tools = before_tools
        self._spoken: set[int] = set()
        self._called: dict[tuple[int, int], bool] = {}  # choice and call -> it is of a custom tool

    def write(self, chunk: pb.CompletionChunk) -> bytes:
        if not self.begun:
            self._open(chunk, "chatcmpl-", "chat.completion.chunk")
        frames = [frame for delta in chunk.choices for frame in self._delta(delta)]
        if chunk.HasField("usage") and self.include_usage:
            frames.append(self._usage(chunk.usage, chunk.cost, warnings(chunk.warnings)))
        return b"".join(frames)

    def _delta(self, delta: pb.ChoiceDelta) -> list[bytes]:
        frames = []
        index = delta.index
        if index not in self._spoken:
            # SDKs file a choice by its place in their list, so that none may begin before a lower one.
            role = b'"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null'
            begun = [number for number in range(index + 1) if number not in self._spoken]
            frames += [self._frame(number, role) for number in begun]
            self._spoken.update(begun)
        said: dict[str, object] = {}
        if delta.reasoning:
            said["reasoning_content"] = delta.reasoning
        if delta.content:
            said["content"] = delta.content
        if delta.refusal:
            said["refusal"] = delta.refusal
        if delta.HasField("annotations_json"):
            said["annotations"] = Raw(delta.annotations_json.encode())
        if delta.HasField("reasoning_state_json"):
            said |= state(delta.reasoning_state_json)
        if delta.tool_calls:
            said |= self._calls(delta)
        spoken = logprobs(delta.logprobs) if delta.HasField("logprobs") else None
        if said or spoken:  # a token may be half of a character, and its text come with the next one
            frames.append(self._frame(index, b'"delta":%b,"logprobs":%b' % (encode(said), encode(spoken))))
        if delta.finish_reason:
            reason = finish(delta.finish_reason, before_tools=self.before_tools)
            frames.append(self._frame(index, b'"delta":{},"logprobs":null', reason))
        return frames

    def _calls(self, delta: pb.ChoiceDelta) -> dict[str, object]:
        """Tool calls of a delta."""
        if self.before_tools:  # one call only, as in replies.chat
            called = [
                self._call(delta.index, fragment) for fragment in delta.tool_calls if fragment.index == 0
            ]
            return {"function_call": called[0]["function"]} if called else {}
        return {"tool_calls": [self._call(delta.index, fragment) for fragment in delta.tool_calls]}

    def _call(self, index: int, fragment: pb.ToolCallDelta) -> dict[str, object]:
        """Id, type and name come once for each call; the fragments after it have the index only."""
        first = (index, fragment.index) not in self._called
        is_custom = self._called.setdefault((index, fragment.index), fragment.is_custom)
        kind, field = ("custom", "input") if is_custom else ("function", "arguments")
        called: dict[str, object] = {"name": fragment.name} if first else {}
        called[field] = fragment.arguments
        body: dict[str, object] = {"index": fragment.index}
        if first:
            body |= {"id": fragment.id, "type": kind}
        if fragment.HasField("provider_state_json"):
            body["extra_content"] = Raw(fragment.provider_state_json.encode())
        return body | {kind: called}


class TextFrames(Frames):
    """Text completions of one or more prompts in one stream; usage covers all of them."""

    def __init__(self, include_usage: bool, prefixes: Sequence[str], per_prompt: int) -> None:
        """Encoder of text frames. prefixes: texts that `echo` puts before a prompt.

        Per_prompt: answers to each.
        """
        super().__init__(include_usage)
        self._prefixes = prefixes
        self._per_prompt = per_prompt
        self._prompt, self._last = 0, True
        self._echoed: set[int] = set()
        self._ended: list[pb.CompletionChunk] = []  # the last chunk of each prompt, which has its usage

    def begin(self, prompt: int, *, last: bool) -> None:
        """Start of the next prompt's answers; last: no prompt follows."""
        self._prompt, self._last = prompt, last

    def write(self, chunk: pb.CompletionChunk) -> bytes:
        if not self.begun:
            self._open(chunk, "cmpl-", "text_completion")
        frames = [self._delta(delta) for delta in chunk.choices]
        if chunk.HasField("usage"):
            self._ended.append(chunk)
            if self.include_usage and self._last:
                frames.append(self._usage(*summed(self._ended), warnings(chunk.warnings)))
        return b"".join(frames)

    def end(self) -> bytes:
        return DONE if self._last else b""

    def _delta(self, delta: pb.ChoiceDelta) -> bytes:
        index = self._prompt * self._per_prompt + delta.index
        text = delta.content
        if index not in self._echoed:
            self._echoed.add(index)
            text = self._prefixes[self._prompt] + text
        spoken = text_logprobs(delta.logprobs) if delta.HasField("logprobs") else None
        reason = finish(delta.finish_reason) if delta.finish_reason else None
        return self._frame(index, b'"text":%b,"logprobs":%b' % (encode(text), encode(spoken)), reason)


def text_of(event: bytes) -> tuple[str, str]:
    """Text of a frame: visible, calls of tools included, and reasoning."""
    try:
        choices = _frame(event.removeprefix(b"data: ").strip()).choices
    except DecodeError:  # [DONE], or another kind of answer
        return "", ""
    deltas = [choice.delta for choice in choices]
    called = [call.function or call.custom for delta in deltas for call in delta.tool_calls]
    visible = [choice.text for choice in choices] + [delta.content or delta.refusal or "" for delta in deltas]
    visible += [text for one in called if one for text in (one.name, one.arguments, one.input)]
    return "".join(visible), "".join(delta.reasoning_content for delta in deltas)


def error_event(body: dict[str, object]) -> bytes:
    """Error event that ends a stream; no [DONE] follows."""
    return b"data: " + encode(body) + b"\n\n"


def events(data: bytes) -> list[bytes]:
    """Server-sent events of a piece of a stream, each whole; comments are left out."""
    return [event + b"\n\n" for event in data.split(b"\n\n") if event.startswith(b"data: ")]


def numbered(event: bytes, number: int) -> bytes:
    """The event with its number in its JSON; [DONE] and errors have none."""
    if event.startswith(b'data: {"error"') or not event.endswith(b"}\n\n"):
        return event
    return b'%b,"sequence":%d}\n\n' % (event[:-3], number)


def with_id(event: bytes, number: int) -> bytes:
    """The event with its number in a line of its own, which a client sends back as Last-Event-ID."""
    return b"id: %d\n%b" % (number, event)
