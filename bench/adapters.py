"""`python -m bench.adapters`: each adapter's rate as a share of the `openai` adapter's, without any server.

Both ask mocks of one kind (tests/upstreams/fast.py), in turn: each gives the same text, whole or as a stream
of 200 events in one piece. Bedrock's requests are signed. Rates are by this process's own CPU time, so that
neither the mocks nor the machine's other work counts.
"""

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from statistics import median
from time import process_time

import uvloop

from bench import load
from bench.processes import address, process
from genai_spine.call import Call
from genai_spine.providers import PROVIDERS
from genai_spine.providers.base import Endpoint, Provider, Route
from genai_spine.v1 import completion_service_pb2 as pb
from genai_spine.v1 import message_pb2

CALLS, STREAMS = 600, 150  # a round
WORKERS = 16
ROUNDS = 7
BASE = "openai"
# The mock's API, the registry's row, the path of its base URL, settings of its own, and a model.
ADAPTERS: dict[str, tuple[str, str, dict[str, str], str]] = {
    BASE: ("openai", "/v1", {}, "gpt-4o"),
    "azure": ("azure", "", {"api_version": "2024-10-21"}, "gpt-4o"),
    "responses": ("openai", "/v1", {}, "o3-pro"),
    "anthropic": ("anthropic", "", {}, "claude-sonnet-4-20250514"),
    "ollama": ("ollama", "", {}, "llama3.2:latest"),
    "bedrock": ("bedrock", "", {}, "anthropic.claude-sonnet-4-20250514-v1:0"),
}
AWS = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_EC2_METADATA_DISABLED": "true"}


def _request(model: str) -> pb.CreateCompletionRequest:
    part = message_pb2.ContentPart(text="Hello there, how are you today?")
    return pb.CreateCompletionRequest(
        model=model,
        messages=[message_pb2.Message(role=message_pb2.ROLE_USER, content=[part])],
        max_tokens=1000,
    )


class Way:
    """One adapter and its mock."""

    def __init__(self, provider: Provider, model: str) -> None:
        self.provider, self.route = provider, Route(provider, model)

    async def whole(self) -> None:
        completion = await self.provider.complete(_request(self.route.model), self.route, Call())
        if not completion.choices[0].message.content[0].text:
            raise RuntimeError("an answer without text")

    async def stream(self) -> None:
        length = 0
        async for chunk in self.provider.stream(_request(self.route.model), self.route, Call()):
            length += sum(len(delta.content) for delta in chunk.choices)
        if length != 800:
            raise RuntimeError(f"a stream of {length} characters")


@contextmanager
def _ways() -> Iterator[dict[str, Way]]:
    """The mocks run meanwhile."""
    os.environ.update(AWS)
    with ExitStack() as stack:
        ways = {}
        for api, (row, path, further, model) in ADAPTERS.items():
            mock = stack.enter_context(process("tests.upstreams.fast", "--api", api))
            url = f"http://{address(mock)}{path}"
            key = None if row == "bedrock" else "bench"
            provider = PROVIDERS[row].make(Endpoint(row, url, key, further=further))
            ways[api] = Way(provider, model)
        yield ways


async def _ratio(
    base: Callable[[], Awaitable[object]], other: Callable[[], Awaitable[object]], count: int
) -> float:
    """The median over rounds, each of which measures both, one after the other; the first one warms up."""
    ratios = []
    for number in range(ROUNDS + 1):
        first = await load.rate(base, count, WORKERS, process_time)
        second = await load.rate(other, count, WORKERS, process_time)
        if number:
            ratios.append(second / first)
    return median(ratios)


async def measured() -> dict[str, float]:
    """Shares of the rate of the openai adapter."""
    found = {}
    with _ways() as ways:
        base = ways.pop(BASE)
        for name, way in ways.items():
            found[f"{name} calls, of openai"] = await _ratio(base.whole, way.whole, CALLS)
            found[f"{name} streams, of openai"] = await _ratio(base.stream, way.stream, STREAMS)
        for way in (base, *ways.values()):
            await way.provider.close()
    return found


if __name__ == "__main__":
    for name, share in uvloop.run(measured()).items():
        print(f"{name:<52}{share:>10.3f}")
