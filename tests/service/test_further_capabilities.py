"""Nine more capabilities over gRPC, through inference, the ledger and the simulated upstreams."""

import json
from typing import Any

import grpc
import pytest

from genai_spine.capabilities import CAPABILITIES
from genai_spine.v1 import capability_service_pb2 as pb
from genai_spine.v1 import execution_pb2, usage_pb2
from genai_spine.v1.capability_service_pb2_grpc import CapabilityServiceStub
from tests.contract.capability_samples import SAMPLES
from tests.service.running import Running, failure
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")
GPT = "gpt-4o"
NAMES = (
    *("analyze-sentiment", "answer-question", "correct", "detect-language", "extract-structured"),
    *("paraphrase", "synthesize", "tag", "translate"),
)
EVERY = pytest.mark.parametrize("name", NAMES)
PLAIN = {"paraphrase"}  # answered in plain text
SCHEMA = (
    '{"type": "object", "properties": {"zone": {"type": "string"}, "age": {"type": "integer"}}, '
    '"required": ["zone", "age"]}'
)
GOOD, BAD = '{"zone": "A", "age": 36}', '{"zone": "A", "age": "old"}'


def stub(service: Running) -> Any:
    return CapabilityServiceStub(service.channel)


def request_of(name: str, model: str = GPT) -> Any:
    request: Any = type(SAMPLES[name].request)()
    request.CopyFrom(SAMPLES[name].request)
    request.model = model
    return request


async def called(service: Running, name: str, model: str = GPT) -> Any:
    return await getattr(stub(service), CAPABILITIES[name].METHOD)(request_of(name, model))


@EVERY
async def test_call_is_answered_and_booked_with_its_tag_and_prompt(service: Running, name: str) -> None:
    service.openai.script(Reply(SAMPLES[name].answer))
    response = await called(service, name)
    (row,) = await service.rows(response.request_id)
    assert {field: getattr(response, field) for field in SAMPLES[name].read} == SAMPLES[name].read
    assert (row.id, row.capability) == (response.execution_id, name)
    assert row.prompt_version == response.context.prompt_version == 1
    assert row.prompt_id
    assert len(row.variables_hash) == 64
    assert response.context.prompt_slug == f"capability-{name}"
    assert response.usage.cost_ticks == row.cost.cost_ticks > 0


@EVERY
async def test_provider_is_asked_with_schema_and_temperature(service: Running, name: str) -> None:
    service.openai.script(Reply(SAMPLES[name].answer))
    await called(service, name)
    (entry,) = service.openai.bill
    assert entry.body["temperature"] == CAPABILITIES[name].TEMPERATURE
    assert ("response_format" in entry.body) == (name not in PLAIN)
    if name not in PLAIN:
        assert entry.body["response_format"]["json_schema"]["strict"] is True


@EVERY
@pytest.mark.parametrize("model", [GPT, "llama3.2:latest"])
async def test_stream_has_the_text_and_ends_with_the_result(service: Running, name: str, model: str) -> None:
    answer = SAMPLES[name].answer
    upstream = service.openai if model == GPT else service.ollama
    upstream.script(Reply([answer[:7], answer[7:]]))
    request = pb.StreamCapabilityRequest(**{CAPABILITIES[name].member: request_of(name, model)})
    events = [event async for event in stub(service).StreamCapability(request)]
    assert [event.sequence for event in events] == list(range(len(events)))
    assert "".join(event.text for event in events) == answer
    result = getattr(events[-1], CAPABILITIES[name].member)
    assert {field: getattr(result, field) for field in SAMPLES[name].read} == SAMPLES[name].read
    assert len(await service.rows(result.request_id)) == 1


