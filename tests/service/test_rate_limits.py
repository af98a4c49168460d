"""Rate limits as callers meet them, and a server that is full; on both databases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import pytest_asyncio
from google.protobuf.field_mask_pb2 import FieldMask

from genai_spine.v1 import health_service_pb2, health_service_pb2_grpc
from genai_spine.v1 import key_service_pb2 as pb
from genai_spine.v1 import tenant_service_pb2 as tenants
from genai_spine.v1.rate_limits_pb2 import RateLimits
from tests.databases import BOTH
from tests.service.keyed import Keyed, bearer, keyed
from tests.service.running import Failure, Posted, Running, Upstreams, asked, failure, running
from tests.upstreams.reply import Reply, Usage
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(autouse=True)
def _reset(upstreams: Upstreams) -> None:
    """Nothing scripted."""


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def server(request: pytest.FixtureRequest, all_upstreams: Upstreams) -> AsyncIterator[Keyed]:
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    url = request.getfixturevalue(f"module_{kind}_url")
    async with keyed(all_upstreams, url) as found:
        yield found


def _completion(server: Keyed, secret: str, model: str = "gpt-4o", **fields: Any) -> Any:
    metadata = fields.pop("metadata", [])
    request = asked(model=model, **fields)
    return server.service.completions.CreateCompletion(request, metadata=[*bearer(secret), *metadata])


async def _chat(server: Keyed, secret: str, **fields: Any) -> Posted:
    """A chat by OpenAI's path."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], **fields}
    return await server.service.post("/v1/chat/completions", body, authorization=f"Bearer {secret}")


async def _rates(call: Any) -> dict[str, str]:
    """Trailing metadata about limits."""
    return {name: text for name, text in await call.trailing_metadata() if name.startswith("x-ratelimit")}


async def _refused(server: Keyed, secret: str, **fields: Any) -> Failure:
    return await failure(_completion(server, secret, **fields))


async def test_a_key_makes_as_many_requests_as_it_may(server: Keyed):
    made = await server.key(limits=RateLimits(requests_per_minute=2))
    first = _completion(server, made.secret)
    await first
    rates = await _rates(first)
    assert (rates["x-ratelimit-limit"], rates["x-ratelimit-remaining"]) == ("2", "1")
    await _completion(server, made.secret)
    upstream_calls = len(server.service.openai.bill.calls)
    found = await _refused(server, made.secret)
    assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert found.metadata == {
        "reason": "RATE_LIMITED",
        "of": "key",
        "id": made.key.id,
        "kind": "requests",
        "limit": "2",
        "used": "2",
        "asked": "1",
    }
    assert found.retry_after_s is not None
    assert 0 < found.retry_after_s <= 91
    assert len(server.service.openai.bill.calls) == upstream_calls
    assert await server.service.executions.by_request(found.request_id) == []


async def test_free_models_and_streams_count_too(server: Keyed):
    made = await server.key(limits=RateLimits(requests_per_minute=2))
    await _completion(server, made.secret, model="builtin:extractive")
    call = server.service.completions.StreamCompletion(
        asked(model="builtin:extractive"), metadata=bearer(made.secret)
    )
    assert [chunk async for chunk in call]
    assert (await _rates(call))["x-ratelimit-remaining"] == "0"
    assert (await _refused(server, made.secret, model="builtin:extractive")).reason == "RATE_LIMITED"


async def test_what_calls_no_provider_is_not_limited(server: Keyed):
    made = await server.key("completions:read", "keys:admin", limits=RateLimits(requests_per_minute=1))
    await _completion(server, made.secret)
    assert (await _refused(server, made.secret)).reason == "RATE_LIMITED"
    await server.keys.ListKeys(pb.ListKeysRequest(), metadata=bearer(made.secret))


async def test_keys_of_a_tenant_share_its_limits(server: Keyed):
    limits = RateLimits(tier="free", requests_per_minute=2)
    tenant = tenants.Tenant(id="shared", limits=limits)
    stored = await server.tenants.CreateTenant(
        tenants.CreateTenantRequest(tenant=tenant), metadata=bearer(server.admin)
    )
    assert stored.limits == limits
    one, two = [await server.key(tenant="shared") for _ in range(2)]
    await _completion(server, one.secret)
    await _completion(server, two.secret)
    found = await _refused(server, one.secret)
    assert (found.metadata["of"], found.metadata["id"]) == ("tenant", "shared")
    request = tenants.UpdateTenantRequest(
        tenant_id="shared", tenant=tenants.Tenant(), update_mask=FieldMask(paths=["limits"])
    )
    changed = await server.tenants.UpdateTenant(request, metadata=bearer(server.admin))
    assert not changed.HasField("limits")
    await _completion(server, one.secret)


