"""Answers of /api/chat, whole or line by line, read into chunks.

Wire facts: as in `wire_types`. The last line is `done` and holds the counts; a call of a tool is always
whole.
"""

from collections.abc import Callable
from time import time
from typing import NoReturn

import msgspec
from msgspec import UNSET, Raw

from genai_spine.chunks import ChoiceBuilder, ChunkBuilder
from genai_spine.providers.base import reported_usage
from genai_spine.providers.http import error_body, lenient_json
from genai_spine.providers.http.client import HttpClient
from genai_spine.providers.ollama.wire_types import Chat, ToolCall
from genai_spine.providers.tool_calls import unique_id
from genai_spine.providers.wire_types import finish_reason, token_logprob
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import usage_pb2


class AnswerReader:
    """Reader of one answer.

    answered: a message has come. done: so has the last line; a connection that breaks then cuts nothing.
    """

    def __init__(self, http: HttpClient, fail: Callable[[bytes, Chat], NoReturn]) -> None:
        """fail: raises the error that a line holds."""
        self._http = http
        self.answered = self.done = False
        self.halves: dict[str, str] = {}  # of characters, from one chunk to the next
        self._fail = fail
        self._ids: list[str] = []  # of the calls
        self._nameless = False  # a tool was called without its name

    def add(self, answer: Chat, line: bytes, builder: ChunkBuilder) -> None:
        """Adds one line, which is the answer itself where it does not stream."""
        if answer.error is not UNSET or not (answer.message or answer.done):
            failed = isinstance(answer.error, Raw) and bytes(answer.error) not in error_body.NO_ERROR
            empty = not (answer.message or answer.done)
            if failed or (empty and error_body.is_error(line)):
                self._fail(line, answer)
        if not builder.choices:
            builder.chunk.model, builder.chunk.create_time.seconds = answer.model, int(time())
        choice = builder.choice()
        if (message := answer.message) is not None:
            self.answered = True
            if message.content:
                choice.content.append(message.content)
            if message.thinking:
                choice.reasoning.append(message.thinking)
            for call in message.tool_calls or ():
                self._call(call, answer, choice)
        if answer.logprobs:
            choice.delta.logprobs.content.extend(token_logprob(token) for token in answer.logprobs)
        if answer.done:
            self._end(answer, line, builder)

    def _call(self, call: ToolCall, answer: Chat, choice: ChoiceBuilder) -> None:
        if not call.function.name:
            self._nameless = True
            return
        number = len(self._ids)
        self._ids.append(call.id if call.id and call.id not in self._ids else unique_id())
        choice.tool_call(number).add(self._ids[number], call.function.name, call.function.arguments_json)

    def _end(self, answer: Chat, line: bytes, builder: ChunkBuilder) -> None:
        """Takes the last line: what cannot be used fails here, because the counts stand in it."""
        if self._nameless:
            nameless = self._http.unusable("nameless_call", "the model called a tool without naming it")
            nameless.usage = usage(answer)
            raise nameless
        reason = finish_reason(answer.done_reason or "stop")
        if reason is None:
            error = {"message": f"the answer ended with {answer.done_reason!r}"}
            self._fail(b'{"error":%b,%b' % (msgspec.json.encode(error), line.lstrip()[1:]), answer)
        if self._ids and reason != pb.FINISH_REASON_LENGTH:
            reason = pb.FINISH_REASON_TOOL_CALLS
        if not self.done:  # some servers say it twice
            builder.choice().delta.finish_reason = reason or pb.FINISH_REASON_STOP
        self.done = True
        if (counts := usage(answer)) is not None:
            builder.chunk.usage.CopyFrom(counts)


def usage(answer: Chat) -> usage_pb2.Usage | None:
    """Counts of the last line, None where it has none.

    Tokens read from the prompt cache are input tokens as well.
    """
    if answer.eval_count is None and answer.prompt_eval_count is None:
        return None
    counts = reported_usage(answer.prompt_eval_count or 0, answer.eval_count or 0)
    cached = min(answer.prompt_eval_cached_count or 0, counts.input_tokens)
    counts.cache_read_tokens = cached
    counts.uncached_input_tokens -= cached
    # Left out when the whole prompt was in the cache, so the number is not known.
    if answer.prompt_eval_count is None:
        counts.input_provenance = usage_pb2.PROVENANCE_UNKNOWN
    return counts


def usage_of(line: bytes) -> usage_pb2.Usage | None:
    """Counts of a line that cannot be used; they stand in the line itself."""
    try:
        return usage(lenient_json.read(line, Chat))
    except (ValueError, RecursionError):
        return None
