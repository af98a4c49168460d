"""Budgets of tenants: set, read and deleted; each change is audited, and holds here at once."""

from datetime import UTC, datetime

from genai_spine import page_tokens
from genai_spine.access import scopes
from genai_spine.access.audit import AuditLog
from genai_spine.billing.budgets import EACH, Budgets
from genai_spine.budgets import changes
from genai_spine.call import Call
from genai_spine.errors import BudgetNotFound, EtagMismatch, PermissionDenied
from genai_spine.store.booking.budgets import BudgetRows
from genai_spine.store.booking.periods import period_start
from genai_spine.v1 import budget_service_pb2 as pb
from genai_spine.v1.budget_pb2 import Budget

DEFAULT_PAGE_SIZE = 50
TRIES = 5  # of a change without an etag, while others change the same budget


class BudgetLibrary:
    """Budgets of the tenant of whoever calls, and of others for who may act for them."""

    def __init__(self, rows: BudgetRows, budgets: Budgets, audit: AuditLog) -> None:
        self.rows, self.budgets, self.audit = rows, budgets, audit

    async def set(self, request: pb.SetBudgetRequest, call: Call) -> Budget:
        """New budget, or a change of the one that is there.

        Errors: InvalidFields, PermissionDenied, EtagMismatch.
        """
        named = changes.named(request.budget, call.principal.tenant_id)
        if named.tenant_id == EACH:
            _check_acts(call)
        for attempt in range(TRIES):
            present = await self.rows.named(named)
            etag = request.budget.etag if request.budget.HasField("etag") else None
            if etag is not None and (present is None or etag != present.etag):
                raise EtagMismatch(resource="the budget", etag=present.etag if present else "")
            changed = changes.merged(named, present, request)
            try:
                return await self._write(changed, present, call)
            except EtagMismatch:
                if etag is not None or attempt == TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    async def _write(self, changed: Budget, present: Budget | None, call: Call) -> Budget:
        """Budget as it is stored, with its counter. Errors: EtagMismatch (somebody else has changed it)."""
        entry = self.audit.entry(call, "budgets.set", target_of(changed), changes.details(changed, present))
        stored = await self.rows.upsert(changed, entry, seen=present.revision if present else 0)
        await self.budgets.refresh()
        if stored.node_key != EACH and stored.enabled:
            # It begins with what its period has cost, for whoever looks before the next call.
            start = period_start(stored.period, datetime.now(UTC))
            await self.rows.open_counters([(stored.id, stored.node_key, start)])
        return await self._with_counter(stored)

    async def get(self, id: int, call: Call) -> Budget:
        """Budget with its counter. Errors: BudgetNotFound."""
        return await self._with_counter(await self._own(id, call))

    async def page(self, request: pb.ListBudgetsRequest, call: Call) -> pb.ListBudgetsResponse:
        """Page of a tenant's budgets, each with its counter.

        Errors: InvalidFields (page token), PermissionDenied.
        """
        if request.all_tenants:
            _check_acts(call)
        tenant_id = EACH if request.all_tenants else call.principal.tenant_id
        (after,) = page_tokens.place(request, page_tokens.NUMBER) or (0,)
        size = page_tokens.size(request, DEFAULT_PAGE_SIZE)
        found = await self.rows.page(request, tenant_id, size + 1, after)
        response = pb.ListBudgetsResponse()
        counters = await self.rows.fullest([budget.id for budget in found[:size]], datetime.now(UTC))
        for budget in found[:size]:
            response.budgets.append(budget)
            if (counter := counters.get(budget.id)) is not None:
                response.budgets[-1].counter.CopyFrom(counter)
        if len(found) > size:
            response.next_page_token = page_tokens.token(request, found[size - 1].id)
        return response

    async def counters(
        self, request: pb.ListBudgetCountersRequest, call: Call
    ) -> pb.ListBudgetCountersResponse:
        """Page of a budget's counters of now. Errors: InvalidFields (page token), BudgetNotFound."""
        budget = await self._own(request.budget_id, call)
        (after,) = page_tokens.place(request, page_tokens.NUMBER) or (0,)
        size = page_tokens.size(request, DEFAULT_PAGE_SIZE)
        found = await self.rows.counters([budget.id], datetime.now(UTC), size=size + 1, after=after)
        response = pb.ListBudgetCountersResponse(counters=found[:size])
        if len(found) > size:
            response.next_page_token = page_tokens.token(request, found[size - 1].id)
        return response

    async def delete(self, request: pb.DeleteBudgetRequest, call: Call) -> None:
        """End of a budget. Errors: BudgetNotFound, EtagMismatch."""
        budget = await self._own(request.budget_id, call)
        if request.HasField("etag") and request.etag != budget.etag:
            raise EtagMismatch(resource=f"budget '{budget.id}'", etag=budget.etag)
        details = {**changes.shown(budget), "lowered": False}
        entry = self.audit.entry(call, "budgets.delete", target_of(budget), details)
        seen = budget.revision if request.HasField("etag") else None
        if not await self.rows.delete(budget.id, entry, seen):
            raise BudgetNotFound(budget=str(budget.id))
        await self.budgets.refresh()

    async def _own(self, id: int, call: Call) -> Budget:
        """Budget that the caller may see. Errors: BudgetNotFound, also of a foreign one."""
        budget = await self.rows.get(id)
        if budget.tenant_id == call.principal.tenant_id or (budget.tenant_id == EACH and acts(call)):
            return budget
        raise BudgetNotFound(budget=str(id))

    async def _with_counter(self, budget: Budget) -> Budget:
        counters = await self.rows.fullest([budget.id], datetime.now(UTC))
        if budget.id in counters:
            budget.counter.CopyFrom(counters[budget.id])
        return budget


def _check_acts(call: Call) -> None:
    """Errors: PermissionDenied."""
    if not acts(call):
        raise PermissionDenied(scope=scopes.ACT)


def acts(call: Call) -> bool:
    """Whether the caller may act for other tenants."""
    held = call.principal.scopes
    return held is None or scopes.ACT in held


def target_of(budget: Budget) -> str:
    """Budget as the audit log names it: by what it limits, for its number is not known before it is made."""
    node, period = changes.word(budget, "node"), changes.word(budget, "period")
    return f"budget:{budget.tenant_id}/{period}/{node}/{budget.node_key}"
