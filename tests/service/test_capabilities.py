"""Capabilities over gRPC, through inference, the ledger and the simulated upstreams."""

import json
from typing import Any

import grpc
import jsonschema
import pytest

from genai_spine.capabilities import CAPABILITIES
from genai_spine.v1 import capability_service_pb2 as pb
from genai_spine.v1 import execution_pb2
from genai_spine.v1.capability_service_pb2_grpc import CapabilityServiceStub
from genai_spine.v1.operation_pb2 import OPERATION_COMPLETION
from tests.service.running import Running, failure
from tests.upstreams.reply import Content, Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")
OSLO = "The council of Oslo voted for a tram line. It costs 40 million euros. Work starts in June."
GPT = "gpt-4o"
VERBS = {"detect-language": ":detect", "detect-pii": ":detect", "redact": ":redact"}
VERBS |= {"analyze-coaching": ":analyze"}


def stub(service: Running) -> Any:
    return CapabilityServiceStub(service.channel)


async def test_call_is_booked_with_its_tag_and_its_prompt(booked: Running) -> None:
    booked.openai.script(Reply(text="A tram line for Oslo."))
    response = await stub(booked).Summarize(pb.SummarizeRequest(content=OSLO, model=GPT))
    (row,) = await booked.rows(response.result.request_id)
    assert response.summary == "A tram line for Oslo."
    assert (response.result.provider, response.result.model) == ("openai", GPT)
    assert row.id == response.result.execution_id
    assert (row.capability, row.operation) == ("summarize", OPERATION_COMPLETION)
    assert row.state == execution_pb2.EXECUTION_STATE_SUCCEEDED
    assert row.prompt_version == response.result.context.prompt_version == 1
    assert row.prompt_id
    assert len(row.variables_hash) == 64
    assert response.result.cost.cost_ticks == row.cost.cost_ticks > 0
    assert response.result.cost.cost_usd == response.result.cost.cost_usd == row.cost.cost_usd
    assert response.result.usage.input_tokens == row.usage.input_tokens > 0
    assert response.result.usage.output_tokens == row.usage.output_tokens > 0
    assert response.result.cost.price_known


async def test_schema_goes_to_a_provider_that_takes_one(service: Running) -> None:
    service.openai.script(Reply(text='{"category": "politics", "confidence": 0.9}'))
    response = await stub(service).Classify(
        pb.ClassifyRequest(content=OSLO, categories=["sport", "politics"], model=GPT)
    )
    assert response.primary_category == "politics"
    (entry,) = service.openai.bill
    form = entry.body["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["strict"] is True
    assert "unchecked" not in form["json_schema"]
    assert entry.body["temperature"] == 0.1
    (row,) = await service.rows(response.result.request_id)
    assert row.state == execution_pb2.EXECUTION_STATE_SUCCEEDED


async def test_temperature_is_left_out_for_models_that_take_none(service: Running) -> None:
    service.openai.script(Reply(text="A tram."))
    response = await stub(service).Summarize(pb.SummarizeRequest(content=OSLO, model="o3-mini"))
    assert response.summary == "A tram."
    assert [warning.option for warning in response.result.warnings] == ["temperature"]
    (row,) = await service.rows(response.result.request_id)
    assert [warning.option for warning in row.warnings] == ["temperature"]
    assert "temperature" not in list(service.openai.bill)[-1].body


async def test_temperature_that_no_row_of_the_book_is_about_is_left_out_when_it_is_refused(
    service: Running,
) -> None:
    message = "Unsupported value: 'temperature' does not support 0.3 with this model."
    body = {
        "error": {"message": message, "type": "invalid_request_error", "param": "temperature", "code": None}
    }
    service.openai.script(Reply(status=400, body=body), Reply(text="A tram."))
    response = await stub(service).Summarize(pb.SummarizeRequest(content=OSLO, model=GPT))
    (warning,) = response.result.warnings
    assert (warning.option, "does not support 0.3" in warning.reason) == ("temperature", True)
    refused, answered = await service.rows(response.result.request_id)
    assert (refused.state, refused.cost.cost_ticks) == (execution_pb2.EXECUTION_STATE_FAILED, 0)
    assert answered.id == response.result.execution_id
    assert "temperature" not in list(service.openai.bill)[-1].body


async def test_temperature_of_the_caller_is_dropped_with_a_warning_for_models_that_take_none(
    service: Running,
) -> None:
    request = pb.RewriteRequest(content=OSLO, model="o3-mini", temperature=0.5)
    response = await stub(service).Rewrite(request)
    assert [warning.option for warning in response.result.warnings] == ["temperature"]


async def test_schema_is_left_out_for_models_that_take_none(service: Running) -> None:
    message = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None}}
    service.openai.script(Reply(status=400, body=body), Reply(text="politics"))
    request = pb.ClassifyRequest(content=OSLO, categories=["politics"], model="gpt-4")
    assert (await stub(service).Classify(request)).category == "politics"
    assert "response_format" not in list(service.openai.bill)[-1].body


