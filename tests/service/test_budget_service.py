"""Budgets set and read through the channel: what is spent, who may, and what becomes of mistakes."""

import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask

from genai_spine.v1 import audit_service_pb2 as audit
from genai_spine.v1 import budget_pb2, usage_service_pb2, usage_service_pb2_grpc
from genai_spine.v1 import budget_service_pb2 as pb
from genai_spine.v1.budget_service_pb2_grpc import BudgetServiceStub
from tests.databases import BOTH
from tests.money import violations
from tests.service.keyed import Keyed, bearer, keyed
from tests.service.running import Running, Upstreams, asked, failure, running
from tests.unit.providers.http.raw_server import RawServer, response
from tests.upstreams.reply import Reply, Usage
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

SMALL = Usage(prompt_tokens=10, completion_tokens=5)
DAILY, MONTHLY = budget_pb2.BUDGET_PERIOD_DAILY, budget_pb2.BUDGET_PERIOD_MONTHLY
SOFT = budget_pb2.BUDGET_POLICY_SOFT_BLOCK


def setting(*mask: str, **fields: Any) -> pb.SetBudgetRequest:
    update_mask = FieldMask(paths=mask) if mask else None
    given = {"period": DAILY} | fields
    return pb.SetBudgetRequest(budget=budget_pb2.Budget(**given), update_mask=update_mask)


@pytest_asyncio.fixture(loop_scope="session")
async def budgets(booked: Running) -> AsyncIterator[Any]:
    """Stub of the service, whose budgets are gone after the test."""
    stub: Any = BudgetServiceStub(booked.channel)
    yield stub
    for all_tenants in (False, True):
        found = await stub.ListBudgets(pb.ListBudgetsRequest(page_size=200, all_tenants=all_tenants))
        for budget in found.budgets:
            await stub.DeleteBudget(pb.DeleteBudgetRequest(budget_id=budget.id))


async def spend(service: Running, **fields: Any) -> int:
    """Ticks of a call."""
    service.openai.script(Reply("four", usage=SMALL))
    completion = await service.completions.CreateCompletion(asked(**fields))
    await service.rows(completion.request_id)
    return int(completion.cost.cost_ticks)


async def test_budget_that_was_set_refuses_the_next_call(booked: Running, budgets: Any) -> None:
    made = await budgets.SetBudget(setting(limit_usd=0.0001, policy=SOFT))
    assert (made.limit_ticks, made.limit_usd, made.node_key) == (10**6, 0.0001, "default-tenant")
    found = await failure(booked.completions.CreateCompletion(asked()))
    assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUDGET_EXCEEDED")
    raised = setting(raise_usd=10)
    raised.budget.raise_end_time.FromJsonString("2999-01-01T00:00:00Z")
    raised = await budgets.SetBudget(raised)
    assert (raised.id, raised.limit_usd, raised.counter.limit_usd) == (made.id, 0.0001, 10.0001)
    spent = await spend(booked)
    found = await budgets.GetBudget(pb.GetBudgetRequest(budget_id=made.id))
    assert found.counter.spent_ticks >= spent > 0
    await budgets.DeleteBudget(pb.DeleteBudgetRequest(budget_id=made.id))
    await booked.completions.CreateCompletion(asked())
    gone = await failure(budgets.GetBudget(pb.GetBudgetRequest(budget_id=made.id)))
    assert (gone.code, gone.reason) == (grpc.StatusCode.NOT_FOUND, "BUDGET_NOT_FOUND")
    assert gone.metadata == {"budget": str(made.id)}


async def test_new_budget_shows_what_its_period_has_cost(booked: Running, budgets: Any) -> None:
    spent = await spend(booked, user="kim")
    named = {"node": budget_pb2.BUDGET_NODE_END_USER, "node_key": "kim"}
    made = await budgets.SetBudget(setting(limit_usd=1, **named))
    assert (made.counter.spent_ticks, made.counter.reserved_ticks) == (spent, 0)
    assert made.counter.remaining_ticks == 10**10 - spent
    assert made.counter.used_percent == round(spent / 10**8, 2)
    more = await spend(booked, user="kim")
    [listed] = (await budgets.ListBudgets(pb.ListBudgetsRequest(node="BUDGET_NODE_END_USER"))).budgets
    assert listed.counter.spent_ticks == spent + more
    assert await violations(booked.database) == {}


