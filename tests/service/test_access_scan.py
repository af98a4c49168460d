"""Scan of every RPC of the contract with every kind of key that must not do."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import grpc
import pytest
import pytest_asyncio
from grpc_reflection.v1alpha import reflection_pb2

from genai_spine.access.scopes import AUTHENTICATED, IMPLIED, PUBLIC, SCOPES, scope_of
from genai_spine.v1 import (
    health_service_pb2,
    health_service_pb2_grpc,
    symbol_service_pb2,
    symbol_service_pb2_grpc,
    tenant_service_pb2,
)
from genai_spine.v1 import key_service_pb2 as pb
from tests.databases import BOTH
from tests.service.keyed import Keyed, bearer, keyed, methods
from tests.service.running import Upstreams

pytestmark = pytest.mark.asyncio(loop_scope="session")

ASKING = [method for method in methods() if scope_of(method) != PUBLIC]
OPEN = [method for method in methods() if scope_of(method) == PUBLIC]
WRONG = "gs_live_" + "A" * 43
TEXT = "a valid key is needed: send it as Authorization: Bearer gs_live_..."
# Values that are no key, in the headers that a key comes in.
ODD = [
    "",
    "Bearer",
    "Bearer ",
    "Basic dXNlcjpwYXNz",
    "gs_live_" + "A" * 43,  # without Bearer
    "Bearer ' OR '1'='1",
    "Bearer gs_live_" + "A" * 31 + "'; DROP TABLE api_keys; --",
    "Bearer " + "A" * 20_000,
    "Bearer gs_live_" + "A" * 20_000,
    "Bearer gs_root_" + "A" * 43,
    "Bearer gs_live_" + "A" * 42 + "%",
    "Bearer " + "a." * 9_000,
    "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.",
    "Bearer {{7*7}} ${jndi:ldap://127.0.0.1/x}",
    "Bearer undefined",
    "Bearer null",
]


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def asked(request: pytest.FixtureRequest, all_upstreams: Upstreams) -> AsyncIterator[Keyed]:
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    async with keyed(all_upstreams, request.getfixturevalue(f"module_{kind}_url")) as found:
        yield found


async def _refused(asked: Keyed, metadata: list[tuple[str, str]]) -> dict[str, tuple[object, str]]:
    """Methods that did not refuse a caller in the one way that they all should."""
    found = {}
    for method in ASKING:
        failure = await asked.failure(method, metadata)
        told = (failure.code, failure.text, failure.reason, failure.metadata)
        if told != (grpc.StatusCode.UNAUTHENTICATED, TEXT, "UNAUTHENTICATED", {}):
            found[method.full_name] = told
    return found


async def test_every_method_is_there_and_few_need_no_key():
    assert len(ASKING) > 110
    assert {method.name for method in OPEN} == {
        "GetHealth",
        "GetReadiness",
        "GetOpenApi",
        "GetDocs",
        "GetSymbolHealth",
    }


async def test_nothing_answers_without_a_key(asked: Keyed):
    assert await _refused(asked, []) == {}


async def test_nothing_answers_a_key_that_nobody_has(asked: Keyed):
    assert await _refused(asked, list(bearer(WRONG))) == {}
    assert await _refused(asked, [("x-api-key", WRONG)]) == {}


async def test_nothing_answers_an_expired_a_revoked_or_a_disabled_key(asked: Keyed):
    soon = pb.ApiKey()
    soon.expire_time.FromDatetime(datetime.now(UTC) - timedelta(seconds=1))
    expired = await asked.key("admin", expire_time=soon.expire_time)
    revoked = await asked.key("admin")
    request = pb.RevokeKeyRequest(key_id=revoked.key.id)
    await asked.keys.RevokeKey(request, metadata=bearer(asked.admin))
    await asked.tenant("closed")
    disabled = await asked.key("admin", tenant="closed")
    tenant = tenant_service_pb2.Tenant(disabled=True)
    update = tenant_service_pb2.UpdateTenantRequest(tenant_id="closed", tenant=tenant)
    await asked.tenants.UpdateTenant(update, metadata=bearer(asked.admin))
    for secret in (expired.secret, revoked.secret, disabled.secret):
        assert await _refused(asked, list(bearer(secret))) == {}


async def test_nothing_answers_a_key_of_another_purpose(asked: Keyed):
    service = await asked.key("admin", service_name="indexer")
    key = await asked.key("admin")
    for metadata in (
        bearer(service.secret),
        [("x-api-key", service.secret)],
        [("x-service-token", service.secret)],  # without its name
        [("x-service-name", "other"), ("x-service-token", service.secret)],
        [("x-service-name", "indexer"), ("x-service-token", key.secret)],
        [("x-service-name", "indexer"), *bearer(service.secret)],
        bearer("ab" * 32),  # the root secret
    ):
        assert await _refused(asked, list(metadata)) == {}
    named = [("x-service-name", "indexer"), ("x-service-token", service.secret)]
    request = pb.ListKeysRequest()
    assert len((await asked.keys.ListKeys(request, metadata=named)).keys) > 0


@pytest.mark.parametrize("value", ODD)
async def test_nothing_answers_what_is_no_key(asked: Keyed, value: str):
    method = ASKING[0]
    for header in ("authorization", "x-api-key", "x-service-token"):
        failure = await asked.failure(method, [(header, value)])
        assert (failure.code, failure.text) == (grpc.StatusCode.UNAUTHENTICATED, TEXT)
    await asked.keys.ListKeys(pb.ListKeysRequest(), metadata=bearer(asked.admin))  # the table is still there


async def test_every_method_refuses_a_key_without_its_scope(asked: Keyed):
    """The key has every other scope, but those that imply the one that is asked for."""
    secrets = {}
    for scope in {scope_of(method) for method in ASKING} - {AUTHENTICATED}:
        others = [one for one in SCOPES if scope not in {one, *IMPLIED.get(one, ())}]
        secrets[scope] = (await asked.key(*others)).secret
    found = {}
    for method in ASKING:
        scope = scope_of(method)
        failure = await asked.failure(method, bearer(secrets[scope]))
        told = (failure.code, failure.reason, failure.metadata)
        if told != (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED", {"scope": scope}):
            found[method.full_name] = told
    assert found == {}


async def test_no_method_refuses_a_key_with_its_scope(asked: Keyed):
    secrets = {}
    for scope in {scope_of(method) for method in ASKING} - {AUTHENTICATED}:
        secrets[scope] = (await asked.key(scope)).secret
    refusals = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
    failures = {
        method.full_name: await asked.failure(method, bearer(secrets[scope_of(method)])) for method in ASKING
    }
    assert [name for name, failure in failures.items() if failure.code in refusals] == []


async def test_who_needs_no_key_learns_no_detail(asked: Keyed):
    health = health_service_pb2_grpc.HealthServiceStub(asked.service.channel)
    request = health_service_pb2.GetReadinessRequest()
    stranger = await health.GetReadiness(request)
    assert stranger.status in ("ready", "degraded")
    assert (dict(stranger.providers), stranger.database, stranger.lane) == ({}, "", "")
    assert not (await health.GetReadiness(request, metadata=bearer(WRONG))).providers
    known = await health.GetReadiness(request, metadata=bearer(asked.admin))
    assert known.providers
    assert known.database == "healthy"
    symbols = symbol_service_pb2_grpc.SymbolServiceStub(asked.service.channel)
    question = symbol_service_pb2.GetSymbolHealthRequest()
    assert (await symbols.GetSymbolHealth(question)).model == ""
    assert (await symbols.GetSymbolHealth(question, metadata=bearer(asked.admin))).model != ""


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_asks_for_a_key(asked: Keyed, version: str):
    name = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    reflect = asked.service.channel.stream_stream(
        name,
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    question = reflection_pb2.ServerReflectionRequest(list_services="")
    for metadata in ([], bearer(WRONG)):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in reflect(iter([question]), metadata=metadata):
                pass
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    answers = [answer async for answer in reflect(iter([question]), metadata=bearer(asked.admin))]
    names = {service.name for service in answers[0].list_services_response.service}
    assert "genai_spine.v1.KeyService" in names
