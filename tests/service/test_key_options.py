"""Options of a key through the channel, on both databases: retries that join, the request log, models."""

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import grpc
import pytest
import pytest_asyncio

from genai_spine.v1 import completion_service_pb2 as completions
from genai_spine.v1 import key_service_pb2 as pb
from genai_spine.v1 import model_service_pb2 as models
from genai_spine.v1 import request_log_service_pb2 as logs
from genai_spine.v1 import request_log_service_pb2_grpc, usage_service_pb2_grpc
from genai_spine.v1 import usage_service_pb2 as usage
from genai_spine.v1.provider_service_pb2 import ListProvidersRequest
from genai_spine.v1.provider_service_pb2_grpc import ProviderServiceStub
from tests.databases import BOTH
from tests.idempotent_rows import aged, violations
from tests.service.keyed import Keyed, bearer, keyed
from tests.service.running import Upstreams, asked, failure, text_of
from tests.upstreams.reply import Reply

pytestmark = pytest.mark.asyncio(loop_scope="session")
ALIASES = {"fast": "openai:gpt-4o-mini|builtin:extractive"}
numbers = count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def server(request: pytest.FixtureRequest, all_upstreams: Upstreams) -> AsyncIterator[Keyed]:
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    url = request.getfixturevalue(f"module_{kind}_url")
    async with keyed(all_upstreams, url, model_aliases=ALIASES) as found:
        yield found


@pytest.fixture(autouse=True)
def _reset(upstreams: Upstreams) -> None:
    """Nothing scripted."""


@pytest_asyncio.fixture(loop_scope="session")
async def secret(server: Keyed) -> str:
    """Secret of a key whose SDK's retries join."""
    return (await server.key("completions:write", deduplicate_retries=True)).secret


def new_request() -> completions.CreateCompletionRequest:
    return asked(f"Number {next(numbers)}")


class TestDeduplicatedRetries:
    def tries(self, secret: str, retries: int | None) -> list[tuple[str, str]]:
        """Metadata of an SDK's try; retries: before it, None: a client that does not count."""
        counted = [] if retries is None else [("x-stainless-retry-count", str(retries))]
        return [*bearer(secret), *counted]

    async def complete(self, server: Keyed, secret: str, request: Any, retries: int | None) -> Any:
        """Answer of a try, and whether it was a replay."""
        call = server.service.completions.CreateCompletion(request, metadata=self.tries(secret, retries))
        answer = await call
        return answer, dict(await call.initial_metadata() or ()).get("x-genai-replay") == "true"

    async def test_a_retry_has_the_answer_of_the_try_before_it(self, server: Keyed, secret: str):
        request = new_request()
        first, _ = await self.complete(server, secret, request, 0)
        again, is_replay = await self.complete(server, secret, request, 1)
        assert (again, is_replay) == (first, True)
        assert len(server.service.openai.bill.calls) == 1

    async def test_a_retry_joins_a_call_that_runs(self, server: Keyed, secret: str):
        server.service.openai.script(Reply(["late"], first_delay_s=0.3))
        request = new_request()
        first = asyncio.ensure_future(self.complete(server, secret, request, 0))
        await asyncio.sleep(0.1)
        again = await asyncio.gather(*(self.complete(server, secret, request, one) for one in (1, 2)))
        answer, _ = await first
        assert [one for one, _ in again] == [answer, answer]
        assert len(server.service.openai.bill.calls) == 1

    async def test_a_retry_has_the_answer_of_a_try_whose_caller_left(self, server: Keyed, secret: str):
        server.service.openai.script(Reply(["late"], first_delay_s=0.2))
        request = new_request()
        left = server.service.completions.CreateCompletion(request, metadata=self.tries(secret, 0))
        await asyncio.sleep(0.1)
        left.cancel()
        answer, is_replay = await self.complete(server, secret, request, 1)
        assert (answer.choices[0].message.content[0].text, is_replay) == ("late", True)
        assert len(server.service.openai.bill.calls) == 1

    async def test_a_streams_retry_is_sent_it_from_its_beginning(self, server: Keyed, secret: str):
        server.service.openai.default = Reply(["a", "b", "c"])
        request = new_request()

        async def streamed(retries: int) -> str:
            stream = server.service.completions.StreamCompletion
            return text_of([chunk async for chunk in stream(request, metadata=self.tries(secret, retries))])

        assert [await streamed(retries) for retries in (0, 1, 2)] == ["abc"] * 3
        assert len(server.service.openai.bill.calls) == 1
        assert await violations(server.service.database) == {}

    async def test_openai_bodies_are_compared_field_by_field(self, server: Keyed, secret: str):
        said = f"Number {next(numbers)}"
        messages = f'"messages":[{{"role":"user","content":"{said}"}}]'
        bodies = [f'{{"model":"gpt-4o",{messages}}}', f'{{ {messages}, "model": "gpt-4o" }}']
        answers = [
            await server.service.post(
                "/v1/chat/completions",
                body.encode(),
                authorization=f"Bearer {secret}",
                x_stainless_retry_count=str(retries),
            )
            for retries, body in enumerate(bodies)
        ]
        assert answers[0].json == answers[1].json
        assert [one.headers.get("x-genai-replay") for one in answers] == [None, "true"]
        assert len(server.service.openai.bill.calls) == 1

    async def test_a_fresh_call_with_the_same_body_is_a_new_one(self, server: Keyed, secret: str):
        request = new_request()
        ids = {(await self.complete(server, secret, request, 0))[0].id for _ in range(3)}
        assert len(ids) == len(server.service.openai.bill.calls) == 3

    async def test_another_body_another_key_and_a_key_without_the_option_do_not_join(
        self, server: Keyed, secret: str
    ):
        request = new_request()
        await self.complete(server, secret, request, 0)
        other = (await server.key("completions:write", deduplicate_retries=True)).secret
        plain = (await server.key("completions:write")).secret
        for asker, body in ((secret, new_request()), (other, request), (plain, request), (plain, request)):
            assert not (await self.complete(server, asker, body, 1))[1]
        assert len(server.service.openai.bill.calls) == 5

    async def test_a_client_that_does_not_count_its_tries_does_not_join(self, server: Keyed, secret: str):
        request = new_request()
        assert not any([(await self.complete(server, secret, request, None))[1] for _ in range(2)])
        assert len(server.service.openai.bill.calls) == 2

    async def test_a_retry_after_the_time_is_a_new_call(self, server: Keyed, secret: str):
        request = new_request()
        await self.complete(server, secret, request, 0)
        await aged(server.service.database, expires_at=-1)
        assert not (await self.complete(server, secret, request, 1))[1]
        assert len(server.service.openai.bill.calls) == 2

    async def test_an_error_that_another_try_may_mend_is_tried_again(self, server: Keyed, secret: str):
        server.service.openai.script(Reply(status=429, body={"error": {"message": "slow down"}}), Reply("ok"))
        request = new_request()
        found = await failure(self.complete(server, secret, request, 0))
        assert found.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert not (await self.complete(server, secret, request, 1))[1]

    async def test_a_callers_own_key_goes_first(self, server: Keyed, secret: str):
        request = new_request()
        metadata = [*self.tries(secret, 0), ("idempotency-key", f"own-{next(numbers)}")]
        await server.service.completions.CreateCompletion(request, metadata=metadata)
        assert not (await self.complete(server, secret, request, 1))[1]
        found = await failure(
            server.service.completions.CreateCompletion(
                request, metadata=[*bearer(secret), ("idempotency-key", "auto:1")]
            )
        )
        assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


