"""PipelineService through the channel, on SQLite and PostgreSQL: versions, etags, faults, estimates."""

from typing import Any

import grpc
import pytest
from google.protobuf import json_format

from genai_spine.pipelines import PIPELINES
from genai_spine.v1 import pipeline_service_pb2 as pb
from genai_spine.v1.pipeline_service_pb2_grpc import PipelineServiceStub
from genai_spine.v1.run_service_pb2 import CreateRunRequest
from tests.service.pipeline_calls import definition, step
from tests.service.run_calls import RunCalls
from tests.service.running import Running, failure
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")


def stub(service: Running) -> Any:
    return PipelineServiceStub(service.channel)


def given(name: str, *steps: dict[str, Any], **fields: Any) -> pb.CreatePipelineRequest:
    made = pb.Pipeline(definition=definition(*(steps or (step("a"),)), name=name), **fields)
    return pb.CreatePipelineRequest(pipeline=made)


async def test_a_change_makes_a_version_and_the_old_one_stays(booked: Running) -> None:
    pipelines = stub(booked)
    made = await pipelines.CreatePipeline(given("mood"))
    assert (made.version, made.etag, made.step_count) == (1, "1", 1)
    changed = pb.Pipeline(definition=definition(step("b"), step("c"), name="mood"), change_notes="two")
    again = await pipelines.UpdatePipeline(pb.UpdatePipelineRequest(pipeline_id="mood", pipeline=changed))
    assert (again.version, again.etag, again.id) == (2, "2", made.id)
    same = await pipelines.UpdatePipeline(pb.UpdatePipelineRequest(pipeline_id=made.id, pipeline=changed))
    assert (same.version, same.etag) == (2, "2")
    listed = await pipelines.ListPipelineVersions(pb.ListPipelineVersionsRequest(pipeline_id="mood"))
    assert [(one.version, one.change_notes) for one in listed.versions] == [(2, "two"), (1, "")]
    first = await pipelines.GetPipelineVersion(pb.GetPipelineVersionRequest(pipeline_id="mood", version=1))
    assert first.definition == made.definition
    missing = await failure(
        pipelines.GetPipelineVersion(pb.GetPipelineVersionRequest(pipeline_id="mood", version=9))
    )
    assert missing.reason == "PIPELINE_NOT_FOUND"


async def test_two_editors_do_not_overwrite_each_other(booked: Running) -> None:
    pipelines = stub(booked)
    made = await pipelines.CreatePipeline(given("edited"))
    for name, reason in (("b", ""), ("c", "ETAG_MISMATCH")):
        changed = pb.Pipeline(definition=definition(step(name), name="edited"), etag=made.etag)
        asked = pipelines.UpdatePipeline(pb.UpdatePipelineRequest(pipeline_id="edited", pipeline=changed))
        assert not reason or (await failure(asked)).reason == reason
        if not reason:
            await asked


async def test_a_name_is_taken_once_and_free_after_its_end(booked: Running) -> None:
    pipelines = stub(booked)
    made = await pipelines.CreatePipeline(given("taken"))
    assert (await failure(pipelines.CreatePipeline(given("taken")))).code == grpc.StatusCode.ALREADY_EXISTS
    assert (await failure(pipelines.CreatePipeline(given("text_summarization")))).reason == "CONFLICT"
    await pipelines.DeletePipeline(pb.DeletePipelineRequest(pipeline_id="taken"))
    await pipelines.CreatePipeline(given("taken"))
    old = await pipelines.GetPipeline(pb.GetPipelineRequest(pipeline_id=made.id))
    assert not old.is_active
    gone = await failure(pipelines.DeletePipeline(pb.DeletePipelineRequest(pipeline_id=made.id)))
    assert gone.reason == "PIPELINE_NOT_FOUND"


