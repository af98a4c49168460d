"""Library of pipelines: those that come along, and those of a tenant with their versions."""

from functools import lru_cache
from importlib.resources import files

from google.protobuf import json_format

from genai_spine import page_tokens
from genai_spine.call import Call
from genai_spine.costs import usd_of
from genai_spine.errors import Conflict, InvalidFields, PipelineNotFound, PipelineProtected
from genai_spine.pipelines import PIPELINES, arguments, definition, yaml_format
from genai_spine.pipelines.estimate import estimated
from genai_spine.pipelines.provider_order import ProviderOrder
from genai_spine.pipelines.step_requests import plain
from genai_spine.store.pipelines.pipelines import PipelineRows
from genai_spine.v1 import pipeline_service_pb2 as pb
from genai_spine.v1.pipeline_pb2 import PipelineDefinition, PipelineWork

PATH = "work.pipeline"  # of the pipeline in a request
DEFAULT_PAGE, DEFAULT_VERSIONS = 100, 50
NO_NUMBER = 1 << 40  # beyond the number of any version


class PipelineLibrary:
    """Pipelines that tenants see. Deleted ones are found by their ids."""

    def __init__(self, rows: PipelineRows) -> None:
        self._rows = rows
        self.order: ProviderOrder | None = None  # of the configuration in force

    async def pin(self, work: PipelineWork, tenant_id: str) -> None:
        """Writes the definition that a run is made by into its work.

        Errors: PipelineNotFound, InvalidFields.
        """
        if work.pipeline_name:
            if work.HasField("definition"):
                raise InvalidFields([(f"{PATH}.definition", "cannot be used together with pipeline_name")])
            found = await self._version_of(work, tenant_id)
            is_shipped = work.pipeline_name in PIPELINES
            work.definition.CopyFrom(_with_arguments(found, work, is_shipped=is_shipped))
        elif work.HasField("arguments"):
            raise InvalidFields([(f"{PATH}.arguments", "needs pipeline_name")])
        elif not work.HasField("definition"):
            raise InvalidFields([(f"{PATH}.pipeline_name", "must be set, or definition")])
        elif work.HasField("pipeline_version"):
            raise InvalidFields([(f"{PATH}.pipeline_version", "needs pipeline_name")])
        else:
            definition.checked(work.definition, f"{PATH}.definition")

    async def create(self, request: pb.CreatePipelineRequest, tenant_id: str, principal: str) -> pb.Pipeline:
        """New pipeline with version 1. Errors: InvalidFields, Conflict (its name)."""
        pipeline = _of_request(request.pipeline)
        _check_name(pipeline)
        pipeline.created_by = principal
        await self._rows.insert(tenant_id, pipeline)
        return _shown(pipeline)

    async def get(self, key: str, tenant_id: str) -> pb.Pipeline:
        """Pipeline by its id or name. Errors: PipelineNotFound."""
        return _shown(await self._found(key, tenant_id))

    async def page(self, request: pb.ListPipelinesRequest, tenant_id: str) -> pb.ListPipelinesResponse:
        """Page of a list by names, without steps: those that come along stand on the first page."""
        size = page_tokens.size(request, DEFAULT_PAGE)
        (after,) = page_tokens.place(request, str) or ("",)
        among = [predefined(name) for name in PIPELINES]
        if request.tags:
            among = [one for one in among if {*request.tags} & {*one.definition.tags}]
        first = [] if after else among
        found = await self._rows.page(tenant_id, after, size + 1, request.tags)
        response = pb.ListPipelinesResponse()
        if len(found) > size:
            response.next_page_token = page_tokens.token(request, found[size - 1].definition.name)
        for one in (*first, *found[:size]):
            shown = _shown(one)
            shown.ClearField("definition")
            shown.ClearField("yaml")
            response.pipelines.append(shown)
        response.total = len(among) + await self._rows.count(tenant_id, request.tags)
        return response

    async def update(self, request: pb.UpdatePipelineRequest, tenant_id: str, principal: str) -> pb.Pipeline:
        """Another definition for a pipeline.

        Errors: InvalidFields, PipelineNotFound, PipelineProtected, Conflict (its name), EtagMismatch.
        """
        if unknown := [path for path in request.update_mask.paths if path not in ("definition", "yaml", "*")]:
            raise InvalidFields([("update_mask", f"'{unknown[0]}' is no field that can be changed")])
        pipeline = _of_request(request.pipeline)
        await self._own(request.pipeline_id, tenant_id)
        _check_name(pipeline)
        pipeline.created_by = principal
        etag = request.pipeline.etag if request.pipeline.HasField("etag") else None
        return _shown(await self._rows.update(tenant_id, request.pipeline_id, etag, pipeline))

    async def delete(self, request: pb.DeletePipelineRequest, tenant_id: str) -> None:
        """End of a pipeline. Errors: PipelineNotFound, PipelineProtected, EtagMismatch."""
        await self._own(request.pipeline_id, tenant_id)
        etag = request.etag if request.HasField("etag") else None
        await self._rows.delete(tenant_id, request.pipeline_id, etag)

    async def versions(
        self, request: pb.ListPipelineVersionsRequest, tenant_id: str
    ) -> pb.ListPipelineVersionsResponse:
        """Page of versions, the newest first. Errors: PipelineNotFound."""
        pipeline = await self._found(request.pipeline_id, tenant_id)
        if pipeline.is_system:
            return pb.ListPipelineVersionsResponse(versions=[_only_version(pipeline)])
        size = page_tokens.size(request, DEFAULT_VERSIONS)
        (before,) = page_tokens.place(request, page_tokens.NUMBER) or (NO_NUMBER,)
        found = await self._rows.versions(pipeline.id, before, size + 1)
        response = pb.ListPipelineVersionsResponse(versions=found[:size])
        if len(found) > size:
            response.next_page_token = page_tokens.token(request, found[size - 1].version)
        return response

    async def version(self, key: str, number: int, tenant_id: str) -> pb.PipelineVersion:
        """One version. Errors: PipelineNotFound."""
        pipeline = await self._found(key, tenant_id)
        found = _only_version(pipeline) if pipeline.is_system else None
        if not pipeline.is_system:
            found = await self._rows.version(pipeline.id, number)
        if found is None or found.version != number:
            raise await self._missing(f"{key}, version {number}", tenant_id)
        return found

    def cost_usd(self, work: PipelineWork, call: Call) -> float | None:
        """US dollars that a pinned pipeline is reckoned to cost; None: a step has no price."""
        if self.order is None:
            return None
        given = plain(json_format.MessageToDict(work.input_data))
        ticks = estimated(work.definition, given, self.order, call).ticks
        return None if ticks is None else usd_of(ticks)

    async def _version_of(self, work: PipelineWork, tenant_id: str) -> PipelineDefinition:
        """Definition that a run names. Errors: PipelineNotFound."""
        if work.HasField("pipeline_version"):
            found = await self.version(work.pipeline_name, work.pipeline_version, tenant_id)
            return found.definition
        pipeline = await self._found(work.pipeline_name, tenant_id)
        if not pipeline.is_active:
            raise await self._missing(work.pipeline_name, tenant_id)
        work.pipeline_version = pipeline.version
        return pipeline.definition

    async def _found(self, key: str, tenant_id: str) -> pb.Pipeline:
        if key in PIPELINES:
            return predefined(key)
        found = await self._rows.get(tenant_id, key)
        if found is None:
            raise await self._missing(key, tenant_id)
        return found

    async def _own(self, key: str, tenant_id: str) -> None:
        """Errors: PipelineNotFound, PipelineProtected."""
        found = await self._found(key, tenant_id)
        if found.is_system:
            raise PipelineProtected(pipeline=key)
        if not found.is_active:
            raise await self._missing(key, tenant_id)

    async def _missing(self, key: str, tenant_id: str) -> PipelineNotFound:
        names = sorted({*PIPELINES, *await self._rows.names(tenant_id)})
        return PipelineNotFound(requested_pipeline=key, available_pipelines=", ".join(names)[:2000])