class TestRequestLog:
    async def entries(self, server: Keyed, key_id: str) -> int:
        await server.service.idle()
        await server.service.server.foundation.request_log.flush()
        stub: Any = request_log_service_pb2_grpc.RequestLogServiceStub(server.service.channel)
        request = logs.ListRequestLogsRequest(api_key_id=key_id)
        page = await stub.ListRequestLogs(request, metadata=bearer(server.admin))
        return len(page.request_logs)

    async def test_a_key_says_itself_whether_its_calls_are_logged(self, server: Keyed):
        for said, entries in ((None, 0), (False, 0), (True, 1)):
            made = await server.key("completions:write", request_log=said)
            assert made.key.HasField("request_log") == (said is not None)
            await server.service.completions.CreateCompletion(new_request(), metadata=bearer(made.secret))
            assert await self.entries(server, made.key.id) == entries

    async def test_the_option_is_changed_and_cleared(self, server: Keyed):
        made = await server.key("completions:write", request_log=True)
        off = pb.UpdateKeyRequest(key_id=made.key.id, key=pb.ApiKey(request_log=False))
        changed = await server.keys.UpdateKey(off, metadata=bearer(server.admin))
        assert (changed.HasField("request_log"), changed.request_log) == (True, False)
        await server.service.completions.CreateCompletion(new_request(), metadata=bearer(made.secret))
        assert await self.entries(server, made.key.id) == 0
        clear = pb.UpdateKeyRequest(
            key_id=made.key.id, key=pb.ApiKey(), update_mask={"paths": ["request_log"]}
        )
        changed = await server.keys.UpdateKey(clear, metadata=bearer(server.admin))
        assert not changed.HasField("request_log")


