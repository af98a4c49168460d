"""Sloppy exchanges of every protocol, through the adapter and OpenAI's API: see tests/upstreams/sloppy.

`make sloppy` makes 5,000 of each. A seed that fails alone: python -m tests.upstreams.sloppy --seed N
--protocol NAME.
"""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from genai_spine.providers.base import Endpoint
from tests.service.running import Running, Upstreams, running
from tests.upstreams.sloppy import PROTOCOLS, exchange
from tests.upstreams.sloppy.check import Check, endpoints

pytestmark = pytest.mark.asyncio(loop_scope="session")

COUNT = 300  # exchanges of a protocol here
WHOLE_COUNT, LEAST_FIRED = 5000, 50  # of the whole run; times that each distortion fires in it
Sloppy = dict[str, Endpoint]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sloppy() -> AsyncIterator[Sloppy]:
    async with endpoints() as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sloppily_served(
    all_upstreams: Upstreams, module_sqlite_url: str, sloppy: Sloppy
) -> AsyncIterator[Running]:
    async with running(
        all_upstreams, module_sqlite_url, endpoints=sloppy, default_provider="openai"
    ) as found:
        yield found


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_what_was_said_is_read_whatever_its_form(
    sloppily_served: Running, sloppy: Sloppy, protocol: str
) -> None:
    check = Check(protocol, sloppy[protocol], sloppily_served)
    await check.run(range(COUNT))
    assert not check.faults, f"{len(check.faults)} of {COUNT}\n" + "\n".join(check.faults[:20])


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_every_distortion_fires_often(protocol: str) -> None:
    fired = Counter(name for seed in range(WHOLE_COUNT) for name in exchange(protocol, seed).fired)
    assert {name for name in PROTOCOLS[protocol].distortions if fired[name] < LEAST_FIRED} == set()


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_seed_is_always_the_same_exchange(protocol: str) -> None:
    body = PROTOCOLS[protocol].body
    for seed in range(20):
        assert body(exchange(protocol, seed)) == body(exchange(protocol, seed))