def _with_arguments(found: PipelineDefinition, work: PipelineWork, *, is_shipped: bool) -> PipelineDefinition:
    """Definition with the arguments of a run. Errors: InvalidFields."""
    given = plain(json_format.MessageToDict(work.arguments))
    if given and not is_shipped:
        raise InvalidFields([(f"{PATH}.arguments", "are taken by pipelines that come with the service")])
    try:
        return arguments.applied(found, given)
    except InvalidFields as error:
        raise InvalidFields([(f"{PATH}.{path}", why) for path, why in error.violations]) from None


def _check_name(pipeline: pb.Pipeline) -> None:
    """Errors: Conflict."""
    if pipeline.definition.name in PIPELINES:
        raise Conflict(field="name", problem="a pipeline that comes with the service has it")


def validated(request: pb.ValidatePipelineRequest) -> pb.ValidatePipelineResponse:
    """Faults of a definition, or of its YAML form."""
    response = pb.ValidatePipelineResponse()
    try:
        if request.HasField("yaml") is request.HasField("definition"):
            raise InvalidFields([("definition", "must be set, or yaml")])
        found = yaml_format.read(request.yaml) if request.HasField("yaml") else request.definition
        faults = definition.faults(found)
    except InvalidFields as error:
        faults = list(error.violations)
    for path, message in faults:
        response.faults.add(path=path, message=message)
    if not faults:
        response.valid = True
        response.definition.CopyFrom(definition.checked(found))
        response.yaml = yaml_format.written(response.definition)
    return response


