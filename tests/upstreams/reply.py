"""What a test scripts: one Reply is one answer of an upstream, its pace and its faults.

All of it is plain data, so that POST /_script takes the same fields as JSON.
"""

from typing import Any, Literal

import msgspec

FaultKind = Literal["stall", "close", "reset", "truncate", "malformed", "error"]


class ToolCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool call of the model. Ollama parses the arguments and sends the object."""

    name: str
    arguments: str | list[str] = "{}"  # a list: the fragments of a stream, as they are
    id: str | None = None  # None: call_<number of the request>_<index>
    kind: Literal["function", "custom", "legacy"] = "function"  # legacy: message.function_call
    extra: dict[str, Any] = {}  # into the call, and its first piece


class Usage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Numbers to report. None: what samples.count_tokens gives for the texts."""

    prompt_tokens: int | None = None  # all of the prompt, cached or not; 0 is left out by Ollama
    completion_tokens: int | None = None  # all of the answer, reasoning included
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    prompt_audio_tokens: int = 0
    reasoning_tokens: int | None = None
    completion_audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the model says in one choice. Nothing given: something derived from the request."""

    text: str | list[str] | None = None  # a list: the deltas of a stream, as they are
    tool_calls: list[ToolCall] = []
    reasoning: str | list[str] = ""
    refusal: str | list[str] = ""
    finish_reason: str | None = None  # None: stop, length or tool_calls, as it turned out


class Reply(Content, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One scripted answer. Times are seconds.

    A status other than 200, or a body, replaces the model's answer altogether.

    fault, and where it strikes:
      stall      nothing more is sent and the connection stays open
      close      the connection is closed (FIN) without the end of the answer
      reset      the connection is reset (RST)
      truncate   a proper end of the HTTP body, too early: no final event, no [DONE]
      malformed  a stream: the event at `after` is broken JSON, the rest is as usual;
                 otherwise: the body breaks off, with a content-length to match
      error      a stream: the event at `after` is an error event (`body`), then the stream ends;
                 otherwise: status 500 with that body
    after: how many events are delivered before it; negative counts from the end of the stream.
    None: stall, close and reset strike before the status line, the others at the first event.
    An answer that is no stream has one event; with `after` given, half of its body is sent.
    """

    choices: list[Content] = []  # per choice when n > 1, taken in turn
    usage: Usage = Usage()
    usage_extra: dict[str, Any] = {}  # into the usage object, where the API has one
    omit_usage: bool = False  # even when asked for
    model: str | None = None  # the model named in the answer; None: as asked
    id: str | None = None
    created: int | None = None
    system_fingerprint: str | None = "fp_5d2f9c0a1b"
    service_tier: str | None = "default"
    reasoning_field: str = "reasoning_content"  # OpenRouter says "reasoning"
    message_extra: dict[str, Any] = {}  # into the message, and the first delta of a choice
    extra: dict[str, Any] = {}  # into the top level of the answer and of every chunk

    headers_delay_s: float = 0.0  # before the status line
    first_delay_s: float = 0.0  # between the headers and the first byte of the body
    interval_s: float = 0.0  # between two writes
    events_per_write: int = 1  # 0: the whole stream in one write
    bytes_per_write: int | None = None  # cut here instead, in the middle of events and of characters
    is_held: bool = False  # after the first write (a whole answer: before it) until POST /_release
    comment: str | None = None  # an SSE comment before every event
    line_end: Literal["\n", "\r\n"] = "\n"

    status: int = 200
    body: Any = None  # JSON value, or a string sent as it is
    headers: dict[str, str] = {}
    content_type: str | None = None

    fault: FaultKind | None = None
    after: int | None = None
