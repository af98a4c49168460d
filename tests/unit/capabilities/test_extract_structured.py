import json
from typing import Any

import pytest
from google.protobuf import json_format, struct_pb2

from genai_spine.errors import InvalidFields, SchemaMismatch
from genai_spine.v1 import capability_service_pb2 as pb
from genai_spine.v1 import completion_service_pb2 as completions
from tests.contract.scripted import Scripted
from tests.unit.capabilities.working import SMALL, Replying, said, scripted, work

SCHEMA = (
    '{"type": "object", "properties": {"zone": {"type": "string"}, "age": {"type": "integer", "minimum": 0}, '
    '"names": {"type": "array", "items": {"type": "string"}}}, "required": ["zone", "age"]}'
)
GOOD = '{"zone": "A",  "age": 36}'


def struct(value: Any) -> struct_pb2.Struct:
    found = struct_pb2.Struct()
    json_format.ParseDict(value, found)
    return found


async def filled(answer: Any, **fields: Any) -> pb.ExtractStructuredResponse:
    given = {} if fields.keys() & {"schema", "schema_json", "options"} else {"schema_json": SCHEMA}
    request = pb.ExtractStructuredRequest(content="Ada, 36, zone A.", **given, **fields)
    return await work(request, answer)


@pytest.mark.parametrize("answer", [GOOD, f"```json\n{GOOD}\n```", f"Here it is: {GOOD} Bye."])
async def test_data_are_passed_on_as_they_were_written(answer: str) -> None:
    response = await filled(answer)
    assert response.data_json == GOOD
    assert json_format.MessageToDict(response.data) == {"zone": "A", "age": 36}


@pytest.mark.parametrize(
    ("answer", "path"),
    [
        ({"zone": "A", "age": "36"}, "$.age"),
        ({"zone": "A", "age": -1}, "$.age"),
        ({"zone": "A"}, "$"),
        ([GOOD], "$"),
        ("I found nothing.", "$"),
        ('{"zone": "A", "ag', "$"),
    ],
)
async def test_data_that_do_not_fit_are_a_schema_mismatch(answer: Any, path: str) -> None:
    with pytest.raises(SchemaMismatch) as caught:
        await filled(answer)
    assert caught.value.metadata["path"] == path
    assert (caught.value.metadata["provider"], caught.value.metadata["model"]) == ("scripted", "scripted-1")


async def test_a_limit_of_tokens_is_named_where_it_cut_the_data() -> None:
    model = Scripted('{"zone": "A', finish_reason=completions.FINISH_REASON_LENGTH)
    with pytest.raises(SchemaMismatch, match="max_tokens cut"):
        await filled(model)


async def test_the_schema_is_sent_in_its_own_order() -> None:
    model = scripted(GOOD)
    await filled(model)
    sent = json.loads(model.requests[0].response_format.json_schema.schema_json)
    assert sent == json.loads(SCHEMA)
    assert list(sent["properties"]) == ["zone", "age", "names"]


async def test_a_schema_can_be_an_object() -> None:
    model = scripted(GOOD)
    response = await filled(model, schema=struct(json.loads(SCHEMA)))
    assert response.data_json == GOOD
    sent = model.requests[0].response_format.json_schema.schema_json
    assert json.loads(sent) == json.loads(SCHEMA)
    assert '"minimum": 0' in sent
    with pytest.raises(SchemaMismatch):
        await filled({"zone": "A", "age": -1}, schema=struct(json.loads(SCHEMA)))


@pytest.mark.parametrize("name", ["schema", "schema_json"])
async def test_a_schema_can_be_an_option(name: str) -> None:
    value = SCHEMA if name == "schema_json" else json.loads(SCHEMA)
    assert (await filled(GOOD, options=struct({name: value}))).data_json == GOOD


BAD: Any = {"type": "strnig"}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"options": struct({})}, "schema_json"),
        ({"schema_json": ""}, "schema_json"),
        ({"schema_json": SCHEMA, "schema": struct({})}, "schema"),
        ({"schema_json": json.dumps(BAD)}, "schema_json"),
        ({"schema": struct(BAD)}, "schema"),
        ({"options": struct({"schema": BAD})}, "options.schema"),
        ({"options": struct({"schema_json": json.dumps(BAD)})}, "options.schema_json"),
        ({"schema_json": '{"a":' * 5000 + "1" + "}" * 5000}, "schema_json"),
    ],
)
async def test_a_schema_that_is_none_is_refused_by_its_field(fields: Any, field: str) -> None:
    model = scripted(GOOD)
    with pytest.raises(InvalidFields) as caught:
        await filled(model, **fields)
    assert [path for path, _ in caught.value.violations] == [field]
    assert not model.requests


@pytest.mark.parametrize("answer", ["1e400", "[" * 150 + "]" * 150, "12345678901234567890"])
async def test_numbers_and_depths_that_a_value_cannot_hold_stay_in_the_text(answer: str) -> None:
    response = await filled(answer, schema_json="{}")
    assert response.data_json == answer
    assert response.HasField("data") == (answer[0] == "1" and "e" not in answer)


@pytest.mark.parametrize("answer", ["null", '"x"', "[1, 2]", "true"])
async def test_data_need_not_be_an_object(answer: str) -> None:
    response = await filled(answer, schema_json="{}")
    assert response.data_json == answer
    assert json_format.MessageToDict(response.data) == json.loads(answer)


async def test_instructions_are_told_to_the_model() -> None:
    model = scripted(GOOD)
    await filled(model, instructions="Ages in years.")
    assert "What is wanted: Ages in years." in said(model.requests[0])[0]


LIST = '{"type": "object", "properties": {"names": {"type": "array"}}, "required": ["names"]}'


async def test_results_of_pieces_are_brought_together_in_groups() -> None:
    content = "".join(f"Person {number} lives here.\n" for number in range(1500))
    merges: list[int] = []

    def reply(_: str, text: str) -> dict[str, Any]:
        if text.startswith("Bring"):
            results = [json.loads(part) for part in text.split("\n\n")[1:]]
            merges.append(len(results))
            return {"names": sorted({name for result in results for name in result["names"]})}
        numbers = [int(line.split()[1]) for line in text.splitlines() if line.startswith("Person ")]
        return {"names": [number // 100 for number in numbers if number % 100 == 0]}

    request = pb.ExtractStructuredRequest(
        content=content, schema_json=LIST, long_input=pb.LONG_INPUT_MAP_REDUCE
    )
    response = await work(request, Replying(reply), SMALL)
    assert response.result.context.pieces > 10
    assert json.loads(response.data_json) == {"names": list(range(15))}
    assert merges


async def test_equal_results_need_no_bringing_together() -> None:
    model = scripted('{"names": []}')
    request = pb.ExtractStructuredRequest(
        content="word " * 5000, schema_json=LIST, long_input=pb.LONG_INPUT_MAP_REDUCE
    )
    context = (await work(request, model, SMALL)).result.context
    assert len(model.requests) == context.pieces > 1


async def test_a_model_that_takes_no_schema_is_told_it_in_words() -> None:
    model = Scripted(['{"names": [1]}', '{"names": [2]}', '{"names": [1, 2]}'], takes_schemas=False)
    request = pb.ExtractStructuredRequest(
        content="word " * 800, schema_json=LIST, long_input=pb.LONG_INPUT_MAP_REDUCE
    )
    await work(request, model, SMALL)
    assert len(model.requests) > 1
    assert all(LIST in said(asked)[0] for asked in model.requests)
    with pytest.raises(SchemaMismatch):
        await filled(Scripted(json.dumps({"zone": "A"}), takes_schemas=False))