async def test_what_comes_along_is_listed_and_not_changed(booked: Running) -> None:
    pipelines = stub(booked)
    await pipelines.CreatePipeline(given("zz_last"))
    listed = (await pipelines.ListPipelines(pb.ListPipelinesRequest())).pipelines
    assert tuple(one.name for one in listed[: len(PIPELINES)]) == PIPELINES
    assert "zz_last" in [one.name for one in listed]
    assert not any(one.HasField("definition") for one in listed)
    asked = pb.DeletePipelineRequest(pipeline_id="text_summarization")
    assert (await failure(pipelines.DeletePipeline(asked))).reason == "PIPELINE_PROTECTED"
    tagged = await pipelines.ListPipelines(pb.ListPipelinesRequest(tags=["text"]))
    assert [one.name for one in tagged.pipelines] == ["pii_detection", "text_summarization"]


async def test_pages_of_a_tag_are_full(booked: Running) -> None:
    pipelines, tag = stub(booked), 'it\'s "rare", %_\u00e4'
    for number in range(9):
        made = definition(step("a"), name=f"tagged_{number}")
        made.tags[:] = ["common", tag] if number % 3 == 0 else ["common"]
        await pipelines.CreatePipeline(pb.CreatePipelineRequest(pipeline=pb.Pipeline(definition=made)))
    request, pages = pb.ListPipelinesRequest(tags=[tag, "nowhere"], page_size=1), []
    while True:
        page = await pipelines.ListPipelines(request)
        pages.append([one.name for one in page.pipelines])
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert pages == [["tagged_0"], ["tagged_3"], ["tagged_6"]]


async def test_faults_are_told_with_their_paths(booked: Running) -> None:
    pipelines = stub(booked)
    bad = {"when": {"cel": "context.x > 1 && nobody"}, "depends_on": ["ghost"]}
    found = await failure(pipelines.CreatePipeline(given("bad", step("a", **bad))))
    assert sorted(found.fields) == [
        "pipeline.definition.steps[0].depends_on[0]",
        "pipeline.definition.steps[0].when.cel",
    ]
    text = "name: bad\nsteps:\n- name: a\n  capability: feelings\n"
    checked = await pipelines.ValidatePipeline(pb.ValidatePipelineRequest(yaml=text))
    assert (checked.valid, [one.path for one in checked.faults]) == (False, ["steps[0].capability"])


async def test_yaml_goes_in_and_comes_out_alike(booked: Running) -> None:
    pipelines = stub(booked)
    text = "name: written\nsteps:\n- name: a\n  capability: summarization\n  options: {max_sentences: 2}\n"
    made = await pipelines.CreatePipeline(pb.CreatePipelineRequest(pipeline=pb.Pipeline(yaml=text)))
    again = await pipelines.ValidatePipeline(pb.ValidatePipelineRequest(yaml=made.yaml))
    assert again.definition == made.definition
    assert "max_sentences: 2\n" in made.yaml


async def test_a_run_keeps_the_version_that_it_was_submitted_with(booked: Running) -> None:
    pipelines, calls = stub(booked), RunCalls(booked.channel)
    await pipelines.CreatePipeline(given("kept", step("old")))
    booked.openai.script(Reply(["1"]), Reply(["2"]), Reply(["3"]))
    text = {"text": "Hello"}
    asked = json_format.ParseDict({"pipeline_name": "kept", "input_data": text}, pb.ExecutePipelineRequest())
    run = await calls.ended(await pipelines.ExecutePipeline(asked))
    changed = pb.Pipeline(definition=definition(step("new"), name="kept"))
    await pipelines.UpdatePipeline(pb.UpdatePipelineRequest(pipeline_id="kept", pipeline=changed))
    assert [one.name for one in (await calls.get(run.run_id)).work.pipeline.definition.steps] == ["old"]
    second = await calls.ended(await pipelines.ExecutePipeline(asked))
    assert list(second.response.pipeline.completed_steps) == ["new"]
    named = CreateRunRequest(kind="pipeline", name="kept")
    named.params.update(text)
    third = await calls.ended(await calls.runs.CreateRun(named))
    assert third.result["output"]["new"]["text"] == "3"


