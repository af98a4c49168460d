"""Usage and times of answers in OpenAI's JSON, normalised once."""

from typing import Any

import msgspec
import pytest

from genai_spine.providers.openai import chat_answer
from genai_spine.v1 import usage_pb2


def usage(**fields: Any) -> usage_pb2.Usage:
    return chat_answer.usage(msgspec.convert(fields, chat_answer.Usage))


class TestChatUsage:
    def test_buckets_are_disjoint_and_add_up(self) -> None:
        found = usage(
            prompt_tokens=100,
            completion_tokens=50,
            total_tokens=150,
            prompt_tokens_details={
                "cached_tokens": 40,
                "audio_tokens": 10,
                "cache_write_tokens": 5,
                "image_tokens": 3,
            },
            completion_tokens_details={
                "reasoning_tokens": 20,
                "audio_tokens": 4,
                "accepted_prediction_tokens": 2,
                "rejected_prediction_tokens": 1,
            },
        )
        assert (found.input_tokens, found.output_tokens, found.total_tokens) == (100, 50, 150)
        assert (found.uncached_input_tokens, found.cache_read_tokens, found.cache_write_5m_tokens) == (
            42,
            40,
            5,
        )
        assert (found.audio_input_tokens, found.image_input_tokens) == (10, 3)
        assert (found.visible_output_tokens, found.reasoning_tokens, found.audio_output_tokens) == (26, 20, 4)
        assert (found.accepted_prediction_tokens, found.rejected_prediction_tokens) == (2, 1)

    def test_deepseek_names_its_cached_tokens_itself(self) -> None:
        found = usage(prompt_tokens=10, completion_tokens=1, prompt_cache_hit_tokens=6)
        assert (found.uncached_input_tokens, found.cache_read_tokens) == (4, 6)

    def test_xai_leaves_reasoning_out_of_its_completion_tokens(self) -> None:
        details = {"reasoning_tokens": 30}
        apart = usage(
            prompt_tokens=10, completion_tokens=5, total_tokens=45, completion_tokens_details=details
        )
        assert (apart.output_tokens, apart.visible_output_tokens, apart.reasoning_tokens) == (35, 5, 30)
        within = usage(
            prompt_tokens=10, completion_tokens=35, total_tokens=45, completion_tokens_details=details
        )
        assert within == apart

    def test_details_that_exceed_the_total_still_add_up(self) -> None:
        found = usage(prompt_tokens=5, completion_tokens=2, prompt_tokens_details={"cached_tokens": 9})
        assert (found.input_tokens, found.uncached_input_tokens, found.cache_read_tokens) == (9, 0, 9)

    @pytest.mark.parametrize("garbage", [-1, 2**31, 2**40, None])
    def test_count_that_is_none_counts_nothing(self, garbage: int | None) -> None:
        found = usage(prompt_tokens=garbage, completion_tokens=garbage, prompt_tokens_details=None)
        assert found.total_tokens == 0


@pytest.mark.parametrize(
    ("said", "seconds"), [(1763683200, 1763683200), (1.9, 1), (None, 0), (-5, 0), (1e300, 0), (2**32, 0)]
)
def test_time_that_the_contract_cannot_hold_is_not_known(said: Any, seconds: int) -> None:
    assert chat_answer.seconds(said) == seconds


class TestChatTools:
    @pytest.mark.parametrize(
        ("reported", "called"),
        [
            ({}, {}),
            ({"server_tool_use": {"web_search_requests": 2}}, {"web_search": 2}),
            ({"num_search_queries": 3}, {"web_search": 3}),
            (
                {"server_side_tool_usage_details": {"x_search_calls": 1, "web_search_calls": 0}},
                {"x_search": 1},
            ),
            ({"server_side_tool_usage": {"code_execution": 2}}, {"code_execution": 2}),
        ],
    )
    def test_tools_are_read_wherever_an_upstream_counts_them(
        self, reported: dict[str, Any], called: dict[str, int]
    ) -> None:
        assert chat_answer.tools(msgspec.convert(reported, chat_answer.Usage)) == called

    def test_writes_that_are_kept_for_half_a_day_stand_apart(self) -> None:
        details = {"cache_write_tokens": 50, "cache_write_tokens_details": {"ttl_12h_tokens": 20}}
        found = usage(prompt_tokens=100, completion_tokens=1, prompt_tokens_details=details)
        written = found.cache_write_5m_tokens, found.cache_write_1h_tokens
        assert (*written, found.uncached_input_tokens, found.input_tokens) == (30, 20, 50, 100)
