"""PipelineService: RPCs of pipelines."""

from collections.abc import Sequence
from typing import Protocol

from google.protobuf import json_format

from genai_spine import http_answer, page_tokens
from genai_spine.call import Call
from genai_spine.costs import usd_of
from genai_spine.errors import BudgetExceeded
from genai_spine.pipelines import library
from genai_spine.pipelines.estimate import Estimate, estimated
from genai_spine.pipelines.library import PipelineLibrary
from genai_spine.pipelines.provider_order import ProviderOrder
from genai_spine.pipelines.step_requests import CAPABILITIES, plain
from genai_spine.runs.pipeline_views import PipelineViews
from genai_spine.services import older_executions
from genai_spine.v1 import pipeline_service_pb2 as pb
from genai_spine.v1 import run_pb2
from genai_spine.v1.pipeline_pb2 import PipelineDefinition, PipelineResult, PipelineWork
from genai_spine.v1.run_service_pb2 import CreateRunRequest
from genai_spine.v1.work_pb2 import Work

DEFAULT_PAGE = 100
LONGEST_WAIT_S = 3600


class PipelineBudgets(Protocol):
    """Budgets that would count a pipeline."""

    async def check(self, call: Call, ticks: int) -> None:
        """Errors: BudgetExceeded, which names a budget that blocks and has no room for so many ticks."""
        ...


class PipelineService:
    """RPCs of pipelines."""

    def __init__(
        self, pipelines: PipelineLibrary, views: PipelineViews, order: ProviderOrder, budgets: PipelineBudgets
    ) -> None:
        self._pipelines, self._views, self._order, self._budgets = pipelines, views, order, budgets

    async def ExecutePipeline(self, request: pb.ExecutePipelineRequest, call: Call) -> run_pb2.Run:
        """Run of a pipeline; HTTP status 202. Errors: those of RunLibrary.create()."""
        made = CreateRunRequest(
            work=Work(pipeline=_work(request)), options=request.options, dry_run=request.dry_run
        )
        if request.HasField("wait"):
            made.wait.CopyFrom(request.wait)
        elif request.HasField("async_processing") and not request.async_processing:
            made.wait.seconds = LONGEST_WAIT_S
        if request.HasField("budget_limit_usd") and not request.options.HasField("budget_limit_usd"):
            made.options.budget_limit_usd = request.budget_limit_usd
        run = await self._views.runs.create(made, call)
        if not request.async_processing and request.HasField("async_processing") and run.HasField("end_time"):
            return run
        http_answer.answered(call, 202)
        if older_executions.is_older(call):
            given = plain(json_format.MessageToDict(run.work.pipeline.input_data))
            estimate = estimated(run.work.pipeline.definition, given, self._order, call)
            older_executions.accepted(run, estimate, call)
        return run

    async def CreatePipeline(self, request: pb.CreatePipelineRequest, call: Call) -> pb.Pipeline:
        """New pipeline; HTTP status 201. Errors: InvalidFields, Conflict."""
        http_answer.answered(call, 201)
        return await self._pipelines.create(request, call.principal.tenant_id, call.principal.name)

    async def GetPipeline(self, request: pb.GetPipelineRequest, call: Call) -> pb.Pipeline:
        """Pipeline by id or name. Errors: PipelineNotFound; RunNotFound of an execution on the older path."""
        if older_executions.is_older(call) and request.pipeline_id.startswith(older_executions.PREFIX):
            asked = pb.GetPipelineProgressRequest(execution_id=request.pipeline_id)
            older_executions.shown(await self.GetPipelineProgress(asked, call), call)
            return pb.Pipeline()
        return await self._pipelines.get(request.pipeline_id, call.principal.tenant_id)

    async def ListPipelines(self, request: pb.ListPipelinesRequest, call: Call) -> pb.ListPipelinesResponse:
        """Page of pipelines, by their names."""
        return await self._pipelines.page(request, call.principal.tenant_id)

    async def UpdatePipeline(self, request: pb.UpdatePipelineRequest, call: Call) -> pb.Pipeline:
        """Change of a pipeline. Errors: those of PipelineLibrary.update()."""
        return await self._pipelines.update(request, call.principal.tenant_id, call.principal.name)

    async def DeletePipeline(
        self, request: pb.DeletePipelineRequest, call: Call
    ) -> pb.DeletePipelineResponse:
        """End of a pipeline; HTTP status 204. Errors: PipelineNotFound, PipelineProtected, EtagMismatch."""
        await self._pipelines.delete(request, call.principal.tenant_id)
        http_answer.answered(call, 204)
        return pb.DeletePipelineResponse()

    async def ListPipelineVersions(
        self, request: pb.ListPipelineVersionsRequest, call: Call
    ) -> pb.ListPipelineVersionsResponse:
        """Page of versions, the newest first. Errors: PipelineNotFound."""
        return await self._pipelines.versions(request, call.principal.tenant_id)

    async def GetPipelineVersion(
        self, request: pb.GetPipelineVersionRequest, call: Call
    ) -> pb.PipelineVersion:
        """One version. Errors: PipelineNotFound."""
        tenant_id = call.principal.tenant_id
        return await self._pipelines.version(request.pipeline_id, request.version, tenant_id)

    async def ValidatePipeline(
        self, request: pb.ValidatePipelineRequest, call: Call
    ) -> pb.ValidatePipelineResponse:
        """Faults of a definition."""
        return library.validated(request)

    async def EstimatePipeline(
        self, request: pb.EstimatePipelineRequest, call: Call
    ) -> pb.EstimatePipelineResponse:
        """Cost and time of a pipeline. Errors: InvalidFields, PipelineNotFound."""
        work = _work(request)
        await self._pipelines.pin(work, call.principal.tenant_id)
        given = plain(json_format.MessageToDict(work.input_data))
        found = estimated(work.definition, given, self._order, call)
        response = _shown(found, _warnings(work.definition, found))
        try:
            await self._budgets.check(call, found.ticks or 0)
        except BudgetExceeded as error:
            response.budget_status, response.can_execute = "blocked", False
            response.warning = "; ".join(part for part in (response.warning, str(error)) if part)
        return response

    async def GetPipelineProgress(
        self, request: pb.GetPipelineProgressRequest, call: Call
    ) -> pb.PipelineProgress:
        """How far an execution is. Errors: RunNotFound."""
        progress = await self._views.progress(older_executions.run_id(request.execution_id), call)
        older_executions.name(progress, call)
        return progress

    async def GetPipelineResult(self, request: pb.GetPipelineResultRequest, call: Call) -> PipelineResult:
        """Result of an execution that has ended. Errors: RunNotFound, RunState (it has not ended)."""
        result = PipelineResult()  # of this call alone
        result.CopyFrom(await self._views.result(older_executions.run_id(request.execution_id), call))
        older_executions.name(result, call)
        return result

    async def ListPipelineCapabilities(
        self, request: pb.ListPipelineCapabilitiesRequest, call: Call
    ) -> pb.ListPipelineCapabilitiesResponse:
        """Capabilities of steps, with the providers that the caller's key may use."""
        response = pb.ListPipelineCapabilitiesResponse()
        (after,) = page_tokens.place(request, str) or ("",)
        size = page_tokens.size(request, DEFAULT_PAGE)
        names = sorted(name for name in CAPABILITIES if name > after)
        for name in names[:size]:
            doing = CAPABILITIES[name]
            providers = [one for one in self._order.names(doing) if self._order.is_allowed(one, call)]
            shown = response.capabilities.add(capability=name, providers=providers, work=doing.member)
            if providers:
                shown.default_provider = providers[0]
        if len(names) > size:
            response.next_page_token = page_tokens.token(request, names[size - 1])
        return response