async def test_who_acts_for_a_tenant_has_its_limits(server: Keyed):
    tenant = tenants.Tenant(id="acted", limits=RateLimits(requests_per_minute=1))
    await server.tenants.CreateTenant(
        tenants.CreateTenantRequest(tenant=tenant), metadata=bearer(server.admin)
    )
    acting = [("x-tenant-id", "acted")]
    await _completion(server, server.admin, metadata=acting)
    found = await _refused(server, server.admin, metadata=acting)
    assert (found.metadata["of"], found.metadata["id"]) == ("tenant", "acted")
    await _completion(server, server.admin)


async def test_limits_of_a_key_are_changed_and_audited(server: Keyed):
    made = await server.key(limits=RateLimits(tier="standard"))
    assert made.key.limits.tier == "standard"
    limits = RateLimits(requests_per_minute=1, concurrent_calls=3)
    request = pb.UpdateKeyRequest(key_id=made.key.id, key=pb.ApiKey(limits=limits))
    changed = await server.keys.UpdateKey(request, metadata=bearer(server.admin))
    assert changed.limits == limits
    await _completion(server, made.secret)
    assert (await _refused(server, made.secret)).metadata["limit"] == "1"
    request = pb.UpdateKeyRequest(
        key_id=made.key.id, key=pb.ApiKey(limits=RateLimits()), update_mask=FieldMask(paths=["limits"])
    )
    assert (await server.keys.UpdateKey(request, metadata=bearer(server.admin))).HasField("limits")
    await _completion(server, made.secret)  # no limit at all, whatever the setting says


@pytest.mark.parametrize(
    ("limits", "field"),
    [
        (RateLimits(tier="gold"), "key.limits.tier"),
        (RateLimits(requests_per_minute=0), "key.limits.requests_per_minute"),
        (RateLimits(tokens_per_minute=-5), "key.limits.tokens_per_minute"),
        (RateLimits(concurrent_calls=0), "key.limits.concurrent_calls"),
    ],
)
async def test_wrong_limits_are_named(server: Keyed, limits: RateLimits, field: str):
    request = pb.CreateKeyRequest(key=pb.ApiKey(name="x", limits=limits))
    found = await failure(server.keys.CreateKey(request, metadata=bearer(server.admin)))
    assert (found.reason, found.fields) == ("INVALID_FIELDS", [field])


async def test_tokens_are_those_of_the_provider_in_the_end(server: Keyed):
    made = await server.key(limits=RateLimits(tokens_per_minute=5000))
    server.service.openai.script(Reply("four", usage=Usage(prompt_tokens=10, completion_tokens=5)))
    await _completion(server, made.secret, max_tokens=4000)
    posted = await _chat(server, made.secret, max_tokens=4900)
    assert posted.headers["x-ratelimit-limit-tokens"] == "5000"
    left = int(posted.headers["x-ratelimit-remaining-tokens"])
    assert 50 <= left <= 5000 - 4900 - 15  # the input of this one is estimated
    found = await _refused(server, made.secret, max_tokens=6000)
    assert found.metadata["kind"] == "tokens"
    assert found.retry_after_s is None  # it is too large, now and later


async def test_openai_paths_say_it_in_openais_way(server: Keyed):
    made = await server.key(limits=RateLimits(requests_per_minute=1, tokens_per_minute=50_000))
    good = await _chat(server, made.secret, stream=True)
    assert good.events[-1] == "[DONE]"
    assert good.headers["x-ratelimit-limit-requests"] == "1"
    assert good.headers["x-ratelimit-remaining-requests"] == "0"
    assert good.headers["x-ratelimit-reset-requests"].endswith("s")
    assert good.headers["x-ratelimit-limit-tokens"] == "50000"
    bad = await _chat(server, made.secret)
    assert (bad.problem["status"], bad.problem["code"]) == (429, "rate_limit_exceeded")
    assert bad.problem["type"] == "rate_limit_error"
    assert 1 <= int(bad.headers["retry-after"]) <= 120  # of one request a minute all must have faded
    assert "x-should-retry" not in bad.headers
    assert bad.headers["x-ratelimit-remaining-requests"] == "0"


async def test_a_call_that_is_too_large_for_its_limit_is_not_worth_repeating(server: Keyed):
    made = await server.key(limits=RateLimits(tokens_per_minute=5000))
    bad = await _chat(server, made.secret, max_tokens=6000)
    assert (bad.problem["status"], bad.problem["code"]) == (429, "rate_limit_exceeded")
    assert bad.headers["x-should-retry"] == "false"
    assert "retry-after" not in bad.headers


async def test_concurrent_calls_are_limited_and_come_back(server: Keyed):
    made = await server.key(limits=RateLimits(concurrent_calls=1))
    server.service.openai.script(Reply("slow", first_delay_s=30.0))
    running_call = asyncio.ensure_future(_completion(server, made.secret))
    await until(lambda: bool(server.service.openai.bill.calls))
    found = await _refused(server, made.secret)
    assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "CONCURRENT_LIMIT_EXCEEDED")
    assert found.retry_after_s == 1.0
    posted = await _chat(server, made.secret)
    assert (posted.problem["status"], posted.problem["code"]) == (429, "concurrent_limit_exceeded")
    running_call.cancel()

    async def answers() -> bool:
        try:
            await _completion(server, made.secret)
        except grpc.aio.AioRpcError:
            return False
        return True

    await until(answers)


