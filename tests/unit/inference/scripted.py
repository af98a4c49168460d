"""An inference over scripted providers and a ledger in memory."""

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

from genai_spine.billing.price_book import PriceBook
from genai_spine.call import Call, PaidAnswer
from genai_spine.delivery.delivery import Delivery
from genai_spine.delivery.response_cache import ResponseCache
from genai_spine.delivery.shared_call import SharedCalls
from genai_spine.inference.attempt import Accounting, Attempt
from genai_spine.inference.estimate import ReserveRules
from genai_spine.inference.failover import Failover
from genai_spine.inference.inference import Inference, RetryRules
from genai_spine.inference.operation import Operation
from genai_spine.providers.base import Endpoint, Option, Provider, Route
from genai_spine.routing.circuit_breaker import UpstreamLimits
from genai_spine.routing.router import Router
from genai_spine.routing.upstream import Upstream
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, message_pb2, usage_pb2
from genai_spine.v1 import media_service_pb2 as media

PRICES = PriceBook.load()
MODEL = "gpt-4o-mini"
REPORTED = usage_pb2.PROVENANCE_PROVIDER_REPORTED


def usage(input_tokens: int = 10, output_tokens: int = 5) -> usage_pb2.Usage:
    return usage_pb2.Usage(
        input_tokens=input_tokens,
        uncached_input_tokens=input_tokens,
        output_tokens=output_tokens,
        visible_output_tokens=output_tokens,
        total_tokens=input_tokens + output_tokens,
        input_provenance=REPORTED,
        output_provenance=REPORTED,
    )


def asked(text: str = "Hello", model: str = f"openai:{MODEL}", **fields: Any) -> pb.CreateCompletionRequest:
    said = message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text=text)])
    return pb.CreateCompletionRequest(model=model, messages=[said], **fields)


def text_of(answer: pb.Completion) -> str:
    return "".join(part.text for choice in answer.choices for part in choice.message.content)