@pytest.mark.parametrize("model", [GPT, "llama3.2:latest"])
async def test_answer_of_another_form_is_read_and_costs_one_call(service: Running, model: str) -> None:
    upstream = service.openai if model == GPT else service.ollama
    upstream.script(Reply(text='Here: [{"text": "Oslo", "type": "LOCATION"}]'))
    response = await stub(service).Extract(pb.ExtractRequest(content=OSLO, model=model))
    assert [(entity.text, entity.start) for entity in response.entities] == [("Oslo", 15)]
    assert len(await service.rows(response.result.request_id)) == 1


async def test_unreadable_answer_is_a_provider_error_and_is_booked(service: Running) -> None:
    service.openai.script(Reply(text="Hm."))
    failed = await failure(stub(service).Extract(pb.ExtractRequest(content=OSLO, model=GPT)))
    assert (failed.code, failed.reason) == (grpc.StatusCode.INTERNAL, "PROVIDER_ERROR")
    assert failed.metadata["provider"] == "openai"
    assert "holds no JSON list of entities" in failed.message
    (row,) = await service.rows(failed.request_id)
    assert row.usage.output_tokens > 0


async def test_refusal_of_the_model_is_told(service: Running) -> None:
    service.openai.script(Reply(refusal="I will not."))
    failed = await failure(stub(service).Rewrite(pb.RewriteRequest(content=OSLO, model=GPT)))
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "CONTENT_FILTERED")
    assert "I will not." in failed.message


async def test_answer_that_a_limit_cut_says_so(service: Running) -> None:
    service.openai.script(Reply(text="Oslo votes for", finish_reason="length"))
    response = await stub(service).InferTitle(pb.InferTitleRequest(content=OSLO, model=GPT))
    assert response.title == "Oslo votes for"
    assert response.result.context.answer_was_cut


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        ("Summarize", pb.SummarizeRequest(), ["content"]),
        ("Summarize", pb.SummarizeRequest(content=" \n"), ["content"]),
        ("Summarize", pb.SummarizeRequest(text="x", max_sentences=0), ["max_sentences"]),
        ("Extract", pb.ExtractRequest(text=""), ["content"]),
        ("Extract", pb.ExtractRequest(text="x", unfound=7), ["unfound"]),
        ("Classify", pb.ClassifyRequest(content="x"), ["categories"]),
        ("Classify", pb.ClassifyRequest(content="x", categories=[""]), ["categories[0]"]),
        ("Compare", pb.CompareRequest(document_a="x"), ["document_b"]),
        ("Rewrite", pb.RewriteRequest(content="x", mode="poetic"), ["mode"]),
        ("InferTitle", pb.InferTitleRequest(content="x", max_words=2), ["max_words"]),
        ("GenerateCommit", pb.GenerateCommitRequest(), ["files"]),
        ("GenerateCommit", pb.GenerateCommitRequest(files=[pb.ChangedFile()]), ["files[0].path"]),
    ],
)
async def test_bad_fields_are_named_and_nothing_is_asked(
    service: Running, method: str, request_: Any, fields: list[str]
) -> None:
    failed = await failure(getattr(stub(service), method)(request_))
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    assert failed.fields == fields
    assert list(service.openai.bill) == []


