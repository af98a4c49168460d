"""Usage objects of every API are kept as they came; of tools and terms they say what the SDKs read."""

import json
from typing import Any

import pytest
from anthropic.types import Usage as AnthropicUsage
from openai.types import CompletionUsage
from openai.types.responses import ResponseUsage

from genai_spine.chunks import fold
from genai_spine.v1 import completion_service_pb2 as pb
from tests.contract.spoken import BRIDGED, DEPLOYED, speaking
from tests.upstreams.reply import Reply, Usage

pytestmark = pytest.mark.asyncio

COUNTS = Usage(prompt_tokens=40, completion_tokens=9, cached_tokens=8)
TOOLS = {"server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1}}
TERMS = {"inference_geo": "us", "speed": "fast", "service_tier": "priority"}
EXTRA: dict[str, dict[str, Any]] = {
    "anthropic": TOOLS | TERMS,
    "openrouter": TOOLS | {"cost": 0.00014},
    "xai": {"server_side_tool_usage_details": {"x_search_calls": 3}, "cost_in_usd_ticks": 37756000},
    "openai": {"of_tomorrow": {"a": [1, None]}},
    DEPLOYED: {"of_tomorrow": 1},
    BRIDGED: {"of_tomorrow": 1},
    "gemini": {"of_tomorrow": 1},
    "bedrock": {"ofTomorrow": 1},
}
CALLED = {"anthropic": {"web_search": 2, "web_fetch": 1}, "xai": {"x_search": 3}}
CALLED["openrouter"] = CALLED["anthropic"]
SDK = {"anthropic": AnthropicUsage, BRIDGED: ResponseUsage, "bedrock": None}


async def answers(name: str) -> list[pb.Completion]:
    """An answer in one piece, and one that was streamed."""
    async with speaking(name) as spoken:
        spoken.up.default = Reply("fine", usage=COUNTS, usage_extra=EXTRA[name])
        request = spoken.request()
        return [await spoken.whole(request), await fold_all(await spoken.chunks(request))]


async def fold_all(chunks: list[pb.CompletionChunk]) -> pb.Completion:
    async def again() -> Any:
        for chunk in chunks:
            yield chunk

    return await fold(again())


@pytest.mark.parametrize("name", EXTRA)
async def test_usage_object_and_tools_are_the_same_streamed_or_not(name: str) -> None:
    for answer in await answers(name):
        told = json.loads(answer.usage.reported_json)
        assert told.items() >= EXTRA[name].items()
        assert dict(answer.units.server_tools) == CALLED.get(name, {})
        assert answer.usage.input_tokens == 40
        official = SDK.get(name, CompletionUsage)
        if official is not None:
            theirs = official.model_validate(told)
            given = getattr(theirs, "prompt_tokens", None) or getattr(theirs, "input_tokens", 0)
            assert given == 40 - (8 if name == "anthropic" else 0)


async def test_terms_of_anthropic_are_the_sdks() -> None:
    for answer in await answers("anthropic"):
        theirs = AnthropicUsage.model_validate_json(answer.usage.reported_json)
        assert (answer.service_tier, answer.speed, answer.inference_geo) == (
            theirs.service_tier,
            theirs.speed,
            theirs.inference_geo,
        )
        assert theirs.server_tool_use is not None
        assert answer.units.server_tools["web_search"] == theirs.server_tool_use.web_search_requests


async def test_speed_and_tier_of_bedrock_stand_beside_its_usage() -> None:
    served = {"performanceConfig": {"latency": "optimized"}, "serviceTier": {"type": "flex"}}
    async with speaking("bedrock") as spoken:
        spoken.up.default = Reply("fine", usage=COUNTS, extra=served)
        request = spoken.request()
        for answer in (await spoken.whole(request), await fold_all(await spoken.chunks(request))):
            assert (answer.speed, answer.service_tier) == ("optimized", "flex")
