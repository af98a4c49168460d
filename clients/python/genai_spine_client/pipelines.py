"""Pipelines: a fluent builder of their definitions, and what keeps, estimates and executes them.

    call = (
        Pipeline("brief")
        .step("summary").capability("summarization").with_options(max_sentences=2).done()
        .step("german").capability("translate").with_options(target_language="de").input_from("summary")
        .when_exists("summary").optional().done()
        .build()
    )
    run = await spine.pipelines.execute(call, {"text": text})

What runs on the server is data: conditions and transforms are expressions of CEL, an undo action is work or a
webhook. Functions of this program are refused, by the method that was given one.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from genai_spine_client.errors import typed
from genai_spine_client.gen.genai_spine import v1
from genai_spine_client.gen.google.protobuf import Struct, Value

if TYPE_CHECKING:
    from genai_spine_client.client import Spine

Definition = v1.PipelineDefinition


def extract(path: str) -> v1.PipelineTransform:
    """One place within a value: keys with dots."""
    return v1.PipelineTransform(extract=path)


def mapped(**fields: str) -> v1.PipelineTransform:
    """An object of places within a value, by the names that they get."""
    return v1.PipelineTransform(map=v1.PipelineFields(fields=fields))


def merge(*keys: str) -> v1.PipelineTransform:
    """One object of several entries of the context."""
    return v1.PipelineTransform(merge=v1.PipelineKeys(keys=list(keys)))


def cel(text: str) -> v1.PipelineTransform:
    """Expression of the Common Expression Language about `value` and `context`."""
    return v1.PipelineTransform(cel=text)


class Pipeline:
    """Definition that is built method by method."""

    def __init__(self, name: str) -> None:
        self._made = Definition(name=name, version="1.0.0")
        self._open: Step | None = None

    def version(self, version: str) -> "Pipeline":
        """Version in the author's words; 1.0.0 unless it is said."""
        self._made.version = version
        return self

    def description(self, text: str) -> "Pipeline":
        """What it is for."""
        self._made.description = text
        return self

    def tags(self, *tags: str) -> "Pipeline":
        """Words to find it by."""
        self._made.tags = list(tags)
        return self

    def timeout(self, seconds: float) -> "Pipeline":
        """Most seconds that the whole may take."""
        self._made.timeout_s = float(seconds)
        return self

    def max_concurrent(self, steps: int) -> "Pipeline":
        """Steps that may run at once."""
        self._made.max_concurrent = steps
        return self

    def no_fail_fast(self) -> "Pipeline":
        """The other steps run when a required one has failed; it fails in the end."""
        self._made.fail_fast = False
        return self

    def with_compensation(self, timeout: float = 120.0) -> "Pipeline":
        """Completed steps are undone when a required step fails."""
        self._made.compensation, self._made.compensation_timeout_s = True, float(timeout)
        return self

    def no_compensation(self) -> "Pipeline":
        """Nothing is undone."""
        self._made.compensation = False
        return self

    def checkpoint(self, step: str) -> "Pipeline":
        """The event checkpoint.reached is written after that step."""
        self._made.checkpoints.append(step)
        return self

    def estimated_duration(self, seconds: float) -> "Pipeline":
        """Seconds that it is expected to take."""
        self._made.estimated_duration_s = float(seconds)
        return self

    def estimated_cost(self, usd: float) -> "Pipeline":
        """US dollars that it is expected to cost."""
        self._made.estimated_cost_usd = float(usd)
        return self

    def step(self, name: str) -> "Step":
        """Opens a step; its done() returns here."""
        return Step(name, self)

    def add_step(self, step: v1.PipelineStep) -> "Pipeline":
        """Adds a step that was built by itself."""
        self._made.steps.append(step)
        return self

    def add_steps(self, *steps: v1.PipelineStep) -> "Pipeline":
        """Adds several steps."""
        self._made.steps.extend(steps)
        return self

    def build(self) -> Definition:
        """The definition. Raises ValueError where it has no steps, or two of one name."""
        names = [step.name for step in self._made.steps]
        if not names:
            raise ValueError(f"pipeline {self._made.name} has no steps")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"pipeline {self._made.name} has two steps {twice}")
        return self._made