async def test_a_failed_call_gives_its_tokens_back(server: Keyed):
    made = await server.key(limits=RateLimits(tokens_per_minute=5000))
    server.service.openai.script(Reply(status=400, body={"error": {"message": "no", "code": "x"}}))
    assert (await _refused(server, made.secret, max_tokens=4900)).reason == "PROVIDER_REJECTED"
    await _completion(server, made.secret, max_tokens=4900)


async def test_keyed_calls_are_counted_once_and_replays_not_at_all(server: Keyed):
    made = await server.key(limits=RateLimits(requests_per_minute=2))
    key = [("idempotency-key", "rate-1")]
    for _ in range(4):
        await _completion(server, made.secret, metadata=key)
    call = _completion(server, made.secret)
    await call
    assert (await _rates(call))["x-ratelimit-remaining"] == "0"
    replay = _completion(server, made.secret, metadata=key)
    await replay
    assert await _rates(replay) == {}
    other = [("idempotency-key", "rate-2")]
    assert (await _refused(server, made.secret, metadata=other)).reason == "RATE_LIMITED"


async def test_the_setting_limits_keys_that_say_nothing(all_upstreams: Upstreams, module_sqlite_url: str):
    async with keyed(all_upstreams, "sqlite://", rate_limit_requests_per_minute=1) as server:
        made = await server.key()
        await _completion(server, made.secret)
        assert (await _refused(server, made.secret)).metadata["limit"] == "1"
        enterprise = await server.key(limits=RateLimits(tier="enterprise"))
        for _ in range(3):
            await _completion(server, enterprise.secret)


async def test_a_reload_changes_the_limits_of_the_settings(all_upstreams: Upstreams):
    async with keyed(all_upstreams, "sqlite://") as server:
        made = await server.key()
        for _ in range(3):
            await _completion(server, made.secret)
        changed = {"rate_limit_requests_per_minute": 1, "max_concurrent_calls": 7}
        running_server = server.service.server
        await running_server.reload(running_server.settings.model_copy(update=changed))
        assert running_server.lifecycle.queue.limits.running == 7
        await _completion(server, made.secret)
        assert (await _refused(server, made.secret)).metadata["limit"] == "1"


async def test_two_servers_have_one_limit(all_upstreams: Upstreams, server: Keyed):
    made = await server.key(limits=RateLimits(requests_per_minute=4))
    url = server.service.database_url
    settings = {"auth": "on", "secret_key": "ab" * 32}
    async with running(all_upstreams, url, **settings) as other:
        both = (server.service, other)
        for at in range(4):
            await both[at % 2].completions.CreateCompletion(asked(), metadata=bearer(made.secret))
        for service in both:
            call = service.completions.CreateCompletion(asked(), metadata=bearer(made.secret))
            assert (await failure(call)).reason == "RATE_LIMITED"


@asynccontextmanager
async def _full(upstreams: Upstreams, **settings: Any) -> AsyncIterator[Running]:
    """Server with one running call, which is all that it may have."""
    async with running(upstreams, "sqlite://", max_concurrent_calls=1, **settings) as service:
        service.openai.script(Reply("slow", first_delay_s=30.0))
        first = asyncio.ensure_future(service.completions.CreateCompletion(asked()))
        await until(lambda: bool(service.openai.bill.calls))
        yield service
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_a_full_server_refuses_before_any_work(upstreams: Upstreams):
    async with _full(upstreams, max_waiting_calls=0) as service:
        found = await failure(service.completions.CreateCompletion(asked()))
        assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_FULL")
        assert found.retry_after_s == 1.0
        posted = await service.chat()
        assert (posted.problem["status"], posted.headers["retry-after"]) == (503, "1")
        assert "x-genai-refused" not in posted.headers  # there is no other server to ask
        service.server.lifecycle.servers = 2
        posted = await service.chat()
        assert posted.headers["x-genai-refused"] == "full"
        assert "x-should-retry" not in posted.headers
        health: Any = health_service_pb2_grpc.HealthServiceStub(service.channel)
        assert (await health.GetHealth(health_service_pb2.GetHealthRequest())).status
        assert len(service.openai.bill.calls) == 1


async def test_a_call_waits_for_its_turn_in_a_full_server(upstreams: Upstreams):
    async with running(upstreams, "sqlite://", max_concurrent_calls=1) as service:
        service.openai.script(*(Reply(f"{n}", first_delay_s=0.05) for n in range(4)))
        made = await asyncio.gather(*(service.completions.CreateCompletion(asked()) for _ in range(4)))
        assert len(made) == 4
        await until(lambda: service.server.lifecycle.queue.running == 0)


async def test_a_wait_in_a_full_server_is_bounded(upstreams: Upstreams):
    async with _full(upstreams, max_call_wait=0.05) as service:
        found = await failure(service.completions.CreateCompletion(asked()))
        assert found.reason == "SERVER_FULL"
        assert "refused" not in found.metadata
