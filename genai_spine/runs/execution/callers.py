"""Callers of runs: the call that a run's work is done with, on behalf of whoever submitted it."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from genai_spine.call import Call, Principal, RateAdmission, RunNodes
from genai_spine.runs.events import FLUSH_S
from genai_spine.store.runs.runs import RunRows, Submitter
from genai_spine.v1 import run_pb2 as pb
from genai_spine.v1.budget_pb2 import Budget
from genai_spine.v1.key_service_pb2 import KeyPermissions
from genai_spine.v1.rate_limits_pb2 import RateLimits

# Limits of a key and of its tenant, by the ids of tenant and key; None: there is no limit.
Limits = Callable[[str, str], Awaitable[tuple[RateLimits | None, RateLimits | None]]]


class RunBudgets(Protocol):
    """Budgets of single runs."""

    async def of_runs(self, tenant_id: str, run_ids: Sequence[str]) -> tuple[Budget, ...]:
        """Budgets of runs."""
        ...


@dataclass(frozen=True, slots=True)
class RunCallers:
    """Calls of runs."""

    rows: RunRows
    budgets: RunBudgets
    limits: Limits | None = None  # None: nobody has a limit
    lane: str = "cpu"  # that provider calls are booked on

    async def call(self, run: pb.Run, submitter: Submitter) -> Call:
        """Call on behalf of who submitted the run: with its key's permissions of then, and limits of now.

        CreateRun counts for no rate limit: the first provider call of each attempt does, and is refused where
        there is no room; those after it are counted.
        """
        principal = await self._principal(run, submitter)
        left_s = remaining_s(run)
        return Call(
            principal=principal,
            lane=self.lane,
            correlation_id=run.correlation_id if run.HasField("correlation_id") else None,
            cost_labels=dict(run.options.cost_labels),
            deadline=None if left_s is None else time.monotonic() + left_s,
            run_id=run.run_id,
            run_nodes=await self._nodes(run, submitter),
            end_user=run.options.user if run.options.HasField("user") else None,
            rate_admission=RateAdmission() if principal.is_limited else None,
            merge_s=FLUSH_S,
        )

    async def _principal(self, run: pb.Run, submitter: Submitter) -> Principal:
        key_limits = tenant_limits = None
        if self.limits is not None and submitter.api_key_id is not None:
            key_limits, tenant_limits = await self.limits(run.tenant_id, submitter.api_key_id)
        return Principal(
            name=run.principal,
            tenant_id=run.tenant_id,
            project_id=run.project_id if run.HasField("project_id") else None,
            key_id=submitter.api_key_id,
            permissions=_without_lanes(submitter.permissions),
            key_limits=key_limits,
            tenant_limits=tenant_limits,
        )

    async def _nodes(self, run: pb.Run, submitter: Submitter) -> RunNodes:
        """Run with its budgets, and those of the runs above it."""
        ids = [*await self.rows.above(run.run_id)] if run.HasField("parent_run_id") else []
        has_reservation = run.options.estimate_usd > 0
        if not ids and not submitter.has_budget:
            return RunNodes(run.root_run_id, has_reservation=has_reservation)
        budgets = await self.budgets.of_runs(run.tenant_id, [*ids, run.run_id])
        return RunNodes(run.root_run_id, budgets, has_reservation)


def _without_lanes(permissions: KeyPermissions | None) -> KeyPermissions | None:
    """Permissions for the calls of a run, whose lane was checked when it was submitted."""
    if permissions is None or not (permissions.allowed_lanes or permissions.denied_lanes):
        return permissions
    found = KeyPermissions()
    found.CopyFrom(permissions)
    found.ClearField("allowed_lanes")
    found.ClearField("denied_lanes")
    return found


def remaining_s(run: pb.Run) -> float | None:
    """Seconds that an attempt has from now on, by its timeout and the run's deadline; None: no limit."""
    options = run.options
    limits = [options.timeout.ToTimedelta().total_seconds()] if options.HasField("timeout") else []
    if options.HasField("deadline"):
        deadline = options.deadline.ToDatetime(UTC)
        limits.append((deadline - datetime.now(UTC)).total_seconds())
    return max(0.0, min(limits)) if limits else None
