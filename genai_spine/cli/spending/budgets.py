"""`genai-spine budget`: what may be spent, and what is; set, show, list, delete."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genai_spine.cli.client import connected
from genai_spine.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    PageToken,
    Tenant,
    Time,
    fail,
    plain,
    print_json,
    print_listing,
    run,
)
from genai_spine.cli.tables import Column, firm, number, show_table
from genai_spine.v1 import budget_pb2
from genai_spine.v1 import budget_service_pb2 as pb
from genai_spine.v1.budget_service_pb2_grpc import BudgetServiceStub

if TYPE_CHECKING:
    from genai_spine.v1.budget_service_pb2_grpc import BudgetServiceAsyncStub

COLUMNS = (
    *(firm("id"), Column("of"), Column("period"), number("limit $"), number("spent $")),
    *(number("reserved $"), number("left $"), number("%"), Column("policy")),
)
STATUS_COLUMNS = (Column("period"), number("limit $"), number("spent $"), number("left $"), number("%"))

group = typer.Typer(no_args_is_help=True, help="What may be spent, and what is: set, show, list, delete.")


class Period(StrEnum):
    """Periods, as the command line names them."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    TOTAL = "total"


class Policy(StrEnum):
    """Policies, as the command line names them."""

    WARN = "warn"
    SOFT_BLOCK = "soft_block"
    HARD_BLOCK = "hard_block"
    FALLBACK = "fallback"


Usd = Annotated[float, typer.Argument(min=0, help="Most that may be spent in a period, US dollars.")]
Key = Annotated[str | None, typer.Option(help="Of this; * for each one by itself.")]
AllTenants = Annotated[
    bool, typer.Option("--all-tenants", help="The default of tenants without a budget of their own.")
]


