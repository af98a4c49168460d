"""Schema repair: an answer that does not fit its schema, and the one more try."""

from typing import Any

import pytest

from genai_spine.errors import SchemaMismatch
from genai_spine.inference import schema_repair
from genai_spine.inference.attempt import Attempt
from genai_spine.v1 import completion_service_pb2 as pb
from tests.unit.inference.scripted import MODEL, Scripted, World, asked, text_of, usage

SCHEMA = '{"type":"object","properties":{"name":{"type":"string"}},"required":["name"]}'
FORM = pb.ResponseFormat(json_schema=pb.JsonSchema(name="person", schema_json=SCHEMA))


def answer(*texts: str) -> pb.Completion:
    completion = pb.Completion(model=MODEL, usage=usage())
    for index, text in enumerate(texts):
        choice = completion.choices.add(index=index, finish_reason=pb.FINISH_REASON_STOP)
        choice.message.content.add(text=text)
    return completion


async def attempt() -> Attempt[Any]:
    world = World(Scripted("openai"))
    return await world.attempt(world.operation(asked(response_format=FORM)))


async def violated(*texts: str) -> tuple[Attempt[Any], SchemaMismatch]:
    one = await attempt()
    with pytest.raises(SchemaMismatch) as caught:
        await schema_repair.check(one, answer(*texts))
    return one, caught.value


async def test_schema_repair_expected_names_who_answers() -> None:
    expected = schema_repair.expected(await attempt())
    assert (expected.provider, expected.model, expected.form) == ("openai", MODEL, FORM)


async def test_schema_repair_check_sets_parsed_json() -> None:
    good = answer('Here: {"name": "Ada"}')
    await schema_repair.check(await attempt(), good)
    assert good.choices[0].parsed_json == '{"name": "Ada"}'


async def test_schema_repair_check_keeps_the_violation_and_what_it_used() -> None:
    one, error = await violated('{"name": "Ada"}', '{"name": 7}')
    violation = one.operation.schema_violation
    assert violation is not None
    assert (violation.choice.index, violation.route, violation.execution) == (1, one.route, one.execution)
    assert error.metadata["model"] == MODEL


async def test_schema_repair_repairing_tells_the_same_model_what_is_wrong() -> None:
    one, error = await violated('{"name": 7}')
    repairing = schema_repair.repairing(one.operation, error)
    assert repairing is not None
    assert repairing.routes == [one.route]
    said = [part.text for message in repairing.request.messages for part in message.content]
    assert said[1] == '{"name": 7}'
    assert error.metadata["problem"] in said[2]
    assert len(one.operation.request.messages) == 1


async def test_schema_repair_repairing_gives_up_where_nothing_was_violated() -> None:
    one, error = await violated('{"name": 7}')
    one.operation.schema_violation = None
    assert schema_repair.repairing(one.operation, error) is None


async def test_schema_repair_repaired_puts_the_correction_in_its_place_and_sums_usage() -> None:
    one, _ = await violated('{"name": "Ada"}', '{"name": 7}')
    one.execution.usage.CopyFrom(usage())
    violation = one.operation.schema_violation
    assert violation is not None
    whole = schema_repair.repaired(violation, answer('{"name": "Bob"}'))
    assert text_of(whole) == '{"name": "Ada"}{"name": "Bob"}'
    assert [choice.index for choice in whole.choices] == [0, 1]
    assert whole.usage.total_tokens == 2 * usage().total_tokens
