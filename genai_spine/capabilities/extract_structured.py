"""ExtractStructured: data of the caller's JSON Schema from a text, checked against that very schema."""

import json
import math
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from genai_spine.capabilities.base import Capability, Part
from genai_spine.capabilities.context import Answer, Ask, Context
from genai_spine.errors import InvalidFields, SpineError
from genai_spine.json_schema.answers import parsed
from genai_spine.json_schema.describe import in_words
from genai_spine.json_schema.validator import answer_schema
from genai_spine.text.chunking import Piece
from genai_spine.text.packing import BETWEEN, grouped
from genai_spine.v1 import capability_service_pb2 as pb
from genai_spine.v1 import completion_service_pb2 as completions

SENT_AS = "response_format.json_schema.schema_json"  # what inference calls the schema

Request = pb.ExtractStructuredRequest
Response = pb.ExtractStructuredResponse


@dataclass(frozen=True, slots=True)
class AskBySchema(Ask):
    """Says the schema in words to a model that takes none."""

    def drop_refused(self, error: SpineError) -> str:
        form = completions.JsonSchema()
        form.CopyFrom(self.request.response_format.json_schema)
        field = Ask.drop_refused(self, error)
        if field == "response_format":
            self.say_schema(form)
        return field

    def say_schema(self, form: completions.JsonSchema) -> None:
        words = in_words(form)
        self.request.messages[0].content[-1].text += f"\n\n{words}"


class ExtractStructured(Capability[Request, Response]):
    NAME = "extract-structured"
    METHOD = "ExtractStructured"
    REQUEST = Request
    RESPONSE = Response
    TEMPERATURE = 0.1

    async def run(self, request: Request, context: Context) -> Response:
        """Errors also: SchemaMismatch; InvalidFields names the field that the caller gave the schema in."""
        try:
            return await super().run(request, context)
        except InvalidFields as error:
            name = _schema_field(request)
            told = [(path.replace(SENT_AS, name), problem) for path, problem in error.violations]
            raise InvalidFields(told) from None

    def settle(self, request: Request) -> None:
        given = bool(request.schema_json) + request.HasField("schema")
        if given != 1:
            both = ("schema", "excludes schema_json")
            raise InvalidFields([both if given else ("schema_json", "is required unless schema is set")])
        if request.HasField("schema"):
            # An object has no order on the wire; one order for equal schemas.
            plain = _whole_numbers(json_format.MessageToDict(request.schema))
            request.schema_json = json.dumps(plain, sort_keys=True)
        answer_schema(request.schema_json)

    def variables(self, request: Request, piece: Piece) -> dict[str, Any]:
        return {
            "content": piece.text,
            "instructions": request.instructions,
            "part": f"part {piece.number} of {piece.total}" if piece.total > 1 else "",
            "results": piece.other,
        }

    async def _ask(self, piece: Piece, request: Request, context: Context, *, aloud: bool = True) -> Ask:
        """The schema goes as the caller wrote it, for inference to check the answer by, and to repair it."""
        plain = await super()._ask(piece, request, context, aloud=aloud)
        form = completions.JsonSchema(name=self.member, schema_json=request.schema_json, strict=True)
        plain.request.response_format.json_schema.CopyFrom(form)
        ask = AskBySchema(plain.request, plain.purpose, plain.slug, plain.aloud, plain.own_temperature)
        if "response_format" in context.left_out:
            ask.say_schema(form)
        return ask

    def read(self, answer: Answer, request: Request, piece: Piece) -> Response:
        asked = completions.CreateCompletionRequest(model=answer.model)
        asked.provider = answer.provider
        asked.response_format.json_schema.schema_json = request.schema_json
        cut = completions.FINISH_REASON_LENGTH if answer.was_cut else completions.FINISH_REASON_STOP
        return _response(parsed(answer.text, asked, None, cut))

    async def join(self, parts: list[Part], request: Request, context: Context) -> Response:
        """What the pieces gave is brought together by the model, as much at a time as it has room for."""
        found = list(dict.fromkeys(part.response.data_json for part in parts))
        room = await self.room(await context.limits(request), request, context)
        while len(found) > 1:
            found = [
                await self._brought_together(group, request, context)
                for group in grouped(found, room, least=2)
            ]
        return _response(found[0])

    async def _brought_together(self, results: list[str], request: Request, context: Context) -> str:
        if len(results) == 1:
            return results[0]
        response = await self.answered(Piece("", other=BETWEEN.join(results)), request, context)
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
