"""Costs are added up in whole ticks."""

import pytest

from genai_spine.costs import cost_of, sum_costs, sum_usages, ticks_of
from genai_spine.v1.usage_pb2 import PROVENANCE_ESTIMATED, PROVENANCE_PROVIDER_REPORTED, Cost, Usage


def test_cost_is_said_in_ticks_and_in_dollars():
    cost = cost_of(3, price_book="b")
    assert cost == Cost(cost_usd=3e-10, cost_ticks=3, price_known=True, price_book="b")


@pytest.mark.parametrize("ticks", [0, 1, 3, 7, 10**9 + 1, 123_456_789_012])
def test_dollars_lead_back_to_the_ticks_that_they_were_made_of(ticks):
    assert ticks_of(cost_of(ticks).cost_usd) == ticks


def test_sum_of_costs_is_exact_where_dollars_would_not_be():
    total = sum_costs([cost_of(10**9), cost_of(2 * 10**9)])
    assert (total.cost_ticks, total.cost_usd) == (3 * 10**9, 0.3)


def test_sum_of_no_costs_is_zero_and_known():
    assert sum_costs([]) == Cost(price_known=True, is_free=True)


def test_sum_is_known_and_free_only_where_every_cost_is():
    free, paid, unknown = cost_of(0, is_free=True), cost_of(1), Cost()
    assert sum_costs([free, free]).is_free
    assert not sum_costs([free, paid]).is_free
    assert sum_costs([free, paid]).price_known
    assert not sum_costs([unknown, paid]).price_known


def test_counts_are_added_and_the_last_provenance_stays():
    total = sum_usages(
        [
            Usage(input_tokens=1, input_provenance=PROVENANCE_ESTIMATED),
            Usage(input_tokens=2, output_tokens=3, input_provenance=PROVENANCE_PROVIDER_REPORTED),
        ]
    )
    assert (total.input_tokens, total.output_tokens) == (3, 3)
    assert total.input_provenance == PROVENANCE_PROVIDER_REPORTED
