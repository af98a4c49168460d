"""call_analysis whose process dies at every write and inside every step: on SQLite and PostgreSQL."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from genai_spine.call import Call
from genai_spine.catalog.providers import CapabilityRegistry
from genai_spine.errors import ProviderRejected
from genai_spine.pipelines import library
from genai_spine.pipelines.execution.journal import Tools
from genai_spine.pipelines.provider_order import ProviderOrder
from genai_spine.store.database import Database
from genai_spine.v1 import capability_service_pb2 as capabilities
from genai_spine.v1 import provider_service_pb2 as providers
from genai_spine.v1.media_service_pb2 import Transcription
from genai_spine.v1.pipeline_pb2 import PipelineCompensation, PipelineDefinition
from tests.contract.test_pipeline_resumption import Cut, Told, check_log, made

STEPS = ["transcribe", "redact_pii", "summarize", "sentiment", "coaching"]
SAID = "Speaker 0: " + "word " * 120
ANSWERS: dict[str, Message] = {
    "transcribe": Transcription(text=SAID, dialogue=SAID),
    "redact_pii": capabilities.RedactResponse(redacted=SAID),
    "summarize": capabilities.SummarizeResponse(summary="short"),
    "sentiment": capabilities.AnalyzeSentimentResponse(),
    "coaching": capabilities.AnalyzeCoachingResponse(advice="more"),
}
HOOK = PipelineCompensation(webhook_url="https://undo.example/hook")


@dataclass
class Office(Told):
    """Providers of a call's analysis. dies_in: a step; dies_answered: with its answer, else before it."""

    fails: str = ""
    dies_in: str = ""
    dies_answered: bool = False
    undone: tuple[str, ...] = ()

    async def do(self, member: str, request: Message, call: Call) -> Message:
        name = str(call.step_id)
        dies = name == self.dies_in and not self.calls[name]
        if dies and not self.dies_answered:
            self.calls[name] += 1
            raise Cut
        self.calls[name] += 1
        if name == self.fails:
            raise ProviderRejected(provider="one", problem="no")
        if dies:
            raise Cut
        return ANSWERS[name]

    def tools(self) -> Tools:
        info = providers.ProviderInfo(provider_name="one", is_available=True)
        for number in providers.Capability.values():
            info.capabilities.add(capability=number, provider_name="one", priority=1)
        order = ProviderOrder(CapabilityRegistry([info]), lambda provider, call: True, lambda model: "")

        async def none(call: Call) -> Sequence[Any]:
            return ()

        async def post(url: str, id: str, body: Any, timeout_s: float) -> None:
            self.undone += (id,)

        return Tools(order=order, do=self.do, watched=lambda: nullcontext({}), levels=none, post=post)


def analysis(*, undoable: bool) -> PipelineDefinition:
    """The pipeline as it comes along, also with something that undoes each step."""
    definition = library.predefined("call_analysis").definition
    for step in definition.steps if undoable else ():
        step.compensation.CopyFrom(HOOK)
    return definition


async def test_no_step_that_has_ended_is_made_again_wherever_the_process_died(database: Database) -> None:
    definition = analysis(undoable=False)
    whole, writes, _ = await made(Office(database), definition, -1, is_behind=False)
    assert list(whole.completed_steps) == STEPS
    assert writes == 2 * len(STEPS), "each step is written at its begin and at its end"
    for cut_at in range(writes):
        for is_behind in (False, True):
            told = Office(database)
            result, _, run_id = await made(told, definition, cut_at, is_behind=is_behind)
            assert list(result.completed_steps) == STEPS
            assert result.output == whole.output
            # A step is made twice only where the process dies after its answer and before it is written.
            again = {name for name, count in told.calls.items() if count > 1}
            lost = {STEPS[cut_at // 2]} if cut_at % 2 and not is_behind else set()
            assert again == lost
            await check_log(database, run_id)


@pytest.mark.parametrize("answered", [False, True], ids=["asked", "answered"])
@pytest.mark.parametrize("step", STEPS)
async def test_inside_a_step_only_that_step_is_made_again(
    database: Database, step: str, answered: bool
) -> None:
    told = Office(database, dies_in=step, dies_answered=answered)
    result, _, run_id = await made(told, analysis(undoable=False), -1, is_behind=False)
    assert list(result.completed_steps) == STEPS
    assert told.calls == {name: 2 if name == step else 1 for name in STEPS}
    await check_log(database, run_id)


@pytest.mark.parametrize("fails", STEPS[1:])
async def test_what_undoes_a_step_has_one_id_and_one_result_wherever_the_process_died(
    database: Database, fails: str
) -> None:
    definition = analysis(undoable=True)
    done = STEPS[: STEPS.index(fails)]
    whole, writes, _ = await made(Office(database, fails=fails), definition, -1, is_behind=False)
    assert list(whole.compensated_steps) == done[::-1]
    for cut_at in range(2 * len(done), writes):
        for is_behind in (False, True):
            told = Office(database, fails=fails)
            result, _, run_id = await made(told, definition, cut_at, is_behind=is_behind)
            assert list(result.compensated_steps) == done[::-1]
            assert list(result.completed_steps) == done
            assert len(set(told.undone)) == len(done), "a try that is made again has the id of the first"
            assert len(told.undone) <= len(done) + (not is_behind)
            await check_log(database, run_id)


def test_answers_have_what_the_next_step_reads() -> None:
    assert json_format.MessageToDict(ANSWERS["redact_pii"])["redacted"] == SAID
