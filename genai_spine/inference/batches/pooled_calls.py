"""Pooled calls: completions that go to a provider's batch API, each one a row of the ledger like any other.

The intent of each is on the books before its line is sent, with the most that it may cost; the answer's line
settles it at the batch's price, once, whoever reads it and however often. A line's id is that of its row, and
the row's request_id that of the batch, so that the ledger alone says what was sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from time import monotonic
from typing import ClassVar

from genai_spine.billing.terms import terms
from genai_spine.call import Call, uuid7
from genai_spine.errors import ProviderError, ProviderUnavailable, SchemaMismatch, SpineError
from genai_spine.guardrails.rules import rules_of
from genai_spine.inference import choices
from genai_spine.inference.attempt import Accounting, Attempt
from genai_spine.inference.failover import Failover, Slot
from genai_spine.inference.inference import Inference, finished, is_plain
from genai_spine.inference.operation import Completing, Operation
from genai_spine.providers.base import Route
from genai_spine.providers.batch_api import BatchApi, BatchedAnswer, Line
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2
from genai_spine.v1.execution_pb2 import Execution
from genai_spine.v1.usage_pb2 import Cost

KIND = "batch"  # of the operation
BATCH_TERMS = terms(batch=True)
UNSETTLED = (execution_pb2.EXECUTION_STATE_PENDING, execution_pb2.EXECUTION_STATE_LOST)
NOT_SENT = "the call was not sent"


@dataclass(frozen=True, slots=True)
class Poolable:
    """Completion that a provider takes as a part of a batch."""

    operation: Completing
    path: str  # of the provider's API

    @property
    def route(self) -> Route:
        """Candidate that answers it."""
        return self.operation.routes[0]

    @property
    def group(self) -> tuple[str, str, str]:
        """Provider, model and path: what the calls of one batch have in common."""
        return self.route.provider.name, self.route.model, self.path


class PooledAttempt(Attempt[pb.CreateCompletionRequest]):
    """Attempt whose answer comes with a batch, perhaps in another process."""

    def __init__(
        self,
        accounting: Accounting,
        operation: Completing,
        slot: Slot,
        request: pb.CreateCompletionRequest,
        execution: Execution | None = None,
    ) -> None:
        """execution: the ledger's row of one that was opened; None: it is to be opened."""
        super().__init__(accounting, operation, Failover((), {}, operation.call, 0), slot, request)
        if execution is not None:
            self.execution = execution
            age = datetime.now(UTC) - execution.create_time.ToDatetime(UTC)
            self.started = monotonic() - max(0.0, age.total_seconds())

    def _record_latency(self) -> None:
        """Says nothing: a batch tells routing nothing about how fast a call is."""


