"""Pipelines that come along, through the channel: what steps are given, what they make, and what it costs."""

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from google.protobuf import json_format

from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint
from genai_spine.v1 import pipeline_service_pb2 as pb
from genai_spine.v1 import run_pb2
from genai_spine.v1.pipeline_pb2 import PipelineResult
from genai_spine.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from tests.contract.test_deepgram import TURNS, base64_of
from tests.service.pipeline_calls import said
from tests.service.run_calls import RunCalls, provider_calls
from tests.service.running import TIMEOUTS, Running, Upstreams, failure, running
from tests.upstreams import deepgram
from tests.upstreams.deepgram import DeepgramUpstream
from tests.upstreams.reply import Reply
from tests.upstreams.sounds import wav

pytestmark = pytest.mark.asyncio(loop_scope="session")

CARD, MAIL = "4111 1111 1111 1111", "ann@example.org"
LONG = " ".join(f"word{number}" for number in range(60))
SPOKEN = [f"Hello, {LONG}.", f"My card is {CARD} and my mail {MAIL}, {LONG}.", "I will refund it.", "Thanks."]
MOOD = {"label": "positive", "score": 0.5, "confidence": 0.9}
SENTIMENT = {"sentiment": MOOD, "aspects": [{"aspect": "Speaker 0", **MOOD}, {"aspect": "Speaker 1", **MOOD}]}
COACHING = {"score": 80, "strengths": [{"point": "Refunds"}], "improvements": [], "advice": "Go on."}
ANSWERS = [Reply("• Refund"), Reply(json.dumps(SENTIMENT)), Reply(json.dumps(COACHING))]
THREE_SECONDS_TICKS = 2_150_000


class Office(NamedTuple):
    """Server with a simulated Deepgram beside the others."""

    service: Running
    heard: DeepgramUpstream
    calls: RunCalls
    pipelines: Any

    async def made(
        self, name: str, given: dict[str, Any], **arguments: Any
    ) -> tuple[run_pb2.Run, PipelineResult]:
        """Run of a pipeline that has ended, and its result."""
        request = pb.ExecutePipelineRequest(pipeline_name=name)
        json_format.ParseDict(given, request.input_data)
        if arguments:
            json_format.ParseDict(arguments, request.arguments)
        run = await self.calls.ended(await self.pipelines.ExecutePipeline(request))
        return run, run.response.pipeline


@pytest_asyncio.fixture(loop_scope="session")
async def office(upstreams: Upstreams, database_url: str) -> AsyncIterator[Office]:
    async with DeepgramUpstream() as heard:
        row = PROVIDERS["deepgram"]
        endpoint = Endpoint(
            "deepgram",
            heard.base_url,
            deepgram.KEY,
            timeouts=TIMEOUTS,
            default_media_models=row.media_models,
        )
        endpoints = upstreams.endpoints() | {"deepgram": endpoint}
        async with running(upstreams, database_url, endpoints=endpoints) as service:
            yield Office(service, heard, RunCalls(service.channel), PipelineServiceStub(service.channel))


def call(channels: int = 1) -> dict[str, Any]:
    turns = [turn._replace(channel=number % channels) for number, turn in enumerate(TURNS)]
    return {"data": base64_of(wav(turns, 3.0, channels)), "filename": "call.wav"}


async def test_call_analysis_hears_redacts_shortens_judges_and_coaches(office: Office) -> None:
    office.heard.script(Reply(SPOKEN))
    office.service.openai.script(*ANSWERS)
    run, result = await office.made("call_analysis", call())
    assert run.status == "completed", run.error
    steps = ["transcribe", "redact_pii", "summarize", "sentiment", "coaching"]
    assert list(result.completed_steps) == steps
    output = json_format.MessageToDict(result.output)
    assert output["transcript"]["dialogue"].splitlines()[3] == "Speaker 1: Thanks."
    assert output["transcript"]["segments"][1]["speaker"] == "1"
    assert output["redacted_transcript"]["entity_count"] == 2
    assert output["summary"]["key_points"] == ["Refund"]
    assert [one["aspect"] for one in output["sentiment_analysis"]["aspects"]] == ["Speaker 0", "Speaker 1"]
    assert output["coaching_insights"]["score"] == 80
    query = office.heard.bill[0].query
    assert (query["diarize_model"], query["smart_format"], query["model"]) == ("latest", "true", "nova-2")
    asked = [entry.raw for entry in office.service.openai.bill]
    assert len(asked) == 3
    assert not [text for text in asked if CARD in text or MAIL in text], "no language model is told"
    assert all("Speaker 1" in text for text in asked)
    assert "• Refund" in json.loads(asked[2])["messages"][0]["content"]
    rows = await provider_calls(office.service, run.run_id)
    costs = {row.step_id: row.cost.cost_ticks for row in rows}
    assert costs["transcribe"] == THREE_SECONDS_TICKS
    assert costs["redact_pii"] == 0
    assert result.total_cost.cost_ticks == sum(costs.values())
    events = await office.calls.events(run)
    assert [one["checkpoint_name"] for one in said(events, "checkpoint.reached")] == steps
    percents = [one["percent"] for one in said(events, "progress.update")]
    assert percents == sorted(percents)
    assert percents[-1] == 100