@group.command("set")
def set_budget(
    limit_usd: Usd,
    period: Annotated[Period, typer.Option(help="For how long spending counts.")] = Period.MONTHLY,
    project: Key = None,
    key: Key = None,
    user: Key = None,
    label: Annotated[str | None, typer.Option(help="Of calls with this cost label, key=value.")] = None,
    policy: Annotated[Policy | None, typer.Option(help="What becomes of calls without room.")] = None,
    warn_percent: Annotated[int | None, typer.Option(min=1, max=99, help="When a warning is given.")] = None,
    raise_usd: Annotated[float | None, typer.Option("--raise", min=0, help="More, until --until.")] = None,
    until: Time = None,
    off: Annotated[bool, typer.Option("--off", help="It counts and refuses nothing.")] = False,
    all_tenants: AllTenants = False,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Limit what the tenant, or a part of it, may spend; a budget that is there is changed."""
    budget = budget_pb2.Budget(
        limit_usd=limit_usd,
        period=f"BUDGET_PERIOD_{period.name}",
        warn_percent=warn_percent,
        raise_usd=raise_usd,
        enabled=not off,
        tenant_id="*" if all_tenants else "",
    )
    _name_node(budget, {"PROJECT": project, "KEY": key, "END_USER": user, "LABEL": label})
    if policy is not None:
        budget.policy = getattr(budget_pb2, f"BUDGET_POLICY_{policy.name}")
    if until is not None:
        budget.raise_end_time.FromDatetime(until.replace(tzinfo=UTC))
    found = run(_asked(address, tenant, "SetBudget", pb.SetBudgetRequest(budget=budget)))
    _show(found, as_json=as_json)


def _name_node(budget: budget_pb2.Budget, given: dict[str, str | None]) -> None:
    """Writes what the budget limits, where it is not the tenant."""
    named = [(node, key) for node, key in given.items() if key is not None]
    if len(named) > 1:
        fail("say at most one of --project, --key, --user and --label")
    for node, key in named:
        budget.node, budget.node_key = getattr(budget_pb2, f"BUDGET_NODE_{node}"), key or ""


@group.command()
def show(
    id: Annotated[int | None, typer.Argument(min=1, help="Number of a budget.")] = None,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Show one budget with what its nodes have spent; without a number, how the tenant stands."""
    if id is None:
        _show_status(
            run(_asked(address, tenant, "GetBudgetStatus", pb.GetBudgetStatusRequest())), as_json=as_json
        )
        return
    found = run(_asked(address, tenant, "GetBudget", pb.GetBudgetRequest(budget_id=id)))
    if as_json:
        print_json(found)
        return
    _show(found, as_json=False)
    counters = run(
        _asked(address, tenant, "ListBudgetCounters", pb.ListBudgetCountersRequest(budget_id=id))
    ).counters
    if found.node_key == "*" and counters:
        columns = (Column("of"), number("spent $"), number("reserved $"), number("left $"), number("%"))
        show_table(columns, [(counter.node_key, *_cells(counter)) for counter in counters])


@group.command("list")
def list_budgets(
    limit: Annotated[int, typer.Option(min=1, max=200, help="Most budgets to show.")] = 50,
    page_token: PageToken = None,
    all_tenants: AllTenants = False,
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """List budgets in the order in which they were made, with what is spent now."""
    request = pb.ListBudgetsRequest(page_size=limit, page_token=page_token, all_tenants=all_tenants)
    found = run(_asked(address, tenant, "ListBudgets", request))
    if as_json:
        print_listing("budgets", list(found.budgets), next_page_token=found.next_page_token)
    else:
        show_table(COLUMNS, [_row(budget) for budget in found.budgets])


@group.command()
def delete(
    id: Annotated[int, typer.Argument(min=1, help="Number of the budget.")],
    tenant: Tenant = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """End a budget: it counts and refuses nothing any more."""
    found = run(_asked(address, tenant, "DeleteBudget", pb.DeleteBudgetRequest(budget_id=id)))
    print_json(found) if as_json else typer.echo(f"deleted budget {id}")


def _show(budget: budget_pb2.Budget, *, as_json: bool) -> None:
    if as_json:
        print_json(budget)
    else:
        show_table(COLUMNS, [_row(budget)])
        if budget.raise_ticks and budget.raise_end_time.ToDatetime(UTC) > datetime.now(UTC):
            until = budget.raise_end_time.ToDatetime().strftime("%Y-%m-%d %H:%M")
            typer.echo(plain(f"raised by {_usd(budget.raise_usd)} USD until {until} UTC"))


def _show_status(found: pb.GetBudgetStatusResponse, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    rows = []
    for period, level in (("today", found.daily), ("this month", found.monthly)):
        has_limit = level.HasField("limit_ticks")
        rest = (_usd(level.remaining_usd), f"{level.used_percent:g}") if has_limit else ("-", "-")
        limit = _usd(level.limit_usd) if has_limit else "none"
        rows.append((period, limit, _usd(level.used_usd), *rest))
    show_table(STATUS_COLUMNS, rows)


def _row(budget: budget_pb2.Budget) -> tuple[str, ...]:
    from genai_spine.store.budgets.messages import names_of

    node, period, policy = names_of(budget)
    counter = budget.counter
    if not budget.HasField("counter"):
        counter = budget_pb2.BudgetCounter(limit_usd=budget.limit_usd, remaining_usd=budget.limit_usd)
    spent, *rest = _cells(counter)
    state = policy if budget.enabled else "off"
    whose = f"{node} {budget.node_key}"
    return str(budget.id), whose, period, _usd(counter.limit_usd), spent, *rest, state


def _cells(counter: budget_pb2.BudgetCounter) -> tuple[str, str, str, str]:
    amounts = (counter.spent_usd, counter.reserved_usd, counter.remaining_usd)
    spent, reserved, remaining = map(_usd, amounts)
    return spent, reserved, remaining, f"{counter.used_percent:g}"


def _usd(amount: float) -> str:
    return f"{amount:.6f}"


async def _asked(address: str, tenant: str | None, method: str, request: Any) -> Any:
    """Answer of a method."""
    async with _service(address, tenant) as service:
        return await getattr(service, method)(request)


@asynccontextmanager
async def _service(address: str, tenant: str | None) -> AsyncIterator["BudgetServiceAsyncStub"]:
    async with connected(address, tenant) as channel:
        stub: Any = BudgetServiceStub(channel)
        yield stub
