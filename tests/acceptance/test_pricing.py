"""Prices over REST, as existing clients read them, through real Envoy."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from tests.acceptance.http import session
from tests.acceptance.stack import Stack
from tests.acceptance.test_rest import Client

NUMBERS = (
    "input_cost_per_1m_tokens",
    "output_cost_per_1m_tokens",
    "input_cost_per_1k",
    "output_cost_per_1k",
    "input_price",
    "output_price",
)
ESTIMATE = "/v1/estimate-cost"


@pytest.fixture
async def rest(stack: Stack) -> AsyncIterator[Client]:
    async with session(stack.url) as http:
        yield Client(http)


def check_price(entry: dict[str, Any]) -> None:
    """Every field that an existing client reads, with its type."""
    for name in NUMBERS:
        assert type(entry[name]) in (int, float), (name, entry)
    assert type(entry["is_free"]) is bool
    for name in ("model", "name", "provider", "source"):
        assert isinstance(entry[name], str)
        assert entry[name]


@pytest.mark.parametrize("prefix", ["", "/api"])
async def test_list_is_a_bare_array_sorted_by_model(rest: Client, prefix: str) -> None:
    answer = await rest.get(f"{prefix}/v1/pricing")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    prices = answer.json
    assert isinstance(prices, list)
    assert len(prices) > 2000
    assert [entry["model"] for entry in prices] == sorted(entry["model"] for entry in prices)
    for entry in prices:
        check_price(entry)
        assert all(type(unit["usd"]) in (int, float) for unit in entry["units"])
    (mini,) = [entry for entry in prices if (entry["model"], entry["provider"]) == ("gpt-4o-mini", "openai")]
    assert [mini[name] for name in NUMBERS] == [0.15, 0.6, 0.00015, 0.0006, 0.00015, 0.0006]
    assert {entry["model"] for entry in prices if entry["is_free"]} >= {"llama3.2", "mistral"}


async def test_list_of_one_provider(rest: Client) -> None:
    prices = (await rest.get("/v1/pricing?provider=deepgram")).json
    assert [entry["model"] for entry in prices] == ["nova-2"]
    (second,) = prices[0]["units"]
    assert second["unit"] == "PRICE_UNIT_AUDIO_SECOND"
    assert second["usd"] == pytest.approx(0.0043 / 60, rel=1e-15)


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("gpt-4o", "gpt-4o"),
        ("openai:gpt-4o", "gpt-4o"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("claude-3-opus", "claude-3-opus-latest"),
        ("llama3.2:latest", "llama3.2"),
        ("org/model", "gpt-4o"),  # an alias of the settings
        ("org%2Fmodel", "gpt-4o"),
        ("openrouter:openai/gpt-4o-mini", "openai/gpt-4o-mini"),
    ],
)
async def test_one_price_by_every_name(rest: Client, model: str, found: str) -> None:
    answer = await rest.get(f"/v1/pricing/{model}")
    assert answer.status == 200
    check_price(answer.json)
    assert answer.json["model"] == found


async def test_unknown_model_is_404_in_both_shapes(rest: Client) -> None:
    answer = await rest.get("/v1/pricing/no-such-model")
    assert answer.status == 404
    error = answer.json["error"]
    assert (error["code"], error["details"]["model"]) == ("MODEL_NOT_FOUND", "no-such-model")
    assert answer.json["detail"] == error["message"] == "no price is known for model 'no-such-model'"
    assert error["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("prefix", ["", "estimated_"])
async def test_estimate_by_both_sets_of_names(rest: Client, prefix: str) -> None:
    answer = await rest.post(
        ESTIMATE, {"model": "gpt-4o-mini", f"{prefix}input_tokens": 1000, f"{prefix}output_tokens": 200}
    )
    assert answer.status == 200
    said = answer.json
    assert said.pop("price_book").startswith("genai-prices ")
    assert said.pop("estimated_cost_ticks") == "2700000"  # a 64-bit integer is a string in JSON
    assert said.pop("cost")["cost_ticks"] == "2700000"
    assert said == {
        "model": "gpt-4o-mini",
        "estimated_input_tokens": 1000,
        "estimated_output_tokens": 200,
        "estimated_cost_usd": 0.00027,
        "estimated_cost": 0.00027,
        "total_cost": 0.00027,
        "input_cost_per_1m": 0.15,
        "output_cost_per_1m": 0.6,
        "is_free": False,
        "price_known": True,
    }


async def test_money_has_every_digit(rest: Client) -> None:
    body = {"model": "gpt-5-nano", "input_tokens": 1, "cached_input_tokens": 1, "output_tokens": 0}
    answer = await rest.post(ESTIMATE, body)
    usd = json.loads(answer.body, parse_float=Decimal)["estimated_cost_usd"]
    assert usd == Decimal("5e-9")


async def test_estimate_of_nothing_costs_nothing_and_says_every_field(rest: Client) -> None:
    said = (await rest.post(ESTIMATE, {"model": "gpt-4o", "input_tokens": 0, "output_tokens": 0})).json
    assert (said["total_cost"], said["price_known"], said["is_free"]) == (0, True, False)


async def test_estimate_for_an_unknown_model_is_no_error(rest: Client) -> None:
    answer = await rest.post(ESTIMATE, {"model": "no-such-model", "input_tokens": 10, "output_tokens": 10})
    assert answer.status == 200
    said = answer.json
    assert (said["price_known"], said["is_free"], said["estimated_cost_usd"]) == (False, False, 0)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"model": "gpt-4o", "output_tokens": 1}, 422, "estimated_input_tokens"),
        ({"model": "gpt-4o", "input_tokens": 1}, 422, "estimated_output_tokens"),
        ({"input_tokens": 1, "output_tokens": 1}, 422, "model"),
        ({"model": "gpt-4o", "input_tokens": -1, "output_tokens": 1}, 400, "input_tokens"),
    ],
)
async def test_wrong_estimate_is_refused_and_names_its_field(
    rest: Client, body: dict[str, Any], status: int, field: str
) -> None:
    answer = await rest.post(ESTIMATE, body)
    assert answer.status == status
    assert field in answer.json["error"]["message"]
    if status == 422:
        assert [problem["loc"] for problem in answer.json["detail"]] == [["body", field]]
