"""JSON answers: asked for, read out of what models write around them, validated, and repaired once.

A provider's own structured output is a help, not a proof: every answer is checked against the caller's
schema, and one that does not fit is a SchemaMismatch, never passed on in silence.

Models put JSON into code fences, prose and thinking tags, so the reader takes the first complete value that
is valid, and names the problem of the longest one when none is.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from genai_spine.chunks import THINKING, THINKING_ENDS, ChunkBuilder, says_something, text_of
from genai_spine.errors import SchemaMismatch
from genai_spine.json_schema import embedded, json_text
from genai_spine.json_schema.embedded import JsonValue
from genai_spine.json_schema.json_stream import JsonStream
from genai_spine.json_schema.rewrite import WRAPPED, is_wrapped
from genai_spine.json_schema.rules import SchemaRules
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

if TYPE_CHECKING:
    from genai_spine.json_schema.validator import Problem

CUT_BY_LIMIT = "max_tokens cut the answer before its JSON was complete"

Request = pb.CreateCompletionRequest


def wants_json(request: Request) -> bool:
    """Whether the answer must be read and validated: a JSON object, or a schema that is not marked
    `unchecked`.
    """
    form = request.response_format
    if form.HasField("json_schema"):
        return not form.json_schema.unchecked
    return form.kind == pb.ResponseFormat.KIND_JSON_OBJECT


def check(request: Request) -> None:
    """Validates the request's schema before anything is spent on it. Raises InvalidFields."""
    if request.response_format.HasField("json_schema"):
        from genai_spine.json_schema.validator import answer_schema

        answer_schema(request.response_format.json_schema.schema_json)


def repair_request(request: Request, answer_text: str, problem: str) -> Request:
    """Request for one more try: the conversation, the bad answer, and what is wrong with it.

    A prompt becomes a user message, and one choice is asked for however many the first request had.
    """
    again = Request()
    again.CopyFrom(request)
    again.ClearField("choice_count")
    if request.HasField("prompt"):
        again.ClearField("prompt")
        again.messages.add(role=message_pb2.ROLE_USER).content.add(text=request.prompt.text)
    if answer_text:
        again.messages.add(role=message_pb2.ROLE_ASSISTANT).content.add(text=answer_text)
    again.messages.add(role=message_pb2.ROLE_USER).content.add(
        text=f"That answer cannot be used: {problem}. Answer again with the corrected JSON only."
    )
    return again


def can_be_repaired(request: Request, error: SchemaMismatch) -> bool:
    """Whether another try can help: the answer was not cut by a limit that would cut the next one as well,
    and the request has words to which the problem can be added.
    """
    as_tokens = request.prompt.WhichOneof("prompt") == "tokens"
    return not as_tokens and error.metadata["problem"] != CUT_BY_LIMIT


@dataclass(frozen=True, slots=True)
class ExpectedAnswer:
    """JSON that a request asks for, and the candidate that is to answer it."""

    form: pb.ResponseFormat  # as the caller sent it
    rules: SchemaRules | None  # by which the provider's schema was rewritten
    provider: str
    model: str


def complete_choice(choice: pb.Choice, expected: ExpectedAnswer) -> None:
    """Sets parsed_json, and makes the content that JSON and nothing else; a <think> block becomes reasoning.

    Refusals, tool calls and filtered answers are left alone. Raises SchemaMismatch.
    """
    parts = choice.message.content
    special = choice.message.tool_calls or any(part.WhichOneof("part") == "refusal" for part in parts)
    if special or choice.finish_reason == pb.FINISH_REASON_CONTENT_FILTER:
        return
    text = "".join(part.text for part in parts)
    choice.parsed_json = parsed(text, expected, choice.finish_reason)
    if text.strip() != choice.parsed_json:
        thoughts, ended, _ = text.lstrip().removeprefix(THINKING).partition(THINKING_ENDS)
        if ended and text.lstrip().startswith(THINKING) and not choice.message.reasoning:
            choice.message.reasoning = thoughts
        del parts[:]
        parts.add(text=choice.parsed_json)


