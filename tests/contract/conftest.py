"""What the tests of contracts share."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.spoken import PROMISING, VARIANTS, Spoken, speaking


@pytest.fixture(params=[*PROMISING, *VARIANTS])
async def spoken(request: pytest.FixtureRequest) -> AsyncIterator[Spoken]:
    """Each provider of the registry and each variant, or those that spoken_by() names."""
    async with speaking(request.param) as found:
        yield found
