"""Symbol documentation over gRPC, in front of OpenAI's simulator: order, peaks, failures, usage, events."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import jsonschema
import pytest
from google.protobuf.json_format import MessageToDict

from genai_spine.v1 import execution_pb2, symbol_service_pb2_grpc
from genai_spine.v1 import symbol_service_pb2 as pb
from tests.service.running import Running, Upstreams, running
from tests.upstreams import openai_errors
from tests.upstreams.bill import Entry
from tests.upstreams.reply import Reply, Usage

pytestmark = pytest.mark.asyncio(loop_scope="session")
MODEL = "gpt-5-nano"
SUMMARY = json.dumps({"summary": "It does one thing."})
GOOD = Reply(text=SUMMARY, usage=Usage(prompt_tokens=100, completion_tokens=20))
TOKENS, TICKS = 120, 100 * 500 + 20 * 4000  # of a good answer: $0.05 and $0.40 for a million
LIMITED = openai_errors.rate_limited()
ENVELOPE = {
    "type": "object",
    "required": [
        "envelope_version",
        "timestamp",
        "job_id",
        "event_id",
        "source",
        "type",
        "sequence",
        "payload",
    ],
    "properties": {
        "envelope_version": {"const": "1.0"},
        "timestamp": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"},
        "job_id": {"type": "string", "pattern": "^job_[a-zA-Z0-9]+$"},
        "event_id": {"type": "string", "pattern": "^evt_[a-zA-Z0-9]+$"},
        "parent_event_id": {"type": ["string", "null"], "pattern": "^evt_[a-zA-Z0-9]+$"},
        "source": {"type": "string", "minLength": 1},
        "type": {"type": "string", "pattern": r"^[a-z]+\.[a-z_]+\.v[0-9]+$"},
        "status": {"enum": ["success", "failed", "partial", "cancelled", None]},
        "sequence": {"type": "integer", "minimum": 0},
        "payload": {"type": "object"},
    },
}


def symbol(number: int, **fields: Any) -> pb.Symbol:
    context: dict[str, Any] = {"name": f"name_{number}", "kind": "function", "language": "python"}
    context |= {"symbol_id": f"s{number}", "file_path": "a.py", "signature": "", "centrality": 0.5, **fields}
    return pb.Symbol(symbol_id=f"s{number}", context=pb.SymbolContext(**context))


def batch(count: int, **fields: Any) -> pb.DocumentSymbolsRequest:
    return pb.DocumentSymbolsRequest(job_id="job_1", symbols=map(symbol, range(count)), **fields)


def number_of(entry: Entry) -> int:
    """Of the symbol that a call of the upstream is about."""
    found = re.search(r"^Symbol: name_(\d+)$", entry.body["messages"][1]["content"], re.M)
    assert found
    return int(found[1])


def peak(entries: list[Entry]) -> int:
    """Most calls that were in flight at the same time."""
    moments = [(entry.started_at, 1) for entry in entries]
    moments += [(entry.ended_at or float("inf"), -1) for entry in entries]
    running, most = 0, 0
    for _, change in sorted(moments):
        running += change
        most = max(most, running)
    return most


@asynccontextmanager
async def serving(upstreams: Upstreams, url: str, **settings: Any) -> AsyncIterator[tuple[Running, Any]]:
    given = {"retry_min_wait": 0.01, "retry_max_wait": 0.02, **settings}
    async with running(upstreams, url, **given) as found:
        yield found, symbol_service_pb2_grpc.SymbolServiceStub(found.channel)


@pytest.fixture
async def symbols(service: Running) -> Any:
    service.openai.default = GOOD
    return symbol_service_pb2_grpc.SymbolServiceStub(service.channel)


async def test_results_have_the_order_of_the_input_and_the_peak_stays_below_the_cap(
    symbols: Any, service: Running
) -> None:
    count = 40
    # The first ones are the slowest, so they end last.
    service.openai.script(*[Reply(text=SUMMARY, headers_delay_s=0.5 - 0.04 * n) for n in range(10)])
    service.openai.default = Reply(text=SUMMARY, headers_delay_s=0.01)
    response = await symbols.DocumentSymbols(batch(count))
    assert [entry.symbol_id for entry in response.documented_symbols] == [f"s{n}" for n in range(count)]
    assert all(entry.summary == "It does one thing." for entry in response.documented_symbols)
    calls = service.openai.bill.calls
    assert sorted(map(number_of, calls)) == list(range(count))
    assert peak(calls) == 10


async def test_the_configured_cap_is_used(upstreams: Upstreams, module_sqlite_url: str) -> None:
    upstreams.openai.default = Reply(text=SUMMARY, headers_delay_s=0.1)
    async with serving(upstreams, module_sqlite_url, max_concurrent_requests=3) as (found, stub):
        await stub.DocumentSymbols(batch(12))
        assert peak(found.openai.bill.calls) == 3


async def test_tokens_and_cost_are_those_of_the_bill(symbols: Any, service: Running) -> None:
    response = await symbols.DocumentSymbols(batch(5), metadata=[("x-request-id", "bill-5")])
    assert [entry.tokens_used for entry in response.documented_symbols] == [TOKENS] * 5
    assert (response.total_tokens, response.cost.cost_ticks) == (5 * TOKENS, 5 * TICKS)
    assert response.cost.cost_usd == 5 * TICKS / 1e10
    assert response.cost.price_known
    assert list(response.warnings) == []
    assert (response.job_id, response.request_id) == ("job_1", "bill-5")
    rows = await service.rows("bill-5")
    assert sum(row.cost.cost_ticks for row in rows) == response.cost.cost_ticks
    assert {row.capability for row in rows} == {"document-symbols"}
    assert {row.id for row in rows} == {entry.execution_id for entry in response.documented_symbols}
    about = [json.loads(row.metadata_json) for row in rows]
    assert sorted(one["symbol_id"] for one in about) == [f"s{n}" for n in range(5)]
    assert {one["job_id"] for one in about} == {"job_1"}


async def test_what_the_upstream_is_asked(symbols: Any, service: Running) -> None:
    request = batch(1)
    request.symbols[0].context.calls.extend(f"c{n}" for n in range(12))
    await symbols.DocumentSymbols(request)
    body = service.openai.bill[0].body
    assert (body["model"], body["max_completion_tokens"]) == (MODEL, 150)
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["summary"]
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert "Calls: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9\n" in body["messages"][1]["content"]


async def test_an_empty_batch_is_an_empty_answer_at_no_cost(symbols: Any, service: Running) -> None:
    response = await symbols.DocumentSymbols(batch(0))
    assert list(response.documented_symbols) == []
    assert (response.total_tokens, response.cost.cost_ticks) == (0, 0)
    events = [event async for event in symbols.StreamDocumentSymbols(batch(0))]
    assert [event.type for event in events] == ["generation.started.v1", "generation.completed.v1"]
    assert events[-1].status == "success"
    assert len(service.openai.bill) == 0


class TestFailures:
    async def test_k_of_n_fail_and_all_is_told(self, upstreams: Upstreams, module_sqlite_url: str) -> None:
        """Two are refused for good, and one answers something that cannot be used but is paid for."""
        upstreams.openai.default = GOOD
        rejected = openai_errors.error(400, "bad prompt")
        unusable = Reply(text="no json", usage=Usage(prompt_tokens=90, completion_tokens=10))
        upstreams.openai.script(rejected, unusable, rejected)
        async with serving(upstreams, module_sqlite_url) as (found, stub):
            events = [
                event
                async for event in stub.StreamDocumentSymbols(batch(8), metadata=[("x-request-id", "k-of-n")])
            ]
            calls = found.openai.bill.calls
            rows = await found.rows("k-of-n")
        result = events[-1].result
        failed = [entry for entry in result.documented_symbols if entry.HasField("error")]
        assert (len(result.documented_symbols), len(failed), len(result.warnings)) == (8, 3, 3)
        assert all(entry.summary == "" for entry in failed)
        assert sorted(entry.tokens_used for entry in failed) == [0, 0, 100]
        assert sorted(entry.error.code for entry in failed) == [
            *("PROVIDER_ERROR", "VALIDATION_ERROR", "VALIDATION_ERROR")
        ]
        for entry, warning in zip(failed, result.warnings, strict=True):
            assert entry.symbol_id in warning
            assert entry.error.message in warning
        assert len(calls) == 8  # nothing was asked twice
        documented = [event.payload.symbol_id for event in events if "symbol_documented" in event.type]
        good = [entry.symbol_id for entry in result.documented_symbols if not entry.HasField("error")]
        assert sorted(documented) == good
        assert result.total_tokens == 5 * TOKENS + 100
        assert result.total_tokens == sum(row.usage.total_tokens for row in rows)
        assert result.cost.cost_ticks == sum(row.cost.cost_ticks for row in rows)
        assert events[-1].status == "success"
        assert list(events[-1].payload.warnings) == list(result.warnings)

    async def test_a_rate_limit_passes_after_as_many_attempts_as_configured(
        self, upstreams: Upstreams, module_sqlite_url: str
    ) -> None:
        upstreams.openai.default = GOOD
        upstreams.openai.script(LIMITED, LIMITED)
        # Inference has retries of its own for other calls: they must not multiply these.
        async with serving(upstreams, module_sqlite_url, provider_retries=3) as (found, stub):
            response = await stub.DocumentSymbols(batch(1), metadata=[("x-request-id", "limited")])
            rows = await found.rows("limited")
            assert not response.documented_symbols[0].HasField("error")
            assert len(found.openai.bill.calls) == len(rows) == 3
            assert response.total_tokens == TOKENS

    @pytest.mark.parametrize("attempts", [1, 3, 4])
    async def test_no_more_attempts_are_made_than_configured(
        self, upstreams: Upstreams, module_sqlite_url: str, attempts: int
    ) -> None:
        upstreams.openai.default = LIMITED
        settings = {"provider_retries": 3, "max_retries": attempts}
        async with serving(upstreams, module_sqlite_url, **settings) as (found, stub):
            response = await stub.DocumentSymbols(batch(1))
            assert response.documented_symbols[0].error.code == "RATE_LIMITED"
            assert len(found.openai.bill.calls) == attempts

    async def test_the_configured_waits_are_used(self, upstreams: Upstreams, module_sqlite_url: str) -> None:
        upstreams.openai.default = openai_errors.server_error()
        settings = {"retry_min_wait": 0.1, "retry_max_wait": 0.15, "max_retries": 4}
        async with serving(upstreams, module_sqlite_url, **settings) as (found, stub):
            await stub.DocumentSymbols(batch(1))
            times = [entry.started_at for entry in found.openai.bill.calls]
        waits = [later - earlier for earlier, later in pairwise(times)]
        assert len(waits) == 3
        assert [wait >= least for wait, least in zip(waits, (0.1, 0.15, 0.15), strict=True)] == [True] * 3
        assert sum(waits) < 4  # of 5 s by the defaults

    async def test_a_refused_key_is_not_tried_again_and_all_symbols_fail(
        self, upstreams: Upstreams, module_sqlite_url: str
    ) -> None:
        upstreams.openai.default = openai_errors.invalid_key("sk-test-1")
        async with serving(upstreams, module_sqlite_url) as (found, stub):
            events = [event async for event in stub.StreamDocumentSymbols(batch(4))]
            assert len(found.openai.bill.calls) == 4
        assert [event.type for event in events] == ["generation.started.v1", "generation.completed.v1"]
        assert events[-1].status == "failed"
        assert all(entry.error.code == "PROVIDER_ERROR" for entry in events[-1].result.documented_symbols)

    async def test_a_connection_that_breaks_in_the_answer_costs_what_was_used(
        self, upstreams: Upstreams, module_sqlite_url: str
    ) -> None:
        """The failed attempt's estimated tokens are on the books, and so they are in the entry."""
        upstreams.openai.default = GOOD
        upstreams.openai.script(Reply(text=SUMMARY, fault="truncate"))
        async with serving(upstreams, module_sqlite_url) as (found, stub):
            response = await stub.DocumentSymbols(batch(1), metadata=[("x-request-id", "broken")])
            rows = await found.rows("broken")
        (entry,) = response.documented_symbols
        assert [row.state for row in rows] == [
            execution_pb2.EXECUTION_STATE_FAILED,
            execution_pb2.EXECUTION_STATE_SUCCEEDED,
        ]
        assert entry.tokens_used == sum(row.usage.total_tokens for row in rows) > TOKENS
        assert response.total_tokens == entry.tokens_used


