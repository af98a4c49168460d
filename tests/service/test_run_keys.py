"""Keys and runs through the channel, on both databases: permissions, limits, revocation."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from genai_spine.v1 import key_service_pb2 as keys
from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1.rate_limits_pb2 import RateLimits
from genai_spine.v1.run_pb2 import RunOptions
from tests.databases import BOTH
from tests.service.keyed import Keyed, bearer, keyed
from tests.service.run_calls import RunCalls, completion, free, provider_calls
from tests.service.running import Upstreams, failure

pytestmark = pytest.mark.asyncio(loop_scope="session")
SCOPES = ("runs:write", "runs:read", "completions:write")


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def server(request: pytest.FixtureRequest, all_upstreams: Upstreams) -> AsyncIterator[Keyed]:
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    async with keyed(all_upstreams, request.getfixturevalue(f"module_{kind}_url")) as found:
        yield found


@pytest.fixture(autouse=True)
def _reset(upstreams: Upstreams) -> None:
    """Nothing scripted."""


async def caller(server: Keyed, **fields: object) -> tuple[RunCalls, keys.ApiKey]:
    made = await server.key(*SCOPES, **fields)
    return RunCalls(server.service.channel, bearer(made.secret)), made.key


async def test_calls_of_a_run_are_those_of_its_key(server: Keyed):
    runs, key = await caller(server)
    run = await runs.ended(await runs.submit())
    assert run.principal == f"key:{key.id}"
    [row] = await provider_calls(server.service, run.run_id)
    assert (row.api_key_id, row.principal) == (key.id, f"key:{key.id}")


async def test_a_run_does_no_more_than_its_key_may(server: Keyed):
    permissions = keys.KeyPermissions(allowed_models=["gpt-4o-mini"])
    runs, _ = await caller(server, permissions=permissions)
    run = await runs.ended(await runs.submit(completion(model="gpt-4o")))
    assert (run.status, run.error.type) == ("failed", "NOT_PERMITTED_TO_KEY")
    assert server.service.openai.bill.calls == []
    run = await runs.ended(await runs.submit(completion(model="gpt-4o-mini")))
    assert run.status == "completed"


async def test_a_lane_needs_permission(server: Keyed):
    runs, _ = await caller(server, permissions=keys.KeyPermissions(allowed_lanes=["batch"]))
    request = pb.CreateRunRequest(work=free(), options=RunOptions(lane="gpu"))
    found = await failure(runs.runs.CreateRun(request, metadata=runs.metadata))
    assert (found.reason, found.metadata["kind"]) == ("NOT_PERMITTED_TO_KEY", "lane")
    assert (await runs.ended(await runs.submit(free(), lane="batch"))).status == "completed"


async def test_work_needs_the_scope_of_its_method(server: Keyed):
    made = await server.key("runs:write", "prompts:read")
    request = pb.CreateRunRequest(work=free())
    stub = RunCalls(server.service.channel).runs
    found = await failure(stub.CreateRun(request, metadata=bearer(made.secret)))
    assert found.reason == "PERMISSION_DENIED"


async def test_a_run_counts_once_for_its_keys_rate_limit(server: Keyed):
    runs, _ = await caller(server, limits=RateLimits(requests_per_minute=2))
    first = await runs.ended(await runs.submit(completion("one")))
    second = await runs.ended(await runs.submit(completion("two")))
    assert (first.status, second.status) == ("completed", "completed")
    third = await runs.reached(await runs.submit(completion("three"), max_retries=0), "pending")
    assert (third.waiting_reason, third.error.type) == ("RETRY", "RATE_LIMITED")
    assert len(server.service.openai.bill.calls) == 2
    await runs.cancel(third)


async def test_a_revoked_key_stops_its_waiting_runs_on_request(server: Keyed):
    admin = RunCalls(server.service.channel, bearer(server.admin))
    for stops in (False, True):
        runs, key = await caller(server)
        run = await runs.submit(free(), hold=True)
        request = keys.RevokeKeyRequest(key_id=key.id, stop_runs=stops)
        await server.keys.RevokeKey(request, metadata=bearer(server.admin))
        request = pb.GetRunRequest(run_id=run.run_id)
        found = await admin.runs.GetRun(request, metadata=admin.metadata)
        assert found.status == ("cancelled" if stops else "pending")