def _work(request: pb.ExecutePipelineRequest | pb.EstimatePipelineRequest) -> PipelineWork:
    work = PipelineWork(input_data=request.input_data)
    if request.HasField("arguments"):
        work.arguments.CopyFrom(request.arguments)
    for name in ("pipeline_name", "pipeline_version"):
        if request.HasField(name):
            setattr(work, name, getattr(request, name))
    if request.HasField("definition"):
        work.definition.CopyFrom(request.definition)
    return work


def _warnings(definition: PipelineDefinition, found: Estimate) -> Sequence[str]:
    """Steps that nobody would do."""
    return [
        f"no provider offers {step.capability} (step {step.name})"
        for step in definition.steps
        if not found.steps[step.name].providers
    ]


def _shown(found: Estimate, warnings: Sequence[str]) -> pb.EstimatePipelineResponse:
    response = pb.EstimatePipelineResponse(
        estimated_duration_seconds=found.seconds, budget_status="allowed", can_execute=not warnings
    )
    if found.ticks is not None:
        response.estimated_cost_usd = usd_of(found.ticks)
    if warnings:
        response.warning = "; ".join(warnings)
    for name, step in found.steps.items():
        shown = response.step_estimates[name]
        shown.providers[:] = step.providers
        shown.estimated_duration_seconds = step.seconds
        shown.input_tokens, shown.output_tokens = step.input_tokens, step.output_tokens
        if step.ticks is not None:
            shown.estimated_cost_usd = usd_of(step.ticks)
    return response
