"""What the tests of contracts share."""

from collections.abc import AsyncIterator

import pytest

from genai_spine.providers import PROVIDERS
from tests.contract.spoken import Spoken, speaking


@pytest.fixture(params=PROVIDERS)
async def spoken(request: pytest.FixtureRequest) -> AsyncIterator[Spoken]:
    """Each provider of the registry, or those that spoken_by() names."""
    async with speaking(request.param) as found:
        yield found