async def test_an_unknown_name_lists_those_that_there_are(booked: Running) -> None:
    found = await failure(stub(booked).ExecutePipeline(pb.ExecutePipelineRequest(pipeline_name="nobody")))
    assert found.reason == "PIPELINE_NOT_FOUND"
    assert found.metadata["requested_pipeline"] == "nobody"
    assert "text_summarization" in found.metadata["available_pipelines"]


async def test_the_same_key_finds_the_run_after_the_pipeline_changed(booked: Running) -> None:
    pipelines = stub(booked)
    await pipelines.CreatePipeline(given("keyed"))
    asked = pb.ExecutePipelineRequest(pipeline_name="keyed", pipeline_version=1)
    asked.input_data.update({"text": "x"})
    asked.options.idempotency_key = f"keyed-{booked.database_url[:8]}"
    first = await pipelines.ExecutePipeline(asked)
    changed = pb.Pipeline(definition=definition(step("other"), name="keyed"))
    await pipelines.UpdatePipeline(pb.UpdatePipelineRequest(pipeline_id="keyed", pipeline=changed))
    assert (await pipelines.ExecutePipeline(asked)).run_id == first.run_id


async def test_an_estimate_calls_nobody(booked: Running) -> None:
    asked = pb.EstimatePipelineRequest(definition=definition(step("a"), step("b", input_from="a")))
    asked.input_data.update({"text": "word " * 400})
    found = await stub(booked).EstimatePipeline(asked)
    first = found.step_estimates["a"]
    assert (list(first.providers), found.can_execute, found.budget_status) == (["openai"], True, "allowed")
    assert first.input_tokens == 500 + 250
    # gpt-4o-mini: 0.15 USD for 1M of input, 0.6 of output.
    assert first.estimated_cost_usd == pytest.approx(750 * 0.15e-6 + 300 * 0.6e-6)
    assert found.estimated_cost_usd > first.estimated_cost_usd
    assert not booked.openai.bill.entries
    nobody = pb.EstimatePipelineRequest(
        definition=definition({"name": "a", "capability": "embedding_multimodal"})
    )
    missing = await stub(booked).EstimatePipeline(nobody)
    assert (missing.can_execute, "embedding_multimodal" in missing.warning) == (False, True)


async def test_capabilities_name_who_offers_them(booked: Running) -> None:
    listed = await stub(booked).ListPipelineCapabilities(pb.ListPipelineCapabilitiesRequest())
    found = {one.capability: one for one in listed.capabilities}
    assert (found["summarization"].work, found["translate"].work) == ("summarize", "translate")
    assert "openai" in found["summarization"].providers
    assert list(found["pii_redaction"].providers) == ["builtin"]
    assert not found["transcription_realtime"].providers


async def test_a_summary_needs_no_key_of_a_provider(booked: Running) -> None:
    made = definition({"name": "a", "capability": "summarization", "preferred_providers": ["builtin"]})
    asked = pb.ExecutePipelineRequest(definition=made)
    asked.input_data.update(
        {"text": "It rained all day. The river rose. Nobody was hurt.", "max_sentences": 1}
    )
    run = await RunCalls(booked.channel).ended(await stub(booked).ExecutePipeline(asked))
    assert run.status == "completed", run.error


async def test_an_execution_that_never_began_has_a_result_once_it_is_cancelled(booked: Running) -> None:
    pipelines, calls = stub(booked), RunCalls(booked.channel)
    asked = pb.ExecutePipelineRequest(definition=definition(step("a"), step("b"), name="held"))
    asked.options.hold = True
    run = await pipelines.ExecutePipeline(asked)
    request = pb.GetPipelineResultRequest(execution_id=run.run_id)
    assert (await failure(pipelines.GetPipelineResult(request))).reason == "RUN_STATE"
    told = await pipelines.GetPipelineProgress(pb.GetPipelineProgressRequest(execution_id=run.run_id))
    assert (told.status, told.progress_percent, told.total_steps) == ("pending", 0, 2)
    await calls.cancel(run)
    result = await pipelines.GetPipelineResult(request)
    assert (result.success, result.pipeline_name, len(result.step_results)) == (False, "held", 0)
