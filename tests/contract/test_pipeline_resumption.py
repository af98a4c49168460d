"""Pipelines that are cut at every write and gone on with: on SQLite and PostgreSQL."""

from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa
from google.protobuf import json_format
from google.protobuf.message import Message

from genai_spine.call import Call
from genai_spine.catalog.providers import CapabilityRegistry
from genai_spine.errors import ProviderRejected
from genai_spine.pipelines.definition import checked
from genai_spine.pipelines.execution.execution import Execution
from genai_spine.pipelines.execution.journal import Event, PipelineFailed, Tools
from genai_spine.pipelines.provider_order import ProviderOrder
from genai_spine.runs.events import EventWriter
from genai_spine.runs.execution.context import OwnerLost, RunContext
from genai_spine.runs.pipeline import RunJournal, meter_of
from genai_spine.store.database import Database
from genai_spine.store.runs.events import EventRows, Owner
from genai_spine.store.runs.runs import RunRows
from genai_spine.store.runs.steps import StepRows
from genai_spine.store.runs.tables import runs
from genai_spine.v1 import provider_service_pb2 as providers
from genai_spine.v1 import run_pb2
from genai_spine.v1.completion_service_pb2 import Completion
from genai_spine.v1.message_pb2 import ContentPart
from genai_spine.v1.pipeline_pb2 import PipelineDefinition, PipelineResult, PipelineWork
from genai_spine.v1.work_pb2 import Work
from tests.contract.test_run_transitions import a_run, submit

STEP = {"capability": "llm_generation", "retry": {"max_attempts": 1}}
UNDO = {"work": {"capability": "llm_generation", "options": {"prompt": "undo"}}}
GOOD = [
    {"name": "a", **STEP},
    {"name": "b", **STEP, "when": {"cel": "false"}},
    {"name": "c", **STEP, "input_from": "a"},
]
BAD = [
    {"name": "a", **STEP, "compensation": UNDO},
    {"name": "b", **STEP, "compensation": UNDO},
    {"name": "fails", **STEP},
]
ONCE = ("workflow.started", "step.skipped", "step.completed", "step.failed", "compensation.step")


class Cut(BaseException):  # no step takes it for an error of its own
    """The process dies here."""


@dataclass
class CutJournal(RunJournal):
    """Journal whose process dies at one of its writes, before or behind it."""

    cut_at: int = -1
    is_behind: bool = False
    writes: int = 0

    async def begin(self, step_id: str, kind: str, events: Sequence[Event]) -> None:
        self._cut(is_behind=False)
        await super().begin(step_id, kind, events)
        self._cut(is_behind=True)

    async def end(self, step_id: str, kind: str, result: Any, events: Sequence[Event]) -> None:
        self._cut(is_behind=False)
        await super().end(step_id, kind, result, events)
        self._cut(is_behind=True)

    def _cut(self, *, is_behind: bool) -> None:
        if self.writes == self.cut_at and is_behind == self.is_behind:
            raise Cut
        self.writes += is_behind


@dataclass
class Told:
    """Everything that is around an execution."""

    database: Database
    calls: Counter[str] = field(default_factory=Counter)  # by step

    async def do(self, member: str, request: Message, call: Call) -> Message:
        self.calls[str(call.step_id)] += 1
        if call.step_id == "fails":
            raise ProviderRejected(provider="one", problem="no")
        answer = Completion(provider="one")
        answer.choices.add().message.content.append(ContentPart(text=f"of {call.step_id}"))
        return answer

    def tools(self) -> Tools:
        info = providers.ProviderInfo(provider_name="one", is_available=True)
        info.capabilities.add(capability=providers.CAPABILITY_LLM_GENERATION, provider_name="one", priority=1)
        order = ProviderOrder(CapabilityRegistry([info]), lambda provider, call: True, lambda model: "")

        async def none(call: Call) -> Sequence[Any]:
            return ()

        async def post(url: str, id: str, body: Any, timeout_s: float) -> None:
            raise AssertionError("nobody is told")

        return Tools(order=order, do=self.do, watched=lambda: nullcontext({}), levels=none, post=post)

    def journal(self, run: run_pb2.Run, process: str, **fields: Any) -> CutJournal:
        owner, rows = Owner(run.run_id, 1, process), EventRows(self.database)
        context = RunContext(run, owner, Call(), StepRows(self.database), EventWriter(rows))
        return CutJournal(context, rows, meter_of(run), **fields)

    async def owned(self, run_id: str, process: str) -> run_pb2.Run:
        """Run that a process makes from now on."""
        values = {"status": "running", "executor_id": process}
        async with self.database.begin() as connection:
            status = (
                await connection.execute(sa.select(runs.c.status).where(runs.c.id == run_id))
            ).scalar_one()
            if status == "running":
                values.pop("status")
            await connection.execute(sa.update(runs).where(runs.c.id == run_id).values(values))
        found = await RunRows(self.database).get(run_id)
        assert found is not None
        return found