@lru_cache(32)
def _read(name: str) -> pb.Pipeline:
    text = (files("genai_spine.pipelines") / "predefined" / f"{name}.yaml").read_text()
    found = pb.Pipeline(id=name, version=1, is_system=True, is_active=True, etag="1")
    found.definition.CopyFrom(definition.checked(yaml_format.read(text)))
    return found


def predefined(name: str) -> pb.Pipeline:
    """Pipeline that comes along; its id is its name."""
    found = pb.Pipeline()
    found.CopyFrom(_read(name))
    return found


def _of_request(given: pb.Pipeline) -> pb.Pipeline:
    """Pipeline of a request, checked. Errors: InvalidFields."""
    if given.HasField("yaml") is given.HasField("definition"):
        raise InvalidFields([("pipeline.definition", "must be set, or yaml")])
    pipeline = pb.Pipeline(change_notes=given.change_notes)
    found = yaml_format.read(given.yaml) if given.HasField("yaml") else given.definition
    pipeline.definition.CopyFrom(definition.checked(found, "pipeline.definition"))
    return pipeline


def _shown(pipeline: pb.Pipeline) -> pb.Pipeline:
    """Pipeline with what is said of it in few words."""
    found = pipeline.definition
    pipeline.name, pipeline.description = found.name, found.description
    pipeline.tags[:] = found.tags
    pipeline.step_count = len(found.steps)
    pipeline.required_capabilities[:] = definition.required_capabilities(found)
    if found.HasField("estimated_duration_s"):
        pipeline.estimated_duration_seconds = found.estimated_duration_s
    if found.HasField("estimated_cost_usd"):
        pipeline.estimated_cost_usd = found.estimated_cost_usd
    pipeline.yaml = yaml_format.written(found)
    pipeline.ClearField("change_notes")
    return pipeline


def _only_version(pipeline: pb.Pipeline) -> pb.PipelineVersion:
    return pb.PipelineVersion(pipeline_id=pipeline.id, version=1, definition=pipeline.definition)