async def test_each_node_of_a_star_has_a_counter(booked: Running, budgets: Any) -> None:
    made = await budgets.SetBudget(setting(limit_usd=1, node="BUDGET_NODE_END_USER", node_key="*"))
    assert not made.HasField("counter")
    spent = {name: await spend(booked, user=name) for name in ("lee", "mia", "noa")}
    spent["mia"] += await spend(booked, user="mia")
    pages, token = [], None
    while token != "":
        request = pb.ListBudgetCountersRequest(budget_id=made.id, page_size=2, page_token=token)
        pages.append(await budgets.ListBudgetCounters(request))
        token = pages[-1].next_page_token
    assert [len(page.counters) for page in pages] == [2, 1]
    assert {one.node_key: one.spent_ticks for page in pages for one in page.counters} == spent
    found = await budgets.GetBudget(pb.GetBudgetRequest(budget_id=made.id))
    assert (found.counter.node_key, found.counter.spent_ticks) == ("mia", spent["mia"])


async def test_lists_come_in_pages(budgets: Any) -> None:
    for key in ("a", "b", "c"):
        await budgets.SetBudget(setting(limit_usd=1, node="BUDGET_NODE_PROJECT", node_key=key))
    first = await budgets.ListBudgets(pb.ListBudgetsRequest(page_size=2))
    rest = await budgets.ListBudgets(pb.ListBudgetsRequest(page_size=2, page_token=first.next_page_token))
    assert [one.node_key for one in (*first.budgets, *rest.budgets)] == ["a", "b", "c"]
    assert rest.next_page_token == ""
    other = pb.ListBudgetsRequest(node_key="a", page_token=first.next_page_token)
    assert (await failure(budgets.ListBudgets(other))).fields == ["page_token"]


async def test_two_editors_cannot_overwrite_each_other(budgets: Any) -> None:
    made = await budgets.SetBudget(setting(limit_usd=1))
    changed = await budgets.SetBudget(setting(limit_usd=2, etag=made.etag))
    found = await failure(budgets.SetBudget(setting(limit_usd=3, etag=made.etag)))
    assert (found.code, found.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    deletion = pb.DeleteBudgetRequest(budget_id=made.id, etag=made.etag)
    assert (await failure(budgets.DeleteBudget(deletion))).reason == "ETAG_MISMATCH"
    masked = await budgets.SetBudget(setting("warn_percent", limit_usd=9, warn_percent=50))
    assert (masked.limit_usd, masked.warn_percent) == (2, 50)
    assert masked.etag != changed.etag
    await budgets.DeleteBudget(pb.DeleteBudgetRequest(budget_id=made.id, etag=masked.etag))
    missing = setting(limit_usd=3, etag=made.etag)
    assert (await failure(budgets.SetBudget(missing))).reason == "ETAG_MISMATCH"


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (setting(limit_usd=-1), "budget.limit_usd"),
        (setting(limit_usd=float("nan")), "budget.limit_usd"),
        (setting(limit_usd=1e9), "budget.limit_usd"),
        (setting(limit_ticks=2**62), "budget.limit_ticks"),
        (setting(limit_usd=1, warn_percent=100), "budget.warn_percent"),
        (setting(limit_usd=1, node_key="x\0"), "budget.node_key"),
        (setting(limit_usd=1, tenant_id="other"), "budget.tenant_id"),
        (setting(limit_usd=1, period=0), "budget.period"),
        (setting(limit_usd=1, period=99), "budget.period"),
        (setting(limit_usd=1, raise_usd=1), "budget.raise_end_time"),
        (setting("colour", limit_usd=1), "update_mask"),
        (setting(), "budget.limit_usd"),
        (pb.SetBudgetRequest(), "budget"),
    ],
)
async def test_bad_input_names_its_field(budgets: Any, request_: pb.SetBudgetRequest, field: str) -> None:
    found = await failure(budgets.SetBudget(request_))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELDS")
    assert found.fields == [field]


async def test_ids_beyond_all_ids_are_missing_or_refused(budgets: Any) -> None:
    for id in (0, 2**31, 9 * 10**18):
        assert (
            await failure(budgets.GetBudget(pb.GetBudgetRequest(budget_id=id)))
        ).reason == "BUDGET_NOT_FOUND"
    found = await failure(budgets.GetBudget(pb.GetBudgetRequest(budget_id=2**64 - 1)))
    assert found.fields == ["budget_id"]


