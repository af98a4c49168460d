"""Converse's answers: usage in disjoint buckets, reasons, thinking, sources."""

import base64
import json
from typing import Any

import msgspec
import pytest

from genai_spine.chunks import ChunkBuilder
from genai_spine.providers.bedrock.response import ANSWER, EVENT, ConverseReader, Usage, usage
from genai_spine.v1 import completion_service_pb2 as pb


def whole(*blocks: Any, stop: str = "end_turn") -> pb.ChoiceDelta:
    body = {"output": {"message": {"role": "assistant", "content": blocks}}, "stopReason": stop}
    builder = ChunkBuilder()
    ConverseReader().whole(ANSWER.decode(msgspec.json.encode(body)), builder.choice())
    return builder.build().choices[0]


def streamed(*events: dict[str, Any]) -> pb.ChoiceDelta:
    reader, builder = ConverseReader(), ChunkBuilder()
    for event in events:
        reader.event(EVENT.decode(msgspec.json.encode(event)), builder.choice())
    return builder.build().choices[0]


def block_delta(block: int, **delta: Any) -> dict[str, Any]:
    return {"contentBlockDelta": {"contentBlockIndex": block, "delta": delta}}


class TestConverseUsage:
    @pytest.mark.parametrize(
        ("reported", "buckets"),
        [
            ({"inputTokens": 10, "outputTokens": 5}, (10, 0, 0, 0, 5)),
            (
                {
                    "inputTokens": 10,
                    "outputTokens": 5,
                    "cacheReadInputTokens": 100,
                    "cacheWriteInputTokens": 30,
                },
                (10, 100, 30, 0, 5),
            ),
            (
                {
                    "inputTokens": 0,
                    "outputTokens": 0,
                    "cacheWriteInputTokens": 30,
                    "cacheDetails": [{"ttl": "1h", "inputTokens": 20}, {"ttl": "5m", "inputTokens": 10}],
                },
                (0, 0, 10, 20, 0),
            ),
            ({"cacheDetails": [{"ttl": "1h", "inputTokens": 20}]}, (0, 0, 0, 20, 0)),
        ],
    )
    def test_buckets_are_disjoint_and_add_up(self, reported: Any, buckets: Any) -> None:
        found = usage(msgspec.convert(reported, Usage))
        assert buckets == (
            found.uncached_input_tokens,
            found.cache_read_tokens,
            found.cache_write_5m_tokens,
            found.cache_write_1h_tokens,
            found.visible_output_tokens,
        )
        assert found.input_tokens == sum(buckets[:4])
        assert found.total_tokens == sum(buckets)

    @pytest.mark.parametrize("count", ["-1", "1e30", '"3"', "99999999999"])
    def test_count_that_cannot_be_is_no_answer(self, count: str) -> None:
        body = f'{{"metadata":{{"usage":{{"inputTokens":{count}}}}}}}'
        with pytest.raises(msgspec.ValidationError):
            EVENT.decode(body.encode())


class TestConverseReasons:
    @pytest.mark.parametrize(
        ("reason", "meant"),
        [
            ("end_turn", pb.FINISH_REASON_STOP),
            ("stop_sequence", pb.FINISH_REASON_STOP),
            ("max_tokens", pb.FINISH_REASON_LENGTH),
            ("model_context_window_exceeded", pb.FINISH_REASON_LENGTH),
            ("tool_use", pb.FINISH_REASON_TOOL_CALLS),
            ("guardrail_intervened", pb.FINISH_REASON_CONTENT_FILTER),
            ("content_filtered", pb.FINISH_REASON_CONTENT_FILTER),
            ("something_else", pb.FINISH_REASON_STOP),
        ],
    )
    def test_stop_reasons_each_mean_one_of_ours(self, reason: str, meant: Any) -> None:
        assert whole({"text": "x"}, stop=reason).finish_reason == meant
        assert streamed({"messageStop": {"stopReason": reason}}).finish_reason == meant


class TestConverseThinking:
    def test_hidden_thinking_is_kept_to_be_sent_back(self) -> None:
        hidden = base64.b64encode(b"\x00\xff secret").decode()
        delta = streamed(
            block_delta(0, reasoningContent={"redactedContent": base64.b64encode(b"\x00\xff").decode()}),
            block_delta(0, reasoningContent={"redactedContent": base64.b64encode(b" secret").decode()}),
            block_delta(1, reasoningContent={"text": "hm"}),
            block_delta(1, reasoningContent={"signature": "s"}),
            {"messageStop": {"stopReason": "end_turn"}},
        )
        expected = [
            {"reasoningContent": {"redactedContent": hidden}},
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        ]
        assert json.loads(delta.reasoning_state_json) == expected
        assert delta.reasoning == "hm"
        assert json.loads(whole(*expected).reasoning_state_json) == expected

    def test_thinking_without_a_signature_is_shown_only(self) -> None:
        delta = whole({"reasoningContent": {"reasoningText": {"text": "hm"}}})
        assert delta.reasoning == "hm"
        assert not delta.HasField("reasoning_state_json")


class TestConverseSources:
    def test_citations_are_kept_as_they_are(self) -> None:
        cited = {"title": "t", "location": {"web": {"url": "https://x"}}}
        blocks = {"citationsContent": {"content": [{"text": "said"}], "citations": [cited]}}
        for delta in (
            whole({"text": "He "}, blocks),
            streamed(
                block_delta(0, text="He said"),
                block_delta(0, citation=cited),
                {"messageStop": {"stopReason": "end_turn"}},
            ),
        ):
            assert delta.content == "He said"
            assert json.loads(delta.annotations_json) == [cited]


def test_unknown_events_blocks_and_deltas_are_passed_over() -> None:
    delta = streamed(
        {"somethingNew": {"a": 1}},
        {"contentBlockStart": {"contentBlockIndex": 0, "start": {"image": {"format": "png"}}}},
        block_delta(0, image={"source": {"bytes": "eA=="}}),
        block_delta(1, toolUse={"input": "{}"}),
        {"contentBlockStop": {"contentBlockIndex": 0}},
    )
    assert delta == pb.ChoiceDelta()
    assert whole({"video": {}}).content == ""