@pytest.mark.parametrize("name", sorted(set(NAMES) - PLAIN))
async def test_answer_that_cannot_be_read_is_a_typed_error_and_is_booked(service: Running, name: str) -> None:
    service.openai.default = Reply('{"unheard_of": [')
    failed = await failure(called(service, name))
    reason = "SCHEMA_MISMATCH" if name == "extract-structured" else "PROVIDER_ERROR"
    assert (failed.code, failed.reason) == (grpc.StatusCode.INTERNAL, reason)
    assert failed.metadata["provider"] == "openai"
    rows = await service.rows(failed.request_id)
    assert all(row.usage.output_tokens > 0 for row in rows)


async def test_other_forms_are_read_and_cost_one_call(service: Running) -> None:
    service.openai.script(Reply('Sure:\n```json\n["tram", "Oslo"]\n```'))
    response = await stub(service).Tag(pb.TagRequest(content="x", model=GPT, existing_tags=["oslo"]))
    assert [(tag.tag, tag.existing) for tag in response.tags] == [("tram", False), ("oslo", True)]
    assert len(await service.rows(response.request_id)) == 1


async def test_too_few_paraphrases_are_a_provider_error(service: Running) -> None:
    service.openai.default = Reply('{"paraphrases": ["A.", "A."]}')
    failed = await failure(
        stub(service).Paraphrase(pb.ParaphraseRequest(content="x", variations=2, model=GPT))
    )
    assert failed.reason == "PROVIDER_ERROR"
    assert "holds 1 different texts in place of 2" in failed.message


