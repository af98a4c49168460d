"""Re-rating a period, on SQLite and on a real PostgreSQL."""

from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from genai_spine.billing import rerating
from genai_spine.billing.price_book import PriceBook
from genai_spine.billing.rerating import Outcome, Period
from genai_spine.call import DEFAULT_TENANT
from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from genai_spine.v1 import usage_pb2
from genai_spine.v1.execution_pb2 import Execution, ExecutionState
from genai_spine.v1.operation_pb2 import OPERATION_COMPLETION
from genai_spine.v1.usage_pb2 import UnitUsage

OLD = "an older book"
NOVEMBER = Period(date(2026, 11, 1), date(2026, 11, 30))
USAGE = usage_pb2.Usage(
    input_tokens=1000,
    uncached_input_tokens=1000,
    output_tokens=100,
    visible_output_tokens=100,
    input_provenance=usage_pb2.PROVENANCE_PROVIDER_REPORTED,
    output_provenance=usage_pb2.PROVENANCE_ESTIMATED,
)
GPT_4O = 1000 * 25_000 + 100 * 100_000  # ticks of USAGE


@pytest.fixture(scope="module")
def book() -> PriceBook:
    return PriceBook.load()


def row(id: str, made: str = "2026-11-15T12:00:00Z", ticks: int = 7, **fields: object) -> Execution:
    """A settled call of gpt-4o, priced at 7 ticks by an older book."""
    execution = Execution(id=id, state="EXECUTION_STATE_SUCCEEDED", provider="openai", model="gpt-4o")
    execution.request_id, execution.operation, execution.attempt = f"of {id}", OPERATION_COMPLETION, 1
    execution.usage.CopyFrom(USAGE)
    execution.usage.total_tokens = 1100
    execution.cost.CopyFrom(usage_pb2.Cost(cost_ticks=ticks, price_known=True, price_book=OLD))
    execution.create_time.FromJsonString(made)
    execution.settle_time.FromJsonString("2026-12-01T00:00:00Z")
    execution.tenant_id = DEFAULT_TENANT
    execution.MergeFrom(Execution(**fields))  # type: ignore[arg-type]
    return execution


async def rerated(
    executions: Executions, book: PriceBook, period: Period = NOVEMBER, *, dry_run: bool = False
) -> Outcome:
    return await rerating.rerate(executions, book, period, dry_run=dry_run, progress=lambda done, to_do: None)


async def stored(executions: Executions, id: str) -> Execution:
    found = await executions.get(id, DEFAULT_TENANT)
    assert found is not None
    return found


async def test_cost_is_rewritten_and_nothing_else(
    executions: Executions, book: PriceBook, database: Database
) -> None:
    before = row("1")
    await executions.save([before])
    outcome = await rerated(executions, book)
    after = await stored(executions, "1")
    assert (after.cost.cost_ticks, after.cost.price_known, after.cost.price_book) == (
        GPT_4O,
        True,
        book.version,
    )
    before.cost.CopyFrom(after.cost)
    after_all = await stored(executions, "1")
    before.cost.cost_usd = GPT_4O / 1e10
    assert after_all == before, "usage, provenance, times and state are as they were"
    line = outcome.lines["openai", "gpt-4o"]
    assert (line.rows, line.unpriced_rows, line.old_ticks, line.new_ticks) == (1, 0, 7, GPT_4O)
    async with database.engine.connect() as connection:
        usd = (await connection.execute(sa.text("SELECT cost_usd FROM executions"))).scalar_one()
    assert usd == GPT_4O / 1e10


async def test_dry_run_says_the_same_and_changes_nothing(executions: Executions, book: PriceBook) -> None:
    await executions.save([row("1"), row("2")])
    said = await rerated(executions, book, dry_run=True)
    assert (await stored(executions, "1")).cost.cost_ticks == 7
    done = await rerated(executions, book)
    assert (said.lines, said.changed_rows) == (done.lines, done.changed_rows) == (done.lines, 2)


async def test_second_run_finds_nothing_to_do(executions: Executions, book: PriceBook) -> None:
    await executions.save([row("1")])
    await rerated(executions, book)
    again = await rerated(executions, book)
    assert (again.lines, again.changed_rows, again.total().rows) == ({}, 0, 0)


async def test_row_that_this_book_priced_is_left_alone(executions: Executions, book: PriceBook) -> None:
    own = row("1")
    own.cost.price_book = book.version
    await executions.save([own])
    assert (await rerated(executions, book)).lines == {}
    assert (await stored(executions, "1")).cost.cost_ticks == 7


async def test_period_is_whole_days_and_provider_is_a_filter(executions: Executions, book: PriceBook) -> None:
    await executions.save(
        [
            row("before", "2026-10-31T23:59:59.999999Z"),
            row("first", "2026-11-01T00:00:00Z"),
            row("last", "2026-11-30T23:59:59.999999Z"),
            row("after", "2026-12-01T00:00:00Z"),
            row("other", provider="groq", model="llama-3.3-70b-versatile"),
        ]
    )
    outcome = await rerated(executions, book, NOVEMBER._replace(provider="openai"))
    assert outcome.total().rows == 2
    changed = [
        id
        for id in ("before", "first", "last", "after", "other")
        if (await stored(executions, id)).cost.cost_ticks != 7
    ]
    assert changed == ["first", "last"]


