"""Prompts over gRPC, on both databases: typed errors, rows of the ledger, streams, many at once."""

import asyncio
import json
from collections import Counter
from typing import Any
from uuid import uuid4

import grpc
import pytest

from genai_spine.prompts import variables
from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import execution_pb2, health_service_pb2, health_service_pb2_grpc
from genai_spine.v1 import prompt_service_pb2 as pb
from genai_spine.v1.prompt_service_pb2_grpc import PromptServiceStub
from tests.service.running import Running, failure
from tests.upstreams import openai_errors
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"]}


@pytest.fixture
def stub(booked: Running) -> Any:
    return PromptServiceStub(booked.channel)


async def made(stub: Any, **fields: Any) -> pb.Prompt:
    given: dict[str, Any] = {"name": "Greet", "user_prompt_template": "Hello {name}"}
    given |= {"slug": f"greet-{uuid4().hex[:12]}", "preferred_model": "gpt-4o"}
    given |= {"variables": [pb.PromptVariable(name="name")]}
    created: pb.Prompt = await stub.CreatePrompt(pb.CreatePromptRequest(prompt=pb.Prompt(**given | fields)))
    return created


def execution(prompt: pb.Prompt, **fields: Any) -> pb.ExecutePromptRequest:
    request = pb.ExecutePromptRequest(prompt_slug=prompt.slug, **fields)
    request.variables.update({"name": "Ann"})
    return request


async def test_errors_have_their_reasons_and_name_the_field(stub: Any) -> None:
    prompt = await made(stub)
    update = pb.UpdatePromptRequest(prompt_id=prompt.id, prompt=pb.Prompt(name="x", etag="99"))
    for call, code, reason in (
        (stub.GetPrompt(pb.GetPromptRequest(slug="nobody")), "NOT_FOUND", "PROMPT_NOT_FOUND"),
        (stub.GetPrompt(pb.GetPromptRequest(prompt_id="x\0y")), "NOT_FOUND", "PROMPT_NOT_FOUND"),
        (stub.GetPrompt(pb.GetPromptRequest()), "INVALID_ARGUMENT", "INVALID_FIELDS"),
        (stub.UpdatePrompt(update), "ABORTED", "ETAG_MISMATCH"),
        (
            stub.CreatePrompt(
                pb.CreatePromptRequest(prompt=pb.Prompt(name="x", slug=prompt.slug, user_prompt_template="x"))
            ),
            "ALREADY_EXISTS",
            "CONFLICT",
        ),
        (
            stub.DeletePrompt(pb.DeletePromptRequest(prompt_id="summarizer")),
            "PERMISSION_DENIED",
            "PROMPT_PROTECTED",
        ),
    ):
        failed = await failure(call)
        assert (failed.code, failed.reason) == (grpc.StatusCode[code], reason)
    given = pb.Prompt(name="x", slug="x", user_prompt_template="{{ nobody }}")
    failed = await failure(stub.CreatePrompt(pb.CreatePromptRequest(prompt=given)))
    assert (failed.reason, failed.fields) == ("INVALID_TEMPLATE", ["user_prompt_template"])
    failed = await failure(stub.ExecutePrompt(pb.ExecutePromptRequest(prompt_id=prompt.id)))
    assert (failed.reason, failed.fields) == ("INVALID_PROMPT_VARIABLES", ["variables.name"])
    given = pb.Prompt(name="x", slug="x", user_prompt_template="x")
    given.output_schema.update({"type": "strange"})
    failed = await failure(stub.CreatePrompt(pb.CreatePromptRequest(prompt=given)))
    assert (failed.reason, failed.fields) == ("INVALID_FIELDS", ["output_schema"])


async def test_an_execution_pins_prompt_version_and_variables_in_its_row(booked: Running, stub: Any) -> None:
    prompt = await made(stub, temperature=0.0, max_tokens=9, system_prompt="Be kind.")
    request = execution(prompt, user="ann")
    request.metadata.update({"ticket": "T7"})
    said = await stub.ExecutePrompt(request)
    [row] = await booked.rows(said.result.request_id)
    assert (row.prompt_id, row.prompt_version) == (prompt.id, 1)
    assert row.variables_hash == variables.digest({"name": "Ann"})
    assert (json.loads(row.metadata_json), row.end_user) == ({"ticket": "T7"}, "ann")
    assert (row.cost.cost_ticks, row.id) == (said.result.cost.cost_ticks, said.result.execution_id)
    assert said.finish_reason == completions.FINISH_REASON_STOP
    [entry] = booked.openai.bill
    assert [message["content"] for message in entry.body["messages"]] == ["Be kind.", "Hello Ann"]
    assert (entry.body["temperature"], entry.body["max_completion_tokens"]) == (0, 9)


