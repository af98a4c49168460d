"""What the tests of contracts share."""

from collections.abc import AsyncIterator

import openai
import pytest

from genai_spine.store.database import Database
from genai_spine.store.executions import Executions
from tests.contract.spoken import PROMISING, VARIANTS, Spoken, speaking
from tests.upstreams.clients import openai_client
from tests.upstreams.openai import OpenAIUpstream


@pytest.fixture(params=[*PROMISING, *VARIANTS])
async def spoken(request: pytest.FixtureRequest) -> AsyncIterator[Spoken]:
    """Each provider of the registry and each variant, or those that spoken_by() names."""
    async with speaking(request.param) as found:
        yield found


@pytest.fixture
async def sdk(spoken: Spoken) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's own client at the upstream of what is spoken."""
    assert isinstance(spoken.up, OpenAIUpstream)
    async with openai_client(spoken.up) as client:
        yield client


@pytest.fixture
def executions(database: Database) -> Executions:
    return Executions(database)