class TestEvents:
    async def test_every_event_fits_the_envelope(self, symbols: Any, service: Running) -> None:
        request = batch(6, parent_event_id="evt_9", tags=["t"], report_progress=True)
        request.job_id = "my job/7"
        request.event_context.repo_url = "https://example.com/repo.git"
        service.openai.script(openai_errors.error(400, "no", code="invalid_prompt"))
        events = [event async for event in symbols.StreamDocumentSymbols(request)]
        for event in events:
            written = MessageToDict(
                event, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
            jsonschema.validate(written, ENVELOPE)
        assert [event.sequence for event in events] == list(range(len(events)))
        assert [event.HasField("status") for event in events] == [False] * (len(events) - 1) + [True]
        assert len({event.event_id for event in events}) == len(events)
        assert len({event.job_id for event in events}) == 1
        kinds = [event.type for event in events]
        assert kinds[0] == "generation.started.v1"
        assert kinds[-1] == "generation.completed.v1"
        assert kinds.count("generation.symbol_documented.v1") == 5
        done = [event.payload.done for event in events if event.type == "generation.progress.v1"]
        assert done == [1, 2, 3, 4, 5, 6]
        assert events[-1].result.job_id == "my job/7"

    async def test_payloads(self, symbols: Any) -> None:
        estimate = await symbols.EstimateDocumentSymbols(batch(2))
        started, one, _, completed = [event async for event in symbols.StreamDocumentSymbols(batch(2))]
        assert started.payload.symbol_count == 2
        assert started.payload.estimated_tokens == estimate.estimated_tokens > 0
        assert one.payload.symbol_id in ("s0", "s1")
        assert one.payload.token_count == TOKENS
        assert completed.payload.total_tokens == 2 * TOKENS
        assert completed.payload.total_cost == 2 * TICKS / 1e10
        assert completed.payload.HasField("duration_ms")
        assert list(completed.payload.warnings) == []

    async def test_progress_is_told_only_when_asked_for(self, symbols: Any) -> None:
        events = [event async for event in symbols.StreamDocumentSymbols(batch(3))]
        assert not [event for event in events if "progress" in event.type]

    async def test_events_come_while_the_job_goes_on(self, symbols: Any, service: Running) -> None:
        service.openai.default = Reply(text=SUMMARY, fault="stall")
        stream = symbols.StreamDocumentSymbols(batch(2))
        started = await anext(aiter(stream))
        assert started.type == "generation.started.v1"
        await service.openai.bill.until(lambda bill: len(bill.calls) == 2)
        stream.cancel()
        await service.openai.bill.until(lambda bill: all(entry.disconnected for entry in bill.calls))


class TestStops:
    async def test_a_caller_who_leaves_starts_no_more_calls(
        self, upstreams: Upstreams, module_sqlite_url: str
    ) -> None:
        upstreams.openai.default = Reply(text=SUMMARY, fault="stall")
        async with serving(upstreams, module_sqlite_url, max_concurrent_requests=2) as (found, stub):
            call = stub.DocumentSymbols(batch(20), metadata=[("x-request-id", "left")])
            await found.openai.bill.until(lambda bill: len(bill.calls) == 2)
            call.cancel()
            await found.openai.bill.until(lambda bill: all(entry.disconnected for entry in bill.calls))
            await found.idle()
            rows = await found.rows("left")
            assert [row.state for row in rows] == [execution_pb2.EXECUTION_STATE_CANCELLED] * 2
            assert len(found.openai.bill.calls) == 2

    async def test_a_stopped_job_starts_nothing_more_and_ends_as_failed(
        self, upstreams: Upstreams, module_sqlite_url: str
    ) -> None:
        upstreams.openai.default = Reply(
            text=SUMMARY, headers_delay_s=0.2, usage=Usage(prompt_tokens=100, completion_tokens=20)
        )
        async with serving(upstreams, module_sqlite_url, max_concurrent_requests=2) as (found, stub):
            stream = stub.StreamDocumentSymbols(batch(9))
            events = [await anext(aiter(stream))]
            await found.openai.bill.until(lambda bill: len(bill.calls) == 2)
            found.server.symbols.stop()
            events += [event async for event in stream]
            assert len(found.openai.bill.calls) == 2
        assert events[-1].type == "generation.completed.v1"
        assert events[-1].status == "failed"
        assert "the job was cancelled" in events[-1].payload.warnings[-1]
        result = events[-1].result
        assert [entry.error.code for entry in result.documented_symbols] == ["", "", *["CANCELLED"] * 7]
        assert result.total_tokens == 2 * TOKENS

    async def test_a_stop_ends_the_wait_for_another_attempt(
        self, upstreams: Upstreams, module_sqlite_url: str
    ) -> None:
        upstreams.openai.default = LIMITED
        settings = {"retry_min_wait": 30.0, "retry_max_wait": 30.0}
        async with serving(upstreams, module_sqlite_url, **settings) as (found, stub):
            call = asyncio.ensure_future(stub.DocumentSymbols(batch(1)))
            await found.openai.bill.until(lambda bill: any(entry.ended_at for entry in bill.calls))
            await asyncio.sleep(0)
            found.server.symbols.stop()
            response = await asyncio.wait_for(call, 5)
        assert response.documented_symbols[0].error.code == "RATE_LIMITED"

    async def test_a_server_that_drains_answers_with_what_it_has(
        self, upstreams: Upstreams, module_sqlite_url: str
    ) -> None:
        upstreams.openai.default = Reply(text=SUMMARY, headers_delay_s=0.1)
        settings = {"max_concurrent_requests": 1, "drain_timeout": 1.0}
        async with serving(upstreams, module_sqlite_url, **settings) as (found, stub):
            call = asyncio.ensure_future(stub.DocumentSymbols(batch(500)))
            await found.openai.bill.until(lambda bill: len(bill.calls) == 1)
            stopping = asyncio.create_task(found.stop())
            response = await call
            await stopping
        codes = [entry.error.code for entry in response.documented_symbols]
        assert codes[0] == ""
        assert codes[-1] == "CANCELLED"


class TestEstimate:
    async def test_it_calls_no_provider_and_bounds_the_cost(self, symbols: Any, service: Running) -> None:
        estimate = await symbols.EstimateDocumentSymbols(batch(3))
        assert len(service.openai.bill) == 0
        assert (estimate.symbol_count, estimate.max_output_tokens) == (3, 450)
        assert (estimate.provider, estimate.model) == ("openai", MODEL)
        assert estimate.input_tokens > estimate.estimated_tokens > 0
        assert estimate.cost.cost_ticks == estimate.input_tokens * 500 + 450 * 4000
        assert estimate.cost.cost_usd == estimate.cost.cost_ticks / 1e10
        assert estimate.cost.price_known
        assert estimate.shortened_count == 0

    async def test_it_counts_prompts_that_had_to_be_shortened(self, symbols: Any) -> None:
        request = batch(2)
        request.symbols[1].context.signature = "def f(" + "argument: int, " * 5000 + ")"
        estimate = await symbols.EstimateDocumentSymbols(request)
        assert estimate.shortened_count == 1
        assert estimate.estimated_tokens < 2000 + 100


class TestSettings:
    async def test_the_configured_limit_of_a_prompt_is_used(
        self, upstreams: Upstreams, module_sqlite_url: str
    ) -> None:
        upstreams.openai.default = GOOD
        request = batch(1)
        request.symbols[0].context.signature = "def f(" + "argument: int, " * 500 + ")"
        async with serving(upstreams, module_sqlite_url, max_prompt_tokens=500) as (_, stub):
            estimate = await stub.EstimateDocumentSymbols(request)
            assert 450 < estimate.estimated_tokens <= 500

    @pytest.mark.parametrize(
        ("prices", "ticks"),
        [
            ({"input_token_price": "0.15", "output_token_price": "0.60"}, 100 * 1500 + 20 * 6000),
            ({"output_token_price": "0.60"}, 100 * 500 + 20 * 6000),
            ({"input_token_price": "0"}, 20 * 4000),
        ],
    )
    async def test_the_operators_prices_win_over_the_book(
        self, upstreams: Upstreams, module_sqlite_url: str, prices: dict[str, str], ticks: int
    ) -> None:
        upstreams.openai.default = GOOD
        async with serving(upstreams, module_sqlite_url, **prices) as (found, stub):
            response = await stub.DocumentSymbols(batch(1), metadata=[("x-request-id", f"own-{ticks}")])
            (row,) = await found.rows(f"own-{ticks}")
        assert response.cost.cost_ticks == row.cost.cost_ticks == ticks
        assert "settings sha256:" in row.cost.price_book

    async def test_another_model_and_its_price(self, upstreams: Upstreams, module_sqlite_url: str) -> None:
        reply = Reply(text=SUMMARY, usage=Usage(prompt_tokens=1000, completion_tokens=500))
        upstreams.openai.default = reply
        async with serving(upstreams, module_sqlite_url, model_name="gpt-4o-mini") as (found, stub):
            response = await stub.DocumentSymbols(batch(1))
            assert found.openai.bill[0].body["temperature"] == 0.3
        assert response.cost.cost_usd == 0.00045
