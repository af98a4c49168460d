"""The only caller of a provider: route, book the intent, call, try again, price, book the outcome.

Each provider call is one execution in the ledger, whatever becomes of it. Another attempt is made only
while nothing was delivered, and only here: no layer below or above repeats a call.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from random import uniform
from typing import TypeVar

import structlog

from genai_spine import tokens
from genai_spine.attempt import Attempt, Order
from genai_spine.call import Call
from genai_spine.errors import InternalError, ProviderUnavailable, RateLimited, SpineError
from genai_spine.ledger import Ledger
from genai_spine.pricing import PriceBook
from genai_spine.routing import Router
from genai_spine.v1 import completion_service_pb2 as pb

FIRST_DELAY_S = 0.5  # before the second attempt; doubled for each one after it
LONGEST_DELAY_S = 8.0
LONGEST_RETRY_AFTER_S = 20.0  # a provider that asks for more is left to the caller's own retry

T = TypeVar("T", pb.Completion, pb.CreateEmbeddingsResponse)
log = structlog.get_logger()


class Inference:
    def __init__(self, router: Router, ledger: Ledger, prices: PriceBook, retries: int = 3) -> None:
        """retries: attempts after the first one."""
        self.router = router
        self.ledger = ledger
        self.prices = prices
        self.retries = retries

    async def complete(self, request: pb.CreateCompletionRequest, call: Call) -> pb.Completion:
        """Errors: those of routing, ProviderFailure, ProviderTimeout, DeadlineExceeded."""
        order = self._order(request, call)

        async def once(attempt: Attempt) -> pb.Completion:
            completion = await order.route.provider.complete(request, call)
            if not completion.HasField("usage"):
                completion.usage.CopyFrom(_estimated(request, completion))
            if completion.id:
                attempt.execution.provider_response_id = completion.id
            completion.id = attempt.answer_id("comp_")
            return completion

        return await self._until_done(order, once)

    async def embed(self, request: pb.CreateEmbeddingsRequest, call: Call) -> pb.CreateEmbeddingsResponse:
        """Errors: as complete()."""
        requested = request.model
        route = self.router.resolve(request.provider, requested, embedding=True)
        request.provider, request.model = route.provider.name, route.model

        async def once(attempt: Attempt) -> pb.CreateEmbeddingsResponse:
            response = await route.provider.embed(request, call)
            if not response.HasField("usage"):
                given = tokens.estimate_inputs(request)
                response.usage.CopyFrom(tokens.usage(given, 0, output=pb.PROVENANCE_ESTIMATED))
            return response

        return await self._until_done(Order("embeddings", request, requested, route, call), once)

    async def stream(
        self, request: pb.CreateCompletionRequest, call: Call
    ) -> AsyncGenerator[pb.CompletionChunk]:
        """Chunks as they come; one more at the end has usage and cost. Errors: as complete()."""
        order = self._order(request, call, streamed=True)
        for number in range(1, self.retries + 2):
            attempt = Attempt(self.ledger, self.prices, order, number)
            try:
                async with aclosing(attempt.metered(order.route.provider.stream(request, call))) as chunks:
                    async for chunk in chunks:
                        yield chunk
                yield await attempt.finished()
                return
            except SpineError as error:
                await attempt.failed(error)
                await self._before_another(error, number, call, delivered=attempt.delivered)
            except (asyncio.CancelledError, GeneratorExit):
                attempt.cancelled()
                raise
            except Exception as error:
                await attempt.failed(InternalError())
                raise InternalError() from error

    def _order(self, request: pb.CreateCompletionRequest, call: Call, *, streamed: bool = False) -> Order:
        """Routes the request, which from then on names the provider and the upstream's model."""
        requested = request.model
        route = self.router.resolve(request.provider, requested)
        request.provider, request.model = route.provider.name, route.model
        route.provider.check_options(request)
        return Order("completion", request, requested, route, call, streamed)

    async def _until_done(self, order: Order, once: Callable[[Attempt], Awaitable[T]]) -> T:
        for number in range(1, self.retries + 2):
            attempt = Attempt(self.ledger, self.prices, order, number)
            try:
                return await attempt.settled(await once(attempt))
            except SpineError as error:
                await attempt.failed(error)
                await self._before_another(error, number, order.call)
            except asyncio.CancelledError:
                attempt.cancelled()
                raise
            except Exception as error:
                await attempt.failed(InternalError())
                raise InternalError() from error
        raise InternalError()  # not reached: _before_another raises after the last attempt

    async def _before_another(
        self, error: SpineError, number: int, call: Call, *, delivered: bool = False
    ) -> None:
        """Waits until the next attempt is due; raises the error when there is none."""
        delay_s = None if delivered or number > self.retries else _delay_s(error, number)
        if delay_s is None or (call.remaining_s is not None and delay_s >= call.remaining_s):
            raise error
        log.info("provider_retry", request_id=call.request_id, delay_s=round(delay_s, 2), cause=str(error))
        await asyncio.sleep(delay_s)


def _delay_s(error: SpineError, number: int) -> float | None:
    """None: another attempt cannot help, or would come too late."""
    if not isinstance(error, RateLimited | ProviderUnavailable):
        return None
    if error.retry_after_s is not None:
        return error.retry_after_s if error.retry_after_s <= LONGEST_RETRY_AFTER_S else None
    return uniform(0.5, 1.0) * min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** (number - 1))


def _estimated(request: pb.CreateCompletionRequest, completion: pb.Completion) -> pb.Usage:
    return tokens.usage(
        tokens.estimate_input(request),
        tokens.estimate_answer(completion),
        tokens.estimate_reasoning(completion),
        output=pb.PROVENANCE_ESTIMATED,
    )