async def test_a_cut_translation_says_so(service: Running) -> None:
    service.openai.script(Reply("Guten", finish_reason="length"))
    request = pb.TranslateRequest(
        content="Good morning.", source_language="en", target_language="de", model=GPT
    )
    response = await stub(service).Translate(request)
    assert response.translation == "Guten"
    assert response.context.answer_was_cut


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        ("AnalyzeSentiment", pb.AnalyzeSentimentRequest(), ["content"]),
        ("AnalyzeSentiment", pb.AnalyzeSentimentRequest(text="x", granularity="word"), ["granularity"]),
        ("AnalyzeSentiment", pb.AnalyzeSentimentRequest(text="x", aspects=[""]), ["aspects[0]"]),
        ("AnswerQuestion", pb.AnswerQuestionRequest(), ["context", "question"]),
        ("AnswerQuestion", pb.AnswerQuestionRequest(context=" ", question=" "), ["context", "question"]),
        ("Tag", pb.TagRequest(text="x", max_tags=0), ["max_tags"]),
        ("Tag", pb.TagRequest(text="x", max_tags=51, tag_types=[""]), ["max_tags", "tag_types[0]"]),
        ("DetectLanguage", pb.DetectLanguageRequest(text=" "), ["content"]),
        ("Translate", pb.TranslateRequest(text="x"), ["target_language"]),
        ("Translate", pb.TranslateRequest(text="x", target_language="zz"), ["target_language"]),
        (
            "Translate",
            pb.TranslateRequest(text="x", target_language="de", source_language="zz"),
            ["source_language"],
        ),
        ("Paraphrase", pb.ParaphraseRequest(text="x", variations=0), ["variations"]),
        ("Paraphrase", pb.ParaphraseRequest(text="x", variations=11), ["variations"]),
        ("Correct", pb.CorrectRequest(content="", text=""), ["content"]),
        ("ExtractStructured", pb.ExtractStructuredRequest(text="x"), ["schema_json"]),
        ("ExtractStructured", pb.ExtractStructuredRequest(text="x", schema_json="[]"), ["schema_json"]),
        (
            "ExtractStructured",
            pb.ExtractStructuredRequest(text="x", schema_json='{"type": 1}'),
            ["schema_json"],
        ),
        ("Synthesize", pb.SynthesizeRequest(), ["documents", "query"]),
        (
            "Synthesize",
            pb.SynthesizeRequest(query="x", documents=[pb.SourceDocument()]),
            ["documents[0].content"],
        ),
        (
            "Synthesize",
            pb.SynthesizeRequest(
                query="x",
                documents=[pb.SourceDocument(content="x"), pb.SourceDocument(id="1", content="x")],
            ),
            ["documents[1].id"],
        ),
    ],
)
async def test_bad_fields_are_named_and_nothing_is_asked(
    service: Running, method: str, request_: Any, fields: list[str]
) -> None:
    failed = await failure(getattr(stub(service), method)(request_))
    assert (failed.code, failed.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    assert sorted(failed.fields) == fields
    assert not service.openai.bill.calls


class TestDataBySchema:
    def wanted(self, **fields: Any) -> pb.ExtractStructuredRequest:
        given = {"schema_json": SCHEMA} | fields
        return pb.ExtractStructuredRequest(content="Ada, 36, zone A.", model=GPT, **given)

    async def test_data_that_do_not_fit_are_repaired_once_and_both_calls_are_paid(
        self, booked: Running
    ) -> None:
        booked.openai.script(Reply(BAD), Reply(GOOD))
        response = await stub(booked).ExtractStructured(self.wanted())
        assert response.data_json == GOOD
        rows = await booked.rows(response.request_id)
        assert [row.wasted for row in rows] == [True, False]
        assert {row.capability for row in rows} == {"extract-structured"}
        assert response.usage.cost_ticks == sum(row.cost.cost_ticks for row in rows)

    async def test_after_a_second_time_it_is_a_schema_mismatch(self, service: Running) -> None:
        service.openai.default = Reply(BAD)
        failed = await failure(stub(service).ExtractStructured(self.wanted()))
        assert (failed.reason, failed.metadata["path"]) == ("SCHEMA_MISMATCH", "$.age")
        assert len(service.openai.bill.calls) == 2

    async def test_a_stream_that_does_not_fit_ends_with_the_error(self, service: Running) -> None:
        service.openai.default = Reply(BAD)
        request = pb.StreamCapabilityRequest(extract_structured=self.wanted())
        failed = await failure(stub(service).StreamCapability(request))
        assert failed.reason == "SCHEMA_MISMATCH"
        (row,) = await service.rows(failed.request_id)
        assert row.state == execution_pb2.EXECUTION_STATE_FAILED
        assert row.usage.output_provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED

    async def test_the_order_of_the_schema_reaches_the_provider(self, service: Running) -> None:
        service.openai.script(Reply(GOOD))
        await stub(service).ExtractStructured(self.wanted())
        sent = service.openai.bill[-1].body["response_format"]["json_schema"]["schema"]
        assert list(sent["properties"]) == ["zone", "age"]

    async def test_data_of_any_kind_are_wrapped_for_the_provider_and_not_for_the_caller(
        self, service: Running
    ) -> None:
        service.openai.script(Reply('{"value": ["Ada"]}'))
        response = await stub(service).ExtractStructured(
            self.wanted(schema_json='{"type": "array", "items": {"type": "string"}}')
        )
        assert json.loads(response.data_json) == ["Ada"]
        assert response.data.list_value.values[0].string_value == "Ada"


async def test_documents_in_pieces_are_calls_of_one_request(service: Running) -> None:
    documents = [pb.SourceDocument(content=f"Line {number} is calm. " * 800) for number in range(4)]
    request = pb.SynthesizeRequest(
        documents=documents, query="What?", model="gpt-4", long_input=pb.LONG_INPUT_MAP_REDUCE
    )
    service.openai.default = Reply("All is calm [1, 4].")
    events = [
        event
        async for event in stub(service).StreamCapability(pb.StreamCapabilityRequest(synthesize=request))
    ]
    response = events[-1].synthesize
    assert [one.document_id for one in response.citations] == ["1", "4"]
    rows = await service.rows(response.request_id)
    assert len(rows) == response.context.pieces + 1 > 2
    progress = [event.progress for event in events if event.HasField("progress")]
    assert (progress[0].done, progress[-1].done) == (0, response.context.pieces)