async def test_a_failed_execution_has_its_row_as_well(booked: Running, stub: Any) -> None:
    prompt = await made(stub, preferred_model="groq:any")
    failed = await failure(stub.ExecutePrompt(execution(prompt)))
    assert failed.reason == "PROVIDER_UNAVAILABLE"
    [row] = await booked.rows(failed.request_id)
    assert (row.prompt_id, row.state) == (prompt.id, execution_pb2.EXECUTION_STATE_FAILED)


async def test_what_is_refused_before_a_call_has_no_row(booked: Running, stub: Any) -> None:
    prompt = await made(stub)
    failed = await failure(stub.ExecutePrompt(pb.ExecutePromptRequest(prompt_id=prompt.id)))
    assert await booked.executions.by_request(failed.request_id) == []
    assert list(booked.openai.bill) == []


async def test_a_stream_gives_text_and_then_the_whole_result(booked: Running, stub: Any) -> None:
    booked.openai.script(Reply(["fo", "ur"]))
    events = [event async for event in stub.StreamPrompt(execution(await made(stub)))]
    assert "".join(event.text for event in events[:-1]) == events[-1].result.output == "four"
    assert events[-1].result.finish_reason == completions.FINISH_REASON_STOP
    [row] = await booked.rows(events[-1].result.result.request_id)
    assert row.streamed
    assert row.prompt_id == events[-1].result.prompt_id


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_answer_of_a_schema_is_checked_and_parsed(
    booked: Running, stub: Any, streamed: bool
) -> None:
    prompt = pb.Prompt()
    prompt.output_schema.update(SCHEMA)
    prompt = await made(stub, output_schema=prompt.output_schema)
    booked.openai.script(Reply('```json\n{"n": 4}\n```'))
    if streamed:
        result = [event async for event in stub.StreamPrompt(execution(prompt))][-1].result
    else:
        result = await stub.ExecutePrompt(execution(prompt))
    assert (result.output, variables.plain(result.parsed)) == ('{"n": 4}', {"n": 4})
    [entry] = booked.openai.bill
    assert entry.body["response_format"]["json_schema"]["name"] == prompt.slug


async def test_an_answer_that_is_a_list_needs_no_wrapping_by_its_caller(booked: Running, stub: Any) -> None:
    booked.openai.script(Reply('{"value": ["a", "b"]}'))
    request = pb.ExecutePromptRequest(prompt_slug="extract-keywords", model="gpt-4o")
    request.variables.update({"content": "a b"})
    said = await stub.ExecutePrompt(request)
    assert json.loads(said.output) == variables.plain(said.parsed) == ["a", "b"]


async def test_json_can_be_asked_for_and_declined(booked: Running, stub: Any) -> None:
    booked.openai.script(Reply('{"a": 1}'), Reply("four"))
    prompt = await made(stub)
    said = await stub.ExecutePrompt(execution(prompt, response_format="json"))
    assert variables.plain(said.parsed) == {"a": 1}
    request = pb.ExecutePromptRequest(prompt_slug="extract-keywords", model="gpt-4o", response_format="text")
    request.variables.update({"content": "a b"})
    assert (await stub.ExecutePrompt(request)).output == "four"
    assert "response_format" not in booked.openai.bill[1].body


async def test_50_editors_of_one_prompt_through_the_service(stub: Any) -> None:
    prompt = await made(stub)

    async def edit(number: int, etag: str | None) -> grpc.StatusCode:
        given = pb.Prompt(system_prompt=f"s{number}", etag=etag)
        call = stub.UpdatePrompt(pb.UpdatePromptRequest(prompt_id=prompt.slug, prompt=given))
        code: grpc.StatusCode = await call.code()
        return code

    assert set(await asyncio.gather(*(edit(number, None) for number in range(50)))) == {grpc.StatusCode.OK}
    now = await stub.GetPrompt(pb.GetPromptRequest(slug=prompt.slug, include_versions=True))
    assert (now.version, len({version.system_prompt for version in now.versions})) == (51, 51)
    codes = await asyncio.gather(*(edit(100 + number, now.etag) for number in range(50)))
    assert Counter(codes) == {grpc.StatusCode.OK: 1, grpc.StatusCode.ABORTED: 49}


async def test_metadata_has_a_limit(stub: Any) -> None:
    request = execution(await made(stub))
    request.metadata.update({"a": "x" * 16_000})
    assert (await failure(stub.ExecutePrompt(request))).fields == ["metadata"]


