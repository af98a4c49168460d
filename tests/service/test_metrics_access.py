"""Metrics are for keys that may see them."""

from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio

from tests.service.keyed import Keyed, bearer, keyed
from tests.service.running import Upstreams
from tests.service.test_metrics import text

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def asking(all_upstreams: Upstreams, module_postgres_url: str) -> AsyncIterator[Keyed]:
    async with keyed(all_upstreams, module_postgres_url) as found:
        yield found


async def test_only_a_key_for_metrics_sees_them(asking: Keyed) -> None:
    channel = asking.service.channel
    for metadata, code in (
        ((), grpc.StatusCode.UNAUTHENTICATED),
        (bearer((await asking.key("usage:read")).secret), grpc.StatusCode.PERMISSION_DENIED),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await text(channel, metadata)
        assert refused.value.code() == code
    for secret in ((await asking.key("metrics:read")).secret, asking.admin):
        assert "# TYPE ai_provider_requests_total counter" in await text(channel, bearer(secret))
