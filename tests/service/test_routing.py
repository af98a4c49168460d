"""Who answers when several can: fallbacks, strategies, circuits, keys, limits, hedges, choices.

Which upstream was asked, and how often, is read off the simulators' own bills.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random
from typing import Any

import grpc
import pytest
import pytest_asyncio

from genai_spine.routing import strategies
from genai_spine.routing.router import Alias, Member
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import execution_pb2, routing_pb2
from genai_spine.v1 import provider_service_pb2 as provider_pb
from genai_spine.v1.provider_service_pb2_grpc import ProviderServiceStub
from tests.service.running import Running, Upstreams, asked, failure, running, text_of
from tests.upstreams import openai_errors
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")

OLLAMA = "ollama:llama3.2:latest"
DOWN = "groq:any"  # nobody listens there


async def unary(service: Running, request: pb.CreateCompletionRequest) -> pb.Completion:
    return await service.completions.CreateCompletion(request)


async def streamed(service: Running, request: pb.CreateCompletionRequest) -> pb.CompletionChunk:
    """The last chunk of a stream that said something."""
    chunks = [chunk async for chunk in service.completions.StreamCompletion(request)]
    assert text_of(chunks)
    return chunks[-1]


BOTH_WAYS = pytest.mark.parametrize("ask", [unary, streamed])


def routing(*fallbacks: str, **fields: Any) -> routing_pb2.Routing:
    return routing_pb2.Routing(fallback_models=fallbacks, **fields)


class TestFallback:
    @BOTH_WAYS
    @pytest.mark.parametrize(
        "reply",
        [
            openai_errors.server_error(),
            openai_errors.rate_limited(30),
            openai_errors.invalid_key(),
            openai_errors.insufficient_quota(),
            openai_errors.model_not_found("gpt-4o"),
            openai_errors.context_length_exceeded(),
            Reply(fault="reset"),
            Reply(fault="malformed"),
        ],
    )
    async def test_the_next_candidate_answers_and_each_call_is_a_row(
        self, service: Running, ask: Any, reply: Reply
    ) -> None:
        service.openai.script(reply)
        answer = await ask(service, asked(routing=routing(OLLAMA)))
        assert (answer.provider, answer.model) == ("ollama", "llama3.2:latest")
        assert (len(service.openai.bill.calls), len(service.ollama.bill.calls)) == (1, 1)
        rows = await service.rows(answer.request_id)
        assert [(row.provider, row.attempt) for row in rows] == [("openai", 1), ("ollama", 2)]
        assert {row.requested_model for row in rows} == {"gpt-4o"}
        assert rows[1].id == answer.execution_id
        assert rows[0].state == execution_pb2.EXECUTION_STATE_FAILED

    @BOTH_WAYS
    @pytest.mark.parametrize(
        "reply",
        [openai_errors.error(400, "bad", code="invalid_value"), openai_errors.content_filter()],
    )
    async def test_what_is_wrong_with_the_request_is_asked_of_nobody_else(
        self, service: Running, ask: Any, reply: Reply
    ) -> None:
        service.openai.script(reply)
        await failure(ask(service, asked(routing=routing(OLLAMA))))
        assert not service.ollama.bill.calls

    async def test_a_stream_that_has_begun_does_not_change_its_provider(self, service: Running) -> None:
        service.openai.script(Reply(["a", "b", "c"], fault="reset", after=2))
        found = await failure(service.completions.StreamCompletion(asked(routing=routing(OLLAMA))))
        assert found.reason == "PROVIDER_ERROR"
        assert not service.ollama.bill.calls

    @BOTH_WAYS
    async def test_when_all_fail_the_error_says_what_each_answered(self, service: Running, ask: Any) -> None:
        service.openai.script(openai_errors.server_error())
        found = await failure(ask(service, asked(routing=routing(DOWN))))
        assert found.reason == "PROVIDER_UNAVAILABLE"
        assert found.metadata["tried"] == (
            "openai:gpt-4o PROVIDER_UNAVAILABLE; groq:any PROVIDER_UNAVAILABLE"
        )

    async def test_candidates_that_cannot_honour_the_request_are_passed_over(self, service: Running) -> None:
        service.openai.script(openai_errors.server_error())
        request = asked(routing=routing("builtin", "vllm:gpt-4o"), logprobs=True)
        answer = await unary(service, request)
        assert answer.provider == "vllm"

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            (routing("claude-sonnet-4"), "routing.fallback_models[0]"),
            (routing("groq:any", no_fallback=True), "routing.no_fallback"),
            (routing_pb2.Routing(preferred_providers=["nobody"]), "routing.preferred_providers[0]"),
            (routing_pb2.Routing(min_quality=routing_pb2.QUALITY_TIER_PREMIUM), "routing"),
            (routing_pb2.Routing(max_cost_ticks=0), "routing"),
            (routing_pb2.Routing(max_cost_usd=-1.0), "routing.max_cost_usd"),
            (routing_pb2.Routing(strategy=99), "routing.strategy"),  # type: ignore[arg-type]
        ],
    )
    async def test_routing_that_makes_no_sense_names_its_field(
        self, service: Running, given: routing_pb2.Routing, field: str
    ) -> None:
        request = asked(model="gpt-3.5-turbo", routing=given)
        found = await failure(unary(service, request))
        assert found.code == grpc.StatusCode.INVALID_ARGUMENT
        assert found.metadata["field"] == field
        assert not service.openai.bill.calls


@pytest_asyncio.fixture(loop_scope="session")
async def routed(upstreams: Upstreams, module_sqlite_url: str) -> AsyncIterator[Any]:
    """Starts servers with settings of a test's own."""
    async with AsyncServers(upstreams, module_sqlite_url) as servers:
        yield servers


