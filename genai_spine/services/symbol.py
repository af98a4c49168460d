"""SymbolService: documentation of code symbols in batches, their events, estimates and health."""

import asyncio
from collections.abc import AsyncGenerator

from genai_spine.call import STRANGER, Call
from genai_spine.costs import sum_costs
from genai_spine.errors import InvalidRequest, ModelNotFound, ServiceUnavailable
from genai_spine.inference.inference import Inference
from genai_spine.providers.base import Route
from genai_spine.symbols.job import EventSink, Job, JobDependencies, prompts
from genai_spine.symbols.prompt import count_frame
from genai_spine.symbols.question import MAX_TOKENS, JobRules
from genai_spine.tokens import encodings
from genai_spine.tokens.tokenizer import Tokenizer
from genai_spine.v1 import symbol_service_pb2 as pb
from genai_spine.v1 import usage_pb2
from genai_spine.version import VERSION

ENCODING = "cl100k_base"  # by which prompts are counted, whatever the model
ENCODING_TIMEOUT_S = 1.0  # of a health check, for the encoding


class SymbolService:
    """RPCs of symbol documentation."""

    def __init__(self, inference: Inference, rules: JobRules) -> None:
        """Service over an inference without retries: calls about a symbol are repeated as the rules say."""
        self._inference = inference
        self._rules = rules
        self._jobs: set[Job] = set()

    def reconfigure(self, inference: Inference, rules: JobRules) -> None:
        """Replaces inference and rules for jobs that begin from now on."""
        self._inference = inference
        self._rules = rules

    async def DocumentSymbols(
        self, request: pb.DocumentSymbolsRequest, call: Call
    ) -> pb.DocumentSymbolsResponse:
        return await self.job(request, call, _unheard)

    async def job(
        self, request: pb.DocumentSymbolsRequest, call: Call, emit: EventSink
    ) -> pb.DocumentSymbolsResponse:
        """Response of a job. emit: gets each of its events. Errors: ServiceUnavailable."""
        job = await self._job(request, call)
        self._jobs.add(job)
        try:
            return await job.run(emit)
        finally:
            self._jobs.discard(job)

    async def StreamDocumentSymbols(
        self, request: pb.DocumentSymbolsRequest, call: Call
    ) -> AsyncGenerator[pb.SymbolEvent]:
        job = await self._job(request, call)
        self._jobs.add(job)
        queue: asyncio.Queue[pb.SymbolEvent | None] = asyncio.Queue()
        task = asyncio.create_task(job.run(queue.put_nowait))
        task.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (event := await queue.get()) is not None:
                yield event
            await task
        finally:
            self._jobs.discard(job)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def EstimateDocumentSymbols(
        self, request: pb.DocumentSymbolsRequest, call: Call
    ) -> pb.EstimateDocumentSymbolsResponse:
        route, measure = self._route(), await _measure()
        asked = await prompts(request, self._rules.prompt_tokens, measure)
        estimate = pb.EstimateDocumentSymbolsResponse(
            symbol_count=len(asked),
            estimated_tokens=sum(prompt.tokens for prompt in asked),
            max_output_tokens=MAX_TOKENS * len(asked),
            shortened_count=sum(prompt.was_cut for prompt in asked),
            provider=route.provider.name,
            model=route.model,
            job_id=request.job_id,
        )
        frame, costs = count_frame(measure), []
        for prompt in asked:
            usage = usage_pb2.Usage(input_tokens=frame + prompt.tokens, output_tokens=MAX_TOKENS)
            costs.append(
                self._inference.prices.cost(
                    route.provider.name, route.model, usage, local=route.provider.local
                )
            )
            estimate.input_tokens += usage.input_tokens
        estimate.cost.CopyFrom(sum_costs(costs))
        return estimate

    async def GetSymbolHealth(
        self, request: pb.GetSymbolHealthRequest, call: Call
    ) -> pb.GetSymbolHealthResponse:
        """Whether batches can be documented; who comes without a key is not told by which model."""
        status = await self._status()
        model = "" if call.principal is STRANGER else self._rules.model
        return pb.GetSymbolHealthResponse(status=status, model=model, ready=status == "healthy")

    def stop(self) -> None:
        """Jobs begin no call any more and answer with what they have."""
        for job in self._jobs:
            job.stop("the server is stopping")

    async def _status(self) -> str:
        try:
            async with asyncio.timeout(ENCODING_TIMEOUT_S):
                await _measure()
        except TimeoutError:
            return "initializing"
        except ServiceUnavailable:
            return "unhealthy"
        try:
            self._route()
        except ServiceUnavailable:
            return "degraded"
        return "healthy"

    async def _job(self, request: pb.DocumentSymbolsRequest, call: Call) -> Job:
        """Job of a request. Errors: ServiceUnavailable."""
        model = self._route().model
        means = JobDependencies(self._inference.complete, self._rules, model, await _measure(), VERSION)
        return Job(request, call, means)

    def _route(self) -> Route:
        """Route of the model. Errors: ServiceUnavailable when no provider is configured for it."""
        try:
            return self._inference.router.resolve("", self._rules.model)
        except (InvalidRequest, ModelNotFound) as error:
            raise ServiceUnavailable(cause=error) from None


async def _measure() -> Tokenizer:
    """Tokenizer of the encoding. Errors: ServiceUnavailable when it is not on this machine."""
    encoding = await encodings.ready(ENCODING)
    if encoding is None:
        raise ServiceUnavailable(cause=f"the encoding {ENCODING} cannot be loaded")
    return Tokenizer(encoding)


def _unheard(event: pb.SymbolEvent) -> None:
    """Sink for events of a job that is not streamed."""