def cut_pipeline(steps: list[dict[str, Any]]) -> PipelineDefinition:
    return checked(json_format.ParseDict({"name": "cut", "steps": steps}, PipelineDefinition()))


async def made(
    told: Told, definition: PipelineDefinition, cut_at: int, *, is_behind: bool
) -> tuple[Any, int, str]:
    """Result of a pipeline, the writes of its first process, and its run's id."""
    given = {"text": "Hello", "data": "UklGRg==", "filename": "a.wav"}
    work = Work(pipeline=PipelineWork(definition=definition, input_data=given))
    run = a_run(kind="pipeline", name="genai.cut", work=work)
    await submit(told.database, run)
    first = told.journal(await told.owned(run.run_id, "1"), "1", cut_at=cut_at, is_behind=is_behind)
    try:
        result = await _ended(told, first)
    except Cut:
        result = await _ended(told, told.journal(await told.owned(run.run_id, "2"), "2"))
    finally:
        await first.context.writer.stop()  # what a dead process had in hand is not the run's any more
    return result, first.writes, run.run_id


async def _ended(told: Told, journal: CutJournal) -> PipelineResult:
    try:
        result = await Execution(told.tools(), journal).run()
    except PipelineFailed as failed:
        result = failed.result
    await journal.context.writer.flush(journal.context.owner)
    return result


@pytest.mark.parametrize("steps", [GOOD, BAD], ids=["good", "undone"])
async def test_what_has_ended_is_not_made_again_wherever_a_process_died(
    database: Database, steps: list[dict[str, Any]]
):
    definition = cut_pipeline(steps)
    whole, writes, _ = await made(Told(database), definition, -1, is_behind=False)
    assert writes >= 5
    for cut_at in range(writes):
        for is_behind in (False, True):
            told = Told(database)
            result, _, run_id = await made(told, definition, cut_at, is_behind=is_behind)
            assert list(result.completed_steps) == list(whole.completed_steps)
            assert list(result.compensated_steps) == list(whole.compensated_steps)
            assert result.output == whole.output
            # Only what was in flight is made twice, and that is one step at most.
            assert sorted(told.calls.values())[-1] <= 2
            assert sum(count - 1 for count in told.calls.values()) <= (0 if is_behind else 1)
            await check_log(database, run_id)


async def check_log(database: Database, run_id: str) -> None:
    """Every event stands there once, without a gap, and progress never falls."""
    events = await EventRows(database).after(run_id, 0, 1000)
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    steps = [json_format.MessageToDict(event.data).get("step_name", "") for event in events]
    about = Counter((event.event_type, step) for event, step in zip(events, steps, strict=True))
    assert {key: count for key, count in about.items() if key[0] in ONCE and count != 1} == {}
    points = [event.data["percent"] for event in events if event.event_type == "progress.update"]
    assert points == sorted(points)


async def test_a_process_that_lost_its_run_writes_nothing(database: Database):
    told = Told(database)
    _, _, run_id = await made(told, cut_pipeline(GOOD), 0, is_behind=True)
    late = told.journal(await told.owned(run_id, "3"), "1")
    before = await EventRows(database).after(run_id, 0, 1000)
    with pytest.raises(OwnerLost):
        await late.begin("z", "llm_generation", [])
    assert await EventRows(database).after(run_id, 0, 1000) == before
