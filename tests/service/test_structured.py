"""Answers of a given JSON Schema: checked, once repaired, and never passed on when they do not fit."""

import json
from typing import Any

import pytest

from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, usage_pb2
from tests.service.running import Running, asked, failure
from tests.upstreams.reply import Content, Reply, Usage

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
        "required": ["name", "age"],
    }
)
GOOD = '{"name": "Ada", "age": 36}'
BAD = '{"name": "Ada", "age": -1}'


def form(schema: str = SCHEMA, **fields: Any) -> pb.ResponseFormat:
    return pb.ResponseFormat(json_schema=pb.JsonSchema(name="person", schema_json=schema, **fields))


def wanted(**fields: Any) -> pb.CreateCompletionRequest:
    return asked("Who? json", **({"response_format": form()} | fields))


async def test_an_answer_that_fits_comes_with_its_json(service: Running) -> None:
    service.openai.script(Reply(f"Sure:\n```json\n{GOOD}\n```"))
    answer = await service.completions.CreateCompletion(wanted())
    assert answer.choices[0].parsed_json == GOOD
    assert len(service.openai.bill.calls) == 1


async def test_one_that_does_not_fit_is_repaired_once_and_both_calls_are_paid(booked: Running) -> None:
    booked.openai.script(
        Reply(BAD, usage=Usage(prompt_tokens=100, completion_tokens=10)),
        Reply(GOOD, usage=Usage(prompt_tokens=150, completion_tokens=12)),
    )
    answer = await booked.completions.CreateCompletion(wanted())
    assert answer.choices[0].parsed_json == GOOD
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (250, 22)
    rows = await booked.rows(answer.request_id)
    assert [(row.attempt, row.discarded) for row in rows] == [(1, True), (2, False)]
    assert (rows[0].state, rows[0].error_reason) == (
        execution_pb2.EXECUTION_STATE_FAILED,
        "SCHEMA_MISMATCH",
    )
    assert rows[0].usage.input_provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED
    assert answer.cost.cost_ticks == sum(row.cost.cost_ticks for row in rows) > 0
    said = booked.openai.bill[-1].body["messages"]
    assert said[-2] == {"role": "assistant", "content": BAD}
    assert "$.age" in said[-1]["content"]


async def test_after_a_second_one_it_is_a_typed_error(service: Running) -> None:
    service.openai.default = Reply(BAD)
    found = await failure(service.completions.CreateCompletion(wanted()))
    assert found.reason == "SCHEMA_MISMATCH"
    assert (found.metadata["provider"], found.metadata["path"]) == ("openai", "$.age")
    assert len(service.openai.bill.calls) == 2


async def test_an_answer_that_max_tokens_cut_is_not_asked_for_again(service: Running) -> None:
    service.openai.default = Reply('{"name": "A', finish_reason="length")
    found = await failure(service.completions.CreateCompletion(wanted()))
    assert (found.reason, "max_tokens" in found.message) == ("SCHEMA_MISMATCH", True)
    assert len(service.openai.bill.calls) == 1


async def test_one_choice_of_several_is_repaired_in_its_place(service: Running) -> None:
    service.openai.script(Reply(choices=[Content(GOOD), Content(BAD)]), Reply('{"name": "B", "age": 2}'))
    answer = await service.completions.CreateCompletion(wanted(choice_count=2))
    assert [json.loads(choice.parsed_json)["name"] for choice in answer.choices] == ["Ada", "B"]
    assert [choice.index for choice in answer.choices] == [0, 1]


async def test_a_schema_that_is_none_is_refused_before_anything_is_spent(service: Running) -> None:
    for request in (wanted(response_format=form('{"type": "strnig"}')),):
        for call in (service.completions.CreateCompletion, service.completions.StreamCompletion):
            found = await failure(call(request))
            assert found.metadata["field"] == "response_format.json_schema.schema_json"
    assert not service.openai.bill.calls


async def test_a_stream_ends_with_the_json(service: Running) -> None:
    service.openai.script(Reply([GOOD[:9], GOOD[9:]]))
    chunks = [chunk async for chunk in service.completions.StreamCompletion(wanted())]
    assert [delta.parsed_json for chunk in chunks for delta in chunk.choices if delta.parsed_json] == [GOOD]
    assert chunks[-1].HasField("usage")


async def test_a_stream_that_does_not_fit_ends_with_the_error_and_is_paid(service: Running) -> None:
    service.openai.script(Reply(BAD))
    call = service.completions.StreamCompletion(wanted())
    found = await failure(call)
    assert found.reason == "SCHEMA_MISMATCH"
    (row,) = await service.rows(found.request_id)
    assert row.discarded
    assert row.usage.output_provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED


async def test_json_without_a_schema_must_be_an_object(service: Running) -> None:
    json_object = pb.ResponseFormat(kind=pb.ResponseFormat.KIND_JSON_OBJECT)
    service.openai.script(Reply("[1]"), Reply('{"a": 1}'))
    answer = await service.completions.CreateCompletion(wanted(response_format=json_object))
    assert answer.choices[0].parsed_json == '{"a": 1}'


async def test_tool_calls_and_refusals_are_left_alone(service: Running) -> None:
    service.openai.script(Reply(refusal="I will not"))
    answer = await service.completions.CreateCompletion(wanted())
    assert not answer.choices[0].HasField("parsed_json")


OPENAI_FORM = {"type": "json_schema", "json_schema": {"name": "person", "schema": json.loads(SCHEMA)}}


class TestOpenAIsPath:
    async def test_a_stream_has_no_frame_more_than_without_a_schema(self, service: Running) -> None:
        service.openai.default = Reply([GOOD])
        plain = await service.chat(stream=True)
        checked = await service.chat(stream=True, response_format=OPENAI_FORM)
        assert len(checked.events) == len(plain.events)

    async def test_a_mismatch_is_502_with_the_place(self, service: Running) -> None:
        service.openai.default = Reply(BAD)
        posted = await service.chat(response_format=OPENAI_FORM)
        assert posted.problem["status"] == 502
        assert posted.problem["details"]["path"] == "$.age"