class Step:
    """Step that is built method by method; of a pipeline, or by itself."""

    def __init__(self, name: str, pipeline: Pipeline | None = None) -> None:
        self._made = v1.PipelineStep(name=name)
        self._pipeline = pipeline

    def description(self, text: str) -> "Step":
        """What it is for."""
        self._made.description = text
        return self

    def capability(self, name: str) -> "Step":
        """What is done, such as summarization."""
        self._made.capability = name
        return self

    def prefer_providers(self, *names: str) -> "Step":
        """Providers that are tried first, in this order."""
        self._made.preferred_providers = list(names)
        return self

    def require_quality(self, tier: str) -> "Step":
        """Only providers of this tier: economy, standard or premium."""
        self._made.quality = tier
        return self

    def with_options(self, **options: Any) -> "Step":
        """Fields of the request that does the work."""
        self._made.options = Struct.from_dict(options)
        return self

    def input_from(self, key: str, transform: v1.PipelineTransform | None = None) -> "Step":
        """Entry of the context that is the input."""
        self._made.input_from = key
        return self if transform is None else self.input_transform(transform)

    def input_transform(self, transform: v1.PipelineTransform) -> "Step":
        """Shapes the input: extract(), mapped(), merge() or cel()."""
        self._made.input_transform = _data("input_transform", transform, v1.PipelineTransform)
        return self

    def output_transform(self, transform: v1.PipelineTransform) -> "Step":
        """Shapes the output before it is stored."""
        self._made.output_transform = _data("output_transform", transform, v1.PipelineTransform)
        return self

    def output_as(self, key: str) -> "Step":
        """Key of the context for the output; the step's name unless it is said."""
        self._made.output_as = key
        return self

    def when(self, condition: str | v1.PipelineCondition) -> "Step":
        """Runs only if this holds: an expression of CEL about `context`, or a condition."""
        if isinstance(condition, str):
            condition = v1.PipelineCondition(cel=condition)
        self._made.when = _data("when", condition, v1.PipelineCondition)
        return self

    def when_exists(self, key: str) -> "Step":
        """Runs only if the context has this, and it is not null."""
        return self.when(v1.PipelineCondition(comparison=v1.PipelineComparison(path=key, operator="exists")))

    def when_equals(self, key: str, value: Any) -> "Step":
        """Runs only if the context has this value there."""
        made = v1.PipelineComparison(path=key, operator="eq", value=_value(value))
        return self.when(v1.PipelineCondition(comparison=made))

    def depends_on(self, *steps: str) -> "Step":
        """Steps that must have ended before."""
        self._made.depends_on = list(steps)
        return self

    def optional(self) -> "Step":
        """Not required: a failure fails nothing."""
        self._made.optional = True
        return self

    def continue_on_failure(self) -> "Step":
        """The pipeline goes on after a failure."""
        self._made.continue_on_failure = True
        return self

    def with_fallback(
        self,
        max_fallbacks: int = 3,
        allow_quality_degradation: bool = True,
        exclude_providers: tuple[str, ...] = (),
    ) -> "Step":
        """Other providers are tried when one has failed."""
        self._made.fallback = v1.PipelineFallback(
            enabled=True,
            max_fallbacks=max_fallbacks,
            allow_quality_degradation=allow_quality_degradation,
            exclude_providers=list(exclude_providers),
        )
        return self

    def no_fallback(self) -> "Step":
        """Only the first preferred provider is asked, or else the best one."""
        self._made.fallback = v1.PipelineFallback(enabled=False)
        return self

    def with_retry(
        self,
        max_attempts: int = 3,
        initial_delay_ms: int = 1000,
        exponential_backoff: bool = True,
        retryable_codes: tuple[str, ...] = (),
    ) -> "Step":
        """How often one provider is asked."""
        self._made.retry = v1.PipelineRetry(
            max_attempts=max_attempts,
            initial_delay_ms=initial_delay_ms,
            exponential_backoff=exponential_backoff,
            retryable_codes=list(retryable_codes),
        )
        return self

    def no_retry(self) -> "Step":
        """One attempt."""
        self._made.retry = v1.PipelineRetry(max_attempts=1)
        return self

    def timeout(self, seconds: float) -> "Step":
        """Most seconds of one attempt."""
        self._made.timeout_s = float(seconds)
        return self

    def compensate_with(
        self,
        action: "str | v1.PipelineAction",
        description: str = "",
        *,
        timeout: float = 30.0,
        required: bool = True,
    ) -> "Step":
        """Undo action: the address of a webhook, or work by its capability."""
        made = v1.PipelineCompensation(description=description, timeout_s=float(timeout), required=required)
        if isinstance(action, str):
            made.webhook_url = action
        else:
            made.work = _data("compensate_with", action, v1.PipelineAction)
        self._made.compensation = made
        return self

    def progress_weight(self, weight: float) -> "Step":
        """Its part of the progress, beside those of the others."""
        self._made.progress_weight = float(weight)
        return self

    def build(self) -> v1.PipelineStep:
        """The step. Raises ValueError without a capability."""
        if not self._made.capability:
            raise ValueError(f"step {self._made.name} has no capability")
        return self._made

    def done(self) -> Pipeline:
        """Back to the pipeline. Raises ValueError outside of one, or without a capability."""
        if self._pipeline is None:
            raise ValueError(f"step {self._made.name} is part of no pipeline; use build()")
        return self._pipeline.add_step(self.build())