async def test_status_says_what_the_usage_reports_say(booked: Running, budgets: Any) -> None:
    await spend(booked)
    await budgets.SetBudget(setting(limit_usd=2, period=MONTHLY, warn_percent=60))
    reports: Any = usage_service_pb2_grpc.UsageServiceStub(booked.channel)
    summary = await reports.GetSpendSummary(usage_service_pb2.GetSpendSummaryRequest())
    found = await budgets.GetBudgetStatus(pb.GetBudgetStatusRequest())
    assert (found.daily.used_ticks, found.monthly.used_ticks) == (
        summary.today.cost_ticks,
        summary.month.cost_ticks,
    )
    assert not found.daily.HasField("limit_ticks")
    assert found.monthly.limit_ticks - found.monthly.used_ticks == found.monthly.remaining_ticks
    assert (found.alerts.daily_warning_threshold, found.alerts.monthly_warning_threshold) == (0.8, 0.6)
    assert found.monthly.limit == 0  # an older name, which gRPC callers never get
    over_rest = [("x-envoy-original-path", "/v1/budget")]
    shown = await budgets.GetBudgetStatus(pb.GetBudgetStatusRequest(), metadata=over_rest)
    for level in (shown.daily, shown.monthly):
        assert (level.used, level.percentage_used) == (level.used_usd, level.used_percent)
    assert (shown.monthly.limit, shown.monthly.remaining) == (2, shown.monthly.remaining_usd)
    assert not shown.daily.HasField("limit")


async def test_default_of_all_tenants_is_what_a_tenant_may_spend(booked: Running, budgets: Any) -> None:
    await budgets.SetBudget(setting(limit_usd=0.0001, tenant_id="*", policy=SOFT))
    found = await budgets.GetBudgetStatus(pb.GetBudgetStatusRequest())
    assert (found.daily.limit_usd, found.daily.policy) == (0.0001, SOFT)
    assert (await failure(booked.completions.CreateCompletion(asked()))).reason == "BUDGET_EXCEEDED"
    await budgets.SetBudget(setting(limit_usd=7))
    found = await budgets.GetBudgetStatus(pb.GetBudgetStatusRequest())
    assert found.daily.limit_usd == 7
    await booked.completions.CreateCompletion(asked())


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def locked(request: pytest.FixtureRequest, all_upstreams: Upstreams) -> AsyncIterator[Keyed]:
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    server = request.getfixturevalue("postgres_server")
    template = request.getfixturevalue(f"{kind}_template")
    if kind == "postgres":
        url = server.url(server.create(template))
    else:
        path = request.getfixturevalue("tmp_path_factory").mktemp("locked") / "spine.db"
        path.write_bytes(template.read_bytes())
        url = f"sqlite:///{path}"
    limits = {"budget_daily": "50", "budget_policy": "hard_block", "budget_warn_daily": 0.5}
    async with keyed(all_upstreams, url, **limits) as found:
        for tenant in ("acme", "rival"):
            await found.tenant(tenant)
        yield found


async def test_scopes_and_tenants_are_kept_apart(locked: Keyed) -> None:
    budgets: Any = BudgetServiceStub(locked.service.channel)
    owner = bearer((await locked.key("budgets:*", tenant="acme")).secret)
    reader = bearer((await locked.key("budgets:read", tenant="acme")).secret)
    rival = bearer((await locked.key("budgets:*", tenant="rival")).secret)
    made = await budgets.SetBudget(setting(limit_usd=3), metadata=owner)
    one = pb.GetBudgetRequest(budget_id=made.id)
    assert (await budgets.GetBudget(one, metadata=reader)).tenant_id == "acme"
    refused = await failure(budgets.SetBudget(setting(limit_usd=4), metadata=reader))
    assert (refused.reason, refused.metadata) == ("PERMISSION_DENIED", {"scope": "budgets:write"})
    for method, request in (
        (budgets.GetBudget, one),
        (budgets.DeleteBudget, pb.DeleteBudgetRequest(budget_id=made.id)),
        (budgets.ListBudgetCounters, pb.ListBudgetCountersRequest(budget_id=made.id)),
    ):
        assert (await failure(method(request, metadata=rival))).reason == "BUDGET_NOT_FOUND"
    assert not (await budgets.ListBudgets(pb.ListBudgetsRequest(), metadata=rival)).budgets
    assert (await budgets.GetBudgetStatus(pb.GetBudgetStatusRequest(), metadata=owner)).daily.limit_usd == 3
    acting = [*bearer(locked.admin), ("x-tenant-id", "acme")]
    assert (await budgets.SetBudget(setting(limit_usd=5), metadata=acting)).id == made.id