@pytest.mark.parametrize("state", ["PENDING", "LOST"])
async def test_row_that_is_not_settled_stays(executions: Executions, book: PriceBook, state: str) -> None:
    await executions.save([row("1", state=ExecutionState.Value(f"EXECUTION_STATE_{state}"))])
    assert (await rerated(executions, book)).lines == {}


@pytest.mark.parametrize("side", ["input_provenance", "output_provenance"])
async def test_row_with_unknown_usage_stays(executions: Executions, book: PriceBook, side: str) -> None:
    unknown = row("1")
    setattr(unknown.usage, side, usage_pb2.PROVENANCE_UNKNOWN)
    await executions.save([unknown])
    assert (await rerated(executions, book)).lines == {}
    assert (await stored(executions, "1")).cost.cost_ticks == 7


async def test_failed_and_cancelled_calls_are_rated_too(executions: Executions, book: PriceBook) -> None:
    states = [ExecutionState.Value(f"EXECUTION_STATE_{state}") for state in ("FAILED", "CANCELLED")]
    await executions.save([row(str(state), state=state) for state in states])
    assert (await rerated(executions, book)).total().new_ticks == 2 * GPT_4O


async def test_row_that_the_book_does_not_know_keeps_its_cost(
    executions: Executions, book: PriceBook
) -> None:
    await executions.save([row("1", model="of-yesterday"), row("2")])
    outcome = await rerated(executions, book)
    line = outcome.lines["openai", "of-yesterday"]
    assert (line.rows, line.unpriced_rows, line.old_ticks, line.new_ticks) == (1, 1, 7, 7)
    kept = (await stored(executions, "1")).cost
    assert (kept.cost_ticks, kept.price_known, kept.price_book) == (7, True, OLD)


async def test_price_that_was_unknown_becomes_known(executions: Executions, book: PriceBook) -> None:
    unknown = row("1", ticks=0)
    unknown.cost.price_known = False
    await executions.save([unknown])
    await rerated(executions, book)
    assert (await stored(executions, "1")).cost.price_known


async def test_free_row_stays_free_and_own_price_makes_it_cost(
    executions: Executions, book: PriceBook, tmp_path: Path
) -> None:
    free = row("1", ticks=0, provider="vllm", model="mine")
    free.cost.is_free = True
    await executions.save([free])
    assert (await rerated(executions, book)).changed_rows == 0
    assert (await stored(executions, "1")).cost.is_free
    path = tmp_path / "own.yaml"
    path.write_text("[{provider: vllm, model: mine, input: 1, output: 0}]")
    await rerated(executions, PriceBook.load(path))
    cost = (await stored(executions, "1")).cost
    assert (cost.cost_ticks, cost.is_free) == (10_000_000, False)


async def test_units_tier_and_answering_model_count_as_they_did_in_the_call(
    executions: Executions, book: PriceBook
) -> None:
    heard = row("heard", model="whisper-1", units=UnitUsage(audio_ms=60_000))
    heard.ClearField("usage")
    await executions.save(
        [
            heard,
            row("flex", model="gpt-5", service_tier="flex"),
            row("dated", answered_model="gpt-4o-2024-05-13"),
        ]
    )
    await rerated(executions, book)
    ticks = {id: (await stored(executions, id)).cost.cost_ticks for id in ("heard", "flex", "dated")}
    assert ticks == {
        "heard": 60_000_000,
        "flex": (1000 * 12_500 + 100 * 100_000) // 2,
        "dated": 1000 * 50_000 + 100 * 150_000,
    }


async def test_batches_cover_every_row_even_of_one_moment(
    executions: Executions, book: PriceBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rerating, "BATCH", 3)
    await executions.save([row(f"{number:02}") for number in range(10)])
    seen: list[tuple[int, int]] = []
    outcome = await rerating.rerate(
        executions, book, NOVEMBER, dry_run=False, progress=lambda done, to_do: seen.append((done, to_do))
    )
    assert outcome.changed_rows == 10
    assert seen == [(0, 10), (3, 10), (6, 10), (9, 10), (10, 10)]
    assert outcome.total().new_ticks == 10 * GPT_4O


async def test_run_that_was_cut_off_goes_on_where_it_stopped(
    executions: Executions, book: PriceBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rerating, "BATCH", 2)
    await executions.save([row(f"{number}") for number in range(5)])

    def cut(done: int, to_do: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rerating.rerate(executions, book, NOVEMBER, dry_run=False, progress=cut)
    rest = await rerated(executions, book)
    assert (rest.total().rows, rest.changed_rows) == (3, 3)
    assert {(await stored(executions, str(number))).cost.cost_ticks for number in range(5)} == {GPT_4O}


async def test_row_that_another_run_priced_meanwhile_is_not_overwritten(
    executions: Executions, book: PriceBook
) -> None:
    await executions.save([row("1")])
    stale = await stored(executions, "1")
    await rerated(executions, book)
    await executions.reprice(
        [(stale, usage_pb2.Cost(cost_ticks=1, price_known=True, price_book="a third book"))]
    )
    assert (await stored(executions, "1")).cost.cost_ticks == GPT_4O
