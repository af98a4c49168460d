"""Executions of pipelines as their callers see them: how far they are, and what came of them."""

from dataclasses import dataclass

from google.protobuf import json_format

from genai_spine.call import Call
from genai_spine.errors import RunNotFound, RunState
from genai_spine.runs.library import RunLibrary
from genai_spine.store.runs.events import EventRows
from genai_spine.v1 import run_pb2
from genai_spine.v1.pipeline_pb2 import PipelineResult
from genai_spine.v1.pipeline_service_pb2 import PipelineProgress

NOT_ENDED = "its result is there once it has ended"


@dataclass(frozen=True, slots=True)
class PipelineViews:
    """Executions of pipelines of the call's tenant."""

    runs: RunLibrary
    events: EventRows

    async def progress(self, run_id: str, call: Call) -> PipelineProgress:
        """How far an execution is, as it told last. Errors: RunNotFound."""
        run = await self._found(run_id, call)
        shown = PipelineProgress(total_steps=len(run.work.pipeline.definition.steps))
        if (told := await self.events.newest(run_id, "progress.update")) is not None:
            data = json_format.MessageToDict(told.data)
            json_format.ParseDict(data, shown, ignore_unknown_fields=True)
        if run.HasField("end_time"):
            shown.ClearField("current_step")
            shown.ClearField("estimated_remaining_seconds")
        shown.execution_id, shown.status = run.run_id, run.status
        shown.progress_percent = 100.0 * run.progress
        shown.current_cost_usd = run.cost.cost_usd
        return shown

    async def result(self, run_id: str, call: Call) -> PipelineResult:
        """Result of an execution that has ended. Errors: RunNotFound, RunState (it has not ended)."""
        run = await self._found(run_id, call)
        if not run.HasField("end_time"):
            raise RunState(run=run_id, status=run.status, problem=NOT_ENDED)
        if run.response.HasField("pipeline"):
            return run.response.pipeline
        definition = run.work.pipeline.definition  # it ended before its first step
        result = PipelineResult(
            execution_id=run.run_id,
            pipeline_name=definition.name,
            pipeline_version=definition.version,
            end_time=run.end_time,
        )
        if run.HasField("error"):
            result.error, result.error_code = run.error.message, run.error.type
        return result

    async def _found(self, run_id: str, call: Call) -> run_pb2.Run:
        run = await self.runs.get(run_id, call)
        if not run.work.HasField("pipeline"):
            raise RunNotFound(run=run_id)
        return run