async def test_bad_option_is_named(service: Running) -> None:
    request = pb.SummarizeRequest(content="x")
    request.options.update({"max_sentences": 11})
    failed = await failure(stub(service).Summarize(request))
    assert failed.fields == ["options.max_sentences"]


@pytest.mark.parametrize("provider", ["nobody", "anthropic"])
async def test_unknown_provider_is_refused(service: Running, provider: str) -> None:
    request = pb.SummarizeRequest(content="x", provider=provider)
    failed = await failure(stub(service).Summarize(request))
    assert (failed.reason, failed.metadata["field"]) == ("INVALID_REQUEST", "provider")


async def test_content_that_cannot_fit_is_refused_before_it_costs_anything(service: Running) -> None:
    request = pb.SummarizeRequest(content="word " * 200_000, model=GPT)
    failed = await failure(stub(service).Summarize(request))
    assert failed.reason == "CONTEXT_LENGTH_EXCEEDED"
    assert list(service.openai.bill) == []


async def test_pieces_of_a_long_content_are_calls_of_one_request(service: Running) -> None:
    content = "".join(
        f"Sentence {number} tells something about the trams of Oslo. " for number in range(1500)
    )
    service.openai.script(*[Reply(text=f"Part {number}.") for number in range(9)])
    request = pb.RewriteRequest(content=content, model="gpt-4", long_input=pb.LONG_INPUT_MAP_REDUCE)
    response = await stub(service).Rewrite(request)
    rows = await service.rows(response.result.request_id)
    assert len(rows) == response.result.context.pieces > 1
    assert {row.capability for row in rows} == {"rewrite-clean"}
    assert response.result.cost.cost_ticks == sum(row.cost.cost_ticks for row in rows)
    assert response.result.usage.input_tokens == sum(row.usage.input_tokens for row in rows)


async def test_stream_has_the_text_as_it_comes_and_the_result_at_the_end(service: Running) -> None:
    service.openai.script(Reply(text=["A tram ", "for ", "Oslo."]))
    request = pb.StreamCapabilityRequest(summarize=pb.SummarizeRequest(content=OSLO, model=GPT))
    events = [event async for event in stub(service).StreamCapability(request)]
    assert "".join(event.text for event in events[:-1]) == "A tram for Oslo."
    assert len(events) >= 2
    assert [event.sequence for event in events] == list(range(len(events)))
    result = events[-1].summarize
    assert result.summary == "A tram for Oslo."
    (row,) = await service.rows(result.result.request_id)
    assert (row.id, row.streamed, row.capability) == (result.result.execution_id, True, "summarize")
    assert result.result.cost.cost_ticks == row.cost.cost_ticks > 0


async def test_stream_of_a_long_content_tells_its_progress(service: Running) -> None:
    content = "".join(
        f"Sentence {number} tells something about the trams of Oslo. " for number in range(1500)
    )
    service.openai.script(*[Reply(text=f"Part {number}.") for number in range(9)])
    wanted = pb.RewriteRequest(content=content, model="gpt-4", long_input=pb.LONG_INPUT_MAP_REDUCE)
    events = [
        event async for event in stub(service).StreamCapability(pb.StreamCapabilityRequest(rewrite=wanted))
    ]
    steps = [(event.progress.done, event.progress.total) for event in events[:-1]]
    pieces = events[-1].rewrite.result.context.pieces
    assert steps == [(done, pieces) for done in range(pieces + 1)]


async def test_fault_within_a_stream_is_typed(service: Running) -> None:
    service.openai.script(Reply(text=["A ", "tram ", "for Oslo."], fault="close", after=2))
    request = pb.StreamCapabilityRequest(summarize=pb.SummarizeRequest(content=OSLO, model=GPT))
    failed = await failure(stub(service).StreamCapability(request))
    assert failed.reason == "PROVIDER_ERROR"


async def test_stream_without_a_request_is_refused(service: Running) -> None:
    failed = await failure(stub(service).StreamCapability(pb.StreamCapabilityRequest()))
    assert failed.reason == "INVALID_FIELDS"
    nested = pb.StreamCapabilityRequest(summarize=pb.SummarizeRequest(max_sentences=11))
    failed = await failure(stub(service).StreamCapability(nested))
    assert sorted(failed.fields) == ["summarize.content", "summarize.max_sentences"]


