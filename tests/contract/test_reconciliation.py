"""Providers' bills against the ledger, on both databases: each planted difference is named."""

import json
from typing import Any

import pytest

from genai_spine.billing.price_book import PriceBook
from genai_spine.billing.provider_bills import BillError, read_bill
from genai_spine.billing.reconciliation import CAUSES, Reconciliation, reconcile
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.v1 import usage_pb2
from genai_spine.v1.execution_pb2 import Execution

DAY = "2026-11-15"
START = 1794700800  # of that day
DATED = "gpt-4o-2024-08-06"
SONNET = "claude-sonnet-4-20250514"


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook.load()


def call(number: int, book: PriceBook, model: str = DATED, **fields: Any) -> Execution:
    """A call of 1,000 tokens, 200 of them cached, and 100 more as the answer."""
    row = Execution(id=f"{model}-{number}", request_id=f"{model}-{number}", attempt=1, operation=1, state=2)
    row.provider, row.model = ("anthropic", model) if model == SONNET else ("openai", "gpt-4o")
    row.answered_model, row.tenant_id = model, f"t{number % 2}"
    row.usage.CopyFrom(
        usage_pb2.Usage(
            input_tokens=1000,
            uncached_input_tokens=800,
            cache_read_tokens=200,
            output_tokens=100,
            visible_output_tokens=100,
            total_tokens=1100,
            input_provenance=usage_pb2.PROVENANCE_PROVIDER_REPORTED,
            output_provenance=usage_pb2.PROVENANCE_PROVIDER_REPORTED,
        )
    )
    row.create_time.FromJsonString(f"{DAY}T{number:02}:30:00Z")
    row.settle_time.CopyFrom(row.create_time)
    row.MergeFrom(Execution(**fields))
    row.cost.CopyFrom(book.rate(row))
    return row


def openai_usage(**fields: Any) -> str:
    """Three calls as OpenAI's usage shows them."""
    result = {
        "object": "organization.usage.completions.result",
        "input_tokens": 3000,
        "output_tokens": 300,
        "input_cached_tokens": 600,
        "input_audio_tokens": 0,
        "output_audio_tokens": 0,
        "num_model_requests": 3,
        "project_id": None,
        "user_id": None,
        "api_key_id": "key_ours",
        "model": DATED,
        "batch": False,
        "service_tier": "default",
    }
    bucket = {"object": "bucket", "start_time": START, "end_time": START + 86400}
    return page({**bucket, "results": [result | fields]})


def openai_costs(usd: float) -> str:
    result = {
        "object": "organization.costs.result",
        "amount": {"value": usd, "currency": "usd"},
        "line_item": f"{DATED}, input",
        "project_id": None,
    }
    return page({"object": "bucket", "start_time": START, "end_time": START + 86400, "results": [result]})


def page(bucket: dict[str, Any]) -> str:
    return json.dumps({"object": "page", "data": [bucket], "has_more": False, "next_page": None})


def anthropic(*results: dict[str, Any]) -> str:
    ends = {"starting_at": f"{DAY}T00:00:00Z", "ending_at": "2026-11-16T00:00:00Z"}
    return json.dumps({"data": [{**ends, "results": list(results)}], "has_more": False, "next_page": None})


USD = (2400 * 2.5 + 600 * 1.25 + 300 * 10) / 1e6  # of three calls


async def found(database: Database, book: PriceBook, *bills: str, our_keys: Any = ()) -> Reconciliation:
    lines = [line for bill in bills for line in read_bill(bill)]
    return await reconcile(database, book, lines, our_keys)


async def test_bill_that_agrees(executions: Executions, database: Database, book: PriceBook) -> None:
    await executions.save([call(number, book) for number in range(3)])
    outcome = await found(database, book, openai_usage(), openai_costs(USD))
    assert (outcome.agreeing, outcome.differences) == (1, [])


