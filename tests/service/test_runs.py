"""Runs through a channel, and as REST shows them."""

import pytest

from tests.service import run_tenancy
from tests.service.running import Running
from tests.service.tenancy import ask

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_x(service: Running) -> None:
    (run,) = await ask(service, "RunService/CreateRun", run_tenancy.work("The sky is blue"), "default-tenant")
    print(run)
    assert run.status == "completed"