class AsyncServers:
    def __init__(self, upstreams: Upstreams, url: str) -> None:
        self.upstreams = upstreams
        self.url = url
        self.open: list[Any] = []

    async def __aenter__(self) -> "AsyncServers":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for context in reversed(self.open):
            await context.__aexit__(None, None, None)

    async def __call__(self, **settings: Any) -> Running:
        context = running(self.upstreams, self.url, **settings)
        found = await context.__aenter__()
        self.open.append(context)
        return found

    def endpoints(self, **changed: Any) -> Any:
        given = self.upstreams.endpoints()
        return given | {name: replace(given[name], **fields) for name, fields in changed.items()}


def aliases(*members: Member, strategy: int | None = None) -> dict[str, Alias]:
    return {"any": Alias(members, strategy)}  # type: ignore[arg-type]


class TestTheServersOwnChain:
    @BOTH_WAYS
    async def test_it_is_asked_last(self, routed: AsyncServers, ask: Any) -> None:
        service = await routed(fallback_chain="mistral,builtin,ollama")
        service.openai.script(openai_errors.server_error())
        answer = await ask(service, asked("One. Two. Three."))
        assert answer.provider == "builtin", "mistral is not configured"

    async def test_a_request_may_do_without(self, routed: AsyncServers) -> None:
        service = await routed(fallback_chain="builtin")
        service.openai.script(openai_errors.server_error())
        found = await failure(unary(service, asked(routing=routing_pb2.Routing(no_fallback=True))))
        assert found.reason == "PROVIDER_UNAVAILABLE"

    async def test_embeddings_have_none(self, routed: AsyncServers) -> None:
        service = await routed(fallback_chain="builtin")
        service.openai.script(openai_errors.server_error())
        request = pb.CreateEmbeddingsRequest(
            model="text-embedding-3-small", inputs=[pb.EmbeddingInput(text="x")]
        )
        found = await failure(service.completions.CreateEmbeddings(request))
        assert found.reason == "PROVIDER_UNAVAILABLE"