class TestModels:
    async def listed(self, server: Keyed, secret: str, **fields: Any) -> models.ListModelsResponse:
        request = models.ListModelsRequest(**fields)
        found: models.ListModelsResponse = await server.service.models.ListModels(
            request, metadata=bearer(secret)
        )
        return found

    @pytest.mark.parametrize(
        ("permissions", "shown", "hidden"),
        [
            ({"allowed_models": ["gpt-4o-mini"]}, {"gpt-4o-mini"}, {"gpt-4o", "builtin:extractive"}),
            ({"denied_models": ["openai:*"]}, {"builtin:extractive"}, {"gpt-4o", "gpt-4o-mini"}),
            ({"allowed_providers": ["builtin"]}, {"builtin:extractive"}, {"gpt-4o"}),
            ({}, {"gpt-4o", "builtin:extractive"}, set()),
        ],
    )
    async def test_a_list_has_what_the_key_may_use(
        self, server: Keyed, permissions: dict[str, Any], shown: set[str], hidden: set[str]
    ):
        made = await server.key("completions:write", permissions=pb.KeyPermissions(**permissions))
        found = {model.id for model in (await self.listed(server, made.secret)).data}
        assert (shown - found, hidden & found) == (set(), set())

    async def test_names_of_providers_that_it_may_not_use_are_not_shown(self, server: Keyed):
        made = await server.key(
            "completions:write", permissions=pb.KeyPermissions(allowed_providers=["builtin"])
        )
        assert (await self.listed(server, server.admin)).unreachable_providers
        assert not (await self.listed(server, made.secret)).unreachable_providers
        assert not (await self.listed(server, made.secret, provider="openai")).data

    @pytest.mark.parametrize(
        ("permissions", "shown", "hidden"),
        [
            ({"allowed_providers": ["builtin"]}, {"builtin"}, {"openai"}),
            ({"denied_providers": ["open*"]}, {"builtin"}, {"openai", "openrouter"}),
            ({}, {"builtin", "openai"}, set()),
        ],
    )
    async def test_providers_that_the_key_may_not_use_are_not_listed(
        self, server: Keyed, permissions: dict[str, Any], shown: set[str], hidden: set[str]
    ):
        made = await server.key("completions:write", permissions=pb.KeyPermissions(**permissions))
        listed: Any = ProviderServiceStub(server.service.channel)
        found, request = set(), ListProvidersRequest(page_size=1)
        while True:
            page = await listed.ListProviders(request, metadata=bearer(made.secret))
            found |= {info.provider_name for info in page.providers}
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        assert (shown - found, hidden & found) == (set(), set())

    async def test_a_provider_is_told_of_no_model_that_the_key_may_not_use(self, server: Keyed):
        limits = pb.KeyPermissions(allowed_models=["gpt-4o*"])
        made = await server.key("completions:write", permissions=limits)
        tool = {"type": "image_generation", "model": "gpt-image-1"}
        for options in (json.dumps({"models": ["o1"]}), json.dumps({"tools": [tool]})):
            request = asked(model="gpt-4o", provider_options_json=options)
            found = await failure(
                server.service.completions.CreateCompletion(request, metadata=bearer(made.secret))
            )
            assert (found.code, found.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED_TO_KEY")
        assert not server.service.openai.bill.calls

    async def test_a_model_that_the_key_may_not_use_is_refused_as_a_call_of_it_is(self, server: Keyed):
        made = await server.key("completions:write", permissions=pb.KeyPermissions(allowed_models=["fast"]))
        get = server.service.models.GetModel
        found = await failure(get(models.GetModelRequest(model="gpt-4o"), metadata=bearer(made.secret)))
        assert (found.code, found.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED_TO_KEY")
        alias = await get(models.GetModelRequest(model="fast"), metadata=bearer(made.secret))
        assert alias.id == "gpt-4o-mini"


async def test_tokens_are_counted_by_models_that_the_key_may_use(server: Keyed):
    made = await server.key("completions:write", permissions=pb.KeyPermissions(denied_providers=["ollama"]))
    count_tokens = server.service.completions.CountTokens
    request = completions.CountTokensRequest(request=asked(model="ollama:llama3.2"))
    found = await failure(count_tokens(request, metadata=bearer(made.secret)))
    assert (found.code, found.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED_TO_KEY")
    assert not server.service.ollama.bill.calls
    request = completions.CountTokensRequest(request=asked(model="gpt-4o"))
    counted = await count_tokens(request, metadata=bearer(made.secret))
    assert counted.input_tokens


async def test_usage_of_all_tenants_is_for_who_may_act_for_them(server: Keyed):
    reports: Any = usage_service_pb2_grpc.UsageServiceStub(server.service.channel)
    await server.tenant("umbrella")
    theirs = await server.key("completions:write", "usage:read", tenant="umbrella")
    answer = await server.service.completions.CreateCompletion(asked(), metadata=bearer(theirs.secret))
    await server.service.rows(answer.request_id)
    request = usage.GetUsageRequest(group_by="tenant")
    found = await failure(reports.GetUsage(request, metadata=bearer(theirs.secret)))
    assert (found.code, found.metadata) == (grpc.StatusCode.PERMISSION_DENIED, {"scope": "tenants:act"})
    may = await server.key("usage:read", "tenants:act")
    for secret in (may.secret, server.admin):
        told = await reports.GetUsage(request, metadata=bearer(secret))
        groups = {group.key: group.total.cost_ticks for group in told.groups}
        assert groups["umbrella"] == answer.cost.cost_ticks > 0
        assert sum(groups.values()) == told.total.cost_ticks
    own = await reports.GetUsage(usage.GetUsageRequest(), metadata=bearer(theirs.secret))
    assert own.total.cost_ticks == answer.cost.cost_ticks