async def test_versions_page_with_their_total(stub: Any) -> None:
    prompt = await made(stub)
    for number in range(3):
        given = pb.Prompt(system_prompt=f"s{number}")
        await stub.UpdatePrompt(pb.UpdatePromptRequest(prompt_id=prompt.id, prompt=given))
    page = await stub.ListPromptVersions(pb.ListPromptVersionsRequest(prompt_id=prompt.id, limit=2, offset=1))
    assert ([version.version for version in page.versions], page.total) == ([3, 2], 4)
    assert not page.versions[0].HasField("change_notes")
    request, numbers = pb.ListPromptVersionsRequest(prompt_id=prompt.id, page_size=3), []
    while request.page_token or not numbers:
        page = await stub.ListPromptVersions(request)
        numbers.append([version.version for version in page.versions])
        request.page_token = page.next_page_token
    assert numbers == [[4, 3, 2], [1]]


async def test_prompts_page_by_token(stub: Any) -> None:
    ids = [(await made(stub, slug=f"s{number}", category="paged")).id for number in range(5)]
    request, pages = pb.ListPromptsRequest(category="paged", page_size=2), []
    while request.page_token or not pages:
        pages.append(await stub.ListPrompts(request))
        request.page_token = pages[-1].next_page_token
    assert [prompt.id for page in pages for prompt in page.prompts] == ids[::-1]
    assert [(page.total, page.limit, len(page.prompts)) for page in pages] == [
        (5, 2, 2),
        (5, 2, 2),
        (5, 2, 1),
    ]
    token = pages[0].next_page_token
    for wrong, field in (
        ({"page_token": token}, "page_token"),  # without the filter
        ({"page_token": token, "category": "paged", "offset": 1}, "offset"),
        ({"limit": 1, "page_size": 2}, "limit"),
        ({"page_size": 0}, "page_size"),
        ({"offset": -1}, "offset"),
    ):
        assert (await failure(stub.ListPrompts(pb.ListPromptsRequest(**wrong)))).fields == [field]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_model_that_takes_no_temperature_is_asked_again_without_the_prompts(
    booked: Running, stub: Any, streamed: bool
) -> None:
    no = openai_errors.error(
        400, "Unsupported value: 'temperature' does not support 0.7", code="unsupported_value"
    )
    booked.openai.script(no, Reply("fine"))
    prompt = await made(stub, preferred_model="gpt-4o")
    if streamed:
        events = [event async for event in stub.StreamPrompt(execution(prompt))]
        output = events[-1].result.output
    else:
        output = (await stub.ExecutePrompt(execution(prompt))).output
    assert output == "fine"
    assert ["temperature" in entry.body for entry in booked.openai.bill.calls] == [True, False]


async def test_the_callers_own_temperature_is_not_dropped(booked: Running, stub: Any) -> None:
    no = openai_errors.error(400, "'temperature' is not supported", code="unsupported_value")
    booked.openai.script(no)
    prompt = await made(stub, preferred_model="gpt-4o")
    found = await failure(stub.ExecutePrompt(execution(prompt, temperature=0.2)))
    assert found.reason == "PROVIDER_REJECTED"
    assert len(booked.openai.bill.calls) == 1


HOSTILE_YAML = {
    "levels": "- " * 25_000 + "x",
    "brackets": "[" * 25_000 + "]" * 25_000,
    "braces": "{a: " * 25_000,
    "open brackets": "[" * 500_000,
    "a list": "[" + "a," * 249_000 + "]",
    "a long text": "- {slug: a, name: " + "x" * 500_000 + "}",
    "tags": "".join(f"%TAG !{number:x}! b\n" for number in range(35_500)) + "--- a",
}


@pytest.mark.parametrize("what", HOSTILE_YAML)
async def test_hostile_yaml_is_refused_and_the_field_is_named(stub: Any, what: str) -> None:
    failed = await failure(stub.ImportPrompts(pb.ImportPromptsRequest(yaml=HOSTILE_YAML[what])))
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    assert failed.fields == ["yaml"]


async def test_others_are_answered_while_hostile_yaml_is_read(booked: Running, stub: Any) -> None:
    health: Any = health_service_pb2_grpc.HealthServiceStub(booked.channel)
    request = pb.ImportPromptsRequest(yaml=HOSTILE_YAML["tags"])
    imports = [asyncio.ensure_future(stub.ImportPrompts(request)) for _ in range(2)]
    await asyncio.sleep(0.1)
    for _ in range(5):
        said = await health.GetHealth(health_service_pb2.GetHealthRequest())
        assert said.status == "healthy"
    assert not any(importing.done() for importing in imports)
    for importing in imports:
        assert (await failure(importing)).message == "yaml: it takes more than 2 s"