class Pipelines:
    """`spine.pipelines`: the pipelines of the caller's tenant. Every call raises SpineError."""

    def __init__(self, spine: "Spine") -> None:
        self._spine = spine

    @property
    def stub(self) -> v1.PipelineServiceStub:
        """The generated client, for all that has no method here."""
        return v1.PipelineServiceStub(self._spine.channel)

    async def create(self, definition: Definition, change_notes: str | None = None) -> v1.Pipeline:
        """Keeps a pipeline: its version 1."""
        made = v1.Pipeline(definition=definition, change_notes=change_notes)
        return await self._call("create_pipeline", v1.CreatePipelineRequest(pipeline=made))

    async def get(self, name: str) -> v1.Pipeline:
        """A pipeline by its name or id."""
        return await self._call("get_pipeline", v1.GetPipelineRequest(pipeline_id=name))

    async def update(
        self, definition: Definition, *, etag: str | None = None, change_notes: str | None = None
    ) -> v1.Pipeline:
        """Another definition for the pipeline of its name: a version, where it differs."""
        made = v1.Pipeline(definition=definition, etag=etag, change_notes=change_notes)
        request = v1.UpdatePipelineRequest(pipeline_id=definition.name, pipeline=made)
        return await self._call("update_pipeline", request)

    async def delete(self, name: str, *, etag: str | None = None) -> None:
        """Ends a pipeline; its versions are found by its id."""
        await self._call("delete_pipeline", v1.DeletePipelineRequest(pipeline_id=name, etag=etag))

    async def list(self, *tags: str) -> AsyncIterator[v1.Pipeline]:
        """Pipelines by their names, without their steps."""
        token: str | None = None
        while token != "":
            request = v1.ListPipelinesRequest(tags=list(tags), page_token=token)
            page = await self._call("list_pipelines", request)
            for pipeline in page.pipelines:
                yield pipeline
            token = page.next_page_token

    async def validate(self, definition: "Definition | str") -> v1.ValidatePipelineResponse:
        """What is wrong with a definition, or with its YAML."""
        is_text = isinstance(definition, str)
        given = {"yaml": definition} if is_text else {"definition": definition}
        return await self._call("validate_pipeline", v1.ValidatePipelineRequest(**given))

    async def estimate(
        self, pipeline: "Definition | str", input_data: Mapping[str, Any] | None = None
    ) -> v1.EstimatePipelineResponse:
        """What a pipeline would cost and take; nobody is called."""
        request = v1.EstimatePipelineRequest(**_of(pipeline, input_data))
        return await self._call("estimate_pipeline", request)

    async def execute(
        self,
        pipeline: "Definition | str",
        input_data: Mapping[str, Any] | None = None,
        *,
        wait_s: float | None = None,
        **options: Any,
    ) -> v1.Run:
        """Submits a pipeline, by its name or as it is. options: fields of RunOptions."""
        request = v1.ExecutePipelineRequest(**_of(pipeline, input_data), options=v1.RunOptions(**options))
        if wait_s is not None:
            request.wait = timedelta(seconds=wait_s)
        return await self._call("execute_pipeline", request)

    async def _call(self, method: str, request: Any) -> Any:
        with typed():
            return await getattr(self.stub, method)(request, **self._spine._options())


def _of(pipeline: "Definition | str", input_data: Mapping[str, Any] | None) -> dict[str, Any]:
    given: dict[str, Any] = (
        {"pipeline_name": pipeline} if isinstance(pipeline, str) else {"definition": pipeline}
    )
    return given | {"input_data": Struct.from_dict(dict(input_data or {}))}


def _data(method: str, given: Any, kind: type) -> Any:
    """What was given. Raises TypeError for a function, which cannot travel."""
    if callable(given) or not isinstance(given, kind):
        raise TypeError(f"{method}() takes data, not a function: an expression of CEL, as cel('...')")
    return given


def _value(value: Any) -> Value:
    return Struct.from_dict({"v": value}).fields["v"]
