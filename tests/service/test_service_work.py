"""Work of the service itself as runs, on both databases: daily costs, and the progress of symbol jobs."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
import sqlalchemy as sa
from google.protobuf.json_format import MessageToDict, ParseDict

from genai_spine.v1 import run_service_pb2 as pb
from genai_spine.v1 import run_service_pb2_grpc
from genai_spine.v1.run_pb2 import Run
from tests.databases import BOTH
from tests.service.keyed import Keyed, bearer, keyed
from tests.service.running import Upstreams, asked
from tests.service.test_symbols import GOOD, batch

pytestmark = pytest.mark.asyncio(loop_scope="session")

ALL = ("runs:read", "runs:write", "completions:read", "completions:write")


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=BOTH)
async def served(request: pytest.FixtureRequest, all_upstreams: Upstreams) -> AsyncIterator[Keyed]:
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    async with keyed(all_upstreams, request.getfixturevalue(f"module_{kind}_url")) as found:
        yield found


async def done(served: Keyed, secret: str, request: pb.CreateRunRequest) -> Run:
    """Run of a request, once it has ended."""
    runs: Any = run_service_pb2_grpc.RunServiceStub(served.service.channel)
    request.wait.seconds = 20
    run: Run = await runs.CreateRun(request, metadata=bearer(secret))
    return run


async def aggregated(served: Keyed, secret: str, **params: Any) -> Run:
    request = pb.CreateRunRequest(name="aggregate_costs")
    ParseDict(params, request.params)
    return await done(served, secret, request)


async def test_daily_costs_are_brought_up_to_date_and_each_tenant_is_told_its_own(
    served: Keyed, upstreams: Upstreams
):
    await served.tenant("costly")
    ours = (await served.key(*ALL)).secret
    theirs = (await served.key(*ALL, tenant="costly")).secret
    for secret, count in ((ours, 2), (theirs, 3)):
        for _ in range(count):
            call = served.service.completions.CreateCompletion(asked(), metadata=bearer(secret))
            await call
            [(_, request_id)] = [one for one in await call.trailing_metadata() if one[0] == "x-request-id"]
            await served.service.rows(request_id)
    day = datetime.now(UTC).date().isoformat()
    for secret, count in ((ours, 2), (theirs, 3)):
        run = await aggregated(served, secret, date=day)
        assert run.status == "completed", run.error
        answer = run.response.aggregate_costs
        assert answer.date == day
        [cost] = [one for one in answer.costs if one.provider == "openai"]
        assert cost.request_count == count
        assert cost.total_cost_ticks > 0
        again = await aggregated(served, secret, date=day)
        assert again.response == run.response
    query = sa.text("SELECT request_count FROM daily_costs WHERE provider = 'openai'")
    async with served.service.database.connect() as connection:
        assert (await connection.execute(query)).scalars().all() == [5]


async def test_day_without_a_call_has_no_costs_and_yesterday_is_the_default(
    served: Keyed, upstreams: Upstreams
):
    secret = (await served.key(*ALL)).secret
    run = await aggregated(served, secret)
    assert run.response.aggregate_costs.date < datetime.now(UTC).date().isoformat()
    assert list(run.response.aggregate_costs.costs) == []
    bad = await aggregated(served, secret, date="2026-02-30")
    assert (bad.status, bad.error.type) == ("failed", "INVALID_FIELDS")


async def test_events_of_a_symbol_job_are_the_progress_of_its_run(served: Keyed, upstreams: Upstreams):
    upstreams.openai.default = GOOD
    secret = (await served.key(*ALL)).secret
    request = pb.CreateRunRequest()
    request.work.document_symbols.CopyFrom(batch(3))
    run = await done(served, secret, request)
    assert run.status == "completed", run.error
    assert len(run.response.document_symbols.documented_symbols) == 3
    runs: Any = run_service_pb2_grpc.RunServiceStub(served.service.channel)
    listed = pb.ListRunEventsRequest(run_id=run.run_id)
    events = (await runs.ListRunEvents(listed, metadata=bearer(secret))).events
    progress = [MessageToDict(event.data) for event in events if event.event_type == "progress"]
    assert progress[-1] == {"progress": 1.0, "message": "3 of 3 symbols"}
    assert [one["progress"] for one in progress] == sorted(one["progress"] for one in progress)