async def test_caller_who_goes_away_ends_the_work(service: Running) -> None:
    service.openai.script(Reply(text=["A "] * 200, interval_s=0.05))
    request = pb.StreamCapabilityRequest(summarize=pb.SummarizeRequest(content=OSLO, model=GPT))
    call = stub(service).StreamCapability(request, metadata=[("x-request-id", "goes-away")])
    async for _ in call:
        call.cancel()
        break
    (row,) = await service.rows("goes-away")
    assert row.state == execution_pb2.EXECUTION_STATE_CANCELLED
    assert row.capability == "summarize"
    await service.idle()


async def test_every_capability_is_listed_with_schemas_that_hold(service: Running) -> None:
    listed = (await stub(service).ListCapabilities(pb.ListCapabilitiesRequest())).capabilities
    assert [info.name for info in listed] == sorted(CAPABILITIES)
    for info in listed:
        assert info.description.endswith(".")
        assert info.method.startswith("genai_spine.v1.CapabilityService/")
        assert info.path.startswith("/v1/")
        assert info.http_path.endswith(VERBS.get(info.name, ":create"))
        assert info.prompt_slugs
        assert info.streams
        for schema in (info.input_schema, info.output_schema):
            plain = json.loads(json.dumps(_plain(schema)))
            jsonschema.Draft202012Validator.check_schema(plain)
            assert "#/components" not in json.dumps(plain)
    summarize = next(info for info in listed if info.name == "summarize")
    judge = jsonschema.Draft202012Validator(_plain(summarize.input_schema))
    assert judge.is_valid({"content": "x", "max_sentences": 3, "long_input": "LONG_INPUT_TRUNCATE"})
    assert not judge.is_valid({"content": "x", "max_sentences": 11})
    assert not judge.is_valid({"content": "x", "long_input": "SOMETIMES"})


def _plain(schema: Any) -> Any:
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(schema)


async def test_list_of_capabilities_has_pages(service: Running) -> None:
    seen: list[str] = []
    token = ""
    while True:
        page = await stub(service).ListCapabilities(pb.ListCapabilitiesRequest(page_size=2, page_token=token))
        assert len(page.capabilities) <= 2
        seen += [info.name for info in page.capabilities]
        token = page.next_page_token
        if not token:
            break
    assert seen == sorted(CAPABILITIES)
    failed = await failure(stub(service).ListCapabilities(pb.ListCapabilitiesRequest(page_token="_w==")))
    assert (failed.reason, failed.fields) == ("INVALID_FIELDS", ["page_token"])


async def test_builtin_summarizes_without_a_key(service: Running) -> None:
    response = await stub(service).Summarize(pb.SummarizeRequest(content=OSLO, provider="builtin"))
    assert set(response.summary.split()) <= set(OSLO.split())
    assert (response.result.provider, response.result.model, response.result.cost.cost_usd) == (
        "builtin",
        "extractive",
        0,
    )
    assert response.result.cost.price_known


async def test_builtin_refuses_what_needs_a_language_model(service: Running) -> None:
    request = pb.GenerateCommitRequest(diff="+a", provider="builtin")
    failed = await failure(stub(service).GenerateCommit(request))
    assert failed.reason == "UNSUPPORTED_OPERATION"
    assert "it is no language model" in failed.message


async def test_content_beyond_what_builtin_reads_is_refused(service: Running) -> None:
    request = pb.SummarizeRequest(content=OSLO * 4000, provider="builtin")
    failed = await failure(stub(service).Summarize(request))
    assert failed.reason == "CONTEXT_LENGTH_EXCEEDED"


async def test_answers_of_several_choices_are_not_asked_for(service: Running) -> None:
    service.openai.script(Reply(choices=[Content(text="One."), Content(text="Two.")]))
    response = await stub(service).Rewrite(pb.RewriteRequest(content=OSLO, model=GPT))
    assert response.rewritten == "One."
    assert "n" not in service.openai.bill[0].body
