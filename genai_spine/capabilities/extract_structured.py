"""ExtractStructured: data of the caller's JSON Schema from a text, checked against that very schema."""

import json
import math
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from genai_spine.capabilities.base import Capability, ChunkResult
from genai_spine.capabilities.context import Answer, Context, PreparedRequest
from genai_spine.errors import InvalidFields, SpineError
from genai_spine.json_schema.answers import ExpectedAnswer, parsed
from genai_spine.json_schema.describe import in_words
from genai_spine.text.chunking import TextChunk
from genai_spine.text.packing import SEPARATOR, grouped
from genai_spine.v1 import capability_service_pb2 as pb
from genai_spine.v1 import completion_service_pb2 as completions

SCHEMA_PATH = "response_format.json_schema.schema_json"  # what inference calls the schema

Request = pb.ExtractStructuredRequest
Response = pb.ExtractStructuredResponse


@dataclass(frozen=True, slots=True)
class SchemaRequest(PreparedRequest):
    """Request whose schema can be written into the prompt, for a model that takes none."""

    def drop_refused(self, error: SpineError) -> str:
        form = completions.JsonSchema()
        form.CopyFrom(self.request.response_format.json_schema)
        field = PreparedRequest.drop_refused(self, error)
        if field == "response_format":
            self.say_schema(form)
        return field

    def say_schema(self, form: completions.JsonSchema) -> None:
        words = in_words(form)
        self.request.messages[0].content[-1].text += f"\n\n{words}"


class ExtractStructured(Capability[Request, Response]):
    """Structured data extraction by the caller's JSON Schema."""

    NAME = "extract-structured"
    METHOD = "ExtractStructured"
    REQUEST = Request
    RESPONSE = Response
    TEMPERATURE = 0.1

    async def run(self, request: Request, context: Context) -> Response:
        """Response with data of the caller's schema.

        Errors also: SchemaMismatch; InvalidFields for the schema.
        """
        try:
            return await super().run(request, context)
        except InvalidFields as error:
            name = _schema_field(request)
            told = [(path.replace(SCHEMA_PATH, name), problem) for path, problem in error.violations]
            raise InvalidFields(told) from None

    def apply_defaults(self, request: Request) -> None:
        given = bool(request.schema_json) + request.HasField("schema")
        if given != 1:
            both = ("schema", "excludes schema_json")
            raise InvalidFields([both if given else ("schema_json", "is required unless schema is set")])
        if request.HasField("schema"):
            # An object has no order on the wire; one order for equal schemas.
            plain = _whole_numbers(json_format.MessageToDict(request.schema))
            request.schema_json = json.dumps(plain, sort_keys=True)
        from genai_spine.json_schema.validator import answer_schema

        answer_schema(request.schema_json)

    def variables(self, request: Request, chunk: TextChunk) -> dict[str, Any]:
        return {
            "content": chunk.text,
            "instructions": request.instructions,
            "part": f"part {chunk.number} of {chunk.total}" if chunk.total > 1 else "",
            "results": chunk.other,
        }

    async def _prepare(
        self, chunk: TextChunk, request: Request, context: Context, *, streamed: bool = True
    ) -> PreparedRequest:
        """The schema goes as the caller wrote it, for inference to check the answer by, and to repair it."""
        plain = await super()._prepare(chunk, request, context, streamed=streamed)
        form = completions.JsonSchema(name=self.member, schema_json=request.schema_json, strict=True)
        plain.request.response_format.json_schema.CopyFrom(form)
        prepared = SchemaRequest(
            plain.request, plain.purpose, plain.slug, plain.streamed, plain.own_temperature
        )
        if "response_format" in context.dropped_fields:
            prepared.say_schema(form)
        return prepared

    def read(self, answer: Answer, request: Request, chunk: TextChunk) -> Response:
        form = completions.ResponseFormat()
        form.json_schema.schema_json = request.schema_json
        expected = ExpectedAnswer(form, None, answer.provider, answer.model)
        cut = completions.FINISH_REASON_LENGTH if answer.was_cut else completions.FINISH_REASON_STOP
        return _response(parsed(answer.text, expected, cut))

    async def join(self, results: list[ChunkResult], request: Request, context: Context) -> Response:
        """Merge of the chunks' data by the model, as much at a time as its context allows."""
        found = list(dict.fromkeys(result.response.data_json for result in results))
        budget = await self.budget(await context.limits(request), request, context)
        while len(found) > 1:
            found = [await self._merge(group, request, context) for group in grouped(found, budget, least=2)]
        return _response(found[0])

    async def _merge(self, results: list[str], request: Request, context: Context) -> str:
        if len(results) == 1:
            return results[0]
        response = await self.process_chunk(TextChunk("", other=SEPARATOR.join(results)), request, context)
        return response.data_json


def _response(data_json: str) -> Response:
    response = Response(data_json=data_json)
    try:
        json_format.ParseDict(json.loads(data_json, parse_float=_finite), response.data)
    except (json_format.ParseError, ArithmeticError, ValueError, RecursionError):
        response.ClearField("data")  # a number or a depth that Value cannot hold; data_json has it
    return response


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise OverflowError
    return number


def _schema_field(request: Request) -> str:
    for name in ("schema", "schema_json"):
        if request.HasField(name):
            return name
    return "options.schema" if "schema" in request.options else "options.schema_json"


def _whole_numbers(value: Any) -> Any:
    """Numbers of a Struct are all doubles; whole ones are written as such."""
    if isinstance(value, dict):
        return {key: _whole_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