class TestStrategies:
    @pytest.mark.parametrize(
        ("strategy", "expected"),
        [
            (routing_pb2.ROUTING_STRATEGY_ORDER, "openai:gpt-4o"),
            (routing_pb2.ROUTING_STRATEGY_COST_OPTIMIZED, "ollama:llama3.2:latest"),
            (routing_pb2.ROUTING_STRATEGY_QUALITY, "openai:gpt-4o"),
            (routing_pb2.ROUTING_STRATEGY_LOCAL_FIRST, "ollama:llama3.2:latest"),
        ],
    )
    async def test_the_order_is_the_strategys(
        self, routed: AsyncServers, strategy: int, expected: str
    ) -> None:
        members = (Member("openai:gpt-4o"), Member("openai:gpt-4o-mini"), Member(OLLAMA))
        service = await routed(model_aliases=aliases(*members, strategy=strategy))
        answer = await unary(service, asked(model="any"))
        assert f"{answer.provider}:{answer.model}" == expected

    async def test_the_cheapest_of_the_paid_ones(self, service: Running) -> None:
        request = asked(
            routing=routing("openai:gpt-4o-mini", strategy=routing_pb2.ROUTING_STRATEGY_COST_OPTIMIZED)
        )
        assert (await unary(service, request)).model == "gpt-4o-mini"

    async def test_round_robin_takes_each_in_turn(self, routed: AsyncServers) -> None:
        members = (Member("openai:gpt-4o"), Member(OLLAMA), Member("vllm:x"))
        strategy = routing_pb2.ROUTING_STRATEGY_ROUND_ROBIN
        service = await routed(model_aliases=aliases(*members, strategy=strategy))
        found = [(await unary(service, asked(model="any"))).provider for _ in range(6)]
        assert found == ["openai", "ollama", "vllm"] * 2

    async def test_weights_are_kept(self, routed: AsyncServers, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(strategies, "random", Random(1).random)
        members = (Member("openai:gpt-4o", 9.0), Member(OLLAMA, 1.0))
        service = await routed(
            model_aliases=aliases(*members, strategy=routing_pb2.ROUTING_STRATEGY_WEIGHTED)
        )
        found = [(await unary(service, asked(model="any"))).provider for _ in range(200)]
        assert 5 <= found.count("ollama") <= 45  # 20 expected

    async def test_the_fastest_is_found_out(self, routed: AsyncServers) -> None:
        members = (Member("openai:gpt-4o"), Member("vllm:quick"))
        service = await routed(model_aliases=aliases(*members, strategy=routing_pb2.ROUTING_STRATEGY_SPEED))
        for model, delay_s in (("openai:gpt-4o", 1.0), ("vllm:quick", 0.0)):
            service.openai.script(Reply("x", first_delay_s=delay_s), on=model.partition(":")[2])
            await streamed(service, asked(model=model))
        assert (await unary(service, asked(model="any"))).provider == "vllm"

    async def test_preferred_providers_go_first(self, service: Running) -> None:
        request = asked(routing=routing(OLLAMA, preferred_providers=["ollama"]))
        assert (await unary(service, request)).provider == "ollama"

    async def test_conditions_leave_candidates_out(self, service: Running) -> None:
        request = asked(
            model="gpt-3.5-turbo", routing=routing("gpt-4o", min_quality=routing_pb2.QUALITY_TIER_PREMIUM)
        )
        assert (await unary(service, request)).model == "gpt-4o"
        request = asked(model="gpt-4", max_tokens=1000, routing=routing("gpt-4o-mini", max_cost_ticks=10**8))
        assert (await unary(service, request)).model == "gpt-4o-mini"


class TestCircuit:
    async def test_a_provider_that_fails_five_times_is_left_alone(self, routed: AsyncServers) -> None:
        service = await routed(circuit_failures=5, circuit_rest=1.0)
        service.openai.default = openai_errors.server_error()
        for _ in range(5):
            assert (await failure(unary(service, asked()))).reason == "PROVIDER_UNAVAILABLE"
        found = await failure(unary(service, asked()))
        assert (found.reason, found.metadata["provider"]) == ("PROVIDER_CIRCUIT_OPEN", "openai")
        assert found.retry_after_s
        assert len(service.openai.bill.calls) == 5
        service.openai.default = Reply("well again")
        await asyncio.sleep(1.0)  # the rest
        for _ in range(3):
            assert (await unary(service, asked())).provider == "openai"

    @pytest.mark.parametrize(
        "reply",
        [
            openai_errors.server_error(),
            openai_errors.bad_gateway(503),
            openai_errors.rate_limited(60),
            openai_errors.model_not_found("gpt-4"),
            Reply("x", fault="malformed"),
        ],
        ids=["500", "503", "429", "404", "garbage"],
    )
    async def test_one_broken_model_leaves_the_providers_other_models_alone(
        self, routed: AsyncServers, reply: Reply
    ) -> None:
        service = await routed(circuit_failures=2)
        for _ in range(4):
            service.openai.script(reply)
            await failure(unary(service, asked(model="gpt-4")))
        service.openai.reset()
        assert (await unary(service, asked(model="gpt-4o"))).provider == "openai"

    async def test_a_model_that_is_left_alone_is_named_and_shown(self, routed: AsyncServers) -> None:
        service = await routed(circuit_failures=2)
        service.openai.default = openai_errors.server_error()
        for _ in range(2):
            await failure(unary(service, asked(model="gpt-4")))
        found = await failure(unary(service, asked(model="gpt-4")))
        assert (found.reason, found.metadata["model"]) == ("PROVIDER_CIRCUIT_OPEN", "gpt-4")
        assert "openai:gpt-4 is open" in found.message
        listing = ProviderServiceStub(service.channel)
        [openai] = [
            info
            for info in (await listing.ListProviders(provider_pb.ListProvidersRequest())).providers
            if info.provider_name == "openai"
        ]
        assert (openai.is_available, list(openai.open_models)) == (True, ["gpt-4"])

    async def test_a_provider_that_cannot_be_reached_rests_with_all_its_models(
        self, routed: AsyncServers
    ) -> None:
        service = await routed(circuit_failures=2)
        service.openai.default = Reply(fault="reset")
        for _ in range(2):
            await failure(unary(service, asked(model="gpt-4")))
        service.openai.default = Reply("well")
        found = await failure(unary(service, asked(model="gpt-4o")))
        assert (found.reason, found.metadata.get("model")) == ("PROVIDER_CIRCUIT_OPEN", None)

    async def test_others_are_asked_meanwhile_without_a_delay(self, routed: AsyncServers) -> None:
        service = await routed(circuit_failures=2)
        service.openai.default = openai_errors.server_error()
        for _ in range(4):
            assert (await unary(service, asked(routing=routing(OLLAMA)))).provider == "ollama"
        assert len(service.openai.bill.calls) == 2

    async def test_refused_requests_do_not_open_it(self, routed: AsyncServers) -> None:
        service = await routed(circuit_failures=2)
        service.openai.default = openai_errors.error(400, "bad", code="invalid_value")
        for _ in range(4):
            assert (await failure(unary(service, asked()))).reason == "PROVIDER_REJECTED"


class TestKeys:
    async def test_keys_take_turns(self, routed: AsyncServers) -> None:
        endpoints = routed.endpoints(openai={"api_key": "k1", "more_keys": ("k2", "k3")})
        service = await routed(endpoints=endpoints)
        for _ in range(6):
            await unary(service, asked())
        used = [entry.headers["authorization"] for entry in service.openai.bill.calls]
        assert used == ["Bearer k1", "Bearer k2", "Bearer k3"] * 2

    @BOTH_WAYS
    async def test_a_limited_key_rests_and_the_next_one_answers_at_once(
        self, routed: AsyncServers, ask: Any
    ) -> None:
        endpoints = routed.endpoints(openai={"api_key": "k1", "more_keys": ("k2",)})
        service = await routed(endpoints=endpoints)
        service.openai.script(openai_errors.rate_limited(60))
        for _ in range(3):
            assert (await ask(service, asked())).provider == "openai"
        used = [entry.headers["authorization"][-2:] for entry in service.openai.bill.calls]
        assert used == ["k1", "k2", "k2", "k2"]


class TestLimits:
    async def test_no_more_calls_than_allowed_run_at_a_time_and_all_are_answered(
        self, routed: AsyncServers
    ) -> None:
        service = await routed(endpoints=routed.endpoints(openai={"max_concurrency": 2}))
        most = 0

        def watch(bill: Any) -> bool:
            nonlocal most
            most = max(most, sum(entry.ended_at is None for entry in bill.calls))
            return len(bill.calls) == 8 and all(entry.ended_at for entry in bill.calls)

        service.openai.default = Reply("x", headers_delay_s=0.1)
        watching = asyncio.create_task(service.openai.bill.until(watch))
        await asyncio.gather(*(unary(service, asked()) for _ in range(8)))
        await watching
        assert most == 2

    async def test_what_is_too_much_goes_to_the_next_candidate(self, routed: AsyncServers) -> None:
        service = await routed(endpoints=routed.endpoints(openai={"max_concurrency": 1}))
        service.openai.default = Reply("x", headers_delay_s=1.0)
        request = asked(routing=routing(OLLAMA))
        first = asyncio.create_task(unary(service, request))
        await service.openai.bill.until(lambda bill: len(bill.calls) == 1)
        assert (await unary(service, request)).provider == "ollama"
        assert (await first).provider == "openai"


class TestHedge:
    @BOTH_WAYS
    async def test_the_faster_one_wins_and_the_other_is_booked_as_discarded(
        self, service: Running, ask: Any
    ) -> None:
        service.openai.script(Reply("slow", headers_delay_s=5))
        answer = await ask(service, asked(routing=routing(OLLAMA, hedge_after_ms=30)))
        assert answer.provider == "ollama"
        rows = await service.rows(answer.request_id)
        assert [(row.provider, row.discarded) for row in rows] == [("openai", True), ("ollama", False)]
        assert rows[0].state == execution_pb2.EXECUTION_STATE_CANCELLED
        await service.openai.bill.until(lambda bill: bill[-1].disconnected)

    @BOTH_WAYS
    async def test_nobody_else_is_asked_when_the_first_is_fast(self, service: Running, ask: Any) -> None:
        answer = await ask(service, asked(routing=routing(OLLAMA, hedge_after_ms=3000)))
        assert answer.provider == "openai"
        assert not service.ollama.bill.calls

    @BOTH_WAYS
    async def test_a_hedge_that_fails_leaves_the_first_to_answer(self, service: Running, ask: Any) -> None:
        service.openai.script(Reply("slow", headers_delay_s=0.2))
        answer = await ask(service, asked(routing=routing(DOWN, hedge_after_ms=20)))
        assert answer.provider == "openai"


class TestChoices:
    @BOTH_WAYS
    async def test_a_provider_of_one_choice_is_asked_several_times(self, service: Running, ask: Any) -> None:
        answer = await ask(service, asked(model=OLLAMA, choice_count=3))
        assert len(service.ollama.bill.calls) == 3
        rows = await service.rows(answer.request_id)
        assert sorted(row.attempt for row in rows) == [1, 2, 3]
        assert answer.usage.output_tokens == sum(row.usage.output_tokens for row in rows)

    async def test_choices_are_numbered(self, service: Running) -> None:
        service.ollama.script(*(Reply(text) for text in ("a", "b", "c")))
        answer = await unary(service, asked(model=OLLAMA, choice_count=3))
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        assert sorted(choice.message.content[0].text for choice in answer.choices) == ["a", "b", "c"]

    async def test_streams_are_woven(self, service: Running) -> None:
        service.ollama.default = Reply(["a", "b"], interval_s=0.01)
        request = asked(model=OLLAMA, choice_count=2)
        chunks = [chunk async for chunk in service.completions.StreamCompletion(request)]
        assert len({chunk.id for chunk in chunks}) == 1
        said: dict[int, str] = {}
        for chunk in chunks:
            for delta in chunk.choices:
                said[delta.index] = said.get(delta.index, "") + delta.content
        assert said == {0: "ab", 1: "ab"}
        assert [chunk.HasField("usage") for chunk in chunks].count(True) == 1

    async def test_the_first_failure_ends_all(self, service: Running) -> None:
        service.ollama.script(Reply(status=500, body={"error": "no"}))
        found = await failure(unary(service, asked(model=OLLAMA, choice_count=2)))
        assert found.reason == "PROVIDER_UNAVAILABLE"
