"""What symbol documentation says of itself, and which requests it refuses."""

import asyncio
import threading
from typing import Any

import grpc
import pytest

from genai_spine.services import symbol as symbol_service
from genai_spine.tokens import encodings
from genai_spine.v1 import symbol_service_pb2 as pb
from genai_spine.v1.symbol_service_pb2_grpc import SymbolServiceStub
from tests.service.running import Running, Upstreams, failure
from tests.service.test_symbols import GOOD, MODEL, batch, serving, symbol

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture
async def symbols(service: Running) -> Any:
    service.openai.default = GOOD
    return SymbolServiceStub(service.channel)


class TestHealth:
    async def test_it_calls_no_provider(self, symbols: Any, service: Running) -> None:
        health = await symbols.GetSymbolHealth(pb.GetSymbolHealthRequest())
        assert (health.status, health.model, health.ready) == ("healthy", MODEL, True)
        assert len(service.openai.bill) == 0

    async def test_without_its_encoding_it_is_unhealthy_and_batches_are_refused(
        self, symbols: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(encodings, "_loaded", {})
        monkeypatch.setattr(encodings, "_failed", {})
        monkeypatch.setattr(encodings, "PACKAGE", "no_such_package")
        health = await symbols.GetSymbolHealth(pb.GetSymbolHealthRequest())
        assert (health.status, health.ready) == ("unhealthy", False)
        found = await failure(symbols.DocumentSymbols(batch(1)))
        assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE")
        assert "cl100k_base" in found.message

    async def test_while_its_encoding_is_loaded_it_is_initializing_and_batches_wait(
        self, symbols: Any, service: Running, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        loaded = threading.Event()
        load = encodings.load

        def slow(name: str) -> Any:
            assert loaded.wait(10)
            return load(name)

        monkeypatch.setattr(encodings, "_loaded", {})
        monkeypatch.setattr(encodings, "load", slow)
        monkeypatch.setattr(symbol_service, "ENCODING_TIMEOUT_S", 0.01)
        call = asyncio.ensure_future(symbols.DocumentSymbols(batch(1)))
        health = await symbols.GetSymbolHealth(pb.GetSymbolHealthRequest())
        assert (health.status, health.ready) == ("initializing", False)
        assert len(service.openai.bill) == 0
        loaded.set()
        assert (await call).documented_symbols[0].summary
        monkeypatch.setattr(symbol_service, "ENCODING_TIMEOUT_S", 10)
        health = await symbols.GetSymbolHealth(pb.GetSymbolHealthRequest())
        assert (health.status, health.ready) == ("healthy", True)

    async def test_without_a_key_it_is_degraded_and_batches_are_refused(
        self, upstreams: Upstreams, module_sqlite_url: str
    ) -> None:
        endpoints = {"ollama": upstreams.endpoints()["ollama"]}
        async with serving(upstreams, module_sqlite_url, endpoints=endpoints) as (_, stub):
            health = await stub.GetSymbolHealth(pb.GetSymbolHealthRequest())
            assert (health.status, health.model, health.ready) == ("degraded", MODEL, False)
            for refused in (
                stub.DocumentSymbols(batch(1)),
                stub.DocumentSymbols(batch(0)),
                stub.StreamDocumentSymbols(batch(1)),
                stub.EstimateDocumentSymbols(batch(1)),
            ):
                found = await failure(refused)
                assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVICE_UNAVAILABLE")
                assert "GENAI_OPENAI_API_KEY" in found.message


class TestBadInput:
    @pytest.mark.parametrize(
        "missing", ["symbol_id", "name", "kind", "language", "file_path", "signature", "centrality"]
    )
    async def test_each_fact_is_needed(self, symbols: Any, service: Running, missing: str) -> None:
        request = batch(2)
        request.symbols[1].context.ClearField(missing)
        found = await failure(symbols.DocumentSymbols(request))
        assert (found.reason, found.fields) == (
            "INVALID_FIELDS",
            [f"symbols[1].context.{missing}"],
        )
        assert len(service.openai.bill) == 0

    @pytest.mark.parametrize("centrality", [-0.01, 1.01, float("nan"), float("inf")])
    async def test_centrality_is_from_0_to_1(self, symbols: Any, centrality: float) -> None:
        request = pb.DocumentSymbolsRequest(job_id="j", symbols=[symbol(0, centrality=centrality)])
        found = await failure(symbols.DocumentSymbols(request))
        assert found.fields == ["symbols[0].context.centrality"]

    async def test_job_and_context_are_needed(self, symbols: Any) -> None:
        found = await failure(symbols.DocumentSymbols(pb.DocumentSymbolsRequest(symbols=[pb.Symbol()])))
        assert found.fields == ["symbols[0].symbol_id", "symbols[0].context", "job_id"]

    async def test_empty_texts_and_long_lists_are_taken(self, symbols: Any) -> None:
        many = [f"x{n}" for n in range(1000)]
        lists = {"calls": many, "called_by": many, "imports": many, "related_symbols": many}
        empty = {"name": "", "kind": "", "language": "", "file_path": "", "signature": ""}
        request = pb.DocumentSymbolsRequest(job_id="j", symbols=[symbol(0, **lists, **empty)])
        response = await symbols.DocumentSymbols(request)
        assert response.documented_symbols[0].summary

    async def test_context_of_events_has_its_form(self, symbols: Any) -> None:
        request = batch(0, parent_event_id="event 1")
        request.event_context.repo_url = "no uri"
        request.event_context.plan_tier = "gold"
        found = await failure(symbols.DocumentSymbols(request))
        assert found.fields == ["event_context.repo_url", "event_context.plan_tier", "parent_event_id"]
