"""Answers in JSON: asked for, read out of what models write around them, checked, and once repaired.

A provider's own structured output is a help, not a proof: every answer is checked against the caller's
schema, and one that does not fit is a SchemaMismatch, never passed on in silence.
"""

from genai_spine.chunks import ChunkBuilder
from genai_spine.errors import SchemaMismatch
from genai_spine.json_schema import embedded, json_text
from genai_spine.json_schema.embedded import EmbeddedJson
from genai_spine.json_schema.rewrite import WRAPPED, is_wrapped
from genai_spine.json_schema.rules import SchemaRules
from genai_spine.json_schema.validator import Problem, answer_schema
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

CUT_BY_LIMIT = "max_tokens cut the answer before its JSON was complete"

Request = pb.CreateCompletionRequest


def wants_json(request: Request) -> bool:
    """The answer has to be read and checked."""
    form = request.response_format
    if form.HasField("json_schema"):
        return not form.json_schema.unchecked
    return form.kind == pb.ResponseFormat.KIND_JSON_OBJECT


def check(request: Request) -> None:
    """Raises InvalidFields when the schema is none, before anything is spent on it."""
    if request.response_format.HasField("json_schema"):
        answer_schema(request.response_format.json_schema.schema_json)


def repair_request(request: Request, answer_text: str, problem: str) -> Request:
    """The conversation with the bad answer and what is wrong with it, for one more try at one choice."""
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
    """Another try can help: the answer was not cut by a limit that would cut the next one as well."""
    as_tokens = request.prompt.WhichOneof("prompt") == "tokens"
    return not as_tokens and error.metadata["problem"] != CUT_BY_LIMIT


def complete_choice(choice: pb.Choice, request: Request, rules: SchemaRules | None) -> None:
    """Sets parsed_json. Refusals, tool calls and filtered answers are left alone. Raises SchemaMismatch.

    request: as the caller sent it, with provider and model of the route. rules: the provider's schema.
    """
    parts = choice.message.content
    special = choice.message.tool_calls or any(part.WhichOneof("part") == "refusal" for part in parts)
    if special or choice.finish_reason == pb.FINISH_REASON_CONTENT_FILTER:
        return
    text = "".join(part.text for part in parts)
    choice.parsed_json = parsed(text, request, rules, choice.finish_reason)


def parsed(
    text: str, request: Request, rules: SchemaRules | None, finish_reason: int = pb.FINISH_REASON_STOP
) -> str:
    """The JSON of an answer: as the model wrote it, unless it had to be turned back into the caller's shape.

    Raises SchemaMismatch. finish_reason: of the answer, a pb.FinishReason.
    """
    wrong: tuple[int, Problem] | None = None  # what is wrong with the longest JSON that was found
    try:
        for piece in embedded.values(text):
            answer, problem = _judged(piece, request.response_format, rules)
            if problem is None:
                return answer
            if wrong is None or len(piece.text) > wrong[0]:
                wrong = len(piece.text), problem
    except ValueError as error:
        cut = finish_reason == pb.FINISH_REASON_LENGTH
        if wrong is None or str(error) == embedded.CUT:
            wrong = 0, ("$", CUT_BY_LIMIT if cut else str(error))
    path, problem_text = wrong[1] if wrong else ("$", embedded.NOTHING)
    raise SchemaMismatch(model=request.model, provider=request.provider, path=path, problem=problem_text)


def _judged(
    piece: EmbeddedJson, form: pb.ResponseFormat, rules: SchemaRules | None
) -> tuple[str, Problem | None]:
    """The JSON in the caller's shape, and what is wrong with it."""
    if not form.HasField("json_schema"):
        return piece.text, None if isinstance(piece.value, dict) else ("$", "must be a JSON object")
    schema_json = form.json_schema.schema_json
    judge = answer_schema(schema_json)
    value = piece.value
    wrapped = rules is not None and is_wrapped(schema_json, rules)
    if wrapped and isinstance(value, dict) and value.keys() == {WRAPPED}:
        value = value[WRAPPED]
    value = judge.restored(value)
    return piece.text if value is piece.value else json_text.write(value), judge.problem(value)


class Collected:
    """A streamed answer as it comes, for the check at its end."""

    def __init__(self, request: Request, rules: SchemaRules | None) -> None:
        """As for complete_choice()."""
        self._request = request
        self._rules = rules
        self._whole = ChunkBuilder()

    def add(self, chunk: pb.CompletionChunk) -> None:
        for delta in chunk.choices:
            self._whole.choice(delta.index).add(delta)

    def checked(self) -> list[pb.ChoiceDelta]:
        """A delta with parsed_json for each choice that has one. Raises SchemaMismatch."""
        deltas = []
        for choice in self._whole.completion().choices:
            complete_choice(choice, self._request, self._rules)
            if choice.HasField("parsed_json"):
                deltas.append(pb.ChoiceDelta(index=choice.index, parsed_json=choice.parsed_json))
        return deltas
