"""Who hears of a provider's call, and whether it is made at all."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import sqlalchemy as sa

from genai_spine import chunks
from genai_spine.call import DEFAULT_TENANT, Call
from genai_spine.delivery.background_completions import BackgroundCompletions
from genai_spine.delivery.delivery import Delivery, DeliveryRequest
from genai_spine.delivery.response_cache import ResponseCache
from genai_spine.delivery.shared_call import SharedCalls
from genai_spine.delivery.stored_completions import StoredCompletions
from genai_spine.errors import CompletionNotFound, InvalidRequest, ProviderError, ServiceUnavailable
from genai_spine.providers import base as providers_base
from genai_spine.providers.base import Endpoint, Route
from genai_spine.store.completions import Completions
from genai_spine.store.database import Database
from genai_spine.store.leases import Leases
from genai_spine.store.stored_completions import StoredCompletionRows
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2, usage_pb2
from genai_spine.v1.stored_completion_service_pb2 import ListStoredCompletionsRequest

HIT, MISS = pb.CACHE_STATUS_HIT, pb.CACHE_STATUS_MISS
COALESCED, BYPASS = pb.CACHE_STATUS_COALESCED, pb.CACHE_STATUS_BYPASS
DRAIN, CONTINUE = pb.DISCONNECT_POLICY_DRAIN_FOR_USAGE, pb.DISCONNECT_POLICY_CONTINUE
PAID = usage_pb2.Cost(cost_usd=0.5, cost_ticks=5 * 10**9, price_known=True)


def asked(text: str = "Hello", **fields: Any) -> pb.CreateCompletionRequest:
    said = message_pb2.Message(role=message_pb2.ROLE_USER, content=[message_pb2.ContentPart(text=text)])
    return pb.CreateCompletionRequest(provider="openai", model="gpt-4o", messages=[said], **fields)


ADAPTERS = {name: providers_base.Provider(Endpoint(name)) for name in ("openai", "ollama", "p")}


def route(provider: str, model: str) -> Route:
    return Route(ADAPTERS[provider], model)


def sent(
    request: pb.CreateCompletionRequest, request_id: str = "r", header: str | None = None
) -> DeliveryRequest:
    call = Call(request_id=request_id, deadline=1e9, cache_control=header)
    return DeliveryRequest("completion", request, route(request.provider, request.model), call)


class Provider:
    """Says "one two" and counts how often it is asked; waits for the gate before each word."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls: list[Call] = []
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked = asyncio.Event()
        self.answered_by = route("openai", "gpt-4o")

    def serves(self, want: DeliveryRequest) -> Any:
        def stream(call: Call) -> AsyncGenerator[pb.CompletionChunk]:
            return self._stream(want, call)

        return stream

    async def _stream(self, want: DeliveryRequest, call: Call) -> AsyncGenerator[pb.CompletionChunk]:
        self.calls.append(call)
        self.asked.set()
        name = f"comp_{len(self.calls)}"
        try:
            for word in ("one ", "two"):
                await self.gate.wait()
                yield pb.CompletionChunk(
                    id=name, request_id=call.request_id, choices=[pb.ChoiceDelta(content=word)]
                )
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        want.successful_routes.append(self.answered_by)
        yield pb.CompletionChunk(
            id=name,
            request_id=call.request_id,
            execution_id=f"row-{len(self.calls)}",
            choices=[pb.ChoiceDelta(finish_reason=pb.FINISH_REASON_STOP)],
            usage=usage_pb2.Usage(total_tokens=5),
            cost=PAID,
            latency_ms=7,
        )

    def answers(self, want: DeliveryRequest) -> Any:
        async def unary(call: Call) -> pb.Completion:
            return await chunks.fold(self._stream(want, call))

        return unary


class Counted(SharedCalls):
    """Says when so many calls share one."""

    def __init__(self) -> None:
        super().__init__()
        self.shares = asyncio.Semaphore(0)

    def share(self, *call: Any) -> Any:
        self.shares.release()
        return super().share(*call)