class PooledCalls:
    """Completions of batches, with one configuration."""

    attempt: ClassVar[type[PooledAttempt]] = PooledAttempt
    repairs: ClassVar[bool] = True  # an answer that does not fit its schema, by a further call

    def __init__(self, inference: Inference) -> None:
        self.inference = inference
        self.accounting = inference.accounting

    def row(self, execution: Execution) -> Execution:
        """Row that the answer to an opened call is booked in."""
        return execution

    def api(self, provider: str) -> BatchApi | None:
        """Batch API of a provider; None: it has none, or is not configured any more."""
        upstream = self.inference.upstreams.get(provider)
        return None if upstream is None else upstream.provider.batch_api

    def plan(self, request: pb.CreateCompletionRequest, call: Call) -> Poolable | None:
        """Completion as a part of a batch; None: it is called as usual, which says what is wrong with it.

        Only where the price book has the batch's price: else nobody knows that it is the lower one.
        """
        try:
            operation = self.inference.planned(request, call)
            route = operation.routes[0]
            api = route.provider.batch_api
            if rules_of(call) is not None:  # its guard hides what the line of a batch would show
                return None
            if api is None or not is_plain(request, call) or request.routing.hedge_after_ms:
                return None
            if choices.must_be_gathered(operation) or self.inference.may_not_fit(operation):
                return None
            prices = self.accounting.prices
            if not prices.has_terms(route.provider.name, route.model, BATCH_TERMS):
                return None
            return Poolable(operation, api.path(request, route))
        except SpineError:
            return None

    async def open(self, poolable: Poolable, call: Call) -> Line:
        """Line of a call whose intent is on the books. call: with the batch's id as its request_id.

        Errors: those of preparing the request and of budgets; nothing is sent then.
        """
        route = poolable.route
        operation = Operation(KIND, poolable.operation.request, call, [route])
        slot = self._slot(route)
        request = await self.inference.prepared(operation.request, slot, call)
        attempt = await PooledAttempt(self.accounting, operation, slot, request).open()
        try:
            return self._api(route).line(attempt.request, route, attempt.execution.id)
        except SpineError:
            self.withdraw([attempt.execution])
            raise

    def withdraw(self, executions: Sequence[Execution]) -> None:
        """Books calls that were never sent: they cost nothing."""
        for execution in executions:
            if execution.state in UNSETTLED:
                execution.state = execution_pb2.EXECUTION_STATE_CANCELLED
                execution.error = NOT_SENT
                execution.ClearField("usage")
                execution.cost.CopyFrom(Cost(price_known=True))
                self.accounting.ledger.settle(execution)

    async def settle(
        self, execution: Execution, request: pb.CreateCompletionRequest, answer: BatchedAnswer, call: Call
    ) -> pb.Completion:
        """Answer of a call, which is on the books when this returns or raises.

        Errors: what the provider says is wrong, SchemaMismatch where no repair helps.
        """
        operation = self._operation(execution, request, call)
        route = operation.routes[0]
        attempt = self.attempt(self.accounting, operation, self._slot(route), request, execution)
        is_open = execution.state in UNSETTLED
        try:
            if answer.unanswered:
                raise _unanswered(execution.provider, answer.unanswered)
            completion = await finished(attempt, self._api(route).read(answer, request, route))
        except SpineError as error:
            if is_open:
                await attempt.fail(error)
            if not (self.repairs and isinstance(error, SchemaMismatch)):
                raise
            fresh = replace(call, request_id=uuid7(), attempts=count(1))
            return await self.inference.repaired(replace(operation, kind="completion", call=fresh), error)
        if is_open:
            return await attempt.settle(completion)
        completion.model, completion.provider = completion.model or route.model, execution.provider
        completion.request_id, completion.execution_id = execution.request_id, execution.id
        completion.cost.CopyFrom(execution.cost)
        return completion

    async def miss(
        self, execution: Execution, request: pb.CreateCompletionRequest, why: str, *, is_lost: bool
    ) -> SpineError:
        """Books a call to which its batch has no answer, and says what is wrong.

        is_lost: the provider may have worked on it; else it has billed nothing.
        """
        error = _lost(execution.provider, why) if is_lost else _unanswered(execution.provider, why)
        if execution.state in UNSETTLED:
            operation = self._operation(execution, request, Call())
            slot = self._slot(operation.routes[0])
            await self.attempt(self.accounting, operation, slot, operation.request, execution).fail(error)
        return error

    def _operation(self, execution: Execution, request: pb.CreateCompletionRequest, call: Call) -> Completing:
        """Operation of a call that was opened, with its route as it would be planned now."""
        provider = self.inference.upstreams[execution.provider].provider
        bare = Route(provider, execution.model)
        try:
            planned = self.inference.planned(request, call).routes
        except SpineError:  # a price or a permission has changed since; the answer is there all the same
            planned = ()
        found = next((route for route in planned if route == bare), bare)
        return Operation(KIND, request, call, [found])

    def _slot(self, route: Route) -> Slot:
        """Slot of no limit: a batch takes no place of the calls that run."""
        upstream = self.inference.upstreams[route.provider.name]
        return Slot(route, upstream, upstream.key_slots[0])

    def _api(self, route: Route) -> BatchApi:
        api = route.provider.batch_api
        assert api is not None
        return api


def _unanswered(provider: str, why: str) -> ProviderUnavailable:
    return ProviderUnavailable(provider=provider, provider_code="batch_unanswered", provider_message=why)


def _lost(provider: str, why: str) -> ProviderError:
    return ProviderError(provider=provider, provider_code="batch_lost", provider_message=why)
