"""CapabilityService: one RPC for each row of CAPABILITIES, a stream of any of them, and their list."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from google.protobuf.message import Message

from genai_spine.call import Call
from genai_spine.capabilities import CAPABILITIES, base
from genai_spine.capabilities.context import CapabilityDependencies, Context, ModelLimits
from genai_spine.capabilities.listing import CapabilityList
from genai_spine.catalog.models import Catalog
from genai_spine.v1 import capability_service_pb2 as pb
from genai_spine.v1 import model_service_pb2

LOOKUP_THRESHOLD_BYTES = 8_000  # bytes; for a smaller request no provider is asked how much its model takes


class CatalogModels:
    """Model limits from the catalog, as capabilities need them."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def limits(self, provider: str, model: str, size: int) -> ModelLimits:
        """Limits of a model; size: bytes of the request. Errors: those of routing."""
        route = self._catalog.router.resolve(provider, model)
        name = route.provider.name
        length = self._catalog.context_length(name, route.model)
        if length is None and size > LOOKUP_THRESHOLD_BYTES:
            await self._catalog.page(model_service_pb2.ListModelsRequest(provider=name), Call())
            length = self._catalog.context_length(name, route.model)
        return ModelLimits(name, route.model, length)


_listing = CapabilityList(CAPABILITIES)  # the same for every configuration


class CapabilityService:
    """RPCs of capabilities."""

    def __init__(self, services: CapabilityDependencies) -> None:
        self._services = services

    async def Summarize(self, request: pb.SummarizeRequest, call: Call) -> Message:
        """Summary of a text."""
        return await self._run("summarize", request, call)

    async def Extract(self, request: pb.ExtractRequest, call: Call) -> Message:
        """Named entities in a text."""
        return await self._run("extract", request, call)

    async def Classify(self, request: pb.ClassifyRequest, call: Call) -> Message:
        """Categories of a text."""
        return await self._run("classify", request, call)

    async def Compare(self, request: pb.CompareRequest, call: Call) -> Message:
        """Changes between two documents."""
        return await self._run("compare", request, call)

    async def Rewrite(self, request: pb.RewriteRequest, call: Call) -> Message:
        """Text in another form or tone."""
        return await self._run("rewrite", request, call)

    async def InferTitle(self, request: pb.InferTitleRequest, call: Call) -> Message:
        """Title of a text."""
        return await self._run("infer-title", request, call)

    async def GenerateCommit(self, request: pb.GenerateCommitRequest, call: Call) -> Message:
        """Commit message for changed files."""
        return await self._run("generate-commit", request, call)

    async def AnalyzeCoaching(self, request: pb.AnalyzeCoachingRequest, call: Call) -> Message:
        """Coaching of a conversation."""
        return await self._run("analyze-coaching", request, call)

    async def AnalyzeSentiment(self, request: pb.AnalyzeSentimentRequest, call: Call) -> Message:
        """Sentiment of a text."""
        return await self._run("analyze-sentiment", request, call)

    async def AnswerQuestion(self, request: pb.AnswerQuestionRequest, call: Call) -> Message:
        return await self._run("answer-question", request, call)

    async def Tag(self, request: pb.TagRequest, call: Call) -> Message:
        return await self._run("tag", request, call)

    async def DetectLanguage(self, request: pb.DetectLanguageRequest, call: Call) -> Message:
        return await self._run("detect-language", request, call)

    async def Translate(self, request: pb.TranslateRequest, call: Call) -> Message:
        return await self._run("translate", request, call)

    async def Paraphrase(self, request: pb.ParaphraseRequest, call: Call) -> Message:
        return await self._run("paraphrase", request, call)

    async def Correct(self, request: pb.CorrectRequest, call: Call) -> Message:
        return await self._run("correct", request, call)

    async def ExtractStructured(self, request: pb.ExtractStructuredRequest, call: Call) -> Message:
        return await self._run("extract-structured", request, call)

    async def Synthesize(self, request: pb.SynthesizeRequest, call: Call) -> Message:
        return await self._run("synthesize", request, call)

    async def DetectPii(self, request: pb.DetectPiiRequest, call: Call) -> Message:
        """Personal data in a text."""
        return await self._run("detect-pii", request, call)

    async def Redact(self, request: pb.RedactRequest, call: Call) -> Message:
        """Text without the personal data in it."""
        return await self._run("redact", request, call)

    async def StreamCapability(
        self, request: pb.StreamCapabilityRequest, call: Call
    ) -> AsyncGenerator[pb.CapabilityEvent]:
        member = request.WhichOneof("request") or ""
        capability, context = CAPABILITIES[member.replace("_", "-")], Context(self._services, call)
        async with aclosing(base.stream(capability, getattr(request, member), context)) as events:
            async for event in events:
                yield event

    async def ListCapabilities(
        self, request: pb.ListCapabilitiesRequest, call: Call
    ) -> pb.ListCapabilitiesResponse:
        return await asyncio.to_thread(_listing.page, request)

    async def _run(self, name: str, request: Message, call: Call) -> Message:
        response: Message = await CAPABILITIES[name].run(request, Context(self._services, call))
        return response