class Slow(Completions):
    """Begins a row when the gate is open."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.gate, self.asked = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def begin(self, *row: Any) -> None:
        self.asked.set()
        await self.gate.wait()
        await super().begin(*row)


class Desk:
    """A delivery, and what is around it."""

    def __init__(self, database: Database, *, caches: bool = True) -> None:
        responses = ResponseCache(None, ttl_s=3600, memory_bytes=1 << 20) if caches else None
        self.database = database
        self.shared_calls = Counted()
        self.slow = Slow(database)
        self.kept = BackgroundCompletions(self.slow, lambda: "server-1", ttl_s=60)
        self.stored_rows = StoredCompletionRows(database)
        stored = StoredCompletions(self.stored_rows, ttl_s=60)
        self.delivery = Delivery(responses, self.shared_calls, self.kept, stored)
        self.provider = Provider()

    async def unary(self, want: DeliveryRequest) -> pb.Completion:
        return await self.delivery.unary(want, pb.Completion, self.provider.answers(want))

    async def stream(self, want: DeliveryRequest) -> list[pb.CompletionChunk]:
        return [chunk async for chunk in self.delivery.stream(want, self.provider.serves(want))]

    async def ask(self, want: DeliveryRequest, form: str) -> pb.Completion:
        if form == "unary":
            return await self.unary(want)
        return await chunks.fold(self.delivery.stream(want, self.provider.serves(want)))


@pytest.fixture
async def desk(sqlite_url: str) -> AsyncGenerator[Desk]:
    database = Database(sqlite_url)
    await Leases(database).take("server-1", "cpu", 60)
    found = Desk(database)
    yield found
    await found.delivery.drain(2)
    assert len(found.shared_calls) == 0
    await database.close()


@pytest.fixture
async def uncached(sqlite_url: str) -> AsyncGenerator[Desk]:
    database = Database(sqlite_url)
    yield Desk(database, caches=False)
    await database.close()


def text_of(answer: pb.Completion) -> str:
    return "".join(part.text for part in answer.choices[0].message.content)


FORMS = ("unary", "stream")


@pytest.mark.parametrize("form", FORMS)
class TestPlain:
    async def test_request_that_asks_for_nothing_is_handed_through(self, desk: Desk, form: str) -> None:
        want = sent(asked())
        answer = await desk.ask(want, form)
        assert (text_of(answer), answer.id, answer.cost) == ("one two", "comp_1", PAID)
        assert answer.cache_status == pb.CACHE_STATUS_UNSPECIFIED
        assert desk.provider.calls == [want.call]
        assert want.call.headers == {}

    async def test_where_no_answers_are_kept_the_answer_says_so(self, uncached: Desk, form: str) -> None:
        for _ in range(2):
            want = sent(asked(cache_max_age_s=60))
            assert (await uncached.ask(want, form)).cache_status == BYPASS
            assert want.call.headers["x-cache"] == "BYPASS"
        assert len(uncached.provider.calls) == 2

    async def test_header_that_cannot_be_read_is_refused_before_anything_is_spent(
        self, desk: Desk, form: str
    ) -> None:
        with pytest.raises(InvalidRequest):
            await desk.ask(sent(asked(), header="max-age=soon"), form)
        assert desk.provider.calls == []


@pytest.mark.parametrize("second", FORMS)
@pytest.mark.parametrize("first", FORMS)
async def test_second_answer_is_a_hit_whole_or_streamed(desk: Desk, first: str, second: str) -> None:
    paid_for = sent(asked(cache_max_age_s=60), "request-1")
    original = await desk.ask(paid_for, first)
    assert (original.cache_status, original.cost, original.id) == (MISS, PAID, "comp_1")
    assert paid_for.call.headers["x-cache"] == "MISS"
    free = sent(asked(cache_max_age_s=60, user="another"), "request-2")
    again = await desk.ask(free, second)
    assert (again.cache_status, free.call.headers["x-cache"]) == (HIT, "HIT")
    assert again.choices == original.choices
    assert again.usage == original.usage
    assert again.cost == usage_pb2.Cost(price_known=True)
    assert (again.request_id, again.execution_id) == ("request-2", "row-1")
    assert again.id not in ("", "comp_1")
    assert len(desk.provider.calls) == 1


class TestCache:
    async def test_hit_is_streamed_as_one_chunk_for_each_choice_and_the_last(self, desk: Desk) -> None:
        await desk.stream(sent(asked(cache_max_age_s=60)))
        found = await desk.stream(sent(asked(cache_max_age_s=60)))
        assert [len(chunk.choices) for chunk in found] == [1, 0]
        assert [chunk.cache_status for chunk in found] == [0, HIT]
        assert found[0].id == found[1].id

    async def test_only_the_last_chunk_of_a_miss_says_so(self, desk: Desk) -> None:
        found = await desk.stream(sent(asked(cache_max_age_s=60)))
        assert [chunk.cache_status for chunk in found] == [0] * (len(found) - 1) + [MISS]

    async def test_header_asks_like_the_field_and_the_field_wins(self, desk: Desk) -> None:
        assert (await desk.unary(sent(asked(), header="max-age=60"))).cache_status == MISS
        assert (await desk.unary(sent(asked(), header="max-age=60"))).cache_status == HIT
        assert (await desk.unary(sent(asked(), header="no-store"))).cache_status == 0
        assert (await desk.unary(sent(asked(cache_max_age_s=60), header="no-cache"))).cache_status == HIT

    async def test_age_0_makes_a_new_answer_and_keeps_it(self, desk: Desk) -> None:
        await desk.unary(sent(asked(cache_max_age_s=60)))
        assert (await desk.unary(sent(asked(cache_max_age_s=0)))).cache_status == MISS
        assert (await desk.unary(sent(asked(cache_max_age_s=60)))).execution_id == "row-2"

    async def test_answer_to_a_request_that_did_not_ask_is_not_kept(self, desk: Desk) -> None:
        await desk.unary(sent(asked()))
        assert (await desk.unary(sent(asked(cache_max_age_s=60)))).cache_status == MISS

    async def test_answer_of_a_fallback_is_kept_for_requests_to_it(self, desk: Desk) -> None:
        fallback = asked(cache_max_age_s=60)
        fallback.provider = "ollama"
        desk.provider.answered_by = route("ollama", "gpt-4o")
        await desk.unary(sent(asked(cache_max_age_s=60)))
        assert (await desk.unary(sent(asked(cache_max_age_s=60)))).cache_status == MISS
        assert (await desk.unary(sent(fallback))).cache_status == HIT

    async def test_answer_of_several_providers_is_not_kept(self, desk: Desk) -> None:
        want = sent(asked(cache_max_age_s=60))
        want.successful_routes.append(route("ollama", "llama"))
        await desk.unary(want)
        assert (await desk.unary(sent(asked(cache_max_age_s=60)))).cache_status == MISS

    async def test_answer_is_kept_by_who_answers_whatever_the_request_calls_it(self, desk: Desk) -> None:
        by_alias = sent(asked(cache_max_age_s=60))
        by_alias.message.provider, by_alias.message.model = "", "an-alias"
        await desk.unary(by_alias)
        assert (await desk.unary(sent(asked(cache_max_age_s=60)))).cache_status == HIT

    @pytest.mark.parametrize("form", FORMS)
    async def test_error_is_not_kept(self, desk: Desk, form: str) -> None:
        desk.provider.error = ProviderError(provider="openai", provider_message="broken")
        with pytest.raises(ProviderError):
            await desk.ask(sent(asked(cache_max_age_s=60)), form)
        desk.provider.error = None
        assert (await desk.ask(sent(asked(cache_max_age_s=60)), form)).cache_status == MISS

    async def test_embeddings_are_kept_when_the_header_asks(self, desk: Desk) -> None:
        request = pb.CreateEmbeddingsRequest(provider="p", model="m", inputs=[pb.EmbeddingInput(text="a")])

        async def embed(call: Call) -> pb.CreateEmbeddingsResponse:
            desk.provider.calls.append(call)
            want.successful_routes.append(route("p", "m"))
            return pb.CreateEmbeddingsResponse(embeddings=[pb.Embedding(values=[0.5])], cost=PAID)

        headers = []
        for _ in range(2):
            want = DeliveryRequest("embeddings", request, route("p", "m"), Call(cache_control="max-age=60"))
            answer = await desk.delivery.unary(want, pb.CreateEmbeddingsResponse, embed)
            headers.append(want.call.headers["x-cache"])
        assert headers == ["MISS", "HIT"]
        assert (answer.embeddings[0].values[0], answer.cost.cost_ticks) == (0.5, 0)
        assert len(desk.provider.calls) == 1


@pytest.mark.parametrize("form", FORMS)
class TestCoalescing:
    async def test_identical_calls_at_the_same_time_are_one(self, desk: Desk, form: str) -> None:
        wants = [sent(asked(coalesce=True), f"request-{number}") for number in range(20)]
        answers = await asyncio.gather(*(desk.ask(want, form) for want in wants))
        assert len(desk.provider.calls) == 1
        assert {text_of(answer) for answer in answers} == {"one two"}
        assert [answer.request_id for answer in answers] == [want.call.request_id for want in wants]
        assert len({answer.id for answer in answers}) == 20
        assert sum(answer.cost.cost_ticks for answer in answers) == PAID.cost_ticks
        assert [answer.cache_status for answer in answers] == [0] + [COALESCED] * 19
        assert [want.call.headers.get("x-cache") for want in wants] == [None] + ["COALESCED"] * 19

    async def test_calls_that_did_not_ask_are_not_joined(self, desk: Desk, form: str) -> None:
        await asyncio.gather(*(desk.ask(sent(asked()), form) for _ in range(3)))
        assert len(desk.provider.calls) == 3

    async def test_different_calls_are_not_joined(self, desk: Desk, form: str) -> None:
        wants = [sent(asked(text, coalesce=True)) for text in ("a", "b")]
        await asyncio.gather(*(desk.ask(want, form) for want in wants))
        assert len(desk.provider.calls) == 2

    async def test_shared_call_does_not_end_with_its_first_caller_nor_at_its_deadline(
        self, desk: Desk, form: str
    ) -> None:
        desk.provider.gate.clear()
        first = asyncio.create_task(desk.ask(sent(asked(coalesce=True)), form))
        await desk.provider.asked.wait()
        second = asyncio.create_task(desk.ask(sent(asked(coalesce=True)), form))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        desk.provider.gate.set()
        assert text_of(await second) == "one two"
        assert [call.deadline for call in desk.provider.calls] == [None]

    async def test_error_reaches_all(self, desk: Desk, form: str) -> None:
        desk.provider.error = ProviderError(provider="openai", provider_message="broken")
        wants = [sent(asked(coalesce=True)) for _ in range(3)]
        found = await asyncio.gather(*(desk.ask(want, form) for want in wants), return_exceptions=True)
        assert [type(error) for error in found] == [ProviderError] * 3
        assert len(desk.provider.calls) == 1

    async def test_with_a_cache_the_shared_answer_is_kept_once(self, desk: Desk, form: str) -> None:
        wants = [sent(asked(coalesce=True, cache_max_age_s=60)) for _ in range(3)]
        answers = await asyncio.gather(*(desk.ask(want, form) for want in wants))
        assert [answer.cache_status for answer in answers] == [MISS, COALESCED, COALESCED]
        assert (await desk.ask(sent(asked(cache_max_age_s=60)), form)).cache_status == HIT


async def leave(desk: Desk, want: DeliveryRequest, form: str) -> None:
    """The caller goes away while the provider is at work."""
    desk.provider.gate.clear()
    desk.provider.asked.clear()
    asking = asyncio.create_task(desk.ask(want, form))
    await desk.provider.asked.wait()
    asking.cancel()
    await asyncio.wait({asking})
    desk.provider.gate.set()


@pytest.mark.parametrize("form", FORMS)
class TestLeaving:
    @pytest.mark.parametrize("fields", [{}, {"cache_max_age_s": 60}, {"coalesce": True}])
    async def test_provider_is_cancelled_by_default(
        self, desk: Desk, form: str, fields: dict[str, Any]
    ) -> None:
        await leave(desk, sent(asked(**fields)), form)
        await desk.delivery.drain(2)
        assert desk.provider.cancelled == 1
        assert (await desk.ask(sent(asked(**fields)), form)).execution_id == "row-2"

    async def test_drained_answer_is_thrown_away_but_cached_where_that_was_asked(
        self, desk: Desk, form: str
    ) -> None:
        request = asked(disconnect_policy=DRAIN, cache_max_age_s=60)
        want = sent(request)
        await leave(desk, want, form)
        await desk.delivery.drain(2)
        assert desk.provider.cancelled == 0
        assert want.successful_routes
        with pytest.raises(CompletionNotFound):
            await desk.kept.get("r", DEFAULT_TENANT)
        assert (await desk.ask(sent(request), form)).cache_status == HIT

    async def test_answer_is_stored_where_the_request_says_so_once(self, desk: Desk, form: str) -> None:
        await leave(desk, sent(asked(disconnect_policy=CONTINUE, store=True), "request-1"), form)
        await desk.delivery.drain(2)
        page = await desk.stored_rows.page(ListStoredCompletionsRequest(), DEFAULT_TENANT, {}, 10, None)
        assert page is not None
        [stored] = page.completions
        assert stored.completion == await desk.kept.get("request-1", DEFAULT_TENANT)

    async def test_continued_answer_is_found_by_the_requests_id(self, desk: Desk, form: str) -> None:
        await leave(desk, sent(asked(disconnect_policy=CONTINUE), "request-1"), form)
        with pytest.raises(CompletionNotFound) as raised:
            await desk.kept.get("request-1", DEFAULT_TENANT)
        assert raised.value.metadata["hint"] == "still running"
        await desk.delivery.drain(2)
        found = await desk.kept.get("request-1", DEFAULT_TENANT)
        assert (text_of(found), found.request_id, found.execution_id) == ("one two", "request-1", "row-1")
        assert found.cost == PAID
        assert [call.deadline for call in desk.provider.calls] == [None]

    async def test_caller_who_leaves_before_the_call_has_begun_finds_its_answer_too(
        self, desk: Desk, form: str
    ) -> None:
        desk.slow.gate.clear()
        asking = asyncio.create_task(desk.ask(sent(asked(disconnect_policy=CONTINUE), "request-1"), form))
        await desk.slow.asked.wait()
        asking.cancel()
        await asyncio.wait({asking})
        assert desk.provider.calls == []
        desk.slow.gate.set()
        await desk.delivery.drain(2)
        assert text_of(await desk.kept.get("request-1", DEFAULT_TENANT)) == "one two"

    async def test_error_of_a_continued_call_is_found(self, desk: Desk, form: str) -> None:
        desk.provider.error = ProviderError(provider="openai", provider_message="broken")
        await leave(desk, sent(asked(disconnect_policy=CONTINUE), "request-1"), form)
        await desk.delivery.drain(2)
        with pytest.raises(ProviderError):
            await desk.kept.get("request-1", DEFAULT_TENANT)


@pytest.mark.parametrize("form", FORMS)
class TestContinue:
    async def test_caller_who_stays_finds_the_same_answer_at_once_by_the_id_that_it_was_told(
        self, desk: Desk, form: str
    ) -> None:
        answer = await desk.ask(sent(asked(disconnect_policy=CONTINUE), "request-1"), form)
        assert await desk.kept.get(answer.id, DEFAULT_TENANT) == answer
        assert await desk.kept.get("request-1", DEFAULT_TENANT) == answer

    async def test_each_caller_of_a_shared_call_finds_its_own(self, desk: Desk, form: str) -> None:
        fields: dict[str, Any] = {"disconnect_policy": CONTINUE, "coalesce": True}
        wants = [sent(asked(**fields), f"request-{number}") for number in range(3)]
        desk.provider.gate.clear()
        asking = [asyncio.create_task(desk.ask(want, form)) for want in wants]
        for _ in wants:
            await desk.shared_calls.shares.acquire()
        desk.provider.gate.set()
        answers = await asyncio.gather(*asking)
        assert len(desk.provider.calls) == 1
        for number, answer in enumerate(answers):
            found = await desk.kept.get(f"request-{number}", DEFAULT_TENANT)
            found.latency_ms = answer.latency_ms
            assert found == answer
        assert sorted(answer.cost.cost_ticks for answer in answers) == [0, 0, PAID.cost_ticks]

    async def test_hit_is_found_too(self, desk: Desk, form: str) -> None:
        fields: dict[str, Any] = {"disconnect_policy": CONTINUE, "cache_max_age_s": 60}
        await desk.ask(sent(asked(**fields), "request-1"), form)
        answer = await desk.ask(sent(asked(**fields), "request-2"), form)
        assert answer.cache_status == HIT
        assert await desk.kept.get(answer.id, DEFAULT_TENANT) == answer

    async def test_nothing_is_spent_when_nothing_can_be_kept(self, desk: Desk, form: str) -> None:
        async with desk.database.engine.begin() as connection:
            await connection.execute(sa.text("DROP TABLE completions"))
        with pytest.raises(ServiceUnavailable):
            await desk.ask(sent(asked(disconnect_policy=CONTINUE)), form)
        assert desk.provider.calls == []