def parsed(text: str, expected: ExpectedAnswer, finish_reason: int = pb.FINISH_REASON_STOP) -> str:
    """JSON text of an answer: as the model wrote it, unless it had to be turned back into the caller's shape.

    Raises SchemaMismatch with the JSON path and the problem. finish_reason: of the answer, a pb.FinishReason;
    LENGTH tells an answer that max_tokens cut from one that the model broke off.
    """
    worst: tuple[int, Problem] | None = None  # what is wrong with the longest JSON that was found
    try:
        for candidate in embedded.json_values(text):
            answer, problem = _judged(candidate, expected.form, expected.rules)
            if problem is None:
                return answer
            if worst is None or len(candidate.text) > worst[0]:
                worst = len(candidate.text), problem
    except ValueError as error:
        cut = finish_reason == pb.FINISH_REASON_LENGTH
        if worst is None or str(error) == embedded.CUT:
            worst = 0, ("$", CUT_BY_LIMIT if cut else str(error))
    path, problem_text = worst[1] if worst else ("$", embedded.NOTHING)
    raise SchemaMismatch(model=expected.model, provider=expected.provider, path=path, problem=problem_text)


def _judged(
    candidate: JsonValue, form: pb.ResponseFormat, rules: SchemaRules | None
) -> "tuple[str, Problem | None]":
    """JSON text in the caller's shape, and the problem with it, None when it is valid."""
    if not form.HasField("json_schema"):
        return candidate.text, None if isinstance(candidate.value, dict) else ("$", "must be a JSON object")
    from genai_spine.json_schema.validator import answer_schema

    schema_json = form.json_schema.schema_json
    schema = answer_schema(schema_json)
    value = candidate.value
    wrapped = rules is not None and is_wrapped(schema_json, rules)
    if wrapped and isinstance(value, dict) and value.keys() == {WRAPPED}:
        value = value[WRAPPED]
    value = schema.restored(value)
    return candidate.text if value is candidate.value else json_text.write(value), schema.problem(value)


class StreamedAnswer:
    """Streamed answer while it arrives: its text is reduced to JSON, and validated at its end."""

    def __init__(self, expected: ExpectedAnswer) -> None:
        form, rules = expected.form, expected.rules
        self._expected = expected
        self._whole = ChunkBuilder()
        self._texts: dict[int, JsonStream] = {}
        self._finish_reasons: dict[int, pb.FinishReason] = {}  # of choices whose text is held back
        has_rules = rules is not None and form.HasField("json_schema")
        self._wrapped = has_rules and is_wrapped(form.json_schema.schema_json, rules)

    def take(self, chunk: pb.CompletionChunk) -> bool:
        """Collects the deltas of a chunk, and leaves in it what goes out now; False where nothing does."""
        said = [self._take(delta) for delta in chunk.choices]
        return True in said

    def _take(self, delta: pb.ChoiceDelta) -> bool:
        self._whole.choice(delta.index).add(delta)
        text = self._texts.get(delta.index)
        if text is None:
            text = self._texts[delta.index] = JsonStream(hold=self._wrapped)
        content, reasoning = text.take(delta.content)
        if delta.tool_calls or delta.refusal:
            content += text.release()
        if content != delta.content:
            delta.content = content
        if reasoning:
            delta.reasoning = "".join((delta.reasoning, reasoning))
        if delta.finish_reason and text.is_held:
            self._finish_reasons[delta.index] = delta.finish_reason
            delta.ClearField("finish_reason")
        return says_something(delta)

    def checked(self) -> list[pb.ChoiceDelta]:
        """Deltas with parsed_json, one for each choice that has JSON, and content that was held back.

        Raises SchemaMismatch.
        """
        deltas = []
        for choice in self._whole.completion().choices:
            complete_choice(choice, self._expected)
            delta = pb.ChoiceDelta(index=choice.index)
            if choice.HasField("parsed_json"):
                delta.parsed_json = choice.parsed_json
            text = self._texts.get(choice.index)
            if text is not None and text.is_held:
                delta.content = text_of(choice)
                delta.finish_reason = self._finish_reasons.get(choice.index, pb.FINISH_REASON_UNSPECIFIED)
            elif text is not None and delta.parsed_json:
                self._check_sent(text.value)
            if says_something(delta):
                deltas.append(delta)
        return deltas

    def _check_sent(self, text: str) -> None:
        """Raises SchemaMismatch where what has gone out is not JSON, although the answer holds some."""
        try:
            json_text.parse(text)
        except ValueError:
            raise SchemaMismatch(
                model=self._expected.model,
                provider=self._expected.provider,
                path="$",
                problem="the stream began with other words in brackets",
            ) from None