async def test_defaults_of_all_tenants_are_the_operators(locked: Keyed) -> None:
    budgets: Any = BudgetServiceStub(locked.service.channel)
    rival = bearer((await locked.key("budgets:*", tenant="rival")).secret)
    status = await budgets.GetBudgetStatus(pb.GetBudgetStatusRequest(), metadata=rival)
    assert (status.daily.limit_usd, status.daily.policy) == (50, budget_pb2.BUDGET_POLICY_HARD_BLOCK)
    assert (status.alerts.daily_warning_threshold, status.alerts.monthly_warning_threshold) == (0.5, 0.9)
    defaults = pb.ListBudgetsRequest(all_tenants=True)
    for call in (
        budgets.ListBudgets(defaults, metadata=rival),
        budgets.SetBudget(setting(limit_usd=1000, tenant_id="*"), metadata=rival),
    ):
        assert (await failure(call)).metadata == {"scope": "tenants:act"}
    [found] = (await budgets.ListBudgets(defaults, metadata=bearer(locked.admin))).budgets
    assert (found.from_settings, found.limit_usd, found.node_key) == (True, 50, "*")
    one = pb.GetBudgetRequest(budget_id=found.id)
    assert (await failure(budgets.GetBudget(one, metadata=rival))).reason == "BUDGET_NOT_FOUND"
    assert (await budgets.GetBudget(one, metadata=bearer(locked.admin))).id == found.id


async def test_every_change_is_in_the_audit_log_of_its_tenant(locked: Keyed) -> None:
    budgets: Any = BudgetServiceStub(locked.service.channel)
    key = bearer((await locked.key("budgets:*", "keys:admin", tenant="acme")).secret)
    named = {"node": "BUDGET_NODE_PROJECT", "node_key": "search"}
    made = await budgets.SetBudget(setting(limit_usd=3, **named), metadata=key)
    await budgets.SetBudget(setting(limit_usd=9, **named), metadata=key)
    await budgets.SetBudget(setting(limit_usd=2, **named), metadata=key)
    await budgets.DeleteBudget(pb.DeleteBudgetRequest(budget_id=made.id), metadata=key)
    request = audit.ListAuditEntriesRequest(target="budget:acme/daily/project/search")
    entries = (await locked.audit.ListAuditEntries(request, metadata=key)).entries[::-1]
    assert [entry.action for entry in entries] == [*["budgets.set"] * 3, "budgets.delete"]
    assert [entry.details["lowered"] for entry in entries] == [True, False, True, False]
    assert [entry.details["limit_ticks"] for entry in entries[:3]] == [
        "30000000000",
        "90000000000",
        "20000000000",
    ]
    assert all(entry.intact and entry.tenant_id == "acme" for entry in entries)


async def test_webhook_is_told_of_a_real_call(all_upstreams: Upstreams, module_sqlite_url: str) -> None:
    async with RawServer(response(b"ok")) as receiver:
        webhook = {"budget_webhook_url": receiver.url, "budget_webhook_private": True}
        webhook |= {"budget_webhook_secret": "s", "budget_webhook_format": "slack"}
        async with running(all_upstreams, module_sqlite_url, **webhook) as service:
            budgets: Any = BudgetServiceStub(service.channel)
            named = {"node": "BUDGET_NODE_END_USER", "node_key": "zoe"}
            await budgets.SetBudget(setting(limit_usd=0.0001, policy=SOFT, **named))
            assert (await failure(service.completions.CreateCompletion(asked(user="zoe")))).reason == (
                "BUDGET_EXCEEDED"
            )
            await until(lambda: bool(receiver.requests))
    [request] = receiver.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert b"webhook-signature: v1," in head
    assert "'zoe' has 0.00 of 0.0001 USD" in json.loads(body)["text"]
