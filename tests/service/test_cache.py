"""Answers that are given again, and calls that are shared: what the caller sees, and what the books say."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa

from genai_spine.store.database import Database
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import routing_pb2
from tests.databases import BOTH
from tests.service.running import Running, Upstreams, asked, failure, running, text_of
from tests.upstreams import openai_errors
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")

HIT, MISS = pb.CACHE_STATUS_HIT, pb.CACHE_STATUS_MISS
COALESCED, BYPASS = pb.CACHE_STATUS_COALESCED, pb.CACHE_STATUS_BYPASS
CHAT, EMBEDDINGS = "/v1/chat/completions", "/v1/embeddings"
ON: dict[str, Any] = {"cache_enabled": True, "cache_backend": "database"}
SLOW = Reply("Hello there", headers_delay_s=0.2)


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def caching_server(
    request: pytest.FixtureRequest, all_upstreams: Upstreams
) -> AsyncIterator[tuple[Running, str]]:
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    url = request.getfixturevalue(f"module_{kind}_url")
    async with running(all_upstreams, url, **ON) as found:
        yield found, url


@pytest.fixture
def caching(caching_server: tuple[Running, str], upstreams: Upstreams) -> Running:
    """A server that keeps answers in its database; each test asks something of its own."""
    return caching_server[0]


@pytest.fixture
def cache_url(caching_server: tuple[Running, str]) -> str:
    return caching_server[1]


def cached(text: str, **fields: Any) -> pb.CreateCompletionRequest:
    return asked(text, **({"cache_max_age_s": 60} | fields))


async def whole(service: Running, request: pb.CreateCompletionRequest) -> pb.Completion:
    return await service.completions.CreateCompletion(request)


async def streamed(service: Running, request: pb.CreateCompletionRequest) -> pb.Completion:
    """The last chunk as an answer, with the text of all."""
    chunks = [chunk async for chunk in service.completions.StreamCompletion(request)]
    assert [chunk.cache_status for chunk in chunks[:-1]] == [0] * (len(chunks) - 1)
    assert len({chunk.id for chunk in chunks}) == 1
    last = chunks[-1]
    answer = pb.Completion(id=last.id, request_id=last.request_id, execution_id=last.execution_id)
    answer.cost.CopyFrom(last.cost)
    answer.usage.CopyFrom(last.usage)
    answer.cache_status = last.cache_status
    answer.choices.add().message.content.add(text=text_of(chunks))
    return answer


def said(answer: pb.Completion) -> str:
    return "".join(part.text for part in answer.choices[0].message.content)


WAYS = [pytest.param(whole, id="whole"), pytest.param(streamed, id="streamed")]


@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
async def test_second_answer_calls_no_provider_and_costs_nothing(
    caching: Running, first: Any, second: Any
) -> None:
    text = f"{first.__name__} then {second.__name__}"
    paid, free = await first(caching, cached(text)), await second(caching, cached(text, user="another"))
    assert (paid.cache_status, free.cache_status) == (MISS, HIT)
    assert said(free) == said(paid) != ""
    assert free.usage == paid.usage
    assert paid.cost.cost_ticks > 0
    assert (free.cost.cost_ticks, free.cost.price_known) == (0, True)
    assert len({paid.id, free.id}) == len({paid.request_id, free.request_id}) == 2
    assert free.execution_id == paid.execution_id
    assert len(caching.openai.bill.calls) == 1
    assert len(await caching.rows(paid.request_id)) == 1
    assert await caching.executions.by_request(free.request_id) == []


async def test_another_server_gives_the_answer_again(
    caching: Running, cache_url: str, all_upstreams: Upstreams
) -> None:
    await whole(caching, cached("shared"))
    await caching.server.delivery.drain(2)
    async with running(all_upstreams, cache_url, **ON) as other:
        assert (await whole(other, cached("shared"))).cache_status == HIT


async def test_age_0_asks_again_and_keeps_the_new_answer(caching: Running) -> None:
    caching.openai.script(Reply("old"), Reply("new"))
    await whole(caching, cached("age 0"))
    assert said(await whole(caching, cached("age 0", cache_max_age_s=0))) == "new"
    assert said(await whole(caching, cached("age 0"))) == "new"


async def test_other_requests_and_requests_that_do_not_ask_are_not_answered_from_the_cache(
    caching: Running,
) -> None:
    await whole(caching, cached("other"))
    for request in (asked("other"), cached("other", temperature=0.5), cached("other", model="gpt-4o-mini")):
        assert (await whole(caching, request)).cache_status in (0, MISS)
    assert len(caching.openai.bill.calls) == 4


@pytest.mark.parametrize("ask", WAYS)
async def test_errors_and_filtered_answers_are_not_kept(caching: Running, ask: Any) -> None:
    text = f"faults {ask.__name__}"
    caching.openai.script(openai_errors.server_error(), Reply("no", finish_reason="content_filter"))
    call = caching.completions.CreateCompletion(cached(text))
    assert (await failure(call)).reason in ("PROVIDER_ERROR", "PROVIDER_UNAVAILABLE")
    for _ in range(2):
        assert (await ask(caching, cached(text))).cache_status == MISS
    assert len(caching.openai.bill.calls) == 3


async def test_answer_of_a_fallback_is_not_given_as_the_first_candidates(caching: Running) -> None:
    request = cached("fallback", routing=routing_pb2.Routing(fallback_models=["ollama:llama3.2:latest"]))
    caching.openai.script(openai_errors.server_error())
    assert (await whole(caching, request)).provider == "ollama"
    again = await whole(caching, request)
    assert (again.provider, again.cache_status) == ("openai", MISS)
    direct = await whole(caching, cached("fallback", model="ollama:llama3.2:latest"))
    assert (direct.provider, direct.cache_status) == ("ollama", HIT)


async def test_typed_calls_over_rest_say_it_in_a_header_too(caching: Running) -> None:
    path = ("x-envoy-original-path", "/v1/completions:create")
    for expected in ("MISS", "HIT"):
        call = caching.completions.CreateCompletion(
            asked("typed"), metadata=(path, ("x-cache-control", "max-age=60"))
        )
        await call
        assert dict(await call.initial_metadata())["x-cache"] == expected
    stream = caching.completions.StreamCompletion(cached("typed"), metadata=(path,))
    assert dict(await stream.initial_metadata())["x-cache"] == "HIT"
    assert [chunk async for chunk in stream][-1].cache_status == HIT


class TestOpenAI:
    @pytest.mark.parametrize("stream", [False, True])
    async def test_header_asks_and_a_header_answers(self, caching: Running, stream: bool) -> None:
        body = {"model": "gpt-4o", "stream": stream, "messages": [{"role": "user", "content": f"h {stream}"}]}
        first = await caching.post(CHAT, body, x_cache_control="max-age=60")
        second = await caching.post(CHAT, body, x_cache_control="max-age=60")
        third = await caching.post(CHAT, body)
        assert [posted.headers.get("x-cache") for posted in (first, second, third)] == ["MISS", "HIT", None]
        if not stream:
            assert second.json["choices"] == first.json["choices"]
            assert second.json["usage"]["cost_usd"] == 0
        else:
            assert second.events[-1] == "[DONE]"
        assert len(caching.openai.bill.calls) == 2

    @pytest.mark.parametrize("stream", [False, True])
    async def test_kept_answer_warns_as_the_first_one_did(self, caching: Running, stream: bool) -> None:
        messages = [{"role": "user", "content": f"warned {stream}"}]
        body = {"model": "o3", "stream": stream, "temperature": 0.5, "messages": messages}
        found = [await caching.post(CHAT, body, x_cache_control="max-age=60") for _ in range(2)]
        assert [posted.headers["x-cache"] for posted in found] == ["MISS", "HIT"]
        assert {posted.headers["x-genai-warnings"] for posted in found} == {"temperature;action=dropped"}

    async def test_embeddings_are_given_again(self, caching: Running) -> None:
        body = {"model": "text-embedding-3-small", "input": "cached embedding"}
        found = [await caching.post(EMBEDDINGS, body, x_cache_control="max-age=60") for _ in range(2)]
        assert [posted.headers["x-cache"] for posted in found] == ["MISS", "HIT"]
        assert found[0].json["data"] == found[1].json["data"]
        assert len(caching.openai.bill.calls) == 1

    async def test_max_age_that_is_no_number_is_refused(self, caching: Running) -> None:
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "bad header"}]}
        problem = (await caching.post(CHAT, body, x_cache_control="max-age=soon")).problem
        assert (problem["status"], problem["param"]) == (400, "X-Cache-Control")
        assert len(caching.openai.bill.calls) == 0


@pytest.mark.parametrize("ask", WAYS)
async def test_server_that_keeps_no_answers_says_so(service: Running, ask: Any) -> None:
    for _ in range(2):
        assert (await ask(service, cached("bypass"))).cache_status == BYPASS
    assert len(service.openai.bill.calls) == 2


async def test_broken_cache_fails_no_call(
    upstreams: Upstreams, sqlite_template: Path, tmp_path: Path
) -> None:
    shutil.copy(sqlite_template, tmp_path / "spine.db")
    url = f"sqlite:///{tmp_path}/spine.db"
    async with running(upstreams, url, **ON) as broken:
        database = Database(url)
        async with database.engine.begin() as connection:
            await connection.execute(sa.text("DROP TABLE response_cache"))
        await database.close()
        assert (await whole(broken, cached("broken"))).cache_status == MISS
        assert (await whole(broken, cached("broken"))).cache_status == HIT  # from memory


@pytest.mark.parametrize("ask", WAYS)
class TestCoalescing:
    async def test_identical_calls_at_the_same_time_are_one_row_and_one_bill(
        self, caching: Running, ask: Any
    ) -> None:
        caching.openai.default = SLOW
        request = asked(f"coalesced {ask.__name__}", coalesce=True)
        answers = await asyncio.gather(*(ask(caching, request) for _ in range(10)))
        assert {said(answer) for answer in answers} == {"Hello there"}
        assert sorted(answer.cache_status for answer in answers) == [0] + [COALESCED] * 9
        assert len(caching.openai.bill.calls) == 1
        [paid] = [answer for answer in answers if not answer.cache_status]
        assert paid.cost.cost_ticks == sum(answer.cost.cost_ticks for answer in answers) > 0
        assert len({answer.id for answer in answers}) == len({answer.request_id for answer in answers}) == 10
        [row] = await caching.rows(paid.request_id)
        assert row.cost.cost_ticks == paid.cost.cost_ticks

    async def test_all_are_warned_in_the_header(self, caching: Running, ask: Any) -> None:
        caching.openai.default = SLOW
        method = (
            caching.completions.CreateCompletion if ask is whole else caching.completions.StreamCompletion
        )
        request = asked(f"warned {ask.__name__}", coalesce=True, model="o3", temperature=0.5)
        path = ("x-envoy-original-path", "/v1/completions:create")
        calls = [method(request, metadata=(path,)) for _ in range(2)]
        found = await asyncio.gather(*(call.initial_metadata() for call in calls))
        assert {dict(headers).get("x-genai-warnings") for headers in found} == {"temperature;action=dropped"}
        assert len(caching.openai.bill.calls) == 1

    async def test_calls_that_do_not_ask_are_made_one_by_one(self, caching: Running, ask: Any) -> None:
        caching.openai.default = SLOW
        await asyncio.gather(*(ask(caching, asked("alone")) for _ in range(3)))
        assert len(caching.openai.bill.calls) == 3

    async def test_error_reaches_all_callers_and_is_booked_once(self, caching: Running, ask: Any) -> None:
        caching.openai.default = openai_errors.server_error()
        method = "CreateCompletion" if ask is whole else "StreamCompletion"
        request = asked(f"shared error {ask.__name__}", coalesce=True)
        calls = [getattr(caching.completions, method)(request) for _ in range(3)]
        found = await asyncio.gather(*(failure(call) for call in calls))
        assert len({problem.reason for problem in found}) == 1
        assert len({problem.request_id for problem in found}) == 3
        assert len(caching.openai.bill.calls) <= 3