async def test_a_short_call_is_not_judged(office: Office) -> None:
    run, result = await office.made("call_analysis", call())
    assert run.status == "completed", run.error
    assert list(result.completed_steps) == ["transcribe", "redact_pii"]
    skipped = {name: one.skipped_reason for name, one in result.step_results.items() if one.skipped_reason}
    assert set(skipped) == {"summarize", "sentiment", "coaching"}
    assert not office.service.openai.bill


async def test_arguments_drop_steps_and_say_who_writes(office: Office) -> None:
    office.heard.script(Reply(SPOKEN))
    office.service.openai.script(Reply("• Refund"))
    given = {"include_sentiment": False, "include_coaching": False, "summary_max_length": 33}
    run, result = await office.made(
        "call_analysis", call(), **given, llm_provider_preference=["vllm", "openai"]
    )
    assert run.status == "completed", run.error
    assert set(result.step_results) == {"transcribe", "redact_pii", "summarize"}
    assert len(run.work.pipeline.definition.steps) == 3
    assert "at most 33 words" in office.service.openai.bill[0].raw


async def test_a_failing_step_fails_the_pipeline_and_what_was_paid_is_known(office: Office) -> None:
    office.heard.script(Reply(SPOKEN))
    office.service.openai.default = Reply(status=400, body={"error": {"message": "no"}})
    office.service.ollama.default = Reply(status=400, body={"error": "no"})
    run, result = await office.made("call_analysis", call())
    assert (run.status, result.failed_step, result.compensation_performed) == ("failed", "summarize", False)
    assert result.total_cost.cost_ticks == THREE_SECONDS_TICKS


async def test_channels_are_judged_by_themselves_and_paid_each(office: Office) -> None:
    office.service.openai.script(Reply("A refund."), Reply(json.dumps({"sentiment": MOOD})))
    run, result = await office.made("dual_channel_analysis", call(2))
    assert run.status == "completed", run.error
    output = json_format.MessageToDict(result.output)
    assert len(output["transcript"]["channels"]) == 2
    assert output["transcript"]["dialogue"].startswith("Channel 0: ")
    assert "Channel 1" in office.service.openai.bill[1].raw
    rows = await provider_calls(office.service, run.run_id)
    assert {row.step_id: row.cost.cost_ticks for row in rows}["transcribe"] == 2 * THREE_SECONDS_TICKS


async def test_transcription_goes_on_with_openai_where_deepgram_fails(office: Office) -> None:
    office.heard.default = Reply(status=400, body={"err_code": "Bad Request", "err_msg": "no"})
    run, result = await office.made("transcription", call(), with_diarization=False)
    assert run.status == "completed", run.error
    step = result.step_results["transcribe"]
    assert (step.provider_used, list(step.fallbacks_attempted)) == ("openai", ["deepgram"])


@pytest.mark.parametrize("name", ["transcription", "transcription_with_diarization"])
async def test_transcription_tells_speakers_apart(office: Office, name: str) -> None:
    run, result = await office.made(name, call())
    assert run.status == "completed", run.error
    assert json_format.MessageToDict(result.output)["transcript"]["speakers"] == ["0", "1"]


@pytest.mark.parametrize(("method", "there"), [("mask", "*****"), ("replace", "[EMAIL_ADDRESS]")])
async def test_a_transcript_is_redacted_as_asked(office: Office, method: str, there: str) -> None:
    office.heard.script(Reply(SPOKEN))
    run, result = await office.made("transcription_with_redaction", call(), redaction_method=method)
    assert run.status == "completed", run.error
    text = json_format.MessageToDict(result.output)["redacted_transcript"]["text"]
    assert there in text
    assert MAIL not in text


async def test_texts_need_no_key(office: Office) -> None:
    run, result = await office.made("pii_detection", {"text": f"Write to {MAIL}."})
    assert run.status == "completed", run.error
    (entity,) = json_format.MessageToDict(result.output)["pii_entities"]["entities"]
    assert (entity["type"], entity["text"]) == ("EMAIL_ADDRESS", MAIL)
    given = {"provider_preference": ["builtin"], "max_length": 40}
    run, result = await office.made("text_summarization", {"text": "Rain fell. " * 40}, **given)
    assert run.status == "completed", run.error
    assert result.step_results["summarize"].provider_used == "builtin"


async def test_arguments_that_nobody_takes_are_refused(office: Office) -> None:
    for name, given, field in (
        ("call_analysis", {"include": True}, "work.pipeline.arguments.include"),
        ("pii_detection", {"method": "mask"}, "work.pipeline.arguments.method"),
    ):
        request = pb.ExecutePipelineRequest(pipeline_name=name)
        json_format.ParseDict(given, request.arguments)
        found = await failure(office.pipelines.ExecutePipeline(request))
        assert (found.reason, found.fields) == ("INVALID_FIELDS", [field])


async def test_what_call_analysis_is_expected_to_cost_and_take(office: Office) -> None:
    asked = pb.EstimatePipelineRequest(pipeline_name="call_analysis")
    found = await office.pipelines.EstimatePipeline(asked)
    assert (found.estimated_cost_usd, found.estimated_duration_seconds) == (0.15, 300)
    assert list(found.step_estimates["transcribe"].providers) == ["deepgram"]
