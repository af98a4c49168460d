"""Public bug reports about budgets, spending and keys of idempotency, each as a test."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any

import grpc
import pytest
import pytest_asyncio

from genai_spine.store.budgets.budgets import BudgetRows
from genai_spine.store.database import Database
from genai_spine.v1 import budget_pb2, execution_pb2, usage_pb2
from genai_spine.v1 import key_service_pb2 as keys
from tests.contract.test_budgets import budget
from tests.money import violations
from tests.service.keyed import Keyed, bearer, keyed
from tests.service.public_reports import reported
from tests.service.running import Running, Upstreams, asked, failure, text_of
from tests.upstreams.reply import Reply, Usage
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

END_USER, KEY = budget_pb2.BUDGET_NODE_END_USER, budget_pb2.BUDGET_NODE_KEY
PENDING = execution_pb2.EXECUTION_STATE_PENDING
INPUT, CACHED, OUTPUT = 25_000, 12_500, 100_000  # ticks per token of gpt-4o
numbers = count(1)


@pytest_asyncio.fixture(loop_scope="session")
async def user(booked: Running) -> AsyncIterator[tuple[str, budget_pb2.Budget]]:
    """End user that nobody has heard of, and the budget that each one has."""
    made = await BudgetRows(booked.database).upsert(
        budget(node=END_USER, node_key="*", limit_ticks=250 * OUTPUT)
    )
    await booked.server.foundation.budgets.refresh()
    yield f"user-{next(numbers)}", made
    await BudgetRows(booked.database).delete(made.id)
    await booked.server.foundation.budgets.refresh()


async def money_of(service: Running, made: budget_pb2.Budget, user: str) -> tuple[int, int]:
    """Ticks that a user has spent, and that are reserved for it, once all of its calls are settled."""
    counters = await BudgetRows(service.database).counters([made.id], datetime.now(UTC))
    [found] = [one for one in counters if one.node_key == user]
    return found.spent_ticks, found.reserved_ticks


async def settled(service: Running, request_ids: list[str]) -> list[execution_pb2.Execution]:
    return [row for id in request_ids for row in await service.rows(id)]


def named(number: int, name: str) -> tuple[str, Any]:
    """A request id, and the metadata that asks for it."""
    id = f"{name}-{number}-{next(numbers)}"
    return id, (("x-request-id", id),)


@reported("B1", "BerriAI/litellm#40095, BerriAI/litellm#34732, BerriAI/litellm#26672")
async def test_first_calls_of_an_unknown_user_at_once_do_not_pass_the_budget_of_each_one(
    booked: Running, user: tuple[str, budget_pb2.Budget], report: str
) -> None:
    name, made = user
    booked.openai.script(*[Reply("late", first_delay_s=0.3)] * 30)
    calls = [booked.completions.CreateCompletion(asked(user=name, max_tokens=100)) for _ in range(30)]
    ends = await asyncio.gather(*calls, return_exceptions=True)
    refused = [end for end in ends if isinstance(end, grpc.aio.AioRpcError)]
    assert len(booked.openai.bill.calls) == len(ends) - len(refused) == 2
    assert {end.code() for end in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert (await money_of(booked, made, name))[1] == 0
    assert await violations(booked.database) == {}


@reported("B2", "BerriAI/litellm#27639, BerriAI/litellm#36926, BerriAI/litellm#35569")
async def test_no_end_of_a_call_leaves_a_reservation_behind(
    booked: Running, user: tuple[str, budget_pb2.Budget], report: str
) -> None:
    name, made = user
    replies = [
        Reply(status=429, headers={"retry-after": "0"}, body={"error": {"message": "slow"}}),
        Reply(status=500, body={"error": {"message": "broken"}}),
        Reply(status=400, body={"error": {"message": "no"}}),
        Reply(status=401, body={"error": {"message": "no key"}}),
        Reply("not all of it", fault="truncate", after=0),
        Reply("not JSON", fault="malformed"),
        Reply("gone", fault="close"),
        Reply("gone", fault="reset"),
        Reply("good"),
    ]
    ids = []
    for number, reply in enumerate(replies):
        for streamed in (False, True):
            booked.openai.script(reply)
            id, metadata = named(number, "ends")
            request = asked(user=name, max_tokens=10)
            method = booked.completions.StreamCompletion if streamed else booked.completions.CreateCompletion
            call = method(request, metadata=metadata)
            with suppress(grpc.aio.AioRpcError):
                _ = [chunk async for chunk in call] if streamed else await call
            ids.append(id)
    rows = await settled(booked, ids)
    assert len(rows) == len(ids)
    assert await money_of(booked, made, name) == (sum(row.cost.cost_ticks for row in rows), 0)
    assert await violations(booked.database) == {}


@reported("B3", "BerriAI/litellm#33736, BerriAI/litellm#37558, BerriAI/litellm#30630")
async def test_stream_whose_caller_leaves_costs_what_had_come(
    booked: Running, user: tuple[str, budget_pb2.Budget], report: str
) -> None:
    name, made = user
    booked.openai.script(Reply([" tok"] * 5000, interval_s=0.005))
    id, metadata = named(0, "leaves")
    call = booked.completions.StreamCompletion(asked(user=name, max_tokens=200), metadata=metadata)
    said = ""
    async for chunk in call:
        said += text_of([chunk])
        if len(said) >= 40:
            break
    call.cancel()
    [row] = await booked.rows(id)
    assert row.usage.output_provenance == usage_pb2.PROVENANCE_PARTIAL_STREAM
    assert row.usage.output_tokens >= 8
    assert row.cost.cost_ticks >= 8 * OUTPUT
    assert await money_of(booked, made, name) == (row.cost.cost_ticks, 0)


@reported("B4", "BerriAI/litellm#13245")
async def test_whole_answer_whose_caller_leaves_costs_what_may_have_been_billed(
    booked: Running, user: tuple[str, budget_pb2.Budget], report: str
) -> None:
    name, made = user
    booked.openai.script(Reply("nobody reads this", first_delay_s=30))
    id, metadata = named(0, "leaves-whole")
    call = booked.completions.CreateCompletion(asked(user=name, max_tokens=100), metadata=metadata)
    await until(lambda: bool(booked.openai.bill.calls))
    call.cancel()
    [row] = await booked.rows(id)
    assert row.cost.cost_ticks == row.reserved_ticks >= 100 * OUTPUT
    assert await money_of(booked, made, name) == (row.cost.cost_ticks, 0)


@reported("B5", "langfuse/langfuse#12306, langfuse/langfuse#10592, langfuse/langfuse#5568")
async def test_cached_tokens_are_a_part_of_the_input_and_not_beside_it(booked: Running, report: str) -> None:
    booked.openai.script(Reply("ten", usage=Usage(prompt_tokens=100, completion_tokens=10, cached_tokens=90)))
    id, metadata = named(0, "cached")
    await booked.completions.CreateCompletion(asked(), metadata=metadata)
    [row] = await booked.rows(id)
    usage = row.usage
    assert (usage.input_tokens, usage.uncached_input_tokens, usage.cache_read_tokens) == (100, 10, 90)
    assert usage.total_tokens == 110
    assert row.cost.cost_ticks == 10 * INPUT + 90 * CACHED + 10 * OUTPUT


@pytest.mark.parametrize("streamed", [False, True])
@reported("B6", "VilledeMontreal/express-idempotency#32, useautumn/autumn#1851, Augustas11/macprovider#200")
async def test_key_of_a_failed_call_is_free_again_and_holds_no_money(
    booked: Running, user: tuple[str, budget_pb2.Budget], report: str, streamed: bool
) -> None:
    name, made = user
    broken = Reply(status=500, body={"error": {"message": "broken"}})
    booked.openai.script(broken, broken, Reply("good"))
    key = (("idempotency-key", f"{name} {streamed}"),)
    method = booked.completions.StreamCompletion if streamed else booked.completions.CreateCompletion
    ids = []
    for number in range(2):
        id, metadata = named(number, "free")
        ids.append(id)
        assert (await failure(method(asked(user=name, max_tokens=10), metadata=metadata + key))).code in (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.INTERNAL,
        )
        assert (await booked.rows(id))[-1].state != PENDING
    answers = []
    for number in range(2):
        id, metadata = named(number, "answered")
        ids.append(id)
        call = method(asked(user=name, max_tokens=10), metadata=metadata + key)
        answers.append([chunk async for chunk in call] if streamed else [await call])
    assert answers[0] == answers[1]
    assert len(booked.openai.bill.calls) == 3
    rows = await settled(booked, ids[:3])
    assert await booked.executions.by_request(ids[3]) == []
    assert await money_of(booked, made, name) == (sum(row.cost.cost_ticks for row in rows), 0)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(all_upstreams: Upstreams, module_sqlite_url: str) -> AsyncIterator[Keyed]:
    async with keyed(all_upstreams, module_sqlite_url) as found:
        yield found


@reported("B7", "BerriAI/litellm#31079")
async def test_rotated_key_has_the_budget_that_it_had(
    guarded: Keyed, upstreams: Upstreams, report: str
) -> None:
    rows = BudgetRows(guarded.service.database)
    made = await rows.upsert(budget(node=KEY, node_key="*", limit_ticks=150 * OUTPUT))
    await guarded.service.server.foundation.budgets.refresh()
    first = await guarded.key("completions:read")
    upstreams.openai.script(Reply("dear", usage=Usage(prompt_tokens=10, completion_tokens=100)))
    complete = guarded.service.completions.CreateCompletion
    await complete(asked(max_tokens=100), metadata=bearer(first.secret))
    request = keys.RotateKeyRequest(key_id=first.key.id, overlap_s=0)
    rotated = await guarded.keys.RotateKey(request, metadata=bearer(guarded.admin))
    assert rotated.secret != first.secret
    refused = await failure(complete(asked(max_tokens=100), metadata=bearer(rotated.secret)))
    assert (refused.reason, refused.metadata["node"]) == ("BUDGET_EXCEEDED", "key")
    await rows.delete(made.id)
    await guarded.service.server.foundation.budgets.refresh()


@reported("B8", "BerriAI/litellm#18731, sxueck/llm-gateway#34")
async def test_expired_key_stands_in_no_error(guarded: Keyed, upstreams: Upstreams, report: str) -> None:
    made = await guarded.key("completions:read", expire_time={"seconds": 4102444800})
    database = Database(guarded.service.database_url)
    async with database.begin() as connection:
        await connection.exec_driver_sql(
            f"UPDATE api_keys SET expires_at = '2020-01-01 00:00:00.000000' WHERE id = '{made.key.id}'"
        )
    await database.close()
    call = guarded.service.completions.CreateCompletion(asked(), metadata=bearer(made.secret))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    said = f"{refused.value.details()} {await call.trailing_metadata()} {await call.initial_metadata()}"
    assert made.secret not in said
    assert made.secret.rpartition("_")[2] not in said


@reported("B9", "maximhq/bifrost#2873")
async def test_no_paid_method_goes_past_a_budget_that_is_full(
    booked: Running, user: tuple[str, budget_pb2.Budget], report: str
) -> None:
    """As each of the paths that OpenAI's SDK calls; batches are in test_batch_budgets.py."""
    name, made = user
    made.limit_ticks = 0
    await BudgetRows(booked.database).upsert(made)
    await booked.server.foundation.budgets.refresh()
    posts = {
        "/v1/chat/completions": {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]},
        "/v1/completions": {"model": "gpt-3.5-turbo-instruct", "prompt": "Hello"},
        "/v1/embeddings": {"model": "text-embedding-3-small", "input": "Hello"},
    }
    for path, body in posts.items():
        posted = await booked.post(path, body | {"user": name})
        assert posted.error is not None, path
        assert posted.error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, path
    image = b'{"model": "gpt-image-1", "prompt": "a cat", "user": "%s"}' % name.encode()
    drawn = await booked.raw("CreateImage", "/v1/images/generations", image)
    assert drawn.error is not None
    assert drawn.error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert booked.openai.bill.calls == []