async def planted(executions: Executions, database: Database, book: PriceBook, cause: str) -> Reconciliation:
    """Reconciliation of three calls with one difference of the given cause."""
    rows = [call(number, book) for number in range(3)]
    usage, usd, keys = openai_usage(), USD, ("key_ours",)
    if cause == "stale_price":
        for row in rows:
            row.cost.cost_ticks //= 2
    elif cause == "cache_split":
        usage, usd = openai_usage(input_cached_tokens=0), USD + 600 * 1.25 / 1e6
    elif cause == "tier":
        usage, usd = openai_usage(service_tier="flex"), USD / 2
    elif cause == "missing_call":
        rows[2].state = 5
        rows[2].ClearField("usage")
        rows[2].ClearField("answered_model")
        rows[2].cost.cost_ticks = 1
    elif cause == "foreign_use":
        foreign = json.loads(openai_usage(api_key_id="key_of_somebody", num_model_requests=1))
        whole = json.loads(usage)
        whole["data"] += foreign["data"]
        usage = json.dumps(whole)
    elif cause == "not_billed":
        rows.append(call(9, book))
    else:
        usage = openai_usage(output_tokens=301)
    await executions.save(rows)
    return await found(database, book, usage, openai_costs(usd), our_keys=keys)


@pytest.mark.parametrize("cause", CAUSES)
async def test_planted_difference_is_named(
    executions: Executions, database: Database, book: PriceBook, cause: str
) -> None:
    outcome = await planted(executions, database, book, cause)
    assert [(one.cause, one.model, one.day) for one in outcome.differences] == [(cause, DATED, DAY)]
    assert bool(outcome.differences[0].proposal) == (cause in ("stale_price", "tier"))


async def test_stale_price_says_what_re_rating_would_make_of_it(
    executions: Executions, database: Database, book: PriceBook
) -> None:
    [one] = (await planted(executions, database, book, "stale_price")).differences
    assert one.rated_ticks == one.billed.ticks == round(USD * 1e10)
    assert one.ticks == one.billed.ticks - one.billed.ticks // 2
    assert one.proposal == f"genai-spine prices rerate --from {DAY} --to {DAY} --provider openai"


async def test_model_that_was_never_asked_is_foreign(
    executions: Executions, database: Database, book: PriceBook
) -> None:
    await executions.save([call(number, book) for number in range(3)])
    other = openai_usage(model="o3-mini-2025-01-31")
    outcome = await found(database, book, openai_usage(), other)
    assert [(one.cause, one.model) for one in outcome.differences] == [("foreign_use", "o3-mini-2025-01-31")]


async def test_more_calls_than_are_booked_are_missing(
    executions: Executions, database: Database, book: PriceBook
) -> None:
    await executions.save([call(0, book)])
    [one] = (await found(database, book, openai_usage())).differences
    assert (one.cause, one.billed.requests, one.booked.requests) == ("missing_call", 3, 1)


async def test_anthropics_usage_and_cost_report(
    executions: Executions, database: Database, book: PriceBook
) -> None:
    await executions.save([call(number, book, SONNET) for number in range(2)])
    usage = {
        "uncached_input_tokens": 1600,
        "cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 0},
        "cache_read_input_tokens": 400,
        "output_tokens": 200,
        "server_tool_use": {"web_search_requests": 0},
        "api_key_id": None,
        "workspace_id": None,
        "model": SONNET,
        "service_tier": "standard",
        "context_window": "0-200k",
    }
    cents = (1600 * 3 + 400 * 0.3 + 200 * 15) / 1e6 * 100
    cost = {"currency": "USD", "amount": f"{cents:.6f}", "model": SONNET, "cost_type": "tokens"}
    outcome = await found(database, book, anthropic(usage), anthropic(cost))
    assert (outcome.agreeing, outcome.differences) == (1, [])
    cost["amount"] = "0.1"
    [one] = (await found(database, book, anthropic(usage), anthropic(cost))).differences
    assert (one.cause, one.provider) == ("stale_price", "anthropic")


async def test_csv(executions: Executions, database: Database, book: PriceBook) -> None:
    await executions.save([call(number, book) for number in range(3)])
    head = "date,provider,model,requests,input_tokens,cached_tokens,output_tokens,cost_usd\n"
    agreeing = f"{head}{DAY},openai,{DATED},3,3000,600,300,{USD:.6f}\n"
    assert (await found(database, book, agreeing)).differences == []
    [one] = (await found(database, book, agreeing.replace(",600,", ",500,"))).differences
    assert one.cause == "cache_split"


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[1]", "{}", '{"data": 7}', "date,model\n2026-01-01,x\n"),
        openai_usage(model=None),
        openai_usage(num_model_requests="many"),
        openai_costs(1).replace('"usd"', '"eur"'),
    ],
)
def test_what_is_no_bill_is_refused(text: str) -> None:
    with pytest.raises(BillError):
        read_bill(text, "openai")