class Scripted(Provider):
    """Answers in turn, the last one again and again: texts or errors, when the gate is open."""

    def __init__(self, name: str, *answers: str | Exception, options: tuple[str, ...] = ()) -> None:
        super().__init__(Endpoint(name, default_model=MODEL))
        self.options = {field: Option(field) for field in (*options, "response_format", "temperature")}
        self.answers = list(answers or ("Hi",))
        self.seen: list[tuple[Any, Route]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.called = asyncio.Event()

    async def _next(self, request: Any, route: Route) -> str:
        self.seen.append((request, route))
        self.called.set()
        await self.gate.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def stream(
        self, request: pb.CreateCompletionRequest, route: Route, call: Call
    ) -> AsyncGenerator[pb.CompletionChunk]:
        text = await self._next(request, route)
        for word in text.split(" "):
            yield pb.CompletionChunk(id="theirs", model=route.model, choices=[pb.ChoiceDelta(content=word)])
        end = pb.ChoiceDelta(finish_reason=pb.FINISH_REASON_STOP)
        yield pb.CompletionChunk(choices=[end], usage=usage())

    async def complete(self, request: pb.CreateCompletionRequest, route: Route, call: Call) -> pb.Completion:
        text = await self._next(request, route)
        message = message_pb2.Message(content=[message_pb2.ContentPart(text=text)])
        choice = pb.Choice(message=message, finish_reason=pb.FINISH_REASON_STOP)
        return pb.Completion(id="theirs", model=route.model, choices=[choice], usage=usage())

    async def embed(
        self, request: pb.CreateEmbeddingsRequest, route: Route, call: Call
    ) -> pb.CreateEmbeddingsResponse:
        await self._next(request, route)
        return pb.CreateEmbeddingsResponse(model=route.model, embeddings=[pb.Embedding(values=[0.5])])

    async def create_images(
        self, request: media.CreateImagesRequest, route: Route, call: Call
    ) -> media.CreateImagesResponse:
        await self._next(request, route)
        return media.CreateImagesResponse(images=[media.Image(url="u")], units={"images": 1})

    async def transcribe(
        self, request: media.CreateTranscriptionRequest, route: Route, call: Call
    ) -> media.Transcription:
        return media.Transcription(text=await self._next(request, route))

    async def create_speech(
        self, request: media.CreateSpeechRequest, route: Route, call: Call
    ) -> AsyncGenerator[media.SpeechChunk]:
        text = await self._next(request, route)
        yield media.SpeechChunk(data=text.encode(), media_type="audio/mpeg")
        yield media.SpeechChunk(units=usage_pb2.UnitUsage(characters=len(request.input)))

    async def count_tokens(self, request: pb.CreateCompletionRequest, route: Route, call: Call) -> int:
        return len(await self._next(request, route))


class Rows:
    """The ledger's place: rows in the order of their settlement."""

    def __init__(self) -> None:
        self.begun: list[execution_pb2.Execution] = []
        self.settled: list[execution_pb2.Execution] = []
        self.answers: list[PaidAnswer] = []  # that came with settlements
        self.reservations: list[Any] = []  # of rate limits, one for each intent that was awaited

    def begin(self, execution: execution_pb2.Execution) -> None:
        self.begun.append(execution)
        execution.id = f"00000000-0000-7000-8000-{len(self.begun):012d}"

    async def reserve(self, execution: execution_pb2.Execution, rates: Any = None) -> None:
        self.begin(execution)
        self.reservations.append(rates)

    async def recorded(self, execution: execution_pb2.Execution) -> None:
        assert execution in self.begun

    def settle(
        self, execution: execution_pb2.Execution, answer: PaidAnswer | None = None
    ) -> "asyncio.Future[None]":
        if answer is not None:
            self.answers.append(answer)
        row = execution_pb2.Execution()
        row.CopyFrom(execution)
        self.settled.append(row)
        future = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    async def finish(self, execution: execution_pb2.Execution, answer: PaidAnswer | None = None) -> None:
        await self.settle(execution, answer)

    def book(self, execution: execution_pb2.Execution) -> "asyncio.Future[None]":
        return self.settle(execution)


class Limits:
    """The rate limiter's place: every call is let in; its reservation is the number of its tokens."""

    async def book(self, call: Call, tokens: int, booked: Any) -> None:
        await booked(tokens)


class World:
    """Everything below a service; providers by their names, the first one is the default."""

    def __init__(self, *providers: Scripted, retries: int = 0) -> None:
        self.providers = {provider.name: provider for provider in providers}
        self.rows = Rows()
        self.upstreams = {
            name: Upstream([provider], UpstreamLimits(failures=0))
            for name, provider in self.providers.items()
        }
        cache = ResponseCache(None, ttl_s=60, memory_bytes=1 << 20)
        background: Any = None
        stored: Any = None
        rows: Any = self.rows
        owners: Any = None  # no request of these tests uses a provider's file
        budgets: Any = SimpleNamespace(any=False)
        limits: Any = Limits()
        self.accounting = Accounting(rows, PRICES, owners, budgets, ReserveRules(), limits)
        self.inference = Inference(
            Router(self.providers, providers[0].name),
            self.upstreams,
            self.accounting,
            Delivery(cache, SharedCalls(), background, stored),
            RetryRules(retries),
        )

    def routes(self) -> list[Route]:
        return [Route(provider, MODEL) for provider in self.providers.values()]

    def operation(self, request: Any = None, kind: str = "completion", **fields: Any) -> Operation[Any]:
        return Operation(kind, asked() if request is None else request, Call(), self.routes(), **fields)

    async def attempt(self, operation: Operation[Any]) -> Attempt[Any]:
        failover = Failover(operation.routes, self.upstreams, operation.call, 0)
        slot = await failover.next_slot()
        return await Attempt(self.accounting, operation, failover, slot, operation.request).open()
