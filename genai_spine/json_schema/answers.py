"""JSON answers: asked for, read out of what models write around them, validated, and repaired once.

A provider's own structured output is a help, not a proof: every answer is checked against the caller's
schema, and one that does not fit is a SchemaMismatch, never passed on in silence.

Models put JSON into code fences, prose and thinking tags, so the reader takes the first complete value that
is valid, and names the problem of the longest one when none is.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from genai_spine.chunks import ChunkBuilder, completion
from genai_spine.errors import SchemaMismatch
from genai_spine.json_schema import json_text
from genai_spine.json_schema.rewrite import WRAPPED, is_wrapped
from genai_spine.json_schema.rules import SchemaRules
from genai_spine.json_schema.validator import Problem, answer_schema
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

MAX_STARTS = 200  # of JSON in prose that are tried
THINKING = "<think>"
START = re.compile(r'\{\s*["}]|\[\s*(?:["{\[\]\d-]|true|false|null)')
BRACKET = re.compile(r'[\[\]{}]|"(?:[^"\\]|\\.)*(?:"|\\?$)', re.DOTALL)  # or a string, which may hold some
CUT_TOKEN = re.compile(r"-|\.|\.?\d*[eE][+-]?|\\u?[0-9a-fA-F]{0,3}\"?")  # a number or escape that goes on
NOTHING = "the answer holds no JSON"
CUT = "the answer ends before its JSON is complete"
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
    """Sets parsed_json. Refusals, tool calls and filtered answers are left alone. Raises SchemaMismatch."""
    parts = choice.message.content
    special = choice.message.tool_calls or any(part.WhichOneof("part") == "refusal" for part in parts)
    if special or choice.finish_reason == pb.FINISH_REASON_CONTENT_FILTER:
        return
    text = "".join(part.text for part in parts)
    choice.parsed_json = parsed(text, expected, choice.finish_reason)


def parsed(text: str, expected: ExpectedAnswer, finish_reason: int = pb.FINISH_REASON_STOP) -> str:
    """JSON text of an answer: as the model wrote it, unless it had to be turned back into the caller's shape.

    Raises SchemaMismatch with the JSON path and the problem. finish_reason: of the answer, a pb.FinishReason;
    LENGTH tells an answer that max_tokens cut from one that the model broke off.
    """
    worst: tuple[int, Problem] | None = None  # what is wrong with the longest JSON that was found
    try:
        for candidate in json_values(text):
            answer, problem = _judged(candidate, expected.form, expected.rules)
            if problem is None:
                return answer
            if worst is None or len(candidate.text) > worst[0]:
                worst = len(candidate.text), problem
    except ValueError as error:
        cut = finish_reason == pb.FINISH_REASON_LENGTH
        if worst is None or str(error) == CUT:
            worst = 0, ("$", CUT_BY_LIMIT if cut else str(error))
    path, problem_text = worst[1] if worst else ("$", NOTHING)
    raise SchemaMismatch(model=expected.model, provider=expected.provider, path=path, problem=problem_text)


@dataclass(frozen=True, slots=True)
class JsonValue:
    """Complete JSON value found in a text, with the text that it was read from."""

    text: str
    value: Any


def json_values(text: str) -> Iterator[JsonValue]:
    """Complete JSON values of an answer, those in code fences first.

    Raises ValueError when JSON begins that is cut or broken, or when there is none. A leading
    `<think>...</think>` is left out: some servers do not tell it apart from the answer.
    """
    text = text.lstrip("\ufeff \t\r\n").rstrip()
    if text.startswith(THINKING):  # of models whose server does not tell it apart
        text = text.partition("</think>")[2].strip()
    if not text:
        raise ValueError("the answer is empty")
    for whole in (text, *_fenced(text)):
        try:
            yield JsonValue(whole, json_text.parse(whole))
            return
        except ValueError:
            continue
    yield from _within(text)


def _fenced(text: str) -> Iterator[str]:
    """Contents of Markdown code fences, without the language's name."""
    sections = text.split("```")
    for content in sections[1:-1:2]:
        name, newline, rest = content.partition("\n")
        yield (rest if newline and " " not in name.strip() else content).strip()


def _within(text: str) -> Iterator[JsonValue]:
    """Objects and lists in prose, at most MAX_STARTS of them. Nothing is looked for inside of one that is
    broken. Raises ValueError at the end, because what came before did not fit.
    """
    at, broken = 0, ""
    for _ in range(MAX_STARTS):
        start = START.search(text, at)
        if start is None:
            break
        try:
            value, at = json_text.DECODER.raw_decode(text, start.start())
            json_text.check_levels(value)
        except RecursionError:
            raise ValueError("the JSON is nested too deeply") from None
        except json.JSONDecodeError as error:
            if _is_cut(text, error):
                raise ValueError(CUT) from None
            broken = broken or f"the JSON is broken: {error.msg} at character {error.pos - start.start()}"
            at = _end(text, start.start())
        else:
            yield JsonValue(text[start.start() : at], value)
    raise ValueError(broken or NOTHING)


def _end(text: str, start: int) -> int:
    """Position where the brackets that open at the start are closed again, or the end of the text."""
    level = 0
    for token in BRACKET.finditer(text, start):
        if token[0][0] != '"':
            level += 1 if token[0] in "{[" else -1
            if level <= 0:
                return token.end()
    return len(text)


def _is_cut(text: str, error: json.JSONDecodeError) -> bool:
    """Whether the JSON error is only that the text ended: in a string, a literal, a number or an escape."""
    rest = text[error.pos :]
    if not rest or error.msg.startswith("Unterminated string"):
        return True
    literal = any(word.startswith(rest) for word in ("true", "false", "null"))
    return literal or CUT_TOKEN.fullmatch(rest) is not None


def _judged(
    candidate: JsonValue, form: pb.ResponseFormat, rules: SchemaRules | None
) -> tuple[str, Problem | None]:
    """JSON text in the caller's shape, and the problem with it, None when it is valid."""
    if not form.HasField("json_schema"):
        return candidate.text, None if isinstance(candidate.value, dict) else ("$", "must be a JSON object")
    schema_json = form.json_schema.schema_json
    schema = answer_schema(schema_json)
    value = candidate.value
    wrapped = rules is not None and is_wrapped(schema_json, rules)
    if wrapped and isinstance(value, dict) and value.keys() == {WRAPPED}:
        value = value[WRAPPED]
    value = schema.restored(value)
    return candidate.text if value is candidate.value else json_text.write(value), schema.problem(value)


class StreamedAnswer:
    """Streamed answer while it arrives, collected for the validation at its end."""

    def __init__(self, expected: ExpectedAnswer) -> None:
        self._expected = expected
        self._whole = ChunkBuilder()

    def add(self, chunk: pb.CompletionChunk) -> None:
        """Collects the deltas of a chunk; the chunk stays as it is."""
        for delta in chunk.choices:
            self._whole.choice(delta.index).add(delta)

    def checked(self) -> list[pb.ChoiceDelta]:
        """Deltas with parsed_json, one for each choice that has JSON. Raises SchemaMismatch."""
        deltas = []
        for choice in completion(self._whole.build()).choices:
            complete_choice(choice, self._expected)
            if choice.HasField("parsed_json"):
                deltas.append(pb.ChoiceDelta(index=choice.index, parsed_json=choice.parsed_json))
        return deltas
