"""CountTokens: the best counter that there is for a model."""

from typing import Any

from genai_spine.call import Call
from genai_spine.inference.count_tokens import TokenCounter
from genai_spine.v1 import usage_pb2
from tests.unit.inference.scripted import PRICES, Scripted, World, asked


class Contexts:
    """The part of a catalog that counting asks."""

    def __init__(self, world: World, answering: Scripted | None = None) -> None:
        """answering: host of the pool that answers."""
        self.router = world.inference.router
        self.answering = answering

    def context_length(self, provider: str, model: str) -> int | None:
        return PRICES.context_length(provider, model)

    def live(self, provider: Any) -> Any:
        return self.answering or provider


async def test_token_counter_count_asks_the_provider_where_its_own_encoding_leaves_a_doubt() -> None:
    world = World(Scripted("ollama", "12345"))
    catalog: Any = Contexts(world)
    request = asked(model="ollama:llama3")
    response = await TokenCounter(catalog).count(request, Call())
    assert (response.input_tokens, response.counter) == (5, "provider")
    assert response.provenance == usage_pb2.PROVENANCE_PROVIDER_REPORTED
    assert (response.model, request.model) == ("llama3", "ollama:llama3")


async def test_token_counter_count_by_the_own_encoding_calls_nobody() -> None:
    world = World(Scripted("openai"))
    catalog: Any = Contexts(world)
    response = await TokenCounter(catalog).count(asked(), Call())
    assert (response.counter, response.fits) == ("o200k_base", True)
    assert world.providers["openai"].seen == []


async def test_token_counter_count_asks_a_host_of_the_pool_that_answers() -> None:
    second = Scripted("ollama", "123")
    catalog: Any = Contexts(World(Scripted("ollama", "12345")), second)
    response = await TokenCounter(catalog).count(asked(model="ollama:llama3"), Call())
    assert response.input_tokens == 3
